"""The regularization path explorer: time against coefficients, the LASSO beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from fedlearn_book.widgets import grid, paths_still
from fedlearn_book.widgets.hero import Hero
from fedlearn_book.widgets.knots import Paths, paths_of

MAX_SETTINGS = 30
MAX_BYTES = 300_000
LABELS = {"noise": "noise σ", "correlation": "correlation"}


class PathExplorer(Hero):
    r"""Show the ISS path of ``make(**values)`` beside the LASSO's; make it the last line of a cell.

    The reader drags the time and sees which coefficients are in, what both methods make of them and
    how far both are from the truth. One or two sliders choose the problem. The paths are computed
    now, by :func:`fedlearn_lib.iss_path` and by LARS on the same data as they are given, and
    carried as knots: the page evaluates both exactly at any time, the LASSO at $\lambda=1/t$ or
    at the smallest $\lambda$ at which it has the same support.

    Parameters
    ----------
    make : a plain function of the grid's names that returns X [n p] and y [n].
    truth : [p], the true coefficients, at least one of them not zero.
    t : the time shown first; by default in the middle of where ISS has the true support.
    t_max : the end of the time axis; by default 100 times the first entry.
    compare : ``"support"`` or ``"time"``, where the LASSO is shown first.
    start, labels : as for :func:`fedlearn_book.widgets.explore`.
    names : of the p coefficients, by default β₁, β₂, …
    alt : words for the still image.
    values : one or two lists, for instance ``noise=[0, 0.5, 1]``; at most 30 settings in all.
    """

    def __init__(
        self,
        make: Callable[..., tuple[Tensor, Tensor]],
        truth: Tensor,
        *,
        t: float | None = None,
        t_max: float | None = None,
        compare: str = "support",
        start: grid.Values | None = None,
        labels: Mapping[str, str] | None = None,
        names: Sequence[str] | None = None,
        alt: str | None = None,
        **values: Sequence[Any],
    ) -> None:
        self.grid = {name: grid.listed(name, given) for name, given in values.items()}
        self.truth = torch.as_tensor(truth).detach().to(torch.float64)
        self.names = _names(len(self.truth)) if names is None else list(names)
        _check(self.grid, self.truth, self.names, compare)
        self.start = grid.start_of(self.grid, start or {})
        known = {name: word for name, word in LABELS.items() if name in self.grid}
        self.labels = grid.labels_of(self.grid, known | dict(labels or {}))
        problems = [make(**point) for point in grid.points(self.grid)]
        self.t_min, self.t_max = time_axis(problems, t_max)
        self.paths = [paths_of(X, y, self.truth, self.t_max) for X, y in problems]
        shown = self.paths[self._index(**self.start)]
        time = self._on_axis(telling(shown, self.t_max) if t is None else t)
        super().__init__(
            "paths",
            self._state_at(time, compare),
            still=paths_still.draw(self, shown, time, compare),
            alt=alt or paths_still.describe(self, shown, time, compare),
            bounds={"t": (self.t_min, self.t_max)},
            limit=MAX_BYTES,
            advice=f"it has {len(self.paths)} settings; pass fewer, or a smaller t_max",
        )

    def _on_axis(self, t: float) -> float:
        """Return a time as the page writes it; one that is off the axis is an error."""
        time = float(f"{t:.9g}")
        if not self.t_min <= time <= self.t_max:
            raise ValueError(
                f"t must be between {self.t_min:.3g} and t_max={self.t_max:.3g}, got {t}; "
                "choose a time on the axis"
            )
        return time

    def _state_at(self, t: float, compare: str) -> dict[str, Any]:
        """Return what the page reads: every setting's knots, the words, and what is shown first."""
        sliders = [
            [self.labels[name], [grid.show(value) for value in values]]
            for name, values in self.grid.items()
        ]
        options = {
            "grid": sliders,
            "names": self.names,
            "truth": self.truth.tolist(),
            "span": [self.t_min, self.t_max],
        }
        return {
            "settings": [paths.packed() for paths in self.paths],
            "options": options,
            "where": [self.grid[name].index(value) for name, value in self.start.items()],
            "t": t,
            "compare": compare,
        }

    def at(self, t: float, *, compare: str = "time", **values: Any) -> dict[str, Any]:
        """Return what the figure shows at a time: iss, lasso [p], iss_error, lasso_error, lam.

        ``values`` that are left out are those of ``start``; ``lam`` is ``None`` where no weight
        gives the LASSO the support of ISS.
        """
        paths = self.paths[self._index(**self.start | values)]
        lam = paths.same_support(t) if compare == "support" else 1 / t
        iss, lasso = paths.iss_at(t), paths.lasso_at(1 / t if lam is None else lam)
        errors = {"iss_error": paths.error(iss), "lasso_error": paths.error(lasso)}
        return {"iss": iss, "lasso": lasso, "lam": lam} | errors

    def _index(self, **values: Any) -> int:
        return list(grid.points(self.grid)).index(grid.start_of(self.grid, values))


def time_axis(
    problems: Sequence[tuple[Tensor, Tensor]], t_max: float | None = None
) -> tuple[float, float]:
    """Return the ends of the time axis: a little before the first entry, 100 times later.

    The first coordinate of a problem enters at 1 / max |Xᵀy/n|.

    >>> X, y = 2 * torch.eye(4), 2 * torch.tensor([4.0, 2, 1, 0])  # enters at 1/4
    >>> time_axis([(X, y), (X, y / 2)]), time_axis([(X, y)], t_max=3)
    ((0.2, 25.0), (0.2, 3.0))
    """
    pulls = [float((X.T @ y).abs().max()) / len(y) for X, y in problems]
    first = 1 / max(pulls)
    last = 100 * first if t_max is None else t_max
    return float(f"{0.8 * first:.6g}"), float(f"{last:.6g}")


def telling(paths: Paths, t_max: float) -> float:
    """Return the middle, on a log axis, of the longest time with the support of the truth.

    If there is none: where the most of the truth and the least else is in.
    """
    ends = torch.cat([paths.iss.t[1:], paths.iss.t.new_tensor([t_max])])
    wrong = ((torch.as_tensor(paths.iss.w) != 0) != (paths.truth != 0)).sum(1)
    spans = (ends / paths.iss.t).log() - 1e6 * wrong
    k = int(spans.argmax())
    return float((paths.iss.t[k] * ends[k]).sqrt())


def _names(p: int) -> list[str]:
    return ["β" + str(j + 1).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")) for j in range(p)]


def _check(lists: Mapping[str, list[Any]], truth: Tensor, names: list[str], compare: str) -> None:
    settings = prod(len(values) for values in lists.values())
    if not 1 <= len(lists) <= 2 or settings > MAX_SETTINGS:
        raise ValueError(
            f"one or two sliders with at most {MAX_SETTINGS} settings in all are needed, got "
            f"{list(lists)} with {settings}; pass for instance noise=[0, 0.5, 1]"
        )
    if truth.ndim != 1 or not bool(truth.any()) or len(names) != len(truth):
        raise ValueError(
            f"truth must be [p] with a coefficient that is not zero, and names as long, got "
            f"{list(truth.shape)} and {len(names)} names; pass the true coefficients"
        )
    if compare not in ("support", "time"):
        raise ValueError(f'compare must be "support" or "time", got {compare!r}')
