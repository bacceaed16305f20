"""Links to papers are held against references.bib, which also makes the list of references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from portable.works import Work, disagreement, find, is_scholarly, read_works

logger = logging.getLogger(__name__)
BIB = "book/references.bib"


class Citations(SphinxTransform):
    """Check every link to a paper and remember which page cites it."""

    default_priority = 240

    def apply(self, **kwargs: Any) -> None:
        path = Path(self.app.srcdir) / BIB
        self.env.note_dependency(str(path))
        works = read_works(path)
        cited = _cited(self.env)
        cited.pop(self.env.docname, None)
        for node in self.document.findall(nodes.reference):
            url = node.get("refuri", "")
            if not is_scholarly(url):
                continue
            work = find(works, url)
            if work is None:
                self._warn(f"{url} has no entry in {BIB}", node)
                continue
            cited.setdefault(self.env.docname, set()).add(work.key)
            node["work"] = work.key
            problem = disagreement(work, node.astext())
            if problem:
                self._warn(f"[{node.astext()}] does not agree with {BIB}: {problem}", node)

    def _warn(self, message: str, node: nodes.Node) -> None:
        logger.warning(message, location=node, type="portable", subtype="citation")


class work_list(nodes.General, nodes.Element):
    """Where the bibliography goes, once all pages are read."""


class Bibliography(SphinxDirective):
    """`{bibliography-list}`: every work, with the pages that cite it."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(Path(self.env.srcdir) / BIB))
        self.env.metadata[self.env.docname]["work_list"] = True
        return [work_list()]


def places(app: Sphinx) -> list[tuple[str, str]]:
    """List where every work stands: page, anchor."""
    keys = [work.key for work in read_works(Path(app.srcdir) / BIB)]
    return [(page, f"ref-{key}") for page in _listing(app, app.env) for key in keys]


def render(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Fill in the bibliography; elsewhere let citations lead to it."""
    listing = _listing(app, app.env)
    if listing and docname not in listing:
        here = app.builder.get_relative_uri(docname, listing[0])
        for node in doctree.findall(lambda one: isinstance(one, nodes.reference) and "work" in one):
            node["refuri"], node["internal"] = f"{here}#ref-{node['work']}", True
    for place in list(doctree.findall(work_list)):
        works = read_works(Path(app.srcdir) / BIB)
        items = [_item(app, docname, work) for work in works]
        place.replace_self(nodes.bullet_list("", *items, classes=["works"]))


def _item(app: Sphinx, here: str, work: Work) -> nodes.list_item:
    line = nodes.paragraph("", "", nodes.strong(work.short, work.short))
    title = nodes.Text(work.title)
    if work.link:
        title = nodes.reference("", work.title, refuri=work.link, internal=False)
    line += [nodes.Text(". "), title, nodes.Text(f". {work.venue}.")]
    if work.remark:
        line += nodes.Text(f" {work.remark}.")
    if work.unverified:
        line += [nodes.Text(" "), nodes.inline("", f"† {work.unverified}.", classes=["doubt"])]
    pages = [page for page, keys in sorted(_cited(app.env).items()) if work.key in keys]
    if pages:
        line += nodes.Text(" Cited in ")
    for page in pages:
        name = nodes.inline("", app.env.titles[page].astext())
        line += make_refnode(app.builder, here, page, "", name)
        line += nodes.Text("." if page == pages[-1] else ", ")
    return nodes.list_item("", line, ids=[f"ref-{work.key}"])


def _cited(env: BuildEnvironment) -> dict[str, set[str]]:
    cited: dict[str, set[str]] = env.__dict__.setdefault("portable_cited", {})
    return cited


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _cited(env).pop(docname, None)


def _listing(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """The pages that list the works are written again whenever any page was read again."""
    return [name for name in env.found_docs if "work_list" in env.metadata.get(name, {})]


def setup(app: Sphinx) -> None:
    app.add_node(work_list)
    app.add_directive("bibliography-list", Bibliography)
    app.add_transform(Citations)
    app.connect("env-purge-doc", _purge)
    app.connect("env-updated", _listing)
    app.connect("doctree-resolved", render)
