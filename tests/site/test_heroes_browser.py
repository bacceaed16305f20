"""The hero figures of Parts III and IV in a browser: exact, by keyboard, by mouse, on a phone."""

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
from toy_heroes import STEPS, TRUTH, explorer, filters, multitude, personal, record

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from fedlearn_book.widgets import FiltersEntering, PathExplorer, PersonalExplorer

Open = Callable[..., "Page"]
REAL = TRUTH.nonzero()[:, 0].tolist()


@pytest.fixture(scope="module")
def static() -> tuple[PathExplorer, FiltersEntering, PersonalExplorer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLEARN_FIGURES", "static")
        return explorer(), filters(), personal()


@pytest.fixture(scope="module")
def paths(static) -> PathExplorer:
    return static[0]


@pytest.fixture(scope="module")
def run(static) -> FiltersEntering:
    return static[1]


@pytest.fixture(scope="module")
def own(static) -> PersonalExplorer:
    return static[2]


@pytest.fixture(scope="module")
def crowd() -> PersonalExplorer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLEARN_FIGURES", "static")
        return multitude()


def html(shown) -> str:
    return shown.bundle["text/html"]


def words(tab: Page) -> str:
    return tab.locator(".fl-say").text_content().replace("\xa0", " ")


def percent(share: float, space: str = "\xa0") -> str:
    """As JavaScript writes it: halves go up."""
    return f"{Decimal(100 * share).quantize(Decimal('0.1'), ROUND_HALF_UP)}{space}%"


def minus(number: float) -> str:
    return f"{number:.3f}".replace("-", "−")


@pytest.mark.parametrize("which", [0, 1, 2])
def test_without_scripts_the_still_stands(which: int, open_page: Open, static):
    tab = open_page(html(static[which]), java_script_enabled=False)
    assert tab.locator("img").bounding_box()["width"] > 300
    assert tab.locator("input:visible, select:visible").count() == 0


@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_figure_draws_over_http_and_asks_for_nothing(which: int, new_context, static):
    tab, asked = new_context().new_page(), []
    body = html_of((html(static[which]),), "light")
    tab.route("http://book.test/**", lambda r: r.fulfill(body=body, content_type="text/html"))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto("http://book.test/chapter.html")
    assert tab.locator(".fl-curve, .fl-event").count() > 4
    kinds = ("http://book.test/", "data:")
    assert [url for url in asked if not url.startswith(kinds)] == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_and_axe_finds_nothing(theme, width, open_page: Open, static):
    tab = open_page(*map(html, static), theme=theme, width=width)
    for control in ("Home", "End"):
        for name in ("time t", "epoch", "path time t", "s", "Cy’s intercept moved by"):
            tab.get_by_role("slider", name=name, exact=True).press(control)
        for select in tab.locator("select").all():
            select.select_option(str(int(control == "End")))
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


# ---------------------------------------------------------------- from one to everybody's own

SHARED = """async ([url, settings, times]) => {
  const { pathAt, lassoAt } = await import(url);
  return settings.map((row) => row.map((setting) => times.map((t) =>
    [pathAt(setting, t), lassoAt(setting, t)])));
}"""
FAR = "Cy’s intercept moved by"


def clock_of(tab: Page):
    return tab.get_by_role("slider", name="path time t")


def test_path_accounts_and_lasso_in_the_page_are_the_librarys(open_page: Open, own):
    """Models, accounts, wishes, errors and the LASSO at 120 times of all 9 paths, to 1e-6."""
    tab = open_page(html(own))
    times = [0.0, *np.geomspace(0.005, own.t_max, 119).tolist()]
    found = tab.evaluate(SHARED, [module("personal.js"), own._state["settings"], times])
    for s, row in zip(own.grid["s"], found, strict=True):
        for far, rows in zip(STEPS, row, strict=True):
            for t, (at, lasso) in zip(times, rows, strict=True):
                wanted = own.at(t, far=far, s=s)
                for name in ("w", "delta", "V", "wish", "error"):
                    assert at[name] == pytest.approx(wanted[name].flatten().tolist(), 1e-8, 1e-6)
                assert lasso == pytest.approx(wanted["lasso"].tolist(), rel=1e-8, abs=1e-6)


def check_people(tab: Page, own: PersonalExplorer, t: float, far: float, s: float) -> None:
    """Gauges, numbers in use, errors and words at one time are what the library computes."""
    at, one = own.at(t, far=far, s=s), own._of(far, s=s)
    j = int(tab.locator("select").input_value())
    for i in range(4):
        for k in range(3):
            cell = tab.locator(f"[data-cell='{3 * i + k}']")
            gone, full = float(at["delta"][i, k]), float(at["V"][i, k].abs())
            said = cell.locator(".fl-said").text_content().replace("−", "-")
            width = cell.locator("i").evaluate("(el) => parseFloat(el.style.width)")
            if gone:
                assert float(said) == pytest.approx(gone, abs=0.51)
                assert width == 100
            else:
                assert int(said.split("\u2009")[0]) == int(100 * full + 1e-6)
                assert width == pytest.approx(100 * full, abs=0.06)
            assert ("fl-own" in (cell.get_attribute("class") or "").split()) == bool(gone)
    texts = tab.locator(".fl-panels svg text.fl-strong, .fl-panels svg text.fl-head").all()
    said = [text.text_content().replace("−", "-") for text in texts]
    shown = [*at["error"].tolist(), *(at["w"] + at["delta"])[:, j].tolist()]
    shown += [float(at[name][j]) for name in ("mean", "lasso", "w")]
    numbers = [float(text) for text in said if not text.endswith("→")]
    assert sorted(numbers) == pytest.approx(sorted(shown), rel=5e-3, abs=6e-4)
    count = int((at["delta"] != 0).sum())
    assert f"{count or 'none'} of 12 numbers {'is' if count == 1 else 'are'} personal" in words(tab)
    later = [float(knot) for knot in one.path.t if knot > t]
    assert ("Next:" in words(tab)) == bool(later)
    shares = int((at["delta"][:, j] == 0).sum())
    how = {
        4: "the mean of what all 4",
        3: "a trimmed mean: of what the 3",
        2: "mean: of what the 2",
    }
    assert how.get(shares, "the weighted median of the numbers in use") in words(tab)
    assert f"mean over clients: {at['error'].mean():.3f}" in words(tab)


def test_every_event_of_every_setting_by_keyboard(open_page: Open, own: PersonalExplorer):
    tab = open_page(html(own))
    for at, s in enumerate(own.grid["s"]):
        tab.get_by_role("slider", name="s", exact=True).fill(str(at))
        for step, far in enumerate(STEPS):
            tab.get_by_role("slider", name=FAR).fill(str(step))
            clock_of(tab).press("Home")
            check_people(tab, own, 0.0, far, s)
            for knot in own._state["settings"][at][step]["t"][1:]:
                clock_of(tab).press("PageUp")
                tab.locator("select").select_option(str(step))
                check_people(tab, own, knot * (1 + 1e-8), far, s)
            end = words(tab)
            clock_of(tab).press("PageUp")
            assert words(tab) == end
            if own._state["settings"][at][step]["t"][1:]:
                clock_of(tab).press("PageDown")
                assert "Next:" in words(tab)


def test_the_start_names_who_left_and_who_is_next(open_page: Open, own: PersonalExplorer):
    tab, t = open_page(html(own)), own._state["t"]
    check_people(tab, own, t, 0, 1)
    second = float(own._of(0).path.t[2])
    assert f"Next: Ann’s dose at t = {second:.3f}" in words(tab)
    assert tab.locator(".fl-next").get_attribute("data-cell") == "2"
    assert tab.locator(".fl-event").count() == 9
    assert tab.locator(".fl-event:not(.fl-later)").count() == 1
    assert tab.locator(".fl-far").text_content() == ""
    assert tab.locator("img").count() == 0


UPCOMING = """async ([url, setting, options]) => {
  const { upcoming } = await import(url);
  return [0, 1, 2].map((k) => upcoming(setting, k, options));
}"""


def test_who_leaves_and_who_comes_back_is_said(open_page: Open, own: PersonalExplorer):
    tab = open_page(html(own))
    setting = {
        "t": [0, 2, 30],
        "delta": [[], [0, 1.5, 4, 2.5], [4, 2.5, 5, 1.0]],
        "pull": [[1, 1]] * 3,
    }
    options = {"names": ["Ann", "Bo"], "numbers": ["intercept", "age", "dose"]}
    assert tab.evaluate(UPCOMING, [module("personal.js"), setting, options]) == [
        "Next: Ann’s intercept and 1 more at t = 2.00.",
        "Next: Bo’s dose, Ann’s intercept shared again at t = 30.0.",
        "Nothing else happens on this axis.",
    ]


def test_a_client_is_dragged_away(open_page: Open, own: PersonalExplorer):
    """The mean runs off the axis; the words say from where to where for all three."""
    tab, t = open_page(html(own)), own._state["t"]
    assert tab.locator(".fl-panels path").count() == 0
    tab.get_by_role("slider", name=FAR).press("End")
    near, far = own.at(t), own.at(t, far=100)
    said = tab.locator(".fl-far").text_content()
    assert said.startswith("With Cy’s intercept 100 further the plain mean goes ")
    for name in ("mean", "lasso", "w"):
        ends = [float(side[name][0]) for side in (near, far)]
        written = [f"{v:.3f}" if abs(v) < 10 else f"{v:.1f}" for v in ends]
        assert f"from {written[0]} to {written[1]}" in said
    assert float(far["mean"][0] - near["mean"][0]) > 10
    assert abs(float(far["w"][0] - near["w"][0])) < 1e-6
    assert tab.locator(".fl-panels path").count() >= 2, "the mean and Cy are beyond the axis"


def test_less_heterogeneity_moves_the_events_to_the_right(open_page: Open, own):
    tab = open_page(html(own))

    def places() -> list[float]:
        return tab.locator(".fl-event").evaluate_all("(all) => all.map((e) => e.cx.baseVal.value)")

    whole = places()
    tab.get_by_role("slider", name="s", exact=True).press("ArrowLeft")
    half = places()
    moves = [b - a for a, b in zip(whole, half, strict=True)]
    assert min(moves) > 10
    assert max(moves) - min(moves) < 0.5, "a factor is one distance on a logarithmic axis"
    tab.get_by_role("slider", name="s", exact=True).press("Home")
    assert places() == []
    assert "everybody has a model of their own" in words(tab)


def test_the_time_is_dragged_on_the_lanes(open_page: Open, own: PersonalExplorer):
    tab = open_page(html(own), width=800)
    box = tab.locator(".fl-personal .fl-axis").first.bounding_box()

    def place(t: float) -> tuple[float, float]:
        """Straight from 0 to where the logarithms begin, at 6 %."""
        later = 0.06 + 0.94 * np.log(max(t, own.low) / own.low) / np.log(own.t_max / own.low)
        at = 0.06 * t / own.low if t < own.low else later
        return box["x"] + at * box["width"], box["y"] - 20

    tab.mouse.move(*place(1.0))
    tab.mouse.down()
    cursor = tab.locator(".fl-personal .fl-cursor")
    for t in (1.0, 30.0, 0.1, 0.5):
        tab.mouse.move(*place(t), steps=3)
        assert cursor.bounding_box()["x"] == pytest.approx(place(t)[0], abs=1.5)
        assert float(clock_of(tab).get_attribute("aria-valuetext")) == pytest.approx(t, 0.03, 0.01)
    tab.mouse.move(5, place(1.0)[1])
    assert clock_of(tab).get_attribute("aria-valuetext") == "0"
    tab.mouse.move(2000, place(1.0)[1])
    assert float(clock_of(tab).get_attribute("aria-valuetext")) == pytest.approx(own.t_max, 1e-3)
    tab.mouse.up()


def test_a_row_of_gauges_chooses_the_number(open_page: Open):
    tab = open_page(html(personal(t=0.4)))
    tab.locator(".fl-gauges tbody tr").nth(2).click()
    assert tab.locator("select").input_value() == "2"
    assert "The shared dose" in words(tab)


@pytest.mark.parametrize("theme", THEMES)
def test_the_most_that_is_allowed_fits_on_a_phone(theme: str, open_page: Open, crowd):
    """Eight clients and six numbers, all words as long as they may be."""
    tab = open_page(html(crowd), theme=theme, width=390)
    for key in ("Home", "End"):
        clock_of(tab).press(key)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        small = tab.locator(".fl-personal text, .fl-personal th, .fl-personal td").evaluate_all(
            "(all) => Math.min(...all.map((el) => parseFloat(getComputedStyle(el).fontSize)))"
        )
        assert small >= 9
        for svg in tab.locator(".fl-personal svg").all():
            scale = svg.evaluate("(el) => el.clientWidth / el.viewBox.baseVal.width")
            assert scale > 0.97, "letters are drawn as large as they are asked for"
        over = tab.locator(".fl-gauges td, .fl-gauges th").evaluate_all(
            "(all) => all.filter((el) => el.scrollWidth > el.clientWidth + 1).length"
        )
        assert over == 0
        assert findings(tab) == []
