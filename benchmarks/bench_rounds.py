"""One round of FedAvg with every client, against a clean per-client ``torch.optim`` loop."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedlearn_lib import Clients, fedavg, gradient, lenet, loss_of, mlp, parameters_of, run

M, N, STEPS, BATCH, LR = 50, 200, 10, 20, 0.1


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
        "mlp 784-100-10": (mlp(784, 100, 10), (784,), 10, M),
        "mlp 20-32-5": (mlp(20, 32, 5), (20,), 5, M),
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
