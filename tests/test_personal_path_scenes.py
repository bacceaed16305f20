"""The path of personalization in networks: the same start, the same batches, honest choices."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from toy_clients import ragged_clients, seeded

from fedlearn_book.reproductions import personal_path
from fedlearn_book.reproductions import personal_path_rounds as rounds
from fedlearn_book.reproductions import personal_path_scenes as scenes
from fedlearn_book.reproductions.personal_path_rounds import Scene, Way, Whole, follow, report
from fedlearn_lib import (
    Clients,
    accuracy_of,
    axpy,
    fedavg,
    gradient,
    load,
    loss_of,
    mlp,
    parameters_of,
)
from fedlearn_lib.data import Dataset
from fedlearn_lib.data.shipped import HOSPITALS


def tiny(seed: int = 0, **changes: Any) -> Scene:
    learn, spare, test = (ragged_clients([9, 7, 8, 9], seed=s) for s in (1, 2, 3))
    model = mlp(4, 5, 3, activation="relu", seed=seed).double()
    metrics = {"accuracy": accuracy_of(model)}
    scene = Scene(learn, spare, test, model, loss_of(model), metrics, 2, 3, (3, 5), 2, seed)
    return scene._replace(**changes)


def test_a_whole_leaf_is_one_group() -> None:
    """Its prox is the argmin that it claims to be; residual 0 where v is a subgradient."""
    g, penalty = seeded(1), Whole(1.5)
    for scale in (0.3, 3.0):
        x = scale * torch.randn(2, 3, generator=g, dtype=torch.float64)
        z = penalty.prox(x, 0.5)
        best = 0.5 * (z - x).square().sum() + 0.5 * penalty.value(z)
        for _ in range(200):
            other = z + 0.01 * torch.randn(2, 3, generator=g, dtype=torch.float64)
            assert 0.5 * (other - x).square().sum() + 0.5 * penalty.value(other) >= best
        assert penalty.residual(z, (x - z) / 0.5) < 1e-12
        assert bool(penalty.support(z).all()) == bool(z.norm() > 0)
    assert penalty.residual(torch.zeros(2), torch.tensor([3.0, 0.0])) == 1.5
    assert not penalty.prox(torch.ones(2)).any()


def test_penalties_fill_at_the_same_mean_square() -> None:
    """With every account at the same size, numbers, rows and layers fill at the same time."""
    w = parameters_of(tiny().model)
    for kind in ("entries", "rows", "layers", "last rows"):
        chosen = rounds.penalties(w, kind)
        for name, one in chosen.items():
            if one is None:
                assert kind == "last rows"
                assert name.startswith("1.")
                continue
            assert not one.prox(torch.full_like(w[name], 0.999)).any()
            assert one.prox(torch.full_like(w[name], 1.001)).all()


@pytest.mark.parametrize("kind", ["entries", "rows", "layers", "last rows"])
def test_the_path_starts_at_the_shared_model_and_shares_what_it_should(kind: str) -> None:
    scene = tiny()
    start, step, died = rounds.start_of(scene, (0.1, 0.3))
    assert died == 0
    way = rounds.path(scene, {"kappa": 0.01}, kind, step)
    state, seen = follow(scene, way, start, 1)
    assert seen["round"] == [0, 2, 4, 5]
    assert seen["own numbers"][0] == 0
    assert seen["own numbers"][-1] > 0
    plain = follow(scene, rounds.shared(scene, {"lr": step}), start, 1)[1]
    assert seen["spare"][0] == plain["spare"][0]
    if kind == "last rows":
        assert seen["own 1.weight"][-1] == 0
    total = sum(seen[f"own {k}"][-1] * v.numel() for k, v in start.items())
    assert seen["own numbers"][-1] == pytest.approx(total)
    assert state.round == 5


def test_without_an_entrance_fee_server_and_client_both_move() -> None:
    """κ → 0, one step: the server takes the mean step, and each client its own on top of it."""
    scene = tiny()
    start = parameters_of(scene.model)
    way = rounds.path(scene, {"kappa": 1e-7}, "entries", 0.1)
    one = scene._replace(rounds=(1, 1), steps=1)
    state, _ = follow(one, way, start, 1)
    models = way.used(state)
    x, y = one.learn.draw(torch.arange(4), steps=1, batch=3, generator=rounds.batches(one, 1))
    slopes = [gradient(one.loss)(start, ((x[i, 0, 0], y[i, 0, 0]),)) for i in range(4)]
    for name, v in start.items():
        mean = sum(float(p) * slope[name] for p, slope in zip(one.learn.p, slopes, strict=True))
        for i, slope in enumerate(slopes):
            expected = v - 0.1 * mean - 0.1 * slope[name]
            torch.testing.assert_close(models[name][i], expected, rtol=0, atol=2e-7)


def test_an_own_part_has_a_step_of_its_own() -> None:
    scene = tiny()._replace(rounds=(1, 1), steps=1)
    start, names = parameters_of(scene.model), rounds.last_bias(scene.model)
    slow, fast = (
        follow(scene, rounds.own_part(scene, {"lr": lr}, names, 0.1), start, 1)[0]
        for lr in (0.01, 0.02)
    )
    (name,) = names
    moved = [state.own[name] - start[name] for state in (slow, fast)]
    torch.testing.assert_close(moved[1], 2 * moved[0], rtol=0, atol=1e-12)
    assert rounds.last_layer(scene.model) == {"3.weight", "3.bias"}


def test_choices_are_made_on_spare_samples_and_edges_and_deaths_are_told() -> None:
    nan = float("nan")
    algorithm = fedavg(gradient(tiny().loss), lr=0.1)
    ways = [Way({"lr": lr}, algorithm, lambda state: state.w) for lr in (0.1, 0.2, 0.3)]
    seen = [
        {"spare": [0.1, 0.2, 0.3], "accuracy": [0.9, 0.9, 0.9]},
        {"spare": [0.1, 0.8, 0.7], "accuracy": [0.2, 0.5, 0.6]},
        {"spare": [0.1, 0.9, nan], "accuracy": [0.2, 0.4, nan]},
    ]
    chosen = report(ways, seen)
    assert (chosen["accuracy"], chosen["setting"], chosen["edge"]) == (0.4, {"lr": 0.3}, ["lr"])
    assert chosen["died"] == 1
    chosen = report(ways[:2], seen[:2])
    assert (chosen["accuracy"], chosen["edge"], chosen["died"]) == (0.5, [], 0)
    assert report(ways[:1], seen[:1])["edge"] == ["round"]
    rest = [way._replace(stops=False) for way in ways]
    chosen = report(rest, seen)
    assert (chosen["accuracy"], chosen["way"], chosen["edge"]) == (0.6, 1, [])


def test_scores_come_from_samples_that_no_choice_has_seen() -> None:
    scene = tiny()
    start = rounds.start_of(scene, (0.1, 0.3))[0]
    ways = [rounds.local(scene, {"lr": lr}) for lr in (0.03, 0.3, 1.0)]
    one = rounds.best(scene, ways, start)
    two = rounds.best(scene._replace(test=ragged_clients([9, 7, 8, 9], seed=9)), ways, start)
    assert (one["way"], one["round"], one["spare"]) == (two["way"], two["round"], two["spare"])
    assert one["accuracy"] != two["accuracy"]


def test_the_servers_median_is_fedavg_where_all_messages_agree() -> None:
    """Four copies of one client: median and mean are the same, batches are drawn alike."""
    one = ragged_clients([6], seed=4)
    x, y = (leaf.expand(4, *leaf.shape[1:]).clone() for leaf in one[:2])
    same = Clients(x, y, torch.full((4,), 6), torch.full((4,), 0.25, dtype=torch.float64))
    scene = tiny(learn=same, batch=None)
    way, start = rounds.shared(scene, {"lr": 0.1}), parameters_of(scene.model)
    mean, median = (f(scene, way, start, 1)[0].w for f in (follow, rounds.follow_median))
    for name in start:
        torch.testing.assert_close(mean[name], median[name], rtol=0, atol=1e-12)
    assert rounds.middle(torch.tensor([[5.0], [1.0], [2.0]])).tolist() == [2.0]


def test_a_liar_sends_the_opposite_and_keeps_the_truth() -> None:
    scene = tiny()
    start = parameters_of(scene.model)
    x, y = scene.learn.draw(torch.tensor([0]), steps=2, batch=3, generator=seeded(5))
    way = rounds.path(scene, {"kappa": 0.1}, "entries", 0.1)
    own = way.algorithm.own(start)
    honest, kept = way.algorithm.client(start, own, (x[0], y[0]))
    told, same = scenes.with_lies(way.algorithm).client(start, own, (x[0], y[0] + scenes.LIE))
    for name in start:
        assert torch.equal(told[name], -honest[name])
    assert all(torch.equal(kept[name], same[name]) for name in kept)
    plain = scenes.with_lies(fedavg(gradient(scene.loss), lr=0.1))
    truth = plain.client(start, (x[0], y[0]))
    assert all(torch.equal(-truth[k], v) for k, v in
               plain.client(start, (x[0], y[0] + scenes.LIE)).items())  # fmt: skip


def test_padding_is_no_patient() -> None:
    """The full gradient of a padded client is that of its own patients."""
    scene = scenes.hospitals(3)
    w = parameters_of(scene.model)
    slope = gradient(scene.loss)
    for i in range(4):
        x, y = scene.learn.data(i)
        inside = y >= 0
        all_, own = (slope(w, ((x[rows], y[rows]),)) for rows in (slice(None), inside))
        assert max(float(v.abs().max()) for v in axpy(-1.0, own, all_).values()) < 1e-12
    sizes = [int((scene.learn.data(i)[1] >= 0).sum()) for i in range(4)]
    total = sum(sizes) + int(scene.spare.n.sum()) + int(scene.test.n.sum())
    assert total == 920
    assert scene.learn.p.tolist() == [0.25] * 4


@pytest.mark.parametrize("split", ["two groups", "dirichlet 0.3"])
def test_no_image_has_two_roles(split: str) -> None:
    scene = scenes.images(split, 1)
    rows = [side.data(i)[0] for side in (scene.learn, scene.spare, scene.test)
            for i in range(side.m)]  # fmt: skip
    pool = torch.cat(rows)
    assert len(pool.unique(dim=0)) == len(pool) > 2500


def test_every_client_swaps_its_two_labels() -> None:
    scene, pairs = scenes.swaps(2)
    truth = load("mnist_mini")
    known = {tuple(x.tolist()): int(y) for x, y in
             zip(scenes.pooled(truth.x), truth.y, strict=True)}  # fmt: skip
    for side in (scene.learn, scene.spare, scene.test):
        for i in range(3):
            x, y = side.data(i)
            a, b = pairs[i].tolist()
            swapped = {a: b, b: a}
            for image, label in zip(x[:40], y[:40], strict=True):
                true = known[tuple(image.tolist())]
                assert int(label) == swapped.get(true, true)


def test_only_the_first_clients_are_bad_and_the_score_is_clean() -> None:
    clean, wrong = scenes.corrupted("none", 1)
    assert wrong == 0
    for world, (share, lies) in scenes.WRONG.items():
        scene, wrong = scenes.corrupted(world, 1)
        assert wrong == round(share * scenes.CLIENTS)
        assert torch.equal(scene.test.y, clean.test.y)
        assert torch.equal(scene.learn.y[wrong:], clean.learn.y[wrong:])
        assert torch.equal(scene.spare.y[wrong:], clean.spare.y[wrong:])
        if lies:
            assert torch.equal(scene.learn.y[:wrong], clean.learn.y[:wrong] + scenes.LIE)
            assert torch.equal(scene.spare.y, clean.spare.y)
        elif wrong:
            for side in ("learn", "spare"):
                bad, good = (getattr(one, side).y[:wrong] for one in (scene, clean))
                assert 0.03 < float((bad == good).double().mean()) < 0.17


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    g = seeded(7)
    y = torch.arange(800) % 10
    x = torch.randn(800, 2, 6, generator=g) + 2 * torch.nn.functional.one_hot(y, 10)[:, None, :6]
    monkeypatch.setattr(scenes, "load", lambda name: (
        load(name) if name == "heart_disease" else Dataset(x, y, None, "toy")))  # fmt: skip
    for name, value in {
        "CLIENTS": 4, "HIDDEN": 5, "ROUNDS": (4, 4), "GROUPS_A": 10, "EVERY": 2,
        "HEART_ROUNDS": (6, 6), "START_LR": (0.1, 0.3, 0.6), "LR": (0.1, 0.3), "KAPPA": (0.01, 0.1),
        "PART_LR": (0.1, 0.3), "BIAS_LR": (0.1, 0.3), "LAMBDA": (0.1, 0.3), "LEAST": 10,
    }.items():  # fmt: skip
        monkeypatch.setattr(scenes, name, value)


@pytest.mark.parametrize("name", ["hospitals", "swaps", "corrupted", "images"])
def test_the_runs_end_to_end_on_toys(monkeypatch, tmp_path, name: str) -> None:
    small(monkeypatch)
    name = f"personal_path_{name}"
    plan = personal_path.PLANS[name]
    cells = tuple(cell for cell in plan.cells if cell["seed"] < 2)
    monkeypatch.setitem(personal_path.PLANS, name, plan._replace(cells=cells))
    personal_path.main(name, folder=tmp_path)
    record = json.loads((tmp_path / f"{name}.json").read_text())
    assert len(record["cells"]) == len(cells)
    first = record["cells"][0]["result"]
    worlds = len({cell["setting"]["world"] for cell in record["cells"]})
    assert len(record["table"]["rows"]) == worlds * len(first["scores"])
    for row in record["table"]["rows"]:
        assert row[-1].endswith(" of 2")
    if name == "personal_path_hospitals":
        assert first["first"] == [] or first["first"][0][0] in HOSPITALS
    if name == "personal_path_swaps":
        assert first["found"]["rows"]["of"] == 8
    if name == "personal_path_images":
        assert list(first["first"]) == ["1.weight", "1.bias", "3.weight", "3.bias"]


def test_found_rows_are_counted_by_client_and_place(monkeypatch) -> None:
    scene = tiny()
    found = [rounds.Entry("3.weight", c, p, 1) for c, p in ((0, 1), (2, 2), (1, 2), (0, 0))]
    monkeypatch.setattr(scenes, "first_entries", lambda *_, **__: found)
    pairs = torch.tensor([[0, 1], [1, 0], [0, 2], [1, 2]])
    way = rounds.shared(scene, {"lr": 0.1})
    assert scenes.found_rows(scene, way, parameters_of(scene.model), pairs) == {
        "of": 8, "found": 3, "before false": 2, "clients": 2, "entered": 4,
    }  # fmt: skip
    monkeypatch.setattr(scenes, "first_entries", lambda *_, **__: [
        rounds.Entry("3.weight", 1, 0, 3), rounds.Entry("1.bias", 1, 0, 3),
        rounds.Entry("1.bias", 0, 0, 5), rounds.Entry("1.bias", 0, 1, 6)])  # fmt: skip
    leaves = scenes.first_leaves(scene, way, parameters_of(scene.model))
    assert leaves["1.bias"] == {"first": 1, "clients": 2, "round": 4.0}
    assert leaves["3.weight"] == {"first": 1, "clients": 1, "round": 3.0}
    assert leaves["1.weight"] == {"first": 0, "clients": 0, "round": None}


def test_what_enters_first_is_first() -> None:
    """Entries against the accounts themselves: nothing is listed before it is personal."""
    scene = tiny()
    start = parameters_of(scene.model)
    way = rounds.path(scene, {"kappa": 0.05}, "rows", 0.3)
    found = rounds.first_entries(scene, way, start, ["3.weight"], rows=True)
    assert [one.round for one in found] == sorted(one.round for one in found)
    assert len({one[:3] for one in found}) == len(found) > 0
    early = scene._replace(rounds=(3, found[0].round))
    models = way.used(follow(early, way, start, 1)[0])["3.weight"]
    w = follow(early, way, start, 1)[0].w["3.weight"]
    sizes = (models - w).norm(dim=2)
    assert int(sizes.argmax()) == found[0].client * 3 + found[0].place
    if found[0].round > 1:
        before = scene._replace(rounds=(3, found[0].round - 1))
        state = follow(before, way, start, 1)[0]
        assert torch.equal(way.used(state)["3.weight"], state.w["3.weight"].expand(4, 3, 5))
