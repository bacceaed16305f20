"""Where every numbered result, exercise, proof and check of the book stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.domains import Domain
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

logger = logging.getLogger(__name__)
_EMPTY: dict[str, dict[str, Any]] = {"targets": {}, "claims": {}, "anchors": {}}
_DANGLING = {
    "result": "%(target)s is mentioned, but no chapter states it",
    "anchor": "there is no %(target)s on the page linked to",
}


class Results(Domain):
    """All numbered results and exercises of the book: label -> (page, anchor)."""

    name = "portable"
    label = "Numbered results"
    initial_data = _EMPTY
    dangling_warnings = _DANGLING

    def note(self, label: str, docname: str, anchor: str, location: nodes.Node) -> None:
        """Record a target; a label that stands twice is a warning."""
        other = self.data["targets"].get(label)
        if other:
            warn(f"{label} is stated twice, also in {other[0]}", location)
        self.data["targets"][label] = (docname, anchor)

    def clear_doc(self, docname: str) -> None:
        targets = self.data["targets"]
        self.data["targets"] = {k: v for k, v in targets.items() if v[0] != docname}
        self.data["claims"].pop(docname, None)
        self.data["anchors"].pop(docname, None)

    def check_consistency(self) -> None:
        """Hold the labels that summaries name ("Proof of Theorem 5.2") against the results."""
        for docname, labels in self.data["claims"].items():
            for label in labels:
                if label not in self.data["targets"]:
                    warn(f"a summary names {label}, but no chapter states it", docname)

    def resolve_xref(
        self, env: BuildEnvironment, fromdocname: str, builder: Builder, typ: str, target: str,
        node: pending_xref, contnode: nodes.Element,
    ) -> nodes.Element | None:  # fmt: skip
        if typ == "anchor":
            page = node["page"]
            known = target in self.data["anchors"].get(page, ())
            return make_refnode(builder, fromdocname, page, target, contnode) if known else None
        if target not in self.data["targets"]:
            return None
        docname, anchor = self.data["targets"][target]
        return make_refnode(builder, fromdocname, docname, anchor, contnode)

    def resolve_any_xref(
        self, env: BuildEnvironment, fromdocname: str, builder: Builder, target: str,
        node: pending_xref, contnode: nodes.Element,
    ) -> list[tuple[str, nodes.Element]]:  # fmt: skip
        return []

    def get_objects(self) -> Iterator[tuple[str, str, str, str, str, int]]:
        for label, (docname, anchor) in self.data["targets"].items():
            yield label, label, "result", docname, anchor, 1


def warn(message: str, node: nodes.Node | str) -> None:
    """Say what is wrong with a result, and where."""
    logger.warning(message, location=node, type="portable", subtype="result")


def setup(app: Sphinx) -> None:
    app.add_domain(Results)
