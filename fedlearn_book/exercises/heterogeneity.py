"""Exercises on the measures of heterogeneity."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise
from fedlearn_book.exercises.quadratics import P, W


def _dissimilarity(gradients: Tensor, p: Tensor) -> Tensor:
    return (p @ (gradients - p @ gradients).square().sum(1)).sqrt()


def _equal_counts(laws: Tensor, n: int) -> Tensor:
    """n samples for every row of laws, split by largest remainder: [m C]."""
    exact = n * laws
    counts = exact.floor()
    for row, gap in zip(counts, exact - counts, strict=True):
        missing = n - int(row.sum())
        row[gap.argsort(descending=True, stable=True)[:missing]] += 1
    return counts


_LAWS = (torch.tensor([0.5, 0.4, 0.1, 0.0]), torch.tensor([0.1, 0.2, 0.3, 0.4]))

EXERCISES: dict[str, Exercise] = {
    "total variation": Exercise(
        lambda p, q: 0.5 * (p - q).abs().sum(),
        [_LAWS, (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))],
        [
            (
                "The factor ½ is missing: two laws that never agree are at distance 1, yours "
                "says 2.",
                lambda p, q: (p - q).abs().sum(),
            ),
            (
                "You took the class with the largest gap. An event may hold several classes: "
                "collect all those where p is larger, which gives half of the sum.",
                lambda p, q: (p - q).abs().max(),
            ),
            (
                "You squared the gaps; that is half of a squared Euclidean distance and small "
                "differences nearly vanish in it. Use absolute values.",
                lambda p, q: 0.5 * (p - q).square().sum(),
            ),
            (
                "The signs are still there, so the sum is always zero. Take absolute values.",
                lambda p, q: 0.5 * (p - q).sum(),
            ),
        ],
    ),
    "wasserstein on a line": Exercise(
        lambda x, y: (x.sort().values - y.sort().values).abs().mean(),
        [
            (torch.tensor([0.0, 3.0, 1.0]), torch.tensor([5.0, 8.0, 6.5])),
            (torch.tensor([0.0, 4.0, 2.0]), torch.tensor([1.0, 1.5, 3.0])),
        ],
        [
            (
                "You paired the samples in the order in which they came. The cheapest pairing on "
                "a line joins smallest to smallest: sort both first.",
                lambda x, y: (x - y).abs().mean(),
            ),
            (
                "This is the distance of the means. It is a lower bound, and it is blind to "
                "spread: sort, pair, and average the absolute gaps.",
                lambda x, y: (x.mean() - y.mean()).abs(),
            ),
            (
                "You summed the gaps. Each sample carries mass 1/n: take the mean.",
                lambda x, y: (x.sort().values - y.sort().values).abs().sum(),
            ),
            (
                "This is the quadratic distance W₂; W₁ averages the absolute gaps.",
                lambda x, y: (x.sort().values - y.sort().values).square().mean().sqrt(),
            ),
        ],
    ),
    "gradient dissimilarity": Exercise(
        _dissimilarity,
        [(W, P), (torch.tensor([[1.0, 0.0], [-3.0, 2.0]]), torch.tensor([0.75, 0.25]))],
        [
            (
                "You returned γ², the mean squared gap; γ_G is its square root.",
                lambda g, p: _dissimilarity(g, p) ** 2,
            ),
            (
                "You left the weights out: the mean gradient and the mean gap both use p.",
                lambda g, p: _dissimilarity(g, torch.full_like(p, 1 / len(p))),
            ),
            (
                "This is the root mean square of the gradients themselves. Subtract their mean "
                "first: clients that all point the same way are not different.",
                lambda g, p: (p @ g.square().sum(1)).sqrt(),
            ),
            (
                "You averaged the norms; the definition averages the squared norms and takes the "
                "root.",
                lambda g, p: p @ (g - p @ g).norm(dim=1),
            ),
            (
                "The mean gradient is unweighted; it is the gradient of f only with the weights p.",
                lambda g, p: (p @ (g - g.mean(0)).square().sum(1)).sqrt(),
            ),
        ],
    ),
    "equal counts": Exercise(
        _equal_counts,
        [
            (torch.tensor([[0.5, 0.25, 0.25], [0.34, 0.33, 0.33]], dtype=torch.float64), 7),
            (torch.tensor([[0.1, 0.2, 0.7]], dtype=torch.float64), 200),
        ],
        [
            (
                "Each count is rounded by itself, so a client may end with one sample more or "
                "less than n. Round down, then give the missing samples to the largest remainders.",
                lambda laws, n: (n * laws).round(),
            ),
            (
                "You rounded down and stopped: the samples that are missing up to n belong to the "
                "classes with the largest remainders.",
                lambda laws, n: (n * laws).floor(),
            ),
            (
                "These are n times the law, and nobody owns half an image. Make them whole numbers "
                "with sum n.",
                lambda laws, n: n * laws,
            ),
        ],
    ),
}
