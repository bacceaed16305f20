"""What all hero figures are: one ES module, live with a kernel or alone, and a still in print."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import inf
from typing import Any

from fedlearn_book.widgets import frames, page
from fedlearn_book.widgets.frontend import is_live

Bounds = Mapping[str, tuple[float, float]]


class Hero:
    """A figure that the reader can drag; make it the last line of a cell.

    Parameters
    ----------
    name : ``name.js`` and ``name.css`` lie beside this file.
    state : what the module reads and writes, by name: numbers, words, lists and dictionaries.
    still : a PNG with the same message, for print and for pages that run no script.
    alt : the message in words.
    bounds : the least and the largest value of numbers in ``state``.
    limit : the largest weight of the page's HTML in bytes; ``advice`` says how to get below it.
    """

    def __init__(
        self,
        name: str,
        state: dict[str, Any],
        *,
        still: bytes,
        alt: str,
        bounds: Bounds | None = None,
        limit: int = 120_000,
        advice: str = "show less",
    ) -> None:
        self._state, self.alt, self.widget = state, alt, None
        self._bounds = dict(bounds or {})
        self.bundle: dict[str, Any] = {"image/png": frames.encode(still), "text/plain": alt}
        source, style = page.module_source(f"{name}.js"), page.hero_style(f"{name}.css")
        if is_live():
            kinds = tuple((key, type(value)) for key, value in state.items())
            self.widget = _live_class(source, style, kinds)(self._bounds, **state)
            view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
            self.bundle["application/vnd.jupyter.widget-view+json"] = view
            return
        html = page.module_html(source, style, state, self.bundle["image/png"], alt)
        if (weight := len(html.encode())) > limit:
            raise ValueError(
                f"the figure weighs {weight / 1000:.0f} kB, at most {limit // 1000} kB are allowed "
                f"in a page: {advice}"
            )
        self.bundle["text/html"] = html

    def _get(self, name: str) -> Any:
        return self._state[name] if self.widget is None else getattr(self.widget, name)

    def _set(self, name: str, value: Any) -> None:
        if self.widget is None:
            raise RuntimeError(f"the figure has no kernel to talk to: pass {name}= instead")
        setattr(self.widget, name, value)

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the output and, live, the metadata by which Colab finds the widget's program."""
        if self.widget is None:
            return self.bundle, {}
        _, metadata = self.widget._repr_mimebundle_()
        return self.bundle, metadata


@cache
def _live_class(source: str, style: str, kinds: tuple[tuple[str, type], ...]) -> Any:
    import anywidget
    import traitlets

    made = {
        list: traitlets.List, dict: traitlets.Dict, str: traitlets.Unicode,
        int: traitlets.Int, float: traitlets.Float,
    }  # fmt: skip
    numbers = [name for name, kind in kinds if kind in (int, float)]

    class Live(anywidget.AnyWidget):
        """The same module, with its model in the kernel."""

        _esm, _css = source, style

        def __init__(self, bounds: Bounds, **state: Any) -> None:
            self._ranges = bounds
            super().__init__(**state)

        @traitlets.validate(*numbers)
        def _inside(self, proposal: Any) -> Any:
            name, value = proposal.trait.name, proposal.value
            low, high = self._ranges.get(name, (-inf, inf))
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, got {value}")
            return value

    traits = {name: made[kind]().tag(sync=True) for name, kind in kinds}
    return type("LiveHero", (Live,), traits)
