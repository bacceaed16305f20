"""That the measure of layout shift is one: a page that moves is caught, one that rests is not."""

from __future__ import annotations

import time

import pytest
from built import SHIFT, SITE, New, arrive
from playwright.sync_api import Route

PICTURE = min(path.name for path in (SITE / "_images").glob("*.png"))
PAGE = """<!doctype html><html lang="en" data-measured="all"><title>One picture</title>
<img alt="" src="_images/{picture}" {size}>{text}</html>"""


def late(route: Route) -> None:
    """Let the text be painted first, also on a busy machine."""
    time.sleep(0.5)
    route.continue_()


@pytest.mark.parametrize(("size", "moves"), [("", True), ('width="700" height="400"', False)])
def test_a_picture_without_a_size_moves_what_stands_below_it(
    new_context: New, http: str, size: str, moves: bool
) -> None:
    tab = new_context(viewport={"width": 1440, "height": 900}).new_page()
    tab.add_init_script(SHIFT)
    html = PAGE.format(picture=PICTURE, size=size, text=20 * "<p>A line of text.</p>")
    tab.route(f"{http}/one.html", lambda route: route.fulfill(body=html, content_type="text/html"))
    tab.route("**/_images/*.png", late)
    assert (arrive(tab, f"{http}/one.html") >= 0.05) == moves
