"""The hero figures of Parts III and IV without a browser: what they compute, carry and refuse."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from toy_heroes import (
    ENTER,
    NAMES,
    NUMBERS,
    STEPS,
    TRUTH,
    explorer,
    filters,
    people,
    personal,
    problem,
    record,
)  # fmt: skip

from fedlearn_book.widgets import FiltersEntering, PathExplorer, PersonalExplorer, grid
from fedlearn_book.widgets.knots import Paths, paths_of
from fedlearn_book.widgets.personal_knots import personal_of
from fedlearn_lib import Clients
from fedlearn_lib.federated import personalization_path
from fedlearn_lib.sparse import certificate
from fedlearn_lib.sparse.path import Path

POINTS = [(noise, corr) for noise in (0.0, 0.4, 1.0) for corr in (0.0, 0.5, 0.8)]


@pytest.fixture(autouse=True)
def _static(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLEARN_FIGURES", "static")


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLEARN_FIGURES", "live")


@pytest.fixture(scope="module")
def shown() -> PathExplorer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLEARN_FIGURES", "static")
        return explorer()


@pytest.mark.parametrize("make", [explorer, filters, personal])
def test_a_hero_is_one_bundle_that_fetches_nothing(make):
    bundle = make().bundle
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    html = bundle["text/html"]
    assert len(html.encode()) <= 300_000
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)
    assert html.count("</script>") == 1
    assert bundle == make().bundle, "the same bytes twice"
    still = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"], validate=True)))
    assert still.width > 900
    assert len(bundle["text/plain"]) > 80


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("make", [explorer, filters, personal])
def test_a_hero_talks_to_a_kernel(make):
    bundle = make().bundle
    kernel = "application/vnd.jupyter.widget-view+json"
    assert set(bundle) == {kernel, "image/png", "text/plain"}


@pytest.mark.usefixtures("live")
def test_a_kernel_hears_and_guards_the_numbers():
    paths, run = explorer(), filters()
    paths.widget.set_state({"t": 1, "where": [2, 0], "compare": "time"})  # what the page sends
    assert (paths.widget.t, paths.widget.where, paths.widget.compare) == (1.0, [2, 0], "time")
    with pytest.raises(ValueError, match=r"t must be from 0\.\d+ to \d+.*, got 1000"):
        paths.widget.t = 1000.0
    run.widget.set_state({"index": 20, "layer": 1})
    assert (run.widget.index, run.widget.layer) == (20, 1)
    with pytest.raises(ValueError, match="layer must be from 0 to 1, got 2"):
        run.widget.layer = 2
    own = personal()
    own.widget.set_state({"t": 0, "setting": 1, "far": 2, "number": 1})
    assert (own.widget.t, own.widget.setting, own.widget.far, own.widget.number) == (0.0, 1, 2, 1)
    with pytest.raises(ValueError, match="far must be from 0 to 2, got 3"):
        own.widget.far = 3


# ---------------------------------------------------------------- the regularization path explorer


def test_the_start_makes_the_point(shown: PathExplorer):
    """The same support, that of the truth: ISS is the least-squares fit on it, LASSO is shrunk."""
    t = shown._state["t"]
    at = shown.at(t, compare="support")
    assert (at["iss"] != 0).equal(TRUTH != 0)
    assert (at["lasso"] != 0).equal(TRUTH != 0)
    X, y = problem(**shown.start)
    S = TRUTH.nonzero()[:, 0]
    fit = torch.linalg.lstsq(X[:, S], y[:, None]).solution[:, 0]
    torch.testing.assert_close(at["iss"][S], fit, rtol=0, atol=1e-10)
    assert bool((at["lasso"][S] * TRUTH[S].sign() < fit * TRUTH[S].sign()).all()), "all shrunk"
    off = [float((at[name] - TRUTH)[S].abs().mean()) for name in ("iss", "lasso")]
    assert off[0] < 0.5 * off[1]
    assert at["iss_error"] < at["lasso_error"] < shown.at(t)["lasso_error"]


def test_on_an_orthogonal_design_both_paths_are_known_on_paper():
    """ISS jumps to y_j at t = 1/|y_j|; the LASSO is y_j shrunk by 1/t, also between its knots."""
    y = torch.tensor([3.0, -2.0, 1.0, 0.5], dtype=torch.float64)
    both = paths_of(2 * torch.eye(4), 2 * y, torch.ones(4), 50.0)
    for t in torch.logspace(-1, 1.69, 97, dtype=torch.float64).tolist():
        jumped = torch.where(t >= 1 / y.abs(), y, 0)
        torch.testing.assert_close(both.iss_at(t), jumped, rtol=0, atol=1e-12)
        shrunk = y.sign() * (y.abs() - 1 / t).clamp(min=0)
        torch.testing.assert_close(both.lasso_at(1 / t), shrunk, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("noise", "correlation"), POINTS)
def test_both_paths_are_optimal_at_every_setting(noise, correlation, shown: PathExplorer):
    """ISS has its certificate; the LASSO's correlations are at most λ, and λ with sign where in."""
    paths = shown.paths[shown._index(noise=noise, correlation=correlation)]
    X, y = problem(noise, correlation)
    assert certificate(paths.iss, X, y).worst < 1e-8
    ends = float(paths.lam[0]), float(paths.lam[-1])
    for lam in np.geomspace(*ends, 60):
        beta = paths.lasso_at(float(lam))
        pull = X.T @ (y - X @ beta) / len(y)
        assert float(pull.abs().max()) <= lam + 1e-9
        inside = beta != 0
        torch.testing.assert_close(pull[inside], lam * beta[inside].sign(), rtol=0, atol=1e-9)
    assert not bool(paths.lasso_at(1.01 * ends[0]).any())


@pytest.mark.parametrize(("noise", "correlation"), POINTS)
def test_the_same_support_is_the_smallest_weight_that_has_it(noise, correlation, shown):
    """Against a search over 3,000 weights, at every piece of the ISS path."""
    paths = shown.paths[shown._index(noise=noise, correlation=correlation)]
    lams = np.geomspace(float(paths.lam[0]), float(paths.lam[-1]), 3000)
    supports = torch.stack([paths.lasso_at(float(lam)) != 0 for lam in lams])
    seen = 0
    for t in (paths.iss.t * 1.0001).tolist():
        wanted = paths.iss_at(t) != 0
        having = (supports == wanted).all(1).nonzero()[:, 0]
        lam = paths.same_support(t)
        if lam is None:
            assert not len(having)
            continue
        assert (paths.lasso_at(lam) != 0).equal(wanted)
        if len(having):
            seen += 1
            last = int(having[-1])  # a piece is at most lams[0] long, and 0.1 % of it is kept off
            assert lams[min(last + 1, 2999)] * (1 - 1e-9) <= lam <= lams[last] + 1e-3 * lams[0]
    assert seen >= 1


def test_a_piece_at_whose_end_one_leaves_has_it_until_then():
    """From λ = 2 to 1 both are in, though the second is zero again at 1."""
    t, both = torch.ones(1).double(), torch.ones(1, 2).double()
    lam = torch.tensor([4.0, 3.0, 2.0, 1.0]).double()
    lasso = torch.tensor([[0.0, 0], [1, 0], [1.5, 1], [2, 0]]).double()
    paths = Paths(torch.eye(2).double(), both[0], Path(t, both, both), lam, lasso)
    assert paths.same_support(1.0) == pytest.approx(2 - 0.999, abs=1e-12)
    alone = both * torch.tensor([1.0, 0.0])
    assert paths._replace(iss=Path(t, alone, alone)).same_support(1.0) == pytest.approx(3.001)


def test_a_path_that_lars_loses_is_refused():
    """Two coordinates that enter at the same time: scikit-learn 1.9 goes astray from there on."""
    y = 2 * torch.tensor([2.5, 0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match="LARS lost the LASSO's path before lambda = 0"):
        paths_of(2 * torch.eye(4), y, torch.ones(4), 45.0)


def test_before_the_first_knot_nothing_is_in(shown: PathExplorer):
    at = shown.at(shown.t_min, noise=1.0, compare="support")
    assert not bool(at["iss"].any())
    assert not bool(at["lasso"].any())
    X, _ = problem(1.0, 0.0)
    assert at["iss_error"] == pytest.approx(float((X @ TRUTH).square().mean()), rel=1e-12)


def test_one_slider_is_enough_and_a_time_can_be_given():
    only = PathExplorer(lambda noise: problem(noise, 0.0), TRUTH, noise=[0.1, 1.0], t=1.0,
                        compare="time", names=[f"x{j}" for j in range(12)])  # fmt: skip
    assert only._state["t"] == 1.0
    assert only._state["where"] == [1]
    assert only._state["options"]["grid"] == [["noise σ", ["0.1", "1"]]]
    assert "noise 1. At time 1" in only.bundle["text/plain"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"compare": "lambda"}, 'compare must be "support" or "time", got \'lambda\''),
        ({"t": 1e6}, "t must be between"),
        ({"noise": list(range(31))}, "at most 30 settings in all.*with 93"),
        ({"third": [1, 2]}, "one or two sliders"),
        ({"start": {"noise": 0.3}}, "noise=0.3, which is not one of"),
        ({"names": ["x"]}, "names as long"),
        ({"labels": {"sigma": "σ"}}, "labels names"),
    ],
)
def test_a_wrong_path_figure_is_named(changed: dict, message: str):
    with pytest.raises(ValueError, match=message):
        explorer(**changed)
    with pytest.raises(ValueError, match="coefficient that is not zero"):
        PathExplorer(problem, 0 * TRUTH, noise=[0.0, 1.0])


def test_a_heavy_path_figure_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fedlearn_book.widgets.paths.MAX_BYTES", 30_000)
    with pytest.raises(ValueError, match=r"weighs \d+ kB, at most 30 kB.*it has 9 settings"):
        explorer()


# ---------------------------------------------------------------- filters entering


def test_every_pixel_survives_as_a_byte():
    """Every moment of both layers, to half a step of 127; norms where channels are many."""
    shown, given = filters(), record()["filters"]
    for layer in shown._state["layers"]:
        w = given[layer["name"]]
        wanted = w[:, :, 0] if layer["shape"] == [5, 5] else w.flatten(2).norm(dim=2)
        data = np.frombuffer(base64.b64decode(layer["data"]), np.int8).astype(np.float64)
        found = torch.from_numpy(data / 127 * layer["scale"]).view(wanted.shape)
        assert float((found - wanted).abs().max()) <= 0.51 * layer["scale"] / 127
        assert layer["scale"] == pytest.approx(float(wanted.abs().max()), rel=1e-5)


def test_entries_and_shares_are_those_of_the_support():
    shown = filters()
    for name, times in ENTER.items():
        for found, wanted in zip(shown.entries(name), times, strict=True):
            if wanted > 4:
                assert found is None
            else:  # the first of the moments, 0.2 apart, that is not before
                assert wanted - 1e-4 <= found < wanted + 0.2
    parts = {part["name"]: part for part in shown.parts}
    assert [(p["unit"], p["all"]) for p in shown.parts] == [
        ("filters", 6), ("filters", 16), ("weights", 240)
    ]  # fmt: skip
    for name, gamma in record()["support"].items():
        inside = gamma != 0
        counts = inside.flatten(2).any(2).sum(1) if inside.ndim == 5 else inside.flatten(1).sum(1)
        assert parts[name]["in"] == counts.tolist()
    assert parts["conv1"]["in"][-1] == 4, "five came in, one left"


def test_a_filter_is_in_when_one_of_its_entries_is():
    one = torch.zeros(21, 6, 1, 5, 5)
    one[7:, 3, 0, 2, 4] = 1e-6
    shown = filters(support=record()["support"] | {"conv1": one}, start=0)
    assert shown.entries("conv1") == [None] * 3 + [shown.time[7]] + [None] * 2
    assert shown.parts[0]["in"] == [0] * 7 + [1] * 14


def test_a_mask_and_recorded_norms_do_as_well():
    given = record()
    norms = {name: w.flatten(2).norm(dim=2) for name, w in given["filters"].items()}
    mask = {name: g.flatten(2).any(2) for name, g in given["support"].items() if name != "fc1"}
    lean = filters(filters=norms, support=mask)
    assert [layer["shape"] for layer in lean._state["layers"]] == [[1, 1], [1, 1]]
    assert [layer["inside"] for layer in lean._state["layers"]] == [
        layer["inside"] for layer in filters()._state["layers"]
    ]


def test_the_run_starts_where_half_of_the_layer_is_in():
    shown = filters()
    inside = shown.inside["conv1"].sum(1)
    k = shown._state["index"]
    assert inside[k] >= 3 > inside[k - 1]
    assert filters(start=0)._state["index"] == 0
    assert filters(layer="conv2")._state["layer"] == 1
    never = record()
    never["support"] = never["support"] | {"conv1": 0 * never["support"]["conv1"]}
    assert FiltersEntering(**never)._state["index"] == 20


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"time": [0.0] * 21}, "2 to 200 increasing moments, got 21"),
        ({"time": [1.0]}, "increasing moments, got 1"),
        ({"filters": {}}, "at least one layer"),
        ({"filters": {"conv9": torch.ones(21, 6, 5, 5)}}, r"missing are \['conv9'\]"),
        ({"filters": {"conv1": torch.ones(21, 5, 5, 5)}}, r"filters\['conv1'\] must be \[K"),
        ({"filters": {"conv1": torch.full((21, 6), float("nan"))}}, "must be finite"),
        ({"curves": {"dense": [50.0] * 21}}, "pass shares, not percent"),
        ({"curves": {}}, "one to three lists of 21"),
        ({"layer": "fc1"}, r"layer must be one of \['conv1', 'conv2'\]"),
        ({"start": 21}, "start must be from 0 to 20, got 21"),
    ],
)
def test_a_wrong_run_is_named(changed: dict, message: str):
    with pytest.raises(ValueError, match=message):
        filters(**changed)
    short = record()
    short["support"] = short["support"] | {"fc1": torch.ones(20, 3)}
    with pytest.raises(ValueError, match=r"support\['fc1'\] must be \[K …\] with K = 21"):
        FiltersEntering(**short)


def test_the_grid_of_a_path_figure_is_that_of_every_figure(shown: PathExplorer):
    assert [tuple(point.values()) for point in grid.points(shown.grid)] == POINTS
    assert len(shown.paths) == len(POINTS)


# ---------------------------------------------------------------- from one to everybody's own


@pytest.fixture(scope="module")
def own() -> PersonalExplorer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLEARN_FIGURES", "static")
        return personal()


def data_of(s: float, far: float) -> Clients:
    """The training rows, with Cy's intercept dragged away."""
    train, _ = people(s)
    y = train.y.clone()
    y[2, : train.n[2]] += far
    return train._replace(y=y)


def pulls(clients: Clients, used: torch.Tensor) -> torch.Tensor:
    """The negative gradients at the models in use, [m d]."""
    rows = []
    for i in range(clients.m):
        x, y = clients.data(i)
        rows.append(x.T @ (y - x @ used[i]) / len(y))
    return torch.stack(rows)


CASES = [(s, far) for s in (0, 0.5, 1) for far in STEPS]


@pytest.mark.parametrize(("s", "far"), CASES)
def test_what_is_shown_solves_the_flow(s, far, own: PersonalExplorer):
    """At 60 times: accounts within 1, with sign where personal, balanced; the slope is the pull."""
    clients, step = data_of(s, far), 1e-7
    for t in np.geomspace(0.01, own.t_max, 60).tolist():
        at, later = own.at(t, far=far, s=s), own.at(t + step, far=far, s=s)
        pull = pulls(clients, at["w"] + at["delta"])
        assert float((clients.p.double() @ pull).abs().max()) < 1e-7  # p is in float32
        assert float((clients.p.double() @ at["V"]).abs().max()) < 1e-7
        assert float(at["V"].abs().max()) <= 1 + 1e-9
        gone = at["delta"] != 0
        torch.testing.assert_close(at["V"][gone], at["delta"][gone].sign(), rtol=0, atol=1e-9)
        slope = (later["V"] - at["V"]) / step
        torch.testing.assert_close(slope, pull, rtol=0, atol=1e-6 * (1 + far))


@pytest.mark.parametrize(("s", "far"), CASES)
def test_the_shared_number_is_the_mean_of_what_those_who_share_want(s, far, own):
    clients = data_of(s, far)
    square = torch.stack([clients.data(i)[0].square().mean(0) for i in range(4)])
    for t in [0.0, *np.geomspace(0.01, own.t_max, 30).tolist()]:
        at = own.at(t, far=far, s=s)
        weight = clients.p.double()[:, None] * square * (at["delta"] == 0)
        shared = weight.sum(0) > 0
        mean = (weight * at["wish"]).sum(0)[shared] / weight.sum(0)[shared]
        torch.testing.assert_close(mean, at["w"][shared], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("s", "far"), CASES)
def test_the_lasso_beside_is_optimal(s, far, own: PersonalExplorer):
    """Each client's own deviation, found by coordinate descent, leaves w nothing to gain."""
    clients = data_of(s, far)
    for t in [0.02, *np.geomspace(0.1, own.t_max, 6).tolist()]:
        w = own.at(t, far=far, s=s)["lasso"]
        delta = torch.zeros(4, 3, dtype=torch.float64)
        for i in range(4):
            x, y = clients.data(i)
            for _ in range(80):
                for j in range(3):
                    square = x[:, j].square().mean()
                    rest = x[:, j] @ (y - x @ (w + delta[i])) / len(y) + square * delta[i, j]
                    delta[i, j] = rest.sign() * (rest.abs() - 1 / t).clamp(min=0) / square
        gap = clients.p.double() @ pulls(clients, w + delta)
        assert float(gap.abs().max()) < 1e-6, "w is free"


def test_at_time_zero_all_three_share_the_pooled_model(own: PersonalExplorer):
    train, _ = people(1)
    rows = [train.data(i) for i in range(4)]
    pooled = torch.linalg.lstsq(torch.cat([x for x, _ in rows]), torch.cat([y for _, y in rows]))
    at = own.at(0.0)
    for name in ("w", "mean", "lasso"):
        torch.testing.assert_close(at[name], pooled.solution, rtol=0, atol=1e-6)
    assert not bool(at["delta"].any())
    assert not bool(at["V"].any())


@pytest.mark.parametrize("far", [3.0, 10.0, 100.0])
def test_the_mean_runs_the_lasso_clips_and_the_path_rejects(far: float):
    """Five numbers, one of them far: the mean, Huber's estimate, the mean of the others."""
    y = torch.tensor([0.0, 0.1, 0.25, 0.33, far], dtype=torch.float64)
    clients = Clients.of(torch.ones(5, 1), y, [[i] for i in range(5)])
    shown = personal_of(personalization_path(clients), clients, clients, 50.0)
    t = 2.0  # the far one has entered, the others are within 1/t
    assert float(shown.path.w[0]) == pytest.approx((0.68 + far) / 5, abs=1e-6)
    assert float(shown.lasso_at(t)) == pytest.approx(0.17 + 1 / t / 4, abs=1e-6)
    assert float(shown.at(t)["w"]) == pytest.approx(0.17, abs=1e-6)


def test_a_lasso_that_lars_loses_is_refused():
    """Five equal weights, even gaps: 0.1 and 0.3 leave at once."""
    y = torch.tensor([0.0, 0.1, 0.2, 0.3, 100.0], dtype=torch.float64)
    clients = Clients.of(torch.ones(5, 1), y, [[i] for i in range(5)])
    path = personalization_path(clients)
    with pytest.raises(ValueError, match=r"two numbers leave at the same time.*smaller t_max"):
        personal_of(path, clients, clients, 50.0)
    assert float(personal_of(path, clients, clients, 2.0).lasso_at(2.0)) == pytest.approx(0.275)


def test_heterogeneity_moves_the_clock(own: PersonalExplorer):
    """Half the difference: every entry takes twice as long."""
    half, whole = (row[0].path.entry_times() for row in own.paths[1:])
    torch.testing.assert_close(half, 2 * whole, rtol=1e-6, atol=0)
    assert own.paths[0][0].path.t.tolist() == [0.0], "who agrees never parts"


def test_test_errors_are_those_of_the_models_in_use(own: PersonalExplorer):
    _, test = people(1)
    for t in (0.0, 1.0, own.t_max):
        at = own.at(t, far=3)
        for i in range(4):
            x, y = test.data(i)
            error = (y + 3 * (i == 2) - x @ (at["w"] + at["delta"][i])).square().mean()
            assert float(at["error"][i]) == pytest.approx(float(error), rel=1e-9)


def test_the_first_to_leave_has_left_at_the_start(own: PersonalExplorer):
    at = own.at(own._state["t"])
    assert at["delta"].nonzero().tolist() == [[2, 0]]
    assert own._state["number"] == 0
    assert "personal are Cy’s intercept, of 12 numbers" in own.bundle["text/plain"]
    given = personal(t=0.0, number="dose", far=None, labels={"s": "apart"})
    assert (given._state["t"], given._state["number"]) == (0.0, 2)
    assert given._state["options"]["slider"] == ["apart", ["0", "0.5", "1"]]
    assert "personal are no numbers, of 12" in given.bundle["text/plain"]


def test_a_path_can_end_early():
    early = personal(t_max=2.0)
    assert early.t_max == 2.0
    assert all(float(one.path.t[-1]) <= 2 for row in early.paths for one in row)
    assert early._state["settings"][2][0]["pull"][-1], "accounts that still fill"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"names": NAMES[:3]}, r"m = 3 as names and d = 3 as numbers, got \(4, 30, 3\)"),
        ({"numbers": NUMBERS[:2]}, "d = 2 as numbers"),
        ({"numbers": ["a", "a", "b"]}, "numbers must be 1 to 6 different words"),
        ({"names": ["A very long name indeed", "b", "c", "d"]}, "at most 16 letters"),
        ({"far": ("Cy", "intercept")}, r"far must be \(client, number, steps\)"),
        ({"far": ("Eve", "intercept", STEPS)}, "far's client must be one of.*got 'Eve'"),
        ({"far": ("Cy", "height", STEPS)}, "far's number must be one of"),
        ({"far": ("Cy", "age", [1, 2])}, "must begin with 0"),
        ({"far": ("Cy", "age", list(range(6)))}, "at most 5"),
        ({"t": 1e6}, "t must be from 0 to t_max"),
        ({"number": "height"}, "number must be one of"),
        ({"s": list(range(7))}, "at most 6 settings"),
        ({"other": [1, 2]}, "one slider"),
        ({"start": {"s": 0}}, "no number becomes personal"),
        ({"start": {"s": 0.3}}, "s=0.3, which is not one of"),
        ({"t_max": 0.1}, "no number becomes personal at any setting"),
    ],
)
def test_a_wrong_personal_figure_is_named(changed: dict, message: str):
    with pytest.raises(ValueError, match=message):
        personal(**changed)


def test_a_heavy_personal_figure_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fedlearn_book.widgets.personal.MAX_BYTES", 30_000)
    with pytest.raises(ValueError, match=r"weighs \d+ kB, at most 30 kB.*it has 9 paths"):
        personal()
