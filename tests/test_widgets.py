"""The interactive figures without a browser: bundles, limits, errors, live controls."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from fedlearn_book.widgets import (
    HeterogeneityExplorer,
    MetaLandscape,
    Setting,
    explore,
    frames,
    grid,
    is_live,
    mean_label_tv,
    page,
)
from fedlearn_lib.data.partition import partition_dirichlet, partition_iid
from fedlearn_lib.federated.heterogeneity import total_variation

ALT = "A line of slope tau times eta."


def line(eta: float, tau: int) -> Figure:
    fig = Figure(figsize=(4, 2.5))
    ax = fig.subplots()
    ax.plot([0, 1], [0, eta * tau], color="#0072B2")
    ax.set(ylim=(0, 10), title=f"slope {eta * tau:.3g}")
    return fig


@pytest.fixture(autouse=True)
def _static(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLEARN_FIGURES", "static")


def png(bundle: dict) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(bundle["image/png"], validate=True)))


# ---------------------------------------------------------------- explore, in a page


def test_explore_gives_one_bundle_with_the_page_the_print_and_the_words():
    shown = explore(line, eta=[0.1, 1.0], tau=[1, 2, 5], alt=ALT, start={"eta": 0.1, "tau": 5})
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert bundle["text/plain"] == "A line of slope tau times eta. (η = 0.1, τ = 5)"
    assert png(bundle).size == (4 * 165, int(2.5 * 165))
    html = bundle["text/html"]
    assert html.count('type="range"') == html.count('data-lm-suppress-shortcuts="true"') == 2
    assert html.count('aria-live="polite"') == html.count("</output>") == 2
    assert html.count('<svg class="fl-view ') == html.count('role="img"') == 2
    assert html.count('aria-label="A line of slope tau times eta. (η = 0.1, τ = 5)"') == 2
    assert not re.search(r"\son\w+=", html), "inline event handlers"
    assert not re.search(r"https?://", html), "nothing may be fetched"


def drawn(html: str) -> dict:
    """The state of a figure of drawings."""
    return json.loads(re.search(r'\}\)\("f[0-9a-f]{6}",(.*)\)</script>$', html, re.S)[1])


def test_every_drawing_is_the_figure_of_its_point():
    """The line's end is where matplotlib puts it, to a tenth of a point, in both widths."""
    shown = explore(line, eta=[0.1, 1.0], tau=[1, 10], alt=ALT, start={"eta": 1.0, "tau": 1})
    html = shown.bundle["text/html"]
    state = drawn(html)
    start = re.findall(r'<svg class="fl-view.*?>(.*?)</svg>', html, re.S)
    assert [[frame is None for frame in film] for film in state["frames"]] == 2 * [
        [False, False, True, False]
    ]
    for film, first, shape in zip(state["frames"], start, ((4, 2.5), (4.1, 2.5)), strict=True):
        for frame, values in zip(film, shown.values(), strict=True):
            svg = first if frame is None else "".join(state["parts"][k] for k in frame)
            figure = line(**values)
            figure.set_size_inches(shape)
            figure.dpi = 72
            (x0, y0), (x1, y1) = figure.axes[0].transData.transform(
                [(0, 0), (1, values["eta"] * values["tau"])]
            )
            high = 72 * shape[1]
            a, b = round(10 * x0), round(10 * (high - y0))
            c, d = round(10 * x1) - a, round(10 * (high - y1)) - b
            assert re.search(rf'd="m{a} {b}l{c} ?{d}"', svg)


@pytest.fixture
def _pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_DRAWN", 0)


@pytest.mark.usefixtures("_pixels")
def test_every_frame_is_the_figure_of_its_point():
    shown = explore(line, eta=[0.1, 1.0], tau=[1, 10], alt=ALT, start={"eta": 1.0, "tau": 1})
    html = shown.bundle["text/html"]
    start = re.search(r'src="data:image/webp;base64,([^"]+)"', html)[1]
    listed = re.search(r'"frames":\[(.*?)\]', html)[1].replace('"', "").split(",")
    assert [bool(frame) for frame in listed] == [True, True, False, True]
    listed[2] = start
    for frame, values in zip(listed, shown.values(), strict=True):
        image = Image.open(io.BytesIO(base64.b64decode(frame))).convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image)
        dpi = image.width / 4
        sharp = Image.open(io.BytesIO(frames.to_png(line(**values), dpi))).convert("RGB")
        gap = torch.tensor(list(paper.convert("RGB").tobytes())).float() - torch.tensor(
            list(sharp.tobytes())
        )
        assert gap.abs().mean() < 1.0
        assert gap.abs().max() < 90
        assert image.getpixel((2, 2))[3] == 0, "the ground is clear"


def test_white_stays_white_beside_many_grays():
    fig = Figure(figsize=(5.6, 2.3))
    ax = fig.subplots()
    for i in range(8):
        arrow = {"arrowstyle": "->", "color": "#9CA3AF"}
        ax.annotate("", (i, 0), (i + 1, 1), arrowprops=arrow)
    sharp = frames.to_png(fig, 165)
    before = np.asarray(Image.open(io.BytesIO(sharp)).convert("RGB"))
    after = np.asarray(frames.quantize(sharp).convert("RGB"))
    white = (before == 255).all(-1)
    assert white.mean() > 0.5
    assert (after[white] == 255).all()
    clear = np.asarray(Image.open(io.BytesIO(frames.frame(sharp))).convert("RGBA"))[..., 3] == 0
    assert clear[white].all()


def test_two_calls_give_the_same_bytes_and_another_figure_another_id():
    first, again = (explore(line, eta=[0.1, 1.0], tau=[1, 2], alt=ALT).bundle for _ in range(2))
    other = explore(line, eta=[0.1, 1.0], tau=[1, 3], alt=ALT).bundle
    key = r'<figure class="fl-figure fl-vector" id="(f[0-9a-f]{6})">'
    assert first == again
    assert re.search(key, first["text/html"])[1] != re.search(key, other["text/html"])[1]


def test_words_may_depend_on_the_values():
    shown = explore(line, eta=[0.1, 1.0], tau=[1, 2], alt=lambda eta, tau: f"Slope {eta * tau:g}.")
    assert shown.bundle["text/plain"] == "Slope 2. (η = 1, τ = 2)"


def test_markup_in_words_stays_words():
    alt, labels = '<b>"A" & B</b></script>', {"eta": "<i>step</i>"}
    html = explore(line, eta=[0.1, 1.0], tau=[1, 2], alt=alt, labels=labels, caption="a<b").bundle[
        "text/html"
    ]
    assert "<b>" not in html
    assert "<i>" not in html
    assert html.count("</script>") == 1
    assert "<figcaption>a&lt;b</figcaption>" in html


def test_forty_one_frames_are_refused_before_any_is_drawn():
    def never(**_: float) -> Figure:
        raise AssertionError("drawn")

    with pytest.raises(ValueError, match=r"41 = 41 frames, at most 40.*shorter lists"):
        explore(never, x=list(range(41)), alt=ALT)


def test_a_heavy_figure_is_refused_with_its_weight():
    def noise(seed: int) -> Figure:
        fig = Figure(figsize=(3, 3))
        rows = torch.rand(300, 300, generator=torch.Generator().manual_seed(seed))
        fig.add_axes((0, 0, 1, 1)).imshow(rows.numpy(), cmap="gray")
        return fig

    with pytest.raises(ValueError, match=r"weighs \d{3,} kB in 8 frames, at most 300 kB.*fewer"):
        explore(noise, seed=list(range(8)), alt=ALT)


def test_a_figure_that_would_jump_is_refused():
    with pytest.raises(ValueError, match=r"2 sizes.*same figsize"):
        explore(lambda width: Figure(figsize=(width, 2)), width=[2, 3], alt=ALT)


def test_anything_but_a_figure_is_refused():
    def forgot(tau: int) -> None:
        line(1.0, tau)

    with pytest.raises(TypeError, match=r"forgot\(tau=1\) returned NoneType.*return fig"):
        explore(forgot, tau=[1, 2], alt=ALT)


def test_an_exception_in_draw_ends_the_call():
    def fails_late(tau: int) -> Figure:
        return line(1 / (2 - tau), tau)

    with pytest.raises(ZeroDivisionError):
        explore(fails_late, tau=[0, 1, 2], alt=ALT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": [1, 2], "alt": " "}, "alt must say in words"),
        ({"tau": [1], "alt": ALT}, "tau must be a list of two or more different values"),
        ({"tau": [1, 1], "alt": ALT}, "tau must be a list of two or more different values"),
        ({"tau": "12", "alt": ALT}, "tau must be a list of two or more different values"),
        ({"tau": [1, 2], "start": {"tau": 3}, "alt": ALT}, r"tau=3, which is not one of \[1, 2\]"),
        ({"tau": [1, 2], "start": {"eta": 1}, "alt": ALT}, "start names 'eta'"),
        ({"tau": [1, 2], "labels": {"eta": "η"}, "alt": ALT}, "labels names"),
        ({"alt": ALT}, "at least one parameter"),
    ],
)
def test_wrong_arguments_are_named(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        explore(lambda tau: line(1.0, tau), **options)


def test_values_of_numpy_and_torch_are_written_as_numbers():
    tau = torch.tensor([1, 2, 4])
    html = explore(lambda tau: line(1.0, tau), tau=tau, alt=ALT).bundle["text/html"]
    assert '"values":[["1","2","4"]]' in html
    assert grid.show(0.1 + 0.2) == "0.3"


def test_script_json_cannot_leave_its_script():
    assert "</" not in page.script_json(["</script><!--"])


def test_figures_are_taken_from_pyplot():
    from matplotlib import pyplot as plt

    def draw(tau: int) -> Figure:
        fig, ax = plt.subplots(figsize=(3, 2))
        ax.plot([0, tau])
        return fig

    before = plt.get_fignums()
    explore(draw, tau=[1, 2], alt=ALT)
    assert plt.get_fignums() == before, "an open figure would be shown a second time"


# ---------------------------------------------------------------- which front end


@pytest.mark.parametrize(
    ("environ", "modules", "live"),
    [
        ({}, (), False),
        ({"JPY_SESSION_NAME": "x.ipynb"}, (), True),
        ({"COLAB_RELEASE_TAG": "r"}, (), True),
        ({}, ("google.colab",), True),
        ({"VSCODE_PID": "3"}, (), True),
        ({"VSCODE_PID": "3", "FEDLEARN_FIGURES": "static"}, (), False),
        ({"FEDLEARN_FIGURES": "live"}, (), True),
    ],
)
def test_a_live_front_end_is_told_from_a_build(environ: dict, modules: tuple, live: bool):
    assert is_live(environ, modules) is live


def test_a_misspelled_wish_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEDLEARN_FIGURES", "dynamic")
    with pytest.raises(ValueError, match='"live", "static" or unset, got \'dynamic\''):
        explore(line, eta=[0.1, 1.0], tau=[1, 2], alt=ALT)


# ---------------------------------------------------------------- explore, with a kernel


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLEARN_FIGURES", "live")


@pytest.mark.usefixtures("live")
def test_controls_redraw_off_the_grid():
    seen = []

    def draw(eta: float, tau: int) -> Figure:
        seen.append((eta, tau))
        return line(eta, tau)

    shown = explore(draw, eta=[0.0, 0.5, 1.0], tau=[1, 2, 5], alt=ALT, caption="One line.")
    assert "application/vnd.jupyter.widget-view+json" in shown.bundle
    assert seen == [(0.5, 2)], "one figure now, the others when they are asked for"
    eta, tau, image, words, _ = shown.widget.children
    before = image.value
    eta.value = 0.37
    assert seen[-1] == (0.37, 2)
    assert image.value != before
    assert "η = 0.37, τ = 2" in words.value
    tau.value = 4
    assert seen[-1] == (0.37, 4)


@pytest.mark.usefixtures("live")
def test_an_exception_while_moving_is_shown_and_raised_and_goes_away():
    def draw(tau: int) -> Figure:
        return line(1 / (3 - tau), tau)

    slider, image, words = explore(draw, tau=[1, 2, 4], alt=ALT).widget.children
    with pytest.raises(ZeroDivisionError):
        slider.value = 3
    assert image.layout.display == "none"
    assert 'role="alert"' in words.value
    assert "ZeroDivisionError" in words.value
    slider.value = 4
    assert image.layout.display == ""
    assert "τ = 4" in words.value


@pytest.mark.usefixtures("live")
def test_a_slider_fits_its_values():
    from fedlearn_book.widgets.controls import control

    kinds = {
        "IntSlider": [1, 2, 3, 5],
        "FloatSlider": [0.1, 0.2, 0.3],
        "FloatLogSlider": [0.01, 0.1, 1.0, 10.0],
        "SelectionSlider": [0.0, 0.01, 0.1],
    }
    for kind, values in kinds.items():
        assert type(control("x", values, values[1])).__name__ == kind
        assert control("x", values, values[1]).value == pytest.approx(values[1])
    assert type(control("x", ["iid", "skewed"], "iid")).__name__ == "SelectionSlider"
    between = control("x", [1, 10, 100], 10).options
    assert {1, 10, 100} < set(between)
    assert all(a < b for a, b in pairwise(between))


# ---------------------------------------------------------------- the heterogeneity explorer


def settings_of(m: int = 6) -> list[Setting]:
    labels, generator = torch.arange(600) % 10, torch.Generator().manual_seed(0)
    made = [("iid", None, partition_iid(labels, m, generator=generator))]
    for alpha in (0.1, 1.0, 10.0):
        parts = partition_dirichlet(labels, m, alpha=alpha, generator=generator)
        made.append(("dirichlet", alpha, parts))
    out = []
    for kind, value, parts in made:
        counts = [labels[part].bincount(minlength=10).tolist() for part in parts]
        tv = mean_label_tv(counts)
        classes = [str(c) for c in range(10)]
        out.append(Setting(kind, value, counts, classes, tv, 2 * tv, 3 * tv, 0.9 - 0.4 * tv))
    return out


def test_the_hero_is_one_bundle_that_fetches_nothing():
    bundle = HeterogeneityExplorer(settings_of(), rounds=20).bundle
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    html = bundle["text/html"]
    assert len(html.encode()) <= 120_000
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)
    assert html.count("</script>") == 1
    assert "Dirichlet, α = 0.1 has total variation" in bundle["text/plain"]
    assert png(bundle).width > 600


def test_the_hero_is_the_same_twice():
    first, again = (HeterogeneityExplorer(settings_of()).bundle for _ in range(2))
    assert first == again


def test_the_hero_starts_where_it_hurts():
    settings = settings_of()
    worst = min(range(len(settings)), key=lambda i: settings[i].accuracy)
    assert HeterogeneityExplorer(settings).index == worst
    assert HeterogeneityExplorer(settings, index=0).index == 0


def test_mean_label_tv_is_the_librarys_total_variation():
    for setting in settings_of():
        counts = torch.tensor(setting.counts, dtype=torch.float64)
        n = counts.sum(1)
        laws, pool = counts / n[:, None], counts.sum(0) / counts.sum()
        tv = total_variation(laws, pool)
        assert mean_label_tv(setting.counts) == pytest.approx(float(tv @ n / n.sum()), abs=1e-12)
        tv = total_variation(laws, laws.mean(0))
        assert mean_label_tv(setting.counts, "equal") == pytest.approx(float(tv.mean()), abs=1e-12)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "skewed"}, r"settings\[1\].kind must be one of"),
        ({"tv": 0.5}, r"settings\[1\].tv is 0.500000, but its counts give"),
        ({"w1": float("nan")}, r"settings\[1\].w1 must be a finite number"),
        ({"counts": [[0] * 10, [1] * 10]}, "no client without samples"),
        ({"counts": [[1] * 9]}, "needs 10 counts"),
        ({"counts": [[1] * 10] * 21}, "21 clients and 10 classes; at most 20"),
        ({"kind": "iid", "value": None}, "more than once"),
        ({"clients": ["a", "b"]}, r"settings\[1\].clients must be 6 different names"),
    ],
)
def test_wrong_settings_are_named(changed: dict, message: str):
    settings = settings_of()
    settings[1] = settings[1]._replace(**changed)
    if "kind" in changed and changed["kind"] == "iid":
        settings[1] = settings[0]
    with pytest.raises(ValueError, match=message):
        HeterogeneityExplorer(settings)


def test_wrong_options_are_named():
    settings = settings_of()
    with pytest.raises(ValueError, match="index must be from 0 to 3, got 4"):
        HeterogeneityExplorer(settings, index=4)
    with pytest.raises(ValueError, match='weights must be "size" or "equal"'):
        HeterogeneityExplorer(settings, weights="n")
    with pytest.raises(ValueError, match="at least two splits"):
        HeterogeneityExplorer(settings[:1])
    with pytest.raises(ValueError, match=r"names has \['hessian'\]"):
        HeterogeneityExplorer(settings, names={"hessian": "γ_H"})


@pytest.mark.usefixtures("live")
def test_the_hero_talks_to_a_kernel():
    shown = HeterogeneityExplorer(settings_of(), index=2)
    assert set(shown.bundle) == {
        "application/vnd.jupyter.widget-view+json",
        "image/png",
        "text/plain",
    }
    assert shown.widget.settings[1]["value"] == 0.1
    shown.widget.set_state({"index": 3})  # what the front end sends
    assert shown.index == 3
    shown.index = 1
    assert shown.widget.index == 1
    with pytest.raises(ValueError, match="from 0 to 3, got 9"):
        shown.index = 9


def test_without_a_kernel_the_index_cannot_be_set():
    with pytest.raises(RuntimeError, match="pass index= instead"):
        HeterogeneityExplorer(settings_of()).index = 1


def test_importing_costs_no_front_end():
    code = (
        "import fedlearn_book.widgets, sys; "
        "print([m for m in ('matplotlib', 'ipywidgets', 'anywidget', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- the meta-gradient landscape


def landscape_of(bend: float = 1.0, **options: object) -> MetaLandscape:
    A = torch.tensor([[[3.2, 0.8], [0.8, 1.0]], [[0.5, 0.0], [0.0, 2.0]]])
    centers, p = torch.tensor([[-1.2, -0.4], [0.5, 1.5]]), torch.tensor([0.25, 0.75])
    return MetaLandscape(A, centers, bend * torch.tensor([0.8, 0.4]), p, alpha=0.2, **options)


def test_the_landscape_is_one_bundle_that_fetches_nothing():
    bundle = landscape_of().bundle
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert len(bundle["text/html"].encode()) <= 120_000
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", bundle["text/html"])
    assert bundle["text/html"].count("</script>") == 1
    assert "F, their mean loss after one step of size 0.2" in bundle["text/plain"]
    assert png(bundle).width > 600
    assert bundle == landscape_of().bundle, "the same bytes twice"


def test_the_landscape_starts_at_the_best_single_model():
    shown = landscape_of()
    w = shown._state["w"]
    found = shown.directions(w, 0.2, 0.3)
    assert np.hypot(*found["plain"]) < 1e-3 < 0.05 < np.hypot(*found["exact"])
    assert landscape_of(w=(1.0, -0.5))._state["w"] == [1.0, -0.5]


def test_standstills_are_the_closed_forms_on_quadratics():
    """Proposition 3.3: without the round part F's minimizer and FO's point are known on paper."""
    shown = landscape_of(bend=0.0)
    A = torch.cat([D[0] for D in shown.batches])
    centers = torch.cat([D[1][:, :2] for D in shown.batches])
    J = torch.eye(2) - 0.2 * A
    for mode, M in (("exact", J @ A @ J), ("fo", A @ J)):
        right = torch.einsum("i,iab,ib->a", shown.p, M, centers)
        wanted = torch.linalg.solve(torch.einsum("i,iab->ab", shown.p, M), right)
        assert shown.standstill(0.2, mode) == pytest.approx(wanted.tolist(), abs=1e-8)


def test_bent_quadratic_has_the_curvature_it_claims():
    batch = (
        torch.tensor([[[2.0, 0.5], [0.5, 1.0]]]).double(), torch.tensor([[0.3, -0.2, 1.5]]).double()
    )  # fmt: skip
    w = torch.tensor([1.0, 0.4], dtype=torch.float64)
    from fedlearn_book.widgets.landscape import bent_quadratic

    H = torch.autograd.functional.hessian(lambda v: bent_quadratic({"w": v}, batch), w)
    u = w - batch[1][0, :2]
    expected = batch[0][0] + torch.diag(1.5 * (1 - torch.tanh(u) ** 2))
    torch.testing.assert_close(H, expected, rtol=0, atol=1e-12)
    assert bent_quadratic({"w": 1000 * w}, batch).isfinite()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"A": torch.eye(2)[None]}, "two to four clients"),
        ({"bend": torch.tensor([1.0, -1.0])}, "bend non-negative"),
        ({"A": -torch.eye(2).expand(2, 2, 2)}, "least eigenvalue -1"),
        ({"p": torch.tensor([1.0, 1.0])}, "weights with sum one"),
        ({"alpha": 0.123}, "alpha must be one of"),
    ],
)
def test_a_wrong_landscape_is_named(changed: dict, message: str):
    right = {
        "A": torch.eye(2).expand(2, 2, 2), "centers": torch.zeros(2, 2), "bend": torch.zeros(2),
        "alpha": 0.2,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        MetaLandscape(**right | changed)


@pytest.mark.usefixtures("live")
def test_the_landscape_talks_to_a_kernel():
    shown = landscape_of()
    assert "application/vnd.jupyter.widget-view+json" in shown.bundle
    assert (shown.widget.alpha, shown.widget.delta) == (0.2, 0.3)
    assert shown.widget.clients[1]["p"] == 0.75
