"""The reproductions on families, fresh starts and released growth, end to end on toys."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from toy_clients import seeded

from fedlearn_book.reproductions import family, growth_released, small_tickets, tickets
from fedlearn_lib import parameters_of, prune
from fedlearn_lib.data import Dataset
from fedlearn_lib.sparse.penalties import group_threshold
from fedlearn_lib.structure import cost, mask_counts, retrain


def toy(n: int, seed: int, *shape: int) -> Dataset:
    """Ten classes, each a pattern with noise."""
    y = torch.arange(n) % 10
    pattern = torch.randn(10, *shape, generator=seeded(0))
    return Dataset(
        pattern[y] + 0.5 * torch.randn(n, *shape, generator=seeded(seed)), y, None, "toy"
    )


def small(seed: int) -> nn.Module:
    return small_tickets.network(seed)


@pytest.fixture
def short(monkeypatch):
    """Plans in miniature: toy images, three epochs, two shares of the units."""
    for module, name, value in (
        (family, "HELD_OUT", 100), (family, "BATCH", 20), (family, "LOOK", 1),
        (tickets, "BATCH", 20),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    plans = {
        name: plan._replace(
            network=network, seeds=2, epochs=3, shares=(0.3, 0.9), nus=(0.5, 2.0), nu=2.0,
            prox=(0.0, 2.0), bregman=plan.bregman and (0.0, 0.3),
        )
        for (name, plan), network in zip(
            family.PLANS.items(), (small, *[partial(family.residual, width=8)] * 4), strict=True
        )
    }  # fmt: skip
    monkeypatch.setattr(family, "PLANS", plans)
    return plans


def test_families_run_end_to_end_on_a_toy(monkeypatch, short, tmp_path) -> None:
    monkeypatch.setattr(family, "train_and_test", lambda *_: (toy(300, 1, 1, 14, 14),) * 2)
    names = {k: v for k, v in family.families(short["family"]).items()
             if k not in ("size", "level order, retrained")}  # fmt: skip
    monkeypatch.setattr(family, "families", lambda _: names)
    family.main("family", folder=tmp_path)
    record = json.loads((tmp_path / "family.json").read_text())
    own = {
        c["setting"]["family"]: c["result"]["members"] for c in record["cells"][: 1 + len(names)]
    }
    assert list(own) == ["dense", *names]
    dense = own["dense"][0]
    assert len(own["passing 0.5"]) == len(own["order"]) == 2
    for name in ("order", "level order", "size, retrained"):
        assert next(m["parameters"] for m in own[name] if not m["dead"]) < dense["parameters"]
    assert own["prox"][0]["parameters"] == dense["parameters"]  # strength 0 removes nothing
    assert own["bregman"][0]["parameters"] > 0.8 * dense["parameters"]  # units enter
    assert own["bregman"][1]["parameters"] < 0.8 * dense["parameters"]
    assert own["prox"][1].get("parameters", 0) < dense["parameters"]
    assert dense["test"] > 0.9


def folder_of_images(root: Path, each: int) -> Path:
    """Two classes, red and blue, in the layout of ImageNet."""
    for part in ("train", "val"):
        for name, color in (("n1", (200, 40, 40)), ("n2", (40, 40, 200))):
            (root / part / name).mkdir(parents=True)
            for k in range(each):
                picture = Image.new("RGB", (40, 36), tuple(c + k for c in color))
                picture.save(root / part / name / f"{k}.JPEG")
    return root


@pytest.mark.parametrize("name", ["family_cifar10", "family_cifar10_long", "family_tiny"])
def test_a_residual_family_in_miniature(monkeypatch, short, tmp_path, name) -> None:
    """The plan of the long run, on toy images: sizes fall with the shares, all cells are there."""
    plan = short[name]._replace(seeds=1, epochs=1)
    monkeypatch.setitem(short, name, plan)
    if name == "family_tiny":
        monkeypatch.setattr(family, "HELD_OUT", 20)
        root = str(folder_of_images(tmp_path / "data", 30))
    else:
        root = None
        monkeypatch.setattr(family, "train_and_test", lambda *_: (toy(200, 1, 3, 8, 8),) * 2)
    family.main(name, root=root, folder=tmp_path)
    record = json.loads((tmp_path / f"{name}.json").read_text())
    assert [c["setting"]["family"] for c in record["cells"]] == ["dense", *family.families(plan)]
    own = {c["setting"]["family"]: c["result"]["members"] for c in record["cells"]}
    dense = own["dense"][0]["multiply_adds"]
    for kind in ("order", "level order", "size"):
        assert own[kind][0]["multiply_adds"] < own[kind][1]["multiply_adds"] < dense
    assert record["table"]["columns"][1] == "20 % of multiply-adds"
    assert "±" not in str(record["table"]["rows"])  # one seed has no interval


@pytest.mark.parametrize("name", ["family_cifar10", "family_cifar10_long"])
def test_moved_images_are_crops_of_the_image_within_its_mirrored_border(name) -> None:
    """Each is found among all places and both directions; a plan that moves nothing moves none."""
    plan, train = family.PLANS[name], toy(60, 1, 3, 8, 8)
    pad = nn.functional.pad(train.x, [plan.moved] * 4, mode="reflect")
    side = 2 * plan.moved + 1
    places = [(i, j) for i in range(side) for j in range(side)]
    crops = torch.stack([pad[:, :, i : i + 8, j : j + 8] for i, j in places])
    crops = torch.cat([crops, crops.flip(-1)])
    together, seen = [], set()
    for (x, y), (plain, same) in zip(
        family.stream(plan, train, 3, 0), tickets.batches(train, 3, 0), strict=True
    ):
        assert torch.equal(y, same)
        rows = [int((train.x == image).flatten(1).all(1).nonzero()[0]) for image in plain]
        found = (crops[:, rows] == x).flatten(2).all(2)
        assert bool(found.any(0).all())
        at = [int(one.nonzero()[0]) for one in found.T]
        together.append({k % side**2 for k in at})
        seen |= {k // side**2 for k in at}
    assert {len(one) == 1 for one in together} == {not plan.alone}
    assert len(set().union(*together)) > 1
    assert seen == {0, 1}
    still = next(family.stream(plan._replace(moved=0), train, 1, 0))[0]
    assert torch.equal(still, next(tickets.batches(train, 1, 0))[0])


def test_half_multiplies_coarsely_and_is_cut_like_the_others() -> None:
    model, exact = (family.residual(0, width=8, half=half) for half in (True, False))
    x = torch.randn(5, 3, 32, 32, generator=seeded(0))
    error = ((model(x) - exact(x)).norm() / exact(x).norm()).detach()
    assert 1e-6 < float(error) < 0.05
    assert model(x).dtype == torch.float32
    w = parameters_of(model)
    w["3.body.0.weight"][::2] = 0
    small = prune(model, w)
    assert isinstance(small, family.Half)
    assert len(small.get_parameter("3.body.0.weight")) == 8
    assert cost(small, 3, 32, 32).multiply_adds < cost(exact, 3, 32, 32).multiply_adds


def test_what_is_cut_from_a_residual_network_changes_no_output() -> None:
    """Rows at zero, biases not: the cut network answers the same, and every cuttable row went."""
    model = family.residual(0, width=8)
    w = parameters_of(model)
    for name in family.cuttable(model):
        w[name][1::2] = 0
        w[name.replace("weight", "bias")] += 0.3
    small = prune(model, w)
    model.load_state_dict(w)
    x = torch.randn(5, 3, 32, 32, generator=seeded(0))
    torch.testing.assert_close(small(x), model(x), rtol=1e-4, atol=1e-5)
    for name in family.cuttable(model):
        assert len(small.get_parameter(name)) == len(w[name]) / 2
    optimizer = tickets.path_of(model, nu=1.0, names=family.cuttable(model))
    assert [len(p) for p in optimizer.param_groups[0]["params"]] == [8, 16, 32]


def test_level_shares_keep_the_first_of_each_layer() -> None:
    """By hand: the first layer enters before the second; level, half of each stays."""
    entry = {"a": torch.tensor([2.0, 1.0]), "b": torch.tensor([9.0, 7.0, 8.0, torch.inf])}
    w = {"a": torch.zeros(2, 3), "b": torch.zeros(4, 2)}
    p = family.Trained({}, {}, w, entry, {})
    kept = {
        kind: [m[:, 0].tolist() for m in family.masks_of(p, kind, w, 0.5).values()]
        for kind in ("order", "level order")
    }
    assert kept["order"] == [[True, True], [False, True, False, False]]
    assert kept["level order"] == [[False, True], [False, True, True, False]]


def test_a_member_is_chosen_where_nothing_is_scored() -> None:
    """Two members within the budget: the better one on held-out images, worse on the test."""
    one = {"held": 0.9, "test": 0.7, "multiply_adds": 5, "dead": False}
    two = {"held": 0.8, "test": 0.95, "multiply_adds": 5, "dead": False}
    large = {"held": 0.99, "test": 0.99, "multiply_adds": 11, "dead": False}
    gone = {"held": 1.0, "test": 1.0, "multiply_adds": 1, "dead": True}
    assert family.best([one, two, large, gone], 10) == one
    assert family.best([large, gone], 10) is None
    light = {**two, "parameters": 1}
    assert family.best([{**one, "parameters": 3}, light], 2, "parameters") == light


def test_proximal_and_bregman_training_keep_their_equations(short) -> None:
    """One step by hand: rows shortened after the step; weights read off V before it."""
    plan = short["family"]._replace(epochs=1)
    train = toy(20, 2, 1, 14, 14)
    model = small(0)
    x, y = next(tickets.batches(train, 1, 100))
    nn.functional.cross_entropy(model(x), y).backward()
    name = "6.weight"
    w, slope = (
        t.detach().clone() for t in (model.get_parameter(name), model.get_parameter(name).grad)
    )
    moved = w - tickets.LR * slope
    norms = moved.norm(dim=1, keepdim=True)
    strength = 0.4
    by_hand = moved * (1 - tickets.LR * strength / (1 - tickets.MOMENTUM) / norms).clamp(min=0)
    end = family.sparse_training(plan, "prox", strength, train, 0)[name]
    torch.testing.assert_close(end, by_hand, rtol=1e-5, atol=1e-6)
    V = family.begin(w, strength, seeded(1))
    read, out = group_threshold(V, strength), V.norm(dim=1) == 0
    assert 1 < int((~out).sum()) < len(w) / 2
    torch.testing.assert_close(read[~out], w[~out], rtol=1e-5, atol=1e-6)
    assert not bool(read[out].any())


def test_small_tickets_run_end_to_end(monkeypatch, tmp_path) -> None:
    """The fresh start has the mask of the first and other weights; an emptied layer is dead."""
    monkeypatch.setattr(small_tickets, "EPOCHS", 1)
    monkeypatch.setattr(small_tickets, "SEEDS", 2)
    monkeypatch.setattr(small_tickets, "PLAN", small_tickets.PLAN._replace(epochs=2, nu=1.0))
    monkeypatch.setattr(
        small_tickets, "small_images", lambda: (toy(400, 1, 1, 14, 14), toy(100, 2, 1, 14, 14))
    )
    monkeypatch.setattr(small_tickets, "KEPT", (28,))
    small_tickets.main(folder=tmp_path)
    record = json.loads((tmp_path / "tickets_small.json").read_text())
    results = {c["setting"]["method"]: c["result"] for c in record["cells"][:9]}
    assert list(results) == ["dense", *small_tickets.METHODS]
    assert 14 <= results["early size"]["shared"] <= 28
    same = ("early", "fresh", "early size", "rewound", "kept", "large at start", "random by layer")
    assert len({results[name]["parameters"] for name in same}) == 1
    assert results["fresh"]["accuracy"] != results["early"]["accuracy"]

    p = tickets.Prepared(small(0), parameters_of(small(0)), {
        "0.weight": torch.full((8,), 9.0), "3.weight": torch.arange(16.0),
        "6.weight": torch.arange(32.0)}, parameters_of(small(1)), small_tickets.PLAN)  # fmt: skip
    masks = tickets.choose(p, "early", 10 / 56, 0)
    assert mask_counts(masks, "rows")["0.weight"] == 0
    dead = small_tickets.compute(lambda _: p, toy(20, 1, 1, 14, 14), toy(20, 2, 1, 14, 14),
                                 "fresh", 10, 0)  # fmt: skip
    assert dead == {"accuracy": 0.0, "parameters": 0, "multiply_adds": 0}


def test_the_dead_are_counted_and_their_pairs_left_out() -> None:
    scores = {"early": (0.9, 0.1, 0.8, 0.7), "fresh": (0.8, 0.9, 0.75, 0.1)}
    done = [
        {"setting": {"method": m, "kept": 10, "seed": k}, "result": {"accuracy": a}}
        for m, values in scores.items() for k, a in enumerate(values)
    ]  # fmt: skip
    assert small_tickets.ahead(done, 10, "fresh") == "+7.5 ± 31.8"


def test_the_released_rule_stops_where_no_layer_is_full(monkeypatch) -> None:
    """Support forced: full, full, then not; two growths, three decisions, V anew each time."""
    begun = []
    path_of = tickets.path_of

    def watched(model: nn.Module, *, nu: float):
        begun.append(nu)
        return path_of(model, nu=nu)

    decisions = iter([["0.weight"], ["3.weight"], []])
    monkeypatch.setattr(growth_released, "path_of", watched)
    monkeypatch.setattr(growth_released, "PHASE", 1)
    monkeypatch.setattr(tickets, "BATCH", 20)
    monkeypatch.setattr(
        "fedlearn_book.reproductions.growth.ready_to_grow", lambda _: next(decisions)
    )
    grown = growth_released.grown(toy(40, 1, 1, 14, 14), 3.0, 0)
    assert grown.widths == [[2, 3, 4], [3, 3, 4], [3, 4, 4], [3, 4, 4]]
    assert begun == [3.0] * 3
    passes = [cost(small_tickets.network(0, w), 1, 14, 14).multiply_adds
              for w in ((2, 3, 4), (3, 3, 4), (3, 4, 4))]  # fmt: skip
    assert grown.work == sum(passes)


def test_released_growth_runs_end_to_end(monkeypatch, tmp_path) -> None:
    images = partial(toy, 100, 1, 1, 14, 14)
    monkeypatch.setattr(growth_released, "small_images", lambda: (images(), images()))
    for name, value in {"PHASE": 1, "POLISH": 1, "SEEDS": 2, "NUS": (0.2, 1e6), "MOST": 2}.items():
        monkeypatch.setattr(growth_released, name, value)
    steps: list[tuple[float, float]] = []

    def watched(*args, **options):
        steps.append((options["lr"], options["momentum"]))
        return retrain(*args, **options)

    monkeypatch.setattr(growth_released, "retrain", watched)
    growth_released.main(folder=tmp_path)
    record = json.loads((tmp_path / "growth_released.json").read_text())
    assert len(record["cells"]) == 2 * 2 * 4
    assert steps == [(0.1, 0.5)] * 2 * 2  # the path's own, for one rival of four
    never = [c["result"]["widths"] for c in record["cells"]
             if c["setting"]["nu"] == 1e6 and c["setting"]["method"] == "grown"]  # fmt: skip
    assert never == [[[2, 3, 4]] * 2] * 2
    assert [row[0] for row in record["table"]["rows"]] == ["0.2", "1e+06"]
