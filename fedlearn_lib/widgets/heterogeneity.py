"""The heterogeneity explorer: how data are split, what each client holds, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from fedlearn_lib.viz import CLASS_COLORS
from fedlearn_lib.widgets import frames, page, still
from fedlearn_lib.widgets.frontend import is_live
from fedlearn_lib.widgets.settings import Setting, checked

MAX_BYTES = 120_000
NAMES = {
    "tv": "TV, labels to the pool",
    "w1": "W₁ between clients",
    "gamma": "γ_G at a reference model",
    "accuracy": "FedAvg’s test accuracy",
}


class HeterogeneityExplorer:
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
        self._state = state
        self.alt = alt or still.describe(self.settings, first)
        self.widget = _widget_class()(**state) if is_live() else None
        self._bundle = self._render(first)

    @property
    def index(self) -> int:
        """The setting that is shown."""
        return int(self._state["index"] if self.widget is None else self.widget.index)

    @index.setter
    def index(self, value: int) -> None:
        if self.widget is None:
            raise RuntimeError("the figure has no kernel to talk to: pass index= instead")
        self.widget.index = value

    def _render(self, first: int) -> dict[str, Any]:
        image = frames.encode(still.draw(self.settings, first))
        if self.widget is not None:
            view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
            kernel = {"application/vnd.jupyter.widget-view+json": view}
            return kernel | {"image/png": image, "text/plain": self.alt}
        html = page.module_html(
            page.module_source("heterogeneity.js"),
            page.asset("explore.css") + page.asset("heterogeneity.css"),
            self._state,
            image,
            self.alt,
        )
        if len(html.encode()) > MAX_BYTES:
            raise ValueError(
                f"the figure weighs {len(html.encode()) / 1000:.0f} kB with {len(self.settings)} "
                f"settings, at most {MAX_BYTES // 1000} kB are allowed: pass fewer settings"
            )
        return {"text/html": html, "image/png": image, "text/plain": self.alt}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self._bundle


@cache
def _widget_class() -> Any:
    import anywidget
    import traitlets

    class LiveHeterogeneityExplorer(anywidget.AnyWidget):
        """The same module, with its model in the kernel."""

        _esm = page.module_source("heterogeneity.js")
        _css = page.asset("explore.css") + page.asset("heterogeneity.css")
        settings: Any = traitlets.List().tag(sync=True)
        options: Any = traitlets.Dict().tag(sync=True)
        index: Any = traitlets.Int().tag(sync=True)

        @traitlets.validate("index")
        def _inside(self, proposal: Any) -> int:
            if not 0 <= proposal.value < len(self.settings):
                raise ValueError(
                    f"index must be from 0 to {len(self.settings) - 1}, got {proposal.value}"
                )
            return int(proposal.value)

    return LiveHeterogeneityExplorer


def _telling(settings: Sequence[Setting]) -> int:
    some = [i for i, s in enumerate(settings) if s.kind == "dirichlet"] or range(len(settings))
    return min(some, key=lambda i: settings[i].accuracy)
