"""What a reader gets on paper and in the PDFs: everything that is folded on the screen is there."""

from __future__ import annotations

import io
import json
import re
import unicodedata

import pytest
from built import CHAPTERS, SITE, New, Visit
from pypdf import PdfReader

from tools import bind_pdf, make_pdf
from tools.repository import current

A4 = (595, 842)


def words(text: str) -> str:
    """Letters and digits alone: a printer breaks lines and joins letters as it likes."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKC", text).lower())


def cells(chapter: str) -> list[dict]:
    source = SITE.parents[1] / chapter.replace("html", "ipynb")
    return json.loads(source.read_text(encoding="utf-8"))["cells"]


def folded(chapter: str) -> list[str]:
    """The lines of code of the cells that the page folds, solutions among them."""
    tags = {"solution", "hide-input", "hide-cell"}
    return [
        line
        for cell in cells(chapter)
        if cell["cell_type"] == "code" and tags & set(cell["metadata"].get("tags", []))
        for line in "".join(cell["source"]).splitlines()
        if not line.startswith("# @title")
    ]


def proofs(chapter: str) -> dict[str, str]:
    """The first words of each proof: the first ones in a line without a formula."""
    text = "\n".join("".join(c["source"]) for c in cells(chapter) if c["cell_type"] == "markdown")
    found = re.findall(r"<summary>\s*(Proof of [^<]*?)\s*</summary>(.*?)</details>", text, re.S)
    return {
        name: next(run for run in map(words, re.split(r"\$+[^$]+\$+|\n", body)) if len(run) > 11)
        for name, body in found
    }


def exercises(chapter: str) -> list[str]:
    return re.findall(r"Exercise \d+\.\d+ \(\w+\)", json.dumps(cells(chapter)))


def titles(outline: list) -> list[str]:
    flat: list[str] = []
    for item in outline:
        flat += titles(item) if isinstance(item, list) else [item.title]
    return flat


HEADINGS = """() => [...document.querySelectorAll("article :is(h1, h2, h3, h4)")].map((node) => {
  const copy = node.cloneNode(true);
  copy.querySelector(".headerlink")?.remove();
  return copy.textContent.trim().replace(/\\s+/g, " ");
})"""


# The first words of each question of the quiz, and the longest run of words of its last option.
QUESTIONS = """() => [...document.querySelectorAll("article .quiz")].map((quiz) => {
  const option = [...quiz.querySelectorAll("details > p")].at(-1);
  const texts = document.createTreeWalker(option, NodeFilter.SHOW_TEXT);
  let last = "";
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (!parentElement.closest("math") && data.length > last.length) last = data;
  }
  return [quiz.querySelector("p").textContent.slice(0, 11), last];
})"""


def urls(reader: PdfReader) -> list[str]:
    links = (one.get_object() for page in reader.pages for one in page.get("/Annots") or [])
    return [link["/A"]["/URI"] for link in links if "/URI" in link.get("/A", {})]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_pdf_of_a_chapter_holds_all_that_the_screen_folds(
    new_context: New, chapter: str
) -> None:
    tab = new_context(offline=True, viewport={"width": 640, "height": 900}).new_page()
    title = make_pdf.load(tab, chapter)
    reader = PdfReader(io.BytesIO(make_pdf.printed(tab, title, first=11)))
    pages = [words(page.extract_text()) for page in reader.pages]
    # Title and number of a page come first; they would interrupt what runs over its end.
    above = [f"{words(title)}{shown}" for shown in range(11, 11 + len(pages))]
    assert [
        head for head, page in zip(above, pages, strict=True) if not page.startswith(head)
    ] == []
    pages = [page.removeprefix(head) for head, page in zip(above, pages, strict=True)]
    text = "".join(pages)

    code, starts = folded(chapter), proofs(chapter)
    assert len(code) > 40
    assert len(starts) >= 3
    assert [line for line in code if words(line) not in text] == []
    assert [name for name, first in starts.items() if first not in text] == []

    number, heads = int(chapter.split("/")[1][:2]), titles(reader.outline)
    assert heads[0] == title
    assert title.startswith(f"{number}. ")
    assert [name for name in exercises(chapter) if not any(name in head for head in heads)] == []
    plain = [" ".join(unicodedata.normalize("NFKC", head).split()) for head in heads]
    assert plain == tab.evaluate(HEADINGS)

    assert "openanoption" not in text, "on paper all options are open"
    ends = [[words(end) for end in ends] for ends in tab.evaluate(QUESTIONS)]
    assert len(ends) >= 5
    torn = [e for e in ends if not any(e[0] in page and e[1] in page for page in pages)]
    assert torn == [], "a question and its last option stand on one page"

    assert tuple(round(side) for side in reader.pages[0].mediabox[2:]) == A4
    assert [number for number, page in enumerate(pages, 1) if len(page) < 60] == [], "blank pages"
    assert [url for url in urls(reader) if not url.startswith("http")] == []


def test_pages_are_bound_into_one_book_whose_links_stay_inside_it(new_context: New) -> None:
    tab = new_context(offline=True, viewport={"width": 640, "height": 900}).new_page()
    sections, first = [], 0
    for page in ("book/how_to_use.html", "book/notation.html", "book/errata.html"):
        title = make_pdf.load(tab, page)
        reader = PdfReader(io.BytesIO(make_pdf.printed(tab, title, first + 1)))
        sections.append(bind_pdf.Section(page, "Start", title, first, reader))
        first += len(reader.pages)
    address = current().pages
    front = make_pdf.print_front(tab, sections)
    book = io.BytesIO()
    bind_pdf.bind(front, sections, address).write(book)
    bound = PdfReader(book)

    ahead = len(front.pages)
    assert bound.page_labels == ["i", "ii", *(str(k + 1) for k in range(first))]
    contents = bound.pages[1].extract_text()
    for section in sections:
        label = str(section.first + 1)
        assert re.search(rf"{section.title}\s*{label}\b", contents)
        assert label in bound.pages[ahead + section.first].extract_text().split()
    heads = {one.title: one for one in bound.outline if not isinstance(one, list)}
    assert list(heads) == ["Contents", "Start"]
    below = next(one for one in bound.outline if isinstance(one, list))
    reached = {
        one.title: bound.get_destination_page_number(one)
        for one in below
        if not isinstance(one, list)
    }
    assert reached == {one.title: ahead + one.first for one in sections}

    inner = [
        [bound.get_page_number(link["/Dest"][0].get_object()) for link in page]
        for page in (
            [one.get_object() for one in page.get("/Annots") or [] if "/Dest" in one.get_object()]
            for page in bound.pages
        )
    ]
    starts = [ahead + section.first for section in sections]
    assert set(starts) <= set(inner[1]), "the contents lead to every page"
    assert any(starts[1] in page for page in inner[ahead : starts[1]]), "from page to page"
    for section in sections:
        own = {url for url in urls(bound) if url.startswith(address + section.page)}
        assert own == set()


def test_printing_opens_the_folds_on_white_paper_and_leaves_the_page_as_it_was(
    visit: Visit,
) -> None:
    tab = visit(CHAPTERS[0], dark=True)
    state = """() => [document.documentElement.dataset.theme,
                      document.querySelectorAll("article details:not([open])").length]"""
    before = tab.evaluate(state)
    assert before[0] == "dark"
    assert before[1] > 10
    tab.evaluate("() => { dispatchEvent(new Event('beforeprint')); }")
    assert tab.evaluate(state) == ["light", 0]
    tab.evaluate("() => { dispatchEvent(new Event('afterprint')); }")
    assert tab.evaluate(state) == before


# Whatever is wider than the paper would be cut off, or would shrink everything else.
TOO_WIDE = """() => [...document.querySelectorAll("article *")]
  .filter((node) => node.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .filter((node) => !node.closest("svg *, .copybtn"))  // a drawing cuts what it holds
  .map((node) => node.outerHTML.slice(0, 120))"""
# A line of code that goes on in the next one (the address in a set-up cell may), a name in a table
# that is broken in two, a choice in a figure of which one sees the name alone: first words of each.
BROKEN = """() => {
  const code = [...document.querySelectorAll("article .cell:not(.tag_setup) .cell_input pre")];
  for (const one of code) one.style.whiteSpace = "pre";
  const long = code.filter((one) => one.scrollWidth > one.clientWidth + 1);
  for (const one of code) one.style.whiteSpace = "";
  const names = [...document.querySelectorAll("article table .pre")];
  const picks = [...document.querySelectorAll("article .fl-hero select")];
  const torn = names.filter((one) => one.getClientRects().length > 1);
  const unseen = picks.filter((one) => !one.checkVisibility());
  return [...long, ...torn, ...unseen].map((one) => one.textContent.slice(0, 80));
}"""


# Whether each figure that one can move is seen on paper as it begins: with the picture and the
# values of the stored page, or, where a script draws it anew, with a drawing and its sentence.
STARTS = """(html) => {
  const all = (root) => [...root.querySelectorAll("article .fl-figure")];
  const stored = all(new DOMParser().parseFromString(html, "text/html"));
  const values = (one) => [...one.querySelectorAll("output")].map((part) => part.textContent);
  const shows = (one) => one.src || one.innerHTML;
  return all(document).map((figure, k) => {
    const seen = [...figure.querySelectorAll("img, svg")].filter((one) => {
      const { width, height } = one.getBoundingClientRect();
      return one.checkVisibility() && width >= 170 && height >= 100 && one.naturalWidth !== 0;
    });
    if (!seen.length || figure.matches(".fl-front")) return seen.length > 0;  // draws itself
    if (!figure.querySelector(".fl-frame, .fl-view")) {
      return /[0-9]/.test(figure.querySelector(".fl-say").textContent);
    }
    const first = [...stored[k].querySelectorAll(".fl-frame, .fl-view")].map(shows);
    return seen.every((one) => first.includes(shows(one)))
      && values(figure).join() === values(stored[k]).join();
  });
}"""


@pytest.mark.parametrize("page", [part.page for part in make_pdf.parts()])
def test_everything_fits_the_width_of_the_paper(new_context: New, page: str) -> None:
    tab = new_context(offline=True, viewport={"width": 627, "height": 900}).new_page()
    tab.emulate_media(media="print")
    make_pdf.load(tab, page)
    tab.evaluate("() => { dispatchEvent(new Event('beforeprint')); }")
    assert tab.evaluate(TOO_WIDE) == []
    assert tab.evaluate(BROKEN) == []
    starts = tab.evaluate(STARTS, (SITE / page).read_text(encoding="utf-8"))
    assert all(starts), starts
    assert starts or page not in CHAPTERS, "no figure"
