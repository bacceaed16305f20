"""Checkers of the book's code exercises: they say what is wrong and which thought leads there.

Each exercise is a right answer, the inputs on which an attempt is compared with it, and the
mistakes that students really make, each with the sentence that takes it apart.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Exercise(NamedTuple):
    """``answer`` on ``cases``, and what is wrong with each of the usual ``mistakes``."""

    answer: Callable[..., Any]
    cases: list[tuple[Any, ...]]
    mistakes: list[tuple[str, Callable[..., Any]]]


def check(name: str, attempt: Callable[..., Any]) -> None:
    """Compare ``attempt`` with the answer of the exercise ``name`` and print what was found.

    >>> check("client weights", lambda n: n / n.sum())
    Right: "client weights" agrees with the answer on all 2 cases.
    >>> check("client weights", lambda n: torch.ones(len(n)) / len(n))
    Not yet. These are equal weights: a client with ten samples would count as much as one
    with a thousand. Divide each size by the total.
    """
    print(textwrap.fill(_verdict(name, attempt), 88))


def _verdict(name: str, attempt: Callable[..., Any]) -> str:
    if name not in EXERCISES:
        raise ValueError(f"name must be one of {sorted(EXERCISES)}, got {name!r}")
    exercise = EXERCISES[name]
    for number, case in enumerate(exercise.cases, start=1):
        found, wanted = _answer(attempt, case), exercise.answer(*case)
        complaint = _shape_complaint(found, wanted)
        if complaint:
            return f"Not yet. {complaint}"
        if _close(found, wanted):
            continue
        for explanation, wrong in exercise.mistakes:
            if _close(found, wrong(*case)) and not _close(wrong(*case), wanted):
                return f"Not yet. {explanation}"
        return (
            f"Not yet. On case {number} the answer is {_short(wanted)}, yours is {_short(found)}. "
            "Work the case by hand before you change the code."
        )
    return f'Right: "{name}" agrees with the answer on all {len(exercise.cases)} cases.'


def _answer(attempt: Callable[..., Any], case: tuple[Any, ...]) -> Any:
    copies = tuple(part.clone() if isinstance(part, Tensor) else part for part in case)
    found = attempt(*copies)
    changed = [
        i for i, (a, b) in enumerate(zip(copies, case, strict=True))
        if isinstance(b, Tensor) and not torch.equal(a, b)
    ]  # fmt: skip
    if changed:
        return f"Your function changes its argument number {changed[0] + 1} in place; make a copy."
    return found


def _shape_complaint(found: Any, wanted: Any) -> str:
    if found is None or found is Ellipsis:
        return "Your function returns nothing; end it with `return` and a value."
    if isinstance(found, str):
        return found
    shape, right = tuple(torch.as_tensor(found).shape), tuple(torch.as_tensor(wanted).shape)
    return f"The answer has shape {right}, yours has shape {shape}." if shape != right else ""


def _close(a: Any, b: Any) -> bool:
    a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    return a.shape == b.shape and bool(torch.isclose(a, b, rtol=1e-5, atol=1e-7).all())


def _short(value: Any) -> str:
    flat = torch.as_tensor(value).double().flatten()[:4].tolist()
    return ", ".join(f"{v:.4g}" for v in flat)


def _local_map(A: Tensor, eta: float, tau: int) -> Tensor:
    """I − (I − ηA_i)^τ for every client: [m d d]."""
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    left: Tensor = torch.linalg.matrix_power(eye - eta * A, tau)
    return eye - left


def _entrywise_map(A: Tensor, eta: float, tau: int) -> Tensor:
    """The same with the power taken entry by entry, which is wrong."""
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    return eye - (eye - eta * A) ** tau


def _weighted_solve(M: Tensor, w: Tensor, p: Tensor) -> Tensor:
    """(Σ p_i M_i)⁻¹ Σ p_i M_i w_i."""
    left, right = torch.einsum("i,iab->ab", p, M), torch.einsum("i,iab,ib->a", p, M, w)
    solution: Tensor = torch.linalg.solve(left, right)
    return solution


def _fixed_point(A: Tensor, w: Tensor, p: Tensor, eta: float, tau: int) -> Tensor:
    return _weighted_solve(_local_map(A, eta, tau), w, p)


def _rate(A: Tensor, p: Tensor, eta: float, tau: int) -> Tensor:
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    powers = torch.linalg.matrix_power(eye - eta * A, tau)
    norm: Tensor = torch.linalg.matrix_norm(torch.einsum("i,iab->ab", p, powers), 2)
    return norm


def _normalized_average(changes: Tensor, steps: Tensor, p: Tensor) -> Tensor:
    return (p @ steps) * (p / steps) @ changes


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


def _quadratics(seed: int, m: int = 3, d: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(m, d, d, generator=g, dtype=torch.float64)
    p = torch.rand(m, generator=g, dtype=torch.float64) + 0.5
    w = torch.randn(m, d, generator=g, dtype=torch.float64)
    return root @ root.mT / d + 0.3 * torch.eye(d, dtype=torch.float64), w, p / p.sum()


_A, _W, _P = _quadratics(0)
_LAWS = (torch.tensor([0.5, 0.4, 0.1, 0.0]), torch.tensor([0.1, 0.2, 0.3, 0.4]))
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
        _fixed_point,
        [(_A, _W, _P, 0.2, 5), (*_quadratics(1, m=4, d=3), 0.1, 20)],
        [
            (
                "This is the minimizer of f, where τ = 1 ends. With more local steps a client's "
                "pull is I − (I − ηA_i)^τ and no longer proportional to A_i.",
                lambda A, w, p, eta, tau: _weighted_solve(A, w, p),
            ),
            (
                "This is the plain weighted mean of the clients' minimizers, the limit τ → ∞. For "
                "finite τ a client does not arrive at w_i: weight w_i with I − (I − ηA_i)^τ.",
                lambda A, w, p, eta, tau: p @ w,
            ),
            (
                "The clients' weights p_i are missing in both sums.",
                lambda A, w, p, eta, tau: _fixed_point(A, w, torch.ones_like(p), eta, tau),
            ),
            (
                "You used (I − ηA_i)^τ, the part of the distance that is left; a client pulls "
                "with the part that is gone, I − (I − ηA_i)^τ.",
                lambda A, w, p, eta, tau: _weighted_solve(
                    torch.eye(A.shape[-1], dtype=A.dtype) - _local_map(A, eta, tau), w, p
                ),
            ),
            (
                "The power is taken entry by entry (`**`); use `torch.linalg.matrix_power`.",
                lambda A, w, p, eta, tau: _weighted_solve(_entrywise_map(A, eta, tau), w, p),
            ),
        ],
    ),
    "rate": Exercise(
        _rate,
        [(_A, _P, 0.2, 5), (*_quadratics(1)[::2], 0.1, 3)],
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
            (_W, torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64), _P),
            (2 * _W, torch.tensor([3.0, 3.0, 9.0], dtype=torch.float64), _P),
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
        [(_W, _P), (torch.tensor([[1.0, 0.0], [-3.0, 2.0]]), torch.tensor([0.75, 0.25]))],
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
