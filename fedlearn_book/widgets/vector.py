"""Figures as drawings: a matplotlib figure becomes a small SVG that follows the page's theme.

All frames of a figure share one :class:`Sheet`: letters, looks and clips are kept once, numbers
are whole tenths of a point, and a part that two frames have in common is stored once.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.backend_bases import RendererBase
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from fedlearn_book.widgets.frames import PIXELS_PER_INCH
from fedlearn_book.widgets.outline import outline
from fedlearn_book.widgets.sheet import UNIT, Sheet, alpha

if TYPE_CHECKING:
    from matplotlib.backend_bases import GraphicsContextBase
    from matplotlib.figure import Figure

EM = 400  # units of a letter's own drawing to its size


class Drawing(NamedTuple):
    """A figure's parts, back to front, the box around them and its width on the page."""

    parts: list[str]
    box: str
    pixels: int


def draw(figure: Figure, sheet: Sheet) -> Drawing:
    """Draw a matplotlib figure, without its ground."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    renderer = Renderer(sheet, width, height)
    patch = figure.patch.get_visible()
    figure.patch.set_visible(False)
    dpi, figure.dpi = figure.dpi, 72
    try:
        figure.draw(renderer)
    finally:
        figure.dpi = dpi
        figure.patch.set_visible(patch)
    box = f"0 0 {round(UNIT * width)} {round(UNIT * height)}"
    return Drawing(renderer.parts, box, round(width / 72 * PIXELS_PER_INCH))


class Renderer(RendererBase):
    """matplotlib's instructions as SVG elements."""

    def __init__(self, sheet: Sheet, width: float, height: float) -> None:
        super().__init__()
        self.sheet, self.width, self.height = sheet, width, height
        self.parts: list[str] = []

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self.width, self.height

    def points_to_pixels(self, points: Any) -> Any:
        return points

    def get_image_magnification(self) -> float:
        return 2.0

    def draw_path(self, gc: Any, path: Path, transform: Any, rgbFace: Any = None) -> None:
        self._stroke(gc, self._outline(path, transform, simplify=rgbFace is None), rgbFace)

    def draw_markers(
        self, gc: Any, marker_path: Path, marker_trans: Any, path: Path, trans: Any,
        rgbFace: Any = None,
    ) -> None:  # fmt: skip
        """Draw the marker once, and use it at every point of the path; dots are lines' ends."""
        points = [verts[-2:] for verts, _ in path.iter_segments(trans, simplify=False)]
        spots = [(round(UNIT * x), round(UNIT * (self.height - y))) for x, y in points]
        if width := _dot(gc, marker_path, marker_trans, rgbFace):
            pen = self.new_gc()
            pen.copy_properties(gc)
            pen.set_linewidth(width)
            pen.set_capstyle("round")
            self._stroke(pen, _ends(dict.fromkeys(spots)), None)
            return
        mark = outline(marker_path.iter_segments(marker_trans + Affine2D().scale(UNIT, -UNIT)))
        if mark and (style := self.sheet.pen(gc, rgbFace)):
            name = self.sheet.define(f'<path id="{{id}}" d="{mark}"/>')
            uses = "".join(
                f'<use href="#{name}" x="{x}" y="{y}"/>' for x, y in dict.fromkeys(spots)
            )
            self.parts.append(f'<g class="{self.sheet.look(style)}"{self._clip(gc)}>{uses}</g>')

    def draw_path_collection(self, *args: Any, **options: Any) -> None:
        """Draw the lines of a collection as one path where they look alike and are opaque."""
        before = len(self.parts)
        super().draw_path_collection(*args, **options)
        plain = {
            name for style, name in self.sheet.looks.items()
            if style.startswith("fill:none") and "opacity" not in style
        }  # fmt: skip
        self.parts[before:] = _joined(self.parts[before:], plain)

    def draw_image(self, gc: Any, x: float, y: float, im: Any, transform: Any = None) -> None:
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(np.asarray(im)[::-1]).save(buffer, "PNG", optimize=True)
        wide, high = im.shape[1] / 2, im.shape[0] / 2
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        place = (round(UNIT * v) for v in (x, self.height - y - high, wide, high))
        box = '<image x="{}" y="{}" width="{}" height="{}" preserveAspectRatio="none" '.format(
            *place
        )
        self.parts.append(f'{box}href="data:image/png;base64,{data}"/>')

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float,
        ismath: Any = False, mtext: Any = None,
    ) -> None:  # fmt: skip
        pen: Any = self._text2path
        glyphs, shapes, rects = (
            pen.get_glyphs_mathtext(prop, s)
            if ismath
            else pen.get_glyphs_with_font(pen._get_font(prop), s)
        )
        grow = EM / pen.FONT_SCALE
        turn = Affine2D().scale(grow, -grow)
        pieces = []
        for name, left, up, scale in glyphs:
            d = outline(Path(*shapes[name]).iter_segments(turn)) if len(shapes[name][0]) else ""
            if d:
                used = self.sheet.define(f'<path id="{{id}}" d="{d}"/>')
                place = f'x="{round(grow * left)}"' + (f' y="{-round(grow * up)}"' if up else "")
                if scale != 1:
                    at = f"{round(grow * left)} {-round(grow * up)}"
                    place = f'transform="translate({at})scale({scale:.3g})"'
                pieces.append(f'<use href="#{used}" {place}/>')
        pieces += [f'<path d="{outline(Path(*r).iter_segments(turn))}"/>' for r in rects]
        if not pieces:
            return
        size = UNIT * prop.get_size_in_points() / EM
        place = f"translate({round(UNIT * x)} {round(UNIT * y)})"
        place += f"rotate({-angle:g})" if angle else ""
        look = self.sheet.look(
            f"fill:{self.sheet.color(gc.get_rgb())}{alpha(gc, gc.get_rgb(), 'fill')}"
        )
        self.parts.append(
            f'<g class="{look}" data-size="{prop.get_size_in_points():g}" '
            f'transform="{place}scale({size:.4g})">{"".join(pieces)}</g>'
        )

    def _outline(self, path: Path, transform: Any, *, simplify: bool) -> str:
        flip = transform + Affine2D().scale(UNIT, -UNIT).translate(0, UNIT * self.height)
        room = None
        if simplify:  # a line, of which nothing is drawn far outside
            room = (-UNIT, -UNIT, UNIT * (self.width + 1), UNIT * (self.height + 1))
        plain = path.should_simplify and simplify
        return outline(path.iter_segments(flip, remove_nans=True, clip=room, simplify=plain))

    def _stroke(self, gc: GraphicsContextBase, d: str, face: Any) -> None:
        if d and (style := self.sheet.pen(gc, face)):
            self.parts.append(f'<path class="{self.sheet.look(style)}"{self._clip(gc)} d="{d}"/>')

    def _clip(self, gc: GraphicsContextBase) -> str:
        box = gc.get_clip_rectangle()
        if box is None:
            return ""
        x, y, wide, high = box.bounds
        place = [round(UNIT * v) for v in (x, self.height - y - high, wide, high)]
        rect = '<rect x="{}" y="{}" width="{}" height="{}"/>'.format(*place)
        name = self.sheet.define(f'<clipPath id="{{id}}">{rect}</clipPath>')
        return f' clip-path="url(#{name})"'


def _dot(gc: Any, marker: Path, transform: Any, face: Any) -> float:
    """Return the width of a full circle of one color, and 0 for any other marker."""
    one_color = face is not None and tuple(face[:3]) == tuple(gc.get_rgb()[:3])
    if not one_color or alpha(gc, face, "fill") or alpha(gc, gc.get_rgb(), "stroke"):
        return 0.0
    (a, b, _), (c, d, _) = transform.get_matrix()[:2]
    circle = np.array_equal(marker.vertices, Path.unit_circle().vertices)
    return float(2 * a + gc.get_linewidth()) if circle and a == d and b == c == 0 else 0.0


def _joined(parts: Sequence[str], looks: Collection[str]) -> list[str]:
    """Return the parts, with neighboring paths of the same look and clip as one, for some looks.

    >>> _joined(['<path class="l1" d="m1 1l2 0"/>', '<path class="l1" d="m5 1l2 0"/>'], {"l1"})
    ['<path class="l1" d="m1 1l2 0M5 1l2 0"/>']
    """
    out: list[str] = []
    for part in parts:
        head, _, rest = part.partition(' d="m')
        if rest and out and out[-1].startswith(head + " d=") and head.split('"')[1] in looks:
            out[-1] = f"{out[-1][:-3]}M{rest}"
        else:
            out.append(part)
    return out


def _ends(spots: Iterable[tuple[int, int]]) -> str:
    """Return a path without length at every spot, of which round ends make a dot.

    >>> _ends([(10, 20), (15, 18)])
    'm10 20h0m5-2h0'
    """
    out, (px, py) = "", (0, 0)
    for x, y in spots:
        out += f"m{x - px}{' ' if y >= py else ''}{y - py}h0"
        px, py = x, y
    return out
