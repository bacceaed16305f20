"""What the frames of a drawing share: colors by day and by night, looks, letters, clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fedlearn_book.widgets.shades import at_night

if TYPE_CHECKING:
    from matplotlib.backend_bases import GraphicsContextBase

UNIT = 10  # units of the drawing to a point


class Sheet:
    """What the frames of one figure share, by name: looks, letters, clips; and how each is called.

    ``key`` begins the names, so that two figures on a page keep apart.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.looks: dict[str, str] = {}
        self.colors: dict[str, str] = {}
        self.defs: dict[str, str] = {}

    def look(self, style: str) -> str:
        """Return the class of a style."""
        return self.looks.setdefault(style, f"l{len(self.looks)}")

    def color(self, rgba: Sequence[float]) -> str:
        """Return what a style says for a color: one for day and one for night."""
        red, green, blue = (round(255 * part) for part in rgba[:3])
        day = f"#{red:02x}{green:02x}{blue:02x}"
        return f"var({self.colors.setdefault(day, f'--c{len(self.colors)}')})"

    def define(self, shape: str) -> str:
        """Return the id of a shape, a format with the place of its id."""
        return self.defs.setdefault(shape, f"{self.key}-{len(self.defs)}")

    def style(self) -> str:
        """Return the style sheet of the figure."""
        day = "".join(f"{name}:{color};" for color, name in self.colors.items())
        night = "".join(f"{name}:{at_night(color)};" for color, name in self.colors.items())
        looks = "".join(f"#{self.key} .{name}{{{style}}}" for style, name in self.looks.items())
        return f"#{self.key}{{{day}}}html[data-theme=dark] #{self.key}{{{night}}}{looks}"

    def shapes(self) -> str:
        """Return the content of ``<defs>``."""
        return "".join(shape.format(id=name) for shape, name in self.defs.items())

    def pen(self, gc: Any, face: Any) -> str:
        """Return fill and stroke, or nothing where nothing is seen."""
        filled = face is not None and (len(face) < 4 or face[3] > 0)
        rgba = gc.get_rgb()
        width = gc.get_linewidth() if rgba[3] > 0 else 0
        style = "fill:none"
        if filled:
            style = f"fill:{self.color(face)}{alpha(gc, face, 'fill')}"
        if width > 0:
            cap = {"projecting": "square"}.get(str(gc.get_capstyle()), str(gc.get_capstyle()))
            style += f";stroke:{self.color(rgba)};stroke-width:{UNIT * width:.3g}"
            style += f"{alpha(gc, rgba, 'stroke')};stroke-linejoin:{gc.get_joinstyle()}"
            style += f";stroke-linecap:{cap}" if cap != "butt" else ""
            offset, dashes = gc.get_dashes()
            if dashes is not None:
                style += ";stroke-dasharray:" + " ".join(f"{UNIT * dash:.3g}" for dash in dashes)
                style += f";stroke-dashoffset:{UNIT * offset:.3g}" if offset else ""
        return style if filled or width > 0 else ""


def alpha(gc: GraphicsContextBase, color: Sequence[float], what: str) -> str:
    """Return what a style says for an opacity; nothing where nothing shines through."""
    own = color[3] if len(color) > 3 else 1.0
    shown = gc.get_alpha() if gc.get_forced_alpha() else own
    return f";{what}-opacity:{shown:.3g}" if shown < 1 else ""
