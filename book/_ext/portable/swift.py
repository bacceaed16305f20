"""What the theme's script need not do on every page: a slow machine would stand still for it."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
# The theme measures a listing, marks it and goes on to the next, so that the page is laid out once
# for each; and again after every change, such as a move of a slider. book.js does the same in idle
# moments, and measures all before it marks any.
_MARKS = re.compile(
    r'(function \w+\(\)\{)(?=const \w=\(\)=>\{document\.querySelectorAll\("pre, \.nboutput)'
)


def without_marks(script: str) -> tuple[str, int]:
    """Let the function that marks listings end at once; return the script and how many it found.

    >>> without_marks('function T(){const e=()=>{document.querySelectorAll("pre, .nboutput").')
    ('function T(){return;const e=()=>{document.querySelectorAll("pre, .nboutput").', 1)
    """
    return _MARKS.subn(r"\1return;", script)


def calm(app: Sphinx, exception: Exception | None) -> None:
    """Change the theme's script where it lies in the site."""
    if exception is not None or app.builder.format != "html":
        return
    path = Path(app.outdir) / "_static" / "scripts" / "pydata-sphinx-theme.js"
    script, found = without_marks(path.read_text(encoding="utf-8"))
    if found != 1:
        logger.warning(f"{path.name} has {found} functions that mark listings, not 1: see swift.py")
    path.write_text(script, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("build-finished", calm)
