"""Errors inside of functions that call what a caller passed, told in the names of here.

An error that the caller's own code raises comes out as it is. One that torch or this library
raises, at work on the arguments, names them:

>>> import torch
>>> @explained_call
... def score(criterion: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
...     return criterion(x, y)
>>> score(torch.nn.functional.l1_loss, torch.ones(2), 3)
Traceback (most recent call last):
ValueError: y must be a dense tensor, got 3; correct y
>>> score(torch.nn.functional.cross_entropy, torch.ones(2, 3), torch.ones(4))
Traceback (most recent call last):
ValueError: x and y do not fit together: Expected input batch_size (2) to match target ...

Until there is an error this costs nothing. It works under torch.func and torch.compile.
"""

from __future__ import annotations

import re
import traceback
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, TypeVar

from torch import Tensor

from fedlearn_lib._kinds import Kind, kind_of, kinds_of
from fedlearn_lib._shapes import shown

F = TypeVar("F", bound=Callable[..., Any])
#: Not their subclasses: memory that is used up, or a compiler that gives up, is no misfit.
LOST = (AssertionError, AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError,
        TypeError, ValueError)  # fmt: skip
OURS = ("torch", "fedlearn_lib")
#: What functions of this library pass on to each other, each under a name of its own.
PASSED = {"w", "v", "x", "y", "batch", "batches", "draws", "own", "messages"}
UNFIT = " do not fit together: "


def explained_call(function: F) -> F:
    """Let an error name the arguments of this call, unless a caller's own function raised it."""
    return _guarded(function, kinds_of(function))


def explained_result(factory: F) -> F:
    """The same for the function that comes back; the factory's annotation says what it takes.

    >>> @explained_result
    ... def mean_of(scale: float) -> Callable[[Tensor], Tensor]:
    ...     return lambda x: scale * x.mean()
    >>> mean_of(2.0)(None)
    Traceback (most recent call last):
    ValueError: x must be a dense tensor, got None; correct x
    """

    @wraps(factory)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        made = factory(*args, **kwargs)
        return _guarded(made, dict(zip(_names(made), _taken_by_result(factory), strict=True)))

    return typing.cast("F", wrapper)


@cache
def _taken_by_result(factory: Callable[..., Any]) -> list[Kind]:
    hints = typing.get_args(typing.get_type_hints(factory)["return"])[0]
    return [kind_of(hint) for hint in hints]


@contextmanager
def explained_as(**given: Any) -> Iterator[None]:
    """The same for a few lines: an error names these arguments."""
    try:
        yield
    except LOST as error:
        _explain(error, given, {})
        raise


def _guarded(function: F, kinds: dict[str, Kind]) -> F:
    names = _names(function)

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except LOST as error:
            if error.__traceback__ and error.__traceback__.tb_next:  # it was called, at least
                _explain(error, {**dict(zip(names, args, strict=False)), **kwargs}, kinds)
            raise

    return typing.cast("F", wrapper)


def _names(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


def _explain(error: Exception, given: dict[str, Any], kinds: dict[str, Kind]) -> None:
    """Raise an error that names what was given, if the fault can lie there."""
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    module = frame.f_globals.get("__name__", "").split(".")[0]
    if module not in OURS or type(error) not in LOST or "vmap" in str(error):
        return
    said = str(error)
    subject = re.findall(r"\w+", re.split(f" must |{UNFIT}", said, maxsplit=1)[0])
    told = isinstance(error, ValueError) and (" must " in said or UNFIT in said)
    if told and not PASSED.intersection(subject).difference(given):
        return
    for name, value in given.items():
        if name in kinds and not kinds[name].fits(value):
            raise ValueError(
                f"{name} must be {kinds[name].words}, got {shown(value)}; correct {name}"
            ) from error
        _check_leaves(name, value, error)
    trees = {k: v for k, v in given.items() if v is None or isinstance(v, (Tensor, dict, tuple))}
    trees = trees or given
    got = ", ".join(f"{name} {_brief(value)}" for name, value in trees.items())
    fresh = f"{said.rstrip('.')}; got {got}; make them fit"
    why = said.rpartition(UNFIT)[2] if UNFIT in said else fresh
    raise ValueError(f"{' and '.join(trees)}{UNFIT}{why}") from error


def _brief(value: Any) -> str:
    """Shapes and types of what may be many tensors."""
    if isinstance(value, Tensor):
        place = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{list(value.shape)} {value.dtype}{place}"
    if isinstance(value, dict):
        first = [f"{name}: {_brief(item)}" for name, item in list(value.items())[:4]]
        return f"{{{', '.join(first)}{', …' if len(value) > 4 else ''}}}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_brief, value))})"
    return shown(value)


def _check_leaves(name: str, value: Any, error: Exception) -> None:
    """Refuse parameters that no model holds: integers, or leaves of several types or devices."""
    leaves = list(value.values()) if isinstance(value, dict) else []
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        return
    kinds = {(leaf.dtype, leaf.device) for leaf in leaves}
    if len(kinds) > 1 or not leaves[0].is_floating_point():
        raise ValueError(
            f"{name} must hold real floats of one type on one device, got "
            f"{', '.join(sorted(f'{dtype} on {device}' for dtype, device in kinds))}; convert them"
        ) from error
