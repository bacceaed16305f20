"""Figures that several chapters share. Every function draws on given axes and returns them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import torch

from fedlearn_lib.data.clients import Clients
from fedlearn_lib.inclusion.path import Path
from fedlearn_lib.simulate import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def use_book_style() -> None:
    """Give the book's matplotlib style to every figure that is drawn after this call."""
    import matplotlib.pyplot as plt

    with as_file(files("fedlearn_lib") / "book.mplstyle") as path:
        plt.style.use(path)


def plot_history(history: History, ax: Axes | None = None) -> Axes:
    """Draw every recorded value against the round, labeled at the right end of its line."""
    ax = _axes(ax)
    for name, values in history.values.items():
        (line,) = ax.plot(history.rounds, values)
        ax.annotate(
            name, (history.rounds[-1], values[-1]), xytext=(5, 0), textcoords="offset points",
            va="center", color=line.get_color(),
        )  # fmt: skip
    ax.set_xlabel("round $k$")
    return ax


def plot_clients(clients: Clients, ax: Axes | None = None, *, classes: int | None = None) -> Axes:
    """Draw each client as a bar of its samples, split by label."""
    ax = _axes(ax)
    classes = classes or int(max(clients.data(i)[1].max() for i in range(clients.m))) + 1
    counts = torch.stack([clients.data(i)[1].bincount(minlength=classes) for i in range(clients.m)])
    left = torch.zeros(clients.m)
    for c in range(classes):
        color = CLASS_COLORS[c % len(CLASS_COLORS)]
        ax.barh(range(clients.m), counts[:, c], left=left, height=0.85, color=color, label=str(c))
        left = left + counts[:, c]
    ax.set(xlabel="samples", ylabel="client $i$", ylim=(clients.m - 0.4, -0.6))
    ax.grid(visible=False)
    return ax


def plot_path(
    path: Path,
    ax: Axes | None = None,
    *,
    color: str | Sequence[str] = "#0072B2",
    steps: bool = True,
) -> Axes:
    r"""Draw every coefficient of a path against time, labeled where the line ends.

    Parameters
    ----------
    path : its ``w`` is a tensor, [K …]; it is read as zero before the first time.
    ax : where to draw, the current axes by default.
    color : one color, or one for each coefficient.
    steps : constant between the times (an exact path), or joined by lines (a discretization).
    """
    ax = _axes(ax)
    if isinstance(path.w, dict):
        raise ValueError("plot_path needs w as one tensor, got a dict; draw its entries in turn")
    t, w = path.t, path.w.reshape(len(path.t), -1)
    t = torch.cat([t[:1] / 1.3, t, t[-1:] * 1.3])
    w = torch.cat([torch.zeros_like(w[:1]), w, w[-1:]])
    colors = [color] * w.shape[1] if isinstance(color, str) else color
    for j in range(w.shape[1]):
        ax.plot(t, w[:, j], color=colors[j], drawstyle="steps-post" if steps else "default")
        if w[-1, j] != 0 and w.shape[1] <= 20:
            ax.annotate(
                rf"$\beta_{{{j + 1}}}$", (float(t[-1]), float(w[-1, j])), xytext=(3, 0),
                textcoords="offset points", va="center", color=colors[j],
            )  # fmt: skip
    ax.set(xscale="log", xlabel="path time $t$", ylabel=r"coefficient $\beta_t$")
    return ax


def _axes(ax: Axes | None) -> Axes:
    import matplotlib.pyplot as plt

    return plt.gca() if ax is None else ax
