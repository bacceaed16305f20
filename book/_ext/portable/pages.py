"""Generated pages: every result with its evidence, every reproduction with its table."""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from fedlearn_book.reproductions import table
from portable.catalog import Result, read_cells, read_results, title_of
from portable.evidence import entry_of, source_link
from portable.labels import chapter_of, slug
from portable.status import status

logger = logging.getLogger(__name__)
RESULTS = "fedlearn_book/reproductions/results"
LINE = 88  # letters in a line of output at its usual size


class Page(SphinxDirective):
    """What the generated pages share: the project's root, Markdown, links."""

    @property
    def root(self) -> Path:
        return Path(self.env.srcdir)

    def markdown(self, text: str) -> list[nodes.Node]:
        """Parse Markdown into nodes."""
        holder = nodes.Element()
        self.state.nested_parse(StringList(text.splitlines(), self.env.docname), 0, holder)
        found: list[nodes.Node] = holder.children
        return found

    def section(self, title: str, anchor: str, *children: nodes.Node) -> nodes.section:
        """Make a section."""
        section = nodes.section("", nodes.title(title, title), *children, ids=[anchor])
        self.state.document.note_explicit_target(section)
        return section

    def source_link(self, path: str, text: str, line: int | None = None) -> nodes.Node:
        """Link to a file of the repository; plain text where no address is set."""
        return source_link(self.config, path, nodes.literal(text, text), line)


class ResultsPage(Page):
    """`{results}`: statement, proof, measured check and test of every numbered result."""

    def run(self) -> list[nodes.Node]:
        chapters = [name for name in sorted(self.env.found_docs) if chapter_of(name)]
        chapters = [name for name in chapters if (self.root / f"{name}.ipynb").exists()]
        for path in [*(self.root / f"{name}.ipynb" for name in chapters),
                     *(self.root / "tests").glob("**/test_*.py")]:  # fmt: skip
            self.env.note_dependency(str(path))
        titles = {name: title_of(read_cells(self.root / f"{name}.ipynb")) for name in chapters}
        results = read_results(self.root, chapters)
        sections = []
        for name, title in titles.items():
            own = [self.entry(result) for result in results if result.docname == name]
            own = own or self.markdown("No numbered result in this chapter yet.")
            words = f"Chapter {chapter_of(name)}: {title}"
            sections.append(self.section(words, f"chapter-{chapter_of(name)}", *own))
        return [status(results, titles), *sections] if sections else self.markdown("*None yet.*")

    def entry(self, result: Result) -> nodes.Node:
        """Show one result; a gap in its evidence is a warning."""
        if result.gaps:
            logger.warning(
                f"{result.label} has no {' and no '.join(result.gaps)}",
                location=result.docname, type="portable", subtype="evidence",
            )  # fmt: skip
        kind = result.label.split()[0].lower()
        head = self.markdown(f"**{result.label}**" + (f" ({result.name})" if result.name else ""))
        head[0]["classes"].append("result-title")
        box = nodes.container("", *head, *self.markdown(result.statement), classes=["result", kind])
        rows = self.evidence(result)
        held = [nodes.definition_list("", *rows)] if rows else []
        entry = nodes.container(
            "", box, *held, classes=["entry", "evidence"] if rows else ["entry"]
        )
        entry["ids"].append(entry_of(result.label))
        anchors = self.env.get_domain("portable").data["anchors"]
        anchors.setdefault(self.env.docname, []).append(entry_of(result.label))
        return entry

    def evidence(self, result: Result) -> list[nodes.Node]:
        """List proof, check and tests."""
        rows = []
        if result.proved:
            rows.append(self.row("Proof", self.anchor(f"Proof of {result.label}", result.docname)))
        if result.check is not None:
            link = self.anchor(f"Check of {result.label}", result.docname)
            output = nodes.literal_block(result.check, result.check, language="none")
            if max(map(len, result.check.splitlines()), default=0) > LINE:
                output["classes"].append("long")
            rows.append(self.row("Measured", link, block=output))
        if result.tests:
            links = [self.source_link(t.path, f"{t.path}::{t.name}", t.line) for t in result.tests]
            rows.append(self.row("Test" if len(links) == 1 else "Tests", *links))
        return rows

    def row(self, term: str, *links: nodes.Node, block: nodes.Node | None = None) -> nodes.Node:
        """One term of the evidence with its links and, for a check, what it printed."""
        lines = [nodes.paragraph("", "", link) for link in links]
        body = nodes.definition("", *lines, *([block] if block is not None else []))
        return nodes.definition_list_item("", nodes.term(term, term), body)

    def anchor(self, text: str, docname: str) -> nodes.Node:
        """Link to the fold or cell of that name in a chapter."""
        shown = nodes.inline(text, text)
        return addnodes.pending_xref(
            "", shown, refdomain="portable", reftype="anchor", reftarget=slug(text),
            refdoc=self.env.docname, page=docname, refwarn=True,
        )  # fmt: skip


class ReproductionsPage(Page):
    """`{reproductions}`: every stored result file with its command, seeds, machine and time."""

    def run(self) -> list[nodes.Node]:
        paths = sorted((self.root / RESULTS).glob("*.json"))
        for path in paths:
            self.env.note_dependency(str(path))
        if not paths:
            return self.markdown("*None yet.*")
        return [self.entry(path) for path in paths]

    def entry(self, path: Path) -> nodes.section:
        """Show one result file."""
        record = json.loads(path.read_text(encoding="utf-8"))
        seeds = record.get("seeds", record.get("seed"))
        facts = {
            "Setting": record.get("setting", ""),
            "Command": f"`{record['command']}`",
            "Seeds": f"{seeds}".strip("[]"),
            "Machine": _facts(record["machine"]),
            "Versions": _facts(record["versions"]),
            "Time": f"{record['seconds']:.0f} s",
        }
        text = "\n".join(f"{name}\n: {value}\n" for name, value in facts.items() if value)
        body = [*self.markdown(record["question"]), *self.markdown(table(record["table"])),
                *self.markdown(record.get("note", "")), *self.markdown(text)]  # fmt: skip
        return self.section(record["title"], slug(path.stem), *body)


def _facts(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return str(value)


def setup(app: Sphinx) -> None:
    app.add_directive("results", ResultsPage)
    app.add_directive("reproductions", ReproductionsPage)
