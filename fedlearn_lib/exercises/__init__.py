"""Checkers of the book's code exercises: they say what is wrong and which thought leads there.

Each exercise is a right answer, the inputs on which an attempt is compared with it, and the
mistakes that students really make, each with the sentence that takes it apart.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import torch
from torch import Tensor

from fedlearn_lib.exercises.exercise import Exercise

TOPICS = tuple(import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__))
EXERCISES: dict[str, Exercise] = {
    name: exercise for topic in TOPICS for name, exercise in getattr(topic, "EXERCISES", {}).items()
}


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
