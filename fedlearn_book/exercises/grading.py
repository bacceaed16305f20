"""For graded work: whether a function was written, or calls what the book has written."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any

SHELVES = {"fedlearn_lib", "fedlearn_book"}
PRIVATE = re.compile(r"\._|<")  # helpers and wrappers, which a student does not know by name


def alone(attempt: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``attempt`` such that a call that uses the library or the book's checkers fails.

    For tasks in which a function is to be written: each call of ``attempt`` is watched, whatever
    the name under which it reaches for a function of ``fedlearn_lib`` or ``fedlearn_book``, and
    raises an ``AssertionError`` that names the first of them. What ``attempt`` gets as an argument
    must not be of the library either. Students' code runs in the grader's process: this stops a
    shortcut, not somebody who means to break the test.

    >>> import torch
    >>> from fedlearn_lib.sparse.penalties import soft_threshold
    >>> alone(lambda v: v - v.clamp(-1, 1))(torch.tensor([3.0, 0.5]))
    tensor([2., 0.])
    >>> alone(lambda v: soft_threshold(v, 1.0))(torch.tensor([3.0, 0.5]))
    Traceback (most recent call last):
    ...
    AssertionError: Not yet. Your function calls fedlearn_lib.sparse.penalties.soft_threshold; here
    it is to be written without the library.
    """
    if not callable(attempt):
        raise ValueError(
            f"attempt must be your function, got {type(attempt).__name__}; pass it without calling "
            "it"
        )

    @wraps(attempt)
    def watched(*args: Any, **kwargs: Any) -> Any:
        called: list[tuple[str, str]] = []

        def watch(frame: FrameType, event: str, _: Any) -> None:
            place = str(frame.f_globals.get("__name__", ""))
            typed = frame.f_code.co_filename.startswith("<")  # into a doctest of the library, say
            if event == "call" and place.partition(".")[0] in SHELVES and not typed:
                called.append((place, frame.f_code.co_qualname))

        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            found = attempt(*args, **kwargs)
        finally:
            sys.setprofile(before)
        if called:
            names = (".".join(one) for one in called)
            known = (name for name in names if not PRIVATE.search(name))
            first = next(known, f"a function of {called[0][0]}")
            raise AssertionError(
                f"Not yet. Your function calls {first}; here it is to be written without the "
                "library."
            )
        return found

    return watched
