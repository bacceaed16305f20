"""Small clients and models that several tests share."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_lib import Clients
from fedlearn_lib.data import quadratic_clients
from fedlearn_lib.trees import Params


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_quadratics(m: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Positive definite A [m d d] with eigenvalues in [0.2, 2], minimizers [m d], weights [m]."""
    g = seeded(seed)
    q = torch.linalg.qr(torch.randn(m, d, d, generator=g, dtype=torch.float64)).Q
    eigenvalues = 0.2 + 1.8 * torch.rand(m, d, generator=g, dtype=torch.float64)
    A = q @ torch.diag_embed(eigenvalues) @ q.mT
    w = torch.randn(m, d, generator=g, dtype=torch.float64)
    p = 0.1 + torch.rand(m, generator=g, dtype=torch.float64)
    return (A + A.mT) / 2, w, p / p.sum()


def quadratics(m: int, d: int, seed: int = 0) -> Clients:
    return quadratic_clients(*random_quadratics(m, d, seed))


def ragged_clients(sizes: list[int], d: int = 4, classes: int = 3, seed: int = 0) -> Clients:
    """Labelled Gaussian samples in float64; every padding row is poisoned with NaN and -1."""
    g = seeded(seed)
    total = sum(sizes)
    x = torch.randn(total, d, generator=g, dtype=torch.float64)
    y = torch.randint(classes, (total,), generator=g)
    clients = Clients.of(x, y, list(torch.arange(total).split(sizes)))
    for i, n in enumerate(sizes):
        clients.x[i, n:], clients.y[i, n:] = torch.nan, -1
    return clients


def assert_close(a: Params, b: Params, tolerance: float) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=tolerance)
