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
FAMILIES = {
    "passing": ("the path, in passing", "#0072B2"),
    "order, retrained": ("the path's order", "#56B4E9"),
    "level order, retrained": ("the path's order by layer", "#0F766E"),
    "end size, retrained": ("magnitude at the path's end", "#7C3AED"),
    "size, retrained": ("magnitude after SGD", "#E69F00"),
    "decayed size, retrained": (
        "magnitude after SGD with the spring's decay",
        "#D55E00",
    ),
    "prox": ("proximal SGD", "#009E73"),
    "bregman": ("Bregman training", "#CC79A7"),
}
PHOTOGRAPHS = {
    "family_cifar10": "CIFAR-10, 20 epochs", "family_cifar10_long": "CIFAR-10, 40 epochs",
    "family_cifar100": "CIFAR-100", "family_tiny": "Tiny ImageNet",
}  # fmt: skip
FORM = "SplitLBI, momentum + decay"
MOST = 5.0  # points to either side
FAMILY_CAPTION = (
    "After short trainings the path's order is mostly ahead of magnitude where little is left, "
    "after a long one on CIFAR-10 it is not; there a training for each strength of a penalty is "
    "ahead of both. Cut networks had one more epoch; one seed each."
)


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


def families() -> Picture:
    """Accuracy of each member of each family against its work."""
    said = []
    for name, words in PHOTOGRAPHS.items():
        whole = members(name, "dense")[0]
        best = max((m for k in FAMILIES for m in members(name, k)), key=lambda m: m["held"])
        work = 100 * best["multiply_adds"] / whole["multiply_adds"]
        said.append(
            f"{words}: the whole network {100 * whole['test']:.0f} percent, the best member "
            f"{100 * best['test']:.0f} with {work:.0f} percent of its multiply-adds"
        )
    alt = "Test accuracy against the share of multiply-adds, for up to eight families. "
    return picture(
        draw_families((7.4, 8.0), (3, 2)), narrow=draw_families((4.1, 13.5), (5, 1)),
        alt=alt + "; ".join(said) + ".", caption=FAMILY_CAPTION,
    )  # fmt: skip


def members(name: str, family: str) -> list[dict[str, float]]:
    """Return the living members of a family by their work; ``passing`` is that of any ν."""
    found = [
        m for cell in read(name)["cells"] if cell["setting"]["family"].startswith(family)
        and ("retrained" in family) == ("retrained" in cell["setting"]["family"])
        and cell["setting"]["seed"] == 0
        for m in cell["result"]["members"] if not m["dead"]
    ]  # fmt: skip
    return sorted(found, key=lambda m: m["multiply_adds"])


def draw_families(size: tuple[float, float], grid: tuple[int, int]) -> Figure:
    """Draw one panel a run; the panel after them names the lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    panels = figure.subplots(*grid).ravel()
    legend = panels[len(PHOTOGRAPHS)]
    for empty in panels[len(PHOTOGRAPHS) :]:
        empty.set_axis_off()
    for ax, (name, words) in zip(panels, PHOTOGRAPHS.items(), strict=False):
        whole = members(name, "dense")[0]
        ax.axhline(100 * whole["test"], color="#9CA3AF", linewidth=0.8, linestyle="--", zorder=0)
        for family, (_, color) in FAMILIES.items():
            own = members(name, family)
            work = [100 * m["multiply_adds"] / whole["multiply_adds"] for m in own]
            ax.plot(work, [100 * m["test"] for m in own], "o-", color=color, markersize=3.5)
        ax.set(title=words, xlim=(0, 102), ylim=(0, None), xlabel="multiply-adds (%)")
        ax.set_ylabel("test accuracy (%)")
    for k, (words, color) in enumerate(FAMILIES.values()):
        legend.text(0.02, 0.98 - 0.11 * k, words, color=color, fontsize=9.5, va="top",
                    transform=legend.transAxes)  # fmt: skip
    legend.text(0.02, 0.98 - 0.11 * len(FAMILIES), "dashed: the whole network", color="#6B7280",
                fontsize=9.5, va="top", transform=legend.transAxes)  # fmt: skip
    return figure


def families_html() -> str:
    """Return the drawing for a page of the book."""
    html: str = families().bundle["text/html"]
    return html
