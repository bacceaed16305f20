"""The first use of a term, a symbol or a name in a chapter becomes a link to what explains it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from portable import lexicon
from portable.boxes import box_title, inside
from portable.folds import fold
from portable.labels import chapter_of

_NEVER = (
    nodes.title, nodes.literal_block, nodes.math_block, nodes.raw, nodes.comment, nodes.reference,
    nodes.caption, nodes.rubric, addnodes.pending_xref, box_title, fold,
)  # fmt: skip
_CALL = re.compile(r"(?:fedlearn_\w+\.)?(?:\w+\.)*(\w+)(?:\(.*\))?")


class Links(SphinxTransform):
    """Link first uses; what is folded, a heading or a link already is left alone."""

    default_priority = 810  # after punctuation was bound to its formula

    def apply(self, **kwargs: Any) -> None:
        chapter = chapter_of(self.env.docname)
        if chapter is None:
            return
        for page in (lexicon.GLOSSARY, lexicon.NOTATION):
            self.env.note_dependency(str(self._path(page)))
        self._terms(chapter)
        self._symbols(chapter)
        self._names()

    def _path(self, page: str) -> Path:
        return Path(self.env.srcdir) / f"{page}.md"

    def _terms(self, chapter: int) -> None:
        known = lexicon.terms(self._path(lexicon.GLOSSARY))
        held = [term for term in known if chapter in term.chapters]
        used: set[str] = set()
        for text in list(self.document.findall(nodes.Text)):
            if inside(text, (*_NEVER, nodes.literal, nodes.math)) or _in_output(text):
                continue
            found = [one for one in matches(str(text), held) if one[2] not in used]
            firsts = {head: (start, end, head) for start, end, head in reversed(found)}
            used |= firsts.keys()
            pieces, at = [], 0
            for start, end, head in sorted(firsts.values()):
                shown = nodes.inline(text[start:end], text[start:end])
                pieces += [nodes.Text(text[at:start]), self._xref(shown, "std", "term", head)]
                at = end
            if pieces:
                text.parent.replace(text, [*pieces, nodes.Text(text[at:])])

    def _symbols(self, chapter: int) -> None:
        waiting = lexicon.symbols_of(self._path(lexicon.NOTATION), chapter)
        for formula in list(self.document.findall(nodes.math)):
            symbol = lexicon.normal(formula.astext())
            anchor = waiting.get(symbol)
            if anchor is None or inside(formula, _NEVER):
                continue
            same = lexicon.bare(symbol)  # f and f(w) are one symbol
            waiting = {one: at for one, at in waiting.items() if lexicon.bare(one) != same}
            shown = formula.deepcopy()
            shown["spoken"] = lexicon.spoken(symbol)
            target = self._xref(shown, "portable", "anchor", anchor)
            target["page"] = lexicon.NOTATION
            formula.replace_self(target)

    def _names(self) -> None:
        if lexicon.LIBRARY not in self.env.found_docs:
            return
        waiting = dict(lexicon.names())
        for code in list(self.document.findall(nodes.literal)):
            call = _CALL.fullmatch(code.astext())
            if call is None or call[1] not in waiting or inside(code, _NEVER):
                continue
            if "(" in code.astext() and _in_exercise(code):
                continue  # the name of a function that the reader writes
            place = waiting.pop(call[1])
            code.replace_self(self._xref(code.deepcopy(), "py", "obj", place))

    def _xref(self, shown: nodes.Node, domain: str, kind: str, to: str) -> nodes.Element:
        return addnodes.pending_xref(
            "", shown, refdomain=domain, reftype=kind, reftarget=to,
            refdoc=self.env.docname, refexplicit=True, refwarn=True,
        )  # fmt: skip


def matches(text: str, terms: list[lexicon.Term]) -> list[tuple[int, int, str]]:
    """Find all terms in a text; where two overlap, the longer one counts."""
    found: list[tuple[int, int, str]] = []
    for term in terms:  # long ones first
        for match in term.pattern.finditer(text):
            start, end = match.span(1)
            if all(end <= a or start >= b for a, b, _ in found):
                found.append((start, end, term.head))
    return sorted(found)


def _in_output(node: nodes.Node) -> bool:
    return _above(node, lambda one: str(one.get("nb_element", "")).startswith("cell_code"))


def _in_exercise(node: nodes.Node) -> bool:
    return _above(node, lambda one: "exercise" in one["classes"])


def _above(node: nodes.Node, holds: Any) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, nodes.Element) and holds(node):
            return True
    return False


class Rows(SphinxTransform):
    """Give each row of the notation tables an anchor."""

    default_priority = 810

    def apply(self, **kwargs: Any) -> None:
        if self.env.docname != lexicon.NOTATION:
            return
        known = lexicon.rows(Path(self.env.srcdir) / f"{lexicon.NOTATION}.md")
        bodies = [row for body in self.document.findall(nodes.tbody) for row in body]
        anchors = self.env.get_domain("portable").data["anchors"]
        anchors[self.env.docname] = [row.anchor for row in known]
        for row, node in zip(known, bodies, strict=True):
            node["ids"].append(row.anchor)
            node["classes"].append("symbol")


def setup(app: Sphinx) -> None:
    app.add_transform(Links)
    app.add_transform(Rows)
