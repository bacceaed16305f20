"""Exercises on the constants of the meta-loss and on the convergence of Per-FedAvg."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _both(sigma: Tensor, L: float, rho: float, alpha: float, b: int) -> tuple[Tensor, Tensor]:
    """The two bounds without the stretch 1 + αL: [m] each."""
    return alpha * L * sigma / math.sqrt(b), rho * (alpha * sigma) ** 2 / (2 * b)


def _bias(sigma: Tensor, L: float, rho: float, alpha: float, b: int) -> Tensor:
    return (1 + alpha * L) * torch.minimum(*_both(sigma, L, rho, alpha, b))


def _spread(x: Tensor) -> Tensor:
    return (x - x.mean(0)).square().sum(1).mean()


def _cohort_variance(x: Tensor, c: int) -> Tensor:
    m = len(x)
    return (m - c) / (c * (m - 1)) * _spread(x)


def _balance(K: Tensor, gap: float, rate: float, tau: int) -> Tensor:
    return (gap / (tau * K * rate)).sqrt()


def _capped(beta: Tensor, tau: int, L_F: float) -> Tensor:
    return beta.clamp(max=1 / (4 * tau * L_F))


def _best_step(
    K: Tensor, tau: int, gap: float, L_F: float, noise: float, gamma_F: float, chi: float, c: int
) -> Tensor:
    rate = L_F * (noise / c + tau * chi * gamma_F**2)
    return _capped(_balance(K, gap, rate, tau), tau, L_F)


_SIGMA = torch.tensor([0.5, 2.0], dtype=torch.float64)
_ROUNDS = torch.tensor([10.0, 1e3, 1e6], dtype=torch.float64)
_X = torch.tensor([[0.0, 1.0], [2.0, -1.0], [4.0, 0.0], [1.0, 3.0]], dtype=torch.float64)

EXERCISES: dict[str, Exercise] = {
    "meta bias": Exercise(
        _bias,
        [(_SIGMA, 1.0, 1.0, 0.5, 16), (_SIGMA, 1.0, 9.0, 0.5, 1), (2 * _SIGMA, 2.0, 1.5, 0.25, 4)],
        [
            (
                "This is the first bound alone. Where the Hessian is Lipschitz the linear error "
                "has mean zero: take the smaller of the two bounds.",
                lambda s, L, rho, a, b: (1 + a * L) * _both(s, L, rho, a, b)[0],
            ),
            (
                "This is the second bound alone. With a small batch and a large ρ it exceeds the "
                "first: take the smaller of the two.",
                lambda s, L, rho, a, b: (1 + a * L) * _both(s, L, rho, a, b)[1],
            ),
            (
                "You added the two bounds. Each holds by itself, so the smaller one holds.",
                lambda s, L, rho, a, b: (1 + a * L) * sum(_both(s, L, rho, a, b)),
            ),
            (
                "The factor in front is missing: the error at the adapted point is multiplied by "
                "I − αH, which stretches by up to 1 + αL.",
                lambda s, L, rho, a, b: torch.minimum(*_both(s, L, rho, a, b)),
            ),
            (
                "The ½ of the second bound is missing: integrating ρt‖h‖² over t from 0 to 1 gives "
                "half of ρ‖h‖².",
                lambda s, L, rho, a, b: (1 + a * L) * torch.minimum(*_both(s, L, rho * 2, a, b)),
            ),
        ],
    ),
    "cohort variance": Exercise(
        _cohort_variance,
        [(_X, 2), (_X, 4), (3 * _X[:3], 1)],
        [
            (
                "This is sampling with replacement: it leaves noise even when all clients take "
                "part. Multiply by (m − c)/(m − 1).",
                lambda x, c: _spread(x) / c,
            ),
            (
                "You have (m − c)/m in the place of (m − c)/(m − 1): with a cohort of one the "
                "answer must be the full spread.",
                lambda x, c: (len(x) - c) / (c * len(x)) * _spread(x),
            ),
            (
                "The spread is a mean over clients; you divided by m − 1. That correction is "
                "already in the factor.",
                lambda x, c: _cohort_variance(x, c) * len(x) / (len(x) - 1),
            ),
            (
                "You measured the clients around zero. The variance is around their mean.",
                lambda x, c: (len(x) - c) / (c * (len(x) - 1)) * x.square().sum(1).mean(),
            ),
        ],
    ),
    "best step": Exercise(
        _best_step,
        [
            (_ROUNDS, 5, 1.0, 2.0, 3.0, 1.0, 0.2, 4),
            (_ROUNDS, 2, 1.0, 2.0, 0.1, 0.1, 0.0, 8),
            (_ROUNDS, 8, 0.5, 1.0, 1.0, 2.0, 1.0, 1),
        ],
        [
            (
                "The theorem also asks for βτL_F ≤ 1/4; with few rounds the balance is beyond "
                "that. Take the smaller of the two.",
                lambda K, tau, gap, L, s2, g, chi, c: _balance(
                    K, gap, L * (s2 / c + tau * chi * g**2), tau
                ),
            ),
            (
                "The sampling term carries a factor τ: a cohort makes the same error in all of "
                "its local steps.",
                lambda K, tau, gap, L, s2, g, chi, c: _capped(
                    _balance(K, gap, L * (s2 / c + chi * g**2), tau), tau, L
                ),
            ),
            (
                "The noise is averaged over the cohort: divide σ_F² by c.",
                lambda K, tau, gap, L, s2, g, chi, c: _best_step(K, tau, gap, L, s2 * c, g, chi, c),
            ),
            (
                "p/β + qβ is smallest where p/β = qβ, so β = (p/q)^(1/2); the square root is "
                "missing.",
                lambda K, tau, gap, L, s2, g, chi, c: _capped(
                    _balance(K, gap, L * (s2 / c + tau * chi * g**2), tau) ** 2, tau, L
                ),
            ),
        ],
    ),
}
