"""The hero figures of Part III in a browser: exact, by keyboard, by mouse, on a phone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from audit import findings
from pages import THEMES, html_of, module

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_heroes import TRUTH, explorer, filters, record

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from fedlearn_book.widgets import FiltersEntering, PathExplorer

Open = Callable[..., "Page"]
REAL = TRUTH.nonzero()[:, 0].tolist()


@pytest.fixture(scope="module")
def static() -> tuple[PathExplorer, FiltersEntering]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLEARN_FIGURES", "static")
        return explorer(), filters()


@pytest.fixture(scope="module")
def paths(static) -> PathExplorer:
    return static[0]


@pytest.fixture(scope="module")
def run(static) -> FiltersEntering:
    return static[1]


def html(shown) -> str:
    return shown.bundle["text/html"]


def words(tab: Page) -> str:
    return tab.locator(".fl-say").text_content().replace("\xa0", " ")


def percent(share: float, space: str = "\xa0") -> str:
    """As JavaScript writes it: halves go up."""
    return f"{Decimal(100 * share).quantize(Decimal('0.1'), ROUND_HALF_UP)}{space}%"


def minus(number: float) -> str:
    return f"{number:.3f}".replace("-", "−")


@pytest.mark.parametrize("which", [0, 1])
def test_without_scripts_the_still_stands(which: int, open_page: Open, static):
    tab = open_page(html(static[which]), java_script_enabled=False)
    assert tab.locator("img").bounding_box()["width"] > 300
    assert tab.locator("input:visible, select:visible").count() == 0


@pytest.mark.parametrize("which", [0, 1])
def test_the_figure_draws_over_http_and_asks_for_nothing(which: int, new_context, static):
    tab, asked = new_context().new_page(), []
    body = html_of((html(static[which]),), "light")
    tab.route("http://book.test/**", lambda r: r.fulfill(body=body, content_type="text/html"))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto("http://book.test/chapter.html")
    assert tab.locator(".fl-curve").count() > 4
    kinds = ("http://book.test/", "data:")
    assert [url for url in asked if not url.startswith(kinds)] == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_and_axe_finds_nothing(theme, width, open_page: Open, static):
    tab = open_page(*map(html, static), theme=theme, width=width)
    for control in ("Home", "End"):
        tab.get_by_role("slider", name="time t").press(control)
        tab.get_by_role("slider", name="epoch").press(control)
        tab.locator("select").select_option(str(int(control == "End")))
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert findings(tab) == []


# ---------------------------------------------------------------- the regularization path explorer

EVALUATE = """async ([url, settings, p, times]) => {
  const { issAt, lassoAt, sameSupport } = await import(url);
  return settings.map((setting) => times.map((t) => {
    const lam = sameSupport(setting, p, t);
    return [issAt(setting, p, t), lassoAt(setting, p, 1 / t), lam,
            lassoAt(setting, p, lam ?? 1 / t)];
  }));
}"""


def test_both_paths_in_the_page_are_the_librarys(open_page: Open, paths: PathExplorer):
    """Coefficients, errors and the matched weight at 240 times of all 9 settings, to 1e-6."""
    tab = open_page(html(paths))
    times = np.geomspace(paths.t_min, 1.1 * paths.t_max, 240).tolist()
    settings = paths._state["settings"]
    found = tab.evaluate(EVALUATE, [module("paths.js"), settings, len(TRUTH), times])
    matched = 0
    for both, rows in zip(paths.paths, found, strict=True):
        for t, (iss, lasso, lam, beside) in zip(times, rows, strict=True):
            weight = both.same_support(t)
            assert (lam is None) == (weight is None)
            matched += weight is not None
            wanted = [
                (iss, both.iss_at(t)),
                (lasso, both.lasso_at(1 / t)),
                (beside, both.lasso_at(weight or 1 / t)),
            ]
            for value, beta in wanted:
                assert value["beta"] == pytest.approx(beta.tolist(), abs=1e-6)
                assert value["error"] == pytest.approx(both.error(beta), abs=1e-6)
                assert sorted(value["inside"]) == beta.nonzero()[:, 0].tolist()
            assert lam == (weight and pytest.approx(weight, rel=1e-6))
    assert 200 < matched < len(times) * len(found), "both cases were tried"


def check_table(tab: Page, paths: PathExplorer, t: float, **options: object) -> None:
    """The table is what the library computes, as it is written."""
    at = paths.at(t, **options)
    for method in ("iss", "lasso"):
        for j in REAL:
            cell = tab.locator(f"[data-cell={method}-{j}]").text_content()
            assert cell == (minus(float(at[method][j])) if at[method][j] else "out")
        wrong = [paths.names[j] for j in at[method].nonzero()[:, 0].tolist() if not TRUTH[j]]
        said = tab.locator(f"[data-cell={method}-false]").text_content()
        assert said.startswith(", ".join(wrong[:5]) or "none")


def test_the_start_makes_the_point_in_the_page(open_page: Open, paths: PathExplorer):
    tab, t = open_page(html(paths)), paths._state["t"]
    check_table(tab, paths, t, compare="support")
    off = [
        float((paths.at(t, compare="support")[name] - TRUTH)[REAL].abs().mean())
        for name in ("iss", "lasso")
    ]
    assert "ISS has exactly the true support" in words(tab)
    assert f"off by {off[0]:.3f}" in words(tab)
    assert f"with the same support it is {off[1]:.2f}" in words(tab)
    assert tab.locator("img").count() == 0


def test_every_setting_is_shown_by_keyboard(open_page: Open, paths: PathExplorer):
    tab, t = open_page(html(paths)), paths._state["t"]
    noise = tab.get_by_role("slider", name="noise σ")
    correlation = tab.get_by_role("slider", name="correlation")
    noise.press("Home")
    for sigma in paths.grid["noise"]:
        assert noise.get_attribute("aria-valuetext") == f"{sigma:g}"
        correlation.press("Home")
        for rho in paths.grid["correlation"]:
            assert correlation.get_attribute("aria-valuetext") == f"{rho:g}"
            check_table(tab, paths, t, compare="support", noise=sigma, correlation=rho)
            correlation.press("ArrowRight")
        noise.press("ArrowRight")


def test_the_clock_moves_by_steps_and_by_knots(open_page: Open, paths: PathExplorer):
    tab = open_page(html(paths))
    clock = tab.get_by_role("slider", name="time t")
    clock.press("Home")
    assert "nothing is in yet" in words(tab)
    check_table(tab, paths, paths.t_min, compare="support")
    for k, knot in enumerate(paths.paths[paths._index(**paths.start)].iss.t.tolist()):
        clock.press("PageUp")
        check_table(tab, paths, knot * (1 + 1e-8), compare="support")
        assert clock.get_attribute("aria-valuetext") in words(tab)
        if k == 1:
            clock.press("PageDown")
            check_table(tab, paths, knot * (1 - 1e-8), compare="support")
            clock.press("PageUp")
    clock.press("PageUp")
    check_table(tab, paths, knot * (1 + 1e-8), compare="support")
    clock.press("End")
    check_table(tab, paths, paths.t_max, compare="support")
    clock.press("ArrowLeft")
    before = paths.t_max * (paths.t_min / paths.t_max) ** (1 / 400)
    check_table(tab, paths, before, compare="support")


def test_the_lasso_beside_is_a_choice(open_page: Open, paths: PathExplorer):
    tab, t = open_page(html(paths)), paths._state["t"]
    tab.get_by_role("radio", name="λ = 1/t").check()
    check_table(tab, paths, t, compare="time")
    assert f"λ = {1 / t:.2f}" in tab.locator(".fl-panel-lasso .fl-note").text_content()
    assert "for the LASSO at λ = 1/t" in words(tab)
    tab.get_by_role("radio", name="λ = 1/t").press("ArrowLeft")
    check_table(tab, paths, t, compare="support")
    assert "(same support)" in tab.locator(".fl-panel-lasso .fl-note").text_content()


def test_a_support_that_the_lasso_never_has_is_said(open_page: Open, paths: PathExplorer):
    index, both = next(
        (i, both) for i, both in enumerate(paths.paths)
        if any(both.same_support(float(t) * 1.001) is None for t in both.iss.t)
    )  # fmt: skip
    knot = next(float(t) for t in both.iss.t if both.same_support(float(t) * 1.001) is None)
    tab = open_page(html(paths))
    for name, at in (("noise σ", index // 3), ("correlation", index % 3)):
        tab.get_by_role("slider", name=name).fill(str(at))
    clock = tab.get_by_role("slider", name="time t")
    clock.press("Home")
    for _ in range(int((both.iss.t <= knot).sum())):
        clock.press("PageUp")
    assert "LASSO has this support at no λ" in words(tab)
    assert "no λ has the same support" in tab.locator(".fl-panel-lasso .fl-note").text_content()


def place_of(tab: Page, panel: str, t: float, paths: PathExplorer) -> tuple[float, float]:
    """Where a time is on a panel's axis."""
    axis = tab.locator(f".fl-panel-{panel} .fl-axis").bounding_box()
    share = np.log(t / paths.t_min) / np.log(paths.t_max / paths.t_min)
    return axis["x"] + share * axis["width"], axis["y"] - 60


@pytest.mark.parametrize("panel", ["iss", "lasso", "error"])
def test_the_time_is_dragged_in_every_panel(panel: str, open_page: Open, paths: PathExplorer):
    tab = open_page(html(paths), width=800)
    clock = tab.get_by_role("slider", name="time t")
    tab.mouse.move(*place_of(tab, panel, 1.0, paths))
    tab.mouse.down()
    for t in (1.0, 5.0, 0.6):
        tab.mouse.move(*place_of(tab, panel, t, paths), steps=3)
        said = float(clock.get_attribute("aria-valuetext"))
        assert said == pytest.approx(t, rel=0.03), "a pixel is one percent"
        cursor = tab.locator(f".fl-panel-{panel if panel != 'lasso' else 'iss'} .fl-cursor").first
        assert cursor.bounding_box()["x"] == pytest.approx(
            place_of(tab, panel if panel != "lasso" else "iss", t, paths)[0], abs=2.5
        )
    tab.mouse.move(5, place_of(tab, panel, 1.0, paths)[1])
    assert float(clock.get_attribute("aria-valuetext")) == pytest.approx(paths.t_min, abs=1e-3)
    tab.mouse.up()
    tab.mouse.move(*place_of(tab, panel, 3.0, paths))
    said = float(clock.get_attribute("aria-valuetext"))
    assert said == pytest.approx(paths.t_min, abs=1e-3), "not after the drop"


def test_a_curve_that_is_pointed_at_says_its_name(open_page: Open, paths: PathExplorer):
    tab, t = open_page(html(paths)), paths._state["t"]
    tip = tab.locator(".fl-panel-iss .fl-tip")
    assert tip.is_hidden()
    dots = tab.locator(".fl-panel-iss .fl-dot").all()
    said = []
    for dot in dots:
        box = dot.bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        said.append(tip.text_content())
        assert tab.locator(".fl-panel-iss .fl-pointed").count() == 1
    at = paths.at(t)["iss"]
    wanted = {
        f"{paths.names[j]}: ISS {minus(float(at[j]))}, truth {TRUTH[j]:g}".replace("-", "−")
        for j in REAL
    }
    assert set(said) == wanted
    tab.mouse.move(5, 5)
    assert tip.is_hidden()
    box = tab.locator(".fl-panel-error .fl-dot").first.bounding_box()
    tab.mouse.move(box["x"] + 3, box["y"] + 3)
    error = paths.at(t)["iss_error"]
    assert (
        tab.locator(".fl-panel-error .fl-tip")
        .text_content()
        .startswith(f"ISS: prediction error {error:.3f}")
    )


# ---------------------------------------------------------------- filters entering

RECORDED = """async ([url, layers]) => {
  const { filterAt, inSince } = await import(url);
  return layers.map((layer) => layer.inside.map((bits, k) => [...bits].map((_, g) =>
    [filterAt(layer, k, g), inSince(layer.inside, k, g)])));
}"""


def test_every_filter_at_every_moment_is_the_recorded_one(open_page: Open, run: FiltersEntering):
    tab, given = open_page(html(run)), record()
    layers = run._state["layers"]
    found = tab.evaluate(RECORDED, [module("filters.js"), layers])
    for layer, moments in zip(layers, found, strict=True):
        w, mask = given["filters"][layer["name"]], run.inside[layer["name"]]
        wanted = w[:, :, 0].flatten(2) if layer["shape"] == [5, 5] else w.flatten(2).norm(dim=2)
        values = torch.tensor([[row[0] for row in moment] for moment in moments])
        gap = (values.view(wanted.shape) - wanted).abs().max()
        assert float(gap) <= 0.51 * layer["scale"] / 127, "half of one of 127 steps"
        for k, moment in enumerate(moments):
            for g, (_, since) in enumerate(moment):
                assert (since is not None) == bool(mask[k, g])
                if since is not None:
                    assert bool(mask[since : k + 1, g].all())
                    assert since == 0 or not bool(mask[since - 1, g])


def check_moment(tab: Page, run: FiltersEntering, k: int, layer: str) -> None:
    """Tiles, table, accuracies and words at one moment."""
    inside = run.inside[layer][k]
    assert tab.locator(".fl-tile").count() == len(inside)
    lit = tab.locator(".fl-tile").evaluate_all("(all) => all.map((t) => t.matches('.fl-in'))")
    assert lit == inside.tolist()
    assert f"{int(inside.sum())} of {len(inside)} filters of {layer} are in" in words(tab)
    for part in run.parts:
        count, share = part["in"][k], part["in"][k] / part["all"]
        name = part["name"]
        said = tab.locator(f"[data-count={name}]").text_content()
        assert said == f"{count} of {part['all']} {part['unit']}"
        assert tab.locator(f"[data-share={name}]").text_content() == percent(share)
    for i, (name, row) in enumerate(run.curves.items()):
        said = tab.locator(f"[data-curve='{i}']").text_content()
        assert said == f"{name} {percent(row[k])}"
        assert f"{name} {percent(row[k], ' ')}" in words(tab)


def test_every_moment_of_every_layer_by_keyboard(open_page: Open, run: FiltersEntering):
    tab = open_page(html(run))
    check_moment(tab, run, run._state["index"], "conv1")
    clock = tab.get_by_role("slider", name="epoch")
    for at, layer in enumerate(run.weights):
        tab.locator("select").select_option(str(at))
        clock.press("Home")
        for k, t in enumerate(run.time):
            assert float(clock.get_attribute("aria-valuetext")) == pytest.approx(t, abs=1e-2)
            check_moment(tab, run, k, layer)
            clock.press("ArrowRight")


def test_page_keys_jump_from_entrance_to_entrance(open_page: Open, run: FiltersEntering):
    tab = open_page(html(run))
    clock = tab.get_by_role("slider", name="epoch")
    clock.press("Home")
    entered = sorted({t for t in run.entries("conv1") if t is not None})
    for t in entered:
        clock.press("PageUp")
        assert "just entered" in words(tab)
        check_moment(tab, run, run.time.index(t), "conv1")
    clock.press("PageUp")
    check_moment(tab, run, run.time.index(entered[-1]), "conv1")
    for t in reversed(entered[:-1]):
        clock.press("PageDown")
        check_moment(tab, run, run.time.index(t), "conv1")
    clock.fill("16")
    assert "Filter 2 just left" in words(tab)


def test_the_time_is_dragged_on_both_charts(open_page: Open, run: FiltersEntering):
    tab = open_page(html(run))
    for axis in tab.locator(".fl-axis").all():
        box = axis.bounding_box()
        tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] - 40)
        tab.mouse.down()
        check_moment(tab, run, 10, "conv1")
        tab.mouse.move(box["x"] + 0.26 * box["width"], box["y"] - 40, steps=3)
        check_moment(tab, run, 5, "conv1")
        tab.mouse.move(box["x"] + 2 * box["width"], box["y"] - 40)
        check_moment(tab, run, 20, "conv1")
        tab.mouse.up()
        tab.mouse.move(box["x"], box["y"] - 40)
        check_moment(tab, run, 20, "conv1")


def test_a_tile_and_a_curve_say_what_they_are(open_page: Open, run: FiltersEntering):
    tab = open_page(html(run))
    k = run._state["index"]
    norms = record()["filters"]["conv1"][k].flatten(1).norm(dim=1)
    for g, tile in enumerate(tab.locator(".fl-tile svg").all()):
        said = tile.get_attribute("aria-label")
        state = "in since" if run.inside["conv1"][k, g] else "out of the support"
        assert said.startswith(f"filter {g + 1}: {state}")
        norm = float(said.rsplit(" ", 1)[1])
        assert norm == pytest.approx(float(norms[g]), abs=0.02), "as far as bytes carry"
    dots = tab.locator(".fl-dot").all()
    box = dots[0].bounding_box()
    tab.mouse.move(box["x"] + 3, box["y"] + 3)
    tip = tab.locator(".fl-tip:not([hidden])")
    assert tip.text_content() == f"dense: {percent(run.curves['dense'][k])}"
