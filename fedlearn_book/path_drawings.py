"""Three drawings of Part III: two clocks, two copies and a spring, the plan of a proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlearn_book.round_drawing import page
from fedlearn_book.widgets import Picture, picture
from fedlearn_lib.viz import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT = "#374151", "#9ca3af"
IN, OUT, SHARED = COLORS["support in"], COLORS["support out"], COLORS["iss"]
PLAN = (
    ("1  descent", "a step of length $s$\nlowers $F$ by $a\\,s^2$", "Theorem 12.5"),
    ("2  slope", "after it a slope of $F$\nis at most $b\\,s$", "Lemma 12.9"),
    ("3  steepness", "near its critical points\n$F$ is steep enough", "Definition 12.11"),
    ("finite length", "the height, stretched,\npays for all steps", "Theorem 12.12"),
    ("one end", "$V$ has bounded room, so\n$W=\\Gamma$, $\\nabla\\hat{L}(W)=0$", "Prop. 12.10"),
)
PLAN_ALT = (
    "The plan of the proof as five boxes. Three feed the fourth: a step of length s lowers F by a "
    "times s squared; after it a slope of F is at most b times s; near critical points F is steep "
    "enough. Together they give a finite length. The fifth box follows: the path has one end, "
    "where weight and copy are equal and the slope of the loss is zero."
)
PLAN_CAPTION = (
    "The plan: three facts about single steps make the whole path short, and a short path must "
    "end somewhere."
)
TRUE_RATES, FALSE_RATES, KNOT = (1.0, 0.7, 0.45), (0.16, 0.11, 0.07), 1 / 0.45
CLOCKS_ALT = (
    "Accounts against path time. Three accounts of true variables rise in straight lines to the "
    "wall at one and stay there; the last arrives at the first clock. Accounts of false variables "
    "rise with the mixture of the true ones until then and by noise alone, more slowly, "
    "afterwards; the first reaches one at the second clock. Between the two clocks the signs are "
    "right."
)
CLOCKS_CAPTION = (
    "Two clocks: the weakest true variable sets the first, the noise and the room that the mixture "
    "leaves set the second. The path shows the truth from the one to the other."
)
C = np.array([[1, 0, 0.6], [0, 1, 0.6], [0.6, 0.6, 1]])
STIFF, LOOSE = 0.1, 5.0
SPRING_ALT = (
    "Left: two copies of a model, a dense one that fits the data and a sparse one, joined by a "
    "spring; the sparse one enters when the forces of the spring add up to one. Right: the forces "
    "on the three features of the puzzle before anything has entered, as parts of the largest. "
    "With a stiff spring they are nearly the correlations, and the decoy's bar is the longest; "
    "with a loose one the two true features lead, and the decoy's bar is half as long."
)
SPRING_CAPTION = (
    "The spring decides what the sparse copy sees: stiff, it passes correlations on, and the decoy "
    "leads; loose, it passes coefficients on, and the decoy falls behind."
)


def plan_of_proof() -> Picture:
    """Return the plan of the convergence proof; make it the last line of a cell."""
    return picture(_plan(), narrow=_plan(narrow=True), alt=PLAN_ALT, caption=PLAN_CAPTION)


def two_clocks() -> Picture:
    """Return the accounts between which a path is right; make it the last line of a cell."""
    return picture(_clocks(7.4), narrow=_clocks(4.1), alt=CLOCKS_ALT, caption=CLOCKS_CAPTION)


def spring() -> Picture:
    """Return what a stiff and a loose spring show; make it the last line of a cell."""
    return picture(_spring(), narrow=_spring(narrow=True), alt=SPRING_ALT, caption=SPRING_CAPTION)


def seen(nu: float) -> np.ndarray:
    r"""Return the forces on the sparse copy at $\gamma=0$, as parts of the largest, [3].

    >>> seen(1e-9).round(2).tolist(), seen(1e9).round(2).tolist()
    ([0.83, 0.83, 1.0], [1.0, 1.0, 0.0])
    """
    force: np.ndarray = np.linalg.solve(C + np.eye(3) / nu, C @ np.array([1.0, 1.0, 0.0])) / nu
    shares: np.ndarray = force / force.max()
    return shares


def _plan(*, narrow: bool = False) -> Figure:
    figure, ax = page(4.1, 6.3) if narrow else page(7.4, 3.0)
    places = (
        [(2.05, 5.65), (2.05, 4.4), (2.05, 3.15), (2.05, 1.9), (2.05, 0.65)]
        if narrow
        else [(1.25, 2.3), (3.7, 2.3), (6.15, 2.3), (2.45, 0.7), (5.3, 0.7)]
    )
    for (x, y), (head, words, where) in zip(places, PLAN, strict=True):
        goal = head in ("finite length", "one end")
        _box(ax, x, y, 2.3, 1.05, IN if goal else SHARED)
        ax.text(x, y + 0.33, head, color=INK, ha="center", va="center", size=10, weight="bold")
        ax.text(x, y - 0.01, words, color=INK, ha="center", va="center", size=9)
        ax.text(x, y - 0.4, where, color=INK, ha="center", va="center", size=9, style="italic")
    steps = [(0, 1), (1, 2), (2, 3), (3, 4)] if narrow else [(0, 3), (1, 3), (2, 3), (3, 4)]
    for i, j in steps:
        (x, y), (u, v) = places[i], places[j]
        if y == v:
            _arrow(ax, (x + 1.15, y), (u - 1.15, v))
        else:
            _arrow(ax, (x, y - 0.53), (u + 0.35 * (x - u) / max(1, abs(x - u)), v + 0.53))
    return figure


def _clocks(width: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 2.9), layout="constrained", facecolor="none")
    ax = figure.add_subplot()
    end, late = 6.5, (1 - 0.35) / FALSE_RATES[0]
    for rate in TRUE_RATES:
        ax.plot([0, 1 / rate, end], [0, 1, 1], color=IN, lw=1.8)
    t = np.linspace(0, end, 400)
    mixture = 0.35 * np.mean([np.minimum(1, rate * t) for rate in TRUE_RATES], axis=0)
    for rate in FALSE_RATES:
        ax.plot(t, np.minimum(1, mixture + rate * t), color=OUT)
    ax.axhline(1, color=INK, lw=0.8)
    ax.axvspan(KNOT, late, color=SHARED, alpha=0.14, lw=0)
    for clock, words in ((KNOT, "all true\nones in"), (late, "first\nfalse one")):
        ax.axvline(clock, color=SHARED, lw=1, ls="--")
        ax.text(clock + 0.06, 0.06, words, color=INK, size=9, va="bottom")
    ax.text((KNOT + late) / 2, 1.07, "signs right", color=INK, size=9.5, ha="center")
    ax.text(0.12, 1.07, "wall", color=INK, size=9)
    ax.set(xlim=(0, end), ylim=(0, 1.22), xlabel="path time $t$", ylabel="account $|z_j|$")
    ax.set(xticks=[KNOT, late], xticklabels=["first clock", "second clock"])
    return figure


def _spring(*, narrow: bool = False) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.1, 4.6) if narrow else (7.4, 2.5), layout="constrained",
                    facecolor="none")  # fmt: skip
    rows, columns = (2, 1) if narrow else (1, 2)
    grid = figure.add_gridspec(rows, columns)
    left, right = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    left.set(xlim=(0, 4.3), ylim=(0, 2.2))
    left.axis("off")
    turns = np.linspace(0, 1, 200)
    left.plot(1.35 + 1.3 * turns, 1.1 + 0.16 * np.sin(2 * np.pi * 7 * turns), color=INK, lw=1.2)
    for x, name, color, words in (
        (0.75, r"$\beta$", SHARED, "dense:\nfits the data"),
        (3.25, r"$\gamma$", IN, "sparse: enters when the\nforces add up to 1"),
    ):
        _box(left, x, 1.1, 1.2, 0.8, color)
        left.text(x, 1.1, name, color=INK, size=13, ha="center", va="center")
        left.text(x, 0.6, words, color=INK, size=9, ha="center", va="top")
    left.text(2.0, 1.42, r"force $(\beta-\gamma)/\nu$", color=INK, size=9.5, ha="center")
    for k, (nu, color) in enumerate(((STIFF, OUT), (LOOSE, SHARED))):
        right.bar(np.arange(3) + 0.38 * k - 0.19, seen(nu), 0.34, color=color)
        words = f"stiff, ν = {nu:g}" if k == 0 else f"loose, ν = {nu:g}"
        right.text(
            -0.4 + 1.5 * k, 1.2, words, color=INK, size=9, va="center",
                   bbox={"boxstyle": "round,pad=0.25", "fc": "none", "ec": color})  # fmt: skip
    right.set(xticks=range(3), xticklabels=["true", "true", "decoy"], ylim=(0, 1.35),
              ylabel="force, of the largest", xlim=(-0.5, 2.7), yticks=[0, 1])  # fmt: skip
    right.grid(visible=False)
    return figure


def _box(ax: Axes, x: float, y: float, width: float, height: float, color: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.08"
    at = (x - width / 2, y - height / 2)
    ax.add_patch(FancyBboxPatch(at, width, height, style, fc="none", ec=color, lw=1.4))


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    arrow = {"arrowstyle": "-|>", "color": SOFT, "lw": 1.4, "shrinkA": 2, "shrinkB": 2}
    ax.annotate("", end, start, arrowprops=arrow)
