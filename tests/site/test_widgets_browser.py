"""The interactive figures in a browser: from a file, network off, by keyboard and by mouse."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from audit import findings
from pages import THEMES, module

from fedlearn_book.widgets import HeterogeneityExplorer, Setting, explore, frames, page
from fedlearn_lib import total_variation
from fedlearn_lib.data import Clients
from fedlearn_lib.federated import label_distribution

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_figures import LABELS, M, landscape, line, make_settings, splits

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def settings() -> list[Setting]:
    return make_settings()


@pytest.fixture(scope="module")
def bundles(settings: list[Setting]) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLEARN_FIGURES", "static")
        grid = {"eta": [0.1, 1.0], "tau": [1, 2, 5]}
        first = explore(line, **grid, alt="A line.", start={"eta": 0.1, "tau": 2})
        second = explore(lambda tau: line(1.0, tau), tau=[1, 3, 9], alt="A second line.")
        hero = HeterogeneityExplorer(settings, rounds=30)
        land = landscape()
        patch.setattr(frames, "MAX_DRAWN", 0)
        pixels = explore(line, **grid, alt="A line.", start={"eta": 0.1, "tau": 2})
    made: dict[str, Any] = {"first": first, "second": second, "pixels": pixels}
    made |= {"hero": hero, "land": land}
    return {name: figure.bundle["text/html"] for name, figure in made.items()}


# ---------------------------------------------------------------- explore


def shown(tab: Page) -> tuple[str, str]:
    """The picture that is seen, and its words: an image, or the drawing that fits."""
    one = tab.locator("figure img:visible, figure .fl-view:visible").first
    return one.evaluate("(one) => [one.src ?? one.innerHTML, one.alt ?? one.ariaLabel]")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", ["first", "pixels"])
def test_keys_turn_over_the_frames(kind: str, width: int, open_page: Open, bundles: dict[str, str]):
    tab = open_page(bundles[kind], width=width)
    tau = tab.get_by_role("slider", name="τ")
    start, words = shown(tab)
    assert words == "A line. (η = 0.1, τ = 2)"
    tau.focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("output").nth(1).text_content() == "5"
    assert tau.get_attribute("aria-valuetext") == "5"
    moved, words = shown(tab)
    assert words == "A line. (η = 0.1, τ = 5)"
    assert moved != start
    tab.get_by_role("slider", name="η").focus()
    tab.keyboard.press("End")
    last, words = shown(tab)
    assert words == "A line. (η = 1, τ = 5)"
    assert last not in (start, moved)
    tab.keyboard.press("Home")
    tau.focus()
    tab.keyboard.press("ArrowLeft")
    assert shown(tab)[0] == start


def test_every_frame_decodes(open_page: Open, bundles: dict[str, str]):
    tab = open_page(bundles["pixels"])
    seen = set()
    for eta in "01":
        for tau in "012":
            tab.get_by_role("slider", name="η").fill(eta)
            tab.get_by_role("slider", name="τ").fill(tau)
            assert tab.evaluate("document.querySelector('img').decode().then(() => true)")
            seen.add(tab.locator("img").get_attribute("src"))
    assert len(seen) == 6


def test_figures_on_one_page_do_not_touch_each_other(open_page: Open, bundles: dict[str, str]):
    tab = open_page(bundles["first"], bundles["second"], bundles["second"], bundles["pixels"])
    seen = "(all) => all.map((one) => one.alt ?? one.ariaLabel)"
    alts = lambda: tab.locator("figure img, figure .fl-wide").evaluate_all(seen)  # noqa: E731
    before = alts()
    for k, inputs in enumerate(tab.locator("figure").all()):
        inputs.locator("input").last.focus()
        tab.keyboard.press("End")
        assert [a != b for a, b in zip(alts(), before, strict=True)] == [i <= k for i in range(4)]


@pytest.mark.parametrize("name", ["first", "pixels", "hero", "land"])
def test_without_scripts_the_start_stands(name: str, open_page: Open, bundles: dict[str, str]):
    tab = open_page(bundles[name], java_script_enabled=False)
    image = tab.locator("img:visible, .fl-view:visible")
    assert image.bounding_box()["width"] > 300
    assert tab.locator("input:visible").count() == 0


# ---------------------------------------------------------------- the heterogeneity explorer


def value(tab: Page, metric: str) -> str:
    return tab.locator(f"[data-metric={metric}]").text_content() or ""


def test_the_start_makes_the_point(open_page: Open, bundles: dict[str, str], settings):
    tab = open_page(bundles["hero"])
    said, worst = tab.locator(".fl-say").text_content(), settings[1]
    drop = 100 * (settings[0].accuracy - worst.accuracy)
    assert said.startswith("Dirichlet, α = 0.05:")
    assert f"FedAvg reaches {100 * worst.accuracy:.1f} % after 30 rounds" in said
    assert f"{drop:.1f} points below the iid split" in said
    assert tab.locator(".fl-row").count() == M
    assert tab.locator("img").count() == 0


def test_kind_and_concentration_by_keyboard(open_page: Open, bundles: dict[str, str], settings):
    tab = open_page(bundles["hero"])
    tab.get_by_role("slider", name="concentration α").focus()
    for row in settings[2:5]:
        tab.keyboard.press("ArrowRight")
        assert value(tab, "tv") == f"{row.tv:.2f}"
        assert value(tab, "accuracy") == f"{100 * row.accuracy:.1f} %"
        assert f"α = {row.value:g}:" in tab.locator(".fl-say").text_content()
    tab.get_by_role("radio", name="Dirichlet").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".fl-say").text_content().startswith("two groups, a = 8:")
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".fl-say").text_content().startswith("hospitals:")
    assert tab.locator(".fl-row").count() == 4
    assert tab.get_by_role("slider", name="which").count() == 0, "nothing to choose"
    tab.get_by_role("radio", name="Dirichlet").check()
    assert value(tab, "tv") == f"{settings[4].tv:.2f}", "the concentration is remembered"


def test_the_mark_moves_by_keyboard_in_order_of_distance(open_page, bundles, settings):
    tab = open_page(bundles["hero"])
    mark = tab.locator("[role=slider].fl-handle")
    mark.focus()
    tab.keyboard.press("Home")
    seen = [value(tab, "tv")]
    for _ in settings[1:]:
        tab.keyboard.press("ArrowRight")
        seen.append(value(tab, "tv"))
        assert tab.evaluate("document.activeElement.classList.contains('fl-handle')")
    assert seen == [f"{tv:.2f}" for tv in sorted(row.tv for row in settings)]
    assert mark.get_attribute("aria-valuenow") == str(len(settings) - 1)
    assert "TV" in mark.get_attribute("aria-valuetext")


def test_the_mark_is_dragged(open_page, bundles, settings):
    tab = open_page(bundles["hero"])
    marks = tab.locator(".fl-series path")
    targets = {mark.text_content(): mark.bounding_box() for mark in marks.all()}
    middle = lambda box: (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # noqa: E731
    tab.mouse.move(*middle(tab.locator(".fl-handle path").bounding_box()))
    tab.mouse.down()
    for name in ("Dirichlet, α = 1", "iid", "hospitals"):
        tab.mouse.move(*middle(targets[name]), steps=4)
        assert tab.locator(".fl-say").text_content().startswith(f"{name}:")
    tab.mouse.up()
    tab.mouse.move(*middle(targets["iid"]))
    assert tab.locator(".fl-say").text_content().startswith("hospitals:"), "not after the drop"


def test_a_client_says_what_it_holds(open_page, bundles, settings):
    tab = open_page(bundles["hero"])
    counts, tip = settings[1].counts, tab.locator(".fl-tip")
    assert tip.is_hidden()
    tab.locator(".fl-row").nth(2).hover()
    assert f"client 3: {sum(counts[2])} samples" in tip.text_content()
    tab.mouse.move(5, 5)
    assert tip.is_hidden()
    tab.locator(".fl-row").first.focus()
    tab.keyboard.press("ArrowDown")
    text = tip.text_content()
    assert f"client 2: {sum(counts[1])} samples" in text
    for c, count in enumerate(counts[1]):
        assert (f"{c}: {count}" in text) == (count > 0)
    tab.keyboard.press("Escape")
    assert tip.is_hidden()


def test_total_variation_in_the_page_is_the_librarys(open_page, bundles, settings):
    """Mean and single clients, for every setting, to 1e-6."""
    tab = open_page(bundles["hero"])
    source = base64.b64encode(page.module_source("heterogeneity.js").encode()).decode()
    distances = (
        "async ([source, counts]) => (await import(`data:text/javascript;base64,${source}`))"
        ".labelDistances(counts)"
    )
    tab.locator(".fl-handle").focus()
    tab.keyboard.press("Home")
    shown = []
    for _ in settings:
        shown.append(float(tab.locator(".fl-het").get_attribute("data-tv")))
        tab.keyboard.press("ArrowRight")
    assert shown == pytest.approx(sorted(row.tv for row in settings), abs=1e-6)
    for (_, _, parts), row in zip(splits(), settings, strict=False):
        clients = Clients.of(torch.zeros(len(LABELS)), LABELS, parts)
        laws = label_distribution(clients, 10)
        p = clients.n.double() / clients.n.sum()
        each = total_variation(laws, p @ laws)
        found = tab.evaluate(distances, [source, json.loads(json.dumps(row.counts))])
        assert found["each"] == pytest.approx(each.tolist(), abs=1e-6)
        assert found["mean"] == pytest.approx(float(p @ each), abs=1e-6)


# ---------------------------------------------------------------- the meta-gradient landscape


def test_directions_in_the_page_are_the_librarys(open_page: Open, bundles: dict[str, str]):
    """f, F, the four directions, the clients' steps and the standstills, to 1e-6."""
    tab, shown = open_page(bundles["land"]), landscape()
    call = (
        "async ([url, clients, w, alpha, delta]) => "
        "(await import(url)).directions(clients, w, alpha, delta)"
    )
    url, clients = module("landscape.js"), shown._state["clients"]
    for w in ([0.0, 0.0], [-1.7, 2.1], [2.4, -2.0], [0.5, 1.5]):
        for alpha, delta in ((0.0, 0.3), (0.1, 1.0), (0.6, 0.001)):
            found = tab.evaluate(call, [url, clients, w, alpha, delta])
            wanted = shown.directions(w, alpha, delta)
            assert found.keys() == wanted.keys()
            for name, value in wanted.items():
                flat = torch.tensor(value, dtype=torch.float64)
                gap = (torch.tensor(found[name], dtype=torch.float64) - flat).abs().max()
                assert float(gap) < 1e-6, (name, w, alpha, delta)
    call = (
        "async ([url, clients, w, alpha, name]) => "
        "(await import(url)).standstill(clients, w, alpha, name)"
    )
    for alpha, name in ((0.0, "exact"), (0.3, "exact"), (0.3, "fo")):
        rest = shown.standstill(alpha, name)
        near = [round(v, 1) for v in rest]
        found = tab.evaluate(call, [url, clients, near, alpha, name])
        assert found == pytest.approx(rest, abs=1e-6)


def words_at(tab: Page) -> str:
    return tab.locator(".fl-land .fl-say").text_content() or ""


def test_the_landscape_makes_its_point_at_the_start(open_page: Open, bundles: dict[str, str]):
    tab, shown = open_page(bundles["land"]), landscape()
    found = shown.directions(shown._state["w"], 0.3, 0.3)
    exact, fo = (torch.tensor(found[name]) for name in ("exact", "fo"))
    error = float((fo - exact).norm() / exact.norm())
    assert f"the loss is {found['f']:.3f} before and {found['F']:.3f} after" in words_at(tab)
    assert tab.locator("[data-error=fo]").text_content() == f"{100 * error:.0f} %"
    assert tab.locator("[data-angle=plain]").text_content() == "–", "∇f is zero where we start"
    assert tab.locator(".fl-levels path").count() == 24


def test_arrow_keys_and_sliders_move_the_landscape(open_page: Open, bundles: dict[str, str]):
    tab = open_page(bundles["land"])
    point = tab.get_by_role("slider", name="Point w")
    x, y = landscape()._state["w"]
    point.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown"):
        tab.keyboard.press(key)
        assert tab.evaluate("document.activeElement.classList.contains('fl-point')")
    wanted = f"w = ({x + 0.1:.2f}, {y - 0.2:.2f})"
    assert point.get_attribute("aria-valuetext") == wanted
    assert wanted in words_at(tab)
    tab.get_by_role("slider", name="step α of a client").focus()
    tab.keyboard.press("Home")
    assert "α = 0.00" in words_at(tab)
    assert tab.locator("[data-error=fo]").text_content() == "< 0.1 %", "without a step FO is exact"
    before = tab.locator("[data-error=hf]").text_content()
    tab.keyboard.press("End")
    tab.get_by_role("slider", name="δ of HF").focus()
    tab.keyboard.press("End")
    assert tab.locator("[data-error=hf]").text_content() != before
    shown = landscape()
    found = shown.directions([round(x + 0.1, 4), round(y - 0.2, 4)], 0.6, 1.0)
    assert f"{found['F']:.3f} after" in words_at(tab)


@pytest.mark.parametrize("which", [0, 1])
def test_the_point_is_dragged_on_either_map(which: int, open_page: Open, bundles: dict[str, str]):
    tab = open_page(bundles["land"])
    box = tab.locator(".fl-land .fl-draw").nth(which).bounding_box()
    at = lambda fx, fy: (box["x"] + fx * box["width"], box["y"] + fy * box["height"])  # noqa: E731
    tab.mouse.move(*at(0.5, 0.5))
    tab.mouse.down()
    tab.mouse.move(*at(0.9, 0.1), steps=4)
    assert "w = (2.00, 2.30)" in words_at(tab)
    tab.mouse.move(*at(1.5, 0.1))
    assert "w = (2.50, 2.30)" in words_at(tab), "the point stays on the map"
    tab.mouse.up()
    tab.mouse.move(*at(0.2, 0.2))
    assert "w = (2.50, 2.30)" in words_at(tab), "not after the drop"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_and_axe_finds_nothing(theme, width, open_page, bundles):
    tab = open_page(*bundles.values(), theme=theme, width=width)
    for kind in ("Dirichlet", "natural"):
        tab.get_by_role("radio", name=kind).check()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert findings(tab) == []
