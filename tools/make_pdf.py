"""Every chapter and the whole book as PDF (`make pdf`), printed by Chromium from the built site.

    python -m tools.make_pdf [08 ...]

writes _build/pdf/08_inverse_scale_space.pdf and, without arguments, those of all chapters and
_build/pdf/personal-and-parsimonious.pdf. What a page looks like on paper stands in
book/_assets/print.css, so that a reader who prints a page gets the same.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml
from pypdf import PdfReader

from tools import bind_pdf
from tools.repository import ROOT, chosen, current

if TYPE_CHECKING:
    from playwright.sync_api import Page

SITE, PDF = ROOT / "_build" / "html", ROOT / "_build" / "pdf"
BOOK = "personal-and-parsimonious.pdf"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

# Links to other pages of the site lead to where it is published. Every part of the page can be the
# target of a link: Chromium remembers the places of those that a link on the page names.
PREPARE = """([site, address]) => {
  const here = location.href.split("#")[0];
  for (const link of document.querySelectorAll("a[href]")) {
    const href = new URL(link.getAttribute("href"), document.baseURI).href;
    if (href.startsWith(site) && href.split("#")[0] !== here)
      link.setAttribute("href", address + href.slice(site.length));
  }
  const targets = document.createElement("div");
  targets.hidden = true;
  for (const { id } of document.querySelectorAll("article [id]")) {
    const link = targets.appendChild(document.createElement("a"));
    link.href = "#" + id;
  }
  document.body.append(targets);
}"""


class Part(NamedTuple):
    """A page of the site, and the part of the book that it stands in."""

    page: str
    caption: str


def parts(root: Path = ROOT) -> list[Part]:
    """Return the pages of the book in reading order, without the front page of the site."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    return [
        Part(f"{chapter['file']}.html", part["caption"])
        for part in toc["parts"]
        for chapter in part["chapters"]
    ]


@contextmanager
def tab_of_browser() -> Iterator[Page]:
    """Open a tab that reaches no network."""
    from playwright.sync_api import sync_playwright

    named = os.environ.get("CHROMIUM")
    path = next(filter(None, map(shutil.which, [named] if named else NAMES)), None)
    if named and not path:
        raise SystemExit(f"make pdf: CHROMIUM={named!r} is no program; correct it or unset it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=0)
        context = browser.new_context(offline=True, viewport={"width": 640, "height": 900})
        context.set_default_timeout(0)
        yield context.new_page()
        browser.close()


def style(title: str, first: int) -> str:
    """Return the style of one document: paper, running title, number of the first page.

    >>> print(style("A 'title'", 7))
    @page { size: A4; @top-left { content: "A 'title'"; } }
    @page :first { counter-set: page 7; }
    """
    head = f"@top-left {{ content: {json.dumps(title, ensure_ascii=False)}; }}"
    return f"@page {{ size: A4; {head} }}\n@page :first {{ counter-set: page {first}; }}"


def load(tab: Page, page: str) -> str:
    """Open a page of the site and prepare it for printing; return its title."""
    tab.goto((SITE / page).as_uri())
    tab.evaluate(PREPARE, [f"{SITE.as_uri()}/", current().pages])
    tab.evaluate("document.fonts.ready.then(() => null)")
    return re.sub(r" [—#-] .*", "", tab.title())


def printed(tab: Page, title: str, first: int = 1) -> bytes:
    """Print the page that is open."""
    sheet = tab.add_style_tag(content=style(title, first))
    made = tab.pdf(prefer_css_page_size=True, print_background=True, tagged=True, outline=True)
    sheet.evaluate("(node) => node.remove()")
    return made


def front_matter(contents: str) -> str:
    """Return title page and contents as a page of its own."""
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    name, _, subtitle = about["title"].partition(": ")
    cover = (ROOT / "book" / "images" / "logo.svg").read_text(encoding="utf-8")
    sheets = ("fonts/first.css", "fonts/inline.css", "book.css", "print.css")
    links = "".join(f'<link rel="stylesheet" href="_static/{name}">' for name in sheets)
    return f"""<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<title>{name}</title>{links}</head><body class="front"><article class="bd-article"><header>
<h1>{name}</h1><p>{subtitle[0].upper()}{subtitle[1:]}</p>{cover}
<p>{about["authors"][0]["name"]}</p><p>Version {about["version"]}, {about["date-released"]}<br>
<a href="{about["url"]}">{about["url"]}</a><br>Text and figures: CC BY 4.0. Code: MIT.</p></header>
<nav><h1>Contents</h1>{contents}</nav></article></body></html>"""


def print_chapter(tab: Page, page: str) -> None:
    """Write the PDF of one page of the site."""
    path = PDF / f"{Path(page).stem}.pdf"
    path.write_bytes(printed(tab, load(tab, page)))
    print(f"  {path.relative_to(ROOT)}", flush=True)


def print_front(tab: Page, sections: list[bind_pdf.Section]) -> PdfReader:
    """Print title page and contents; the page lies in the site, where its fonts are."""
    page = SITE / "_front.html"
    page.write_text(front_matter(bind_pdf.contents(sections, current().pages)), encoding="utf-8")
    try:
        tab.goto(page.as_uri())
        return PdfReader(io.BytesIO(tab.pdf(format="A4", print_background=True)))
    finally:
        page.unlink()


def print_book(tab: Page) -> None:
    """Write the PDFs of all chapters, and the whole book."""
    address, first, sections = current().pages, 0, []
    for page, caption in parts():
        if page.startswith("notebooks/"):
            print_chapter(tab, page)
        title = load(tab, page)
        reader = PdfReader(io.BytesIO(printed(tab, title, first + 1)))
        sections.append(bind_pdf.Section(page, caption, title, first, reader))
        first += len(reader.pages)
    front = print_front(tab, sections)
    writer = bind_pdf.bind(front, sections, address)
    writer.add_metadata({"/Title": tab.title()})
    writer.write(PDF / BOOK)
    print(f"  {(PDF / BOOK).relative_to(ROOT)}: {len(front.pages)} + {first} pages")


def main(named: list[str]) -> int:
    """Print the chapters that are named, or all of them and the whole book."""
    if not (SITE / "index.html").exists():
        raise SystemExit("make pdf: the site is not built; run `make book` first")
    known = {Path(part.page).stem: part.page for part in parts()}
    names = chosen(named, list(known), "pdf")
    PDF.mkdir(parents=True, exist_ok=True)
    with tab_of_browser() as tab:
        for name in names:
            print_chapter(tab, known[name])
        if not names:
            print_book(tab)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
