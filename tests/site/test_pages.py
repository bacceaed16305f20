"""Each page of the site, opened once: what it costs, what it says, in both sizes and themes."""

from __future__ import annotations

import gzip
import re
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from audit import violations
from built import CHAPTERS, PACKED, READ, SITE, Opened, Visit, arrive, luminance, screen

from fedlearn_book.widgets.vector import EM

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# A page that is open is handed on from test to test; so the first ones are those that need it new.
pages = pytest.mark.parametrize("opened", READ, indirect=True, scope="module")
chapters = pytest.mark.parametrize("opened", CHAPTERS, indirect=True, scope="module")


@cache
def weight(address: str) -> int:
    """The bytes of one answer of the site, compressed where a server does that."""
    content = (SITE / unquote(urlsplit(address).path).lstrip("/")).read_bytes()
    packed = any(urlsplit(address).path.endswith(end) for end in PACKED)
    return len(gzip.compress(content, 6)) if packed else len(content)


@pages
def test_a_page_with_all_that_it_loads_is_light_and_keeps_still(opened: Opened, http: str) -> None:
    """At most 1.2 MB compressed; layout shift below 0.05, of which a reader sees nothing."""
    here = {f"{http}/{opened.page}", *(name for name in opened.loaded if name.startswith("http"))}
    assert len(here) > 10
    assert sum(map(weight, here)) < 1_200_000
    assert opened.shifted < 0.05


@pages
def test_every_place_has_one_name_and_links_lead_to_places(opened: Opened) -> None:
    ids = opened.tab.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert sorted(set(ids)) == sorted(ids), "an id stands twice"
    broken = opened.tab.evaluate(
        """[...document.querySelectorAll('main a[href^="#"]')]
             .map((a) => a.getAttribute("href").slice(1))
             .filter((id) => id && !document.getElementById(decodeURIComponent(id)))"""
    )
    assert broken == []


@chapters
def test_folds_and_boxes(opened: Opened) -> None:
    source = SITE.parents[1] / opened.page.replace(".html", ".ipynb")
    stated = re.findall(r"> \*\*\w+ \d+\.\d+ \(", source.read_text(encoding="utf-8"))
    assert opened.tab.locator("main .result").count() == len(stated) >= 5
    proof = opened.tab.locator("details", has_text="Proof of").first
    body = proof.locator("p").first
    assert not body.is_visible()
    proof.locator("summary").click()
    assert body.is_visible()
    proof.locator("summary").click()
    assert not body.is_visible()


@chapters
def test_first_uses_are_linked_where_a_reader_reads(opened: Opened) -> None:
    quiet = 'a:is([href*="glossary.html#"], [href*="notation.html#"], [href*="library.html#"])'
    forbidden = ":is(h1, h2, h3, h4, summary, pre, .cell, details, .result-title, a)"
    assert opened.tab.locator(f"main {quiet}").count() >= 12
    assert opened.tab.locator(f"main {forbidden} {quiet}").count() == 0


OPENING = """() => {
  const seen = (what) => document.querySelector(`main .opening ${what}`);
  const starts = (p) => p.textContent.startsWith("Before you start");
  const first = [...document.querySelectorAll("main p")].find(starts);
  const [box, svg, text] = [seen(".drawing").parentNode, seen("svg"), first]
    .map((one) => one.getBoundingClientRect());
  return {
    label: seen("svg").getAttribute("aria-label"), says: seen("figcaption").textContent,
    ends: box.bottom + scrollY, beside: text.top < box.top + 10, wide: svg.width,
  };
}"""


@chapters
def test_a_chapter_opens_with_a_picture_beside_its_first_lines(opened: Opened) -> None:
    seen = opened.tab.evaluate(OPENING)
    assert len(seen["label"]) > 30
    assert seen["says"].endswith((".", "?"))
    assert seen["beside"]
    assert seen["ends"] < 600
    assert seen["wide"] > 180


def evidence(tab: Page) -> dict[str, dict[str, list[str]]]:
    """The links below each box: label -> words -> addresses."""
    found: dict[str, dict[str, list[str]]] = tab.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".result[id]")].map((box) => {
             const links = {};
             for (const a of box.querySelectorAll(".held-by a"))
               (links[a.textContent.replace(/ \\d+$/, "")] ??= []).push(a.href);
             return [box.querySelector(".result-title strong").textContent, links];
           }))"""
    )
    return found


@chapters
def test_a_box_leads_to_what_holds_it_up_and_is_led_back_to(opened: Opened) -> None:
    page, boxes = opened.page, evidence(opened.tab)
    assert len(boxes) >= 5
    here = (SITE / page).read_text(encoding="utf-8")
    results = (SITE / "book" / "results.html").read_text(encoding="utf-8")
    for label, links in boxes.items():
        anchor = label.lower().replace(" ", "-").replace(".", "-")
        assert links["Results page"][0].endswith(f"results.html#evidence-for-{anchor}")
        assert f'id="evidence-for-{anchor}"' in results
        assert f'href="../{page}#{anchor}"' in results
        if label.split()[0] in ("Definition", "Algorithm"):
            continue
        assert links["Proof"][0].endswith(f"#proof-of-{anchor}")
        assert links["Check"][0].endswith(f"#check-of-{anchor}")
        assert f'id="proof-of-{anchor}"' in here
        assert f'id="check-of-{anchor}"' in here
        for holder in (f"#proof-of-{anchor}", f"#check-of-{anchor}"):
            back = opened.tab.locator(f'{holder} > .back a[href="#{anchor}"]')
            assert back.evaluate_all("(all) => all.map((one) => one.textContent)") == [label]
        for test in links["Test"]:
            place = re.fullmatch(r".*/blob/main/(tests/.*\.py)#L(\d+)", test)
            assert place
            line = (SITE.parents[1] / place[1]).read_text(encoding="utf-8").splitlines()
            assert "def test" in line[int(place[2]) - 1]


# Sources that reached the page as they are, and formulas that nothing typeset.
WORDS = """(main) => {
  const copy = main.cloneNode(true);
  copy.querySelectorAll("pre, code, script, style, math").forEach((node) => node.remove());
  return copy.textContent;
}"""


@pages
def test_a_page_on_a_desk_in_light(opened: Opened) -> None:
    tab = opened.tab
    screen(tab, 1280, dark=False)
    images = "(all) => all.map((one) => [one.getAttribute('alt') ?? '', one.outerHTML])"
    for alt, html in tab.locator("main img").evaluate_all(images):
        assert len(alt) > 9, html[:200]
        assert not re.fullmatch(r"[\w./-]*[0-9a-f]{12,}[\w.]*", alt), alt
    assert tab.locator("main .math:not(:has(> math))").count() == 0
    text = tab.locator("main").evaluate(WORDS)
    assert not re.search(r"\$\S[^$]{0,80}\S\$|\\frac|:::|\{(cite|ref|eq|doc)\}", text)
    assert violations(tab) == []


def figures(tab: Page) -> list[Locator]:
    """All figures with controls: the nearest block that holds a slider, its picture, its words."""
    holders = "main .cell_output:has(input[type=range])"
    return tab.locator(holders).all()


def shown(figure: Locator) -> str:
    return figure.evaluate(
        """(node) => [...node.querySelectorAll("img, svg")]
             .map((one) => one.src || one.innerHTML).join("|")"""
    )


def move_all(tab: Page) -> None:
    """Move each slider of each figure by its keys: picture, value and words follow."""
    found = figures(tab)
    assert found
    for figure in found:
        assert figure.locator("output[aria-live=polite]").count() == 0, "a slider is read twice"
        for slider in figure.locator("input[type=range]").all():
            if not slider.is_visible() or slider.is_disabled():
                continue
            label = slider.evaluate("(node) => node.labels[0]?.textContent ?? node.ariaLabel")
            assert label
            assert label.strip()
            start = slider.input_value()
            slider.focus()
            slider.press("Home")
            first, words = shown(figure), slider.get_attribute("aria-valuetext")
            assert words
            slider.press("End")
            assert shown(figure) != first, f"{label}: the picture does not follow the slider"
            assert slider.get_attribute("aria-valuetext") != words
            output = figure.locator("output, [aria-live]").all()
            said = " ".join(one.text_content() or "" for one in output)
            assert (slider.get_attribute("aria-valuetext") or "") in said
            slider.press("Home")
            assert shown(figure) == first
            assert slider.get_attribute("aria-valuetext") == words
            slider.fill(start)  # at its lowest value it may leave another without effect


@chapters
def test_every_interactive_figure_moves(opened: Opened) -> None:
    screen(opened.tab, 1280, dark=False)
    move_all(opened.tab)


@pytest.mark.parametrize("number", ["01", "02", "03", "08", "11"])  # each kind of figure
def test_figures_move_in_a_folder(visit: Visit, number: str) -> None:
    move_all(visit(next(page for page in CHAPTERS if f"/{number}_" in page)))


@pages
def test_a_page_on_a_desk_in_the_dark(opened: Opened) -> None:
    screen(opened.tab, 1280, dark=True)
    assert violations(opened.tab) == []
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= 1280


@pages
def test_a_page_on_a_phone_in_light(opened: Opened) -> None:
    """It is opened again there, and keeps still."""
    screen(opened.tab, 390, dark=False)
    assert arrive(opened.tab, opened.tab.url.partition("#")[0]) < 0.05
    assert violations(opened.tab) == []
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= 390


FIGURE = "article :is(.fl-figure, .fl-still)"
# Of each figure: how many images it has, whose type cannot be measured, and the pixels of its type.
TYPE = """([figures, em]) => [...document.querySelectorAll(figures)].map((figure) => {
  const seen = (what) => [...figure.querySelectorAll(what)].filter((one) => one.checkVisibility());
  const scale = (one) => Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b);
  const size = (one) => parseFloat(getComputedStyle(one).fontSize);
  const own = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [seen("img").length, [
    ...seen("g[data-size]").map((one) => em * scale(one)),
    ...seen("svg text").map((one) => size(one) * scale(one)),
    ...seen(":not(style, script, svg *)").filter(own).map(size),
  ]];
})"""


@pages
def test_no_word_of_a_figure_is_small_on_a_phone(opened: Opened) -> None:
    """Nine pixels at least; only the indices of a formula may be smaller."""
    screen(opened.tab, 390, dark=True)
    figures = opened.tab.evaluate(TYPE, [FIGURE, EM])
    assert figures or opened.page not in CHAPTERS
    for images, sizes in figures:
        assert images == 0, "words of an image cannot be measured: draw fewer or simpler frames"
        assert len(sizes) >= 3
        assert min(sizes) >= 9.0


@pages
def test_no_figure_is_bright_at_night(opened: Opened) -> None:
    screen(opened.tab, 390, dark=True)
    shown = opened.tab.locator(FIGURE).filter(visible=True).all()
    assert [k for k, one in enumerate(shown) if luminance(one) > 0.15] == []


@chapters
def test_no_figure_with_sliders_is_a_scroll_box_on_a_phone(opened: Opened) -> None:
    """Its controls are sticky: inside of a scroll box they would lie over its picture for good."""
    screen(opened.tab, 390, dark=True)
    boxes = opened.tab.evaluate(
        """() => [...document.querySelectorAll(".fl-figure, .fl-figure :has(> img)")]
             .map((one) => getComputedStyle(one).overflowX)"""
    )
    assert set(boxes) == {"visible"}


@pages
def test_a_page_on_a_phone_in_the_dark(opened: Opened) -> None:
    screen(opened.tab, 390, dark=True)
    assert violations(opened.tab) == []
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= 390


# Of each figure: of each part that its sliders change, whether each slider is on the screen, and on
# top, with the middle of that part at 60 % of it.
SIGHT = """() => [...document.querySelectorAll("article .fl-figure")].map((figure) => {
  const sliders = [...figure.querySelectorAll("input[type=range]:not([disabled])")];
  const bar = document.querySelector(".bd-header-article").getBoundingClientRect().bottom;
  const parts = [...figure.querySelectorAll("svg, table, .fl-panel, .fl-outs, .fl-tiles")];
  return parts.filter((one) => one.checkVisibility() && one.clientHeight > 40).map((one) => {
    const at = one.getBoundingClientRect();
    const middle = (at.top + at.bottom) / 2 + scrollY - innerHeight * 0.6;
    scrollTo({ top: middle, behavior: "instant" });
    return sliders.filter((input) => input.checkVisibility()).map((input) => {
      const { top, bottom, left, right } = input.getBoundingClientRect();
      const above = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
      return top >= bar - 1 && bottom <= innerHeight && above === input;
    });
  });
})"""


@pages
@pytest.mark.parametrize("size", [(390, 844), (1280, 720)])
def test_sliders_stay_in_sight_while_what_they_change_is(
    opened: Opened, size: tuple[int, int]
) -> None:
    screen(opened.tab, size[0], dark=False)
    opened.tab.set_viewport_size({"width": size[0], "height": size[1]})
    for parts in opened.tab.evaluate(SIGHT):
        assert len(parts) >= 1
        assert all(all(sliders) for sliders in parts), parts
