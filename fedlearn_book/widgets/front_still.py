"""The first page's figure as HTML: SVG drawn once, which the script moves and never draws again."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log
from typing import Any

import torch

from fedlearn_book.widgets import front, page, svg

WIDTH, HEIGHT = 380, 214
# Of each half: low, high and the pixels they lie at, for x and y; log odds, and log time.
RISKS = {"x": [-2.7, 3.4, 34, 372], "y": [0.55, 4.35, 174, 6]}
TIMES = {"x": [log(front.SPAN[0]), log(front.SPAN[1]), 8, 246], "y": [-0.118, 0.27, 184, 6]}
PERCENT = {"x": (10, 25, 50, 75, 90), "y": (70, 80, 90, 95, 98)}
ASIDE = {"Hungary": (12, 19, "end"), "Cleveland": (-12, 19, "start")}  # labels, else to the side
LEADS = {  # title, what a phone leaves out, and what it shows, too
    "start": (
        "Drag the start that four hospitals share",
        "A point is a model: two risks of heart disease.",
        "Orange: a hospital’s own. Green: one step toward it.",
    ),
    "path": (
        "Drag the time and fill a model",
        "The same 920 patients, eleven measurements. The most telling enter first, four only "
        "beyond the right end; where would you stop?",
        "",
    ),
}
LEAST = 0.03  # coefficients below are drawn without a name


def figure_html(which: Sequence[str] = ("start", "path"), **options: Any) -> str:
    """Return the figure, or one half of it; ``options`` go to the state of the hospitals."""
    halves = {"start": _start, "path": _path}
    made = {name: halves[name](**(options if name == "start" else {})) for name in which}
    state = {name: state for name, (_, state) in made.items()}
    return page.drawn_html("front", "".join(html for html, _ in made.values()), state)


def _start(**options: Any) -> tuple[str, dict[str, Any]]:
    state = front.start_state(**options)
    clients, w = front.hospitals(), torch.tensor(state["w"], dtype=torch.float64)
    own = front.moved(clients, w, state["alpha"])
    counts = torch.tensor(state["counts"], dtype=torch.float64)
    best = torch.logit(counts[..., 1] / counts.sum(2))
    x, y = svg.axis(RISKS["x"]), svg.axis(RISKS["y"])
    body = _ticks(x, y)
    for name, at in zip(state["names"], best.tolist(), strict=True):
        dx, dy, anchor = ASIDE.get(name, (11, 5, "start") if at[0] < 2 else (-11, 5, "end"))
        body += svg.dot(x(at[0]), y(at[1]), 6, "fl-client")
        body += svg.text(x(at[0]) + dx, y(at[1]) + dy, name.removeprefix("VA "), anchor, "fl-who")
    cx, cy = x(float(w[0])), y(float(w[1]))
    for to, at in zip(own.tolist(), best.tolist(), strict=True):
        body += svg.line("fl-gap", (x(to[0]), y(to[1])), (x(at[0]), y(at[1])))
        body += f'<path class="fl-step" d="M{cx:.1f},{cy:.1f}L{x(to[0]):.1f},{y(to[1]):.1f}"/>'
        body += svg.dot(x(to[0]), y(to[1]), 4.5, "fl-own")
    body += svg.dot(cx, cy, 9, "fl-shared")
    body += svg.text(cx, cy - 20, "shared start", "middle", "fl-strong fl-shared-name")
    before = front.mean_loss(clients, w.expand_as(own))
    said = _before_after(before, front.mean_loss(clients, own))
    name = "Four hospitals, the shared start, and where one step leads each hospital from it"
    state |= {"axes": RISKS}
    return _half("start", name, body, said), state


def _path() -> tuple[str, dict[str, Any]]:
    state = front.path_state()
    x, y = svg.axis(TIMES["x"]), svg.axis(TIMES["y"])
    names = front.filling().names
    curves, marks = "", ""
    ends = {j: y(value) for j, value in enumerate(state["rows"][-1]) if abs(value) > LEAST}
    for j in ends:
        way = f"M{x(log(front.SPAN[0])):.1f},{y(0):.1f}"
        for t, row in zip(state["t"], state["rows"], strict=True):
            way += f"H{x(log(t)):.1f}V{y(row[j]):.1f}"
        curves += f'<path class="fl-c{j}" d="{way}H{TIMES["x"][3]}"/>'
    for j, at in svg.spread(ends, 13).items():
        marks += svg.text(TIMES["x"][3] + 8, at + 4, names[j], "start", f"fl-name fl-c{j}")
    cut = x(log(state["now"]))
    k = sum(t <= state["now"] for t in state["t"])
    body = (
        f'<clipPath id="fl-until"><rect width="{cut:.1f}" height="{HEIGHT}"/></clipPath>'
        f'<line class="fl-axis" x1="8" x2="{TIMES["x"][3]}" y1="{y(0):.1f}" y2="{y(0):.1f}"/>'
        f'<g class="fl-later">{curves}</g>'
        f'<g class="fl-sofar" clip-path="url(#fl-until)">{curves}</g>'
        f'{marks}<line class="fl-now" x1="{cut:.1f}" x2="{cut:.1f}" y1="2" y2="190"/>'
        f'<g class="fl-dots"></g>{svg.text(8, 211, "simple", "start")}'
        f"{svg.text(TIMES['x'][3], 211, 'complex', 'end')}"
        f"{svg.text(TIMES['x'][3], 14, '↑ speaks for heart disease', 'end')}"
        f"{svg.text(TIMES['x'][3], 184, '↓ speaks against it', 'end')}"
    )
    count = sum(value != 0 for value in state["rows"][k - 1])
    told = share(state["explained"][k - 1], len(names))
    said = f"<b>{count} of {len(names)} measurements are in.</b> {told}"
    name = "Coefficients of a model of heart disease, which leave zero one after another"
    state |= {"axes": TIMES, "many": len(names)}
    return _half("path", name, body, said), state


def _half(kind: str, name: str, body: str, said: str) -> str:
    title, more, key = LEADS[kind]
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">{body}</svg>'
    return (
        f'<div class="fl-half" data-half="{kind}"><p class="fl-title">{title}</p>'
        f'<p class="fl-lead"><span class="fl-more">{more} </span>{key}</p>'
        f'<div class="fl-view">{svg}</div>'
        f'<p class="fl-say">{said}</p></div>'
    )


def _before_after(before: float, after: float) -> str:
    return (f"Mean loss <b>{before:.3f}</b> with one model for all, <b>{after:.3f}</b> after one "
            "step each. Lower is better; a coin toss has 0.693.")  # fmt: skip


def share(explained: float, many: int) -> str:
    """Say how much is explained.

    >>> share(0.8783, 11)
    'They explain 88 % of what all 11 explain together.'
    """
    digits = 1 if explained > 0.99 else 0
    return f"They explain {100 * explained:.{digits}f} % of what all {many} explain together."


def _ticks(x: Any, y: Any) -> str:
    """Percentages along both axes, and what they are of."""
    left, right, bottom, top = (RISKS["x"][2], RISKS["x"][3], RISKS["y"][2], RISKS["y"][3])
    body = ""
    for p in PERCENT["x"]:
        at = x(log(p / (100 - p)))
        body += f'<line class="fl-grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}"/>'
        body += svg.text(at, bottom + 15, f"{p} %", "middle")
    for p in PERCENT["y"]:
        at = y(log(p / (100 - p)))
        body += f'<line class="fl-grid" x1="{left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>'
        body += svg.text(left - 4, at + 4, f"{p}", "end")
    body += svg.text(right, bottom + 32, "risk of patients without pain on exertion →", "end")
    return body + svg.text(left + 5, top + 7, "↑ with pain, %", "start", "fl-over")
