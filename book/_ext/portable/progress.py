"""The map of a chapter as links, each with its reading time, and where progress.js writes."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from portable.evidence import held_by
from portable.folds import bold_start, fold
from portable.labels import chapter_of

WORDS_A_MINUTE = 100  # the core of a chapter has at most 4,000 words, "about 40 minutes"
_SILENT = (fold, held_by, nodes.raw, nodes.literal_block, nodes.comment)


def words(node: nodes.Node, without: list[nodes.section]) -> int:
    """Count the words that one reads in a place: no fold, no code, none of the sections without.

    >>> here = nodes.section("", nodes.paragraph("", "", nodes.Text("One, two")))
    >>> inner = nodes.section("", nodes.paragraph("", "", nodes.Text("three")))
    >>> here += [inner, nodes.literal_block("x = 1", "x = 1")]
    >>> words(here, []), words(here, [inner])
    (3, 2)
    """
    if isinstance(node, _SILENT) or any(node is one for one in without):
        return 0
    if isinstance(node, nodes.TextElement):
        return len(node.astext().split())
    if not isinstance(node, nodes.Element) or "nb_element" in node:
        return 0
    return sum(words(child, without) for child in node.children)


def minutes(count: int) -> int:
    """Return the reading time of some words; at least a minute.

    >>> minutes(3), minutes(449)
    (1, 4)
    """
    return max(1, round(count / WORDS_A_MINUTE))


class Map(SphinxTransform):
    """Turn the line of a chapter's map into a list of links with their minutes."""

    default_priority = 235  # before first uses become links: a map links to sections alone

    def apply(self, **kwargs: Any) -> None:
        line = next(filter(_is_map, self.document.findall(nodes.paragraph)), None)
        if chapter_of(self.env.docname) is None or line is None:
            return
        marks = re.findall(r"([●○]) ([^·\n]+)", line.astext().partition("\n")[2])
        at = {one[0].astext(): one for one in self.document.findall(nodes.section)}
        listed = [(mark, at[name.strip()]) for mark, name in marks if name.strip() in at]
        sections = [section for _, section in listed]
        items = [_item(mark, section, sections) for mark, section in listed]
        for section in sections:
            inner = [one for one in section.children if one in sections]
            end = section.index(inner[0]) if inner else len(section)
            section.insert(end, _slot("read-mark", section["ids"][0]))
        del line[line.index(next(one for one in line if "\n" in one.astext())) :]
        below = [nodes.bullet_list("", *items, classes=["chapter-map"]), _slot("read-place")]
        line.parent[line.parent.index(line) + 1 : line.parent.index(line) + 1] = below


def _is_map(paragraph: nodes.paragraph) -> bool:
    strong = bold_start(paragraph)
    return strong is not None and strong.astext() == "The map." and "\n" in paragraph.astext()


def _item(mark: str, section: nodes.section, listed: list[nodes.section]) -> nodes.list_item:
    title = [child.deepcopy() for child in section[0].children]
    link = nodes.reference("", "", *title, internal=True, refid=section["ids"][0])
    count = minutes(words(section, [one for one in listed if one is not section]))
    time = nodes.inline("", f"{count} min", classes=["minutes"])
    return nodes.list_item("", nodes.paragraph("", "", nodes.Text(f"{mark} "), link, time))


def _slot(name: str, section: str = "") -> nodes.raw:
    """Return an empty line that keeps its room, so that nothing moves when a script fills it."""
    return nodes.raw("", f'<p class="{name}" data-section="{section}"></p>', format="html")


def setup(app: Sphinx) -> None:
    app.add_transform(Map)
    app.add_css_file("progress.css")
    app.add_js_file("progress.js", loading_method="defer")
