"""Filters entering: what a layer's filters look like as they enter the support one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from fedlearn_book.widgets import filters_still, frames
from fedlearn_book.widgets.hero import Hero

MAX_BYTES = 300_000
MAX_MOMENTS, MAX_FILTERS = 200, 128


class FiltersEntering(Hero):
    r"""Show a recorded run of :class:`fedlearn_lib.SplitLBI`; make it the last line of a cell.

    The reader drags the time and sees which filters are in the support and what they look like at
    that moment, the accuracy, and how much of every layer is in. With one input channel a filter
    is drawn as an image; with more, or where only norms were recorded, as a bar of its norm.

    Parameters
    ----------
    time : [K], increasing moments: epochs, steps, or path time; at most 200.
    filters : by layer, the recorded weights [K filters h w] or [K filters channels h w], or the
        norms of the filters [K filters].
    support : by layer, [K …], not zero where in; a mask or the recorded $\Gamma$. The layers of
        ``filters`` and others, which only appear in the shares. Of a layer of ``filters`` the
        second axis counts the filters, and one is in if any of its entries is.
    curves : one to three accuracies [K] in [0, 1], by name.
    label : the name of the time axis.
    start : the moment shown first; by default the first at which half of the layer is in.
    layer : the layer shown first; by default the first one.
    alt : words for the still image.
    """

    def __init__(
        self,
        time: Sequence[float] | Tensor,
        *,
        filters: Mapping[str, Tensor],
        support: Mapping[str, Tensor],
        curves: Mapping[str, Sequence[float] | Tensor],
        label: str = "path time",
        start: int | None = None,
        layer: str | None = None,
        alt: str | None = None,
    ) -> None:
        self.time = _numbers(time)
        self.weights = {name: torch.as_tensor(w).detach().float() for name, w in filters.items()}
        masks = {name: torch.as_tensor(s).detach() != 0 for name, s in support.items()}
        self.curves = {name: _numbers(values) for name, values in curves.items()}
        _check(self.time, self.weights, masks, self.curves)
        self.inside = {name: masks[name].flatten(2).any(2) if masks[name].ndim > 2 else masks[name]
                       for name in self.weights}  # fmt: skip
        self.layer = next(iter(self.weights)) if layer is None else layer
        if self.layer not in self.weights:
            raise ValueError(f"layer must be one of {list(self.weights)}, got {layer!r}")
        self.parts = [self._part(name, mask) for name, mask in masks.items()]
        first = self._telling() if start is None else int(start)
        if not 0 <= first < len(self.time):
            raise ValueError(f"start must be from 0 to {len(self.time) - 1}, got {start}")
        state: dict[str, Any] = {
            "layers": [self._packed(name) for name in self.weights],
            "options": {
                "time": [_rounded(t) for t in self.time],
                "label": label,
                "curves": [[name, [_rounded(v) for v in row]] for name, row in self.curves.items()],
                "parts": self.parts,
            },
            "index": first,
            "layer": list(self.weights).index(self.layer),
        }
        super().__init__(
            "filters",
            state,
            still=filters_still.draw(self, first, label),
            alt=alt or filters_still.describe(self, first, label),
            bounds={"index": (0, len(self.time) - 1), "layer": (0, len(self.weights) - 1)},
            limit=MAX_BYTES,
            advice=f"it has {len(self.time)} moments; pass every second one, or fewer layers",
        )

    def entries(self, layer: str) -> list[float | None]:
        """Return when each filter of a layer was first seen in the support, None where never."""
        mask = self.inside[layer]
        first = mask.int().argmax(0).tolist()
        ever = mask.any(0).tolist()
        return [self.time[k] if seen else None for k, seen in zip(first, ever, strict=True)]

    def _telling(self) -> int:
        half = self.inside[self.layer].float().mean(1) >= 0.5
        return int(half.int().argmax()) if bool(half.any()) else len(self.time) - 1

    def _part(self, name: str, mask: Tensor) -> dict[str, Any]:
        """Say how much of a layer is in at each moment, in filters or in single weights."""
        groups = name in self.weights or mask.ndim == 5
        mask = self.inside[name] if name in self.weights else mask
        mask = mask.flatten(2).any(2) if groups and mask.ndim > 2 else mask.flatten(1)
        counts = mask.sum(1).tolist()
        unit = "filters" if groups else "weights"
        return {"name": name, "unit": unit, "all": mask.shape[1], "in": counts}

    def _packed(self, name: str) -> dict[str, Any]:
        """Return a layer for the page: one byte a pixel or norm, one character a membership."""
        pixels, shape = filters_still.images(self.weights[name])
        scale = float(pixels.abs().max()) or 1.0
        small = (pixels / scale * 127).round().to(torch.int8).numpy().tobytes()
        inside = ["".join(map(str, row)) for row in self.inside[name].int().tolist()]
        return {
            "name": name, "shape": shape, "scale": _rounded(scale),
            "data": frames.encode(small), "inside": inside,
        }  # fmt: skip


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _numbers(values: Sequence[float] | Tensor) -> list[float]:
    return [float(v) for v in torch.as_tensor(values, dtype=torch.float64).tolist()]


def _check(
    time: list[float],
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    curves: Mapping[str, list[float]],
) -> None:
    K = len(time)
    if not 2 <= K <= MAX_MOMENTS or not all(a < b for a, b in pairwise(time)):
        raise ValueError(
            f"time must hold 2 to {MAX_MOMENTS} increasing moments, got {K}; record less often"
        )
    if not weights or (missing := [name for name in weights if name not in masks]):
        raise ValueError(
            f"filters must name at least one layer, and support all of its layers; support has "
            f"{list(masks)}, missing are {missing if weights else 'all'}"
        )
    for name, w in weights.items():
        if w.ndim not in (2, 4, 5) or masks[name].shape[:2] != w.shape[:2] or len(w) != K:
            raise ValueError(
                f"filters[{name!r}] must be [K filters h w], [K filters channels h w] or "
                f"[K filters], and support[{name!r}] [K filters …], with K = {K}, got "
                f"{list(w.shape)} and {list(masks[name].shape)}"
            )
        if w.shape[1] > MAX_FILTERS or not bool(w.isfinite().all()):
            raise ValueError(
                f"filters[{name!r}] must be finite, at most {MAX_FILTERS} filters, got "
                f"{w.shape[1]}; leave the layer to support"
            )
    for name, mask in masks.items():
        if len(mask) != K or mask.ndim < 2:
            raise ValueError(
                f"support[{name!r}] must be [K …] with K = {K}, got {list(mask.shape)}"
            )
    wrong = [n for n, v in curves.items() if len(v) != K or not all(0 <= a <= 1 for a in v)]
    if not 1 <= len(curves) <= 3 or wrong:
        raise ValueError(
            f"curves must be one to three lists of {K} accuracies in [0, 1], got {list(curves)}, "
            f"wrong: {wrong}; pass shares, not percent"
        )
