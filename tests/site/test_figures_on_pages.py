"""Figures on the pages of the book: a whole screen, edges that say more, plots at night."""

from __future__ import annotations

import re

import pytest
from audit import findings
from built import CHAPTERS, SITE, New, Visit, luminance

HEROES = {"02_heterogeneity": ".fl-het", "01_federated_averaging": ".fl-vector"}
TYPE = """(hero) => {
  const figure = document.querySelector(hero);
  const all = (what) => [...figure.querySelectorAll(what)].filter((one) => one.checkVisibility());
  const height = (one) => {
    const range = document.createRange();
    range.selectNodeContents(one);
    return range.getBoundingClientRect().height;
  };
  const scale = ({ a, b }) => Math.hypot(a, b);
  return [
    ...all(".fl-control > span, .fl-control > output").map(height),
    ...all("svg text").slice(0, 5).map((one) => one.getBoundingClientRect().height),
    ...all(".fl-view g[data-size]").slice(0, 5).map((one) => scale(one.getScreenCTM())),
  ];
}"""


@pytest.mark.parametrize("where", ["folder", "http"])
@pytest.mark.parametrize("chapter", HEROES)
def test_a_figure_fills_the_screen_with_type_twice_as_large(
    chapter: str, where: str, visit: Visit, http: str
) -> None:
    """With the keyboard alone; it goes on working there, and Escape leads back to the button."""
    hero = HEROES[chapter]
    tab = visit(f"notebooks/{chapter}.html", http if where == "http" else None)
    tab.set_viewport_size({"width": 1920, "height": 1080})
    enter = tab.locator(f".text_html:has(> {hero}, > .fl-figure {hero}) > .fl-whole")
    before = tab.evaluate(TYPE, hero)
    height = tab.evaluate("document.documentElement.scrollHeight")
    enter.focus()
    tab.keyboard.press("Enter")
    dialog = tab.get_by_role("dialog", name="Figure on the full screen")
    dialog.wait_for()
    after = tab.evaluate(TYPE, hero)
    assert len(before) == len(after) >= 6
    assert min(new / old for new, old in zip(after, before, strict=True)) > 1.9
    slider = dialog.locator("input[type=range]:not([disabled])").first
    slider.press("Home")
    shown = dialog.inner_html()
    slider.press("End")
    assert dialog.inner_html() != shown
    assert findings(tab, "dialog[open]") == []
    tab.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert enter.evaluate("(one) => one === document.activeElement")
    assert tab.locator(f"article .cell_output {hero}").count() == 1
    assert tab.evaluate("document.documentElement.scrollHeight") == pytest.approx(height, abs=4)


def test_every_figure_has_the_button(visit: Visit) -> None:
    tab = visit("notebooks/02_heterogeneity.html")
    assert (
        tab.locator("article .fl-figure").count()
        == tab.locator("article .fl-whole:visible").count()
        == 2
    )


WIDE = """(kind) => [...document.querySelectorAll(`article ${kind}`)]
  .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 2)
  .map((one) => [one, getComputedStyle(one)])
  .filter(([, style]) => style.overflowX !== "visible")
  .map(([one, style]) => [one.dataset.more, style.maskImage.slice(0, 15), one.tabIndex])"""


REACHED = """(all) => all.map((one) => {
  const [formula, box] = [one.querySelector("math > *"), one.getBoundingClientRect()];
  const begins = formula.getBoundingClientRect().left >= box.left - 1;
  one.scrollTo({ left: one.scrollWidth, behavior: "instant" });
  const ends = formula.getBoundingClientRect().right <= box.right + 1;
  one.scrollTo({ left: 0, behavior: "instant" });
  return begins && ends;
})"""


def test_what_goes_on_beyond_the_edge_says_so(visit: Visit) -> None:
    """On a phone formulas and code fade where they go on, and the arrow keys move them."""
    tab = visit("notebooks/05_convergence.html", width=390)
    tab.wait_for_selector("html[data-measured=all]", state="attached")
    reached = tab.locator("article div.math:visible").evaluate_all(REACHED)
    assert len(reached) > 10
    assert all(reached), "a formula shows its beginning, and its end can be scrolled to"
    for kind, least in (("div.math", 5), ("pre", 3)):
        found = tab.evaluate(WIDE, kind)
        assert len(found) >= least
        assert {tuple(one) for one in found} == {("right", "linear-gradient", 0)}
    rest = "(all) => all.findIndex((one) => one.scrollWidth > one.clientWidth + 150)"
    far = tab.locator("div.math[data-more]:visible")
    first = far.nth(far.evaluate_all(rest))
    first.focus()
    assert first.evaluate("(one) => getComputedStyle(one).maskImage") == "none"
    assert "inset" in first.evaluate("(one) => getComputedStyle(one).boxShadow")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("document.activeElement.dataset.more === 'both'")
    first.evaluate("(one) => one.scrollTo({ left: one.scrollWidth, behavior: 'instant' })")
    tab.wait_for_function("document.activeElement.dataset.more === 'left'")


def test_without_scripts_a_shadow_says_that_a_formula_goes_on(new_context: New) -> None:
    """It lies still at the edge, below what moves with the formula; with scripts there is none."""
    attached = "(node) => getComputedStyle(node).backgroundAttachment"
    for scripts in (False, True):
        context = new_context(
            java_script_enabled=scripts, offline=True, viewport={"width": 390, "height": 844}
        )
        tab = context.new_page()
        tab.goto((SITE / "notebooks/05_convergence.html").as_uri())
        formula = tab.locator("article div.math").first
        shadows = "local, local, scroll, scroll, scroll"
        assert (formula.evaluate(attached) == shadows) != scripts


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
