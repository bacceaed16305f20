"""``picture``: a figure that stands still, drawn for both themes, with its message below it."""

from __future__ import annotations

import hashlib
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from fedlearn_book.widgets import page

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture(NamedTuple):
    """What Jupyter displays of a figure, by MIME type, and the words that stand for it."""

    alt: str
    bundle: dict[str, Any]

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.bundle


def picture(figure: Figure, *, alt: str, caption: str, narrow: Figure | None = None) -> Picture:
    """Show a matplotlib figure with a caption; make it the last line of a cell.

    In the page it is a drawing that follows the theme, and a narrow one for phones with the panels
    below each other; elsewhere, and in print without HTML, an image. The figure is closed, and its
    size is the narrow one's afterwards.

    Parameters
    ----------
    figure : what is drawn where there is room.
    alt : a sentence for those who do not see it.
    caption : the figure's message, in words.
    narrow : what is drawn on a phone, at most 4.1 inches wide; ``figure`` itself without it.

    >>> from matplotlib.figure import Figure
    >>> figure = Figure(figsize=(3, 2))
    >>> _ = figure.subplots().plot([0, 1])
    >>> shown = picture(figure, alt="A rising line.", caption="It rises.")
    >>> shown
    A rising line.
    >>> sorted(shown.bundle)
    ['image/png', 'text/html', 'text/plain']
    """
    from fedlearn_book.widgets import frames, layout

    for name, words in (("alt", alt), ("caption", caption)):
        if not words.strip():
            raise ValueError(f"{name} is empty; say in a sentence what the figure shows")
    figure = _taken("figure", figure)
    if narrow is not None and _taken("narrow", narrow).get_size_inches()[0] > layout.WIDTH:
        raise ValueError(
            f"narrow is {narrow.get_size_inches()[0]:.1f} inches wide, at most {layout.WIDTH} "
            "fit on a phone; give it a smaller figsize"
        )
    png = frames.encode(frames.small_png(frames.to_png(figure, frames.DPIS[0])))
    return Picture(
        alt, {"text/html": _html(figure, narrow, alt, caption), "image/png": png, "text/plain": alt}
    )


def _taken(name: str, figure: Any) -> Figure:
    """Take a figure out of pyplot's hands, or it would be shown twice."""
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    if not isinstance(figure, Figure):
        raise ValueError(
            f"{name} is {type(figure).__name__}, a matplotlib Figure is needed; pass the fig of "
            "fig, ax = plt.subplots()"
        )
    plt.close(figure)
    return figure


def style() -> str:
    """Return the style of figures that stand still."""
    return page.asset("picture.css")


def _html(figure: Figure, narrow: Figure | None, alt: str, caption: str) -> str:
    from fedlearn_book.widgets import layout, vector
    from fedlearn_book.widgets.sheet import Sheet

    sheet = Sheet("@figure@")
    broad = vector.draw(figure, sheet)
    if narrow is None:
        layout.stack(figure)
    slim = vector.draw(narrow or figure, sheet)
    views = "".join(
        f'<svg class="{name}" role="img" aria-label="{escape(alt)}" viewBox="{one.box}" '
        f'width="{one.pixels}">{"".join(one.parts)}</svg>'
        for name, one in (("fl-broad", broad), ("fl-slim", slim))
    )
    html = (
        f'<figure class="fl-still" id="{sheet.key}"><style>{style()}</style>'
        f"<style>{sheet.style()}</style>"
        f'<svg class="fl-shapes" aria-hidden="true"><defs>{sheet.shapes()}</defs></svg>'
        f"{views}<figcaption>{escape(caption)}</figcaption></figure>"
    )
    return html.replace(sheet.key, f"f{hashlib.sha256(html.encode()).hexdigest()[:6]}")
