"""Reproductions: no finished cell is ever lost, and the stored tables are those of their cells."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from fedlearn_book.reproductions import (
    NAMES,
    RESULTS,
    authors,
    compared,
    distance_gain,
    family,
    flower_faults,
    goal,
    growth,
    growth_released,
    network_arrival,
    omniglot,
    optimizers,
    personal_path,
    personal_path_few,
    personal_path_people,
    pfllib,
    read,
    scale,
    small_tickets,
    split_auc,
    split_lasso,
    table,
    tickets,
    two_groups,
    writers,
)
from fedlearn_book.reproductions.__main__ import RUNS
from fedlearn_book.reproductions.record import interval, matching, run_cells
from fedlearn_lib import (
    accuracy_of,
    adapt,
    axpy,
    evaluate,
    load,
    loss_of,
    mlp,
    norm,
    parameters_of,
)
from fedlearn_lib.data import Dataset

CELLS = [{"x": x, "seed": seed} for x in (1, 2) for seed in (0, 1)]
ABOUT = {"title": "t", "question": "q", "command": "c"}


def sums(done: list[dict]) -> dict:
    return {"columns": ["sum"], "rows": [[sum(cell["result"]["y"] for cell in done)]]}


def start(folder: Path, compute: Callable[..., dict], cells: list[dict] = CELLS) -> Path:
    return run_cells("toy", cells, compute, table=sums, folder=folder, **ABOUT)


@pytest.mark.parametrize("stop_at", [1, 2, 4])
def test_a_stopped_run_goes_on_where_it_was(tmp_path, stop_at: int) -> None:
    """Killed inside any cell: the finished ones are kept, computed once, and the file is whole."""
    seen: list[tuple[int, int]] = []

    def compute(x: int, seed: int) -> dict:
        if len(seen) + 1 == stop_at and (x, seed) not in seen and not resumed:
            raise KeyboardInterrupt
        seen.append((x, seed))
        return {"y": 10 * x + seed}

    resumed = False
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, compute)
    assert not (tmp_path / "toy.json").exists()
    resumed = True
    record = json.loads(start(tmp_path, compute).read_text())
    assert seen == [(cell["x"], cell["seed"]) for cell in CELLS]
    assert record["table"]["rows"] == [[62]]
    assert record["seeds"] == [0, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.json"]


def test_the_part_file_of_other_cells_is_refused_and_kept(tmp_path) -> None:
    def stop(x: int, seed: int) -> dict:
        if x == 2:
            raise KeyboardInterrupt
        return {"y": 1}

    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, stop)
    part = (tmp_path / "toy.json.part").read_text()
    with pytest.raises(ValueError, match="cells of another run"):
        start(tmp_path, stop, [{"x": 7, "seed": 0}])
    assert (tmp_path / "toy.json.part").read_text() == part


def test_a_table_keeps_numbers_whole_and_bars_harmless() -> None:
    lines = table({"columns": ["kept"], "rows": [["10 %"], ["1.5 ± 0.2"], ["a|b"]]}).splitlines()
    assert lines[2:] == [
        "| 10\N{NO-BREAK SPACE}% |",
        "| 1.5\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.2 |",
        "| a\\|b |",
    ]


def test_matching_selects_by_every_value_and_refuses_an_empty_choice() -> None:
    cells = [{"setting": cell, "result": {"y": 10 * cell["x"] + cell["seed"]}} for cell in CELLS]
    assert [result["y"] for result in matching(cells, x=2)] == [20, 21]
    assert [result["y"] for result in matching(cells, seed=1)] == [11, 21]
    assert matching(cells, x=1, seed=0) == [{"y": 10}]
    matching(cells, x=1)[0]["y"] = -1
    assert cells[0]["result"] == {"y": 10}
    for wrong in ({"x": 3}, {"speed": 0}, {"x": 1, "seed": 2}):
        with pytest.raises(ValueError, match=r"no cell has the setting .*\['x', 'seed'\]"):
            matching(cells, **wrong)


def test_interval_is_students() -> None:
    """Five values with variance 2.5: the half-width is 2.776 · √(2.5 / 5)."""
    middle, half = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert middle == 3.0
    assert half == pytest.approx(2.7764451 * 0.5**0.5, rel=1e-6)


def test_every_name_can_be_run_and_every_stored_file_has_a_name() -> None:
    assert set(NAMES) == set(RUNS)
    assert {path.stem for path in RESULTS.glob("*.json")} <= set(NAMES)


def stored() -> list[str]:
    return sorted(path.stem for path in RESULTS.glob("*.json"))


# A search reports nothing, it only chooses; two hours pay for one run of PFLlib's setting, and one
# for one seed of CIFAR-100's or of a family on photographs.
ONE_LOOK = {
    "compared_beyond", "compared_search", "omniglot_search", "pfllib", "family_cifar10",
    "family_cifar10_long",
    "family_cifar100", "family_tiny", "two_groups_cifar100",
}  # fmt: skip


@pytest.mark.parametrize("name", stored())
def test_a_stored_file_says_where_it_comes_from(name: str) -> None:
    record = read(name)
    assert record["command"] == f"python -m fedlearn_book.reproductions {name}"
    if name not in ONE_LOOK:
        assert len(record["seeds"]) >= 3
    assert record["seconds"] == pytest.approx(sum(c["seconds"] for c in record["cells"]), abs=1)
    assert {"python", "torch", "numpy", "fedlearn_lib"} <= record["versions"].keys()


SUMMARIES: dict[str, Callable[[list[dict]], dict]] = {
    "authors_lenet": authors.summarize,
    "compared": compared.summarize,
    "compared_beyond": compared.summarize_beyond,
    "compared_search": compared.summarize_search,
    "distance_gain": distance_gain.summarize,
    **{name: partial(family.summarize, plan) for name, plan in family.PLANS.items()},
    "flower_faults": flower_faults.summarize,
    "flower_writers": flower_faults.summarize_writers,
    "goal": goal.summarize,
    "growth": growth.summarize,
    "growth_released": growth_released.summarize,
    "network_arrival": network_arrival.summarize,
    "omniglot": omniglot.summarize,
    "omniglot_search": omniglot.summarize_search,
    **{name: partial(optimizers.summarize, plan) for name, plan in optimizers.PLANS.items()},
    **{name: plan.summarize for name, plan in personal_path.PLANS.items()},
    "personal_path_few": personal_path_few.summarize,
    "personal_path_omniglot": personal_path_people.table_of_drawers,
    "personal_path_writers": personal_path_people.table_of_writers,
    "pfllib": pfllib.summarize,
    "scale": scale.summarize,
    "split_auc": split_auc.summarize,
    "split_lasso": split_lasso.summarize,
    **{name: partial(tickets.summarize, plan) for name, plan in tickets.PLANS.items()},
    "tickets_small": small_tickets.summarize,
    **{name: partial(two_groups.summarize, plan) for name, plan in two_groups.PLANS.items()},
    "two_groups_search": two_groups.summarize_search,
    "writers": writers.summarize,
}


@pytest.mark.parametrize("name", stored())
def test_a_stored_table_is_that_of_its_cells(name: str) -> None:
    record = read(name)
    assert SUMMARIES[name](record["cells"]) == record["table"]


@pytest.mark.parametrize("name", sorted({*two_groups.PLANS, *tickets.PLANS} & set(stored())))
def test_a_stored_run_has_all_cells_of_its_plan(name: str) -> None:
    module = tickets if name in tickets.PLANS else two_groups
    plan = module.PLANS[name]
    assert [cell["setting"] for cell in read(name)["cells"]] == list(module.cells(plan))


def test_an_unknown_or_unfinished_reproduction_says_how_to_get_it(tmp_path) -> None:
    with pytest.raises(ValueError, match="name must be one of"):
        read("writer")
    with pytest.raises(FileNotFoundError, match=r"reproductions writers --folder /"):
        read("writers", tmp_path)


def toy_pool(n: int, seed: int) -> Dataset:
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 10
    return Dataset(torch.randn(n, 3, 2, generator=g) + y[:, None, None], y, None, "toy")


def test_a_row_takes_the_cells_of_its_own_setting() -> None:
    """Cells made by hand: accuracy = a code of method, τ, α and seed."""
    plan = two_groups.Plan("toy", "elu", 2, 2, ((4, 0.01), (4, 0.1)), 2, {(4, 0.1): (1, 2, 3)})
    done = []
    for cell in two_groups.cells(plan):
        code = 0.1 * two_groups.METHODS.index(cell["method"]) + cell.get("alpha", 0) / 10
        code += 0.002 * cell["seed"] - 0.0006
        after = {"0.01": [code, 0, 0, 0], "0.1": [code + 0.5, 0, 0, 0]}
        done.append({"setting": cell, "result": {"before": [code / 2, 0, 0, 0], "after": after}})
    half = 12.7062047 * 0.1  # Student's t with one degree of freedom times 0.1 percent
    table = two_groups.summarize(plan, done)
    assert table["rows"][0] == [
        "4", "0.01", f"0.0 ± {half:.1f} (0.0)", f"10.1 ± {half:.1f} (5.1)",
        f"20.1 ± {half:.1f} (10.1)", f"30.1 ± {half:.1f} (15.1)", "none",
    ]  # fmt: skip
    assert table["rows"][1][2:] == [
        f"50.0 ± {half:.1f} (0.0)", f"61.0 ± {half:.1f} (5.5)", f"71.0 ± {half:.1f} (10.5)",
        f"81.0 ± {half:.1f} (15.5)", "1.00 | 2.00 | 3.00",
    ]  # fmt: skip


def test_a_hundred_classes_are_dealt_in_ten_blocks(monkeypatch) -> None:
    monkeypatch.setattr(two_groups, "M", 10)
    monkeypatch.setattr(two_groups, "ROUNDS", 1)
    plan = two_groups.PLANS["two_groups_cifar100"]._replace(a=16, a_test=8, how="vmap")
    pools = [toy_pool(2000, k) for k in (0, 1)]
    pools = [pool._replace(y=torch.arange(2000) % 100) for pool in pools]
    train, _ = two_groups.users(pools[0], pools[1], plan, seed=0)
    blocks = [train.data(i)[1].div(10, rounding_mode="floor").bincount() for i in (0, 7)]
    assert blocks[0].tolist() == [16] * 5
    assert blocks[1].tolist() == [0, 0, 8, 0, 0, 0, 0, 32]
    assert len(train.data(0)[1].unique()) > 20, "targets are the classes, not their blocks"
    model, _ = two_groups.train_one(train, plan, "fedavg", 1, 0, None)
    assert model(train.x[0]).shape[1] == 100


def test_two_groups_runs_end_to_end_on_a_toy(monkeypatch, tmp_path) -> None:
    """The real loop on ten users: each cell once, both sides dealt in the same proportions."""
    monkeypatch.setattr(two_groups, "load", lambda *_, part, **__: toy_pool(1000, len(part)))
    monkeypatch.setattr(two_groups, "ROUNDS", 3)
    monkeypatch.setattr(two_groups, "M", 10)
    plan = two_groups.Plan("toy", "tanh", 16, 8, ((2, 0.01), (2, 0.1)), 2, {(2, 0.1): (1, 2, 3)})
    monkeypatch.setitem(two_groups.PLANS, "two_groups_tanh", plan)
    train, test = two_groups.users(toy_pool(1000, 0), toy_pool(1000, 1), plan, seed=0)
    for i in range(10):
        big, small = (side.data(i)[1].bincount(minlength=10) for side in (train, test))
        assert torch.equal(big, small * 2)
    assert train.p.tolist() == [0.1] * 10
    two_groups.main("two_groups_tanh", folder=tmp_path)
    record = json.loads((tmp_path / "two_groups_tanh.json").read_text())
    assert len(record["cells"]) == 2 * (1 + 2 * 3)
    assert [row[:2] for row in record["table"]["rows"]] == [["2", "0.01"], ["2", "0.1"]]
    assert [row[-1] for row in record["table"]["rows"]] == ["none", "1.00 | 2.00 | 3.00"]
    before = [cell["result"]["before"] for cell in record["cells"]]
    assert all(0 <= worst <= middle <= 1 for middle, worst, *_ in before)


def test_the_search_runs_end_to_end_on_a_toy(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(two_groups, "load", lambda *_, part, **__: toy_pool(1000, len(part)))
    monkeypatch.setattr(two_groups, "ROUNDS", 3)
    monkeypatch.setattr(two_groups, "M", 10)
    plan = two_groups.Plan("toy", "elu", 16, 8, ((2, 0.01),), 1, {})
    monkeypatch.setitem(two_groups.PLANS, "two_groups_mnist", plan)
    two_groups.search(folder=tmp_path)
    record = json.loads((tmp_path / "two_groups_search.json").read_text())
    assert len(record["cells"]) == 3 * len(two_groups.CHANGES) * 3
    starts = [cell["result"] for cell in record["cells"] if cell["setting"]["seed"] == 0]
    assert all(set(result) == {"before", "40", "400"} for result in starts)
    assert len({str(result) for result in starts}) > 3  # changes and methods differ


def test_a_change_changes_the_training_and_nothing_else() -> None:
    """Half the step, from the same start with the same batches: another model; none: the same."""
    plan = two_groups.Plan("toy", "elu", 4, 4, ((2, 0.01),), 1, {})
    train, _ = two_groups.users(toy_pool(4000, 0), toy_pool(4000, 1), plan, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_groups, "ROUNDS", 2)
        ends = {
            change: two_groups.train_one(train, plan, "fo", 2, 0, 0.01, **options)[1]
            for change, options in {**two_groups.CHANGES, "as it is": {}}.items()
        }
    start = parameters_of(mlp(6, 80, 60, 10, activation="elu", seed=0))
    moved = {change: norm(axpy(-1, start, w)).item() for change, w in ends.items()}
    assert moved["none"] == moved["as it is"]
    assert moved["β = 0.0005"] == pytest.approx(moved["none"] / 2, rel=0.02)
    assert moved["training batches of 20"] != pytest.approx(moved["none"], rel=1e-3)


def test_a_row_of_the_search_takes_the_cells_of_its_own_change() -> None:
    done = [
        {"setting": {"change": c, "method": m, "seed": seed},
         "result": {"before": [0.1 * i, 0, 0, 0], "40": [0.1 * i + 0.02 * k, 0, 0, 0],
                    "400": [0.1 * i + 0.01 + 0.001 * seed, 0, 0, 0]}}
        for i, c in enumerate(two_groups.CHANGES)
        for k, m in enumerate(two_groups.METHODS[:3]) for seed in (0, 2)
    ]  # fmt: skip
    rows = two_groups.summarize_search(done)["rows"]
    assert [row[0] for row in rows] == list(two_groups.CHANGES)
    assert rows[1][1:] == ["10.0; 11.1 (10.0)", "12.0; 11.1 (10.0)", "14.0; 11.1 (10.0)"]


def test_new_clients_are_scored_as_the_library_scores_them() -> None:
    """The gradient of softmax regression, written out, beside ``adapt`` and ``evaluate``."""
    world = goal.world_of(load("mnist_mini"), 3)
    g = torch.Generator().manual_seed(1)
    w = {k: v + 0.1 * torch.randn(v.shape, generator=g) for k, v in
         parameters_of(world.model).items()}  # fmt: skip
    found, loss = goal.scored(world, w), loss_of(world.model)
    for k, steps in enumerate(goal.OWN_STEPS):
        own = partial(adapt, loss, alpha=goal.OWN_LR, steps=steps)
        right = evaluate(accuracy_of(world.model), w, *world.new, adapt=own)["after"]
        torch.testing.assert_close(found[k], right.double(), rtol=0, atol=1e-6)
    assert found.shape == (3, goal.NEW + goal.TUNE)
    assert not torch.equal(found[0], found[2])


def test_worlds_of_the_goal_share_no_image() -> None:
    world = goal.world_of(load("mnist_mini"), 0)
    sizes = [int(one.n.sum()) for one in (world.known[0], *world.new)]
    assert sizes == [3600, 140 * 6, 140 * 4]
    rows = torch.cat([one.data(i)[0] for one in (world.known[0], *world.new) for i in range(one.m)])
    assert len(rows.unique(dim=0)) == len(load("mnist_mini").x.unique(dim=0)) == 5000


def test_the_goal_counts_what_is_spent(monkeypatch) -> None:
    """Rows of the table from cells made by hand, and the ways to send from their bytes."""
    cell = {"bytes": 100, "gradients": 5, "samples": 50}
    done = [
        {"setting": {"method": name, "seed": k}, "result": {**cell, "rounds": rounds}}
        for name in goal.ROWS for k, rounds in enumerate((2, None, 4))
    ]  # fmt: skip
    row = goal.summarize(done)["rows"][1]
    assert row == ["FedAvg", "2, never, 4", "100", "300", "15", "150"]
    x = torch.tensor([[1.0] * 5 + [9.0] * 20] * 3)
    send = goal.sender("memory", torch.Generator())
    assert torch.equal(send(x)[0], torch.tensor([0.0] * 5 + [9.0] * 20))
    mean, size = send(torch.zeros_like(x))
    assert torch.equal(mean, torch.tensor([1.0] * 5 + [0.0] * 20)), "what was late comes now"
    assert size == goal.sender("largest", torch.Generator())(x)[1] < 100
    monkeypatch.setattr(goal, "ROUNDS", 2)
    world = goal.world_of(load("mnist_mini"), 0)._replace(rounds=2)
    local, personal = (goal.measure(goal.ROWS[name], world) for name in ("local", "path"))
    assert local["rounds"] is None
    assert local["bytes"] == 0
    assert personal["bytes"] == 4 * 1970
