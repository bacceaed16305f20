"""The heterogeneity explorer: how data are split, what each client holds, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedlearn_book.widgets import still
from fedlearn_book.widgets.hero import Hero
from fedlearn_book.widgets.settings import Setting, checked
from fedlearn_lib.viz import CLASS_COLORS

NAMES = {
    "tv": "TV, labels to the pool",
    "w1": "W₁ between clients",
    "gamma": "γ_G at a reference model",
    "accuracy": "FedAvg’s test accuracy",
}


class HeterogeneityExplorer(Hero):
    """Show the settings; make it the last line of a cell.

    The reader chooses a kind of split and its concentration, or drags the mark on the chart, and
    sees the labels of every client, three distances and the accuracy. With a front end attached
    ``explorer.index`` follows the reader and moves the figure when it is set.

    Parameters
    ----------
    settings : at least two; the controls snap to them.
    index : the one shown first; by default the Dirichlet split with the lowest accuracy.
    rounds : FedAvg's rounds behind the accuracies, for the sentence.
    weights : how clients count in the pool and in the mean TV, ``"size"`` or ``"equal"``.
    names : words for the four read-outs, by ``tv``, ``w1``, ``gamma``, ``accuracy``.
    alt : words for the still image where no script runs.
    """

    def __init__(
        self,
        settings: Sequence[Setting],
        *,
        index: int | None = None,
        rounds: int | None = None,
        weights: str = "size",
        names: Mapping[str, str] | None = None,
        alt: str | None = None,
    ) -> None:
        if weights not in ("size", "equal"):
            raise ValueError(f'weights must be "size" or "equal", got {weights!r}')
        self.settings = checked(settings, weights)
        first = _telling(self.settings) if index is None else index
        if not 0 <= first < len(self.settings):
            raise ValueError(f"index must be from 0 to {len(self.settings) - 1}, got {index}")
        if extra := sorted(set(names or {}) - set(NAMES)):
            raise ValueError(f"names has {extra}; it may have {sorted(NAMES)}")
        colors = list(CLASS_COLORS)
        options = {"rounds": rounds, "weights": weights, "names": NAMES | dict(names or {})}
        state: dict[str, Any] = {
            "settings": [setting._asdict() for setting in self.settings],
            "index": first,
            "options": options | {"colors": colors},
        }
        super().__init__(
            "heterogeneity",
            state,
            still=still.draw(self.settings, first),
            alt=alt or still.describe(self.settings, first),
            bounds={"index": (0, len(self.settings) - 1)},
            advice=f"it has {len(self.settings)} settings; pass fewer",
        )

    @property
    def index(self) -> int:
        """The setting that is shown."""
        return int(self._get("index"))

    @index.setter
    def index(self, value: int) -> None:
        self._set("index", value)


def _telling(settings: Sequence[Setting]) -> int:
    some = [i for i, s in enumerate(settings) if s.kind == "dirichlet"] or range(len(settings))
    return min(some, key=lambda i: settings[i].accuracy)
