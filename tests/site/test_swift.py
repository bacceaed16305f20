"""What a page does only once: it has its colors from the start, and measures its listings."""

from __future__ import annotations

import pytest
from built import CHAPTERS, Visit

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
