"""Several processes compute what one process computes, and say so when they cannot."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from toy_clients import ragged_clients, seeded

from fedlearn_lib import (
    SplitLBI,
    fedavg,
    gradient,
    logistic,
    loss_of,
    parameters_of,
    perfedavg,
    run,
    weighted_mean,
)
from fedlearn_lib.data import GaussianPopulation
from fedlearn_lib.engines.torch_dist import Shard, all_reduced, mean_over_processes
from fedlearn_lib.federated import personal_path, scaffold

SIZES = [5, 3, 8, 2, 6]
MODEL = logistic(4, 3).double()
LOSS = loss_of(MODEL)
METHODS: dict[str, Any] = {
    "FedAvg": fedavg(gradient(LOSS), lr=0.2, server_lr=0.7),
    "Per-FedAvg": perfedavg(LOSS, alpha=0.1, beta=0.2),
    "SCAFFOLD": scaffold(gradient(LOSS), lr=0.2),
    "path": personal_path(gradient(LOSS), kappa=2.0, lr=0.3),
}


def trained(name: str, rank: int = 0, processes: int = 1) -> Any:
    """Five rounds of a method: of all clients here, or of one process's clients in a group."""
    clients, algorithm = ragged_clients(SIZES), METHODS[name]
    if processes > 1:
        shard = Shard.of(clients, rank=rank, processes=processes)
        algorithm, clients = all_reduced(algorithm, shard.weight), shard  # type: ignore[assignment]
    state, _ = run(
        algorithm, parameters_of(MODEL), clients, rounds=5, steps=3, batch=2, generator=seeded(4)
    )
    return state


def slopes(rank: int = 0, processes: int = 1) -> tuple[SplitLBI, nn.Module]:
    """Twenty steps of SplitLBI on 24 samples, here or on this process's equal part of them."""
    g = seeded(2)
    x, y = torch.randn(24, 4, generator=g, dtype=torch.float64), torch.arange(24) % 3
    network: nn.Module = logistic(4, 3).double()
    whole = network
    if processes > 1:
        network = nn.parallel.DistributedDataParallel(network)
    optimizer = SplitLBI(network.named_parameters(), lr=0.3, kappa=2.0, nu=0.5, penalty="l1")
    for _ in range(20):
        optimizer.zero_grad()
        mine = slice(rank, None, processes)
        nn.functional.cross_entropy(network(x[mine]), y[mine]).backward()
        optimizer.step()
    return optimizer, whole


def work(rank: int, processes: int, folder: str, what: str) -> None:
    """What each process does; its findings go to a file of its own."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/met", rank=rank, world_size=processes)
    try:
        torch.save(globals()[what](rank, processes), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def all_methods(rank: int, processes: int) -> Any:
    found = {name: trained(name, rank, processes) for name in METHODS}
    return {k: (v.w, v.round, getattr(v, "own", None)) for k, v in found.items()}


def with_ddp(rank: int, processes: int) -> Any:
    optimizer, network = slopes(rank, processes)
    return [(p.detach(), optimizer.gamma(p)) for p in network.parameters()]


def unequal_models(rank: int, processes: int) -> str:
    """Each process starts from a model of its own: refused by all, with words."""
    clients = Shard.of(ragged_clients(SIZES), rank=rank, processes=processes)
    w0 = {k: v + rank for k, v in parameters_of(MODEL).items()}
    with pytest.raises(ValueError, match="w0 must be the same model in every process") as found:
        run(all_reduced(METHODS["FedAvg"], clients.weight), w0, clients, rounds=1, steps=1, batch=2,
            generator=seeded(0))  # fmt: skip
    return str(found.value)


def group(processes: int, what: Callable[..., Any], folder: Path) -> list[Any]:
    given = (processes, str(folder), what.__name__)
    multiprocessing.spawn(work, given, nprocs=processes)  # type: ignore[attr-defined]
    return [torch.load(folder / f"{rank}.pt") for rank in range(processes)]


def close(a: Any, b: Any) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_compute_what_one_process_computes(processes: int, tmp_path: Path) -> None:
    """Proposition 16.1, on real processes and clients of unequal weight."""
    found = group(processes, all_methods, tmp_path)
    for name in METHODS:
        state = trained(name)
        for w, done, _ in (one[name] for one in found):
            close(w, state.w)
            assert done == 5
        if name in ("SCAFFOLD", "path"):  # what clients keep, put together again
            rows = [one[name][2] for one in found]
            close({k: torch.cat([row[k] for row in rows]) for k in rows[0]}, state.own)


@pytest.mark.slow
def test_split_lbi_steps_under_ddp_as_in_one_process(tmp_path: Path) -> None:
    optimizer, network = slopes()
    for found in group(2, with_ddp, tmp_path):
        for (p, gamma), mine in zip(found, network.parameters(), strict=True):
            torch.testing.assert_close(p, mine.detach(), rtol=0, atol=1e-12)
            torch.testing.assert_close(gamma, optimizer.gamma(mine), rtol=0, atol=1e-12)
    assert any(bool((optimizer.gamma(p) != 0).any()) for p in network.parameters())


@pytest.mark.slow
def test_processes_that_start_from_different_models_are_refused(tmp_path: Path) -> None:
    for words in group(2, unequal_models, tmp_path):
        assert "in process 0" in words
        assert "in process 1" in words


@pytest.fixture
def alone() -> Iterator[None]:
    """A group of one process."""
    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_the_mean_of_the_only_process_is_its_mean() -> None:
    mean = {"a": torch.randn(2, 3, generator=seeded(0)), "b": torch.ones(4)}
    found = mean_over_processes(mean, 0.25)
    assert all(torch.equal(found[k], mean[k]) for k in mean)
    with pytest.raises(ValueError, match="weight must be positive in at least one process"):
        mean_over_processes(mean, 0.0)


def test_the_mean_does_not_depend_on_how_clients_are_divided() -> None:
    """Proposition 16.1, for every division of seven clients into runs."""
    x = {"w": torch.randn(7, 2, generator=seeded(1), dtype=torch.float64)}
    p = torch.rand(7, generator=seeded(2), dtype=torch.float64)
    whole = weighted_mean(x, p / p.sum())["w"]
    for cuts in range(1, 2**6):
        ends = [0, *(k + 1 for k in range(6) if cuts >> k & 1), 7]
        parts = [slice(a, b) for a, b in pairwise(ends)]
        P = torch.stack([p[s].sum() for s in parts])
        means = [weighted_mean({"w": x["w"][s]}, p[s] / p[s].sum())["w"] for s in parts]
        torch.testing.assert_close(P @ torch.stack(means) / P.sum(), whole, rtol=0, atol=1e-14)


def test_without_a_group_the_words_say_how_to_get_one() -> None:
    shard = Shard.of(ragged_clients(SIZES), rank=0, processes=2)
    algorithm = all_reduced(METHODS["FedAvg"], shard.weight)
    with pytest.raises(ValueError, match="init_process_group"):
        run(algorithm, parameters_of(MODEL), shard, rounds=1, steps=1, batch=2, generator=seeded(0))


@pytest.mark.parametrize(
    ("rank", "processes", "words"),
    [(0, 6, "processes must be from 1"), (2, 2, "rank must be from 0"), (-1, 2, "rank must be")],
)
def test_bad_divisions(rank: int, processes: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Shard.of(ragged_clients(SIZES), rank=rank, processes=processes)


def test_a_shard_draws_what_its_clients_draw_among_all() -> None:
    clients = ragged_clients(SIZES)
    whole = clients.draw(torch.arange(5), steps=2, batch=3, generator=seeded(3))
    g = seeded(3)
    shard = Shard(clients, 1, 4)
    parts = [
        shard.draw(ids, steps=2, batch=3, generator=g) for ids in torch.arange(3).split(2)
    ]  # as run does, part by part
    for k in range(2):
        assert torch.equal(torch.cat([part[k] for part in parts]), whole[k][1:4])
    after = seeded(3)
    clients.draw(torch.arange(5), steps=2, batch=3, generator=after)
    assert torch.equal(g.get_state(), after.get_state())


def test_a_cohort_of_a_shard_is_refused() -> None:
    shard = Shard.of(GaussianPopulation(m=100, d=3), rank=1, processes=2)
    with pytest.raises(ValueError, match="leave cohort out"):
        shard.draw(torch.tensor([3, 9]), steps=1, batch=1, generator=seeded(0))


def test_the_library_does_not_load_its_engines() -> None:
    import subprocess

    code = "import sys, fedlearn_lib; print([m for m in sys.modules if 'engines' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
