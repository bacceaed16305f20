"""A federated round, drawn once: the model goes out, clients step on their own data, a mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fedlearn_book.widgets import Picture, picture
from fedlearn_lib.viz import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]
INK, SOFT, ORANGE, BLUE = "#374151", "#9ca3af", COLORS["client"], COLORS["shared"]
# Three quadratic clients in the plane: curvature, optimum, weight; and one round on them.
A = np.array([[[0.5, 0.0], [0.0, 1.3]], [[0.7, -0.25], [-0.25, 0.6]], [[1.2, 0.2], [0.2, 0.5]]])
W = np.array([[-0.8, 1.0], [1.0, 0.9], [1.1, -0.8]])
P = np.array([0.5, 0.3, 0.2])
START, ETA, TAU, REACH = np.array([-1.3, -1.3]), 0.3, 5, 2.0
ALT = (
    "A round of federated averaging with three clients. The server sends its model to each of "
    "them; each takes five steps downhill on its own loss and ends at a model of its own; the "
    "server takes the weighted mean of the three, which becomes its next model."
)
CAPTION = (
    "One round: models travel, data do not. Between two messages each client follows its own "
    "loss; only the weighted mean brings the clients together."
)


class Box(NamedTuple):
    """A window on the plane of the parameters: its center and side on the page, in inches."""

    center: Point
    side: float

    def at(self, w: np.ndarray) -> Point:
        """Return where a model lies on the page."""
        x, y = np.asarray(self.center) + w * self.side / (2 * REACH)
        return float(x), float(y)

    def edge(self, dx: int, dy: int) -> Point:
        """Return the middle of a side, or a corner."""
        half = self.side / 2
        return self.center[0] + dx * half, self.center[1] + dy * half


def federated_round() -> Picture:
    """Return the drawing; make it the last line of a cell."""
    return picture(_wide(), narrow=_narrow(), alt=ALT, caption=CAPTION)


def local_path(i: int) -> np.ndarray:
    """Return the models of client ``i`` after 0, 1, ... τ steps, [τ+1 2]."""
    path = [START]
    for _ in range(TAU):
        path.append(path[-1] - ETA * A[i] @ (path[-1] - W[i]))
    return np.array(path)


def average() -> np.ndarray:
    """Return the server's next model, [2]."""
    ends: np.ndarray = np.array([local_path(i)[-1] for i in range(3)])
    mean: np.ndarray = P @ ends
    return mean


def _wide() -> Figure:
    figure, ax = page(7.4, 4.5)
    before, after = Box((0.85, 2.35), 1.5), Box((6.55, 2.35), 1.5)
    clients = [Box((3.7, y), 1.12) for y in (3.66, 2.29, 0.92)]
    for i, box in enumerate(clients):
        _send(ax, before.edge(1, 0), box.edge(-1, 0), BLUE)
        _send(ax, box.edge(1, 0), after.edge(-1, 0), ORANGE)
        _client(ax, box, i)
    for box, name in ((before, "server, round $k$"), (after, "server, round $k+1$")):
        _server(ax, box, new=box is after)
        ax.text(box.center[0], box.edge(0, 1)[1] + 0.1, name, color=INK, ha="center", size=9)
    _step(ax, (1.05, 3.75), "1", "send $w_k$")
    _step(ax, (2.75, 0.14), "2", f"take $\\tau={TAU}$ steps on own data")
    _step(ax, (5.1, 3.75), "3", "send $w_i^\\tau$ back, average")
    return figure


def _narrow() -> Figure:
    figure, ax = page(4.1, 5.3)
    before, after = Box((2.05, 4.6), 1.25), Box((2.05, 0.7), 1.25)
    clients = [Box((x, 2.75), 1.2) for x in (0.68, 2.05, 3.42)]
    for i, box in enumerate(clients):
        _send(ax, before.edge(0, -1), (box.center[0], box.edge(0, 1)[1] + 0.22), BLUE)
        _send(ax, box.edge(0, -1), after.edge(0, 1), ORANGE)
        _client(ax, box, i)
    for box, name in ((before, "server,\nround $k$"), (after, "server,\nround $k+1$")):
        _server(ax, box, new=box is after)
        ax.text(0.08, box.center[1], name, color=INK, va="center", size=9)
    _step(ax, (2.95, 4.9), "1", "send $w_k$")
    _step(ax, (0.2, 1.5), "2", f"take $\\tau={TAU}$ steps\non own data")
    _step(ax, (2.95, 0.9), "3", "send $w_i^\\tau$ back,\naverage")
    return figure


def page(width: float, height: float) -> tuple[Figure, Axes]:
    """Make an empty figure, in inches, on which a drawing has the same unit in both directions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="none")
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return figure, ax


def _frame(ax: Axes, box: Box, color: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner, style = box.edge(-1, -1)[0], "round,pad=0,rounding_size=0.08"
    at = (corner, box.edge(0, -1)[1])
    ax.add_patch(FancyBboxPatch(at, box.side, box.side, style, fc="none", ec=color, lw=1.2))


def _server(ax: Axes, box: Box, *, new: bool) -> None:
    _frame(ax, box, BLUE)
    start, end = box.at(START), box.at(average())
    if new:
        for i in range(3):
            reply = box.at(local_path(i)[-1])
            ax.plot([start[0], reply[0]], [start[1], reply[1]], color=SOFT, lw=0.8)
            ax.plot(*reply, "o", color=ORANGE, ms=3 + 9 * P[i])
        ax.plot(*end, "o", color=BLUE, ms=9)
        ax.text(end[0] + 0.1, end[1] + 0.04, "$w_{k+1}$", color=INK)
    ax.plot(*start, "o", color=BLUE, ms=5 if new else 9, alpha=0.5 if new else 1)
    ax.text(start[0] + 0.1, start[1] - 0.09, "$w_k$", color=INK)


def _client(ax: Axes, box: Box, i: int) -> None:
    from matplotlib.transforms import Bbox, TransformedBbox

    _frame(ax, box, ORANGE)
    angle = np.linspace(0, 2 * np.pi, 60)
    unit = np.linalg.inv(np.linalg.cholesky(A[i])).T @ np.stack([np.cos(angle), np.sin(angle)])
    window = TransformedBbox(Bbox([box.edge(-1, -1), box.edge(1, 1)]), ax.transData)
    for radius in (0.2, 0.5, 0.8):
        level = np.array([box.at(w) for w in (W[i][:, None] + radius * unit).T])
        ax.plot(*level.T, color=ORANGE, lw=0.8, alpha=0.6, clip_box=window)
    path = np.array([box.at(w) for w in local_path(i)])
    ax.plot(*path.T, color=INK, lw=1, marker="o", ms=2.5)
    ax.plot(*path[0], "o", color=BLUE, ms=6)
    ax.plot(*path[-1], "o", color=ORANGE, ms=6)
    name = f"client {i + 1}, $p_{i + 1}={P[i]:g}$"
    ax.text(box.center[0], box.edge(0, 1)[1] + 0.07, name, color=INK, ha="center", size=8)


def _send(ax: Axes, start: Point, end: Point, color: str) -> None:
    arrow = {"arrowstyle": "-|>", "color": color, "lw": 1.4, "shrinkA": 3, "shrinkB": 3}
    ax.annotate("", end, start, arrowprops=arrow)


def _step(ax: Axes, at: Point, number: str, words: str) -> None:
    """Write a step of Algorithm 1.2 and its number."""
    ring = {"boxstyle": "circle,pad=0.25", "fc": "none", "ec": INK, "lw": 1}
    ax.text(*at, number, color=INK, ha="center", va="center", weight="bold", size=9, bbox=ring)
    ax.text(at[0] + 0.18, at[1], words, color=INK, va="center", size=9)
