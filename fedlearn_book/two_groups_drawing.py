"""The runs with two groups of users in one drawing: accuracy before and after a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn_book.reproductions.two_groups_log import (
    SETTINGS,
    WORDS,
    after,
    alpha_of,
    before,
    best_step,
)
from fedlearn_book.widgets import Picture, picture
from fedlearn_lib.viz import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {"fedavg": COLORS["truth"], "fo": COLORS["fo"], "hf": COLORS["hf"]}
NAMES = {"fedavg": "FedAvg + update", "fo": "FO", "hf": "HF"}
CONSTANT = 50.0  # percent: a user of each group who always gives its most frequent answer
CAPTION = (
    "With α = 0.01 HF is first on MNIST; elsewhere the order changes from setting to setting. A "
    "step of its own choice (triangle) brings FedAvg + update within four points of HF's best on "
    "MNIST, and ahead of it on CIFAR-10."
)


def alt() -> str:
    """Say what the drawing shows, with its numbers."""
    rows = []
    for name, tau in SETTINGS:
        means = ", ".join(f"{NAMES[m]} {after(name, tau, m).mean():.0f}" for m in LOOKS)
        rows.append(f"{WORDS[name]}, step {alpha_of(name):g}, {tau} local steps: {means}")
    head = "Accuracy in percent before and after one step, for ten settings and three methods. "
    return head + "After the step: " + "; ".join(rows) + "."


def two_groups() -> Picture:
    """Return the drawing; make it the last line of a cell."""
    return picture(draw(7.4), narrow=draw(4.1), alt=alt(), caption=CAPTION)


def figure_html() -> str:
    """Return the drawing for a page of the book."""
    html: str = two_groups().bundle["text/html"]
    return html


def draw(width: float) -> Figure:
    """Draw one group of three lines a setting: hollow before the step, full after it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 5.6), layout="constrained", facecolor="none")
    ax = figure.subplots()
    for row, (name, tau) in enumerate(SETTINGS):
        for k, (method, color) in enumerate(LOOKS.items()):
            _line(ax, row + 0.24 * (k - 1), name, tau, method, color)
    for k, (method, color) in enumerate(LOOKS.items()):
        ax.text(4, 0.26 * (k - 1), NAMES[method], color=color, fontsize=9, va="center")
    ax.axvline(CONSTANT, color="#9CA3AF", linewidth=0.8, linestyle="--", zorder=0)
    ax.text(CONSTANT - 1, 9.72, "constant answers", color="#6B7280", fontsize=8.5, ha="right")
    names = [f"{WORDS[name]}\nα {alpha_of(name):g}, τ {tau}" for name, tau in SETTINGS]
    ax.set_yticks(range(len(SETTINGS)), names, fontsize=9, color="#374151")
    ax.set(xlim=(0, 100), ylim=(len(SETTINGS) - 0.1, -0.6))
    ax.set_xlabel("accuracy in %, before (hollow) and after (full)", color="#374151")
    ax.grid(visible=False, axis="y")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure


def _line(ax: Axes, y: float, name: str, tau: int, method: str, color: str) -> None:
    start, end = before(name, tau, method).mean(), after(name, tau, method).mean()
    ax.plot([start, end], [y, y], color=color, linewidth=1.2)
    ax.plot(start, y, "o", mfc="white", color=color, markersize=4)
    ax.plot(end, y, "o", color=color, markersize=4.5)
    best = after(name, tau, method, best_step(name, tau, method)).mean()
    if method == "fedavg":
        ax.plot(best, y, "<", color=color, markersize=5)
