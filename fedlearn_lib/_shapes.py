"""Shapes as the docstrings write them, ``"n p"`` or ``"K …"``, and numbers that are finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

SPARSE = ", sparse"
Seen = dict[str, tuple[str, Any, torch.Size]]  # axis: who had it first, its size, that shape


def check_shapes(shapes: dict[str, str], given: dict[str, Any], *, finite: bool = True) -> None:
    """Refuse tensors of other shapes: axes of one name have one size, ``…`` are any axes.

    The shape of a named tuple is that of each of its tensors. Only a shape that ends in
    ``, sparse`` lets a sparse tensor pass.

    >>> check_shapes({"w": "K …", "v": "K …"}, {"w": torch.ones(3, 2), "v": torch.ones(3)})
    Traceback (most recent call last):
    ValueError: v must be [K …] with the axes [3, 2] of w, got [3]; reshape or replace one of them
    """
    seen: Seen = {}
    for name, shape in shapes.items():
        value = given.get(name)
        for field in getattr(value, "_fields", ()):
            _check_tensor(f"{name}.{field}", getattr(value, field), shape, seen, finite)
        _check_tensor(name, value, shape, seen, finite)


def _check_tensor(name: str, value: Any, shape: str, seen: Seen, finite: bool) -> None:
    if not isinstance(value, Tensor):
        return
    axes, sizes = shape.removesuffix(SPARSE).split(), list[Any](value.shape)
    if axes[-1] == "…" and len(sizes) >= len(axes) - 1:
        sizes[len(axes) - 1 :] = [sizes[len(axes) - 1 :]]
    pairs = dict(zip(axes, sizes, strict=False))
    other = next((seen[a] for a, size in pairs.items() if a in seen and seen[a][1] != size), None)
    if len(sizes) != len(axes) or other:
        known = f" with the axes {list(other[2])} of {other[0]}" if other else ""
        raise ValueError(
            f"{name} must be [{' '.join(axes)}]{known}, got {list(value.shape)}; reshape or "
            f"replace {'one of them' if other else 'it'}"
        )
    seen |= {axis: (name, size, value.shape) for axis, size in pairs.items() if axis not in seen}
    if value.is_sparse and not shape.endswith(SPARSE):
        raise ValueError(f"{name} must be dense, got {shown(value)}; use {name}.to_dense()")
    if finite:
        _check_numbers(name, value)


def _check_numbers(name: str, value: Tensor) -> None:
    if not value.is_floating_point() or value.is_meta or value.numel() == 0:
        raise ValueError(f"{name} must hold real floats, got {shown(value)}; use {name}.double()")
    value = value.detach().coalesce().values() if value.is_sparse else value.detach()
    if bool(torch.isfinite(value.sum())):  # one pass; the masks below take four
        return
    wrong = ~torch.isfinite(value)
    if bool(wrong.any()):
        raise ValueError(
            f"{name} must be finite, got {int(wrong.sum())} NaN or infinite entries; compute it "
            "again without them"
        )


def floats(name: str, value: Any) -> Any:
    """Make arrays and lists tensors, and whole numbers floats; leave all else to the checks."""
    if isinstance(value, (np.ndarray, list)):
        try:
            value = torch.as_tensor(value)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"{name} must be a tensor, got {shown(value)}: {error}") from error
    whole = isinstance(value, Tensor) and not value.is_floating_point() and not value.is_complex()
    return value.double() if whole else value


def shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}, {value.dtype} on {value.device}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}, {value.dtype}"
    if isinstance(value, dict) and value:
        items = [f"{name!r}: {shown(item)}" for name, item in list(value.items())[:3]]
        return f"a dict of {len(value)}, {{{', '.join(items)}{', …' if len(value) > 3 else ''}}}"
    text = " ".join(repr(value).split())
    return text if len(text) < 80 else f"{type(value).__name__} {text[:60]} …"
