"""Exercises on federated averaging and its fixed points."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise
from fedlearn_book.exercises.quadratics import A, P, W, quadratics, weighted_solve


def _local_map(A: Tensor, eta: float, tau: int) -> Tensor:
    """I − (I − ηA_i)^τ for every client: [m d d]."""
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    left: Tensor = torch.linalg.matrix_power(eye - eta * A, tau)
    return eye - left


def _entrywise_map(A: Tensor, eta: float, tau: int) -> Tensor:
    """The same with the power taken entry by entry, which is wrong."""
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    return eye - (eye - eta * A) ** tau


def fixed_point(A: Tensor, w: Tensor, p: Tensor, eta: float, tau: int) -> Tensor:
    """Where FedAvg ends on quadratics with curvatures A_i and minimizers w_i."""
    return weighted_solve(_local_map(A, eta, tau), w, p)


def _rate(A: Tensor, p: Tensor, eta: float, tau: int) -> Tensor:
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    powers = torch.linalg.matrix_power(eye - eta * A, tau)
    norm: Tensor = torch.linalg.matrix_norm(torch.einsum("i,iab->ab", p, powers), 2)
    return norm


def _normalized_average(changes: Tensor, steps: Tensor, p: Tensor) -> Tensor:
    return (p @ steps) * (p / steps) @ changes


_ONE = torch.ones(1, dtype=torch.float64)

EXERCISES: dict[str, Exercise] = {
    "client weights": Exercise(
        lambda n: n / n.sum(),
        [(torch.tensor([10.0, 1000.0]),), (torch.tensor([1.0, 2.0, 5.0]),)],
        [
            (
                "These are equal weights: a client with ten samples would count as much as one "
                "with a thousand. Divide each size by the total.",
                lambda n: torch.ones_like(n) / len(n),
            ),
            (
                "These are sizes, not shares: they do not sum to one, so the average model would "
                "be many times too large. Divide by the total.",
                lambda n: n,
            ),
            (
                "You divided by the largest size; the weights must sum to one. Divide by the "
                "total.",
                lambda n: n / n.max(),
            ),
        ],
    ),
    "fixed point": Exercise(
        fixed_point,
        [(A, W, P, 0.2, 5), (*quadratics(1, m=4, d=3), 0.1, 20)],
        [
            (
                "This is the minimizer of f, where τ = 1 ends. With more local steps a client's "
                "pull is I − (I − ηA_i)^τ and no longer proportional to A_i.",
                lambda A, w, p, eta, tau: weighted_solve(A, w, p),
            ),
            (
                "This is the plain weighted mean of the clients' minimizers, the limit τ → ∞. For "
                "finite τ a client does not arrive at w_i: weight w_i with I − (I − ηA_i)^τ.",
                lambda A, w, p, eta, tau: p @ w,
            ),
            (
                "The clients' weights p_i are missing in both sums.",
                lambda A, w, p, eta, tau: fixed_point(A, w, torch.ones_like(p), eta, tau),
            ),
            (
                "You used (I − ηA_i)^τ, the part of the distance that is left; a client pulls "
                "with the part that is gone, I − (I − ηA_i)^τ.",
                lambda A, w, p, eta, tau: weighted_solve(
                    torch.eye(A.shape[-1], dtype=A.dtype) - _local_map(A, eta, tau), w, p
                ),
            ),
            (
                "The power is taken entry by entry (`**`); use `torch.linalg.matrix_power`.",
                lambda A, w, p, eta, tau: weighted_solve(_entrywise_map(A, eta, tau), w, p),
            ),
        ],
    ),
    "rate": Exercise(
        _rate,
        [(A, P, 0.2, 5), (*quadratics(1)[::2], 0.1, 3)],
        [
            (
                "This is the rate of the average curvature, ‖(I − ηĀ)^τ‖: it averages before it "
                "takes the power. The clients take the power first, the server averages after.",
                lambda A, p, eta, tau: _rate(torch.einsum("i,iab->ab", p, A)[None], _ONE, eta, tau),
            ),
            (
                "This is the rate of the slowest single client. The average of the maps contracts "
                "at least as fast: take the norm of Σ p_i (I − ηA_i)^τ.",
                lambda A, p, eta, tau: torch.stack(
                    [_rate(a[None], _ONE, eta, tau) for a in A]
                ).max(),
            ),
            (
                "This is the rate with one local step; raise I − ηA_i to the power τ.",
                lambda A, p, eta, tau: _rate(A, p, eta, 1),
            ),
        ],
    ),
    "unequal steps": Exercise(
        _normalized_average,
        [
            (W, torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64), P),
            (2 * W, torch.tensor([3.0, 3.0, 9.0], dtype=torch.float64), P),
        ],
        [
            (
                "This is the plain mean of the changes: a client that took 20 steps counts 20 "
                "times. Divide each change by its own number of steps first.",
                lambda c, s, p: p @ c,
            ),
            (
                "The direction is right and the length is not: after dividing by τ_i, multiply "
                "the mean by the average number of steps Σ p_i τ_i.",
                lambda c, s, p: (p / s) @ c,
            ),
            (
                "You rescaled by the plain mean of the τ_i; the average must use the weights p_i.",
                lambda c, s, p: s.mean() * (p / s) @ c,
            ),
        ],
    ),
}
