"""``explore``: a plain drawing function becomes a figure that the reader can move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from fedlearn_book.widgets import frames, page
from fedlearn_book.widgets.frontend import is_live
from fedlearn_book.widgets.grid import (
    Plan,
    Values,
    describer,
    labels_of,
    listed,
    points,
    show,
    start_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Explorer(NamedTuple):
    """A drawing function, its grid, and what a front end needs to show them.

    Attributes
    ----------
    draw : ``draw(**values)`` returns a matplotlib figure.
    grid : the values of each parameter, in the order of the controls.
    start : the values shown first, and in print.
    bundle : what Jupyter displays, by MIME type.
    widget : the ipywidgets controls when a front end is attached, else ``None``.
    """

    draw: Callable[..., Figure]
    grid: Mapping[str, Sequence[Any]]
    start: Values
    bundle: dict[str, Any]
    widget: Any = None

    def values(self) -> Iterator[Values]:
        """Yield every point of the grid, the last parameter moving fastest."""
        return points(self.grid)

    def __repr__(self) -> str:
        return f"explore({', '.join(f'{k}={list(v)}' for k, v in self.grid.items())})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.bundle


def explore(
    draw: Callable[..., Figure],
    *,
    alt: str | Callable[..., str],
    start: Values | None = None,
    caption: str | None = None,
    labels: Mapping[str, str] | None = None,
    **grid: Sequence[Any],
) -> Explorer:
    r"""Show ``draw(**values)`` with one control a parameter; make it the last line of a cell.

    With a front end attached (see :func:`fedlearn_book.widgets.is_live`) the controls redraw in the
    kernel, also between the values of a numeric grid. Otherwise every point of the grid is drawn
    now, and the page turns over these frames without a kernel and without a network: drawings that
    follow the page's theme, wide ones and for phones narrow ones with the panels below each other;
    pixels where drawings would be too heavy. Any exception of ``draw`` ends the call.

    Parameters
    ----------
    draw : a plain function of the grid's names that returns a matplotlib figure, always of the
        same size. It may be called with any point of the grid, in any order.
    alt : one sentence for those who do not see the figure, or a function of the same values that
        returns it. The current values are added.
    start : the values shown first; parameters left out start in the middle of their list.
    caption : a sentence below the figure.
    labels : words for the controls; ``eta`` is written η without them.
    grid : the values of each parameter, for instance ``eta=[0.01, 0.1]``; at most 40 frames
        and 300 kB in all.

    >>> from matplotlib.figure import Figure
    >>> def draw(tau):
    ...     fig = Figure(figsize=(3, 2))
    ...     fig.subplots().plot([0, tau])
    ...     return fig
    >>> shown = explore(draw, tau=[1, 2, 4], alt="A line of slope tau.")
    >>> shown, shown.start
    (explore(tau=[1, 2, 4]), {'tau': 2})
    >>> sorted(shown.bundle)
    ['image/png', 'text/html', 'text/plain']
    """
    lists = {name: listed(name, values) for name, values in grid.items()}
    if not lists:
        raise ValueError("explore needs at least one parameter, for instance tau=[1, 5, 10]")
    first, words = start_of(lists, start or {}), labels_of(lists, labels or {})
    plan = Plan(draw, lists, first, words, describer(alt, words), caption)
    if is_live():
        from fedlearn_book.widgets import controls

        widget, bundle = controls.build(plan)
        return Explorer(draw, lists, first, bundle, widget)
    return Explorer(draw, lists, first, _static(plan))


def _static(plan: Plan) -> dict[str, Any]:
    counts = [len(values) for values in plan.grid.values()]
    if prod(counts) > frames.MAX_FRAMES:
        raise ValueError(
            f"the grid has {' × '.join(map(str, counts))} = {prod(counts)} frames, at most "
            f"{frames.MAX_FRAMES} are allowed in a page: give shorter lists or fewer parameters"
        )
    at = list(points(plan.grid))
    figures = [frames.draw_figure(plan.draw, point) for point in at]
    frames.check_sizes(figures)
    still = frames.to_png(figures[at.index(plan.start)], frames.DPIS[0])
    html = _drawings(plan, figures)
    if len(html.encode()) > frames.MAX_DRAWN:
        html = _pixels(plan)
    if len(html.encode()) > max(frames.MAX_BYTES, frames.MAX_DRAWN):
        raise ValueError(
            f"the figure weighs {len(html.encode()) / 1000:.0f} kB in {len(at)} frames, at most "
            f"{frames.MAX_BYTES // 1000} kB are allowed: draw fewer frames, a smaller figsize or "
            "fewer marks"
        )
    png = frames.encode(frames.small_png(still))
    return {"text/html": html, "image/png": png, "text/plain": plan.describe(**plan.start)}


def _controls(plan: Plan) -> dict[str, Any]:
    return {
        "alts": [plan.describe(**point) for point in points(plan.grid)],
        "controls": {plan.labels[k]: [show(v) for v in row] for k, row in plan.grid.items()},
        "start": [values.index(plan.start[name]) for name, values in plan.grid.items()],
        "caption": plan.caption,
    }


def _drawings(plan: Plan, figures: Sequence[Figure]) -> str:
    """Return the page with wide and narrow drawings; the figures are narrow afterwards."""
    from fedlearn_book.widgets import layout, vector
    from fedlearn_book.widgets.sheet import Sheet

    sheet = Sheet("@figure@")
    wide = [vector.draw(figure, sheet) for figure in figures]
    for figure in figures:
        layout.stack(figure)
    narrow = [vector.draw(figure, sheet) for figure in figures]
    return page.vector_html([wide, narrow], sheet, **_controls(plan))


def _pixels(plan: Plan) -> str:
    """Return the page with images."""
    figures = [frames.draw_figure(plan.draw, point) for point in points(plan.grid)]
    wide, high = (round(frames.PIXELS_PER_INCH * v) for v in figures[0].get_size_inches())
    shots = [frames.encode(shot) for shot in frames.film(figures)]
    return page.frames_html(shots, size=(wide, high), **_controls(plan))
