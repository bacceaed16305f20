"""Figures that several chapters share. Every function draws on given axes and returns them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import torch

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers
from fedlearn_lib.data.clients import Clients
from fedlearn_lib.federated.simulate import History
from fedlearn_lib.sparse.path import Path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
else:
    Axes = Any  # matplotlib is imported by who draws

#: Okabe-Ito colours with one meaning through the whole book.
COLORS = {
    "client": "#E69F00",
    "shared": "#0072B2",
    "personal": "#009E73",
    "exact": "#0072B2",
    "fo": "#D55E00",
    "hf": "#CC79A7",
    "truth": "#374151",
    "lasso": "#D55E00",
    "iss": "#0072B2",
    "lbi": "#56B4E9",
    "support in": "#009E73",
    "support out": "#9CA3AF",
}

#: Ten colours for ten classes: the seven Okabe-Ito hues and three tints between them.
CLASS_COLORS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9",
    "#D55E00", "#F0E442", "#7F7F7F", "#7B4EA3", "#8C564B",
)  # fmt: skip

MOST = 1000  # classes in one picture


def use_book_style() -> None:
    """Give the book's matplotlib style to every figure that is drawn after this call."""
    import matplotlib.pyplot as plt

    with as_file(files("fedlearn_lib") / "book.mplstyle") as path:
        plt.style.use(path)


@checked()
def plot_history(history: History, ax: Axes | None = None) -> Axes:
    """Draw every recorded value against the round, labeled at the right end of its line."""
    ax = _axes(ax)
    lengths = {name: len(values) for name, values in history.values.items()}
    if not history.rounds or any(length != len(history.rounds) for length in lengths.values()):
        raise ValueError(
            f"history must hold one value a round under each name, got {len(history.rounds)} "
            f"rounds and {lengths} values; record it with run(..., probe=...)"
        )
    for name, values in history.values.items():
        (line,) = ax.plot(history.rounds, values)
        ax.annotate(
            name, (history.rounds[-1], values[-1]), xytext=(5, 0), textcoords="offset points",
            va="center", color=line.get_color(),
        )  # fmt: skip
    ax.set_xlabel("round $k$")
    return ax


@checked()
def plot_clients(clients: Clients, ax: Axes | None = None, *, classes: int | None = None) -> Axes:
    """Draw each client as a bar of its samples, split by label."""
    ax = _axes(ax)
    check_integers(classes=classes)
    labels = [clients.data(i)[1] for i in range(clients.m)]
    if clients.y.is_complex():
        raise ValueError(f"clients must have integer labels y, got {clients.y.dtype}; number them")
    low, high = int(min(y.min() for y in labels)), int(max(y.max() for y in labels))
    classes = max(classes or 0, high + 1)
    if low < 0 or classes > MOST or clients.y.is_floating_point() or clients.y.ndim != 2:
        raise ValueError(
            f"clients must have integer labels y from 0, and at most {MOST} classes to draw, got "
            f"{low} to {high} ({clients.y.dtype}) and classes={classes}; number them from 0"
        )
    counts = torch.stack([y.long().bincount(minlength=classes) for y in labels])
    left = torch.zeros(clients.m)
    for c in range(classes):
        color = CLASS_COLORS[c % len(CLASS_COLORS)]
        ax.barh(range(clients.m), counts[:, c], left=left, height=0.85, color=color, label=str(c))
        left = left + counts[:, c]
    ax.set(xlabel="samples", ylabel="client $i$", ylim=(clients.m - 0.4, -0.6))
    ax.grid(visible=False)
    return ax


@checked()
def plot_path(
    path: Path,
    ax: Axes | None = None,
    *,
    color: str | Sequence[str] = "#0072B2",
    steps: bool = True,
) -> Axes:
    r"""Draw the coefficients of a path against time, labeled where the line ends.

    Of more than 20 those are drawn that ever enter, and labeled if they are 20 at most.

    Parameters
    ----------
    path : its ``w`` is a tensor, [K …]; it is read as zero before the first time.
    ax : where to draw, the current axes by default.
    color : one color, or one for each coefficient.
    steps : constant between the times (an exact path), or joined by lines (a discretization).
    """
    ax = _axes(ax)
    if isinstance(path.w, dict):
        raise ValueError("path must have its w as one tensor, got a dict; draw its entries in turn")
    if not len(path.t):
        raise ValueError("path must hold at least one time, got none; record a longer run")
    t, w = path.t.detach(), path.w.detach().reshape(len(path.t), -1)
    t = torch.cat([t[:1] / 1.3, t, t[-1:] * 1.3])
    w = torch.cat([torch.zeros_like(w[:1]), w, w[-1:]])
    colors = [color] * w.shape[1] if isinstance(color, str) else list(color)
    if len(colors) != w.shape[1]:
        raise ValueError(
            f"color must be one color or one for each of {w.shape[1]} coefficients, got "
            f"{len(colors)}"
        )
    few = w.shape[1] <= 20
    drawn = range(w.shape[1]) if few else (w != 0).any(0).nonzero().flatten().tolist()
    for j in drawn:
        ax.plot(t, w[:, j], color=colors[j], drawstyle="steps-post" if steps else "default")
        if w[-1, j] != 0 and len(drawn) <= 20:
            ax.annotate(
                rf"$\beta_{{{j + 1}}}$", (float(t[-1]), float(w[-1, j])), xytext=(3, 0),
                textcoords="offset points", va="center", color=colors[j],
            )  # fmt: skip
    ax.set(xscale="log", xlabel="path time $t$", ylabel=r"coefficient $\beta_t$")
    return ax


def _axes(ax: Axes | None) -> Axes:
    import matplotlib.axes
    import matplotlib.pyplot as plt

    if not isinstance(ax, matplotlib.axes.Axes | None):
        raise ValueError(f"ax must be matplotlib Axes or None, got {ax!r}; use plt.subplots()")
    return plt.gca() if ax is None else ax
