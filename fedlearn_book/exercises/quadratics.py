"""Random quadratic clients for the cases of several exercises, and where they agree."""

from __future__ import annotations

import torch
from torch import Tensor


def quadratics(seed: int, m: int = 3, d: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Curvatures [m d d], minimizers [m d] and weights [m] in float64."""
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(m, d, d, generator=g, dtype=torch.float64)
    p = torch.rand(m, generator=g, dtype=torch.float64) + 0.5
    w = torch.randn(m, d, generator=g, dtype=torch.float64)
    return root @ root.mT / d + 0.3 * torch.eye(d, dtype=torch.float64), w, p / p.sum()


def weighted_solve(M: Tensor, w: Tensor, p: Tensor) -> Tensor:
    """(Σ p_i M_i)⁻¹ Σ p_i M_i w_i."""
    left, right = torch.einsum("i,iab->ab", p, M), torch.einsum("i,iab,ib->a", p, M, w)
    solution: Tensor = torch.linalg.solve(left, right)
    return solution


A, W, P = quadratics(0)
