"""How a page is shared: a picture for links to it, and a block that says how to cite it."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder

from portable import card
from portable.labels import chapter_of, slug


def about(root: Path) -> dict[str, Any]:
    """Read CITATION.cff; empty where there is none."""
    path = root / "CITATION.cff"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def plain(text: str) -> str:
    r"""Escape what BibTeX and TeX would read as a command.

    >>> print(plain("All of fedlearn_lib & more"))
    All of fedlearn\_lib \& more
    """
    return re.sub(r"([&%$#_{}])", r"\\\1", text)


def bibtex(book: dict[str, Any], url: str, title: str = "", chapter: int | None = None) -> str:
    """Return the entry of a page, or of the book where no title is given.

    >>> book = {"title": "Ends: how it ends", "authors": [{"name": "Ada"}], "version": "1.0",
    ...         "date-released": "2026-11-29"}
    >>> print(bibtex(book, "https://ada.org/", "Drift", 2))
    @incollection{ends2026-drift,
      author    = {{Ada}},
      title     = {{Drift}},
      chapter   = {2},
      booktitle = {{Ends: how it ends}},
      year      = {2026},
      note      = {Version 1.0},
      url       = {https://ada.org/}
    }
    """
    key = slug(book["title"].partition(":")[0]) + str(book["date-released"])[:4]
    whole = f"{{{plain(book['title'])}}}"
    fields = {
        "author": " and ".join(f"{{{plain(one['name'])}}}" for one in book["authors"]),
        "title": f"{{{plain(title)}}}" if title else whole,
        "chapter": str(chapter or ""),
        "booktitle": whole if title else "",
        "year": str(book["date-released"])[:4],
        "note": f"Version {book['version']}",
        "url": url,
    }
    lines = [f"  {name:9} = {{{value}}}" for name, value in fields.items() if value]
    kind, key = ("incollection", f"{key}-{slug(title)}") if title else ("book", key)
    return f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"


def share(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.Node | None
) -> None:
    """Give a page its own picture for links, and end it with the block for citing."""
    book = about(Path(app.srcdir))
    if doctree is None or not book:
        return
    front = pagename == app.config.root_doc
    title = "" if front else app.env.titles[pagename].astext()
    url = app.config.html_baseurl + app.builder.get_target_uri(pagename)
    entry = bibtex(book, url, title, chapter_of(pagename))
    assert isinstance(app.builder, StandaloneHTMLBuilder)  # who else makes pages of HTML
    code = app.builder.highlighter.highlight_block(entry, "bibtex")
    context["body"] += (
        '<details class="fold citation"><summary>Cite this '
        f'{"book" if front else "page"}</summary><div class="highlight-bibtex notranslate">{code}'
        "</div></details>"
    )
    if not front:
        picture = picture_of(app, title, chapter_of(pagename))
        alt = f"{title}, in {app.config.html_title}"
        meta = {"og:image": app.config.html_baseurl + picture, "og:image:alt": alt}
        context["meta"] = dict(context.get("meta") or {}) | meta


def picture_of(app: Sphinx, title: str, chapter: int | None) -> str:
    """Draw the card of a page, or copy it from the last build; return where it is in the site."""
    drawing = Path(card.__file__).read_bytes() + repr((title, chapter)).encode()
    name = f"{hashlib.sha256(drawing).hexdigest()[:16]}.png"
    kept = Path(app.outdir).parent / "social" / name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(card.draw(title, chapter, Path(app.srcdir) / "book" / "_assets" / "fonts"))
    target = Path(app.outdir) / "_static" / "social"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(kept, target / f"{slug(title)}.png")
    return f"_static/social/{slug(title)}.png"


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", share, priority=400)  # before the tags are written
