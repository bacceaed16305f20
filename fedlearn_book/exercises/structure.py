"""Exercises on cutting units out of a network, on what it saves, and on overlaps by chance."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _absorb(K: Tensor, bias: Tensor, b: Tensor) -> Tensor:
    return bias + torch.einsum("ojuv,j->o", K, b.clamp(min=0))


def _remaining(sizes: Tensor, shares: Tensor) -> Tensor:
    kept = sizes * shares
    return (kept[1:] * kept[:-1]).sum() / (sizes[1:] * sizes[:-1]).sum()


def _surprise(n: Tensor, k: Tensor, other: Tensor, both: Tensor) -> Tensor:
    return (both.sum() - (k * other / n).sum()) / _variances(n, k, other).sum().sqrt()


def _variances(n: Tensor, k: Tensor, other: Tensor) -> Tensor:
    return k * other * (n - k) * (n - other) / (n**2 * (n - 1))


def _pooled(n: Tensor, k: Tensor, other: Tensor, both: Tensor) -> Tensor:
    return _surprise(*(v.sum()[None] for v in (n, k, other, both)))


def _f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


_K = torch.arange(24, dtype=torch.float64).reshape(2, 3, 2, 2) / 10 - 1
_SIZES, _SHARES = _f64(100, 60, 40, 10), _f64(1, 0.5, 0.25, 1)

EXERCISES: dict[str, Exercise] = {
    "absorbed bias": Exercise(
        _absorb,
        [(_K, _f64(0.5, -1), _f64(1, 0, 2)), (2 * _K, _f64(0, 0), _f64(-1, 0.5, -0.2))],
        [
            (
                "A unit with bias b sends relu(b), not b: a negative bias sends nothing.",
                lambda K, bias, b: bias + torch.einsum("ojuv,j->o", K, b),
            ),
            (
                "The window sees the constant at each of its places: sum the kernel, do not "
                "average it.",
                lambda K, bias, b: bias + torch.einsum("oj,j->o", K.mean((2, 3)), b.clamp(min=0)),
            ),
            (
                "The listeners keep the bias that they had; add to it.",
                lambda K, bias, b: _absorb(K, 0 * bias, b),
            ),
            (
                "That is the first place of the kernel alone; the constant reaches all of them.",
                lambda K, bias, b: bias + torch.einsum("oj,j->o", K[:, :, 0, 0], b.clamp(min=0)),
            ),
        ],
    ),
    "remaining work": Exercise(
        _remaining,
        [(_SIZES, _SHARES), (_f64(8, 8, 8), _f64(1, 0.5, 1)), (_f64(4, 9, 2), _f64(1, 1, 1))],
        [
            (
                "A layer loses its outputs and its inputs: its work goes with the product of the "
                "shares on both of its sides.",
                lambda n, p: (n[1:] * n[:-1] * p[1:]).sum() / (n[1:] * n[:-1]).sum(),
            ),
            (
                "The share on the input side is that of the layer before, which may be another "
                "one; you squared the layer's own.",
                lambda n, p: (n[1:] * n[:-1] * p[1:] ** 2).sum() / (n[1:] * n[:-1]).sum(),
            ),
            (
                "Layers differ in size: add up their work before you divide, a mean of the "
                "shares counts a small layer like a large one.",
                lambda n, p: (p[1:] * p[:-1]).mean(),
            ),
            (
                "This is the work that is left, in multiply-adds; asked is its share.",
                lambda n, p: (n * p)[1:] @ (n * p)[:-1],
            ),
        ],
    ),
    "surprise": Exercise(
        _surprise,
        [
            (_f64(8, 16, 32), _f64(5, 8, 15), _f64(5, 8, 15), _f64(4, 6, 13)),
            (_f64(6, 20), _f64(6, 4), _f64(6, 4), _f64(6, 1)),
        ],
        [
            (
                "You pooled the layers. Two masks with the same number of units in each layer "
                "agree more often than that by chance; add up the layers' means and variances.",
                _pooled,
            ),
            (
                "Variances add, standard deviations do not: sum the variances, then the root.",
                lambda n, k, o, both: (
                    (both.sum() - (k * o / n).sum()) / _variances(n, k, o).sqrt().sum()
                ),
            ),
            (
                "This is the binomial variance, for units drawn with replacement. A mask takes a "
                "unit once: the variance has the factor (n − l)/(n − 1) instead of 1.",
                lambda n, k, o, both: (
                    (both.sum() - (k * o / n).sum()) / (o * (k / n) * (1 - k / n)).sum().sqrt()
                ),
            ),
            (
                "This is the excess over chance, in units; divide it by its standard deviation.",
                lambda n, k, o, both: both.sum() - (k * o / n).sum(),
            ),
        ],
    ),
}
