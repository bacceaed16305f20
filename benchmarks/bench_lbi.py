"""Linearized Bregman iterations for 5,000 variables and 2,000 samples, against a NumPy loop."""

from __future__ import annotations

import numpy as np
import torch

from fedlearn_lib import lbi_path

KAPPA, LR, STEPS = 20.0, 0.008, 300  # until t = 2.4; half of the largest stable step
G = torch.Generator().manual_seed(0)
X = torch.randn(2000, 5000, generator=G, dtype=torch.float64)
Y = X[:, :20] @ torch.linspace(1, 3, 20).double() + torch.randn(2000, generator=G).double()
X_NP, Y_NP = X.numpy(), Y.numpy()


def plain() -> np.ndarray:
    z, beta = np.zeros(5000), np.zeros(5000)
    for _ in range(STEPS):
        z += LR / 2000 * (X_NP.T @ (Y_NP - X_NP @ beta))
        beta = KAPPA * np.sign(z) * np.maximum(np.abs(z) - 1, 0)
    return beta


def ours() -> torch.Tensor:
    torch.set_num_threads(1)  # one core, whatever the loop uses
    path = lbi_path(X, Y, kappa=KAPPA, lr=LR, steps=STEPS, every=STEPS, check=False)
    return path.w[-1]  # type: ignore[return-value]


def test_lbi(compare) -> None:
    assert np.abs(plain() - ours().numpy()).max() < 1e-9
    compare(plain, ours, least=4.0, turns=3)
