"""The long runs of chapters 11 and 13 in drawings for the page of reproductions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlearn_book.reproductions import read
from fedlearn_book.reproductions.networks_log import DATA, RIVALS, gaps, lead, shares
from fedlearn_book.reproductions.record import interval, matching
from fedlearn_book.reproductions.tickets import METHODS
from fedlearn_book.widgets import Picture, picture
from fedlearn_lib.viz import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = dict(zip(RIVALS, ("#0072B2", "#D55E00", "#CC79A7", "#009E73", "#E69F00"), strict=True))
FORM = "SplitLBI, momentum + decay"
MOST = 5.0  # points to either side


def arrival() -> Picture:
    """CIFAR-10: the network on the support catches up with the dense one while filters come in."""
    runs = matching(read("resnet_cifar10")["cells"], method=FORM)
    filters = np.mean([run["filters"] for run in runs], axis=(0, 2))
    dense, sparse = (
        np.mean([[100 * v for v in run[what]] for run in runs], 0)
        for what in ("dense", "projected")
    )
    alt = (
        "Test accuracy by epoch, dense and on the support, and the share of filters in, layer by "
        f"layer. After 2, 4 and 12 epochs the dense network has {dense[1]:.0f}, {dense[3]:.0f} and "
        f"{dense[11]:.0f} percent, the sparse one {sparse[1]:.0f}, {sparse[3]:.0f} and "
        f"{sparse[11]:.0f}, with {100 * filters[1]:.0f}, {100 * filters[3]:.0f} and "
        f"{100 * filters[11]:.0f} percent of the filters in."
    )
    caption = (
        "On CIFAR-10 the networks on the support begin at chance and reach the dense ones while "
        "the filters come in."
    )
    return picture(
        draw_arrival((7.4, 2.9), (1, 2)), narrow=draw_arrival((4.1, 5.4), (2, 1)), alt=alt,
        caption=caption,
    )  # fmt: skip


def draw_arrival(size: tuple[float, float], grid: tuple[int, int]) -> Figure:
    """Draw three seeds on the left (or on top), the mean share of each layer on the right."""
    from matplotlib.figure import Figure

    runs = matching(read("resnet_cifar10")["cells"], method=FORM)
    epochs = np.arange(1, len(runs[0]["dense"]) + 1)
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    left, right = figure.subplots(*grid).ravel()
    for run in runs:
        for what, color in (("dense", "support out"), ("projected", "support in")):
            left.plot(epochs, 100 * np.array(run[what]), color=COLORS[color])
    left.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 65))
    left.text(1.2, 47, "dense", color="#6B7280")
    left.text(4.9, 18, "on the support", color=COLORS["support in"])
    for layer in np.mean([run["filters"] for run in runs], 0).T:
        right.plot(epochs, 100 * layer, color=COLORS["lbi"], alpha=0.6)
    right.set(xlabel="epoch", ylabel="filters in (%)", ylim=(0, 105))
    return figure


def arrival_html() -> str:
    """Return the drawing for a page of the book."""
    html: str = arrival().bundle["text/html"]
    return html


def tickets_html() -> str:
    """Return the drawing for a page of the book."""
    html: str = tickets().bundle["text/html"]
    return html


def tickets() -> Picture:
    """How far the path's first units are ahead of others, with intervals."""
    told = ("rewound", "random by layer")
    rows = [
        f"{words}, {100 * share:.0f} percent: {lead(name, told[0], share)} and "
        + lead(name, told[1], share)
        for name, words in DATA.items() for share in shares(name)
    ]  # fmt: skip
    alt = (
        "How far the first units of the path are ahead of five rivals, in points. Of the rewound "
        "magnitudes and of lots with the same numbers by layer: " + "; ".join(rows) + "."
    )
    caption = (
        "From a fifth of the units on, most intervals hold zero: units that come first on the path "
        "do as well as the largest, and as lots with the same numbers by layer. Whiskers are 95 % "
        "intervals; pairs with a dead run are left out, and where one is missing only the median "
        "is drawn."
    )
    return picture(draw_tickets(7.4), narrow=draw_tickets(4.1), alt=alt, caption=caption)


def draw_tickets(width: float) -> Figure:
    """Draw one row for each data set and share, one point a rival, at most MOST to either side."""
    from matplotlib.figure import Figure

    rows = [(name, share) for name in DATA for share in shares(name)]
    figure = Figure(figsize=(width, 6.4), layout="constrained", facecolor="none")
    ax = figure.subplots()
    for row, (name, share) in enumerate(rows):
        seeds = len(read(name)["seeds"])
        for k, (rival, color) in enumerate(LOOKS.items()):
            y, found = row + 0.15 * (k - 2), gaps(name, rival, share)
            if len(found) == seeds:
                middle, half = interval(found.tolist())
                ends = np.clip([middle - half, middle + half], -MOST, MOST)
                ax.plot(ends, [y, y], color=color, linewidth=1.2)
            else:
                middle = float(np.median(found))
            if abs(middle) < MOST:
                ax.plot(middle, y, "o", color=color, markersize=4)
    ax.axvline(0, color="#9CA3AF", linewidth=0.8, zorder=0)
    ax.set_yticks(
        range(len(rows)), [f"{DATA[name]}\n{100 * share:.0f} %" for name, share in rows], fontsize=9
    )
    ax.set(xlim=(-MOST, MOST), ylim=(len(rows) - 0.4, -2.9))
    for k, (rival, color) in enumerate(LOOKS.items()):
        ax.text(-4.9, -2.6 + 0.42 * k, METHODS[rival], color=color, fontsize=9, va="center")
    ax.set_xlabel("first on the path minus the other, in points")
    ax.grid(visible=False, axis="y")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure
