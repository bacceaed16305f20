"""One round of FedAvg and of Per-FedAvg with every client, against a clean per-client loop."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from conftest import alone  # type: ignore[attr-defined]
from fedlearn_lib import (
    Clients,
    fedavg,
    gradient,
    lenet,
    loss_of,
    mlp,
    parameters_of,
    perfedavg,
    run,
)

M, N, STEPS, BATCH, LR = 50, 200, 10, 20, 0.1
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile needs a C++ compiler"
)


def clients_for(shape: tuple[int, ...], classes: int, m: int = M) -> Clients:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(m * N, *shape, generator=g)
    y = torch.randint(classes, (m * N,), generator=g)
    return Clients.of(x, y, list(torch.arange(m * N).split(N)))


def plain_round(
    model: nn.Module, clients: Clients, generator: torch.Generator
) -> dict[str, Tensor]:
    """What one writes without a library: load, train, add up, client after client."""
    start = copy.deepcopy(model.state_dict())
    total = {name: torch.zeros_like(value) for name, value in start.items()}
    for i in range(clients.m):
        model.load_state_dict(start)
        x, y = clients.data(i)
        sgd = torch.optim.SGD(model.parameters(), lr=LR)
        for _ in range(STEPS):
            rows = torch.randint(len(x), (BATCH,), generator=generator)
            sgd.zero_grad()
            functional.cross_entropy(model(x[rows]), y[rows]).backward()
            sgd.step()
        for name, value in model.state_dict().items():
            total[name] += float(clients.p[i]) * value
    model.load_state_dict(start)
    return total


@pytest.mark.parametrize(
    ("name", "how", "least"),
    [("mlp 784-100-10", "vmap", 1.7), ("mlp 20-32-5", "vmap", 6.0), ("lenet", "loop", 0.95)],
)
def test_round(name: str, how: str, least: float, compare) -> None:
    model, shape, classes, m = {
        "mlp 784-100-10": (mlp(784, 100, 10, activation="relu"), (784,), 10, M),
        "mlp 20-32-5": (mlp(20, 32, 5, activation="relu"), (20,), 5, M),
        "lenet": (lenet(), (1, 28, 28), 10, 5),
    }[name]
    clients, g, w0 = clients_for(shape, classes, m), torch.Generator(), parameters_of(model)
    algorithm = fedavg(gradient(loss_of(model)), lr=LR)
    compare(
        lambda: plain_round(model, clients, g),
        lambda: run(
            algorithm, w0, clients, rounds=1, steps=STEPS, batch=BATCH, generator=g, how=how
        ),
        least=least,
    )


def peer_round(model: nn.Module, clients: Clients, start: dict[str, Tensor]) -> dict[str, Tensor]:
    """The fastest loop that a library of the field has: as pfl 0.6 does in a client's local epoch.

    Parameters are set in place, batches are slices of a client's samples instead of draws, the
    message is the difference to the start, and the differences are added up with their weights.
    """
    parameters = dict(model.named_parameters())
    total = {name: torch.zeros_like(value) for name, value in start.items()}
    for i in range(clients.m):
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(start[name])
        sgd = torch.optim.SGD(model.parameters(), lr=LR)
        for x, y in zip(*(side.split(BATCH) for side in clients.data(i)), strict=True):
            functional.cross_entropy(model(x), y).backward()
            sgd.step()
            sgd.zero_grad()
        with torch.no_grad():
            for name, value in parameters.items():
                total[name] += float(clients.p[i]) * (value - start[name])
    return {name: start[name] + value for name, value in total.items()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
@pytest.mark.parametrize(
    ("how", "least"),
    [
        ("loop", 0.95),  # equal up to noise: both spend their time in the same operations
        pytest.param("compile", 1.2, marks=needs_compiler),
    ],
)
def test_convolutional_round_against_a_peer(how: str, least: float, compare) -> None:
    """Both take τ = 10 steps on 20 samples: a peer's epoch is as long as our round."""
    model, clients = lenet(), clients_for((1, 28, 28), 10, 5)
    assert N == STEPS * BATCH
    w0, g = parameters_of(model), torch.Generator()
    algorithm = fedavg(gradient(loss_of(model)), lr=LR)
    sides = (
        lambda: peer_round(model, clients, w0),
        lambda: run(
            algorithm, w0, clients, rounds=1, steps=STEPS, batch=BATCH, generator=g, how=how
        ),
    )
    compare(*map(alone, sides), least=least)


ALPHA, DELTA = 0.01, 1e-3


def plain_meta_round(
    model: nn.Module, clients: Clients, mode: str, generator: torch.Generator
) -> list[Tensor]:
    """Per-FedAvg as one writes it from the paper: three batches a step, client after client."""
    names, start = zip(*parameters_of(model).items(), strict=True)
    total = [torch.zeros_like(value) for value in start]
    for i in range(clients.m):
        x, y = clients.data(i)
        w = [value.clone().requires_grad_() for value in start]

        def loss(u: list[Tensor], x: Tensor = x, y: Tensor = y) -> Tensor:
            rows = torch.randint(len(x), (BATCH,), generator=generator)
            outputs = functional_call(model, dict(zip(names, u, strict=True)), (x[rows],))
            return functional.cross_entropy(outputs, y[rows])

        for _ in range(STEPS):
            g = meta_direction(loss, w, mode, generator)
            with torch.no_grad():
                for value, slope in zip(w, g, strict=True):
                    value -= LR * slope
        for kept, value in zip(total, w, strict=True):
            kept += float(clients.p[i]) * value.detach()
    return total


def meta_direction(
    loss, w: list[Tensor], mode: str, generator: torch.Generator
) -> Sequence[Tensor]:
    def moved(step: float, along: Sequence[Tensor]) -> list[Tensor]:
        pairs = zip(w, along, strict=True)
        return [(value.detach() + step * d).requires_grad_() for value, d in pairs]

    inner = torch.autograd.grad(loss(w), w)
    u = moved(-ALPHA, inner)
    g = torch.autograd.grad(loss(u), u)
    if mode == "fo":
        return g
    if mode == "exact":
        slopes = torch.autograd.grad(loss(w), w, create_graph=True)
        h: Sequence[Tensor] = torch.autograd.grad(slopes, w, grad_outputs=g)
    else:
        state = generator.get_state()
        up = moved(DELTA, g)
        above = torch.autograd.grad(loss(up), up)
        generator.set_state(state)  # the same batch on both sides
        down = moved(-DELTA, g)
        below = torch.autograd.grad(loss(down), down)
        h = [(a - b) / (2 * DELTA) for a, b in zip(above, below, strict=True)]
    return [a - ALPHA * b for a, b in zip(g, h, strict=True)]


@pytest.mark.parametrize(("mode", "least"), [("fo", 1.5), ("exact", 1.5), ("hf", 1.6)])
def test_meta_round(mode: str, least: float, compare) -> None:
    model, clients, g = (
        mlp(784, 100, 10, activation="relu"),
        clients_for((784,), 10),
        torch.Generator(),
    )
    algorithm = perfedavg(loss_of(model), alpha=ALPHA, beta=LR, mode=mode, delta=DELTA)
    w0 = parameters_of(model)
    compare(
        lambda: plain_meta_round(model, clients, mode, g),
        lambda: run(algorithm, w0, clients, rounds=1, steps=STEPS, batch=BATCH, generator=g),
        least=least,
    )


def test_exact_is_no_slower_than_hessian_free(compare) -> None:
    model, clients, g = (
        mlp(784, 100, 10, activation="relu"),
        clients_for((784,), 10),
        torch.Generator(),
    )
    w0, loss = parameters_of(model), loss_of(model)

    def one_round(mode: str) -> None:
        algorithm = perfedavg(loss, alpha=ALPHA, beta=LR, mode=mode, delta=DELTA)
        run(algorithm, w0, clients, rounds=1, steps=STEPS, batch=BATCH, generator=g)

    compare(lambda: one_round("hf"), lambda: one_round("exact"), least=1.0)
