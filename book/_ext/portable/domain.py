"""Where every numbered result, exercise, proof and check of the book stands."""

from __future__ import annotations

from typing import ClassVar

from docutils import nodes
from sphinx.domains import Domain
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

logger = logging.getLogger(__name__)


class Results(Domain):
    """All numbered results and exercises of the book: label -> (page, anchor)."""

    name = "portable"
    label = "Numbered results"
    initial_data: ClassVar = {"targets": {}, "claims": {}, "anchors": {}}
    dangling_warnings: ClassVar = {"result": "%(target)s is mentioned, but no chapter states it",
                         "anchor": "there is no %(target)s on the page linked to"}  # fmt: skip

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

    def resolve_xref(self, env, fromdocname, builder, typ, target, node, contnode):
        if typ == "anchor":
            page = node["page"]
            known = target in self.data["anchors"].get(page, ())
            return make_refnode(builder, fromdocname, page, target, contnode) if known else None
        if target not in self.data["targets"]:
            return None
        docname, anchor = self.data["targets"][target]
        return make_refnode(builder, fromdocname, docname, anchor, contnode)

    def resolve_any_xref(self, env, fromdocname, builder, target, node, contnode):
        return []

    def get_objects(self):
        for label, (docname, anchor) in self.data["targets"].items():
            yield label, label, "result", docname, anchor, 1


def warn(message: str, node: nodes.Node | str) -> None:
    """Say what is wrong with a result, and where."""
    logger.warning(message, location=node, type="portable", subtype="result")


def setup(app) -> None:
    app.add_domain(Results)
