"""Every core function twice: equal results, inputs bit-identical, no global random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from toy_clients import quadratics, ragged_clients, seeded

import fedlearn_lib as fl
from fedlearn_lib import federated

MODEL = fl.mlp(4, 5, 3, activation="tanh").double()
W, LOSS, CLIENTS = fl.parameters_of(MODEL), fl.loss_of(MODEL), ragged_clients([5, 3, 6])
LABELS = torch.arange(400) % 10
BATCH = CLIENTS.data(0)
BATCHES = CLIENTS.draw(torch.arange(3), steps=2, batch=4, generator=seeded())
ALGORITHM = fl.fedavg(fl.gradient(LOSS), lr=0.1)
MESSAGES = fl.map_clients(ALGORITHM.client, W, BATCHES)
KEEPING: dict[str, Any] = {
    "local": federated.local_only(fl.gradient(LOSS), lr=0.1),
    "scaffold": federated.scaffold(fl.gradient(LOSS), lr=0.1),
    "pfedme": federated.pfedme(fl.gradient(LOSS), lr=0.1, lam=1.0, inner_lr=0.1, inner=2),
    "ditto": federated.ditto(fl.gradient(LOSS), lr=0.1, lam=1.0),
    "fedrep": federated.fedrep(fl.gradient(LOSS), head={"3.weight", "3.bias"}, lr=0.1),
}
OWN = {k: v + torch.arange(3.0).double().view(3, *(1 for _ in v.shape)) for k, v in W.items()}
QUADRATICS, V = quadratics(4, 3), {"w": torch.ones(3, dtype=torch.float64)}
SOURCE = fl.data.GaussianPopulation(m=100, d=3)
PARTS = [torch.arange(6), torch.arange(6, 16)]

CALLS = {
    "axpy": lambda g: fl.axpy(-0.5, W, W),
    "dot": lambda g: fl.dot(W, W),
    "norm": lambda g: fl.norm(W),
    "weighted_mean": lambda g: fl.weighted_mean(MESSAGES, CLIENTS.p),
    "gradient": lambda g: fl.gradient(LOSS)(W, (BATCH,)),
    "hvp": lambda g: fl.hvp(LOSS, W, BATCH, W),
    "maml exact": lambda g: fl.maml_gradient(LOSS, 0.3)(W, (BATCH, BATCH, BATCH)),
    "maml fo": lambda g: fl.maml_gradient(LOSS, 0.3, "fo")(W, (BATCH, BATCH)),
    "maml hf": lambda g: fl.maml_gradient(LOSS, 0.3, "hf")(W, (BATCH, BATCH, BATCH)),
    "adapt": lambda g: fl.adapt(LOSS, W, BATCH, alpha=0.3, steps=2),
    "loss": lambda g: LOSS(W, BATCH),
    "accuracy": lambda g: fl.accuracy_of(MODEL)(W, BATCH),
    "parameters_of": lambda g: fl.parameters_of(MODEL),
    "mlp": lambda g: fl.parameters_of(fl.mlp(3, 2)),
    "vmap": lambda g: fl.map_clients(ALGORITHM.client, W, BATCHES),
    "loop": lambda g: fl.map_clients(ALGORITHM.client, W, BATCHES, how="loop"),
    "server": lambda g: ALGORITHM.server(federated.State(W), W),
    "Clients.of": lambda g: fl.Clients.of(LABELS[:, None].double(), LABELS, PARTS),
    "draw": lambda g: CLIENTS.draw(torch.arange(3), steps=2, batch=4, generator=g),
    "weights": lambda g: CLIENTS.weights(torch.tensor([0, 2])),
    "population": lambda g: SOURCE.draw(torch.tensor([7]), steps=2, batch=4, generator=g),
    "gaussian": lambda g: fl.data.gaussian_clients(torch.zeros(2, 3), n=4, generator=g),
    "iid": lambda g: fl.partition_iid(LABELS, 3, generator=g),
    "dirichlet": lambda g: fl.partition_dirichlet(LABELS, 3, alpha=0.1, generator=g),
    "two groups": lambda g: fl.partition_two_groups(LABELS, 4, a=3, generator=g),
    "natural": lambda g: fl.partition_natural(LABELS),
    "split": lambda g: fl.split_parts(PARTS, test=0.3, generator=g),
    "cohort": lambda g: federated.sample_cohort(100, 5, generator=g),
    "run": lambda g: fl.run(
        ALGORITHM, W, CLIENTS, rounds=2, cohort=2, steps=2, batch=3, generator=g
    ),
    "run perfedavg": lambda g: fl.run(
        fl.perfedavg(LOSS, alpha=0.1, beta=0.1), W, CLIENTS,
        rounds=1, steps=2, batch=3, generator=g,
    ),
    "run quadratics": lambda g: fl.run(
        fl.fedavg(fl.gradient(fl.data.quadratic_loss), lr=0.1), V, QUADRATICS,
        rounds=2, steps=2, batch=None, generator=g, how="loop",
    ),
    **{
        name: lambda g, method=method: fl.run(
            method, W, CLIENTS, rounds=2, cohort=2, steps=2, batch=3, generator=g
        )
        for name, method in KEEPING.items()
    },
    "own": lambda g: fl.map_clients(KEEPING["ditto"].client, W, BATCHES, own=OWN),
    "personal_models": lambda g: federated.personal_models(
        federated.OwnState(federated.State(W), OWN)
    ),
    "descend": lambda g: federated.descend(
        federated.anchored_oracle(fl.gradient(LOSS), W, 0.5), W, BATCH, lr=0.1, steps=2
    ),
    "evaluate own": lambda g: fl.evaluate(
        fl.accuracy_of(MODEL), OWN, CLIENTS, CLIENTS, own=True, batch=2, generator=g,
        adapt=lambda w, batch: fl.adapt(LOSS, w, batch, 0.1),
    ),
    "evaluate": lambda g: fl.evaluate(
        fl.accuracy_of(MODEL), W, CLIENTS, CLIENTS, batch=2, generator=g,
        adapt=lambda w, batch: fl.axpy(-0.1, fl.gradient(LOSS)(w, (batch,)), w),
    ),
}  # fmt: skip
INPUTS = [W, LABELS, CLIENTS, BATCH, BATCHES, MESSAGES, QUADRATICS, V, PARTS, OWN,
          dict(MODEL.named_parameters())]  # fmt: skip


def bits(tree) -> list[bytes]:
    """Every number of a nested result as bytes, NaN included, and who asks for gradients."""
    if isinstance(tree, torch.Tensor):
        flag = repr(tree.requires_grad).encode()
        return [flag, tree.detach().contiguous().numpy().tobytes()]
    if isinstance(tree, dict):
        return [piece for key in sorted(tree) for piece in [key.encode(), *bits(tree[key])]]
    if isinstance(tree, (list, tuple)):
        return [piece for item in tree for piece in bits(item)]
    return [repr(tree).encode()]


@pytest.mark.parametrize("name", CALLS)
def test_twice_is_once_and_nothing_else_moved(name: str) -> None:
    inputs = bits(INPUTS)
    everyones = torch.get_rng_state(), bits(list(np.random.get_state(legacy=True)))  # noqa: NPY002
    first, second = CALLS[name](seeded(5)), CALLS[name](seeded(5))
    assert bits(first) == bits(second)
    assert bits(INPUTS) == inputs
    assert torch.equal(torch.get_rng_state(), everyones[0])
    assert bits(list(np.random.get_state(legacy=True))) == everyones[1]  # noqa: NPY002


def test_results_do_not_share_memory_with_the_start() -> None:
    state, _ = fl.run(ALGORITHM, W, CLIENTS, rounds=1, steps=1, batch=1, generator=seeded())
    inputs = bits(INPUTS)
    for leaf in state.w.values():
        leaf.zero_()
    assert bits(INPUTS) == inputs
