"""Sphinx extension of the book: portable Markdown, generated pages, an offline site."""

from __future__ import annotations

from sphinx.application import Sphinx

from portable import (
    access,
    answers,
    boxes,
    cards,
    cells,
    citations,
    docstrings,
    domain,
    evidence,
    faces,
    folds,
    index,
    library,
    links,
    live,
    mathematics,
    night,
    openings,
    pages,
    progress,
    published,
    quiz,
    search,
    sharing,
    site,
    status,
    swift,
    typography,
    uses,
)


def setup(app: Sphinx) -> dict[str, object]:
    """Register everything; the order of the transforms is set by their priorities."""
    parts = (
        domain, folds, quiz, cells, boxes, evidence, citations, pages, docstrings, library, live,
        mathematics, typography, links, uses, index, cards, status, site, faces, search, access,
        published, sharing, swift, answers, night, progress,
        openings,
    )  # fmt: skip
    for part in parts:
        part.setup(app)
    return {"version": "1.0", "env_version": 1, "parallel_read_safe": False}
