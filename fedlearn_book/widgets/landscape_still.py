"""The meta-gradient landscape on paper, computed by the library and not by the page's script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from fedlearn_book.widgets import frames
from fedlearn_lib.viz import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fedlearn_book.widgets.landscape import MetaLandscape

SHOWN = {"f": ("plain",), "F": ("exact", "fo", "hf")}  # the exact one lies below, and is thick
LOOKS: dict[str, dict[str, Any]] = {
    "exact": {"lw": 6, "color": "#66AAD1", "mutation_scale": 18},
    "hf": {"lw": 1.6},
}
WORDS = {"plain": "−∇f", "exact": "exact", "fo": "FO", "hf": "HF"}

OFFSETS = {"plain": (3, 3), "exact": (4, -6), "fo": (4, 3), "hf": (4, -17)}  # points, from the tip


def describe(shown: MetaLandscape, state: Mapping[str, Any]) -> str:
    """Return the message in words."""
    w, alpha = state["w"], state["alpha"]
    found = shown.directions(w, alpha, state["delta"])
    exact, fo = torch.tensor(found["exact"]), torch.tensor(found["fo"])
    error = float((fo - exact).norm() / exact.norm())
    return (
        f"Level lines of f, the mean loss of {len(shown.batches)} clients, and of F, their mean "
        f"loss after one step of size {alpha:g}. At w = ({w[0]:.2f}, {w[1]:.2f}) f is "
        f"{found['f']:.3f}, F is {found['F']:.3f}, and the first-order direction is {error:.0%} "
        "away from the exact one."
    )


def draw(shown: MetaLandscape, state: Mapping[str, Any]) -> bytes:
    """Return a PNG: level lines of f and F with the clients, the minimizers and the arrows."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context("default"):
        fig = Figure(figsize=(7.4, 3.9), layout="constrained")
        for ax, kind in zip(fig.subplots(1, 2, sharey=True), ("f", "F"), strict=True):
            _map(ax, kind, shown, state)
        return frames.small_png(frames.to_png(fig, 128), 64)


def _map(ax: Axes, kind: str, shown: MetaLandscape, state: Mapping[str, Any]) -> None:
    box, w, alpha = state["options"]["box"], state["w"], state["alpha"]
    x, y = torch.linspace(box[0], box[1], 61), torch.linspace(box[2], box[3], 61)
    points = torch.cartesian_prod(y, x).flip(1)
    heights = shown.heights(points, alpha if kind == "F" else 0.0).view(len(y), len(x))
    low, high = heights.min(), heights.max()
    levels = (low + (high - low) * (torch.arange(1, 13) / 13) ** 2.4).tolist()
    ax.contour(x, y, heights, levels=levels, colors="#9CA3AF", linewidths=0.8)
    found = shown.directions(w, alpha, state["delta"])
    for i, batch in enumerate(shown.batches):
        center = batch[1][0, :2].tolist()
        ax.plot(*center, "o", color=COLORS["client"], ms=5)
        ax.annotate(
            f"$w_{i + 1}$", (center[0], center[1]), xytext=(5, 5), textcoords="offset points"
        )
        if kind == "F":
            _arrow(ax, w, found["steps"][i], {"color": COLORS["client"], "lw": 1.2})
    longest = max(float(torch.tensor(found[name]).norm()) for name in WORDS)
    reach = 0.3 * (box[1] - box[0]) / longest
    for name in SHOWN[kind]:
        tip = [a - reach * g for a, g in zip(w, found[name], strict=True)]
        color = COLORS["truth"] if name == "plain" else COLORS[name]
        if torch.dist(torch.tensor(tip), torch.tensor(w)) > 0.05:
            _arrow(ax, w, tip, {"color": color, "lw": 2.2} | LOOKS.get(name, {}))
            ax.annotate(
                WORDS[name], (tip[0], tip[1]), xytext=OFFSETS[name], textcoords="offset points",
                color=color, fontsize=9,
            )  # fmt: skip
    ax.plot(*shown.standstill(0.0), "X", color=COLORS["truth"], ms=8)
    ax.plot(*shown.standstill(alpha), "o", color=COLORS["truth"], ms=7)
    ax.plot(*shown.standstill(alpha, "fo"), "o", mfc="none", mec=COLORS["fo"], ms=8, mew=1.8)
    ax.plot(*w, "o", color=COLORS["exact"], ms=5)
    titles = {"f": "f: the loss before a step", "F": f"F: the loss after a step, α = {alpha:g}"}
    ax.set_title(titles[kind], fontsize=10, loc="left", color=COLORS["truth"])
    ax.set(xlim=box[:2], ylim=box[2:], xlabel="first parameter")
    if kind == "f":
        ax.set_ylabel("second parameter")


def _arrow(ax: Axes, start: list[float], end: list[float], look: Mapping[str, Any]) -> None:
    ax.annotate(
        "", xy=(end[0], end[1]), xytext=(start[0], start[1]),
        arrowprops={"arrowstyle": "->", "shrinkA": 0, "shrinkB": 0, **look},
    )  # fmt: skip
