"""The search index: one entry for each section, numbered result, term and name of the library.

It is a script rather than a data file, so that a page opened from a folder may load it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from portable.boxes import box_title
from portable.folds import fold, fold_summary
from portable.labels import chapter_of
from portable.plain import plain

FILE = "search-index.js"
GENERATED = ("book/results", "book/reproductions", "book/library", "book/references")
_SILENT = (nodes.title, box_title, nodes.term, nodes.thead, addnodes.desc_signature)
_GENERATED = {
    "chapter-map",
    "evidence",
    "held-by",
    "import",
    "result",
}  # what the build repeats from elsewhere
_NOISE = re.compile(r" ?Open in Colab · Download the notebook|(?<=…) …")


class Entry(NamedTuple):
    """A place of the book that a reader may look for."""

    page: str
    anchor: str
    title: str
    kind: str  # page | section | result | proof | term | name | work
    text: str


def entries(page: str, doctree: nodes.Element) -> Iterator[Entry]:
    """List the places of a page in reading order, each with the text that is its own."""
    yield from (_entry(page, node, kind) for node, kind in _places(doctree) if kind)


def _places(node: nodes.Element) -> Iterator[tuple[nodes.Element, str]]:
    for child in node.findall(nodes.Element):
        kind = kind_of(child)
        if kind:
            yield child, kind


def kind_of(node: nodes.Node) -> str:
    """Say what kind of place a node is; empty where it belongs to the one around it."""
    if isinstance(node, nodes.section):
        return "page" if isinstance(node.parent, nodes.document) else "section"
    if isinstance(node, nodes.container) and "result" in node["classes"] and node["ids"]:
        return "result"
    if isinstance(node, fold) and node["ids"]:
        return "proof"
    if isinstance(node, nodes.definition_list_item) and node[0]["ids"]:
        return "term"
    if isinstance(node, nodes.list_item) and node["ids"]:
        return "work"
    if isinstance(node, addnodes.desc) and node[0]["ids"]:
        return "name"
    return ""


def _entry(page: str, node: nodes.Element, kind: str) -> Entry:
    head = node[0] if isinstance(node[0], nodes.Element) else node
    anchor = (node["ids"] or head["ids"])[-1 if kind == "section" else 0]
    title = " ".join(filter(None, map(plain, head.children)))
    if kind == "work":
        title = plain(head[0])
    elif kind == "name":
        title = str(head["ids"][0])
    hidden = (nodes.table, *_SILENT) if page in GENERATED else _SILENT
    text = _NOISE.sub("", " ".join(_own(node, hidden)))
    return Entry(page, "" if kind == "page" else anchor, title, kind, text)


def _own(node: nodes.Element, hidden: tuple[type, ...]) -> Iterator[str]:
    """List the lines of a place, without those of the places in it, and without code cells."""
    for child in node.children:
        if not isinstance(child, nodes.Element) or kind_of(child) or isinstance(child, hidden):
            continue
        titles = isinstance(child, fold_summary) and kind_of(child.parent)
        if titles or "nb_element" in child or _GENERATED & set(child["classes"]):
            continue
        if isinstance(child, nodes.TextElement):
            if text := plain(child):
                yield text
        else:
            yield from _own(child, hidden)


def collect(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Read the entries of a page, in the form in which it is written."""
    if app.builder.format == "html":
        _index(app)[page] = list(entries(page, doctree))


def _index(app: Sphinx) -> dict[str, list[Entry]]:
    index: dict[str, list[Entry]] = app.env.__dict__.setdefault("portable_search", {})
    return index


def packed(app: Sphinx) -> dict[str, list[list[Any]]]:
    """Pack the index: pages as address, name and rank; entries with the numbers of their pages."""
    order = list(app.env.toctree_includes.get(app.config.root_doc, []))
    found = _index(app)
    names = sorted(found, key=lambda name: (order.index(name) if name in order else -1, name))
    pages, places = [], []
    for number, name in enumerate(names):
        rank = 0 if chapter_of(name) else 2 if name in GENERATED else 1
        pages.append([app.builder.get_target_uri(name), _name(app, name), rank])
        for entry in found[name]:
            places.append([number, entry.anchor, entry.title, entry.kind, entry.text])
    return {"pages": pages, "places": places}


def _name(app: Sphinx, page: str) -> str:
    """The title of a page as the contents show it, with the chapter's number."""
    number = chapter_of(page)
    title = plain(app.env.titles[page])
    return f"{number}. {title}" if number else title


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the index as a script."""
    if exception is None and app.builder.format == "html":
        data = json.dumps(packed(app), ensure_ascii=False, separators=(",", ":"))
        path = Path(app.outdir) / "_static" / FILE
        path.write_text(f"window.searchIndex={data};\n", encoding="utf-8")
        for name in ("doctools.js", "sphinx_highlight.js", "searchtools.js", "language_data.js"):
            (path.parent / name).unlink(missing_ok=True)


def replace_sphinx(app: Sphinx) -> None:
    """Switch Sphinx's own search off: a word there leads to a page, not to the place on it."""
    app.builder.search = False  # type: ignore[attr-defined]


def page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Add the page on which one searches."""
    yield "search", {"title": "Search"}, "search.html"


def drop_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Leave out the scripts of Sphinx that only its own search needs."""
    scripts = context.get("script_files", [])
    unused = ("doctools.js", "sphinx_highlight.js")
    context["script_files"] = [one for one in scripts if not str(one.filename).endswith(unused)]


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", replace_sphinx)
    app.connect("doctree-resolved", collect, priority=900)
    app.connect("html-collect-pages", page)
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("build-finished", write)
    app.add_js_file("marks.js", loading_method="defer")
    app.add_css_file("search.css")
