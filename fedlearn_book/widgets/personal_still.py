"""From one to everybody's own on paper, drawn from the library's path."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import torch

from fedlearn_book.widgets import frames
from fedlearn_book.widgets.grid import show
from fedlearn_lib.viz import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fedlearn_book.widgets.personal import PersonalExplorer
    from fedlearn_book.widgets.personal_knots import Personal

INK = COLORS["truth"]
TRACK = "#e5e7eb"


def owned(shown: PersonalExplorer, delta: torch.Tensor) -> list[str]:
    """Return whose numbers are personal, as a reader says it."""
    return [f"{shown.names[i]}’s {shown.numbers[j]}" for i, j in delta.nonzero().tolist()]


def describe(shown: PersonalExplorer, one: Personal, t: float) -> str:
    """Return the message in words."""
    at = one.at(t)
    gone, j = owned(shown, at["delta"]), shown.number
    where = ", ".join(f"{shown.labels[name]} = {show(v)}" for name, v in shown.start.items())
    first, now = one.error[0].mean(), at["error"].mean()
    ends = [float(one.path.w[k, j]) for k in (0, -1)]
    return (
        f"The path from one shared linear model to a model of everybody’s own, {where}, at time "
        f"{t:.3g}: personal are {', '.join(gone[:4]) or 'no numbers'}"
        f"{f' and {len(gone) - 4} more' if len(gone) > 4 else ''}, of {at['delta'].numel()} "
        f"numbers; an account |V| for each number of each client fills until it is full. The "
        f"shared {shown.numbers[j]} is {ends[0]:.3f} at time 0, {float(at['w'][j]):.3f} now and "
        f"{ends[1]:.3f} at the end; the test error, averaged over clients, was {first:.3f} at time "
        f"0 and is {now:.3f}."
    )


def draw(shown: PersonalExplorer, one: Personal, t: float) -> bytes:
    """Return a PNG: the accounts, the models in use for one number, the test errors."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context("default"):
        fig = Figure(figsize=(7.4, 3.3), layout="constrained")
        left, middle, right = fig.subplots(1, 3, width_ratios=[1.7, 1.1, 0.75])
        _accounts(left, shown, one, t)
        _models(middle, shown, one, t)
        _errors(right, shown, one, t)
        for ax in (left, middle, right):
            ax.tick_params(labelsize=7.5, colors=INK, length=0)
            ax.spines[["top", "right", "left"]].set_visible(False)
        return frames.small_png(frames.to_png(fig, 128), 64)


def _accounts(ax: Axes, shown: PersonalExplorer, one: Personal, t: float) -> None:
    """A column a client, a row a number: bars that fill with |V|."""
    at = one.at(t)
    for i, tone in enumerate(shown.tones):
        for j in range(len(shown.numbers)):
            full = bool(at["delta"][i, j])
            share = min(1.0, float(at["V"][i, j].abs()))
            ax.barh(j, 0.82, left=i, height=0.42, color=TRACK)
            ax.barh(j, 0.82 * share, left=i, height=0.42, color=tone, alpha=1 if full else 0.45)
            words = f"{float(at['delta'][i, j]):+.2f}".replace("-", "−") if full else f"{share:.0%}"
            ax.text(i, j + 0.43, words, fontsize=7, color=INK, fontweight="bold" if full else None)
    names = [fill(name, 8, break_long_words=False) for name in shown.names]
    ax.set_xticks([i + 0.41 for i in range(len(names))], names)
    ax.tick_params(axis="x", rotation=90 if len(names) > 4 else 0)
    ax.set_yticks(range(len(shown.numbers)), shown.numbers)
    ax.xaxis.tick_top()
    ax.set(ylim=(len(shown.numbers) - 0.4, -0.4), xlim=(-0.05, len(shown.names)))
    ax.spines["bottom"].set_visible(False)
    ax.set_title(f"Accounts |V| at t = {t:.3g}", fontsize=10, loc="left", color=INK)


def _models(ax: Axes, shown: PersonalExplorer, one: Personal, t: float) -> None:
    """The models in use for one number, with what three methods make of the shared one."""
    at, j, m = one.at(t), shown.number, len(shown.names)
    w = float(at["w"][j])
    ax.plot([w, w], [-0.4, m + 2.2], color=COLORS["shared"], lw=1)
    for i, tone in enumerate(shown.tones):
        u, own = w + float(at["delta"][i, j]), bool(at["delta"][i, j])
        ax.plot([w, u if own else float(at["wish"][i, j])], [i, i], color=tone, lw=2 if own else 1)
        ax.plot(u, i, "o", ms=6.5, color=tone, mfc=tone if own else "white", mew=1.5)
        if not own:
            ax.plot(float(at["wish"][i, j]), i, "D", ms=3.5, color=tone, mfc="white")
    marks = {"plain mean": (float(one.path.w[0, j]), INK),
             "LASSO": (float(one.lasso_at(t)[j]), COLORS["lasso"]),
             "path": (w, COLORS["shared"])}  # fmt: skip
    for row, (value, tone) in enumerate(marks.values()):
        ax.plot(value, m + 0.3 + row, "s", ms=5, color=tone)
    ax.set_yticks([*range(m), *(m + 0.3 + k for k in range(3))], [*shown.names, *marks])
    ax.set(ylim=(m + 2.8, -0.6), xlim=shown.spans[j])
    ax.set_title(f"The {shown.numbers[j]} in use", fontsize=10, loc="left", color=INK)


def _errors(ax: Axes, shown: PersonalExplorer, one: Personal, t: float) -> None:
    """The error on the test rows client by client, with that of the shared model at t = 0."""
    now, first = one.at(t)["error"].tolist(), one.error[0].tolist()
    for i, tone in enumerate(shown.tones):
        ax.barh(i, now[i], height=0.5, color=tone)
        ax.plot([first[i]] * 2, [i - 0.36, i + 0.36], color=INK, lw=1.5)
    ax.set_xlabel("stroke: at t = 0", fontsize=8, color=INK)
    ax.set_yticks(range(len(now)), shown.names)
    ax.set(ylim=(len(now) - 0.4, -0.6), xlim=(0, 1.1 * max(now + first)))
    ax.set_title("Test error", fontsize=10, loc="left", color=INK)
