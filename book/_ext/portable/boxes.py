"""Numbered results: block quotes become boxes with anchors, mentions of them become links."""

from __future__ import annotations

from typing import Any, cast

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.writers.html5 import HTML5Translator

from portable.domain import Results, warn
from portable.folds import bold_start, fold_summary
from portable.labels import BOX_TITLE, EXERCISE_TITLE, LOOKS_LIKE_BOX, chapter_of, mentions, slug

_NO_LINKS = (
    nodes.title, nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw,
    nodes.comment, nodes.reference, addnodes.pending_xref, nodes.rubric,
)  # fmt: skip


class box_title(nodes.General, nodes.TextElement):
    """The title line of a box: label, name, permalink."""


class Boxes(SphinxTransform):
    """Turn block quotes that begin with a label into boxes, and number-check them."""

    default_priority = 220

    def apply(self, **kwargs: Any) -> None:
        domain = cast(Results, self.env.get_domain("portable"))
        expected = 1
        for quote in list(self.document.findall(nodes.block_quote)):
            strong = bold_start(quote[0]) if quote.children else None
            if strong is None:
                continue
            title = strong.astext()
            match = BOX_TITLE.match(title)
            if match is None:
                if LOOKS_LIKE_BOX.match(title):
                    warn(f"write {title!r} as '**Theorem 5.2 (Name).**'", quote)
                continue
            kind, chapter, number, name = match.groups()
            self._check_number(
                f"{kind} {chapter}.{number}", int(chapter), int(number), expected, quote
            )
            expected = int(number) + 1
            label = f"{kind} {chapter}.{number}"
            quote.replace_self(_box(quote, strong, label, name))
            domain.note(label, self.env.docname, slug(label), quote)
        self._exercises(domain)

    def _check_number(
        self, label: str, chapter: int, number: int, expected: int, node: nodes.Node
    ) -> None:
        own = chapter_of(self.env.docname)
        if own is None:
            return
        if chapter != own:
            warn(f"{label} stands in chapter {own}; its number must begin with {own}.", node)
        elif number != expected:
            warn(f"{label} is out of order: {own}.{expected} comes next in this chapter", node)

    def _exercises(self, domain: Results) -> None:
        expected = 1
        for section in self.document.findall(nodes.section):
            title = section[0].astext()
            if not title.startswith("Exercise "):
                continue
            match = EXERCISE_TITLE.match(title)
            if match is None:
                warn(f"write {title!r} as 'Exercise 1.3 (think|derive|code). Title'", section)
                continue
            chapter, number, kind = int(match[1]), int(match[2]), match[3]
            label = f"Exercise {chapter}.{number}"
            self._check_number(label, chapter, number, expected, section)
            expected = number + 1
            section["classes"] += ["exercise", kind]
            section["ids"].append(slug(label))
            self.document.ids[slug(label)] = section
            domain.note(label, self.env.docname, slug(label), section)


class Mentions(SphinxTransform):
    """Replace mentions in running text by cross-references."""

    default_priority = 230

    def apply(self, **kwargs: Any) -> None:
        for text in list(self.document.findall(nodes.Text)):
            found = mentions(str(text))
            if found and not inside(text, (*_NO_LINKS, box_title)):
                if inside(text, (fold_summary,)):
                    claims = self.env.get_domain("portable").data["claims"]
                    claims.setdefault(self.env.docname, []).extend(label for *_, label in found)
                else:
                    text.parent.replace(text, self._pieces(str(text), found, text))

    def _pieces(
        self, text: str, found: list[tuple[int, int, str]], where: nodes.Node
    ) -> list[nodes.Node]:
        pieces, at = [], 0
        for start, end, label in found:
            shown = nodes.inline(text[start:end], text[start:end])
            xref = addnodes.pending_xref(
                "",
                shown,
                refdomain="portable",
                reftype="result",
                reftarget=label,
                refdoc=self.env.docname,
                refexplicit=True,
                refwarn=True,
            )
            xref.source, xref.line = where.parent.source, where.parent.line
            pieces += [nodes.Text(text[at:start]), xref]
            at = end
        return [*pieces, nodes.Text(text[at:])]


def _box(
    quote: nodes.block_quote, strong: nodes.strong, label: str, name: str | None
) -> nodes.container:
    """Make the box: a title line, then the statement."""
    anchor = slug(label)
    box = nodes.container(classes=["result", label.split()[0].lower()], ids=[anchor])
    title = box_title("", "", nodes.strong(label, label), anchor=anchor)
    if name:
        title += _name(strong)
    first = quote[0]
    first[: first.index(strong) + 1] = []
    if first.children and isinstance(first[0], nodes.Text):
        first.replace(first[0], nodes.Text(first[0].lstrip()))
    box += [title, *(quote.children if first.astext().strip() else quote.children[1:])]
    return box


def _name(strong: nodes.strong) -> nodes.inline:
    """The name in "Theorem 5.2 (Name).", with whatever mathematics it holds."""
    parts = [child for child in strong.children if child.astext()]
    name = nodes.inline("", "", *parts, classes=["name"])
    first = name[0]
    name.replace(first, nodes.Text(first.split("(", 1)[1]))
    last = name[-1]
    name.replace(last, nodes.Text(last.rsplit(")", 1)[0]))
    return name


def inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kinds):
            return True
    return False


def visit_title(self: HTML5Translator, node: box_title) -> None:
    self.body.append(self.starttag(node, "p", CLASS="result-title"))


def depart_title(self: HTML5Translator, node: box_title) -> None:
    label = node[0].astext()
    self.body.append(
        f'<a class="headerlink" href="#{node["anchor"]}" aria-label="Link to {label}">#</a></p>\n'
    )


def setup(app: Sphinx) -> None:
    app.add_node(box_title, html=(visit_title, depart_title))
    app.add_transform(Boxes)
    app.add_transform(Mentions)
