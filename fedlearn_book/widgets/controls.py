"""Figures with a kernel: ipywidgets controls that redraw, also between the values of the grid."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from math import isclose, log10
from typing import Any

from fedlearn_book.widgets import frames
from fedlearn_book.widgets.grid import Plan

DPI = frames.DPIS[0]
WIDE = {"description_width": "initial"}


def build(plan: Plan) -> tuple[Any, dict[str, Any]]:
    """Return the widget and what Jupyter displays of it; works with ipywidgets 7.7 and 8.

    The image is replaced as a whole when the new one is there, so nothing flickers. An exception of
    ``draw`` at the start ends the call; later it takes the image's place, and goes on to the log.
    """
    import ipywidgets as widgets

    sliders = {
        name: control(plan.labels[name], values, plan.start[name])
        for name, values in plan.grid.items()
    }
    png = frames.to_png(frames.draw_figure(plan.draw, plan.start), DPI)
    image = widgets.Image(value=png, format="png", layout={"width": _css_width(png)})
    words = widgets.HTML(_said(plan.describe(**plan.start)))

    def redraw(_: Any = None) -> None:
        values = {name: slider.value for name, slider in sliders.items()}
        try:
            image.value = frames.to_png(frames.draw_figure(plan.draw, values), DPI)
            words.value, image.layout.display = _said(plan.describe(**values)), ""
        except Exception as error:
            image.layout.display = "none"
            words.value = _failed(error)
            raise

    for slider in sliders.values():
        slider.observe(redraw, names="value")
    below = [widgets.HTML(f"<small>{escape(plan.caption)}</small>")] if plan.caption else []
    box = widgets.VBox([*sliders.values(), image, words, *below])
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    return box, {
        "application/vnd.jupyter.widget-view+json": view,
        "image/png": frames.encode(png),
        "text/plain": plan.describe(**plan.start),
    }


def control(label: str, values: Sequence[Any], start: Any) -> Any:
    """Return the slider that fits a list of values.

    Evenly spaced numbers: a slider over all between. Geometric ones: the same on a logarithmic
    scale. Anything else: the values themselves.

    >>> [type(control("x", v, v[0])).__name__ for v in ([1, 2, 3], [0.1, 0.2], [0.01, 0.1, 1.0])]
    ['IntSlider', 'FloatSlider', 'FloatLogSlider']
    >>> control("x", [1, 4, 16, 64], 4).options
    (1, 2, 4, 8, 16, 32, 64)
    """
    import ipywidgets as widgets

    common = {"description": label, "style": WIDE, "layout": {"width": "26em"}, "value": start}
    low, high = values[0], values[-1]
    whole = all(type(value) is int for value in values)
    if not all(type(value) in (int, float) for value in values) or sorted(values) != list(values):
        return widgets.SelectionSlider(options=list(values), **common)
    if whole and (high - low <= 20 or _even(values)):
        return widgets.IntSlider(min=low, max=high, **common)
    if whole and low > 0:
        return widgets.SelectionSlider(options=_between(values), **common)
    if _even(values):
        step = (high - low) / max(100, len(values) - 1)
        return widgets.FloatSlider(min=low, max=high, step=step, readout_format=".4", **common)
    if low > 0 and _even([log10(value) for value in values]):
        span = {"min": log10(low), "max": log10(high), "step": (log10(high) - log10(low)) / 100}
        return widgets.FloatLogSlider(**span, readout_format=".3", **common)
    return widgets.SelectionSlider(options=list(values), **common)


def _even(values: Sequence[float]) -> bool:
    gaps = [after - before for before, after in pairwise(values)]
    return all(isclose(gap, gaps[0], rel_tol=1e-6) for gap in gaps)


def _between(values: Sequence[int]) -> list[int]:
    means = {round((before * after) ** 0.5) for before, after in pairwise(values)}
    return sorted(means | set(values))


def _css_width(png: bytes) -> str:
    return f"{frames.size(png)[0] * frames.PIXELS_PER_INCH / DPI:.0f}px"


def _said(text: str) -> str:
    """Words for a screen reader; who sees the figure does not need them."""
    hidden = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)"
    return f'<p role="status" style="{hidden}">{escape(text)}</p>'


def _failed(error: Exception) -> str:
    text = "".join(traceback.format_exception(error))
    return f'<pre role="alert" style="color:#b91c1c;white-space:pre-wrap">{escape(text)}</pre>'
