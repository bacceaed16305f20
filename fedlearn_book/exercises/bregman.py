"""Exercises on linearized Bregman iterations: the recursion, its step, its safe time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _shrink(z: Tensor, threshold: float = 1.0) -> Tensor:
    return z - z.clamp(-threshold, threshold)


def _run(
    X: Tensor, y: Tensor, kappa: float, alpha: float, steps: int, threshold: float = 1.0
) -> Tensor:
    z = beta = X.new_zeros(X.shape[1])
    for _ in range(steps):
        z = z + alpha * X.T @ (y - X @ beta) / len(y)
        beta = kappa * _shrink(z, threshold)
    return beta


def _proximal_gradient(X: Tensor, y: Tensor, kappa: float, alpha: float, steps: int) -> Tensor:
    beta = X.new_zeros(X.shape[1])
    for _ in range(steps):
        beta = _shrink(beta + kappa * alpha * X.T @ (y - X @ beta) / len(y), kappa * alpha)
    return beta


def _largest_step(X: Tensor, kappa: float) -> Tensor:
    step: Tensor = 2 * len(X) / (kappa * torch.linalg.matrix_norm(X, 2) ** 2)
    return step


def _regressions(X: Tensor, s: int) -> Tensor:
    M: Tensor = torch.linalg.lstsq(X[:, :s], X[:, s:]).solution.T  # [p−s, s]
    return M


def _safe_time(X: Tensor, s: int, sigma: float, delta: float) -> Tensor:
    return _time(X, s, sigma, 1 - _regressions(X, s).abs().sum(1).max(), delta)


def _time(X: Tensor, s: int, sigma: float, eta: Tensor, delta: float) -> Tensor:
    n, p = X.shape
    C = X[:, s:].norm(dim=0).max() / math.sqrt(n)
    time: Tensor = eta / (sigma * C * math.sqrt(2 * math.log((p - s) / delta) / n))
    return time


_X = torch.tensor(
    [[1.0, 0.5, 0.2, 0.1], [-1.0, 1.0, 0.4, 0.7], [0.5, 2.0, -1.0, 0.6], [1.0, -0.5, 1.0, 1.2],
     [0.3, 0.2, 2.0, -0.8], [-0.6, 0.9, 0.1, 1.0]], dtype=torch.float64,
)  # fmt: skip
_Y = torch.tensor([3.0, -4.0, 2.0, 5.0, -1.0, 0.5], dtype=torch.float64)
_T = torch.cat([2 * torch.eye(4), torch.tensor([[0.6, 0.3, -0.4, 0.2]] * 2)]).double()[:, [0, 1, 3]]

EXERCISES: dict[str, Exercise] = {
    "bregman run": Exercise(
        _run,
        [(_X, _Y, 5.0, 0.05, 40), (_X, 2 * _Y, 20.0, 0.02, 30)],
        [
            (
                "This is proximal gradient descent for the LASSO: it shrinks the coefficients and "
                "forgets what it took away. Here z is never shrunk; it keeps adding up gradients.",
                _proximal_gradient,
            ),
            (
                "The factor κ is missing: β = κ shrink(z, 1).",
                lambda X, y, kappa, alpha, steps: _run(X, y, 1.0, alpha, steps),
            ),
            (
                "The gradient of ½‖y − Xβ‖²/n has the factor 1/n; yours is n times too long.",
                lambda X, y, kappa, alpha, steps: _run(X, y, kappa, alpha * len(y), steps),
            ),
            (
                "The threshold is one, whatever α and κ are: path time, not the threshold, decides "
                "how much is in.",
                lambda X, y, kappa, alpha, steps: _run(X, y, kappa, alpha, steps, alpha),
            ),
            (
                "You return one step too few: the last β must contain the last z.",
                lambda X, y, kappa, alpha, steps: _run(X, y, kappa, alpha, steps - 1),
            ),
        ],
    ),
    "largest step": Exercise(
        _largest_step,
        [(_X, 5.0), (3 * _X[:3], 0.5)],
        [
            (
                "The gradient carries 1/n, and so does the matrix XᵀX/n whose norm counts: "
                "multiply by n.",
                lambda X, kappa: _largest_step(X, kappa) / len(X),
            ),
            (
                "The norm of XᵀX is the square of the norm of X.",
                lambda X, kappa: 2 * len(X) / (kappa * torch.linalg.matrix_norm(X, 2)),
            ),
            (
                "κ is missing. A step of z moves β κ times as far.",
                lambda X, kappa: _largest_step(X, 1.0),
            ),
            (
                "This is half of it: safe, and the fastest for the stiffest direction alone, but "
                "the loss falls up to twice this step.",
                lambda X, kappa: _largest_step(X, kappa) / 2,
            ),
            (
                "This is the Frobenius norm, the sum of all eigenvalues; the largest one counts.",
                lambda X, kappa: 2 * len(X) / (kappa * X.square().sum()),
            ),
        ],
    ),
    "safe time": Exercise(
        _safe_time,
        [(_T, 2, 0.5, 0.1), (_T[:, [0, 2, 1]], 1, 2.0, 0.01)],
        [
            (
                "You have the irrepresentable value 1 − η where η belongs, what it leaves of one.",
                lambda X, s, sigma, delta: _time(
                    X, s, sigma, _regressions(X, s).abs().sum(1).max(), delta
                ),
            ),
            (
                "These are the largest single coefficients. The signs of S can be whatever they "
                "like, so the absolute values of a row add up.",
                lambda X, s, sigma, delta: _time(
                    X, s, sigma, 1 - _regressions(X, s).abs().max(), delta
                ),
            ),
            (
                "The union bound is missing: each of the p − s columns outside S can be the first.",
                lambda X, s, sigma, delta: _safe_time(X, s, sigma, delta * (X.shape[1] - s)),
            ),
            (
                "A column's projection of the noise has standard deviation σ‖X_j‖/n, which falls "
                "like 1/√n: the time grows with √n, yours does not.",
                lambda X, s, sigma, delta: _safe_time(X, s, sigma, delta) / math.sqrt(len(X)),
            ),
        ],
    ),
}
