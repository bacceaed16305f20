"""Checkers of the book's code exercises: they say what is wrong and which thought leads there.

Each exercise is a right answer, the inputs on which an attempt is compared with it, and the
mistakes that students really make, each with the sentence that takes it apart.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise
from fedlearn_book.exercises.grading import alone

__all__ = ["EXERCISES", "Exercise", "alone", "check"]

TOPICS = tuple(import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__))
EXERCISES: dict[str, Exercise] = {
    name: exercise for topic in TOPICS for name, exercise in getattr(topic, "EXERCISES", {}).items()
}


def check(name: str, attempt: Callable[..., Any], *, strict: bool = False) -> bool | None:
    """Compare ``attempt`` with the answer of the exercise ``name`` and print what was found.

    With ``strict=True``, for graders: return ``True`` if it is right, and raise an
    ``AssertionError`` with the explanation if it is not. An exercise of your own is an entry of
    ``EXERCISES``; the page for teachers has an example.

    >>> check("client weights", lambda n: n / n.sum())
    Right: "client weights" agrees with the answer on all 2 cases.
    >>> check("client weights", lambda n: torch.ones(len(n)) / len(n))
    Not yet. These are equal weights: a client with ten samples would count as much as one
    with a thousand. Divide each size by the total.
    """
    complaint = _complaint(name, attempt)
    if complaint and strict:
        raise AssertionError(textwrap.fill(f"Not yet. {complaint}", 88))
    cases = len(EXERCISES[name].cases)
    right = f'Right: "{name}" agrees with the answer on all {cases} cases.'
    print(textwrap.fill(f"Not yet. {complaint}" if complaint else right, 88))
    return True if strict else None  # a notebook would show it below the words


def _complaint(name: str, attempt: Callable[..., Any]) -> str:
    """Return what is wrong with an attempt, nothing if it is right."""
    if not isinstance(name, str) or name not in EXERCISES:
        near = get_close_matches(str(name), EXERCISES) or sorted(EXERCISES)
        raise ValueError(f"name must be that of an exercise, got {name!r}; take one of {near}")
    if not callable(attempt):
        raise ValueError(
            f"attempt must be your function, got {type(attempt).__name__}; pass it without calling "
            "it"
        )
    exercise = EXERCISES[name]
    for number, case in enumerate(exercise.cases, start=1):
        wanted = torch.as_tensor(exercise.answer(*case))
        copies = tuple(part.clone() if isinstance(part, Tensor) else part for part in case)
        answer = attempt(*copies)
        slip = _changed(copies, case) or _unlike(answer, wanted)
        if slip:
            return slip
        found = _numbers(answer)
        if _close(found, wanted):
            continue
        for explanation, wrong in exercise.mistakes:
            if _close(found, wrong(*case)) and not _close(wrong(*case), wanted):
                return explanation
        return (
            f"On case {number} the answer is {_short(wanted)}, yours is {_short(found)}. "
            "Work the case by hand before you change the code."
        )
    return ""


def _changed(copies: tuple[Any, ...], case: tuple[Any, ...]) -> str:
    """Say which argument an attempt has changed in place."""
    for number, (now, before) in enumerate(zip(copies, case, strict=True), start=1):
        if isinstance(before, Tensor) and not torch.equal(now, before):
            return f"Your function changes its argument number {number} in place; make a copy."
    return ""


def _unlike(answer: Any, wanted: Tensor) -> str:
    """Say what is wrong with the kind or the shape of an answer."""
    if answer is None or answer is Ellipsis:
        return "Your function returns nothing; end it with `return` and a value."
    right = tuple(wanted.shape)
    needed = f"return a tensor of shape {right}" if right else "return one number"
    found = _numbers(answer)
    if found is None:
        return f"Your function returns {_kind(answer)}; {needed}."
    if found.is_complex():
        return f"Your function returns complex numbers; {needed} without an imaginary part."
    if found.layout != torch.strided:
        return f"Your function returns a sparse tensor; {needed} that is dense."
    shape = tuple(found.shape)
    return f"The answer has shape {right}, yours has shape {shape}." if shape != right else ""


def _numbers(answer: Any) -> Tensor | None:
    """Return an answer as a tensor, ``None`` if it does not hold numbers."""
    try:
        return torch.as_tensor(answer).detach()
    except (RuntimeError, TypeError, ValueError):
        return None


def _kind(answer: Any) -> str:
    if answer is NotImplemented:
        return "NotImplemented"
    name = type(answer).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _close(a: Any, b: Any) -> bool:
    a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    return a.shape == b.shape and bool(torch.isclose(a, b, rtol=1e-5, atol=1e-7).all())


def _short(value: Any) -> str:
    flat = torch.as_tensor(value).double().flatten()[:4].tolist()
    return ", ".join(f"{v:.4g}" for v in flat)
