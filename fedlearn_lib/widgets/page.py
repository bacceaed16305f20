"""Figures in a page without a kernel: one piece of HTML that holds all it needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any


def asset(name: str) -> str:
    """Return the text of a file that lies beside this one."""
    return (files("fedlearn_lib.widgets") / name).read_text(encoding="utf-8")


def module_source(name: str) -> str:
    """Return a figure's ES module, with the helpers that it shares with others before it."""
    text = asset(name)
    return asset("dom.js") + (asset("chart.js") if "timeChart(" in text else "") + text


def hero_style(name: str) -> str:
    """Return a hero figure's style, with what all of them share before it.

    Several may stand on one page: a rule that changes a shared one needs a narrower selector.
    """
    return asset("explore.css") + asset("hero.css") + asset(name)


def script_json(value: Any) -> str:
    """Return JSON that may stand inside a ``<script>``."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


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
    first, sizes = 0, [len(shown) for shown in controls.values()]
    for at, length in zip(start, sizes, strict=True):
        first = first * length + at
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


def _control(label: str, shown: Sequence[str], at: int) -> str:
    return (
        f'<label class="fl-control"><span>{escape(label)}</span>'
        f'<input type="range" min="0" max="{len(shown) - 1}" step="1" value="{at}" '
        f'aria-label="{escape(label)}" aria-valuetext="{escape(shown[at])}" '
        f'autocomplete="off" data-lm-suppress-shortcuts="true">'
        f'<output aria-live="polite">{escape(shown[at])}</output></label>'
    )
