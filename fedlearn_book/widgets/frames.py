"""Figures as pixels: a matplotlib figure becomes a small image, always the same bytes.

For print, and in the page for what would be heavier as a drawing (`vector.py`).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

MAX_FRAMES = 40
MAX_BYTES = 300_000
MAX_DRAWN = 400_000  # of drawings, which a server packs to a tenth; heavier ones become pixels
COLORS = 64
DPIS = (165, 132, 96)  # from crisp to light
PIXELS_PER_INCH = 110  # on the page: the dpi of the book's style, so that all figures match


def draw_figure(draw: Callable[..., Figure], values: dict[str, Any]) -> Figure:
    """Call ``draw(**values)``, insist on a figure and take it out of pyplot's hands."""
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    figure = draw(**values)
    if not isinstance(figure, Figure):
        name = getattr(draw, "__name__", repr(draw))
        raise TypeError(
            f"{name}({_call(values)}) returned {type(figure).__name__}, but a matplotlib Figure is "
            f"needed: end {name} with `return fig`"
        )
    plt.close(figure)
    return figure


def check_sizes(figures: Sequence[Figure]) -> None:
    """Insist on one size for all frames."""
    sizes = {tuple(map(float, figure.get_size_inches())) for figure in figures}
    if len(sizes) > 1:
        raise ValueError(
            f"the frames have {len(sizes)} sizes, {sorted(sizes)} inches, and the page would "
            "jump: give every figure the same figsize"
        )


def to_png(figure: Figure, dpi: int) -> bytes:
    """Return the figure on white, in all its colors."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=dpi,
        facecolor="white",
        edgecolor="white",
        transparent=False,
        metadata={"Software": None},
    )
    return buffer.getvalue()


def quantize(png: bytes, colors: int = COLORS) -> Image:
    """Reduce a PNG to a palette without dithering, in which white stays white.

    Every second pixel of every second row is enough to choose the palette, in a tenth of the time.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png)) as source:
        image = source.convert("RGB")
    sample = image.resize((image.width // 2, image.height // 2), Image.Resampling.NEAREST)
    flat = Image.Dither.NONE
    palette = sample.quantize(colors, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=flat)
    shades = (palette.getpalette() or [])[: 3 * colors]
    lightest = max(range(len(shades) // 3), key=lambda i: min(shades[3 * i : 3 * i + 3]))
    near = np.array(image.quantize(palette=palette, dither=flat))  # Pillow's nearest is rough
    if min(shades[3 * lightest : 3 * lightest + 3]) > 240:
        shades[3 * lightest : 3 * lightest + 3] = [255, 255, 255]
        near[(np.asarray(image) == 255).all(-1)] = lightest
    small = Image.fromarray(near)
    small.putpalette(shades)
    return small


def small_png(png: bytes, colors: int = 256) -> bytes:
    """Return the picture as a PNG with a palette: for print and for pages that run no script."""
    buffer = io.BytesIO()
    quantize(png, colors).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def frame(png: bytes) -> bytes:
    """Return a frame: 64 colors, clear instead of white, lossless WebP, a quarter less than PNG.

    On a clear ground the page chooses the paper: white by day, gray by night.
    """
    image = quantize(png)
    shades = (image.getpalette() or [])[: 3 * COLORS]
    if white := [i for i in range(len(shades) // 3) if min(shades[3 * i : 3 * i + 3]) == 255]:
        image.info["transparency"] = white[0]
    buffer = io.BytesIO()
    image.convert("RGBA").save(buffer, format="WEBP", lossless=True, quality=80)
    return buffer.getvalue()


def film(figures: Sequence[Figure]) -> list[bytes]:
    """Return the frames at the crispest resolution within the limit, if any is."""
    for dpi in DPIS:
        probes = [len(encode(frame(to_png(figures[i], dpi)))) for i in (0, -1)]
        if max(probes) * len(figures) > MAX_BYTES and dpi > DPIS[-1]:
            continue
        shots = [frame(to_png(figure, dpi)) for figure in figures]
        if sum(len(encode(shot)) for shot in shots) < 0.95 * MAX_BYTES:
            break
    return shots


def size(png: bytes) -> tuple[int, int]:
    """Return width and height in pixels."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def encode(data: bytes) -> str:
    """Return base64 text."""
    return base64.b64encode(data).decode("ascii")


def _call(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
