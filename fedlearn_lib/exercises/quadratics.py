"""Random quadratic clients for the cases of several exercises."""

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


A, W, P = quadratics(0)
