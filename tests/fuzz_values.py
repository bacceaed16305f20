"""Bad and odd values to put in the place of a valid one, by what the valid one is.

``replacements(value)`` yields triples: a short name of the kind, a function that makes the value,
and whether it may not be accepted: what can mean nothing here must be refused, not merely survived.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Triple = tuple[str, Callable[[], Any], bool]
HUGE = 10**12  # as a count of anything, more than any memory holds


class OwnError(Exception):
    """What a caller's own function raises; it has to come out as it is."""


def own_error(*args: Any, **kwargs: Any) -> Any:
    raise OwnError


PLAIN: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "word": lambda: "word",
    "list": list,
    "dict": dict,
    "object": object,
    "true": lambda: True,
    "minus": lambda: -1,
    "zero": lambda: 0,
    "half": lambda: 0.5,
    "huge": lambda: HUGE,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "float32": lambda: np.float32(0.5),
    "int64": lambda: np.int64(2),
    "array": lambda: np.array([0.5, 0.5]),
    "scalar": lambda: torch.tensor(0.5),
    "vector": lambda: torch.ones(2),
    "nothing": lambda: torch.empty(0),
    "meta": lambda: torch.empty(2, device="meta"),
}
FEW = {"none", "word", "list", "dict", "object", "true", "minus", "half", "nan", "array", "vector"}
OTHER = {torch.float64: torch.float32}
NUMBERS = {"minus", "zero", "half", "huge", "nan", "inf", "-inf", "float32", "int64"}
TENSORS = {"array", "scalar", "vector", "nothing", "meta"}
NOT_A_NUMBER = {"none", "word", "list", "dict", "object", "true", "nan"}


def replacements(value: Any) -> Iterator[Triple]:
    """Yield what may stand in the place of ``value``."""
    refused, number = _refused(value), isinstance(value, (int, float)) and value is not True
    for kind, make in PLAIN.items():
        if kind == "huge" and isinstance(value, float):
            continue  # a large number, not a large count
        if number or isinstance(value, Tensor) or kind in FEW:
            yield kind, make, kind in refused
    yield from _variants(value)


def _refused(value: Any) -> set[str]:
    """Return the plain kinds that mean nothing in the place of ``value``."""
    if isinstance(value, bool):
        return set(PLAIN) - {"true", "zero"}
    if isinstance(value, int):
        return NOT_A_NUMBER | {"half", "inf", "-inf", "float32", "array", "vector", "meta"}
    if isinstance(value, float):
        return NOT_A_NUMBER | {"array", "vector", "nothing", "meta"}
    if isinstance(value, Tensor):
        return (NOT_A_NUMBER | NUMBERS) - {"list"}
    if isinstance(value, dict):
        return set(PLAIN) - {"dict"}
    if isinstance(value, list):
        return {"none", "word", "dict", "object", "true", *NUMBERS, "scalar", "meta"}
    if isinstance(value, set):
        return {"none", "object", "true", *NUMBERS, *TENSORS}
    return set(PLAIN)


def _variants(value: Any) -> Iterator[Triple]:
    if isinstance(value, Tensor):
        yield from _tensors(value)
    elif isinstance(value, dict):
        yield from _dicts(value)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from _records(value)
    elif isinstance(value, (tuple, list)):
        yield from _sequences(value)
    elif isinstance(value, nn.Module):
        yield from _modules()
    elif isinstance(value, torch.optim.Optimizer):
        yield "sgd", lambda: torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1), True
    elif callable(value):
        yield from _functions(value)


def _tensors(x: Tensor) -> Iterator[Triple]:
    real = x.is_floating_point()
    yield "one axis more", lambda: x[None], False
    yield "no axis", lambda: x.flatten()[0], False
    yield "longer", lambda: torch.cat([x, x]) if x.ndim else x.expand(2), False
    yield "bool", lambda: x != 0, False
    yield "complex", lambda: x.to(torch.complex64), False
    yield "other float", lambda: x.to(OTHER.get(x.dtype, torch.float64)), False
    yield "integers", lambda: x.long() if real else x.to(torch.int32), False
    yield "on meta", lambda: x.to("meta"), False
    if real:
        yield "holds nan", lambda: _with(x, math.nan), False
        yield "holds inf", lambda: _with(x, math.inf), False
        yield "requires grad", lambda: x.clone().requires_grad_(), False
    else:
        yield "holds -1", lambda: _with(x, -1), False
        yield "holds huge", lambda: _with(x, 10**9), False
    if x.ndim:
        yield "shorter", lambda: x[:-1], False
        yield "empty", lambda: x[:0], False
        yield "sparse", lambda: x.to_sparse(), False
        yield "not contiguous", lambda: torch.stack([x, x], -1)[..., 0], False
    if x.ndim > 1:
        yield "transposed", lambda: x.transpose(0, 1), False
        yield "flat", lambda: x.flatten(), False
        yield "thin", lambda: x[..., :-1], False


def _with(x: Tensor, value: float) -> Tensor:
    """A copy whose first entry is ``value``."""
    x = x.clone(memory_format=torch.contiguous_format)
    x.view(-1)[0] = value
    return x


def _inner(value: Any, kept: set[str]) -> Iterator[Triple]:
    """Replacements of a part, without the long tail of plain kinds."""
    for kind, make, refused in replacements(value):
        if kind not in PLAIN or kind in kept:
            yield kind, make, refused


def _dicts(tree: dict[str, Any]) -> Iterator[Triple]:
    name, value = next(iter(tree.items()))
    rest = {k: v for k, v in tree.items() if k != name}
    yield "missing", lambda: rest, False
    yield "extra", lambda: {**tree, "extra": value}, False
    yield "misspelled", lambda: {**rest, name + "_": value}, False
    yield "numbered", lambda: {**rest, 3: value}, False
    for kind, make, _ in _inner(value, {"none", "word", "minus", "half", "array", "nan"}):
        yield f"first={kind}", (lambda make=make: {**rest, name: make()}), False


def _records(record: Any) -> Iterator[Triple]:
    """A named tuple with one field replaced, made by its own constructor, which may refuse."""
    for field, value in record._asdict().items():
        for kind, make, refused in _inner(value, {"none", "word", "object", "minus"}):
            known = record._field_defaults
            if not (kind == "none" and field in known and known[field] is None):
                make_it = lambda f=field, make=make: type(record)(**{**record._asdict(), f: make()})  # noqa: E731
                yield f"{field}={kind}", make_it, refused


def _sequences(items: Any) -> Iterator[Triple]:
    kind_of = type(items)
    yield "one less", lambda: items[:-1], False
    yield "one more", lambda: items + items[-1:], False
    yield "none inside", lambda: kind_of([*items[:-1], None]), True
    for i, item in enumerate(items[:3]):
        for kind, make, refused in _inner(item, {"word", "minus", "half", "huge", "nan", "object"}):
            make_it = lambda i=i, make=make: kind_of([*items[:i], make(), *items[i + 1 :]])  # noqa: E731
            yield f"[{i}]={kind}", make_it, refused and kind in {"word", "object", "nan"}


def _modules() -> Iterator[Triple]:
    yield "class", lambda: nn.Linear, True
    yield "no parameters", nn.ReLU, False
    yield "empty chain", nn.Sequential, False
    yield "linear", lambda: nn.Linear(4, 3), False
    yield "batch norm", lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), False
    yield "recurrent", lambda: nn.LSTM(4, 3), False


def _functions(function: Callable[..., Any]) -> Iterator[Triple]:
    yield "returns none", lambda: lambda *args, **kwargs: None, False
    yield "returns word", lambda: lambda *args, **kwargs: "word", False
    yield "returns vector", lambda: lambda *args, **kwargs: torch.zeros(7), False
    yield "returns number", lambda: lambda *args, **kwargs: 0.5, False
    yield "raises", lambda: own_error, False
