"""What a reader has read: minutes in the map, marks and a way back, all in the reader's browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from built import CHAPTERS, SITE, New

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHAPTER = CHAPTERS[4]
MAP = ".chapter-map li"
STORED = "JSON.parse(localStorage.getItem('personal-and-parsimonious'))"


def item(tab: Page, name: str) -> tuple[str, bool]:
    """The words of a section in the map, and whether they say that it was read."""
    found = tab.locator(MAP, has_text=name)
    return found.inner_text(), found.get_attribute("data-read") is not None


def test_the_map_of_every_chapter_leads_to_its_sections_and_says_their_minutes() -> None:
    for page in CHAPTERS:
        html = (SITE / page).read_text(encoding="utf-8")
        (listed,) = re.findall(r'<ul class="[^"]*chapter-map[^"]*">(.*?)</ul>', html, re.S)
        ids = re.findall(r'<a class="reference internal" href="#([^"]*)">', listed)
        assert len(ids) == len(re.findall("[●○]", listed)) >= 10, page
        assert [one for one in ids if f'id="{one}"' not in html] == []
        assert re.findall(r'data-section="([^"]+)"', html) == ids, "each ends with its mark"
        core = re.findall(r"● .*?>(\d+) min<", listed)
        depth = re.findall(r"○ .*?>(\d+) min<", listed)
        assert len(core) + len(depth) == len(ids)
        assert 20 <= sum(map(int, core)) <= 44, f"{page}: the core takes about 40 minutes"


def test_what_was_read_and_where_one_left_is_remembered_until_it_is_forgotten(
    new_context: New, http: str
) -> None:
    context = new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.goto(f"{http}/{CHAPTER}")
    place = tab.locator(".read-place")
    total = tab.locator(MAP).count()
    assert place.inner_text().startswith(f"Marked as read: 0 of {total} sections")
    assert place.locator("a, button").count() == 0
    box = tab.get_by_role("checkbox", name="I have read “What is assumed”")
    box.focus()
    tab.keyboard.press("Space")
    assert item(tab, "What is assumed")[1]
    heading = tab.locator("#the-theorem")
    heading.evaluate("(node) => node.scrollIntoView({ behavior: 'instant' })")
    tab.wait_for_function(f"{STORED}.last")

    tab.goto(f"{http}/book/intro.html")
    begin = tab.locator(".front-buttons a").first
    assert begin.inner_text() == "Continue chapter 5"
    begin.click()
    tab.wait_for_url("**/05_convergence.html#the-theorem")

    tab.goto(f"{http}/{CHAPTER}")
    assert item(tab, "What is assumed")[1]
    assert not item(tab, "The theorem")[1]
    assert place.inner_text().startswith(f"Marked as read: 1 of {total} sections")
    assert box.is_checked()
    place.get_by_role("link", name="Continue: The theorem").click()
    assert tab.url.endswith("#the-theorem")
    assert context.cookies() == []

    place.get_by_role("button", name="Forget").click()
    assert tab.evaluate(STORED) == {"pages": {}}
    assert not box.is_checked()
    assert place.inner_text().startswith(f"Marked as read: 0 of {total} sections")
    assert place.locator("a, button").count() == 0


def test_without_scripts_the_map_stands_and_nothing_asks_to_be_marked(new_context: New) -> None:
    tab = new_context(java_script_enabled=False, offline=True).new_page()
    tab.goto((SITE / CHAPTER).as_uri())
    assert re.search(r"The theorem.*\d min", item(tab, "The theorem")[0])
    for slot in (".read-place", ".read-mark"):
        assert tab.locator(slot).count() > 0
        assert tab.locator(f"{slot}:visible").count() == 0
