"""Filters entering, on paper: the first layer at three moments above the accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from fedlearn_book.widgets import frames
from fedlearn_lib.viz import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fedlearn_book.widgets.filters import FiltersEntering

CURVES = (COLORS["truth"], COLORS["support in"], COLORS["client"])
MOST = 16  # filters of a layer that fit on paper


def describe(shown: FiltersEntering, index: int, label: str) -> str:
    """Return the message in words."""
    inside = shown.inside[shown.layer][index]
    said = ", ".join(f"{name} {values[index]:.1%}" for name, values in shown.curves.items())
    return (
        f"Filters of {shown.layer} at {label} {shown.time[index]:.3g}: {int(inside.sum())} of "
        f"{len(inside)} are in the support and drawn in full. Test accuracy: {said}."
    )


def moments(shown: FiltersEntering, index: int) -> list[int]:
    """Return three telling moments: the one shown, and the first and the last around it."""
    return sorted({0, index, len(shown.time) - 1})


def images(w: Tensor) -> tuple[Tensor, list[int]]:
    """Return what is drawn of recorded filters, [K filters h w], and [h, w]; norms are [1, 1].

    >>> import torch
    >>> [images(torch.ones(shape))[1] for shape in ((9, 6, 1, 5, 4), (9, 6, 3, 5, 4), (9, 6))]
    [[5, 4], [1, 1], [1, 1]]
    """
    if w.ndim == 5 and w.shape[2] == 1:
        w = w[:, :, 0]
    if w.ndim != 4:
        w = w.flatten(2).norm(dim=2)[..., None, None] if w.ndim > 2 else w.abs()[..., None, None]
    return w, list(w.shape[2:])


def draw(shown: FiltersEntering, index: int, label: str) -> bytes:
    """Return a PNG: the filters at up to three moments, and the curves with these marked."""
    from matplotlib import style
    from matplotlib.figure import Figure

    chosen = moments(shown, index)
    with style.context("default"):
        fig = Figure(figsize=(7.4, 1.9 + 0.62 * len(chosen)), layout="constrained")
        parts = fig.subfigures(2, 1, squeeze=False, height_ratios=[len(chosen) * 0.62, 1.9])
        upper, lower = parts[0, 0], parts[1, 0]
        count = min(MOST, shown.inside[shown.layer].shape[1])
        grid = upper.subplots(len(chosen), count, squeeze=False)
        for row, k in zip(grid, chosen, strict=True):
            _filters(list(row), shown, k)
            row[0].set_ylabel(
                f"{shown.time[k]:.3g}", rotation=0, ha="right", va="center", fontsize=9
            )
        title = f"{shown.layer}: green is in the support, at {label} …"
        upper.suptitle(title, fontsize=9, x=0.01, ha="left", color=COLORS["truth"])
        _accuracy(lower.subplots(), shown, chosen, label)
        return frames.small_png(frames.to_png(fig, 128), 64)


def _filters(row: list[Axes], shown: FiltersEntering, k: int) -> None:
    pixels, (h, w) = images(shown.weights[shown.layer])
    scale = float(pixels.abs().max()) or 1.0
    for g, ax in enumerate(row):
        inside = bool(shown.inside[shown.layer][k, g])
        if h * w > 1:
            ax.imshow(
                pixels[k, g].numpy(),
                cmap="PuOr_r",
                vmin=-scale,
                vmax=scale,
                alpha=1.0 if inside else 0.3,
            )
        else:
            color = COLORS["support in" if inside else "support out"]
            ax.bar([0], [float(pixels[k, g]) / scale], color=color, width=0.6)
            ax.set(xlim=(-0.5, 0.5), ylim=(0, 1.05))
            ax.set_box_aspect(1)
        ax.set(xticks=[], yticks=[])
        for spine in ax.spines.values():
            spine.set(
                color=COLORS["support in" if inside else "support out"], lw=2 if inside else 0.5
            )


def _accuracy(ax: Axes, shown: FiltersEntering, chosen: list[int], label: str) -> None:
    for color, (name, values) in zip(CURVES, shown.curves.items(), strict=False):
        ax.plot(shown.time, values, color=color, lw=1.8, label=name)
    for k in chosen:
        ax.axvline(shown.time[k], color=COLORS["truth"], lw=0.8, ls=(0, (2, 3)))
    entered = [t for t in shown.entries(shown.layer) if t is not None]
    ticks = [0.0] * len(entered)
    ax.plot(entered, ticks, "|", ms=12, color=COLORS["support in"], clip_on=False)
    ax.set(ylim=(0, 1.02), xlabel=label, ylabel="test accuracy")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, loc="lower right")
