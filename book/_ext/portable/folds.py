"""`<details>` in portable Markdown: proofs, hints, solutions and answers become folds."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

from portable.labels import slug

logger = logging.getLogger(__name__)

_TAG = re.compile(r"<details[^>]*>|</details\s*>|<summary[^>]*>.*?</summary\s*>", re.S | re.I)
_INLINE = re.compile(r"(\$[^$]+\$|`[^`]+`|\*\*[^*]+\*\*|\*[^*]+\*|</?[a-z]+>)")
_KINDS = (
    ("option", re.compile(r"^[A-H]\. ")),
    ("proof", re.compile(r"^(Proof|Why)\b")),
    ("hint", re.compile(r"^Hint\b")),
    ("solution", re.compile(r"^(Solution|Answer)\b")),
)
_ANCHORED = re.compile(r"^(Proof|Hint|Solution)s? .*\d+\.\d+")


class fold(nodes.General, nodes.Element):
    """A `<details>` element; its first child is a :class:`fold_summary`."""


class fold_summary(nodes.General, nodes.TextElement):
    """The `<summary>` of a fold, with its mathematics and code parsed."""


def kind_of(summary: str) -> str:
    """Name the kind of fold that a summary announces.

    >>> kind_of("B. Twice as much"), kind_of("Proof of Lemma 1.2"), kind_of("More")
    ('option', 'proof', 'aside')
    """
    return next((kind for kind, pattern in _KINDS if pattern.search(summary)), "aside")


def tokens(html: str) -> list[tuple[str, str]]:
    """Split an HTML block into ("open" | "close" | "summary" | "rest", text).

    >>> tokens("<details><summary>Hint</summary>")
    [('open', '<details>'), ('summary', 'Hint')]
    """
    found, at = [], 0
    for match in _TAG.finditer(html):
        found.append(("rest", html[at : match.start()]))
        text, at = match.group(), match.end()
        if text.lower().startswith("<summary"):
            found.append(("summary", re.sub(r"^<[^>]*>|</[^>]*>$", "", text).strip()))
        else:
            found.append(("close" if text.startswith("</") else "open", text))
    found.append(("rest", html[at:]))
    return [(kind, text) for kind, text in found if kind != "rest" or text.strip()]


def unbalanced(markdown: str) -> bool:
    """Say whether the `<details>` of one Markdown cell do not open and close in pairs.

    >>> unbalanced("<details><summary>Hint</summary>"), unbalanced("<details></details>")
    (True, False)
    """
    text = re.sub(r"```.*?```|`[^`\n]*`", "", markdown, flags=re.S)
    depth = 0
    for tag in re.findall(r"</?details", text, flags=re.I):
        depth += -1 if tag.startswith("</") else 1
        if depth < 0:
            return True
    return depth != 0


def summary_node(text: str) -> fold_summary:
    """Parse the little Markdown that a summary may hold: mathematics, code, emphasis."""
    node = fold_summary(text, "")
    for piece in _INLINE.split(text):
        if piece.startswith("$") and len(piece) > 2:
            node += nodes.math(piece, piece[1:-1])
        elif piece.startswith("`"):
            node += nodes.literal(piece, piece[1:-1])
        elif piece.startswith("**"):
            node += nodes.strong(piece, piece[2:-2])
        elif piece.startswith("*") and len(piece) > 2:
            node += nodes.emphasis(piece, piece[1:-1])
        elif piece and not re.fullmatch(r"</?[a-z]+>", piece):
            node += nodes.Text(piece)
    return node


class Folds(SphinxTransform):
    """Pair the raw `<details>` and `</details>` blocks and wrap what stands between them."""

    default_priority = 200

    def apply(self, **kwargs: Any) -> None:
        parents = {id(raw.parent): raw.parent for raw in self.document.findall(_is_fold_tag)}
        for parent in parents.values():
            self._pair(parent)
        for node in self.document.findall(fold):
            self._dress(node)

    def _pair(self, parent: nodes.Element) -> None:
        children, parent.children = parent.children, []
        stack: list[nodes.Element] = [parent]
        for child in children:
            if not _is_fold_tag(child):
                stack[-1] += child
                continue
            for kind, text in tokens(child.astext()):
                if kind == "open":
                    node = fold()
                    node.source, node.line = child.source, child.line
                    stack[-1] += node
                    stack.append(node)
                elif kind == "close" and len(stack) == 1:
                    self._warn("</details> without <details>; open and close it in one cell", child)
                elif kind == "close":
                    stack.pop()
                elif kind == "summary" and len(stack) > 1:
                    stack[-1] += summary_node(text)
                else:
                    self._warn(
                        f"{text.strip()[:60]!r} stands in an HTML block: leave an empty "
                        "line after <summary> and before </details>",
                        child,
                    )
        for left in stack[1:]:
            self._warn("<details> is not closed before its section ends", left)

    def _dress(self, node: fold) -> None:
        if not node.children or not isinstance(node[0], fold_summary):
            self._warn("<details> needs a <summary> as its first element", node)
            return
        summary = node[0].astext()
        node["classes"] += ["fold", kind_of(summary)]
        if _ANCHORED.search(summary):
            anchor = slug(summary)
            if anchor in self.document.ids:
                self._warn(f"a second fold is called {summary!r}", node)
            node["ids"].append(anchor)
            anchors = self.env.get_domain("portable").data["anchors"]
            anchors.setdefault(self.env.docname, []).append(anchor)
            self.document.ids[anchor] = node

    def _warn(self, message: str, node: nodes.Node) -> None:
        logger.warning(message, location=node, type="portable", subtype="details")


def _is_fold_tag(node: nodes.Node) -> bool:
    return (
        isinstance(node, nodes.raw)
        and node.get("format") == "html"
        and bool(re.search(r"</?details", node.astext(), re.I))
    )


def bold_start(node: nodes.Node) -> nodes.strong | None:
    """Return the bold words that begin a paragraph; the parser may put an empty text first."""
    if not isinstance(node, nodes.paragraph):
        return None
    first = next((child for child in node.children if child.astext()), None)
    return first if isinstance(first, nodes.strong) else None


def visit_fold(self: HTML5Translator, node: fold) -> None:
    self.body.append(self.starttag(node, "details"))


def depart_fold(self: HTML5Translator, node: fold) -> None:
    self.body.append("</details>\n")


def visit_summary(self: HTML5Translator, node: fold_summary) -> None:
    self.body.append(self.starttag(node, "summary", ""))


def depart_summary(self: HTML5Translator, node: fold_summary) -> None:
    self.body.append("</summary>\n")


def _pass(self: nodes.NodeVisitor, node: nodes.Node) -> None:
    """Other builders (text, latex) print the content as it stands."""


def setup(app: Sphinx) -> None:
    other: dict[str, Any] = dict.fromkeys(("latex", "text", "man", "texinfo"), (_pass, _pass))
    app.add_node(fold, html=(visit_fold, depart_fold), **other)
    app.add_node(fold_summary, html=(visit_summary, depart_summary), **other)
    app.add_transform(Folds)
