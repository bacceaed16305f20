"""Figures and counts on Markdown pages, made when the site is built.

`{live} front` asks a Python module for the figure; `{live} notebooks/08_….ipynb c08-1f58b09f` takes
it from the stored output of a chapter's cell, so that a page shows what the chapter shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from fedlearn_book import networks_drawing, two_groups_drawing
from fedlearn_book.widgets import front_still, pair
from portable.catalog import read_cells
from portable.counts import counts
from portable.labels import chapter_of

MADE: dict[str, Callable[[], str]] = {
    "front": front_still.figure_html,
    "average": pair.average_html,
    "start": pair.start_html,
    "two-groups": two_groups_drawing.figure_html,
    "arrival": networks_drawing.arrival_html,
    "tickets": networks_drawing.tickets_html,
    "families": networks_drawing.families_html,
}


class Live(SphinxDirective):
    """`{live} name` or `{live} notebook cell`: a figure that the reader can move."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        name, *cell = self.arguments
        if not cell and name not in MADE:
            raise self.error(f"there is no figure {name!r}; the names are {', '.join(MADE)}")
        html = self.stored(name, cell[0]) if cell else MADE[name]()
        return [nodes.raw("", f'<div class="live">{html}</div>', format="html")]

    def stored(self, name: str, cell: str) -> str:
        path = Path(self.env.srcdir) / name
        self.env.note_dependency(str(path))
        for found in read_cells(path):
            if found.get("id") == cell:
                for output in found["outputs"]:
                    if "text/html" in output.get("data", {}):
                        return "".join(output["data"]["text/html"])
        raise self.error(f"{name} has no cell {cell} that shows HTML; look up its id there")


class BookCounts(SphinxDirective):
    """`{book-counts}`: what there is, in numbers that nobody types."""

    def run(self) -> list[nodes.Node]:
        found = counts(Path(self.env.srcdir), self.chapters())
        words = {
            "chapters": f"{found.chapters}", "results proved": f"{found.results}",
            "tests of the code": f"{found.tests:,}", "interactive figures": f"{found.figures}",
            "minutes of experiments": f"{found.minutes:,}",
        }  # fmt: skip
        items = "".join(f"<div><dt>{name}</dt><dd>{n}</dd></div>" for name, n in words.items())
        return [nodes.raw("", f'<dl class="book-counts">{items}</dl>', format="html")]

    def chapters(self) -> list[str]:
        names = sorted(name for name in self.env.found_docs if chapter_of(name))
        return [n for n in names if (Path(self.env.srcdir) / f"{n}.ipynb").exists()]


def setup(app: Sphinx) -> None:
    app.add_directive("live", Live)
    app.add_directive("book-counts", BookCounts)
