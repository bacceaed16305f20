"""Plots for a dark page: the stored image of a cell gets a twin with the colors of the night.

matplotlib draws the book's plots on a clear ground, so where ink meets paper its color stays and
only its opacity falls. A twin can therefore be painted color by color, as drawings are. Of a
photograph that would be a negative: its cell has `mystnb.image.classes` "paper", and no twin.
"""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sphinx.application import Sphinx

from fedlearn_book.widgets.shades import at_night

_STORED = re.compile(r'<img (alt="[^"]*") src="((?:\.\./)*_images/)([0-9a-f]{32,})\.png" />')


@cache
def _painted(color: int) -> int:
    return int(at_night(f"#{color:06x}")[1:], 16)


def paint(day: Image.Image) -> Image.Image:
    """Return an RGBA image in which each color is its color at night, and as opaque as before.

    >>> paint(Image.new("RGBA", (1, 1), (0, 114, 178, 90))).getpixel((0, 0))
    (50, 143, 209, 90)
    """
    pixels = np.array(day)  # [height width 4]
    red, green, blue = pixels[..., :3].astype(int).transpose(2, 0, 1)
    found, where = np.unique(red << 16 | green << 8 | blue, return_inverse=True)
    night = np.array([_painted(int(color)) for color in found])[where.reshape(red.shape)]
    pixels[..., :3] = np.stack([night >> 16, night >> 8 & 255, night & 255], axis=-1)
    pixels[pixels[..., 3] == 0] = 0
    return Image.fromarray(pixels)


def twins(body: str, images: dict[str, Path], folder: Path) -> str:
    """Put a twin beside every stored plot of a page and write its file; both say their size.

    ``images`` are the files by the names that they get in ``folder``. An image with a class stays
    alone.
    """

    def twin(found: re.Match[str]) -> str:
        alt, place, name = found.groups()
        with Image.open(images[f"{name}.png"]) as day:
            size, buffer = f'width="{day.width}" height="{day.height}"', io.BytesIO()
            paint(day.convert("RGBA")).save(buffer, "PNG", optimize=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}-night.png").write_bytes(buffer.getvalue())
        return (
            f'<img class="only-light" {alt} src="{place}{name}.png" {size}>'
            f'<img class="only-dark" {alt} src="{place}{name}-night.png" {size} loading="lazy">'
        )

    return _STORED.sub(twin, body)


def fill(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Give the plots of a page their twins."""
    images = {name: Path(app.srcdir) / path for path, name in app.builder.images.items()}
    folder = Path(app.outdir) / app.builder.imagedir
    context["body"] = twins(context.get("body") or "", images, folder)


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", fill)
