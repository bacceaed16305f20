"""The paper about the book, its bibliography, and what a reviewer looks for beside it."""

from __future__ import annotations

import re
import sys

import pytest
import yaml

from tools.repository import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))

from portable import works

PAPER = ROOT / "book" / "paper" / "paper.md"
ENTRY = re.compile(r"^@\w+\{(\w+),\n.*?^\}\n", re.M | re.S)


def parts() -> tuple[dict, str]:
    _, head, body = PAPER.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), body


def entries(bibliography: str) -> dict[str, str]:
    return {found[1]: found[0] for found in ENTRY.finditer(bibliography)}


def test_the_paper_has_what_the_journal_asks_for_on_two_pages():
    head, body = parts()
    assert {"title", "tags", "authors", "affiliations", "date", "bibliography"} <= set(head)
    assert (PAPER.parent / head["bibliography"]).exists()
    titles = set(re.findall(r"^# (.*)$", body, re.M))
    for title in ("Summary", "Statement of need", "References"):
        assert title in titles
    for word in ("learning objectives", "adopt", "contribute", "Audience"):
        assert any(word in title for title in titles), word
    assert len(body.split()) <= 900  # two pages of the journal's layout


def test_the_paper_cites_the_works_of_the_book():
    _, body = parts()
    ours = entries((PAPER.parent / "paper.bib").read_text(encoding="utf-8"))
    book = entries((ROOT / "book" / "references.bib").read_text(encoding="utf-8"))
    assert len(book) == len(works.read_works(ROOT / "book" / "references.bib"))
    assert set(ours) == set(re.findall(r"@(\w+)", body))
    assert {key for key, entry in ours.items() if entry != book[key]} == set()


def test_the_citation_file_is_complete():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    asked = "cff-version message title authors abstract keywords version date-released license"
    assert set(asked.split()) | {"repository-code", "url", "references"} <= set(citation)
    for work in citation["references"]:
        assert {"type", "title", "authors", "year", "url"} <= set(work)
        assert works.find(works.read_works(ROOT / "book" / "references.bib"), work["url"])


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "LICENSE-TEXT",
                                  "book/errata.md", ".github/workflows/release.yml"])  # fmt: skip
def test_what_a_reviewer_looks_for_is_there(name):
    assert (ROOT / name).stat().st_size > 500
