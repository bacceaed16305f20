"""Exercises on methods of personalization and on how to compare them."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise

T975 = {3: 4.3027, 5: 2.7764}  # Student's t, 97.5 %, for n − 1 degrees of freedom


def _anchored(v: Tensor, anchor: Tensor, slope: Tensor, eta: float, lam: float) -> Tensor:
    return v - eta * (slope + lam * (v - anchor))


def _control(c_i: Tensor, c: Tensor, w: Tensor, end: Tensor, tau: int, eta: float) -> Tensor:
    return c_i - c + (w - end) / (tau * eta)


def _worst(scores: Tensor) -> Tensor:
    return scores.sort().values[: max(1, len(scores) // 10)].mean()


def _paired(a: Tensor, b: Tensor, t: float) -> Tensor:
    gaps = a - b
    return torch.stack([gaps.mean(), t * gaps.std() / len(gaps) ** 0.5])


_V, _A, _G = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.5, -2.0])
_SCORES = torch.tensor([0.9, 0.2, 0.8, 0.95, 0.7, 0.85, 0.99, 0.6, 0.4, 0.75, 0.88, 0.93, 0.97,
                        0.65, 0.5, 0.78, 0.81, 0.69, 0.91, 0.3])  # fmt: skip
_ONE = torch.tensor([0.91, 0.80, 0.86, 0.95, 0.70])
_TWO = torch.tensor([0.89, 0.79, 0.83, 0.93, 0.69])

EXERCISES: dict[str, Exercise] = {
    "anchored step": Exercise(
        _anchored,
        [(_V, _A, _G, 0.1, 2.0), (_G, _V, _A, 0.5, 0.3)],
        [
            (
                "The pull points away from the anchor: the gradient of λ/2 ‖v − a‖² is λ(v − a), "
                "and a step goes against it.",
                lambda v, a, g, eta, lam: v - eta * (g - lam * (v - a)),
            ),
            (
                "You pull towards zero: that is weight decay. The anchor is the shared model.",
                lambda v, a, g, eta, lam: v - eta * (g + lam * v),
            ),
            (
                "The pull is not multiplied by the step size. It is a part of the gradient.",
                lambda v, a, g, eta, lam: v - eta * g - lam * (v - a),
            ),
            (
                "The step starts at the anchor. It starts where the client stands, at v.",
                lambda v, a, g, eta, lam: a - eta * (g + lam * (v - a)),
            ),
            (
                "The pull is missing: this is plain fine-tuning.",
                lambda v, a, g, eta, lam: v - eta * g,
            ),
        ],
    ),
    "control variate": Exercise(
        _control,
        [(_A, _G, _V, _V - _G, 5, 0.1), (_G, _A, _A, _V, 2, 0.5)],
        [
            (
                "The sum of the steps must be divided by how many there were, τ, as well as by "
                "their size: the control variate is a gradient, not a distance.",
                lambda ci, c, w, end, tau, eta: ci - c + (w - end) / eta,
            ),
            (
                "You divided by τ and forgot the step size η: a distance is η times a sum of "
                "gradients.",
                lambda ci, c, w, end, tau, eta: ci - c + (w - end) / tau,
            ),
            (
                "The sign of the path is wrong. A step is minus η times the direction, so the "
                "mean direction is (w − end) / (τη).",
                lambda ci, c, w, end, tau, eta: ci - c + (end - w) / (tau * eta),
            ),
            (
                "This is the mean corrected direction. The client stepped along g − c_i + c; to "
                "find the mean of g, add c_i and subtract c.",
                lambda ci, c, w, end, tau, eta: (w - end) / (tau * eta),
            ),
            (
                "The two control variates changed places: add back c_i, take away c.",
                lambda ci, c, w, end, tau, eta: c - ci + (w - end) / (tau * eta),
            ),
        ],
    ),
    "worst decile": Exercise(
        _worst,
        [(_SCORES,), (_SCORES[:4],)],
        [
            (
                "This is the single worst client. Of twenty clients a tenth are two; average them.",
                lambda s: s.min(),
            ),
            (
                "This is the boundary of the worst tenth, a quantile. The worst decile here is "
                "the mean of the clients below it.",
                lambda s: s.quantile(0.1),
            ),
            (
                "You averaged the best tenth. Sort so that the lowest come first.",
                lambda s: s.sort(descending=True).values[: max(1, len(s) // 10)].mean(),
            ),
            (
                "This is the mean of all clients, the number that hides the worst.",
                lambda s: s.mean(),
            ),
        ],
    ),
    "paired interval": Exercise(
        _paired,
        [(_ONE, _TWO, T975[5]), (_ONE[:3], _TWO[:3], T975[3])],
        [
            (
                "You treated the two methods as unrelated samples. They saw the same clients and "
                "batches, so take the difference seed by seed first; what both share cancels.",
                lambda a, b, t: torch.stack(
                    [(a - b).mean(), t * ((a.var() + b.var()) / len(a)).sqrt()]
                ),
            ),
            (
                "This is the spread of one difference. The interval is for their mean: divide by "
                "the root of the number of seeds.",
                lambda a, b, t: torch.stack([(a - b).mean(), t * (a - b).std()]),
            ),
            (
                "You divided by the number of seeds. The standard deviation of a mean falls with "
                "its root.",
                lambda a, b, t: torch.stack([(a - b).mean(), t * (a - b).std() / len(a)]),
            ),
            (
                "The standard deviation divides by n here. With a handful of seeds that is too "
                "small: divide the squares by n − 1.",
                lambda a, b, t: torch.stack(
                    [(a - b).mean(), t * (a - b).std(correction=0) / len(a) ** 0.5]
                ),
            ),
        ],
    ),
}
