"""The starts that are compared on Omniglot: what is tried, how it is trained, how it adapts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedlearn_book.reproductions.omniglot_clients import CLASSES, INPUTS, Sides, World
from fedlearn_book.reproductions.protocol import all_of, grid
from fedlearn_lib import (
    Algorithm,
    accuracy_of,
    evaluate,
    fedavg,
    gradient,
    loss_of,
    map_clients,
    mlp,
    parameters_of,
    perfedavg,
    run,
)
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated import State, descend, partial_oracle, reptile
from fedlearn_lib.federated.oracles import Loss
from fedlearn_lib.trees import Params

HIDDEN, ROUNDS, COHORT, LOCAL, BATCH = 64, 100, 15, 5, 20
STEPS = (0, 1, 3, 10, 30)  # of adaptation, after which a client is scored
ALPHAS = {"all": (0.1, 0.3, 1.0, 3.0), "head": (1.0, 3.0, 10.0, 30.0)}  # of adaptation
HEAD = ("3.weight", "3.bias")


META = grid(alpha=(0.3, 1.0, 3.0), beta=(0.1, 0.3, 1.0, 3.0))
GRIDS: dict[str, tuple[dict[str, float], ...]] = {
    "from scratch": ({},),
    "FedAvg": grid(lr=(0.1, 0.3, 1.0, 3.0)),
    "FedAvg, head": grid(lr=(0.1, 0.3, 1.0, 3.0)),
    "Reptile": grid(lr=(0.3, 1.0, 3.0), epsilon=(0.25, 0.5, 1.5, 3.0)),
    "FO, 1 step": META,
    "FO, 3 steps": META,
    "exact, 1 step": META,
}


def network(seed: int = 0) -> nn.Module:
    return mlp(INPUTS, HIDDEN, CLASSES, activation="tanh", seed=seed)


def algorithm_of(method: str, loss: Loss, setting: Mapping[str, float]) -> Algorithm[State, Params]:
    """Return the algorithm that trains the start of a method."""
    if method.startswith("FedAvg"):
        return fedavg(gradient(loss), **setting)
    if method == "Reptile":
        return reptile(gradient(loss), **setting)
    mode, steps = method.split(", ")
    return perfedavg(
        loss, alpha=setting["alpha"], beta=setting["beta"], mode=mode.lower(),
        inner_steps=int(steps.split()[0]),
    )  # fmt: skip


def train(method: str, setting: Mapping[str, float], world: World, seed: int) -> Params:
    """Train the start of a method on the known clients; from scratch nothing is trained."""
    model = network(seed)
    w = parameters_of(model)
    if method == "from scratch":
        return w
    state, _ = run(
        algorithm_of(method, loss_of(model), setting), w, world.known[0], rounds=ROUNDS,
        cohort=COHORT, steps=LOCAL, batch=BATCH, generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    return state.w


def part_of(method: str) -> str:
    """Say what a client adapts: all parameters, or the last layer, a head of its own."""
    return "head" if method.endswith("head") else "all"


def is_dead(w: Params) -> bool:
    """Say whether a start diverged."""
    return not all(bool(value.isfinite().all()) for value in w.values())


def curve(w: Params, sides: Sides, alpha: float, method: str) -> Tensor:
    """Accuracy of every client after ``STEPS`` steps on all its data: [len(STEPS) m].

    A client whose model diverged has nothing right, so that no diverged setting is chosen.
    """
    seen, scored = sides
    oracle = gradient(loss_of(network()))
    if part_of(method) == "head":
        oracle = partial_oracle(oracle, HEAD)
    batch = all_of(seen)
    models = {k: v.expand(seen.m, *v.shape) for k, v in w.items()}
    scores, taken = [], 0
    for steps in STEPS:
        more, taken = steps - taken, steps

        def client(_: Params, own: Params, data: Batch, more: int = more) -> tuple[Params, Params]:
            return {}, descend(oracle, own, data, lr=alpha, steps=more)

        models = map_clients(client, {}, batch, own=models)[1]
        hits = evaluate(accuracy_of(network()), models, seen, scored, own=True)["before"]
        scores.append(hits)
    return torch.stack(scores).nan_to_num(0.0)
