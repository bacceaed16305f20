"""Figures in a page without a kernel: one piece of HTML that holds all it needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedlearn_book.widgets.sheet import Sheet
    from fedlearn_book.widgets.vector import Drawing


def asset(name: str) -> str:
    """Return the text of a file that lies beside this one."""
    return (files("fedlearn_book.widgets") / name).read_text(encoding="utf-8")


def module_source(name: str) -> str:
    """Return a figure's ES module, with the helpers that it shares with others before it."""
    text = asset(name)
    shared = {"chart.js": ("timeChart(", "ticks("), "drag.js": ("pointed(",)}
    needed = [js for js, uses in shared.items() if any(use in text for use in uses)]
    return asset("dom.js") + "".join(map(asset, needed)) + text


def hero_style(name: str) -> str:
    """Return a hero figure's style, with what all of them share before it.

    Several may stand on one page: a rule that changes a shared one needs a narrower selector.
    """
    return asset("explore.css") + asset("hero.css") + asset(name)


def script_json(value: Any) -> str:
    """Return JSON that may stand inside a ``<script>``."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def vector_html(
    films: Sequence[Sequence[Drawing]],
    sheet: Sheet,
    alts: Sequence[str],
    controls: Mapping[str, Sequence[str]],
    start: Sequence[int],
    *,
    caption: str | None = None,
) -> str:
    """Return a figure with one range input a parameter that turns over drawings.

    ``films`` are the wide frames and the narrow ones; the page shows those that fit. The start
    frames stand in the page, so the figure is whole where scripts do not run. In all names
    ``sheet.key`` gives way to a hash of the content: two runs give the same bytes.
    """
    first = _position(controls, start)
    parts = list(dict.fromkeys(p for film in films for one in film for p in one.parts))
    at = {part: k for k, part in enumerate(parts)}
    state = {
        "parts": parts,
        "frames": [
            [[at[p] for p in one.parts] if k != first else None for k, one in enumerate(film)]
            for film in films
        ],
        "alts": list(alts),
        "values": list(controls.values()),
    }
    views = "".join(
        f'<svg class="fl-view {name}" role="img" aria-label="{escape(alts[first])}" '
        f'viewBox="{one.box}" width="{one.pixels}">{"".join(one.parts)}</svg>'
        for name, one in zip(("fl-wide", "fl-narrow"), (film[first] for film in films), strict=True)
    )
    rows = "".join(map(_control, controls, controls.values(), start))
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    html = (
        f'<figure class="fl-figure fl-vector" id="{sheet.key}"><style>{vector_style()}</style>'
        f"<style>{sheet.style()}</style>"
        f'<svg class="fl-defs" aria-hidden="true"><defs>{sheet.shapes()}</defs></svg>'
        f'<div class="fl-controls" hidden>{rows}</div>{views}{below}</figure>'
        f'<script>({asset("vector.js").strip()})("{sheet.key}",{script_json(state)})</script>'
    )
    return html.replace(sheet.key, f"f{hashlib.sha256(html.encode()).hexdigest()[:6]}")


def vector_style() -> str:
    """Return the style of figures that are drawings."""
    return asset("explore.css") + asset("vector.css")


def frames_html(
    shots: Sequence[str],
    alts: Sequence[str],
    controls: Mapping[str, Sequence[str]],
    start: Sequence[int],
    *,
    size: tuple[int, int],
    caption: str | None = None,
) -> str:
    """Return a figure with one range input a parameter that turns over base64 WebP frames.

    ``size`` is in CSS pixels. The start frame is an ordinary image, so the figure is whole where
    scripts do not run. The id is a hash of the content: two runs give the same bytes.
    """
    first = _position(controls, start)
    state = {
        "frames": [shot if i != first else "" for i, shot in enumerate(shots)],
        "alts": list(alts),
        "values": list(controls.values()),
    }
    key = "fl-" + hashlib.sha256(f"{script_json(state)}{start}{caption}".encode()).hexdigest()[:12]
    rows = "".join(map(_control, controls, controls.values(), start))
    image = (
        f'<img class="fl-frame" src="data:image/webp;base64,{shots[first]}" '
        f'alt="{escape(alts[first])}" width="{size[0]}" height="{size[1]}">'
    )
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="fl-figure" id="{key}"><style>{asset("explore.css")}</style>'
        f'<div class="fl-controls" hidden>{rows}</div>{image}{below}</figure>'
        f'<script>({asset("explore.js").strip()})("{key}",{script_json(state)})</script>'
    )


def module_html(source: str, style: str, state: Mapping[str, Any], still: str, alt: str) -> str:
    """Return a widget's ES module with a model that lives in the page instead of a kernel.

    The module is the one that anywidget runs. The still image stands until the module has drawn,
    and for good where scripts do not run.
    """
    data = script_json(state)
    key = "fl-" + hashlib.sha256(f"{source}{style}{data}{alt}".encode()).hexdigest()[:12]
    shim = asset("shim.js").strip()
    return (
        f"<style>{style}</style>"
        f'<div class="fl-figure" id="{key}"><img class="fl-frame" alt="{escape(alt)}" '
        f'src="data:image/png;base64,{still}"></div>'
        f'<script type="module">{source}\n({shim})(render,"{key}",{data});</script>'
    )


def drawn_html(name: str, drawing: str, state: Mapping[str, Any]) -> str:
    """Return a figure that is drawn already, as ``drawing``, and the script that moves it.

    ``name.js`` has a function ``render(element, state)``; where no script runs the drawing stands.
    """
    source, data = module_source(f"{name}.js"), script_json(state)
    key = "fl-" + hashlib.sha256(f"{source}{data}".encode()).hexdigest()[:12]
    return (
        f'<style>{asset("front.css")}</style><div class="fl-figure fl-front" id="{key}">{drawing}'
        f'</div><script type="module">{source}\nrender(document.getElementById("{key}"),{data});'
        "</script>"
    )


def _position(controls: Mapping[str, Sequence[str]], start: Sequence[int]) -> int:
    """Return which frame shows the values at ``start``, the last control moving fastest."""
    first = 0
    for at, shown in zip(start, controls.values(), strict=True):
        first = first * len(shown) + at
    return first


def _control(label: str, shown: Sequence[str], at: int) -> str:
    return (
        f'<label class="fl-control"><span>{escape(label)}</span>'
        f'<input type="range" min="0" max="{len(shown) - 1}" step="1" value="{at}" '
        f'aria-label="{escape(label)}" aria-valuetext="{escape(shown[at])}" '
        f'autocomplete="off" data-lm-suppress-shortcuts="true">'
        f'<output aria-live="polite">{escape(shown[at])}</output></label>'
    )
