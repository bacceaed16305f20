"""The table above the results: how many each chapter states, proves, checks and tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from portable.catalog import Result
from portable.labels import UNPROVED, chapter_of

HEAD = ("Chapter", "Defined", "Stated", "Proved", "Checked", "Tested")


def counts(results: Sequence[Result]) -> tuple[int, int, int, int, int]:
    """Count definitions and algorithms, statements, and of these the proved, checked, tested.

    >>> counts([Result("Lemma 1.1", None, "", "", True, "1.0", ())])
    (0, 1, 1, 1, 0)
    """
    stated = [one for one in results if one.label.split()[0] not in UNPROVED]
    return (
        len(results) - len(stated),
        len(stated),
        sum(one.proved for one in stated),
        sum(one.check is not None for one in stated),
        sum(bool(one.tests) for one in stated),
    )


def status(results: Sequence[Result], titles: dict[str, str]) -> nodes.table:
    """Make the table; ``titles`` maps the chapters' pages to their titles, in order."""
    rows = []
    for page, title in titles.items():
        words = f"{chapter_of(page)} {title}"
        link = nodes.reference("", words, refid=f"chapter-{chapter_of(page)}", internal=True)
        rows.append([link, *counts([one for one in results if one.docname == page])])
    return table(HEAD, [*rows, ["All chapters", *counts(results)]], classes=["status"])


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], **attributes: Any) -> nodes.table:
    """Make a table of nodes, words and numbers."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", group, **attributes)


def _row(cells: Sequence[Any]) -> nodes.row:
    found = nodes.row()
    for cell in cells:
        shown = cell if isinstance(cell, nodes.Node) else nodes.Text(str(cell))
        found += nodes.entry("", nodes.paragraph("", "", shown))
    return found


def _load(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the filter where there is a table of the results' status."""
    if doctree is not None and any(
        "status" in one["classes"] for one in doctree.findall(nodes.table)
    ):
        app.add_js_file("filter.js", loading_method="defer")


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", _load)
