"""The picture that stands for a link to a page: number and title beside the book's mark."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, SCALE = 1200, 630, 2  # drawn twice as large, so that edges are smooth
INK, SOFT, PAPER = "#1f2937", "#4b5563", "#ffffff"
BLUE, ORANGE, GREEN, VERMILION, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9"
BOOK = "Personal and Parsimonious"
LEFT, TOP, ROOM = 80, 130, 690  # where the words begin, and how wide a line may be


@cache
def face(folder: Path, name: str, size: int) -> ImageFont.FreeTypeFont:
    """Load a face of the site, which is compressed for the web."""
    font = TTFont(folder / f"pagella-{name}.woff2")
    font.flavor = None
    buffer = io.BytesIO()
    font.save(buffer)
    buffer.seek(0)
    return ImageFont.truetype(buffer, size * SCALE)


def wrapped(text: str, font: ImageFont.FreeTypeFont, room: float) -> list[str]:
    """Break a text into lines that fit."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > room * SCALE:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def draw(title: str, chapter: int | None, fonts: Path) -> bytes:
    """Return the card of a page as a PNG of 1200 x 630 pixels."""
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
    pen = ImageDraw.Draw(image)
    if chapter is not None and 8 <= chapter <= 13:
        _paths(pen, 840, 330)
    else:
        _star(pen, 985, 315, 150)
    size = next(s for s in (76, 64, 52, 40) if s == 40 or _fits(title, face(fonts, "bold", s)))
    bold = face(fonts, "bold", size)
    lines = wrapped(title, bold, ROOM)
    height = 1.15 * size * len(lines)
    top = (HEIGHT - height) / 2
    if chapter is not None:
        small = face(fonts, "regular", 34)
        _text(pen, LEFT, top - 62, f"Chapter {chapter}", small, SOFT)
    for k, line in enumerate(lines):
        _text(pen, LEFT, top + 1.15 * size * k, line, bold, INK)
    _text(pen, LEFT, HEIGHT - 92, BOOK, face(fonts, "italic", 32), SOFT)
    _line(pen, [(0, HEIGHT - 6), (WIDTH, HEIGHT - 6)], _accent(chapter), 12)
    buffer = io.BytesIO()
    small_image = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    few = small_image.quantize(96, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _accent(chapter: int | None) -> str:
    return BLUE if chapter is None else SKY if chapter <= 7 else ORANGE if chapter <= 13 else GREEN


def _fits(title: str, font: ImageFont.FreeTypeFont) -> bool:
    lines = wrapped(title, font, ROOM)
    return len(lines) <= 3 and all(font.getlength(line) <= ROOM * SCALE for line in lines)


def _text(
    pen: ImageDraw.ImageDraw, x: float, y: float, text: str, font: ImageFont.FreeTypeFont, ink: str
) -> None:
    pen.text((x * SCALE, y * SCALE), text, font=font, fill=ink)


def _line(
    pen: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], color: str, width: float
) -> None:
    scaled = [(x * SCALE, y * SCALE) for x, y in points]
    pen.line(scaled, fill=color, width=round(width * SCALE), joint="curve")


def _dot(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, color: str) -> None:
    box = [(x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE]
    pen.ellipse(box, fill=color)


def _star(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, count: int = 10) -> None:
    """Clients around one shared start."""
    spots = [
        (x + reach * math.cos(angle), y + reach * math.sin(angle))
        for i in range(count)
        for angle in [2 * math.pi * (i + 0.5) / count + 0.08 * math.sin(2.7 * i)]
        for reach in [radius * (0.82 + 0.18 * math.sin(2.3 * i + 0.6))]
    ]
    for spot in spots:
        _line(pen, [(x, y), spot], GREEN, 4)
    for spot in spots:
        _dot(pen, *spot, 13, ORANGE)
    _dot(pen, x, y, 24, BLUE)


def _paths(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
    """Coefficients that leave zero one after another."""
    _line(pen, [(x, y), (x + 280, y)], "#9ca3af", 2)
    for value, color in ((3.0, BLUE), (-2.2, VERMILION), (1.3, GREEN), (-0.8, ORANGE)):
        leaves = 0.12 + 0.26 / abs(value)
        steps = [k / 80 for k in range(81)]
        grown = [(t, value * (1 - math.exp(-9 * (t - leaves)))) for t in steps if t > leaves]
        points = [(leaves, 0.0), *grown]
        _line(pen, [(x + 280 * t, y - 56 * v) for t, v in points], color, 6)
