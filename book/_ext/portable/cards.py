"""Cards: what a link leads to, written into one small file a page for `cards.js` to show.

A card is made from the page itself when that is written, so its formulas are typeset already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urljoin

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from portable import citations, lexicon
from portable.boxes import box_title
from portable.evidence import held_by
from portable.labels import KINDS, chapter_of

Cards = dict[str, dict[str, str]]


def collect(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Render the cards of one page and mark the links that have one."""
    if app.builder.format != "html":
        return
    mark(app, doctree, docname)
    cards = {anchor: _render(app, parts) for anchor, parts in _found(doctree, docname)}
    if cards:
        _made(app)[docname] = cards


def _found(doctree: nodes.document, docname: str) -> list[tuple[str, list[nodes.Node]]]:
    """List what has a card on a page: its anchor, the nodes to show."""
    found: list[tuple[str, list[nodes.Node]]] = []
    for kind, (pattern, parts) in _KINDS.items():
        for node in doctree.findall(kind):
            anchor = next((one for one in node["ids"] if pattern.match(one)), None)
            if anchor:
                found.append((anchor, parts(node)))
    return found


def _head(node: nodes.Element) -> list[nodes.Node]:
    parts = [child for child in node.children if not isinstance(child, nodes.raw)]
    return [nodes.paragraph("", "", nodes.strong("", "", *(p.deepcopy() for p in parts)))]


def _result(box: nodes.container) -> list[nodes.Node]:
    """Title and statement; what holds it up stands below the box, not on the card."""
    title, *rest = box.children
    assert isinstance(title, box_title)
    head = nodes.paragraph("", "", *title.children, classes=["result-title"])
    return [head, *(one for one in rest if not isinstance(one, held_by))]


def _exercise(section: nodes.section) -> list[nodes.Node]:
    first = next((one for one in section.children if isinstance(one, nodes.paragraph)), None)
    return [*_head(section[0]), *([first] if first else [])]


def _symbol(row: nodes.row) -> list[nodes.Node]:
    """The symbol, its words, its name in the library."""
    symbol, words, code = ([n for cell in entry for n in cell.children] for entry in row)
    named = [nodes.paragraph("", "", nodes.Text("In the library: "), *code)] if code else []
    return [nodes.paragraph("", "", *symbol), nodes.paragraph("", "", *words), *named]


def _name(signature: addnodes.desc_signature) -> list[nodes.Node]:
    """The signature on one line, and the first sentence of the docstring."""
    text = signature.astext().strip()
    content = signature.parent[-1]
    words = next((one for one in content.children if isinstance(one, nodes.paragraph)), None)
    code = nodes.paragraph("", "", nodes.literal(text, text), classes=["signature"])
    return [code, *([words] if words else [])]


def _term(node: nodes.term) -> list[nodes.Node]:
    return [*_head(node), *node.parent[-1].children]


def _work(node: nodes.list_item) -> list[nodes.Node]:
    return list(node.children)


_KINDS: dict[type[nodes.Element], tuple[re.Pattern[str], Callable[..., list[nodes.Node]]]] = {
    nodes.container: (re.compile(rf"({'|'.join(KINDS)})-\d".lower()), _result),
    nodes.section: (re.compile(r"exercise-\d+-\d+$"), _exercise),
    nodes.term: (re.compile("term-"), _term),
    nodes.row: (re.compile("."), _symbol),
    nodes.list_item: (re.compile("ref-"), _work),
    addnodes.desc_signature: (re.compile("fedlearn_"), _name),
}


def _render(app: Sphinx, parts: list[nodes.Node]) -> str:
    box = nodes.container("", *(part.deepcopy() for part in parts))
    for node in box.findall(nodes.Element):
        node["ids"] = []
    html = app.builder.render_partial(box)["fragment"].strip()  # type: ignore[attr-defined]
    return str(html).removeprefix('<div class="docutils container">').removesuffix("</div>").strip()


def _made(app: Sphinx) -> Cards:
    made: Cards = app.__dict__.setdefault("portable_cards", {})
    return made


@cache
def targets(app: Sphinx) -> set[str]:
    """List the addresses of everything that has a card."""
    env = app.env
    domain = env.get_domain("portable")
    found = [*domain.data["targets"].values()]
    found += [(lexicon.NOTATION, row) for row in domain.data["anchors"].get(lexicon.NOTATION, ())]
    found += [at for (kind, _), at in env.get_domain("std").objects.items() if kind == "term"]  # type: ignore[attr-defined]
    found += [(one.docname, one.node_id) for one in env.get_domain("py").objects.values()]  # type: ignore[attr-defined]
    found += citations.places(app)
    return {f"{app.builder.get_target_uri(page)}#{anchor}" for page, anchor in found}


def mark(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Mark the links of a page that lead to something with a card."""
    known, address_of = targets(app), app.builder.get_target_uri
    here, quiet = address_of(docname), {address_of(lexicon.GLOSSARY), address_of(lexicon.NOTATION)}
    for link in doctree.findall(nodes.reference):
        address = f"#{link['refid']}" if "refid" in link else link.get("refuri", "")
        target = urljoin(here, address)
        if target in known:
            link["classes"].append("has-card")
            if target.partition("#")[0] in quiet:
                link["classes"].append("quiet")


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write one file for each page that has cards."""
    if exception is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_static" / "cards"
    folder.mkdir(parents=True, exist_ok=True)
    for page, cards in _made(app).items():
        chapter, title = chapter_of(page), app.env.titles[page].astext()
        title = f"Chapter {chapter}, {title}" if chapter else title
        data = json.dumps({"title": title, "cards": cards}, ensure_ascii=False)
        name = page.replace("/", ".")
        (folder / f"{name}.js").write_text(f'bookCards["{page}"] = {data};\n', encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("doctree-resolved", collect, priority=900)
    app.connect("build-finished", write)
    app.add_css_file("cards.css")
    app.add_js_file("cards.js", loading_method="defer")
