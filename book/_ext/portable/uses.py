"""Where each chapter first uses a term, a letter, a name of the library, a work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform

from portable import lexicon
from portable.boxes import inside
from portable.folds import fold
from portable.labels import chapter_of

Place = tuple[str, str, str]  # page, anchor, title of the section


class Use(NamedTuple):
    """The first use of something in a chapter: what it leads to, and where it stands."""

    target: str
    place: Place


class Uses(SphinxTransform):
    """Note in which section a chapter first uses each term, letter, name and work."""

    default_priority = 820  # the links are there

    def apply(self, **kwargs: Any) -> None:
        uses = _uses(self.env)
        uses.pop(self.env.docname, None)
        if chapter_of(self.env.docname) is None:
            return
        first: dict[str, Place] = {}
        for target, node in self._found():
            if target not in first and (place := self._section(node)):
                first[target] = place
        uses[self.env.docname] = [Use(*one) for one in first.items()]

    def _found(self) -> Iterator[tuple[str, nodes.Node]]:
        for node in self.document.findall(nodes.Element):
            if "reftarget" in node and node.get("reftype") in ("term", "anchor", "obj"):
                yield node["reftarget"], node
            elif isinstance(node, nodes.reference) and "work" in node:
                yield f"ref-{node['work']}", node
            elif isinstance(node, nodes.literal_block) and not inside(node, (fold,)):
                for name in re.findall(r"(?<![.\w])[A-Za-z_]\w*(?=\()", node.astext()):
                    if name in lexicon.names():
                        yield lexicon.names()[name], node

    def _section(self, node: nodes.Node) -> Place | None:
        at = node
        while at is not None and not isinstance(at, nodes.section):
            at = at.parent
        return (self.env.docname, at["ids"][0], at[0].astext()) if at else None


def places(app: Sphinx, target: str) -> list[Place]:
    """List where the chapters first use something."""
    uses = sorted(_uses(app.env).items())
    return [use.place for _, found in uses for use in found if use.target == target]


def _uses(env: BuildEnvironment) -> dict[str, list[Use]]:
    uses: dict[str, list[Use]] = env.__dict__.setdefault("portable_uses", {})
    return uses


def setup(app: Sphinx) -> None:
    app.add_transform(Uses)
