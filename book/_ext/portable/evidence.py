"""The line under a numbered result: proof, check, tests, results page; and the way back to it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform

from portable.catalog import Result, read_results
from portable.labels import chapter_of, slug

RESULTS = "book/results"
_HOLDS = ("Proof", "Check")


class held_by(nodes.paragraph):
    """What holds a result up, as links; below a proof or a check, the result that it holds up."""


@cache
def results_of(root: Path, docname: str) -> dict[str, Result]:
    """Read the results of one chapter by label."""
    return {result.label: result for result in read_results(root, [docname])}


def source_link(
    config: Config, path: str, shown: nodes.Node, line: int | None = None
) -> nodes.Node:
    """Link to a file of the repository; the bare words where no address is set."""
    options = config.html_theme_options
    url, branch = options.get("repository_url"), options.get("repository_branch", "main")
    if not url:
        return shown
    anchor = f"#L{line}" if line else ""
    return nodes.reference("", "", shown, refuri=f"{url}/blob/{branch}/{path}{anchor}")


def entry_of(label: str) -> str:
    """Name a result's entry on the page of results.

    >>> entry_of("Theorem 5.9")
    'evidence-for-theorem-5-9'
    """
    return slug(f"Evidence for {label}")


class Evidence(SphinxTransform):
    """Put the line under every box of a chapter, and one back under its proof and its check."""

    default_priority = 225  # the boxes are there, mentions are not yet links

    def apply(self, **kwargs: Any) -> None:
        path = Path(self.env.doc2path(self.env.docname))
        if chapter_of(self.env.docname) is None or path.suffix != ".ipynb":
            return
        results = results_of(Path(self.env.srcdir), self.env.docname)
        for box in self.document.findall(nodes.container):
            if "result" in box["classes"] and box["ids"]:
                label = box[0][0].astext()
                links = self._links(results[label]) if label in results else []
                if links:
                    box += held_by("", "", *_dotted(links), classes=["held-by"])
        holds = {slug(f"{what} of {label}"): label for label in results for what in _HOLDS}
        for node in self.document.findall(nodes.Element):
            label = next((holds[one] for one in node.get("ids", ()) if one in holds), None)
            if label:
                node += held_by("", "", nodes.Text("Back to "), self._result(label),
                                classes=["held-by", "back"])  # fmt: skip

    def _links(self, result: Result) -> list[nodes.Node]:
        links = []
        if result.proved:
            links.append(self._anchor("Proof", f"Proof of {result.label}", result.docname))
        if result.check is not None:
            links.append(self._anchor("Check", f"Check of {result.label}", result.docname))
        for number, test in enumerate(result.tests, 1):
            words = nodes.Text(f"Test {number}" if len(result.tests) > 1 else "Test")
            link = source_link(self.config, test.path, words, test.line)
            if isinstance(link, nodes.reference):
                link["reftitle"] = f"{test.path}::{test.name}"
            links.append(link)
        if RESULTS in self.env.found_docs:
            links.append(self._anchor("Results page", f"Evidence for {result.label}", RESULTS))
        return links

    def _result(self, label: str) -> nodes.Node:
        return addnodes.pending_xref(
            "", nodes.inline(label, label), refdomain="portable", reftype="result",
            reftarget=label, refdoc=self.env.docname, refexplicit=True, refwarn=True,
        )  # fmt: skip

    def _anchor(self, words: str, text: str, page: str) -> nodes.Node:
        return addnodes.pending_xref(
            "", nodes.inline(words, words), refdomain="portable", reftype="anchor",
            reftarget=slug(text), refdoc=self.env.docname, page=page, refwarn=True,
        )  # fmt: skip


def _dotted(links: list[nodes.Node]) -> list[nodes.Node]:
    """Put a dot between two links."""
    found: list[nodes.Node] = []
    for link in links:
        found += [nodes.Text(" · "), link] if found else [link]
    return found


def setup(app: Sphinx) -> None:
    app.add_node(held_by, html=(_visit, _depart))
    app.add_transform(Evidence)


def _visit(self: Any, node: held_by) -> None:
    self.visit_paragraph(node)


def _depart(self: Any, node: held_by) -> None:
    self.depart_paragraph(node)
