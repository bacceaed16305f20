"""Write slides as one file that needs no other: reveal.js, fonts, images and figures are inside."""

from __future__ import annotations

import base64
import mimetypes
import re
import sys
from html import escape
from pathlib import Path

from tools.slides.rules import Slide

HERE = Path(__file__).parent
REVEAL = Path(sys.prefix) / "mathml" / "node_modules" / "reveal.js" / "dist"
# Of the site: fonts inside, colors of code, formulas, the book's look.
SHEETS = (
    "fonts/first.css", "fonts/inline.css", "pygments.css", "temml/Temml-Local.css", "book.css",
)  # fmt: skip


def data_uri(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def style(static: Path) -> str:
    """Return all style sheets as one: no font is named that does not lie in it."""
    found = (REVEAL / "reveal.css").read_text(encoding="utf-8")
    for name in SHEETS:
        sheet = (static / name).read_text(encoding="utf-8")
        if name == "book.css":
            sheet = re.sub(r"@font-face \{[^}]*\}", "", sheet)
        folder = (static / name).parent

        def inside(match: re.Match[str], folder: Path = folder) -> str:
            return f"url({data_uri(folder / match[1])})"

        found += re.sub(r"url\([\"']?([\w./-]+\.\w+)[\"']?\)", inside, sheet)
    found = found.replace("font-display: swap", "font-display: block")
    return found + (HERE / "deck.css").read_text(encoding="utf-8")


def script(path: Path) -> str:
    """Return a script that may stand inside a page."""
    return path.read_text(encoding="utf-8").replace("</script", "<\\/script")


def images(html: str, folder: Path) -> str:
    """Put the images of a page, which lies in ``folder``, into its text."""

    def inside(match: re.Match[str]) -> str:
        return f'{match[1]}src="{data_uri(folder / match[2])}"'

    return re.sub(r'(<img (?:[^>]*? )?)src="(?!data:)([^"]+)"', inside, html)


def section(slide: Slide, chapter: str) -> str:
    """Return one slide, its notes and how long it takes."""
    minutes = f"{slide.seconds / 60:g}"
    about = f"<p><b>About {minutes} {'minute' if minutes == '1' else 'minutes'}.</b></p>"
    place = escape(" · ".join(filter(None, (chapter, slide.name))), quote=False)
    kicker = "" if slide.kind in ("title", "section") else f'<p class="kicker">{place}</p>'
    return (
        f'<section class="slide {slide.kind}" data-kind="{slide.kind}" '
        f'data-timing="{slide.seconds}">{kicker}'
        f'<div class="room"><article class="bd-article bd-content"><div class="cell_output output">'
        f"{slide.body}</div></article></div>"
        f'<aside class="notes">{about}{"".join(slide.notes)}</aside></section>'
    )


def stack(slide: Slide, chapter: str) -> str:
    """Return a slide and those that lie below it."""
    all_of_it = "".join(section(one, chapter) for one in [slide, *slide.below])
    return f"<section>{all_of_it}</section>" if slide.below else all_of_it


def deck(slides: list[Slide], title: str, folder: Path) -> str:
    """Return a deck as a page; ``folder`` is where the chapter's page of the site lies."""
    chapter = slides[0].name
    body = images("\n".join(stack(one, chapter) for one in slides), folder)
    scripts = "".join(
        f"<script>{script(path)}</script>"
        for path in (REVEAL / "reveal.js", REVEAL / "plugin" / "notes.js", HERE / "deck.js")
    )
    return f"""<!doctype html>
<html lang="en" data-theme="light"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title, quote=False)}</title>
<style>{style(folder.parent / "_static")}</style></head>
<body><main class="reveal"><div class="slides">
{body}
</div></main>{scripts}</body></html>
"""
