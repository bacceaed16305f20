"""What a page does only once, and that it never stops for long: colors, listings, long tasks."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import pytest
from built import CHAPTERS, SITE, New, Visit

if TYPE_CHECKING:
    from playwright.sync_api import Page

FIRST = """new MutationObserver((all, watch) => {
  if (!document.body) return;
  window.first = document.documentElement.dataset.theme;
  watch.disconnect();
}).observe(document, { childList: true, subtree: true });"""


@pytest.mark.parametrize("dark", [False, True])
def test_a_page_has_its_theme_before_there_is_anything_to_draw(visit: Visit, dark: bool) -> None:
    """Or all of it would be drawn twice."""
    tab = visit("book/errata.html", dark=dark)
    tab.add_init_script(FIRST)
    tab.reload()
    assert tab.evaluate("window.first") == ("dark" if dark else "light")
    assert tab.evaluate("document.documentElement.dataset.mode") == "auto"


def test_a_listing_is_marked_by_the_book_alone_and_only_where_it_scrolls(visit: Visit) -> None:
    """The theme would give the others a mark too, one by one, again after each move of a figure."""
    tab = visit(CHAPTERS[0], width=390)
    tab.wait_for_selector("html[data-measured=all]", state="attached")
    scrolls, marks = tab.locator("article pre:visible").evaluate_all(
        """(all) => [all.map((one) => one.scrollWidth > one.clientWidth),
                     all.map((one) => one.getAttribute("tabindex"))]"""
    )
    assert sum(scrolls) > 3
    assert marks == ["0" if wide else None for wide in scrolls]


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_code_fades_in_only_for_those_who_like_motion(new_context: New, motion: str) -> None:
    tab = new_context(offline=True, reduced_motion=motion).new_page()
    tab.goto((SITE / CHAPTERS[0]).as_uri())
    moving = tab.evaluate(
        """() => {
          document.querySelector("div.cell details.hide:not([open])").open = true;
          return document.getAnimations().map((one) => one.animationName).filter(Boolean);
        }"""
    )
    assert bool(moving) == (motion == "no-preference"), moving


LONGEST = """() => {
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) window.longest = Math.max(window.longest, one.duration);
  }).observe({ type: "longtask", buffered: true });
}"""
# Work that takes a processor slowed four times WORK milliseconds on the machine of the limit below.
WORKS = """() => {
  const start = performance.now();
  let x = 1;
  for (let k = 0; k < 2e7; ++k) x = (x * 48271) % 2147483647;
  return x && performance.now() - start;
}"""
WORK, LIMIT = 1000.0, 400.0


def longest(tab: Page, address: str) -> float:
    """Milliseconds of the longest task of a page, from its address to its last measure."""
    tab.goto(address)
    tab.wait_for_selector("html[data-measured=all]", state="attached")
    return float(tab.evaluate("window.longest"))


@pytest.mark.parametrize("page", ["book/results.html", "book/library.html", CHAPTERS[11]])
def test_no_task_keeps_a_slow_phone_waiting(new_context: New, http: str, page: str) -> None:
    """At most 400 ms with a processor slowed four times, on the three heaviest pages.

    A busy machine counts in the proportion of its own speed, before and after each load, and the
    best of five loads is what the page itself takes.
    """
    tab = new_context(viewport={"width": 390, "height": 844}).new_page()
    tab.context.new_cdp_session(tab).send("Emulation.setCPUThrottlingRate", {"rate": 4})
    tab.add_init_script(f"({LONGEST})()")
    tasks, work = [], []
    for _ in range(5):
        work.append(tab.evaluate(WORKS))
        tasks.append(longest(tab, f"{http}/{page}"))
    slower = max(1.0, median(work) / WORK)
    assert 0 < min(tasks) < LIMIT * slower, (tasks, work)
