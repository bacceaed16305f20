"""The index of the book: words, letters, names, people, and where a chapter first uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from unicodedata import combining, normalize

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from portable import citations, lexicon
from portable.catalog import read_results
from portable.labels import chapter_of, slug
from portable.uses import Place, places
from portable.works import read_works

_TITLES = ("Terms and methods", "Results by name", "Symbols", "Names in the library", "People")


class Entry(NamedTuple):
    """A line of the index."""

    shown: nodes.Node
    places: Sequence[Place]


class book_index(nodes.General, nodes.Element):
    """Where the index goes, once all pages are read."""


class BookIndex(SphinxDirective):
    """`{book-index}`: everything that a reader may look for by name."""

    def run(self) -> list[nodes.Node]:
        sections = []
        for title in _TITLES:
            section = nodes.section("", nodes.title(title, title), ids=[slug(title)])
            section += book_index(part=slug(title))
            self.state.document.note_explicit_target(section)
            sections.append(section)
        return sections


def _terms(app: Sphinx, here: str) -> Iterator[tuple[str, Entry]]:
    objects = app.env.get_domain("std").objects  # type: ignore[attr-defined]
    for (kind, head), (page, anchor) in objects.items():
        if kind == "term":
            yield head, Entry(_link(app, here, page, anchor, nodes.Text(head)), places(app, head))


def _results(app: Sphinx, here: str) -> Iterator[tuple[str, Entry]]:
    chapters = [page for page in sorted(app.env.found_docs) if chapter_of(page)]
    for one in read_results(Path(app.srcdir), chapters):
        if one.name and "$" not in one.name:
            place = (one.docname, slug(one.label), one.label)
            yield one.name, Entry(nodes.Text(one.name), [place])


def _symbols(app: Sphinx, here: str) -> Iterator[tuple[str, Entry]]:
    for row in lexicon.rows(Path(app.srcdir) / f"{lexicon.NOTATION}.md"):
        used = places(app, row.anchor)
        for tex in row.symbols if used else ():
            if lexicon.bare(tex) == tex or lexicon.bare(tex) not in row.symbols:
                shown = nodes.math(tex, tex, spoken=lexicon.spoken(tex))
                link = _link(app, here, lexicon.NOTATION, row.anchor, shown)
                yield re.sub(r"\\(?:hat|bar|tilde|mathrm)|[^A-Za-z]", "", tex), Entry(link, used)


def _names(app: Sphinx, here: str) -> Iterator[tuple[str, Entry]]:
    for name, place in lexicon.names().items():
        link = _link(app, here, lexicon.LIBRARY, place, nodes.literal(name, name))
        yield name, Entry(link, places(app, place))


def _people(app: Sphinx, here: str) -> Iterator[tuple[str, Entry]]:
    works = read_works(Path(app.srcdir) / citations.BIB)
    page = next((page for page, _ in citations.places(app)), "")
    for person in sorted({name for work in works for name in work.authors} - {"others"}):
        own = [work for work in works if person in work.authors]
        yield person, Entry(nodes.Text(person), [(page, f"ref-{w.key}", w.short) for w in own])


_PARTS = {
    "terms-and-methods": _terms, "results-by-name": _results, "symbols": _symbols,
    "names-in-the-library": _names, "people": _people,
}  # fmt: skip


def render(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Fill in the index, by letters."""
    for place in list(doctree.findall(book_index)):
        entries = sorted(_PARTS[place["part"]](app, docname), key=lambda one: _key(one[0]))
        groups = groupby(entries, key=lambda one: _key(one[0])[:1])
        lists = [[_item(app, docname, entry) for _, entry in group] for _, group in groups]
        lines = [nodes.bullet_list("", *items) for items in lists]
        place.replace_self(nodes.container("", *lines, classes=["index"]))


def _key(text: str) -> str:
    """Sort as a reader looks: without accents and capitals.

    >>> _key("Łojasiewicz, Émile")
    'lojasiewicz, emile'
    """
    plain = normalize("NFKD", text.lower().replace("ł", "l").replace("ø", "o"))
    return "".join(letter for letter in plain if not combining(letter))


def _item(app: Sphinx, here: str, entry: Entry) -> nodes.list_item:
    """The first place with the title of its section, further chapters by number."""
    line = nodes.paragraph("", "", entry.shown)
    for at, (page, anchor, title) in enumerate(entry.places):
        number = chapter_of(page)
        inside_chapter = number and not re.match(r"\w+ \d+\.\d+$", title)
        words = (f"{number} {title}" if not at else f"{number}") if inside_chapter else title
        link = _link(app, here, page, anchor, nodes.Text(words))
        if inside_chapter and at:
            link["reftitle"] = f"Chapter {number}: {title}"
        line += [nodes.Text(", " if at else ": "), link]
    return nodes.list_item("", line)


def _link(app: Sphinx, here: str, page: str, anchor: str, shown: nodes.Node) -> nodes.Element:
    link: nodes.Element = make_refnode(app.builder, here, page, anchor, shown)
    return link


def setup(app: Sphinx) -> None:
    app.add_node(book_index)
    app.add_directive("book-index", BookIndex)
    app.connect("doctree-resolved", render)
