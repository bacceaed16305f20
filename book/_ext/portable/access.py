"""What a screen reader and a voice get to hear: the names that one sees, and no empty headings."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

from myst_nb.sphinx_ import HideCodeCellNode, depart_HideCellInput
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.writers.html5 import HTML5Translator

TEMPLATES = Path(__file__).parents[2] / "_templates"
_HEADING = re.compile(r"<th\b[^>]*>.*?</th>", re.S)
_FORMULA = re.compile(r"<math\b.*?</math>", re.S)
_TAG = re.compile(r"<[^>]*>")
_TABLE = re.compile(r"<table\b.*?</table>", re.S)
_EMPTY_FIRST = re.compile(r"<thead>\s*<tr[^>]*>\s*<td")
_FIRST_CELL = re.compile(r"(<tr[^>]*>\s*)<td(>\s*<p>(?!</p>).*?)</td>", re.S)
_VIEWPORT = re.compile(r'\s*<meta name="viewport"[^>]*>')


def templates(app: Sphinx, config: Config) -> None:
    """Let the book's templates come before those of the theme."""
    config.templates_path.insert(0, str(TEMPLATES))


def open_fold(self: HTML5Translator, node: HideCodeCellNode) -> None:
    """Begin a folded cell by its name; MyST-NB calls all of them "Toggle hidden content"."""
    name = escape(node["prompt_show"])
    classes = " ".join(["admonition", "hide", *node["classes"]])
    self.body.append(f'<details class="{classes}">\n<summary><span>{name}</span></summary>\n')


def heading(found: re.Match[str]) -> str:
    """Make an empty heading of a table a cell, since it heads nothing; name one that is a formula.

    >>> _HEADING.sub(heading, '<th class="head"><p></p></th><th><math><mi>m</mi></math></th>')
    '<td class="head"><p></p></td><th><math aria-label="m"><mi>m</mi></math></th>'
    """
    cell = found[0]
    if _TAG.sub("", _FORMULA.sub("", cell)).strip():
        return cell
    symbols = " ".join(_TAG.sub(" ", cell).split())
    if symbols:
        return cell.replace("<math", f'<math aria-label="{symbols}"', 1)
    return re.sub("(</?)th", r"\1td", cell)


def rows(found: re.Match[str]) -> str:
    """Let the first cell of a row head it, in a table whose first column has no heading.

    >>> head = "<table><thead><tr><td></td><th>here</th></tr></thead>"
    >>> table = f"{head}<tr><td><p>bias</p></td><td><p>2</p></td></tr></table>"
    >>> _TABLE.sub(rows, table).removeprefix(head)
    '<tr><th scope="row"><p>bias</p></th><td><p>2</p></td></tr></table>'
    """
    table = found[0]
    if not _EMPTY_FIRST.search(table):
        return table
    return _FIRST_CELL.sub(r'\1<th scope="row"\2</th>', table)


def heard_once(body: str) -> str:
    """Keep the value beside a slider silent: the slider itself says it whenever it changes.

    >>> heard_once('<input aria-valuetext="5"><output aria-live="polite">5</output>')
    '<input aria-valuetext="5"><output aria-live="off">5</output>'
    """
    return body.replace('<output aria-live="polite">', '<output aria-live="off">')


def tidy(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Mend the headings of tables and the voice of sliders; keep one of two viewports."""
    body = _HEADING.sub(heading, context.get("body") or "")
    context["body"] = heard_once(_TABLE.sub(rows, body))
    context["metatags"] = _VIEWPORT.sub("", context.get("metatags") or "")


def setup(app: Sphinx) -> None:
    app.add_node(HideCodeCellNode, override=True, html=(open_fold, depart_HideCellInput))
    app.connect("config-inited", templates)
    app.connect("html-page-context", tidy, priority=900)
