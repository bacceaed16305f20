"""Linearized Bregman iterations with the default step, its bound included, against a NumPy loop.

Both sides run on one core. The loop is given the step: what the bound costs is our side's alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from conftest import alone  # type: ignore[attr-defined]
from fedlearn_lib import lbi_path

KAPPA = 20.0
Data = tuple[torch.Tensor, torch.Tensor]


def problem(n: int, p: int) -> Data:
    g = torch.Generator().manual_seed(0)
    X = torch.randn(n, p, generator=g, dtype=torch.float64)
    noise = torch.randn(n, generator=g, dtype=torch.float64)
    return X, X[:, :20] @ torch.linspace(1, 3, 20).double() + noise


def loop(X: torch.Tensor, y: torch.Tensor, lr: float, steps: int) -> Callable[[], np.ndarray]:
    A, b, (n, p) = X.numpy(), y.numpy(), X.shape

    def plain() -> np.ndarray:
        z, beta = np.zeros(p), np.zeros(p)
        for _ in range(steps):
            z += lr / n * (A.T @ (b - A @ beta))
            beta = KAPPA * np.sign(z) * np.maximum(np.abs(z) - 1, 0)
        return beta

    return plain


@pytest.mark.parametrize(
    ("n", "p", "steps", "least"),
    [(40, 200, 1500, 0.9), (80, 1000, 1500, 0.9), (200, 1000, 1500, 1.5), (100, 4000, 2500, 3.0),
     (2000, 5000, 400, 4.0)],
)  # fmt: skip
def test_lbi(n: int, p: int, steps: int, least: float, compare) -> None:
    X, y = problem(n, p)
    ours = lambda: lbi_path(X, y, kappa=KAPPA, steps=steps, every=steps)  # noqa: E731
    path = ours()
    plain = loop(X, y, float(path.t[-1]) / steps, steps)
    assert np.abs(plain() - path.w[-1].numpy()).max() < 1e-9
    assert int((path.w[-1] != 0).sum()) >= 20
    compare(alone(plain), alone(ours), least=least, turns=5)
