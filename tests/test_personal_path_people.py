"""The path under chapter 7's protocol: it adapts as it should, and its rivals see the same."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import torch
from test_compared import tiny
from test_omniglot_run import tiny_world
from toy_clients import ragged_clients

from fedlearn_book.reproductions import RESULTS, compared, omniglot_clients, omniglot_starts
from fedlearn_book.reproductions import personal_path_few as personal_few
from fedlearn_book.reproductions import personal_path_people as people
from fedlearn_book.reproductions.personal_path_rounds import penalties
from fedlearn_book.reproductions.protocol import (
    ALPHAS,
    METHODS,
    STEPS,
    World,
    curve,
    judge,
    starts,
    train,
    walk,
)
from fedlearn_book.reproductions.protocol_path import used_on_path
from fedlearn_lib import gradient, loss_of, parameters_of
from fedlearn_lib.federated import path_models

SETTING = {"lr": 0.4, "kappa": 0.05, "first": 0}
METHOD = people.PATHS["path, entries"]


@pytest.mark.parametrize("kind", people.KINDS)
def test_a_newcomer_adapts_by_steps_of_an_empty_account(kind: str) -> None:
    world, method = tiny(), people.PATHS[f"path, {kind}"]
    state = train(method, SETTING, world)
    assert world.new is not None
    scores = curve(method, SETTING, world, state, world.new, 0.5)
    moved = False
    for i in range(3):
        V = {k: torch.zeros_like(v) for k, v in state.w.items()}
        groups, (x, y) = penalties(V, kind), world.new[1].data(i)
        for step in range(max(STEPS) + 1):
            u = {k: state.w[k] + 0.05 * groups[k].prox(V[k]) for k in V}
            if step in STEPS:
                right = torch.func.functional_call(world.model, u, (x,)).argmax(-1) == y
                share = float(right.double().mean())
                assert float(scores[STEPS.index(step), i]) == pytest.approx(share)
            slope = gradient(loss_of(world.model))(u, (world.new[0].data(i),))
            V = {k: v - 0.5 / 0.05 * slope[k] for k, v in V.items()}
        moved = moved or any(not torch.equal(u[k], state.w[k]) for k in u)
    assert moved


def test_known_clients_go_on_from_their_own_accounts() -> None:
    world = tiny()
    state = train(METHOD, SETTING, world)
    penalty = penalties(parameters_of(world.model), "entries")
    models = path_models(state, kappa=0.05, penalty=penalty)
    assert any(not torch.equal(v[0], state.w[k]) for k, v in models.items())
    held = starts(METHOD, world, state, world.known)
    for i in range(4):
        used = used_on_path({k: v[i] for k, v in held.items()}, 0.05, "entries")
        for k in used:
            torch.testing.assert_close(used[k], models[k][i], rtol=0, atol=1e-12)
    *_, after = walk(METHOD, SETTING, world, state, world.known, 0.5, (0, 3))
    for k in state.w:
        assert torch.equal(after[k], held[k]), "adapting moves accounts, not the shared model"
    assert not torch.equal(after["dual.1.weight"], held["dual.1.weight"])


@pytest.mark.parametrize("first", [0, 2, 4])
def test_rounds_of_fedavg_may_go_first_on_the_same_batches(first: int) -> None:
    """With an entrance fee that nobody can pay the path is FedAvg, wherever it takes over."""
    world = tiny()
    plain = train(METHODS["FedAvg"], {"lr": 0.4}, world)
    state = train(METHOD, {"lr": 0.4, "kappa": 1e6, "first": first}, world)
    for k, v in plain.w.items():
        torch.testing.assert_close(state.w[k], v, rtol=0, atol=1e-12)
    empty = all(bool((v == 0).all()) for v in state.own.values())
    assert empty == (first == 4), "accounts are paid into from there on"


def omniglot_like(search: bool = False) -> World:
    return people.world_of(tiny_world(search), 3)


def test_on_omniglot_the_same_batches_are_drawn_as_for_the_stored_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"ROUNDS": 2, "COHORT": 2, "LOCAL": 2, "BATCH": 2}.items():
        monkeypatch.setattr(omniglot_starts, name, value)
    stored = omniglot_starts.train("FedAvg", {"lr": 0.3}, tiny_world(), 3)
    ours = train(METHODS["FedAvg"], {"lr": 0.3}, omniglot_like(), draws=1)
    for k, v in stored.items():
        assert torch.equal(ours.w[k], v)
    scores = omniglot_starts.curve(stored, tiny_world().drawers, 0.3, "FedAvg")
    again = people.curve_of(METHODS["FedAvg"], {}, omniglot_like(), ours, "drawers", 0.3)
    assert torch.equal(scores, again)
    method = people.KEPT["local"]
    state = train(method, {"lr": 0.3}, omniglot_like(), draws=1)
    world = omniglot_like()
    every = curve(method, {}, world, state, world.known, 0.3, omniglot_starts.STEPS)
    third = people.curve_of(method, {}, world, state, "known", 0.3)
    assert torch.equal(third, every[:, ::3]), "one client in three, with its own model"


def test_both_run_end_to_end_on_toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(compared, "load_all", lambda root: {})
    monkeypatch.setattr(compared, "make_world", lambda split, seed, mnist: tiny(seed))
    monkeypatch.setitem(compared.SEEDS, "writers", 2)
    monkeypatch.setattr(people, "DRAWN", (0, 1))
    monkeypatch.setattr(omniglot_clients, "load_all", lambda root: None)
    monkeypatch.setattr(
        omniglot_clients, "make_world", lambda data, seed, search=False: tiny_world(search)
    )
    for name, value in {"ROUNDS": 2, "COHORT": 2, "LOCAL": 1, "BATCH": 2}.items():
        monkeypatch.setattr(omniglot_starts, name, value)
    monkeypatch.setattr(omniglot_starts, "ALPHAS", {"all": (0.3,), "head": (1.0,)})
    monkeypatch.setattr(people, "PATH_ALPHAS", (0.3,))
    for table in (people.PATHS, people.KEPT):
        for name, method in table.items():
            monkeypatch.setitem(table, name, method._replace(grid=method.grid[:1]))
    people.writers(folder=tmp_path)
    people.drawers(folder=tmp_path)
    for name, methods in (("writers", people.PATHS), ("omniglot", people.KEPT)):
        record = json.loads((tmp_path / f"personal_path_{name}.json").read_text())
        assert len(record["cells"]) == 3 * len(methods)
        assert record["seeds"] == [0, 1]
        for cell in record["cells"]:
            chosen = record["cells"][list(methods).index(cell["setting"]["method"])]["result"]
            assert chosen["runs"] == 1
    rows = record["table"]["rows"]
    assert len(rows) == 3 * (len(people.STARTS) + len(people.KEPT))
    assert sum("3.weight" in row[-1] for row in rows) == 2


def test_what_is_reported_is_not_what_was_chosen_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other scored samples of the reported deal change its scores, and not the choice."""
    monkeypatch.setitem(people.PATHS, "path, entries", METHOD._replace(grid=(SETTING,)))
    world = tiny()
    x = [ragged_clients([6, 5, 7], seed=s) for s in (8, 9)]
    other = world._replace(new=(x[0], x[1]))
    judged = [judge("path, entries", [one], people.PATHS) for one in (world, other)]
    assert judged[0] == judged[1]
    score = partial(people.score_writers, "path, entries", chosen=judged[0])
    assert score(world)["personal"][:2] != score(other)["personal"][:2]
    assert score(world)["personal"][2:] == score(other)["personal"][2:]


def test_few_keeps_the_first_images_of_those_who_have_enough() -> None:
    learn, score = ragged_clients([25, 20, 19], seed=0), ragged_clients([4, 5, 6], seed=1)
    own, judged = personal_few.few((learn, score), 5)
    assert own.n.tolist() == [5, 5]
    assert judged.n.tolist() == [4, 5]
    assert torch.equal(own.x[1], learn.x[1, :5])
    assert torch.equal(judged.y[1, :5], score.y[1, :5])


def test_new_writers_with_few_images_choose_by_others_like_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The cell is the curve of the clients cut short, at the place that is best for others."""
    monkeypatch.setattr(personal_few, "SIZES", (2, 5))
    world = tiny(1)
    found = {name: method.grid[0] for name, method in personal_few.RUNNERS.items()}
    found["FedAvg"] = {"lr": 0.4}
    cell = personal_few.compute(found, tiny, "FedAvg", 1)
    state = train(METHODS["FedAvg"], found["FedAvg"], world)
    assert world.tune is not None
    assert world.new is not None
    for n in (2, 5):
        alpha, steps = cell["use"][str(n)]
        others, new = (personal_few.few(sides, n) for sides in (world.tune, world.new))
        best = max(
            float(curve(METHODS["FedAvg"], {}, world, state, others, a).mean(1).max())
            for a in ALPHAS
        )
        at = curve(METHODS["FedAvg"], {}, world, state, others, alpha, (steps,))
        assert float(at.mean()) == pytest.approx(best)
        scores = curve(METHODS["FedAvg"], {}, world, state, new, alpha, (steps,))
        assert cell[str(n)] == pytest.approx(float(scores.mean()), abs=1e-4)
    monkeypatch.setattr(compared, "load_all", lambda root: {})
    monkeypatch.setattr(compared, "make_world", lambda split, seed, mnist: tiny(seed))
    monkeypatch.setattr(personal_few, "settings", lambda home: found)
    monkeypatch.setitem(compared.SEEDS, "writers", 2)
    personal_few.main(folder=tmp_path)
    record = json.loads((tmp_path / "personal_path_few.json").read_text())
    assert [row[0] for row in record["table"]["rows"]][:2] == ["local", "FedAvg + ft"]
    assert len(record["cells"]) == 2 * len(personal_few.RUNNERS)


def test_the_stored_run_was_made_with_what_new_writers_chose() -> None:
    """FedAvg's step 0.8 is the one that chapter 7 chose; each method has a setting of its grid."""
    found = personal_few.settings(RESULTS)
    assert found["FedAvg"] == found["FedAvg, head"] == {"lr": 0.8}
    assert all(found[name] in method.settings for name, method in personal_few.RUNNERS.items())
