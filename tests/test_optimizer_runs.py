"""The reproductions that compare optimizers run on a tiny budget; their tables are their cells'."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch

from fedlearn_book.reproductions import optimizers, tickets
from fedlearn_book.reproductions import record as record_of_runs
from fedlearn_book.reproductions.tickets import images
from fedlearn_lib import load
from fedlearn_lib.data import Dataset


def few(color: bool = False) -> Dataset:
    mini = load("mnist_mini")
    rows = torch.arange(0, 5000, 25)
    x = images(mini.x[rows])
    return Dataset(x.expand(-1, 3, -1, -1) if color else x, mini.y[rows], None, "few")


CASES = [(name, method) for name, plan in optimizers.PLANS.items() for method in plan.recalled]


@pytest.mark.parametrize(("name", "method"), CASES)
def test_every_method_learns_something_and_is_repeatable(name: str, method: str) -> None:
    plan = optimizers.PLANS[name]._replace(epochs=3)
    data = few(color=plan.data == "cifar10")
    one, two = (optimizers.train_one(plan, method, 3, data, data) for _ in range(2))
    assert one == two
    assert [len(values) for values in one.values()][:3] == [3, 3, 3]
    assert one["loss"][-1] < one["loss"][0]
    has_copy = method.startswith("SplitLBI")
    assert (one["projected"][-1] is not None) == has_copy
    assert len(one["filters"]) == len(one["weights"]) == (3 if has_copy else 0)


def test_methods_differ_in_what_their_names_say() -> None:
    plan = optimizers.PLANS["lenet_mnist"]
    made = {m: optimizers.METHODS[m](plan.network(0), plan).param_groups for m in plan.recalled}
    assert all(g["nu"] == plan.nu for g in made["SplitLBI"])
    assert {g["lr"] for g in made["SplitLBI, momentum, half the step"]} == {0.05}
    for method, groups in made.items():
        assert {g.get("momentum", 0) for g in groups} == {0.9 if "momentum" in method else 0.0}
        decays = {g["weight_decay"] for g in groups}
        if "spring" not in method:
            assert decays == {1e-4 if "decay" in method else 0.0}
    plain, heavy = (made[f"{m}, the spring's decay"] for m in ("SGD", "momentum"))
    sizes = [[(g["weight_decay"], len(g["params"])) for g in groups] for groups in (plain, heavy)]
    assert sizes[0] == [(0.05, 3), (0.05, 2), (0.0, 5)]  # filters, weights, biases
    assert sizes[1] == [(pytest.approx(0.005), 3), (pytest.approx(0.005), 2), (0.0, 5)]
    copies = optimizers.PLANS["resnet_cifar10"]
    groups = optimizers.METHODS["SplitLBI"](copies.network(0), copies).param_groups
    assert [g["penalty"] for g in groups] == ["group", None, None]


@pytest.mark.parametrize("name", optimizers.PLANS)
def test_the_run_stores_intervals_of_its_cells(name: str, tmp_path, monkeypatch) -> None:
    plan = optimizers.PLANS[name]._replace(epochs=1, seeds=2, limit=120)
    monkeypatch.setitem(optimizers.PLANS, name, plan)
    data = few(color=plan.data == "cifar10")
    monkeypatch.setattr(tickets, "load", lambda *a, **k: data)
    for module in (record_of_runs, optimizers):  # of so short a run all count as living
        monkeypatch.setattr(module, "ALIVE", 0.0)
    optimizers.main(name, folder=tmp_path)
    record = json.loads((tmp_path / f"{name}.json").read_text())
    assert len(record["cells"]) == 2 * len(plan.recalled)
    assert record["setting"].startswith("120 images, 1 epochs, ")
    assert record["table"] == partial(optimizers.summarize, plan)(record["cells"])
    assert all(len(row) == len(record["table"]["columns"]) for row in record["table"]["rows"])
    row = next(r for r in record["table"]["rows"] if r[0] == "SGD")
    own = [c["result"]["dense"][-1] for c in record["cells"] if c["setting"]["method"] == "SGD"]
    assert row[1].startswith(f"{100 * sum(own) / 2:.2f} ± ")


def test_dead_runs_are_in_no_mean() -> None:
    """The third run died with other things in: the row shows the living ones' mean."""
    plan = optimizers.PLANS["lenet_mnist"]._replace(recalled={"SplitLBI": None})
    runs = [(0.98, 0.5), (0.96, 0.3), (0.1, 1.0)]
    cells = [
        {"setting": {"method": "SplitLBI", "seed": seed},
         "result": {"dense": [a], "projected": [a], "filters": [[b]], "weights": [[b, b]]}}
        for seed, (a, b) in enumerate(runs)
    ]  # fmt: skip
    (row,) = optimizers.summarize(plan, cells)["rows"]
    assert row[1:3] == ["97.00 (1 dead)"] * 2
    assert row[3].startswith("40 ± ")
    assert row[4].startswith("40.00 ± ")
