"""Exercises on variable splitting: the step, the condition, and the estimate by pieces."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _shrink(z: Tensor, by: float = 1.0) -> Tensor:
    return z - z.clamp(-by, by)


def _step(
    w: Tensor, v: Tensor, gamma: Tensor, slope: Tensor, kappa: float, nu: float, lr: float
) -> Tensor:
    gap = (w - gamma) / nu
    new_v = v + lr * gap
    return torch.stack([w - kappa * lr * (slope + gap), new_v, kappa * _shrink(new_v)])


def _weights_first(w, v, gamma, slope, kappa, nu, lr):  # type: ignore[no-untyped-def]
    w = w - kappa * lr * (slope + (w - gamma) / nu)
    v = v + lr * (w - gamma) / nu
    return torch.stack([w, v, kappa * _shrink(v)])


def _gamma_first(w, v, gamma, slope, kappa, nu, lr):  # type: ignore[no-untyped-def]
    v = v + lr * (w - gamma) / nu
    gamma = kappa * _shrink(v)
    return torch.stack([w - kappa * lr * (slope + (w - gamma) / nu), v, gamma])


def _slow_weights(w, v, gamma, slope, kappa, nu, lr):  # type: ignore[no-untyped-def]
    _, v, gamma_new = _step(w, v, gamma, slope, kappa, nu, lr)
    return torch.stack([w - lr * (slope + (w - gamma) / nu), v, gamma_new])


def _wide_threshold(w, v, gamma, slope, kappa, nu, lr):  # type: ignore[no-untyped-def]
    w, v, _ = _step(w, v, gamma, slope, kappa, nu, lr)
    return torch.stack([w, v, _shrink(kappa * v)])


def _ratio(gram: Tensor, inside: Tensor) -> Tensor:
    ratio: Tensor = gram[~inside][:, inside] @ torch.linalg.inv(gram[inside][:, inside])
    return ratio


def _irr(C: Tensor, inside: Tensor, nu: float, how: str = "right") -> Tensor:
    """IRR(ν) for D = I from the Gram matrix C, and the ways to get it wrong."""
    eye = torch.eye(len(C), dtype=C.dtype)
    gram = eye - torch.linalg.inv(nu * C + eye)
    if how == "tight":
        gram = C
    if how == "ridge":
        gram = C + eye / nu
    if how == "spring":
        gram = torch.linalg.inv(nu * C + eye)
    ratio = _ratio(gram, inside)
    if how == "no inverse":
        ratio = gram[~inside][:, inside]
    return ratio.abs().sum(0 if how == "columns" else 1).max()


def _pieces(beta: Tensor, jumps: Tensor) -> Tensor:
    """Replace each piece by its mean; ``jumps[i]`` says that a piece ends between i and i + 1."""
    label = torch.cat([torch.zeros(1, dtype=torch.long), jumps.long().cumsum(0)])
    total = torch.zeros(int(label[-1]) + 1, dtype=beta.dtype).index_add(0, label, beta)
    means: Tensor = total / torch.bincount(label)
    return means[label]


def _first_values(beta: Tensor, jumps: Tensor) -> Tensor:
    label = torch.cat([torch.zeros(1, dtype=torch.long), jumps.long().cumsum(0)])
    starts = torch.cat([torch.ones(1, dtype=torch.bool), jumps])
    return beta[starts][label]


def _shifted(beta: Tensor, jumps: Tensor) -> Tensor:
    return _pieces(beta, torch.cat([jumps[1:], jumps[:1]]))


_A = torch.tensor([3.0, -0.5, 1.0], dtype=torch.float64)
_B = torch.tensor([1.5, -1.2, 0.4], dtype=torch.float64)
_C = torch.tensor([2.0, -0.6, 0.0], dtype=torch.float64)
_S = torch.tensor([4.0, -1.0, 0.5], dtype=torch.float64)
_GRAM = torch.tensor([[1.0, 0.1, 0.6], [0.1, 1.2, 0.5], [0.6, 0.5, 1.5]], dtype=torch.float64)
_IN = torch.tensor([True, True, False])
_BETA = torch.tensor([1.0, 2.0, 6.0, 7.0, 8.0, -1.0], dtype=torch.float64)
_JUMPS = torch.tensor([False, True, False, False, True])

EXERCISES: dict[str, Exercise] = {
    "split step": Exercise(
        _step,
        [(_A, _B, _C, _S, 2.0, 4.0, 0.5), (_C + 1, 2 * _B, _A, -_S, 5.0, 0.7, 0.1)],
        [
            (
                "You moved w first and then used the new w in v. Both updates take the old w and "
                "the old gamma: compute the gap once, before anything moves.",
                _weights_first,
            ),
            (
                "You computed the new gamma first and let it pull on w. The pull on w is that of "
                "the old gamma: compute the gap once, before anything moves.",
                _gamma_first,
            ),
            (
                "The step of w is kappa times lr; yours is lr. With it the dense copy is too slow "
                "to settle while the sparse copy waits.",
                _slow_weights,
            ),
            (
                "You shrink kappa v by 1. Gamma is kappa times the shrunken v: the threshold is "
                "on v, at 1, whatever kappa is.",
                _wide_threshold,
            ),
        ],
    ),
    "split condition": Exercise(
        _irr,
        [(_GRAM, _IN, 2.0), (_GRAM, ~_IN, 0.5)],
        [
            (
                "This is the condition of the LASSO, the limit ν → 0. The split replaces C by "
                "I − (νC + I)⁻¹.",
                lambda C, inside, nu: _irr(C, inside, nu, "tight"),
            ),
            (
                "This is C + I/ν, the Gram matrix of ridge regression. The β is eliminated, not "
                "regularized: Σ = I − (νC + I)⁻¹.",
                lambda C, inside, nu: _irr(C, inside, nu, "ridge"),
            ),
            (
                "This is (νC + I)⁻¹, what the spring takes away. Σ is the identity minus it.",
                lambda C, inside, nu: _irr(C, inside, nu, "spring"),
            ),
            (
                "The inverse of Σ on the support is missing: it undoes what the true rows say "
                "about each other.",
                lambda C, inside, nu: _irr(C, inside, nu, "no inverse"),
            ),
        ],
    ),
    "means of pieces": Exercise(
        _pieces,
        [(_BETA, _JUMPS), (_BETA, torch.ones(5, dtype=torch.bool)), (_BETA, ~_JUMPS)],
        [
            (
                "You kept the first value of each piece. The nearest piecewise constant vector "
                "has the mean of each piece.",
                _first_values,
            ),
            (
                "You set to zero what lies between jumps. A zero of gamma says that neighbors are "
                "equal, not that they vanish.",
                lambda beta, jumps: beta * torch.cat([jumps, jumps[-1:]]),
            ),
            (
                "Your pieces are cut one place too early: jumps[i] separates the entries i and "
                "i + 1.",
                _shifted,
            ),
            (
                "This is the mean of everything; each piece has its own.",
                lambda beta, jumps: beta.mean().expand(len(beta)),
            ),
        ],
    ),
}
