"""Links and their cards: by mouse, keyboard and thumb, from a folder and over http."""

from __future__ import annotations

import json
import re
from functools import cache
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING

import pytest
from audit import findings
from built import CHAPTERS, READ, SITE, Visit

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

THEOREMS, META = "notebooks/05_convergence.html", "notebooks/03_meta_gradients.html"
# kind: (page, part of the link's address, words on the card, where "Go to …" leads)
KINDS = {
    "result": (THEOREMS, "#lemma-5-3", "Lemma 5.3", "Chapter 5"),
    "exercise": (THEOREMS, "#exercise-5-", "Exercise 5.", "Chapter 5"),
    "symbol": (THEOREMS, "notation.html#convergence-chi", "sampling factor", "Notation"),
    "term": (THEOREMS, "glossary.html#term-Cohort", "take part in one round", "Glossary"),
    "citation": (THEOREMS, "references.html#ref-fallah2020p", "Theoretical Guarantees", "Ref"),
    "name": (META, "library.html#fedlearn_lib.maml_gradient", "Oracle", "All of fedlearn_lib"),
}


def link_in(tab: Page, address: str) -> Locator:
    """The first link to an address that stands open on the page, in the middle of the window."""
    link = tab.locator(f'main a.has-card[href*="{address}"]:visible').first
    link.evaluate("(node) => node.scrollIntoView({ block: 'center', behavior: 'instant' })")
    return link


def middle(node: Locator) -> tuple[float, float]:
    box = node.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("where", ["folder", "http"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_card_comes_under_the_mouse_stays_under_it_and_goes(
    visit: Visit, http: str, kind: str, where: str
) -> None:
    page, address, words, title = KINDS[kind]
    tab = visit(page, http if where == "http" else None)
    link = link_in(tab, address)
    tab.clock.install(time=0)
    tab.clock.pause_at(1000)  # from here on time passes only when the test says so
    link.hover()
    tab.clock.run_for(100)
    assert tab.locator("#card").count() == 0  # a mouse that passes by opens nothing
    tab.clock.run_for(100)
    tab.wait_for_selector("#card")
    card = tab.locator("#card")
    assert words in card.inner_text()
    assert f"Go to {title}" in card.inner_text()
    assert card.locator("math").count() or kind not in ("result", "symbol")
    box, seen = card.bounding_box(), tab.viewport_size
    assert box
    assert seen
    assert 0 <= box["x"] <= box["x"] + box["width"] <= seen["width"]
    assert 0 <= box["y"] <= box["y"] + box["height"] <= seen["height"]
    tab.mouse.move(*middle(card), steps=8)
    tab.clock.run_for(5000)
    assert card.is_visible()
    tab.mouse.move(2, 2)
    tab.clock.run_for(400)
    assert card.count() == 0
    link.hover()
    tab.clock.run_for(200)
    tab.wait_for_selector("#card")
    tab.keyboard.press("Escape")
    assert card.count() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_comes_with_the_focus_and_the_next_tab_goes_into_it(visit: Visit, kind: str) -> None:
    page, address, words, _ = KINDS[kind]
    tab = visit(page)
    link = link_in(tab, address)
    link.focus()
    tab.wait_for_selector("#card")
    assert words in tab.locator("#card").inner_text()
    described = link.evaluate(
        "(n) => document.getElementById(n.getAttribute('aria-describedby'))?.id"
    )
    assert described == "card"
    assert findings(tab, "#card") == []
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('#card') !== null")
    tab.keyboard.press("Escape")
    assert tab.locator("#card").count() == 0
    assert link.evaluate("(node) => node === document.activeElement")
    assert link.get_attribute("aria-describedby") is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_tap_shows_a_card_the_second_follows_the_link(visit: Visit, kind: str) -> None:
    page, address, words, _ = KINDS[kind]
    tab = visit(page, width=390, dark=True, touch=True)
    link, before = link_in(tab, address), tab.url
    target = link.evaluate("(node) => node.href")
    link.tap()
    tab.wait_for_selector("#card")
    assert tab.url == before
    card = tab.locator("#card")
    assert words in card.inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert findings(tab, "#card") == []
    card.tap(position={"x": 6, "y": 6})  # no link is there
    assert card.is_visible()
    tab.touchscreen.tap(3, 450)  # the margin
    assert card.count() == 0
    link.tap()
    tab.wait_for_selector("#card")
    link.tap()
    tab.wait_for_url(target)


def test_a_tap_on_the_card_leads_to_the_page_and_its_links_lead_on(visit: Visit) -> None:
    tab = visit(THEOREMS, touch=True)
    link_in(tab, "references.html#ref-fallah2020p").tap()
    tab.wait_for_selector("#card")
    hrefs = tab.locator("#card a").evaluate_all("(all) => all.map((one) => one.href)")
    assert "https://arxiv.org/abs/2002.07948" in hrefs
    inside = [href for href in hrefs if href.startswith("file:")]
    assert len(inside) > 2
    for href in inside:
        assert (SITE / href.partition("#")[0].removeprefix(SITE.as_uri() + "/")).exists(), href
    tab.locator("#card .link-card-more a").tap()
    tab.wait_for_url("**/references.html#ref-*")


@cache
def cards(page: str) -> dict[str, str]:
    """The cards of things that stand on a page."""
    path = SITE / "_static" / "cards" / f"{page.removesuffix('.html').replace('/', '.')}.js"
    if not path.exists():
        return {}
    _, _, written = path.read_text(encoding="utf-8").partition(" = ")
    found: dict[str, str] = json.loads(written.removesuffix(";\n"))["cards"]
    return found


def linked(page: str) -> list[tuple[str, str]]:
    """The links of a page that promise a card: (page, anchor) of each."""
    text = (SITE / page).read_text(encoding="utf-8")
    found = re.findall(r'<a class="[^"]*\bhas-card\b[^"]*" href="([^"#]*)#([^"]+)"', text)
    return [(normpath(join(dirname(page), to)) if to else page, anchor) for to, anchor in found]


@pytest.mark.parametrize("page", READ)
def test_every_link_that_promises_a_card_has_one(page: str) -> None:
    missing = {(to, anchor) for to, anchor in linked(page) if not cards(to).get(anchor)}
    assert missing == set()


@pytest.mark.parametrize("page", CHAPTERS)
def test_first_uses_in_a_chapter_are_linked_once(page: str) -> None:
    found = linked(page)
    counts = {
        name: sum(to == f"book/{name}.html" for to, _ in found)
        for name in ("glossary", "notation", "references")
    }
    assert all(count >= 5 for count in counts.values()), counts
    terms = [anchor for to, anchor in found if to == "book/glossary.html"]
    assert len(terms) == len(set(terms)), "a term is linked twice"


def test_a_letter_means_what_it_means_in_its_chapter() -> None:
    """α is a concentration in chapter 2, a step of adaptation in 3, of path time in 9."""
    meant = {"02": "heterogeneity-alpha", "03": "a-start-that-adapts-alpha",
             "09": "paths-of-linear-models-kappa", "11": "sparse-networks-nu"}  # fmt: skip
    for chapter in CHAPTERS:
        wanted = meant.get(chapter.split("/")[1][:2])
        if wanted:
            text = (SITE / chapter).read_text(encoding="utf-8")
            letter = '<span class="math"><math aria-label="alpha"><mi>α</mi></math>'
            link = rf'href="../book/notation.html#([^"]+)">{letter}'
            assert re.findall(link, text) == [wanted]
