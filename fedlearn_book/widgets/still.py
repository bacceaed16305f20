"""The heterogeneity explorer on paper: the same message without anything that moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedlearn_book.widgets import frames
from fedlearn_book.widgets.settings import Setting, guess, tasks
from fedlearn_lib.viz import CLASS_COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS = {
    "iid": ("#009E73", "o"),
    "dirichlet": ("#0072B2", "o"),
    "two groups": ("#D55E00", "s"),
    "natural": ("#CC79A7", "D"),
}
INK = "#374151"


def name(setting: Setting) -> str:
    """Return what a setting is called.

    >>> name(Setting("dirichlet", 0.1, [[3, 1]], ["no", "yes"], 0.0, 0.0, 0.0, 0.9))
    'Dirichlet, α = 0.1'
    """
    if setting.label or setting.value is None:
        return setting.label or setting.kind
    words = {"dirichlet": "Dirichlet, α", "two groups": "two groups, a"}
    return f"{words.get(setting.kind, setting.kind)} = {setting.value:g}"


def describe(settings: Sequence[Setting], index: int) -> str:
    """Return the message in words."""
    best, now = max(settings, key=lambda s: s.accuracy), settings[index]
    return (
        f"Label histograms of the clients for several ways to split the data, and the accuracy of "
        f"FedAvg against the distance of the clients’ labels to the pool: {name(now)} has total "
        f"variation {now.tv:.2f} and accuracy {now.accuracy:.1%}, {name(best)} has {best.tv:.2f} "
        f"and {best.accuracy:.1%}."
    )


def draw(settings: Sequence[Setting], index: int) -> bytes:
    """Return a PNG: up to four splits as stacked bars, and accuracy against TV."""
    from matplotlib import style
    from matplotlib.figure import Figure

    chosen = choose(settings, index)
    with style.context("default"):
        fig = Figure(figsize=(7.4, 3.4), layout="constrained")
        grid = fig.add_gridspec(2, 4, width_ratios=[1, 1, 0.08, 1.8])
        for k, i in enumerate(chosen):
            _bars(fig.add_subplot(grid[k // 2, k % 2]), settings[i], bold=i == index)
        _scatter(fig.add_subplot(grid[:, 3]), settings, index)
        return frames.small_png(frames.to_png(fig, 128), 64)


def choose(settings: Sequence[Setting], index: int) -> list[int]:
    """Return up to four telling settings by TV: the extremes, the one shown and one between."""
    order = sorted(range(len(settings)), key=lambda i: settings[i].tv)
    kept = {order[0], order[-1], index}
    for i in sorted(order, key=lambda i: abs(order.index(i) - len(order) / 2)):
        if len(kept) < 4:
            kept.add(i)
    return [i for i in order if i in kept]


def _bars(ax: Axes, setting: Setting, *, bold: bool) -> None:
    left = [0.0] * len(setting.counts)
    for c, color in enumerate(CLASS_COLORS[: len(setting.classes)]):
        shares = [row[c] / sum(row) for row in setting.counts]
        ax.barh(range(len(left)), shares, left=left, height=0.86, color=color)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    ax.set(xlim=(0, 1), ylim=(len(left) - 0.4, -0.6), xticks=[], yticks=[])
    ax.set_title(
        f"{name(setting)}\nTV {setting.tv:.2f}, accuracy {setting.accuracy:.0%}",
        fontsize=8, loc="left", color=INK, fontweight="bold" if bold else "normal",
    )  # fmt: skip
    ax.spines[:].set_visible(False)


def _scatter(ax: Axes, settings: Sequence[Setting], index: int) -> None:
    """Draw accuracy against TV; a task of its own, if there is one, has an axis at the right."""
    first, *others = tasks(settings)
    now = settings[index]
    for kind, (color, shape) in LOOKS.items():
        own = sorted((s for s in first if s.kind == kind), key=lambda s: s.value or 0)
        if own:
            x, y = [s.tv for s in own], [100 * s.accuracy for s in own]
            line = "-" if len(own) > 1 and own[0].value is not None else ""
            ax.plot(x, y, line, marker=shape, ms=5, color=color, label=kind.replace("dir", "Dir"))
    for k, group in enumerate(others):
        beside = ax.inset_axes((1.2 + 0.5 * k, 0, 0.2, 1))
        for at, setting in enumerate(group):
            color, shape = LOOKS[setting.kind]
            beside.plot(at, 100 * setting.accuracy, shape, ms=6, color=color)
        beside.axhline(100 * guess(group[0]), color=INK, ls=":", lw=1)
        beside.set_title("\n".join(name(setting) for setting in group), fontsize=8, color=INK)
        beside.set_xticks(range(len(group)), [f"TV {s.tv:.2f}" for s in group])
        beside.set(xlim=(-0.6, len(group) - 0.4), ylim=(45, 100))
        _plain(beside)
        if now in group:
            beside.plot(group.index(now), 100 * now.accuracy, "o", ms=13, mfc="none", mec=INK)
    if now in first:
        ax.plot(now.tv, 100 * now.accuracy, "o", ms=13, mfc="none", mec=INK, mew=1.5)
    ax.set_xlabel("TV, clients’ labels to the pool", fontsize=9, color=INK)
    ax.set_ylabel("FedAvg’s accuracy, %", fontsize=9, color=INK)
    ax.legend(frameon=False, fontsize=8, loc="lower left")
    _plain(ax)


def _plain(ax: Axes) -> None:
    ax.tick_params(colors=INK, labelsize=8)
    ax.grid(color="#e5e7eb")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
