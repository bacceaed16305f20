"""Figures on every screen: a thumb that scrolls, a phone, a lecture room, the dark."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from audit import findings
from matplotlib.figure import Figure
from pages import THEMES
from PIL import Image

from fedlearn_book.widgets import HeterogeneityExplorer, explore

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_figures import landscape, make_settings
from toy_heroes import explorer, filters

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
PHONE = {"width": 390, "has_touch": True, "is_mobile": True}
HEROES = {
    "landscape": landscape,
    "heterogeneity": lambda: HeterogeneityExplorer(make_settings(), rounds=30),
    "paths": explorer,
    "filters": filters,
}


@pytest.fixture(scope="module")
def heroes() -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLEARN_FIGURES", "static")
        return {name: make().bundle["text/html"] for name, make in HEROES.items()}


# ---------------------------------------------------------------- a thumb

DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def swipe(tab: Page, start: tuple[float, float], by: tuple[float, float]) -> None:
    """Move one finger in ten steps, as the browser's own touch input, and lift it."""
    touch = tab.context.new_cdp_session(tab)
    for k in range(11):
        at = [{"x": start[0] + by[0] * k / 10, "y": start[1] + by[1] * k / 10}]
        kind = "touchMove" if k else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    tab.evaluate(DRAWN)


def spot(tab: Page, selector: str, across: float, down: float) -> tuple[float, float]:
    """A place on the first such element, which is brought to the middle of the screen."""
    node = tab.locator(selector).first
    node.evaluate("(one) => one.scrollIntoView({ block: 'center' })")
    box = node.bounding_box()
    assert box
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def said(tab: Page) -> str:
    return tab.locator(".fl-say").text_content() or ""


CHARTS = {
    "landscape": ".fl-draw >> nth=0",
    "heterogeneity": ".fl-chart",
    "paths": ".fl-panel-iss .fl-time",
    "filters": ".fl-time",
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_thumb_that_scrolls_over_a_chart_moves_the_page_alone(
    name: str, open_page: Open, heroes: dict[str, str]
) -> None:
    """A swipe up from the chart scrolls by most of its length; the figure stays as it was."""
    tab = open_page(heroes[name], "<div style='height:2000px'></div>", **PHONE)
    at, before, top = spot(tab, CHARTS[name], 0.2, 0.8), said(tab), tab.evaluate("scrollY")
    swipe(tab, at, (4, -220))
    assert tab.evaluate("scrollY") - top > 150
    assert said(tab) == before


@pytest.mark.parametrize("name", CHARTS)
def test_a_thumb_that_moves_across_or_taps_moves_the_figure(
    name: str, open_page: Open, heroes: dict[str, str]
) -> None:
    tab = open_page(heroes[name], "<div style='height:2000px'></div>", **PHONE)
    at, before, top = spot(tab, CHARTS[name], 0.9, 0.5), said(tab), tab.evaluate("scrollY")
    swipe(tab, at, (-180, 3))
    assert tab.evaluate("scrollY") == pytest.approx(top, abs=1)
    across = said(tab)
    assert across != before
    swipe(tab, at, (0, 0))
    assert said(tab) != across


def test_the_handle_of_the_landscape_goes_where_the_thumb_goes(
    open_page: Open, heroes: dict[str, str]
) -> None:
    tab = open_page(heroes["landscape"], "<div style='height:2000px'></div>", **PHONE)
    at, before, top = spot(tab, ".fl-point", 0.5, 0.5), said(tab), tab.evaluate("scrollY")
    swipe(tab, at, (0, -60))
    assert tab.evaluate("scrollY") == pytest.approx(top, abs=1)
    assert said(tab) != before


# ---------------------------------------------------------------- what is seen


def pixels(tab: Page, selector: str) -> np.ndarray:
    """The screenshot of an element, [height width 3]."""
    shot = tab.locator(selector).first.screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


@pytest.mark.parametrize("theme", THEMES)
def test_the_exact_direction_is_seen_where_the_hessian_free_one_lies_on_it(
    theme: str, open_page: Open, heroes: dict[str, str]
) -> None:
    """At the start the two are a tenth of a degree apart; blue is on the map all the same."""
    tab = open_page(heroes["landscape"], theme=theme)
    assert float((tab.locator("[data-angle=hf]").text_content() or "").strip("°")) < 0.5
    red, green, blue = pixels(tab, ".fl-panels > :last-child .fl-draw").transpose(2, 0, 1)
    assert ((blue - red > 40) & (green - red > 15)).sum() > 250
    purple = (red - green > 25) & (blue - green > 15)
    assert purple.sum() > 40, "the other is seen on it"


NUMBERS = """() => [...document.querySelectorAll(".fl-chart .fl-num")].map(
  (one) => [...["x", "y"].map((name) => one.getAttribute(name)), one.textContent].map(Number))"""


def test_another_task_has_its_own_axis_and_its_clients_their_names(
    open_page: Open, heroes: dict[str, str]
) -> None:
    tab, own = open_page(heroes["heterogeneity"]), make_settings()[-1]
    tab.get_by_role("radio", name="natural").check()
    names = tab.locator(".fl-row .fl-name").all_text_contents()
    assert names == ["Cleveland", "Hungary", "Switzerland", "Long Beach"]
    assert (tab.locator(".fl-row").nth(2).get_attribute("aria-label") or "").startswith(
        "Switzerland: 123 samples"
    )
    numbers = sorted(tab.evaluate(NUMBERS))
    axes = {x: {value: y for at, y, value in numbers if at == x} for x, _, _ in numbers}
    assert len(axes) == 2
    first, second = axes.values()
    assert first[80] != second[80], "80 % of digits is not as high as 80 % of patients"
    place = tab.locator(".fl-handle").get_attribute("transform") or ""
    y = float(place.rstrip(")").split(",")[1])
    share = (y - second[60]) / (second[80] - second[60])
    assert 60 + 20 * share == pytest.approx(100 * own.accuracy, abs=0.01)
    most = max(sum(row[c] for row in own.counts) for c in (0, 1))
    guess = 100 * most / sum(map(sum, own.counts))
    assert f"always saying “sick” gives {guess:.1f} %" in said(tab)
    shown = tab.locator(".fl-track").evaluate_all(
        "(all) => all.map((t) => t.checkVisibility({ visibilityProperty: true }))"
    )
    assert shown == [True, False, False, False], "only TV has one scale for both tasks"
    tab.get_by_role("radio", name="iid").check()
    assert "always saying" not in said(tab)


# ---------------------------------------------------------------- drawings, both themes and widths


def two_panels(tau: int) -> Figure:
    fig = Figure(figsize=(7.4, 3.0), layout="constrained")
    left, right = fig.subplots(1, 2, sharey=True)
    left.plot([0, tau], color="#374151", label=r"$w_\tau$")
    right.plot([tau, 0], color="#0072B2", marker="o")
    left.set(ylim=(0, 10), ylabel="loss", xlabel="step", title=f"tau is {tau}")
    right.text(0.5, 5, "small print", fontsize=8)
    left.legend()
    return fig


@pytest.fixture(scope="module")
def drawing() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLEARN_FIGURES", "static")
        return explore(two_panels, tau=[1, 5, 9], alt="Two lines.").bundle["text/html"]


LABELS = """() => [...document.querySelectorAll(".fl-view g[data-size]")]
  .filter((one) => one.checkVisibility())
  .map((one) => Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b) * 400)"""  # of an em
GROUND = {"light": 1.0, "dark": 0.0091}  # luminance of the page


@pytest.mark.parametrize("step", ["Home", "End"])
def test_labels_of_a_drawing_are_never_small(step: str, open_page: Open, drawing: str) -> None:
    """Nine pixels on a phone; and there the panels lie below each other, with numbers each."""
    for width, least in ((390, 9.0), (1280, 11.0)):
        tab = open_page(drawing, width=width)
        tab.get_by_role("slider", name="τ").press(step)
        sizes = tab.evaluate(LABELS)
        assert len(sizes) > 15
        assert min(sizes) >= least
        box = tab.locator(".fl-view:visible").bounding_box()
        assert box
        assert (box["height"] > box["width"]) == (width == 390)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", THEMES)
def test_what_a_drawing_draws_is_seen_in_both_themes(
    theme: str, open_page: Open, drawing: str
) -> None:
    """The line of the darkest ink has three times the contrast with the page, also at night."""
    tab = open_page(drawing, theme=theme)
    tab.get_by_role("slider", name="τ").press("End")
    picture = pixels(tab, ".fl-view:visible") / 255
    light = np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
    seen = light @ [0.2126, 0.7152, 0.0722]
    assert np.median(seen) == pytest.approx(GROUND[theme], abs=0.005), "the ground is the page's"
    far = seen.min() if theme == "light" else seen.max()
    high, low = sorted((far, float(np.median(seen))), reverse=True)
    assert (high + 0.05) / (low + 0.05) > 5
    blue = (picture[..., 2] - picture[..., 0] > 0.25).sum()
    assert blue > 300, "a hue stays that hue"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_in_a_drawing(
    theme: str, width: int, open_page: Open, drawing: str
) -> None:
    assert findings(open_page(drawing, theme=theme, width=width)) == []
