"""Exercises on SplitLBI: one step of it, the step at which a filter enters, the dead start."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _soft(v: Tensor) -> Tensor:
    return v - v.clamp(-1, 1)


def _step(w: Tensor, v: Tensor, g: Tensor, alpha: float, kappa: float, nu: float) -> Tensor:
    gap = w - kappa * _soft(v)
    return torch.stack([w - kappa * alpha * (g + gap / nu), v + alpha / nu * gap])


def _new_weights(w: Tensor, v: Tensor, g: Tensor, a: float, kappa: float, nu: float) -> Tensor:
    new = _step(w, v, g, a, kappa, nu)[0]
    return torch.stack([new, v + a / nu * (new - kappa * _soft(v))])


def _new_copy(w: Tensor, v: Tensor, g: Tensor, a: float, kappa: float, nu: float) -> Tensor:
    later = _step(w, v, g, a, kappa, nu)[1]
    return torch.stack([w - kappa * a * (g + (w - kappa * _soft(later)) / nu), later])


def _no_kappa(w: Tensor, v: Tensor, g: Tensor, a: float, kappa: float, nu: float) -> Tensor:
    gap = w - _soft(v)
    return torch.stack([w - kappa * a * (g + gap / nu), v + a / nu * gap])


def _entry(norms: Tensor, alpha: float, nu: float) -> Tensor:
    return (nu / (alpha * norms)).floor() + 1


def _alive(W: Tensor, kappa: float, mu: float) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(W.flatten(1), dim=1)
    return norms > kappa / (1 - mu)


_W = torch.tensor([1.5, -0.4, 3.0, 0.2], dtype=torch.float64)
_V = torch.tensor([1.2, -0.9, 0.99, -2.5], dtype=torch.float64)
_G = torch.tensor([0.3, -1.0, 0.0, 2.0], dtype=torch.float64)
_NORMS = torch.tensor([4.0, 1.0, 0.7, 2.0], dtype=torch.float64)
_FILTERS = torch.tensor([0.2, 0.5, 1.2, 3.0], dtype=torch.float64).view(4, 1, 1, 1) * torch.ones(
    4, 2, 2, 2, dtype=torch.float64
)  # norms 0.57, 1.41, 3.39, 8.49

EXERCISES: dict[str, Exercise] = {
    "one step": Exercise(
        _step,
        [(_W, _V, _G, 0.1, 2.0, 0.5), (_V, _W, _G, 0.2, 3.0, 4.0), (_W, 0 * _V, _G, 0.5, 0.7, 1.0)],
        [
            (
                "V moved with the new W. Both updates use the old W and Γ: otherwise W + κV does "
                "not lose exactly καG in a step (Lemma 11.5).",
                _new_weights,
            ),
            (
                "W was pulled towards the new copy. Both updates use the old W and Γ.",
                _new_copy,
            ),
            (
                "The copy is κ times the prox of V; the factor κ is missing.",
                _no_kappa,
            ),
            (
                "W moves with step κα, V with step α. You moved W with α.",
                lambda w, v, g, a, kappa, nu: torch.stack(
                    [
                        w - a * (g + (w - kappa * _soft(v)) / nu),
                        v + a / nu * (w - kappa * _soft(v)),
                    ]
                ),
            ),
        ],
    ),
    "entry step": Exercise(
        _entry,
        [(_NORMS, 0.25, 3.0), (_NORMS, 0.125, 0.75), (3 * _NORMS, 0.5, 6.0)],
        [
            (
                "Rounding up is right unless ν/(αc) is a whole number: then V stands exactly at "
                "the threshold, the copy is still zero, and the filter enters one step later.",
                lambda c, a, nu: (nu / (a * c)).ceil(),
            ),
            (
                "That is a path time, t = ν/c. Divide by α to get a number of steps.",
                lambda c, a, nu: (nu / c).floor() + 1,
            ),
            (
                "The threshold is on the norm of V, and V adds up α/ν times the filter: the norm "
                "counts, not its square.",
                lambda c, a, nu: (nu / (a * c**2)).floor() + 1,
            ),
            (
                "A stronger spring (small ν) lets filters in sooner: you have it upside down.",
                lambda c, a, nu: (1 / (nu * a * c)).floor() + 1,
            ),
        ],
    ),
    "alive by decay": Exercise(
        _alive,
        [(_FILTERS, 1.0, 0.0), (_FILTERS, 1.0, 0.5), (_FILTERS, 0.5, 0.5), (_FILTERS, 2.0, 0.5)],
        [
            (
                "The momentum is missing: in the coupled form it repeats the spring's pull on W, "
                "and V ends at (1 − μ)W/κ.",
                lambda W, kappa, mu: W.flatten(1).norm(dim=1) > kappa,
            ),
            (
                "Momentum makes it harder to enter, not easier: the norm must exceed κ divided by "
                "1 − μ.",
                lambda W, kappa, mu: W.flatten(1).norm(dim=1) > kappa * (1 - mu),
            ),
            (
                "You used the largest single weight. A filter is judged by its norm, over input "
                "channels, rows and columns.",
                lambda W, kappa, mu: W.flatten(1).abs().amax(1) > kappa / (1 - mu),
            ),
            (
                "V ends at (1 − μ)W/κ: a small κ helps, so compare with κ and not with 1/κ.",
                lambda W, kappa, mu: W.flatten(1).norm(dim=1) > 1 / (kappa * (1 - mu)),
            ),
        ],
    ),
}
