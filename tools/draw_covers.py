"""Draw the covers on the first page: what five chapters' interactive figures show, small.

    python -m tools.draw_covers [--check]

writes book/images/cover-….svg from the states that the chapters' stored outputs carry; with --check
it writes nothing and fails where a stored drawing differs from what would be drawn.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from math import exp, log
from typing import Any

from tools.draw_images import BLUE, GREEN, ORANGE, ROOT, VERMILION, keep, svg

WIDTH, HEIGHT = 240, 132
SOFT = 'stroke="currentColor" stroke-opacity="0.35"'
LEFT, TOP, RIGHT, BOTTOM = 6, 6, WIDTH - 6, HEIGHT - 6
FIGURES = {
    "heterogeneity": ("02_heterogeneity", "HeterogeneityExplorer("),
    "landscape": ("03_meta_gradients", "MetaLandscape("),
    "paths": ("08_inverse_scale_space", "PathExplorer("),
    "filters": ("11_dessilbi", "FiltersEntering("),
    "personal": ("14_parsimonious_personalization", "PersonalExplorer(\n"),
}


def state_of(chapter: str, call: str) -> dict[str, Any]:
    """Read what a chapter's figure shows first from its stored output."""
    text = (ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8")
    for cell in json.loads(text)["cells"]:
        if call in "".join(cell["source"]):
            for output in cell.get("outputs", []):
                html = "".join(output.get("data", {}).get("text/html", ""))
                if found := re.search(r'\(render,"fl-\w+",(\{.*\})\);</script>', html):
                    state: dict[str, Any] = json.loads(found.group(1))
                    return state
    raise SystemExit(f"{chapter} shows no {call}...): run the chapter")


def heterogeneity(state: dict[str, Any]) -> str:
    """The first twelve clients of the split shown first: a bar each, a color for each digit."""
    rows = state["settings"][state["index"]]["counts"][:12]
    step = (BOTTOM - TOP) / len(rows)
    body = ""
    for k, row in enumerate(rows):
        left = float(LEFT)
        for count, color in zip(row, state["options"]["colors"], strict=True):
            width = (RIGHT - LEFT) * count / sum(row)
            if count:
                body += (f'<rect x="{left:.1f}" y="{TOP + step * k:.1f}" width="{width:.1f}" '
                         f'height="{0.8 * step:.1f}" fill="{color}"/>\n')  # fmt: skip
            left += width
    return body


def landscape(state: dict[str, Any]) -> str:
    """Level lines of the loss after a step, and where one step leads each client."""
    import numpy as np
    import torch
    from contourpy import contour_generator

    from fedlearn_book.widgets.landscape import MetaLandscape

    parts = {name: torch.tensor([c[name] for c in state["clients"]]) for name in ("A", "bend")}
    centers = torch.tensor([client["center"] for client in state["clients"]])
    shown = MetaLandscape(parts["A"], centers, parts["bend"], alpha=state["alpha"], w=state["w"])
    x, y = torch.linspace(-2.9, 2.9, 49), torch.linspace(-1.4, 1.8, 29)
    points = torch.cartesian_prod(y, x).flip(1)
    heights = shown.heights(points, state["alpha"]).view(len(y), len(x))
    lines = contour_generator(x, y, heights)

    def place(point: Sequence[float]) -> str:
        return f"{WIDTH * (point[0] + 2.9) / 5.8:.1f},{HEIGHT * (1.8 - point[1]) / 3.2:.1f}"

    low, high = float(heights.min()), float(heights.max())
    body = ""
    for k in range(1, 9):
        for line in lines.lines(low + (high - low) * (k / 9) ** 2.2):
            way = " ".join(place(point) for point in np.asarray(line).tolist())
            body += f'<polyline points="{way}" fill="none" {SOFT}/>\n'
    start = place(state["w"])
    steps = shown.directions(state["w"], state["alpha"], state["delta"])["steps"]
    for center, to in zip(centers.tolist(), steps, strict=True):
        body += f'<path d="M{start}L{place(to)}" stroke="{GREEN}" stroke-width="2.5"/>\n'
        body += _dot(place(center), 4.5, ORANGE) + _dot(place(to), 3.5, GREEN)
    return body + _dot(start, 7, BLUE)


def paths(state: dict[str, Any]) -> str:
    """The true coefficients over time: inverse scale space in steps, the LASSO bent."""
    options = state["options"]
    index = 0
    for (_, values), at in zip(options["grid"], state["where"], strict=True):
        index = index * len(values) + at
    setting, truth, (first, last) = state["settings"][index], options["truth"], options["span"]
    low, high = min(truth) - 0.7, max(truth) + 0.5

    def place(t: float, v: float) -> str:
        x = LEFT + (RIGHT - LEFT) * log(t / first) / log(last / first)
        return f"{x:.1f},{BOTTOM - (BOTTOM - TOP) * (v - low) / (high - low):.1f}"

    body = f'<path d="M{place(first, 0)}L{place(last, 0)}" {SOFT}/>\n'
    for j in [j for j, value in enumerate(truth) if value]:
        knots = [(1 / lam, _entry(row, j)) for lam, row in zip(setting["lam"], setting["lasso"],
                                                               strict=True)]  # fmt: skip
        times = [first * exp(k / 60 * log(last / first)) for k in range(61)]
        bent = [place(t, _between(knots, t)) for t in times]
        steps, before = [place(first, 0)], 0.0
        for t, row in zip(setting["t"], setting["iss"], strict=True):
            steps += [place(t, before), place(t, before := _entry(row, j))]
        steps.append(place(last, before))
        body += _curve(bent, VERMILION, 1.8) + _curve(steps, BLUE, 2.6)
    return body


def filters(state: dict[str, Any]) -> str:
    """The filters of a layer at the moment shown first; framed are those in the support."""
    layer, k = state["layers"][state["layer"]], state["index"]
    inside = layer["inside"][k]
    (high, wide), count = layer["shape"], len(inside)
    size = high * wide
    data = [b - 256 * (b > 127) for b in base64.b64decode(layer["data"])]
    data = data[k * count * size : (k + 1) * count * size]
    most = max(map(abs, data))
    columns, cell, gap = 3, 10.8, 7
    tile = cell * wide
    left = (WIDTH - columns * tile - (columns - 1) * gap) / 2
    body = ""
    for g, bit in enumerate(inside):
        x0, y0 = left + (g % columns) * (tile + gap), TOP + (g // columns) * (tile + gap)
        for q in range(size):
            value = data[g * size + q] / most
            color = "#E66100" if value > 0 else "#7B5CC0"
            faint = abs(value) * (1 if bit == "1" else 0.35)
            if faint > 0.02:
                at = f"M{x0 + cell * (q % wide):.1f} {y0 + cell * (q // wide):.1f}"
                body += (f'<path d="{at}h{cell}v{cell}h-{cell}" fill="{color}" '
                         f'fill-opacity="{faint:.2f}"/>\n')  # fmt: skip
        frame = f'stroke="{GREEN}" stroke-width="2.5"' if bit == "1" else SOFT
        body += (f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{tile:.1f}" height="{tile:.1f}" rx="2" '
                 f'fill="none" {frame}/>\n')  # fmt: skip
    return body


def personal(state: dict[str, Any]) -> str:
    """One number over time: the shared value in steps, and each client from where it leaves."""
    found, j = state["settings"][state["setting"]][state["far"]], state["number"]
    d, times = len(state["options"]["numbers"]), found["t"]
    shared = [row[j] for row in found["w"]]
    own = [[shared[k] + _entry(row, i * d + j) for k, row in enumerate(found["delta"])]
           for i in range(len(state["options"]["names"]))]  # fmt: skip
    low, high = min(map(min, own)) - 0.03, max(map(max, own)) + 0.03
    first, last = 0.5 * times[1], 200 * times[1]

    def place(t: float, v: float) -> str:
        x = LEFT + (RIGHT - LEFT) * log(min(max(t, first), last) / first) / log(last / first)
        return f"{x:.1f},{BOTTOM - (BOTTOM - TOP) * (v - low) / (high - low):.1f}"

    def steps(values: Sequence[float], since: int = 0) -> list[str]:
        ends = [*times[1:], last][since:]
        return [place(t, v) for t0, t1, v in zip(times[since:], ends, values[since:], strict=True)
                for t in (t0, t1)]  # fmt: skip

    body = ""
    for values in own:
        apart = [abs(a - b) > 1e-9 for a, b in zip(values, shared, strict=True)]
        if any(apart):
            since = apart.index(True)
            body += _curve(steps(values, since), GREEN, 2.2)
            body += _dot(place(times[since], values[since]), 4, ORANGE)
    return body + _curve(steps(shared), BLUE, 3)


def _dot(at: str, radius: float, color: str) -> str:
    x, y = at.split(",")
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{color}"/>\n'


def _curve(points: Sequence[str], color: str, width: float) -> str:
    return (f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" '
            f'stroke-width="{width}" stroke-linejoin="round"/>\n')  # fmt: skip


def _entry(row: Sequence[float], j: int) -> float:
    """Read entry j of a row "index, value, index, value, ..."."""
    return float(dict(zip(row[::2], row[1::2], strict=True)).get(j, 0.0))


def _between(knots: Sequence[tuple[float, float]], t: float) -> float:
    """Follow the LASSO, linear in 1 / t, between its knots (time, value)."""
    for (t0, v0), (t1, v1) in pairwise(knots):
        if t0 <= t <= t1:
            return v0 + (v1 - v0) * (1 / t0 - 1 / t) / (1 / t0 - 1 / t1)
    return 0.0 if t < knots[0][0] else knots[-1][1]


def covers() -> dict[str, str]:
    """Draw all five."""
    draw = {"heterogeneity": heterogeneity, "landscape": landscape, "paths": paths,
            "filters": filters, "personal": personal}  # fmt: skip
    return {f"cover-{name}.svg": svg(WIDTH, HEIGHT, draw[name](state_of(*FIGURES[name])))
            for name in FIGURES}  # fmt: skip


def main(check: bool) -> int:
    """Write the covers, or compare the stored ones with what would be written."""
    return keep(covers(), check, "python -m tools.draw_covers")


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv[1:]))
