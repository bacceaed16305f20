"""The same figure for a phone: narrower, and with its panels below each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.1  # inches; on 340 pixels, what a phone leaves, 8 points are 9.2 pixels
TALL = 2.8  # inches a panel


def stack(figure: Figure) -> None:
    """Make a figure narrow; panels that lie in one row of a grid come below each other."""
    from matplotlib.gridspec import GridSpec

    width, height = figure.get_size_inches()
    specs = {ax: spec for ax in figure.axes if (spec := ax.get_subplotspec())}
    grids = {spec.get_gridspec() for spec in specs.values()}
    columns = max((grid.ncols for grid in grids), default=1)
    if columns == 1 or len(grids) > 1 or any(grid.nrows > 1 for grid in grids):
        figure.set_size_inches(WIDTH, min(height, max(TALL, height * WIDTH / width)))
        return
    below = GridSpec(columns, 1, figure=figure)
    for ax, spec in specs.items():
        ax.set_subplotspec(below[spec.num1 : spec.num2 + 1])
        _label(ax)
    figure.set_size_inches(WIDTH, columns * min(TALL, height))


def _label(ax: Axes) -> None:
    """Give a panel that had its neighbor's numbers its own."""
    if ax.yaxis.get_ticks_position() != "right":  # "unknown" where the neighbor has the numbers
        ax.tick_params(labelleft=True)
    shared = [one for one in ax.get_shared_y_axes().get_siblings(ax) if one.get_ylabel()]
    if shared and not ax.get_ylabel():
        ax.set_ylabel(shared[0].get_ylabel())
