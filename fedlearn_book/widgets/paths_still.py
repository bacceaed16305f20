"""The regularization path explorer on paper, drawn from the library's paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fedlearn_book.widgets import frames
from fedlearn_book.widgets.grid import show
from fedlearn_lib.viz import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fedlearn_book.widgets.knots import Paths
    from fedlearn_book.widgets.paths import PathExplorer


def beside(paths: Paths, t: float, compare: str) -> float:
    """Return the LASSO's weight that is shown beside time t."""
    matched = paths.same_support(t) if compare == "support" else None
    return 1 / t if matched is None else matched


def describe(shown: PathExplorer, paths: Paths, t: float, compare: str) -> str:
    """Return the message in words."""
    real = paths.truth != 0
    iss, lasso = paths.iss_at(t), paths.lasso_at(beside(paths, t, compare))
    off = [float((beta - paths.truth)[real].abs().mean()) for beta in (iss, lasso)]
    where = ", ".join(f"{name} {show(value)}" for name, value in shown.start.items())
    return (
        f"Coefficients of the inverse scale space and of the LASSO against time, {where}. At time "
        f"{t:.3g} {int((iss[real] != 0).sum())} of {int(real.sum())} true coefficients and "
        f"{int((iss[~real] != 0).sum())} false ones are in; the true ones are off by {off[0]:.3f} "
        f"on average, those of the LASSO beside it by {off[1]:.3f}."
    )


def draw(shown: PathExplorer, paths: Paths, t: float, compare: str) -> bytes:
    """Return a PNG: both paths with the true values and the cursors."""
    from matplotlib import style
    from matplotlib.figure import Figure

    lam = beside(paths, t, compare)
    with style.context("default"):
        fig = Figure(figsize=(7.4, 3.3), layout="constrained")
        left, right = fig.subplots(1, 2, sharey=True)
        _steps(left, shown, paths, t)
        _bent(right, shown, paths, lam)
        real = [*(v for v in paths.truth.tolist() if v), 0.0]
        margin = 0.22 * (max(real) - min(real))
        for ax in (left, right):
            for value in real:
                ax.axhline(value, color=COLORS["truth"], lw=0.8, ls=(0, (5, 4)))
            ax.set(xscale="log", xlim=(shown.t_min, shown.t_max), xlabel="time t")
            ax.set_ylim(min(real) - margin, max(real) + margin)
            ax.spines[["top", "right"]].set_visible(False)
        left.set_ylabel("coefficients")
        left.set_title(f"ISS at t = {t:.3g}", fontsize=10, loc="left", color=COLORS["truth"])
        title = f"LASSO, t = 1/λ, at λ = {lam:.3g}"
        right.set_title(title, fontsize=10, loc="left", color=COLORS["truth"])
        return frames.small_png(frames.to_png(fig, 128), 64)


def _steps(ax: Axes, shown: PathExplorer, paths: Paths, t: float) -> None:
    times = torch.cat([paths.iss.t, paths.iss.t.new_tensor([shown.t_max])])
    steps = torch.as_tensor(paths.iss.w)
    rows = torch.cat([torch.zeros_like(steps[:1]), steps])
    _curves(ax, shown, paths, torch.cat([times.new_tensor([shown.t_min]), times]), rows, "iss")
    _cursor(ax, paths, t, paths.iss_at(t), "iss")


def _bent(ax: Axes, shown: PathExplorer, paths: Paths, lam: float) -> None:
    lams = 1 / torch.logspace(0, 1, 300, base=shown.t_max / shown.t_min) / shown.t_min
    rows = torch.stack([paths.lasso_at(float(value)) for value in lams])
    _curves(ax, shown, paths, 1 / lams, rows, "lasso")
    _cursor(ax, paths, 1 / lam, paths.lasso_at(lam), "lasso")


def _curves(
    ax: Axes, shown: PathExplorer, paths: Paths, times: torch.Tensor, rows: torch.Tensor, name: str
) -> None:
    style = "steps-post" if name == "iss" else "default"
    rows = rows if name == "lasso" else torch.cat([rows, rows[-1:]])[: len(times)]
    for j in ((paths.truth == 0) & (rows != 0).any(0)).nonzero()[:, 0].tolist():
        ax.plot(times, rows[:, j], color=COLORS["support out"], lw=0.7, drawstyle=style)
    for j in paths.truth.nonzero()[:, 0].tolist():
        ax.plot(times, rows[:, j], color=COLORS[name], lw=1.8, drawstyle=style)
        ax.annotate(
            shown.names[j], (shown.t_max, float(rows[-1, j])), xytext=(3, 0),
            textcoords="offset points", va="center", fontsize=8, annotation_clip=False,
        )  # fmt: skip


def _cursor(ax: Axes, paths: Paths, t: float, beta: torch.Tensor, name: str) -> None:
    ax.axvline(t, color=COLORS["truth"], lw=1.2)
    inside = beta.nonzero()[:, 0].tolist()
    ax.plot([t] * len(inside), beta[inside], "o", ms=4.5, color=COLORS[name], clip_on=True)
