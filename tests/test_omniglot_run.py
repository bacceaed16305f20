"""The reproduction on Omniglot: nobody has two roles, and what is chosen is never reported."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from fedlearn_book.reproductions import (
    RESULTS,
    omniglot,
    omniglot_clients,
    omniglot_starts,
    read,
)
from fedlearn_book.reproductions.omniglot import WHO, choose, summarize
from fedlearn_book.reproductions.omniglot_clients import World, make_world
from fedlearn_book.reproductions.omniglot_starts import (
    ALPHAS,
    GRIDS,
    STEPS,
    curve,
    network,
    part_of,
)
from fedlearn_lib import Clients, adapt, loss_of, parameters_of
from fedlearn_lib.data import Dataset

CHARACTERS = 3


def toy() -> Dataset:
    """50 alphabets of three characters and 20 people; x says which (alphabet, character, person).

    The loader's order: by alphabet, character, person.
    """
    who = torch.cartesian_prod(torch.arange(50), torch.arange(CHARACTERS), torch.arange(20))
    x = torch.zeros(len(who), omniglot_clients.INPUTS)
    x[:, :3] = who.float()
    return Dataset(x, who[:, 1], 20 * who[:, 0] + who[:, 2], "toy")


def people(clients: Clients) -> list[set[tuple[int, int]]]:
    """For each client, the (alphabet, person) who drew its images."""
    return [
        {(int(a), int(p)) for a, _, p in clients.data(i)[0][:, :3].tolist()}
        for i in range(clients.m)
    ]


@pytest.mark.parametrize("search", [True, False])
def test_a_client_is_four_people_and_each_character_is_scored_once(search: bool) -> None:
    world = make_world(toy(), 3, search=search)
    for learn, score in world:
        for i in range(learn.m):
            drawn = [side.data(i)[0][:, :3] for side in (learn, score)]
            assert torch.equal(learn.data(i)[1].bincount(), torch.full((CHARACTERS,), 3))
            assert torch.equal(score.data(i)[1], torch.arange(CHARACTERS))
            both = torch.cat(drawn)
            assert len(both.unique(dim=0)) == 4 * CHARACTERS
            assert len(both[:, 2].unique()) == 4
            assert len(both[:, 0].unique()) == 1


def test_nobody_has_two_roles_and_what_is_chosen_on_is_never_reported() -> None:
    data = toy()
    found = make_world(data, 100, search=True)
    judged = {a for client in people(found.alphabets[0]) for a, _ in client}
    assert len(judged) == omniglot_clients.TUNE
    for seed in range(5):
        world = make_world(data, seed)
        known, drawers, new = ([one for c in people(side[0]) for one in c] for side in world)
        everybody = known + drawers + new
        assert len(everybody) == len(set(everybody))
        alphabets = [{a for a, _ in side} for side in (known, drawers, new)]
        assert alphabets[0] == alphabets[1]
        assert [len(one) for one in alphabets] == [30, 30, 12]
        assert not alphabets[0] & alphabets[2]
        assert not judged & (alphabets[0] | alphabets[2])
    sizes = [(side[0].m, side[1].m) for side in world]
    assert sizes == [(90, 90), (30, 30), (24, 24)]


def tiny_world(search: bool = False) -> World:
    """Clients of different size, so that padding would be seen."""
    g = torch.Generator().manual_seed(int(search))
    x = torch.randn(40, omniglot_clients.INPUTS, generator=g)
    y = torch.arange(40) % 3
    x[:, 0] += 3 * y
    parts = [range(9), range(9, 15), range(15, 20)], [range(20, 26), range(26, 36), range(36, 40)]
    sides = Clients.of(x, y, parts[0], [1] * 3), Clients.of(x, y, parts[1], [1] * 3)
    return World(sides, sides, sides)


@pytest.mark.parametrize("method", ["FedAvg", "FedAvg, head"])
def test_the_curve_is_what_adapt_gives_client_by_client(method: str) -> None:
    sides, w = tiny_world().known, parameters_of(network(1))
    loss = loss_of(network())
    scores = curve(w, sides, 0.3, method)
    assert scores.shape == (len(STEPS), 3)
    for i in range(3):
        for row, steps in enumerate(STEPS):
            v, batch = w, sides[0].data(i)
            for _ in range(steps):
                new = adapt(loss, v, batch, 0.3)
                kept = omniglot_starts.HEAD if method.endswith("head") else new.keys()
                v = {k: new[k] if k in kept else v[k] for k in new}
            x, y = sides[1].data(i)
            right = torch.func.functional_call(network(), v, (x,)).argmax(1) == y
            assert float(scores[row, i]) == pytest.approx(float(right.double().mean()), abs=1e-6)
    assert not torch.equal(scores[0], scores[-1])


def test_a_dead_start_has_nothing_right() -> None:
    w = {k: v * torch.nan for k, v in parameters_of(network()).items()}
    assert omniglot_starts.is_dead(w)
    assert not omniglot_starts.is_dead(parameters_of(network()))
    with pytest.warns(UserWarning, match="3 of 3 clients"):
        assert curve(w, tiny_world().known, 0.3, "FedAvg").sum() == 0


def searched(best: dict[str, int]) -> list[dict[str, Any]]:
    """Cells of a search in which setting number ``best[method]`` does best, with step 1.0."""
    cells = []
    for method, settings in GRIDS.items():
        for k, setting in enumerate(settings):
            height = 0.5 if k == best.get(method, 0) else 0.2
            scores = [
                [0.0, 0.1, height - 0.1 * (a != 1.0), height + 0.1, 0.0]
                for a in ALPHAS[part_of(method)]
            ]
            cells.append({
                "setting": {"method": method, "seed": 100, **setting},
                "result": {"dead": k == 0, "drawers": scores, "alphabets": scores},
            })  # fmt: skip
    return cells


def test_the_best_setting_is_chosen_with_its_step_for_each_use() -> None:
    chosen = choose(searched({"FO, 1 step": 4}))
    assert chosen["FO, 1 step"]["setting"] == GRIDS["FO, 1 step"][4]
    assert chosen["FedAvg"]["setting"] == GRIDS["FedAvg"][0]
    assert chosen["from scratch"]["setting"] == {}
    uses = chosen["FO, 1 step"]["use"]
    assert set(uses) == {"drawers", "alphabets"}
    (few, few_steps), (_, many_steps) = uses["drawers"]
    assert (few, few_steps, many_steps) == (1.0, 3, 10), "the budget of three steps is kept"


def test_both_run_end_to_end_on_a_toy(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(omniglot, "load_all", lambda root: None)
    monkeypatch.setattr(omniglot, "make_world", lambda data, seed, search=False: tiny_world(search))
    monkeypatch.setattr(omniglot, "SEEDS", (0, 1))
    few = {name: GRIDS[name][:2] for name in ("from scratch", "FedAvg", "FedAvg, head", "Reptile")}
    few["exact, 1 step"] = GRIDS["exact, 1 step"][:1]
    monkeypatch.setattr(omniglot, "GRIDS", few)
    for name, value in {"ROUNDS": 1, "COHORT": 2, "LOCAL": 1, "BATCH": 2}.items():
        monkeypatch.setattr(omniglot_starts, name, value)
    omniglot.search(folder=tmp_path)
    found = json.loads((tmp_path / "omniglot_search.json").read_text())
    assert len(found["cells"]) == sum(len(grid) for grid in few.values())
    omniglot.main(folder=tmp_path)
    record = json.loads((tmp_path / "omniglot.json").read_text())
    assert len(record["cells"]) == 2 * len(few)
    assert record["chosen"] == json.loads(json.dumps(choose(found["cells"])))
    assert all(0 <= v <= 1 for cell in record["cells"] for who in WHO for v in cell["result"][who])


def test_a_row_is_the_paired_difference_to_fedavg() -> None:
    cells = [
        {"setting": {"method": method, "seed": seed},
         "result": {"dead": method == "Reptile" and seed == 1,
                    **{who: [0.1, 0.2 + 0.1 * k + 0.05 * seed, 0.5] for who in WHO}}}
        for k, method in enumerate(GRIDS) for seed in range(3)
    ]  # fmt: skip
    table = summarize(cells)
    rows = {(row[0], row[1]): row[2:] for row in table["rows"]}
    assert len(rows) == 3 * len(GRIDS)
    row = rows[omniglot.ROWS[2], "Reptile"]
    half = 4.3026527 * 5 / 3**0.5  # Student's t with two degrees of freedom, sd 5 points
    assert row[:3] == ["10.0 ± 0.0", f"55.0 ± {half:.1f}", "50.0 ± 0.0"]
    assert row[3:] == ["+20.0 ± 0.0", "+0.0 ± 0.0", 1]
    assert rows[omniglot.ROWS[0], "FedAvg"][3:] == ["", "", 0]


@pytest.mark.skipif(not (RESULTS / "omniglot.json").exists(), reason="the run is not stored yet")
def test_the_stored_run_used_what_the_stored_search_found() -> None:
    found = choose(read("omniglot_search")["cells"])
    assert read("omniglot")["chosen"] == json.loads(json.dumps(found))
