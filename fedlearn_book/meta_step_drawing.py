"""A drawing of one meta-step: adapt in thought, look, carry the gradient back, move the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedlearn_book.widgets import Picture, picture
from fedlearn_lib.viz import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALT = (
    "Level lines of one client's loss around its optimum. From the start w a dashed arrow, the "
    "client's own step, leads to the adapted model w tilde, drawn hollow because nobody goes there "
    "for good. At w tilde the client takes a gradient g; a dotted arrow shows minus beta g. Two "
    "full arrows leave w: first order moves w by the same minus beta g; the exact meta-step first "
    "multiplies g by I minus alpha times the Hessian at w, which shortens it and turns it away "
    "from the steep direction."
)
CAPTION = (
    "The gradient is taken where the client would arrive, and the model moves from where it stands."
)
TURN = np.deg2rad(24)
AXES = np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]])
CURVATURE = AXES @ np.diag([0.25, 0.8]) @ AXES.T  # of the client, whose optimum is the origin
START, ALPHA, BETA = AXES @ np.array([-3.0, 2.2]), 1.0, 2.4
STEPS = (
    ("1", "truth", "adapt, in thought:", r"$\tilde{w}=w-\alpha\nabla f_i(w)$"),
    ("2", "truth", "look from there:", r"$g=\nabla f_i(\tilde{w})$"),
    ("3", "exact", "carry it back:", r"$(I-\alpha\nabla^2f_i(w))\,g$"),
    ("4", "exact", "move $w$", r"by $-\beta$ times it"),
    ("", "fo", "first order skips 3", r"and moves by $-\beta g$"),
)


def arrows() -> dict[str, np.ndarray]:
    """Return the adapted model, and where the exact and the first-order step lead: [2] each.

    >>> {name: point.round(2).tolist() for name, point in arrows().items()}["adapted"]
    [-2.23, -0.51]
    """
    stretch = np.eye(2) - ALPHA * CURVATURE
    adapted = stretch @ START
    look = CURVATURE @ adapted
    exact, first = START - BETA * stretch @ look, START - BETA * look
    return {"adapted": adapted, "exact": exact, "fo": first}


def meta_step() -> Picture:
    """Return the drawing; make it the last line of a cell."""
    return picture(draw(), narrow=draw(narrow=True), alt=ALT, caption=CAPTION)


def draw(*, narrow: bool = False) -> Figure:
    """Draw the plane of the models beside the four steps in words; on a phone above them."""
    from matplotlib.figure import Figure

    size, shares = ((4.1, 5.2), [2.8, 2.4]) if narrow else ((7.4, 3.2), [4.7, 2.7])
    fig = Figure(figsize=size, layout="constrained")
    rows, columns = (2, 1) if narrow else (1, 2)
    ratios: dict[str, Any] = {"height_ratios" if narrow else "width_ratios": shares}
    grid = fig.add_gridspec(rows, columns, **ratios)
    plane, words = fig.add_subplot(grid[0]), fig.add_subplot(grid[1])
    for ax in (plane, words):
        ax.set_axis_off()
    _plane(plane)
    words.set(xlim=(0, 1), ylim=(-0.5, len(STEPS) - 0.4))
    for row, (number, color, name, formula) in enumerate(STEPS):
        y, ink = len(STEPS) - 1 - row, COLORS[color]
        words.text(0.0, y, number, color=ink, fontsize=12, fontweight="bold", va="center")
        words.text(0.07, y + 0.19, name, color=ink, fontsize=10, va="center")
        words.text(0.07, y - 0.21, formula, color=ink, fontsize=10.5, va="center")
    return fig


def _plane(ax: Axes) -> None:
    turn = np.linspace(0, 2 * np.pi, 121)
    root = AXES @ np.diag([0.25**-0.5, 0.8**-0.5])
    for level in (0.6, 1.2, 1.8, 2.47):
        x, y = level * root @ np.stack([np.cos(turn), np.sin(turn)])
        ax.plot(x, y, color="#9CA3AF", linewidth=0.8, zorder=1)
    adapted, exact, first = arrows().values()
    ax.plot(0, 0, "x", color=COLORS["client"], markersize=8, markeredgewidth=2)
    _arrow(ax, START, adapted, "truth", linestyle=(0, (4, 2)), shrinkB=5)
    _arrow(ax, adapted, adapted + first - START, "fo", linestyle=(0, (2, 2)), linewidth=1.3)
    _arrow(ax, START, first, "fo")
    _arrow(ax, START, exact, "exact")
    ax.plot(*adapted, "o", mfc="white", color=COLORS["truth"], markersize=8)
    ax.plot(*START, "o", color=COLORS["shared"], markersize=9)
    for (x, y), right, up, name, color, side in [
        ((0, 0), 0, -0.38, "optimum $w_i$", "client", "center"),
        (START, -0.15, 0.3, "$w$", "shared", "right"),
        (adapted, -0.15, -0.3, r"$\tilde{w}$", "truth", "right"),
        ((START + adapted) / 2, -0.2, 0, "1", "truth", "right"),
        (adapted, 0.75, -0.42, r"2: $-\beta g$", "fo", "center"),
        (exact, 0.12, 0.12, "exact: 3, 4", "exact", "left"),
        (first, 0.12, 0, "first order", "fo", "left"),
    ]:
        ax.text(x + right, y + up, name, color=COLORS[color], fontsize=10.5, ha=side, va="center")
    ax.set(xlim=(-4.5, 1.7), ylim=(-1.95, 2.25), aspect="equal")


def _arrow(ax: Axes, start: np.ndarray, end: np.ndarray, color: str, **look: Any) -> None:
    style = {"arrowstyle": "-|>", "linewidth": 2, "shrinkA": 5, "shrinkB": 0, "mutation_scale": 14}
    look = {"color": COLORS[color]} | style | look
    ax.annotate("", xy=(end[0], end[1]), xytext=(start[0], start[1]), arrowprops=look)
