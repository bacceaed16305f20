"""A path of matplotlib as the data of an SVG path, in whole numbers and few bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.path import Path

LETTERS = {Path.MOVETO: "m", Path.LINETO: "l", Path.CURVE3: "q", Path.CURVE4: "c"}


def outline(segments: Iterable[tuple[Any, Any]]) -> str:
    """Return path data of relative, whole steps; the path begins where the pen is.

    >>> outline(Path([(1, 1), (3.2, 1), (3, 0)]).iter_segments())
    'm1 1l2 0 0-1'
    """
    out, (px, py), (sx, sy), last = [], (0, 0), (0, 0), ""
    for verts, code in segments:
        if code == Path.CLOSEPOLY:
            out.append("z")
            (px, py), last = (sx, sy), "z"
            continue
        points = [round(float(v)) for v in verts]
        steps = [v - (px, py)[i % 2] for i, v in enumerate(points)]
        letter = LETTERS[code]
        if letter == "l" and steps == [0, 0] and last == "l":
            continue
        if letter != last:
            out.append(letter)
        elif steps[0] >= 0:
            out.append(" ")
        out.append(str(steps[0]) + "".join(f" {v}" if v >= 0 else str(v) for v in steps[1:]))
        px, py, last = points[-2], points[-1], letter
        if letter == "m":
            sx, sy = px, py
    return "".join(out)
