"""Max pooling spelled out for ``torch.compile``, whose own code for it takes half of LeNet's step.

Only windows that tile the image are spelled out; any other pooling stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Sides = Sequence[int]


def pooled(
    x: Tensor, size: Sides, stride: Sides = (), padding: Sides = (0,), dilation: Sides = (1,),
    ceil_mode: bool = False,
) -> Any:  # fmt: skip
    """Return the largest number of each k × k window of x [… h w] and its place in the image.

    Of several places the first, row after row, as ``torch`` has it; a NaN is the largest.
    """
    if not _tile(x, size, stride, padding, dilation):
        return NotImplemented  # leaves the operation as it is
    windows, places, (h, w) = _windows(x, size[0]), _places(x, size[0]), x.shape[-2:]
    largest = windows.amax(-1)
    first = places.where(~(windows < largest.unsqueeze(-1)), h * w).amin(-1)
    return largest, first


def spread(
    grad: Tensor, x: Tensor, size: Sides, stride: Sides, padding: Sides, dilation: Sides,
    ceil_mode: bool, places: Tensor,
) -> Any:  # fmt: skip
    """Return the derivative by x: each window's ``grad`` [… h/k w/k] at its place, zeros beside."""
    if not _tile(x, size, stride, padding, dilation):
        return NotImplemented  # leaves the operation as it is
    k = size[0]
    hit = _places(x, k) == places.unsqueeze(-1)
    windows = torch.where(hit, grad.unsqueeze(-1), 0.0)
    return windows.unflatten(-1, (k, k)).movedim(-2, -3).flatten(-2).flatten(-3, -2)


SPELLED_OUT: dict[torch._ops.OpOverload, Callable[..., Any]] = {
    torch.ops.aten.max_pool2d_with_indices.default: pooled,
    torch.ops.aten.max_pool2d_with_indices_backward.default: spread,
}


def _tile(x: Tensor, size: Sides, stride: Sides, padding: Sides, dilation: Sides) -> bool:
    """Whether square windows cover the image without gap, overlap or rest."""
    k = size[0]
    return (
        {*size, *stride} == {k}
        and not any(padding)
        and {*dilation} == {1}
        and not any(side % k for side in x.shape[-2:])
    )


def _windows(x: Tensor, k: int) -> Tensor:
    """Windows [… h/k w/k k²] of x [… h w]."""
    windows: Tensor = x.unflatten(-1, (-1, k)).unflatten(-3, (-1, k)).movedim(-3, -2).flatten(-2)
    return windows


def _places(x: Tensor, k: int) -> Tensor:
    """The number of each pixel, row after row, in the windows of an image [h/k w/k k²]."""
    h, w = x.shape[-2:]
    return _windows(torch.arange(h * w, device=x.device).view(h, w), k)
