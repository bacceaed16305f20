"""Exercises on subgradients, Bregman distances and the inverse scale space path."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _bregman(z: Tensor, rho: Tensor) -> Tensor:
    return (z.abs() - rho * z).sum()


def _waiting(c: Tensor, t: float) -> Tensor:
    return torch.where(c.abs() * t >= 1, c, 0)


def _wait(rho: Tensor, g: Tensor) -> Tensor:
    moving = g != 0
    return ((1 - rho * g.sign())[moving] / g.abs()[moving]).min()


def _average(knots: Tensor, w: Tensor, t: float) -> Tensor:
    ends = torch.cat([knots[1:], torch.tensor([torch.inf])]).clamp(max=t)
    return ((ends - knots).clamp(min=0)[:, None] * w).sum(0) / t


def _shift(X: Tensor, signs: Tensor, lam: float) -> Tensor:
    shift: Tensor = lam * torch.linalg.solve(X.T @ X / len(X), signs)
    return shift


_C = torch.tensor([3.0, -2.0, 1.0, 0.5, 0.25])
_X = torch.tensor([[1.0, 0.5], [0.0, 1.0], [2.0, 0.0], [1.0, -1.0]])
_KNOTS = torch.tensor([0.5, 1.0, 3.0])
_W = torch.tensor([[2.0, 0.0], [1.5, -1.0], [1.0, -2.0]])

EXERCISES: dict[str, Exercise] = {
    "bregman distance": Exercise(
        _bregman,
        [
            (torch.tensor([2.0, 0.0, -1.0]), torch.tensor([1.0, 0.3, 0.5])),
            (torch.tensor([-1.0, 4.0]), torch.tensor([1.0, 0.25])),
        ],
        [
            (
                "The sign before ⟨ρ, z⟩ is wrong: as it stands, a z that agrees with ρ is far and "
                "one that contradicts it is near.",
                lambda z, rho: (z.abs() + rho * z).sum(),
            ),
            (
                "You left out ‖z‖₁. What remains can be negative; a Bregman distance cannot.",
                lambda z, rho: -(rho * z).sum(),
            ),
            (
                "You measured the distance from ρ to the signs of z. The Bregman distance weighs "
                "each disagreement with the size of z_j.",
                lambda z, rho: (z.sign() - rho).abs().sum(),
            ),
            (
                "You took the absolute value of ρ as well: then a coordinate with the wrong sign "
                "costs nothing extra.",
                lambda z, rho: (z.abs() - rho.abs() * z.abs()).sum(),
            ),
        ],
    ),
    "waiting": Exercise(
        _waiting,
        [(_C, 0.75), (_C, 2.0)],
        [
            (
                "This is the LASSO with λ = 1/t: whatever is in has been made smaller by λ. The "
                "inverse scale space waits and then takes all of c_j.",
                lambda c, t: (c.abs() - 1 / t).clamp(min=0) * c.sign(),
            ),
            (
                "You let the coordinates with |c_j| ≥ t in. Time goes the other way: the larger t, "
                "the smaller the coefficients that have come in.",
                lambda c, t: torch.where(c.abs() >= t, c, 0),
            ),
            (
                "You lost the signs: a negative coefficient waits as long as a positive one and "
                "comes in negative.",
                lambda c, t: torch.where(c.abs() * t >= 1, c.abs(), 0),
            ),
            (
                "You tested c_j t ≥ 1 without the absolute value; negative coefficients reach the "
                "wall at -1.",
                lambda c, t: torch.where(c * t >= 1, c, 0),
            ),
        ],
    ),
    "next knot": Exercise(
        _wait,
        [
            (torch.tensor([1.0, 0.2, -0.5]), torch.tensor([0.0, -0.8, 0.6])),
            (torch.tensor([1.0, 0.95, -0.1]), torch.tensor([-2.5, 0.3, 0.5])),
        ],
        [
            (
                "You measured the distance to the nearer wall. A coordinate that moves away from "
                "it has to cross the box: the distance is 1 − ρ_j sign(g_j).",
                lambda rho, g: ((1 - rho.abs())[g != 0] / g.abs()[g != 0]).min(),
            ),
            (
                "You returned the distance to the wall. Divide it by the speed |g_j|.",
                lambda rho, g: (1 - rho * g.sign())[g != 0].min(),
            ),
            (
                "You measured to the wall at +1 only. A coordinate with g_j < 0 reaches the one "
                "at −1.",
                lambda rho, g: ((1 - rho)[g != 0] / g.abs()[g != 0]).min(),
            ),
            (
                "You took the fastest coordinate. The next to arrive is the one with the smallest "
                "waiting time, which may be slow and near.",
                lambda rho, g: (1 - rho * g.sign())[g.abs().argmax()] / g.abs().max(),
            ),
        ],
    ),
    "average of the path": Exercise(
        _average,
        [(_KNOTS, _W, 2.0), (_KNOTS, _W, 4.0)],
        [
            (
                "You forgot the time before the first knot, in which β is zero: divide by t, not "
                "by t − t₁.",
                lambda knots, w, t: _average(knots, w, t) * t / (t - float(knots[0])),
            ),
            (
                "You averaged over knots. Each value counts as long as it lasts.",
                lambda knots, w, t: w[knots <= t].mean(0),
            ),
            (
                "This is the path at time t itself, not its average up to t.",
                lambda knots, w, t: w[knots <= t][-1],
            ),
            (
                "This is the integral; the average divides it by t.",
                lambda knots, w, t: _average(knots, w, t) * t,
            ),
        ],
    ),
    "lasso shift": Exercise(
        _shift,
        [(_X, torch.tensor([1.0, -1.0]), 0.5), (_X, torch.tensor([1.0, 1.0]), 0.2)],
        [
            (
                "You used XᵀX without the 1/n of the loss: the shift is λ n (XᵀX)⁻¹s.",
                lambda X, s, lam: lam * torch.linalg.solve(X.T @ X, s),
            ),
            (
                "λ sign(β_j) is the shift when the columns are orthogonal with mean square one. "
                "In general the columns share it: multiply by (XᵀX/n)⁻¹.",
                lambda X, s, lam: lam * s,
            ),
            (
                "You multiplied by XᵀX/n instead of its inverse. Where the data say little, the "
                "shift is large.",
                lambda X, s, lam: lam * X.T @ X @ s / len(X),
            ),
            (
                "You divided by the diagonal only, as if each column were alone.",
                lambda X, s, lam: lam * s / X.square().mean(0),
            ),
        ],
    ),
}
