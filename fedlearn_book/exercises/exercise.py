"""What an exercise is: a right answer, cases to compare on, and the usual mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Exercise(NamedTuple):
    """``answer`` on ``cases``, and what is wrong with each of the usual ``mistakes``."""

    answer: Callable[..., Any]
    cases: list[tuple[Any, ...]]
    mistakes: list[tuple[str, Callable[..., Any]]]
