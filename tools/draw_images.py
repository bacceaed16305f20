"""Draw the book's own images: chapter graph, logo, favicon, social card.

    python tools/draw_images.py [--check]

writes book/images/ and book/_assets/social-card.png; with --check it writes nothing and fails where
a stored SVG differs from what would be drawn. The card's right half is a computed inverse scale
space path, not a sketch.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path

BLUE, ORANGE, GREEN, VERMILION, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9"
ROOT = Path(__file__).resolve().parent.parent
COEFFICIENTS = (3.0, -2.2, 1.3, -0.8, 0.5, 0.3)
PATH_COLORS = (BLUE, VERMILION, GREEN, "#CC79A7", ORANGE, SKY)

CHAPTERS = {  # number: (column, row, title in lines)
    1: (0, 0, "Federated|averaging"), 2: (1, 0, "Heterogeneity"), 3: (1, 1, "Meta-|gradients"),
    4: (2, 1, "Per-FedAvg"), 5: (3, 0, "Convergence"), 6: (4, 0, "Distance|of clients"),
    7: (3, 1, "Personalization|compared"), 8: (0, 2, "Inverse|scale space"),
    9: (1, 2, "Linearized|Bregman"), 10: (2, 2, "Split LBI"), 11: (3, 2, "DessiLBI"),
    12: (4, 3, "Global|convergence"), 13: (3, 3, "Tickets|and growth"),
    14: (4, 1.5, "Parsimonious|personalization"), 15: (5, 1, "What leaves|the client"),
    16: (5, 2, "Beyond one|machine"),
}  # fmt: skip
NEEDS = {2: (1,), 3: (1,), 4: (2, 3), 5: (4,), 6: (5,), 7: (4,), 9: (8,), 10: (9,), 11: (10,),
         12: (11,), 13: (11,), 14: (7, 9), 15: (14,), 16: (14,)}  # fmt: skip


def svg(width: int, height: int, body: str) -> str:
    """Wrap a drawing."""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}">\n{body}</svg>\n')  # fmt: skip


def clients(count: int, radius: float) -> list[tuple[float, float]]:
    """Place clients around the origin at uneven distances, without chance."""
    spots = []
    for i in range(count):
        angle = 2 * math.pi * (i + 0.5) / count + 0.08 * math.sin(2.7 * i)
        reach = radius * (0.82 + 0.18 * math.sin(2.3 * i + 0.6))
        spots.append((reach * math.cos(angle), reach * math.sin(angle)))
    return spots


def star(cx: float, cy: float, radius: float, count: int, dot: float) -> str:
    """Draw clients around one shared start, and each one's own short way from it."""
    lines, dots = "", ""
    for i, (x, y) in enumerate(clients(count, radius)):
        bend = 0.16 if i % 2 else -0.16
        mx, my = 0.55 * x - bend * y, 0.55 * y + bend * x
        way = f"M{cx:.1f} {cy:.1f}Q{cx + mx:.1f} {cy + my:.1f} {cx + x:.1f} {cy + y:.1f}"
        lines += _line(way, GREEN, dot / 2.6)
        dots += f'<circle cx="{cx + x:.1f}" cy="{cy + y:.1f}" r="{dot}" fill="{ORANGE}"/>\n'
    return lines + dots + f'<circle cx="{cx}" cy="{cy}" r="{1.9 * dot}" fill="{BLUE}"/>\n'


def _line(path: str, color: str, width: float) -> str:
    return f'<path d="{path}" fill="none" stroke="{color}" stroke-width="{width:.1f}"/>\n'


def inverse_scale_space(y: float, times: list[float], kappa: float = 9.0) -> list[float]:
    r"""Solve $\dot z=y-\beta$, $\beta=\kappa\,\mathrm{shrink}(z,1)$ for one coefficient."""
    start = 1 / abs(y)
    return [y * (1 - math.exp(-kappa * (t - start))) if t > start else 0.0 for t in times]


def chapter_graph() -> str:
    """Draw which chapter needs which."""
    at = {n: (20 + 160 * column, 46 + 104 * row) for n, (column, row, _) in CHAPTERS.items()}
    body = ('<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor" '
            'fill-opacity="0.6"/></marker></defs>\n')  # fmt: skip
    for target, sources in NEEDS.items():
        for source in sources:
            body += _arrow(at[source], at[target])
    for number, (_, _, title) in CHAPTERS.items():
        box = _box(number, *at[number], title.split("|"))
        for path in (ROOT / "notebooks").glob(f"{number:02d}_*.ipynb"):
            box = f'<a href="../../notebooks/{path.name}">\n{box}</a>\n'
        body += box
    return svg(960, 450, body)


def _arrow(a: tuple[float, float], b: tuple[float, float]) -> str:
    """An arrow from the right side of a box to the left side of the next, or straight down.

    One that passes over other boxes leaves at the top and stays between the rows.
    """
    if a[0] == b[0]:
        down = b[1] > a[1]
        x, y0, y1 = a[0] + 66, a[1] + (64 if down else 0), b[1] + (0 if down else 64)
        line = f"M{x:.0f} {y0:.0f}L{x:.0f} {y1 - 2:.0f}"
    elif b[0] - a[0] > 160:
        x, top, y = a[0] + 66, a[1], b[1] + 32
        line = f"M{x:.0f} {top:.0f}Q{x:.0f} {y:.0f} {x + 24:.0f} {y:.0f}L{b[0] - 2:.0f} {y:.0f}"
    else:
        x0, y0, x1, y1 = a[0] + 132, a[1] + 32, b[0] - 2, b[1] + 32
        line = f"M{x0:.0f} {y0:.0f}C{x0 + 16:.0f} {y0:.0f} {x1 - 16:.0f} {y1:.0f} {x1:.0f} {y1:.0f}"
    return (f'<path d="{line}" fill="none" stroke="currentColor" stroke-opacity="0.6" '
            f'stroke-width="1.5" marker-end="url(#tip)"/>\n')  # fmt: skip


def _box(number: int, x: float, y: float, lines: list[str]) -> str:
    color = SKY if number <= 7 else ORANGE if number <= 13 else GREEN
    out = (f'<rect x="{x:.0f}" y="{y:.0f}" width="132" height="64" rx="8" fill="{color}" '
           f'fill-opacity="0.16" stroke="{color}" stroke-width="2"/>\n')  # fmt: skip
    text = 'font-family="system-ui, sans-serif" font-size="15" fill="currentColor"'
    out += f'<text x="{x + 10:.0f}" y="{y + 21:.0f}" font-weight="700" {text}>{number}</text>\n'
    for k, line in enumerate(lines):
        top = y + (50 if len(lines) == 1 else 39) + 17 * k
        out += f'<text x="{x + 10:.0f}" y="{top:.0f}" {text}>{escape(line)}</text>\n'
    return out


def logo() -> str:
    """Draw the mark: six clients around one start."""
    return svg(64, 64, star(32, 32, 27, 6, 5))


def social_card() -> bytes:
    """Draw the 1200 x 630 card that stands for a shared link."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor="#ffffff")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1200), ylim=(630, 0))
    axes.axis("off")
    for x, y in clients(12, 150):
        axes.plot([250, 250 + x], [400, 400 + y], color=GREEN, lw=3.5, zorder=1)
        axes.scatter(250 + x, 400 + y, s=330, color=ORANGE, zorder=2)
    axes.scatter(250, 400, s=1150, color=BLUE, zorder=3)
    times = [10 ** (-0.62 + 1.25 * k / 120) for k in range(121)]
    for value, color in zip(COEFFICIENTS, PATH_COLORS, strict=True):
        curve = [410 - 150 * v / 3.2 for v in inverse_scale_space(value, times)]
        axes.plot([520 + 580 * k / 120 for k in range(121)], curve, color=color, lw=4)
    axes.text(70, 120, "Personal and Parsimonious", size=50, weight="bold", color="#1f2937")
    axes.text(
        72, 184, "Federated meta-learning and inverse scale spaces,", size=25, color="#374151"
    )
    axes.text(72, 224, "in executable chapters", size=25, color="#374151")
    buffer = io.BytesIO()
    figure.savefig(buffer, metadata={"Software": None})
    return buffer.getvalue()


def keep(drawings: Mapping[str, str], check: bool, command: str) -> int:
    """Write drawings into book/images; or compare those there, and return how many differ."""
    images = ROOT / "book" / "images"
    if not check:
        for name, text in drawings.items():
            (images / name).write_text(text, encoding="utf-8")
        return 0
    stale = [n for n, text in drawings.items() if (images / n).read_text("utf-8") != text]
    print("\n".join(f"{name} is stale: run {command}" for name in stale))
    return len(stale)


def main(check: bool) -> int:
    """Write the images, or compare the stored drawings with what would be written."""
    drawings = {"chapters.svg": chapter_graph(), "logo.svg": logo(),
                "favicon.svg": logo()}  # fmt: skip
    if not check:
        (ROOT / "book" / "_assets" / "social-card.png").write_bytes(social_card())
    return keep(drawings, check, "python tools/draw_images.py")


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv[1:]))
