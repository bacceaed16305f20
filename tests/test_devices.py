"""Clients and parameters on another device: ``meta`` everywhere, a GPU where there is one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toy_clients import assert_close, ragged_clients, seeded

from fedlearn_lib import (
    Clients,
    accuracy_of,
    adapt,
    evaluate,
    fedavg,
    gradient,
    loss_of,
    map_clients,
    mlp,
    parameters_of,
    perfedavg,
    run,
    weighted_mean,
)
from fedlearn_lib.data import FlatClients
from fedlearn_lib.federated import ditto, sample_cohort
from fedlearn_lib.trees import Params

GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))
MODEL = mlp(4, 5, 3, activation="tanh").double()
LOSS, W = loss_of(MODEL), parameters_of(MODEL)
SIZES = [5, 3, 8, 2]
METHODS: dict[str, Any] = {
    "fedavg": fedavg(gradient(LOSS), lr=0.1),
    "exact": perfedavg(LOSS, alpha=0.1, beta=0.1),
    "hf": perfedavg(LOSS, alpha=0.1, beta=0.1, mode="hf"),
    "ditto": ditto(gradient(LOSS), lr=0.1, lam=0.5),
}


def moved(w: Params, device: str) -> Params:
    return {k: v.to(device) for k, v in w.items()}


@pytest.mark.parametrize("device", ["meta", GPU])
@pytest.mark.parametrize("batch", [None, 4])
def test_batches_are_where_the_samples_are(device: str, batch: int | None) -> None:
    clients = ragged_clients([5, 5, 5])
    here = clients.draw(torch.tensor([2, 0]), steps=2, draws=3, batch=batch, generator=seeded())
    there = clients.to(device).draw(
        torch.tensor([2, 0]), steps=2, draws=3, batch=batch, generator=seeded()
    )
    for a, b in zip(here, there, strict=True):
        assert (b.device.type, b.shape, b.dtype) == (device, a.shape, a.dtype)
        assert device == "meta" or torch.equal(a, b.cpu())


@pytest.mark.parametrize("device", ["meta", GPU])
def test_a_pool_elsewhere_makes_clients_elsewhere(device: str) -> None:
    if device == "meta":  # whose values cannot be looked at
        clients = Clients.of(torch.ones(4, 2), torch.arange(4), [[0, 1, 2], [3]]).to(device)
    else:
        parts = [torch.tensor([0, 1, 2], device=device), torch.tensor([3], device=device)]
        clients = Clients.of(torch.ones(4, 2, device=device), torch.arange(4).to(device), parts)
    assert {clients.x.device.type, clients.y.device.type} == {device}
    assert {clients.n.device.type, clients.p.device.type} == {"cpu"}
    assert clients.data(0)[0].shape == (3, 2)
    assert clients.weights(torch.tensor([0, 1])).tolist() == [0.75, 0.25]


@pytest.mark.parametrize("device", ["meta", GPU])
@pytest.mark.parametrize("how", ["vmap", "loop"])
@pytest.mark.parametrize("name", ["fedavg", "exact", "hf"])
def test_clients_work_where_they_are(name: str, how: str, device: str) -> None:
    method, clients = METHODS[name], ragged_clients(SIZES).to(device)
    batches = clients.draw(
        torch.arange(4), steps=2, draws=method.draws, batch=4, generator=seeded()
    )
    messages = map_clients(method.client, moved(W, device), batches, how=how)
    mean = weighted_mean(messages, clients.p)
    for k, v in W.items():
        assert (mean[k].device.type, mean[k].shape, mean[k].dtype) == (device, v.shape, v.dtype)


@pytest.mark.parametrize("device", ["meta", GPU])
@pytest.mark.parametrize("how", ["vmap", "loop"])
@pytest.mark.parametrize("name", METHODS)
def test_a_run_stays_where_it_began(name: str, how: str, device: str) -> None:
    def end(device: str):
        return run(
            METHODS[name], moved(W, device), ragged_clients(SIZES).to(device), rounds=2, cohort=3,
            steps=2, batch=4, generator=seeded(), how=how,
        )[0]  # fmt: skip

    here, there = end("cpu"), end(device)
    trees = [(here.w, there.w), *([(here.own, there.own)] if name == "ditto" else [])]
    for a, b in trees:
        assert {v.device.type for v in b.values()} == {device}
        assert {k: v.shape for k, v in a.items()} == {k: v.shape for k, v in b.items()}
        if device != "meta":
            assert_close(a, moved(b, "cpu"), 1e-9)


@pytest.mark.parametrize("device", [GPU])
def test_a_generator_may_be_elsewhere(device: str) -> None:
    g = torch.Generator(device).manual_seed(0)
    assert sample_cohort(10, 3, generator=g).device.type == "cpu"
    x, _ = ragged_clients(SIZES).draw(torch.arange(4), steps=1, batch=2, generator=g)
    assert x.device.type == "cpu"


@pytest.mark.parametrize("kind", [Clients, FlatClients])
@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("how", ["vmap", "loop"])
@pytest.mark.parametrize("device", [GPU])
def test_scores_are_those_of_the_cpu(device: str, how: str, batch: int | None, kind) -> None:
    here = ragged_clients(SIZES)
    parts = list(torch.arange(sum(SIZES)).split(SIZES))
    rows = [here.data(i) for i in range(here.m)]
    here = kind.of(*(torch.cat(leaves) for leaves in zip(*rows, strict=True)), parts)

    def scores(clients: Clients, w: Params) -> dict[str, torch.Tensor]:
        return evaluate(
            accuracy_of(MODEL), w, clients, clients, how=how, batch=batch,
            generator=None if batch is None else seeded(),
            adapt=lambda w, data: adapt(LOSS, w, data, 0.5),
        )  # fmt: skip

    there = scores(here.to(device), moved(W, device))
    assert {value.device.type for value in there.values()} == {device}
    assert_close(scores(here, W), moved(there, "cpu"), 1e-9)


@pytest.mark.parametrize("side", ["w", "train", "test"])
def test_a_device_without_numbers_has_no_scores(side: str) -> None:
    given: dict[str, Any] = {"w": W, "train": ragged_clients(SIZES), "test": ragged_clients(SIZES)}
    given[side] = moved(W, "meta") if side == "w" else given[side].to("meta")
    with pytest.raises(ValueError, match=f"{side} must hold numbers, got .*meta"):
        evaluate(accuracy_of(MODEL), **given)
