"""The protocol of the comparison: nothing is seen twice, and everybody gets the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_clients import ragged_clients, seeded

from fedlearn_book.reproductions import RESULTS
from fedlearn_book.reproductions.compared import (
    DEALT,
    SPLITS,
    choices,
    costs_of,
    edges_of,
    make_world,
    summarize,
    summarize_beyond,
    summarize_search,
)
from fedlearn_book.reproductions.part import write
from fedlearn_book.reproductions.protocol import (
    ALPHAS,
    METHODS,
    STEPS,
    World,
    cost,
    curve,
    head_of,
    is_dead,
    judge,
    measure,
    paired,
    starts,
    train,
    worst,
)
from fedlearn_book.reproductions.record import run_cells
from fedlearn_lib import fedavg, gradient, loss_of, mlp, parameters_of, perfedavg, run


def tiny(seed: int = 0) -> World:
    train, test = (
        ragged_clients(sizes, seed=s) for s, sizes in enumerate([[9, 7, 8, 9], [4, 5, 4, 6]])
    )
    spare = ragged_clients([3, 3, 2, 3], seed=6)
    few = [ragged_clients([6, 5], seed=s) for s in (2, 3)]
    new = [ragged_clients([6, 5, 7], seed=s) for s in (4, 5)]
    model = mlp(4, 5, 3, activation="tanh", seed=seed).double()
    return World(
        (train, test), (train, spare), (few[0], few[1]), (new[0], new[1]), model, 4, 2, 2, 3, seed
    )


def test_every_method_sees_the_same_cohorts_and_batches() -> None:
    world, loss = tiny(), loss_of(tiny().model)
    seen: dict[str, list[Any]] = {}
    for name, algorithm in {
        "one": fedavg(gradient(loss), lr=0.1), "three": perfedavg(loss, alpha=0.1, beta=0.1)
    }.items():  # fmt: skip

        def client(w, batches, own=algorithm, name=name):
            seen.setdefault(name, []).append((batches[0][:, 0].clone(), batches[0].shape[1]))
            return own.client(w, batches)

        run(
            paired(algorithm._replace(client=client)), parameters_of(world.model), world.known[0],
            rounds=3, cohort=2, steps=2, batch=3, generator=seeded(), how="loop",
        )  # fmt: skip
    assert [k for _, k in seen["one"]] == [1] * 7  # one rehearsal, then 3 rounds of 2 clients
    assert [k for _, k in seen["three"]] == [3] * 7
    for (a, _), (b, _) in zip(seen["one"][1:], seen["three"][1:], strict=True):
        assert torch.equal(a, b)


def test_no_setting_is_tried_twice_and_all_have_the_same_range_of_steps() -> None:
    """A method with two knobs does not pay for the second with the range of the first."""
    for name, method in METHODS.items():
        every = {str(sorted(setting.items())) for setting in method.settings}
        assert len(every) == len(method.settings)
        if name == "pFedMe":  # steps of 1 / lambda, and inner steps
            assert max(1 / setting["lam"] for setting in method.grid) > 1.6
            continue
        knob = "beta" if name.startswith("Per") else "lr"
        assert max(setting[knob] for setting in method.grid) == 1.6, name


def test_what_lies_beyond_a_grid_begins_where_it_ends() -> None:
    """Numbers of settings in the grid stay what they were; the new ones pass its last value."""
    knobs = {"SCAFFOLD": "server_lr", "Reptile": "epsilon", "pFedMe": "lam"}
    knobs["Per-FedAvg fo"] = "beta"
    assert set(knobs) == {name for name, method in METHODS.items() if method.beyond}
    for name, knob in knobs.items():
        method = METHODS[name]
        assert method.settings[: len(method.grid)] == method.grid
        last = max(setting[knob] for setting in method.grid)
        assert all(setting[knob] > last for setting in method.beyond)


def test_finalists_are_judged_by_their_own_numbers() -> None:
    """A choice among some settings is the best of these, and is called by its number."""
    world, method = tiny(), METHODS["Reptile"]
    numbers = [1, 4, 17]
    report = judge("Reptile", [world], numbers=numbers)
    tried = [
        max(
            float(curve(method, method.settings[i], world, state, world.spare, a).mean(1).max())
            for a in ALPHAS
        )
        for i in numbers
        for state in [train(method, method.settings[i], world)]
    ]
    assert report["known"]["tried"] == pytest.approx(tried, abs=1e-4)
    assert report["known"]["personal"][0] == numbers[tried.index(max(tried))]
    assert {report[who]["plain"] for who in ("new", "known")} <= set(numbers)
    assert report["runs"] == 3
    assert measure("Reptile", world, report)["personal"]


def test_a_second_search_takes_the_place_of_the_first(tmp_path) -> None:
    first = [{"setting": {"split": "s", "method": m}, "result": {"new": 1}} for m in "ab"]
    again = [{"setting": {"split": "s", "method": "a"}, "result": {"new": 2}}]
    for name, cells in {"compared_search": first, "compared_beyond": again}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"cells": cells}))
    found = {cell["setting"]["method"]: cell["result"]["new"] for cell in choices(tmp_path)}
    assert found == {"a": 2, "b": 1}


@pytest.mark.parametrize("split", ["two groups", "dirichlet 0.3", "hospitals"])
def test_no_sample_has_two_roles(split: str) -> None:
    world = make_world(split, 1)
    rows = []
    for sides in (world.known, world.tune, world.new):
        for side in sides or ():
            rows += [side.data(i)[0] for i in range(side.m)]
    assert world.spare[0] is world.known[0]
    rows += [world.spare[1].data(i)[0] for i in range(world.spare[1].m)]
    pool = torch.cat(rows)
    if split == "hospitals":  # patients may be equal; there are 920, each in one role
        assert len(pool) == 920
    else:
        assert len(pool.unique(dim=0)) == len(pool) >= 3000


def test_a_split_of_the_hospitals_scores_a_fifth_of_each() -> None:
    world = make_world("hospitals", 3)
    assert world.known[1].n.tolist() == [61, 59, 25, 40]  # of 303, 294, 123, 200 patients
    other = make_world("hospitals", 4)
    assert not torch.equal(world.known[1].x, other.known[1].x)


def test_seeds_are_different_experiments() -> None:
    first, second = make_world("two groups", 0), make_world("two groups", 1)
    assert not torch.equal(first.known[0].x[0], second.known[0].x[0])
    for sides in (first.known, first.tune, first.new):
        assert sides is not None
        assert torch.allclose(sides[0].p, torch.full_like(sides[0].p, 1 / sides[0].m))


@pytest.mark.parametrize("name", METHODS)
def test_the_curve_begins_where_training_ended(name: str) -> None:
    world, method = tiny(), METHODS[name]
    state = train(method, method.grid[0], world)
    scores = curve(method, method.grid[0], world, state, world.known, 0.3)
    assert scores.shape == (len(STEPS), 4)
    model = (
        {k: v[0] for k, v in state.own.items()} if name in ("local", "Ditto", "pFedMe") else None
    )
    if model is not None:
        outputs = torch.func.functional_call(world.model, model, (world.known[1].data(0)[0],))
        expected = (outputs.argmax(-1) == world.known[1].data(0)[1]).double().mean()
        assert float(scores[0, 0]) == pytest.approx(float(expected))


def test_a_diverged_client_has_nothing_right() -> None:
    """NaN would be the largest of all scores to ``argmax``, and its setting the chosen one."""
    world = tiny()
    state = train(METHODS["FedAvg"], {"lr": 0.1}, world)
    dead = state._replace(w={k: v * torch.nan for k, v in state.w.items()})
    with pytest.warns(UserWarning, match="4 of 4 clients"):
        scores = curve(METHODS["FedAvg"], {"lr": 0.1}, world, dead, world.known, 0.3)
    assert scores.tolist() == [[0.0] * 4] * len(STEPS)


def test_a_client_adapts_on_all_its_own_samples_and_on_nothing_else() -> None:
    """One full-batch step by hand, for clients of unequal size, whose rows are padded."""
    world = tiny()
    state = train(METHODS["FedAvg"], {"lr": 0.1}, world)
    assert world.new is not None
    scores = curve(METHODS["FedAvg"], {"lr": 0.1}, world, state, world.new, 0.7, (1,))[0]
    for i in range(3):
        slope = gradient(loss_of(world.model))(state.w, (world.new[0].data(i),))
        own = {k: v - 0.7 * slope[k] for k, v in state.w.items()}
        x, y = world.new[1].data(i)
        outputs = torch.func.functional_call(world.model, own, (x,))
        assert float(scores[i]) == pytest.approx(float((outputs.argmax(-1) == y).double().mean()))
    padded = world.new[0]
    assert int(padded.n.min()) < padded.x.shape[1]
    assert bool(padded.x[1, int(padded.n[1]) :].isnan().all())  # beyond its samples
    padded.x[1, int(padded.n[1]) :] = 1e3
    again = curve(METHODS["FedAvg"], {"lr": 0.1}, world, state, world.new, 0.7, (1,))[0]
    assert torch.equal(scores, again)


@pytest.mark.parametrize("name", ["Ditto", "SCAFFOLD"])
def test_new_clients_start_from_the_shared_model(name: str) -> None:
    world, method = tiny(), METHODS[name]
    four = (ragged_clients([6, 5, 7, 4], seed=4), ragged_clients([6, 5, 7, 4], seed=5))
    state = train(method, method.grid[0], world)
    scores = curve(method, method.grid[0], world, state, four, 0.3)[0]
    for i in range(4):  # as many as trained, so that a mix-up would have the right shape
        x, y = four[1].data(i)
        outputs = torch.func.functional_call(world.model, state.w, (x,))
        assert float(scores[i]) == pytest.approx(float((outputs.argmax(-1) == y).double().mean()))


def test_newcomers_of_fedrep_get_the_mean_of_the_kept_heads() -> None:
    world, method = tiny(), METHODS["FedRep"]
    state = train(method, {"lr": 0.2}, world)
    assert world.new is not None
    models = starts(method, world, state, world.new)
    for name, leaf in models.items():
        own = name in head_of(world.model)
        expected = state.own[name].mean(0) if own else state.w[name]
        assert torch.allclose(leaf, expected.expand(3, *expected.shape))
    assert not torch.allclose(models["3.weight"][0], state.w["3.weight"])


@pytest.mark.parametrize("name", ["FedAvg", "Ditto"])
def test_tuning_never_looks_at_what_is_reported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reported samples change what is reported of them, and nothing that was chosen."""
    few = METHODS[name]._replace(grid=METHODS[name].grid[:4])
    monkeypatch.setitem(METHODS, name, few)
    world = tiny()
    x = [ragged_clients([6, 5, 7], seed=8), ragged_clients([6, 5, 7], seed=9)]
    other = world._replace(
        new=(x[0], x[1]), known=(world.known[0], ragged_clients([5, 6, 4, 7], seed=12))
    )
    chosen = judge(name, [world])
    assert chosen == judge(name, [other])
    one, two = (measure(name, w, chosen) for w in (world, other))
    assert one["personal"][:2] != two["personal"][:2]
    assert one["personal"][2:] != two["personal"][2:]
    for who in ("new", "known"):
        i, a, s = chosen[who]["personal"]
        assert i in range(len(METHODS[name].grid))
        assert a in ALPHAS
        assert s in STEPS
        if who == "new":
            assert one["curve"][STEPS.index(s)] == one["personal"][0]


def test_known_clients_are_chosen_for_on_their_spare_samples() -> None:
    """Local training leaves the shared start alone: only spare samples can tell its settings."""
    world, local = tiny(), METHODS["local"]
    tried = [
        curve(local, setting, world, train(local, setting, world), world.spare, alpha)
        for setting in local.grid
        for alpha in ALPHAS
    ]
    best = max(float(scores.mean(1).max()) for scores in tried)
    chosen = judge("local", [world])
    assert chosen["new"]["personal"][0] == chosen["new"]["plain"] == 0  # a tie: the first
    i, a, s = chosen["known"]["personal"]
    own = tried[i * len(ALPHAS) + ALPHAS.index(a)]
    assert float(own.mean(1)[STEPS.index(s)]) == best
    assert chosen["known"]["tried"][i] == round(best, 4) == max(chosen["known"]["tried"])
    elsewhere = judge("local", [world._replace(tune=(world.new or world.spare))])
    assert elsewhere["known"] == chosen["known"]


def test_two_worlds_choose_together() -> None:
    """What is best on the mean of two worlds need not be best in either; the mean decides."""
    worlds = [tiny(0), tiny(1)]
    method = METHODS["FedAvg"]
    mean = torch.stack([
        torch.stack([
            torch.stack([
                curve(method, setting, w, train(method, setting, w), w.tune or w.spare, a).mean(1)
                for a in ALPHAS
            ])
            for setting in method.grid
        ])
        for w in worlds
    ]).mean(0)  # fmt: skip
    i, a, s = judge("FedAvg", worlds)["new"]["personal"]
    assert float(mean[i, ALPHAS.index(a), STEPS.index(s)]) == float(mean.max())


def test_without_clients_to_spare_the_known_ones_stand_in() -> None:
    world = tiny()._replace(tune=None, new=None)
    chosen = judge("FedAvg", [world])
    assert chosen["new"] == chosen["known"]
    report = measure("FedAvg", world, chosen)
    assert report["personal"][:2] == report["personal"][2:]


def test_dead_runs_are_counted_and_never_chosen() -> None:
    world, method = tiny(), METHODS["FedAvg"]
    state = train(method, {"lr": 0.1}, world)
    assert not is_dead(state)
    gone = state._replace(w={k: v * torch.nan for k, v in state.w.items()})
    assert is_dead(gone)
    chosen = {who: {"plain": 0, "personal": [0, 0.1, 1]} for who in ("new", "known")}
    assert measure("FedAvg", world, chosen)["dead"] == 0


def test_a_choice_says_where_its_grid_ends() -> None:
    assert edges_of("FedAvg", [2, 0.3, 10]) == []
    assert edges_of("FedAvg", [0, 0.03, 20]) == ["lr", "step", "steps"]
    assert edges_of("FedAvg", [2, 0.03, 0]) == []  # who takes no step chooses no size
    lam = [s["lam"] for s in METHODS["pFedMe"].grid]
    assert "lam" in edges_of("pFedMe", [lam.index(min(lam)), 0.3, 5])
    assert "lam" in edges_of("pFedMe", [lam.index(max(lam)), 0.3, 5])
    settings = METHODS["pFedMe"].settings  # with what lies beyond, the grid's last is inside
    assert "lam" not in edges_of("pFedMe", [lam.index(max(lam)), 0.3, 5], settings)


def test_the_page_of_reproductions_names_every_choice_at_an_upper_end() -> None:
    longest: dict[str, list[str]] = {}
    for cell in choices(RESULTS):
        split, method = cell["setting"]["split"], cell["setting"]["method"]
        index, step, steps = cell["result"]["new"]["personal"]
        tried = METHODS[method].settings
        ends = [k for k, v in tried[index].items() if v == max(s[k] for s in tried)]
        for name in [*ends, *(["step"] if step == ALPHAS[-1] and steps else [])]:
            longest.setdefault(f"{method} {name}", []).append(split)
    assert longest == {
        "SCAFFOLD server_lr": ["dirichlet 0.3"],
        "FedRep step": ["two groups", "writers"],
        "Per-FedAvg fo step": ["writers"],
    }
    page = (Path(__file__).parents[1] / "book/reproductions.md").read_text(encoding="utf-8")
    for words in (
        "SCAFFOLD's server step $8$ (Dirichlet)",
        "FedRep's step of adaptation, $1$ (two groups and writers)",
        "and that of first order (writers)",
    ):
        assert words in page


def test_what_a_round_costs() -> None:
    world = make_world("two groups", 0)
    costs = {name: cost(method, world) for name, method in METHODS.items()}
    size = 4 * sum(p.numel() for p in world.model.parameters())
    assert costs["FedAvg"] == [size, size, 1]
    assert costs["local"] == [0, 0, 1]
    assert costs["SCAFFOLD"] == [2 * size, 2 * size, 1]
    assert costs["FedRep"] == [size - 4 * 410, size - 4 * 410, 2]
    assert [costs[n][2] for n in ("FedProx", "Reptile", "pFedMe", "Ditto")] == [1, 1, 3, 2]
    assert [costs[f"Per-FedAvg {mode}"][2] for mode in ("fo", "hf", "exact")] == [2, 4, 3]
    three = {"alpha": 0.1, "beta": 0.4, "inner_steps": 3}
    assert cost(METHODS["Per-FedAvg fo"], world, three)[2] == 4
    assert costs_of("hospitals", [])["FedAvg"] == [4 * 28, 4 * 28, 1]


def test_the_head_is_the_last_layer() -> None:
    assert head_of(mlp(4, 5, 3)) == {"3.weight", "3.bias"}
    assert head_of(mlp(4, 3)) == {"1.bias"}


def test_the_worst_tenth() -> None:
    assert worst(torch.arange(20.0)) == 0.5
    assert worst(torch.tensor([3.0, 1.0, 2.0])) == 1.0


def test_the_table_has_a_row_for_each_split_and_method() -> None:
    cells = [
        {"setting": {"split": s, "method": m, "seed": k},
         "result": {"plain": [0.5, 0, 0, 0], "dead": 1,
                    "personal": [0.6 + 0.1 * (k % 5) + 0.1 * (m == "Ditto"), 0.2, 0.7, 0.3]}}
        for s in SPLITS for m in METHODS for k in range(5)
    ]  # fmt: skip
    table = summarize(cells)
    assert len(table["rows"]) == len(SPLITS) * len(METHODS)
    # five numbers 60, 70, …, 100: mean 80, sd √250, t(4) = 2.776
    assert table["rows"][0] == [
        "two groups", "local", "50.0 ± 0.0", "80.0 ± 19.6", "20.0 ± 0.0", "70.0 ± 0.0",
        "+0.0 ± 0.0", "+0.0 ± 0.0", 5,
    ]  # fmt: skip
    rows = {row[1]: row for row in table["rows"][: len(METHODS)]}
    assert rows["Ditto"][6] == "+10.0 ± 0.0"  # seed by seed, though the seeds differ by 40
    assert rows["FedAvg"][6:8] == ["", ""]


def test_the_table_of_the_search_says_what_was_chosen() -> None:
    result = {
        "dead": 1, "runs": 10,
        "new": {"plain": 0, "personal": [4, 0.3, 10], "tried": [0.5, 0.75, 0.5, 0.5, 0.8125]},
    }  # fmt: skip
    cells = [{"setting": {"split": DEALT[0], "method": "FedAvg"}, "result": result}]
    assert summarize_search(cells)["rows"] == [
        [DEALT[0], "FedAvg", "lr = 1.6", "10 of 0.3", "6.2", "1 of 10", "lr"]
    ]


def test_the_table_beyond_the_grids_says_what_going_on_has_won() -> None:
    tried = [0.5, 0.75, 0.625, 0.8125, 0.5]  # two of the grid, three beyond it
    result = {
        "dead": 0, "runs": 10, "numbers": [3, 8, 25, 26, 27],
        "new": {"plain": 3, "personal": [26, 1.0, 3], "tried": tried},
    }  # fmt: skip
    cells = [{"setting": {"split": DEALT[0], "method": "pFedMe"}, "result": result}]
    assert summarize_beyond(cells)["rows"] == [
        [DEALT[0], "pFedMe", "lam = 10, inner_lr = 0.1", "3 of 1", "+6.2", "0 of 10", "lam, step"]
    ]


def test_a_stopped_run_goes_on_where_it_was(tmp_path) -> None:
    calls: list[int] = []

    def compute(seed: int) -> dict[str, float]:
        calls.append(seed)
        if seed == 2 and len(calls) == 3:
            raise KeyboardInterrupt
        return {"value": seed / 2}

    def go() -> Any:
        return run_cells(
            "toy", [{"seed": k} for k in range(4)], compute, folder=tmp_path, title="toy",
            table=lambda cells: {"columns": ["value"], "rows": [[c["result"]] for c in cells]},
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        go()
    result = json.loads(go().read_text())
    assert calls == [0, 1, 2, 2, 3]
    assert [cell["result"]["value"] for cell in result["cells"]] == [0, 0.5, 1, 1.5]
    assert result["seeds"] == [0, 1, 2, 3]
    assert not list(tmp_path.glob("*.part"))


def test_lists_of_numbers_take_one_line_and_nothing_is_lost(tmp_path) -> None:
    content = {"a [1,\n 2]": [1, 2.5, "x [ y"], "b": {"c": [], "d": {"e": 1, "f": None}}}
    write(tmp_path / "one.json", content)
    text = (tmp_path / "one.json").read_text()
    assert json.loads(text) == content
    assert '{ "e": 1, "f": null }' in text
