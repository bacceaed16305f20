"""Sphinx extension of the book: portable Markdown, generated pages, an offline site."""

from __future__ import annotations

from portable import (
    boxes,
    cells,
    citations,
    domain,
    folds,
    library,
    pages,
    quiz,
    site,
    typography,
)


def setup(app) -> dict[str, object]:
    """Register everything; the order of the transforms is set by their priorities."""
    parts = (domain, folds, quiz, cells, boxes, citations, pages, library, typography, site)
    for part in parts:
        part.setup(app)
    return {"version": "1.0", "env_version": 1, "parallel_read_safe": False}
