"""What a chapter opens with: a small picture under its question, with one sentence."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from portable.labels import chapter_of
from portable.site import inline


class Opening(NamedTuple):
    """A drawing of book/images, what it says, and its description for who cannot see it."""

    file: str
    says: str
    alt: str


OPENINGS = {
    1: Opening(
        "opening-01.svg",
        "Two clients. Their rounds of averaging (blue) come to rest beside the best common model "
        "(cross).",
        "From a start two clients walk ten shortening steps, green, toward their own best models, "
        "orange. The means of the rounds, blue, end at a distance from a cross.",
    ),
    2: Opening(
        "cover-heterogeneity.svg",
        "Twelve clients, and the digits that each has.",
        "Twelve bars, one a client; each is filled by the colors of the few digits it has.",
    ),
    3: Opening(
        "cover-landscape.svg",
        "One start, and where one step takes three clients.",
        "Level lines of the loss after a step; from one start three short lines lead toward three "
        "clients.",
    ),
    4: Opening(
        "opening-04.svg",
        "From one start, one step takes each client down its own valley.",
        "Three parabolas, the losses of three clients; from one place on the axis an arc leads "
        "down each of them.",
    ),
    5: Opening(
        "opening-05.svg",
        "A long step is fast and ends high; a short one is slow and ends low.",
        "Three errors over the rounds, on a logarithmic axis: the fastest to fall stays highest.",
    ),
    6: Opening(
        "opening-06.svg",
        "How far must one client’s samples be carried to become another’s?",
        "Two histograms side by side, and arcs from the bars of the first to those of the second.",
    ),
    7: Opening(
        "opening-07.svg",
        "Methods minus fine-tuned averaging: the interval of the green ones leaves zero out.",
        "Eight means with intervals beside a vertical line at zero, a few to its right and one far "
        "to its left.",
    ),
    8: Opening(
        "cover-paths.svg",
        "The exact path in steps; the LASSO bends toward the same values.",
        "Four coefficients over time: in steps for the inverse scale space, slowly bending toward "
        "the same values for the LASSO.",
    ),
    9: Opening(
        "opening-09.svg",
        "Damping bends the steps of the path: much for a small κ, little for a large one.",
        "Four coefficients over time, each as a step and as two curves that rise to it later.",
    ),
    10: Opening(
        "opening-10.svg",
        "A noisy signal, and the first two jumps that a path lets in.",
        "Scattered dots around three levels, and a line of three levels through them.",
    ),
    11: Opening(
        "cover-filters.svg",
        "Framed filters are in; the others wait.",
        "The six filters of a layer as small images; the three that are in the model are framed.",
    ),
    12: Opening(
        "opening-12.svg",
        "Weight (to the right) and copy (up): the copy waits, enters, and both arrive where they "
        "are equal.",
        "A chain of dots runs to the right along the axis, turns up, and ends on the diagonal.",
    ),
    13: Opening(
        "opening-13.svg",
        "The less work, the more errors: LeNets cut by the path’s order (blue) or by size "
        "(orange), or trained under a penalty (green).",
        "Three falling curves of error against work, on logarithmic axes; they lie close together.",
    ),
    14: Opening(
        "cover-personal.svg",
        "What four hospitals share (blue), and who leaves when.",
        "One number over time: the value that four hospitals share, in steps, and each hospital’s "
        "own value from where it leaves.",
    ),
    15: Opening(
        "opening-15.svg",
        "What one gradient shows: of one image, of four, of sixteen.",
        "Three tiles: a digit, the same digit with stains, and a blur.",
    ),
    16: Opening(
        "opening-16.svg",
        "A round takes as long as its slowest client.",
        "Bars of seven clients in two rounds; all wait for the longest, then the server takes its "
        "turn.",
    ),
}


class Openings(SphinxTransform):
    """Put the picture of a chapter under the question that the chapter begins with."""

    default_priority = 235

    def apply(self, **kwargs: Any) -> None:
        opening = OPENINGS.get(chapter_of(self.env.docname) or 0)
        question = next(iter(self.document.findall(nodes.paragraph)), None)
        if opening is None or question is None or not _is_question(question):
            return
        path = Path(self.env.srcdir) / "book" / "images" / opening.file
        self.env.note_dependency(str(path))
        picture = f'<div class="drawing">{inline(path, opening.alt)}</div>'
        figure = f"{picture}<figcaption>{escape(opening.says)}</figcaption>"
        place = question.parent.index(question) + 1
        html = f'<figure class="opening">{figure}</figure>'
        question.parent.insert(place, nodes.raw("", html, format="html"))


def _is_question(paragraph: nodes.paragraph) -> bool:
    """A paragraph that is one emphasis and nothing else.

    >>> _is_question(nodes.paragraph("", "", nodes.emphasis("Why?", "Why?")))
    True
    """
    return len(paragraph) == 1 and isinstance(paragraph[0], nodes.emphasis)


def setup(app: Sphinx) -> None:
    app.add_transform(Openings)
