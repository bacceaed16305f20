"""``@checked``: a public function refuses arguments that are not what its signature declares.

The annotations say the types, and the decorator says the shapes as the docstrings do:

>>> import torch
>>> @checked(X="n p", y="n")
... def share(X: Tensor, y: Tensor, *, kappa: float) -> float:
...     return kappa * len(y) / X.shape[1]
>>> share(torch.ones(4, 2), torch.ones(3), kappa=1.0)
Traceback (most recent call last):
ValueError: y must be [n] with the axes [4, 2] of X, got [3]; reshape or replace one of them
>>> share(torch.ones(4, 2), torch.ones(4), kappa="word")
Traceback (most recent call last):
ValueError: kappa must be a number, got 'word'; correct kappa

What types and shapes cannot say, a range or a choice, is checked in the body by ``_checks``.
A call costs a few microseconds more, so what runs inside of loops is not decorated.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from fedlearn_lib._kinds import Kind, kinds_of
from fedlearn_lib._shapes import SPARSE, check_shapes, floats, shown

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)
CONFUSED = (AttributeError, IndexError, KeyError, RuntimeError, TypeError)


def checked(**shapes: str) -> Callable[[F], F]:
    """Refuse what does not fit the annotations, or ``shapes``, which also asks for finite numbers.

    An argument with a shape is passed on as a tensor of floats: arrays, lists, integers will do.
    """
    return _checker(shapes)


def _checker(shapes: dict[str, str], *, numbers: bool = True) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        names, rest = _names(function)

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            if shapes:
                given |= {k: floats(k, given[k]) for k in shapes if k in given}
                args = (*(given[name] for name in names[: len(args)]), *args[len(names) :])
                kwargs = {name: given[name] for name in kwargs}
            kinds, sparse = kinds_of(function), {k for k, v in shapes.items() if v.endswith(SPARSE)}
            for name, value in given.items():
                if name not in sparse or not isinstance(value, Tensor):
                    _check_kind(kinds, name, value)
                    if numbers and name != "self":
                        _check_numbers(name, value)
            for value in args[len(names) :]:
                _check_kind(kinds, rest, value)
            check_shapes(shapes, given)
            return function(*args, **kwargs)

        return typing.cast("F", wrapper)

    return decorate


def checked_anywhere(function: F) -> F:
    """``@checked()`` for what works on tensors of every device, on meta too, which holds none."""
    return _checker({}, numbers=False)(function)


def checked_record(**shapes: str) -> Callable[[C], C]:
    """Refuse fields of a named tuple that do not fit its annotations or ``shapes``.

    >>> @checked_record(t="K", w="K …")
    ... class Track(typing.NamedTuple):
    ...     t: Tensor
    ...     w: Tensor
    >>> Track(3, 4)
    Traceback (most recent call last):
    ValueError: t must be a dense tensor, got 3; correct t
    """

    def decorate(record: C) -> C:
        make, names = record.__new__, record._fields  # type: ignore[attr-defined]

        @wraps(make)
        def new(cls: type, *args: Any, **kwargs: Any) -> Any:
            given, kinds = {**dict(zip(names, args, strict=False)), **kwargs}, kinds_of(record)
            for name, value in given.items():
                _check_kind(kinds, name, value)
            check_shapes(shapes, given, finite=False)
            made = make(cls, *args, **kwargs)
            if hasattr(made, "_check"):  # what types and shapes cannot say
                made._check()
            return made

        record.__new__ = new  # type: ignore[assignment]
        # _replace makes its tuple by _make, which would go around the checks
        record._make = classmethod(lambda cls, fields: cls(*fields))  # type: ignore[attr-defined]
        return record

    return decorate


def explained(function: F) -> F:
    """Let an error of a small function name its arguments; until there is one it costs nothing.

    For what loops call, on numbers and tensors alone: never around a caller's own function.

    >>> @explained
    ... def total(x: Tensor, y: Tensor) -> Tensor:
    ...     return x + y
    >>> import torch
    >>> total(torch.ones(2), torch.ones(3))
    Traceback (most recent call last):
    ValueError: x and y do not fit together: The size of tensor a (2) must match the size of ...
    """
    names = _names(function)[0]

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except CONFUSED as error:
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            given.pop("self", None)
            for name, value in given.items():
                _check_kind(kinds_of(function), name, value)
            many = "do not fit together" if len(given) > 1 else "does not fit"
            raise ValueError(f"{' and '.join(given)} {many}: {error}") from error

    return typing.cast("F", wrapper)


def _names(function: Callable[..., Any]) -> tuple[list[str], str]:
    """The positional arguments, and the name behind the star."""
    parameters = inspect.signature(function).parameters.values()
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD], rest


def _check_numbers(name: str, value: Any) -> None:
    """Refuse tensors on meta, which have no numbers, inside of dicts and tuples too."""
    leaves = value.values() if isinstance(value, dict) else value
    for leaf in leaves if isinstance(leaves, (tuple, type({}.values()))) else (value,):
        if isinstance(leaf, Tensor) and leaf.is_meta:
            raise ValueError(f"{name} must hold numbers, got {shown(leaf)}; load it first")


def _check_kind(kinds: dict[str, Kind], name: str, value: Any) -> None:
    if name in kinds and (not kinds[name].fits(value) or (type(value) is float and value != value)):
        array = isinstance(value, (np.ndarray, list)) and "a dense tensor" in kinds[name].words
        todo = f"use torch.as_tensor({name})" if array else f"correct {name}"
        raise ValueError(f"{name} must be {kinds[name].words}, got {shown(value)}; {todo}")
