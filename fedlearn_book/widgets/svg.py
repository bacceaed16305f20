"""Pieces of drawings that stand in the page as SVG before a script moves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape


def axis(ends: Sequence[float]) -> Callable[[float], float]:
    low, high, start, end = ends
    return lambda v: start + (v - low) / (high - low) * (end - start)


def line(kind: str, a: tuple[float, float], b: tuple[float, float]) -> str:
    ends = f'x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}"'
    return f'<line class="{kind}" {ends}/>'


def dot(cx: float, cy: float, r: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{cx:.1f}" cy="{cy:.1f}" r="{r}"/>'


def text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    at = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {at}{named}>{escape(text)}</text>"


def spread(at: dict[int, float], gap: float) -> dict[int, float]:
    """Push labels apart, and keep each as near to its line as that allows.

    >>> spread({0: 10.0, 1: 12.0}, 10)
    {0: 6.0, 1: 16.0}
    """
    groups: list[list[int]] = []
    for j in sorted(at, key=lambda j: at[j]):
        groups.append([j])
        while len(groups) > 1 and _reach(at, groups[-2:], gap):
            last = groups.pop()
            groups[-1] += last
    return {
        j: _middle(at, g) + gap * (k - (len(g) - 1) / 2) for g in groups for k, j in enumerate(g)
    }


def _middle(at: dict[int, float], group: Iterable[int]) -> float:
    values = [at[j] for j in group]
    return sum(values) / len(values)


def _reach(at: dict[int, float], two: list[list[int]], gap: float) -> bool:
    above, below = two
    room = _middle(at, below) - _middle(at, above)
    return room < gap * (len(above) + len(below)) / 2
