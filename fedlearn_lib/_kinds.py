"""What an annotation asks of a value: a test, and words for it."""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib._checks import is_integer, is_number


class Kind(NamedTuple):
    """``fits`` is the test; ``words`` follow "must be" in an error."""

    fits: Callable[[Any], bool]
    words: str


ANYTHING = Kind(lambda v: True, "anything")
SIMPLE: dict[Any, Kind] = {
    Any: ANYTHING,
    float: Kind(is_number, "a number"),
    int: Kind(is_integer, "an integer"),
    bool: Kind(lambda v: isinstance(v, (bool, np.bool_)), "True or False"),
    str: Kind(lambda v: isinstance(v, str), "a string"),
    Tensor: Kind(
        lambda v: isinstance(v, Tensor) and v.layout is torch.strided,
        "a dense tensor",
    ),
    types.NoneType: Kind(lambda v: v is None, "None"),
    torch.Generator: Kind(
        lambda v: isinstance(v, torch.Generator),
        "a torch.Generator, such as torch.Generator().manual_seed(0)",
    ),
}


@cache
def kinds_of(declared: Any) -> dict[str, Kind]:
    """Return the kind of every annotated argument of a function, or field of a named tuple.

    >>> def half(steps: int, names: list[str] | None = None) -> float: ...
    >>> {name: kind.words for name, kind in kinds_of(half).items()}
    {'steps': 'an integer', 'names': 'a list, each item a string, or None'}
    """
    hints = typing.get_type_hints(declared)
    kinds = {name: kind_of(hint) for name, hint in hints.items() if name != "return"}
    return {name: kind for name, kind in kinds.items() if kind is not ANYTHING}


def kind_of(hint: Any) -> Kind:
    """Return what one annotation asks for; what nobody can test at run time is anything."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint in SIMPLE:
        return SIMPLE[hint]
    if origin in (typing.Union, types.UnionType):
        return _any_of([kind_of(one) for one in inside])
    if origin is typing.Literal:
        return Kind(lambda v: isinstance(v, str) and v in inside, f"one of {inside}")
    if origin is collections.abc.Callable:
        return Kind(callable, "a function")
    if origin in (dict, collections.abc.Mapping):
        return _dict_of(kind_of(inside[1]))
    if origin is tuple:
        return _tuple_of([kind_of(one) for one in inside if one is not ...], ... in inside)
    if origin is list:
        return _list_of(kind_of(inside[0]))
    record = hasattr(origin, "_fields")
    if isinstance(origin, type) and issubclass(origin, Iterable) and not record:
        return Kind(_is_iterable, f"a {origin.__name__.lower()}, such as a list")
    if isinstance(origin, type):
        return _instance_of(origin)
    runtime = getattr(hint, "_is_runtime_protocol", False)
    if (getattr(hint, "_is_protocol", False) and not runtime) or not isinstance(hint, type):
        return ANYTHING
    return _record_of(hint) if hasattr(hint, "_fields") else _instance_of(hint)


def _instance_of(hint: type) -> Kind:
    return Kind(lambda v: isinstance(v, hint), f"a {hint.__name__}")


def _record_of(hint: Any) -> Kind:
    def fits(v: Any) -> bool:
        return isinstance(v, hint) and all(
            kind.fits(getattr(v, name)) for name, kind in kinds_of(hint).items()
        )

    return Kind(fits, f"a {hint.__name__} whose {', '.join(hint._fields)} are what it says")


def _any_of(kinds: list[Kind]) -> Kind:
    if ANYTHING in kinds:
        return ANYTHING
    return Kind(lambda v: any(k.fits(v) for k in kinds), ", or ".join(k.words for k in kinds))


def _dict_of(item: Kind) -> Kind:
    def fits(v: Any) -> bool:
        return isinstance(v, dict) and all(
            isinstance(name, str) and item.fits(leaf) for name, leaf in v.items()
        )

    return Kind(fits, f"a dict by name, each value {item.words}")


def _list_of(item: Kind) -> Kind:
    def fits(v: Any) -> bool:
        return isinstance(v, (list, tuple)) and all(item.fits(one) for one in v)

    return Kind(fits, f"a list, each item {item.words}")


def _tuple_of(items: list[Kind], more: bool) -> Kind:
    def fits(v: Any) -> bool:
        if not isinstance(v, tuple) or (len(v) != len(items) and not more):
            return False
        return all((items[0] if more else items[i]).fits(one) for i, one in enumerate(v))

    words = ", ".join(item.words for item in items)
    return Kind(fits, f"a tuple of {words}{' and so on' if more else ''}")


SIMPLE[dict[str, Tensor]] = Kind(
    _dict_of(SIMPLE[Tensor]).fits, "a dict of dense tensors by name, as parameters_of(model) gives"
)

SIMPLE[tuple[Tensor, Tensor]] = Kind(
    _tuple_of([SIMPLE[Tensor]] * 2, more=False).fits, "a pair (x, y) of dense tensors"
)


def _is_iterable(value: Any) -> bool:
    return (
        hasattr(value, "__iter__")
        and not isinstance(value, (str, dict))
        and getattr(value, "ndim", 1) > 0
    )
