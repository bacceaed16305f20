"""What ties the answer of an exercise to something that does not know it.

A tie takes what an answer found and the case, and returns two things that must be equal. It uses
the library's function, autograd, enumeration or a run of the algorithm, never the answer's formula.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

Pair = tuple[Any, Any]


class Tie(NamedTuple):
    """``equal(found, *case)`` returns what must be equal; ``fresh(generator)`` draws a case."""

    equal: Callable[..., Pair]
    fresh: Callable[[torch.Generator], tuple[Any, ...]]
    tolerance: float


TIES: dict[str, Tie] = {}


def tie(
    name: str, fresh: Callable[[torch.Generator], tuple[Any, ...]], tolerance: float = 1e-5
) -> Callable[[Callable[..., Pair]], Callable[..., Pair]]:
    def keep(equal: Callable[..., Pair]) -> Callable[..., Pair]:
        assert name not in TIES, f"{name} is tied twice"
        TIES[name] = Tie(equal, fresh, tolerance)
        return equal

    return keep


def normal(g: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=g, dtype=torch.float64)


def uniform(g: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=g, dtype=torch.float64)


def number(g: torch.Generator, low: float, high: float) -> float:
    return float(uniform(g, low, high))


def whole(g: torch.Generator, low: int, high: int) -> int:
    """One of low, …, high."""
    return int(torch.randint(low, high + 1, (), generator=g))


def shares(g: torch.Generator, *shape: int) -> Tensor:
    """Positive numbers whose last axis sums to one."""
    raw = uniform(g, 0.1, 1.0, *shape)
    return raw / raw.sum(-1, keepdim=True)
