"""Every figure of every page: type to read on a phone, a dark ground at night, sliders in sight."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from built import CHAPTERS, READ, SITE, Opened, Visit, screen
from PIL import Image

from fedlearn_book.widgets.vector import EM

if TYPE_CHECKING:
    from playwright.sync_api import Locator

FIGURE = "article :is(.fl-figure, .fl-still)"
PAGES = [page for page in READ if re.search('class="fl-(figure|still)', (SITE / page).read_text())]
figures = pytest.mark.parametrize("opened", PAGES, indirect=True, scope="module")


def luminance(one: Locator) -> float:
    """The mean over what an element shows, between 0 for black and 1 for white."""
    with Image.open(io.BytesIO(one.screenshot())) as shot:
        values = np.asarray(shot.convert("RGB")) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float((light @ [0.2126, 0.7152, 0.0722]).mean())


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


@figures
def test_no_word_of_a_figure_is_small_on_a_phone(opened: Opened) -> None:
    """Nine pixels at least; only the indices of a formula may be smaller."""
    screen(opened.tab, 390, dark=True)
    for images, sizes in opened.tab.evaluate(TYPE, [FIGURE, EM]):
        assert images == 0, "words of an image cannot be measured: draw fewer or simpler frames"
        assert len(sizes) >= 3
        assert min(sizes) >= 9.0


@figures
def test_no_figure_is_bright_at_night(opened: Opened) -> None:
    screen(opened.tab, 390, dark=True)
    shown = opened.tab.locator(FIGURE).filter(visible=True).all()
    assert [k for k, one in enumerate(shown) if luminance(one) > 0.15] == []


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


@figures
@pytest.mark.parametrize("size", [(390, 844), (1280, 720)])
def test_sliders_stay_in_sight_while_what_they_change_is(
    opened: Opened, size: tuple[int, int]
) -> None:
    screen(opened.tab, size[0], dark=False)
    opened.tab.set_viewport_size({"width": size[0], "height": size[1]})
    for parts in opened.tab.evaluate(SIGHT):
        assert len(parts) >= 1
        assert all(all(sliders) for sliders in parts), parts


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_stored_plot_has_a_twin_or_says_that_it_is_an_image(page: str) -> None:
    images = re.findall(r"<img [^>]*_images/[^>]*>", (SITE / page).read_text("utf-8"))
    kinds = [re.findall(r'class="([\w-]*)"', image) for image in images]
    assert kinds.count(["only-light"]) == kinds.count(["only-dark"])
    assert {kind for (kind,) in kinds} <= {"only-light", "only-dark", "paper"}


@pytest.mark.parametrize("dark", [False, True])
def test_a_stored_plot_is_as_bright_as_the_page(dark: bool, visit: Visit) -> None:
    tab = visit(CHAPTERS[7], dark=dark)
    plots = tab.locator("article .cell_output img:visible").all()
    assert len(plots) > 5
    for plot in plots:
        plot.scroll_into_view_if_needed()
        plot.evaluate("(one) => one.decode()")
        assert luminance(plot) < 0.1 if dark else luminance(plot) > 0.8
