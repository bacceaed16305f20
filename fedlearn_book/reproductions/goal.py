"""What a goal costs: rounds, bytes, gradients and samples until new clients reach an accuracy.

Every federated method of the book, and FedAvg with fewer bytes a message, in the small world of
Chapter 15: each client has ten images of two digits, and nobody has trained on the new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedlearn_book.reproductions import protocol
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.protocol import Method, World
from fedlearn_book.reproductions.record import matching, run_cells
from fedlearn_lib import (
    Clients,
    gradient,
    load,
    logistic,
    loss_of,
    map_clients,
    parameters_of,
)
from fedlearn_lib.data import Dataset
from fedlearn_lib.federated import (
    as_leaves,
    as_rows,
    keep_top,
    message_bytes,
    personal_path,
    quantize,
)
from fedlearn_lib.trees import Params

SEEDS = (0, 1, 2)
GOAL, ROUNDS = 0.93, 30  # accuracy of clients after steps of their own; after so many rounds: never
TRAIN, TUNE, NEW = 360, 50, 90  # clients that train, on which we choose, that are reported
STEPS, BATCH = 5, 10  # local steps, samples a step
OWN_STEPS, OWN_LR = (1, 5, 20), 0.5  # what a new client may do by itself
KEPT = 20  # numbers of a sparse message
RATES = (0.5, 2.0)


class Row(NamedTuple):
    """A method, how its messages are shortened, and what a local step of it costs.

    ``gradients``: a product of Hessian and vector counts as two.
    """

    method: Method
    gradients: int
    way: str = "dense"


def _of(name: str, *grid: dict[str, float]) -> Method:
    return protocol.METHODS[name]._replace(grid=grid)


_RATES = tuple({"lr": lr} for lr in RATES)
_STARTS = protocol.grid(alpha=(OWN_LR,), beta=RATES)
ROWS: dict[str, Row] = {
    "local": Row(_of("local", *_RATES), 1),
    "FedAvg": Row(_of("FedAvg", *_RATES), 1),
    "FedAvg, three values": Row(_of("FedAvg", *_RATES), 1, "three"),
    "FedAvg, 20 largest": Row(_of("FedAvg", *_RATES), 1, "largest"),
    "FedAvg, 20 and a memory": Row(_of("FedAvg", *_RATES), 1, "memory"),
    "FedProx": Row(_of("FedProx", *protocol.grid(lr=RATES, mu=(0.1,))), 1),
    "SCAFFOLD": Row(_of("SCAFFOLD", *protocol.grid(lr=RATES, server_lr=(1.0,))), 1),
    "Reptile": Row(_of("Reptile", *protocol.grid(lr=RATES, epsilon=(0.5,))), 1),
    "pFedMe": Row(_of("pFedMe", *protocol.grid(lam=(1.0,), inner_lr=(0.1, 0.3))), 3),
    "Ditto": Row(_of("Ditto", *protocol.grid(lr=RATES, lam=(0.1,))), 2),
    "FedRep": Row(_of("FedRep", *_RATES), 2),
    "Per-FedAvg, FO": Row(_of("Per-FedAvg fo", *_STARTS), 2),
    "Per-FedAvg, HF": Row(_of("Per-FedAvg hf", *_STARTS), 4),
    "Per-FedAvg, exact": Row(_of("Per-FedAvg exact", *_STARTS), 4),
    "path": Row(
        Method(
            lambda loss, world, kappa, lr: personal_path(
                gradient(loss), kappa=kappa, lr=lr / kappa
            ),
            protocol.grid(kappa=(2.0,), lr=RATES),
        ),
        1,
    ),
}


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells and store ``goal.json``."""
    del root  # the small MNIST is in the package
    data = load("mnist_mini")
    run_cells(
        "goal",
        [{"method": name, "seed": seed} for seed in SEEDS for name in ROWS],
        lambda method, seed: measure(ROWS[method], world_of(data, seed)),
        folder=folder,
        constants=constants_of(__name__),
        title="What a goal costs",
        question=f"What does each method spend until new clients reach {GOAL:.0%}?",
        command="python -m fedlearn_book.reproductions goal",
        setting=f"{TRAIN} clients with ten images of two digits, all in every round; {STEPS} local "
        f"steps with batches of {BATCH}; softmax regression on 14 × 14 pixels; at most {ROUNDS} "
        "rounds; two settings a method",
        table=summarize,
        note=f"A client that nobody trained on takes 1, 5 or 20 steps of {OWN_LR} on six images "
        f"and is scored on four; the goal is the first round with a mean of {GOAL:.0%} over {NEW} "
        f"of them. Setting and number of steps are chosen on {TUNE} others. Each seed deals the "
        "images anew; rounds of each seed, then means over the seeds that reach the goal. Bytes "
        "are those that leave a client, and a Hessian-vector product counts as two gradients.",
    )


def world_of(data: Dataset, seed: int) -> World:
    """Deal five images of one digit and five of another to each of 500 clients.

    ``new`` holds those that do not train: first the 90 that are reported, then 50 to choose on.
    """
    g = torch.Generator().manual_seed(seed)
    pixels = torch.nn.functional.avg_pool2d(data.x[:, None], 2).flatten(1)
    packets = []
    for c in range(10):
        own = (data.y == c).nonzero()[:, 0]
        packets.append(list(own[torch.randperm(len(own), generator=g)].split(5)))
    digits = [(i % 10, (i % 10 + 1 + i // 10 % 9) % 10) for i in range(TRAIN + NEW + TUNE)]
    parts = [torch.cat([packets[a].pop(), packets[b].pop()]) for a, b in digits]
    train = Clients.of(pixels, data.y, parts[:TRAIN], [1] * TRAIN)
    learn, score = ([p[ids] for p in parts[TRAIN:]] for ids in ([0, 1, 2, 5, 6, 7], [3, 4, 8, 9]))
    others = Clients.of(pixels, data.y, learn), Clients.of(pixels, data.y, score)
    known, model = (train, train), logistic(196, 10, seed=seed)
    return World(known, known, None, others, model, ROUNDS, TRAIN, STEPS, BATCH, seed)


def measure(row: Row, world: World) -> dict[str, Any]:
    """Train with both settings and keep the one that brings the tuning clients to the goal first.

    ``rounds`` is the first round in which the new clients reach the goal, or none.
    """
    tried = [trained(row, setting, world) for setting in row.method.grid]
    return min(tried, key=lambda one: one["tuned"] or ROUNDS + 1)


def trained(row: Row, setting: dict[str, float], world: World) -> dict[str, Any]:
    """Train until tuning clients, and then new ones, have reached the goal.

    The number of steps of their own is the one with which the tuning clients are there first.
    """
    g, start = torch.Generator().manual_seed(world.seed), parameters_of(world.model)
    algorithm = row.method.make(loss_of(world.model), world, **setting)
    state, everybody = algorithm.init(start), torch.arange(TRAIN)
    first = None if algorithm.own is None else algorithm.own(start)
    own = first and {k: v.expand(TRAIN, *v.shape).clone() for k, v in first.items()}
    send, size, tuned, k, curves = sender(row.way, g), 0, None, 0, []
    for r in range(1, world.rounds + 1):
        batches = world.known[0].draw(
            everybody, steps=world.steps, draws=algorithm.draws, batch=world.batch, generator=g
        )
        found: Any = map_clients(algorithm.client, algorithm.send(state), batches, own=own)
        messages, own = found if own else (found, None)
        if messages:
            mean, size = send(as_rows(messages))
            state = algorithm.server(state, as_leaves(mean, {n: v[0] for n, v in messages.items()}))
        right = scored(world, state.w)
        tune, new = right[:, NEW:].mean(1), right[:, :NEW].mean(1)
        curves.append(new)
        if tuned is None and bool((tune >= GOAL).any()):
            tuned, k = r, int((tune >= GOAL).nonzero()[0])
        if tuned and bool(torch.stack(curves)[:, k].max() >= GOAL):
            break
    curve = torch.stack(curves)[:, k]
    there = (curve >= GOAL).nonzero()
    return {
        "tuned": tuned,
        "rounds": int(there[0]) + 1 if tuned and len(there) else None,
        "best": round(float(curve.max()), 4),
        "bytes": size,
        "gradients": STEPS * row.gradients,
        "samples": STEPS * BATCH * algorithm.draws,
        "setting": dict(setting),
        "own_steps": OWN_STEPS[k],
    }


def sender(way: str, g: torch.Generator) -> Callable[[Tensor], tuple[Tensor, int]]:
    """Return what happens between messages [m d] and their mean, and the bytes of a message."""
    late: Tensor | float = 0.0

    def dense(x: Tensor) -> tuple[Tensor, int]:
        return x.mean(0), message_bytes(x.shape[1])

    def three(x: Tensor) -> tuple[Tensor, int]:
        return quantize(x, 1, generator=g).mean(0), message_bytes(x.shape[1], bits=np.log2(3))

    def largest(x: Tensor) -> tuple[Tensor, int]:
        return keep_top(x, KEPT).mean(0), message_bytes(x.shape[1], kept=KEPT)

    def memory(x: Tensor) -> tuple[Tensor, int]:
        nonlocal late
        full = x + late
        sent = keep_top(full, KEPT)
        late = full - sent
        return sent.mean(0), message_bytes(x.shape[1], kept=KEPT)

    return {"dense": dense, "three": three, "largest": largest, "memory": memory}[way]


def scored(world: World, w: Params) -> Tensor:
    """Accuracy of all new clients after 1, 5 and 20 steps of their own from a start: [3 140].

    The gradient of softmax regression, written out for all clients at once.
    """
    assert world.new is not None
    ids, g = torch.arange(world.new[0].m), torch.Generator()
    (x, y), (seen, label) = (one.draw(ids, steps=1, batch=None, generator=g) for one in world.new)
    x, y, seen, label = (v[:, 0, 0] for v in (x, y, seen, label))
    hot = torch.nn.functional.one_hot(y, 10).to(x)
    W = w["1.weight"].expand(len(ids), -1, -1)
    b = w["1.bias"].expand(len(ids), -1)
    found, done = [], 0
    for steps in OWN_STEPS:
        for _ in range(steps - done):
            slope = ((x @ W.mT + b[:, None]).softmax(-1) - hot) / x.shape[1]
            W, b = W - OWN_LR * slope.mT @ x, b - OWN_LR * slope.sum(1)
        done = steps
        found.append(((seen @ W.mT + b[:, None]).argmax(-1) == label).double().mean(1))
    return torch.stack(found)


def summarize(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row a method: the round in each seed, then means over the seeds that got there."""
    rows = []
    for name in ROWS:
        own = matching(done, method=name)
        rounds = [r["rounds"] for r in own]
        there = [r for r in own if r["rounds"]]
        words = ", ".join(str(k) if k else "never" for k in rounds)
        spent = [
            f"{np.mean([r[key] * r['rounds'] for r in there]):,.0f}" if there else "–"
            for key in ("bytes", "gradients", "samples")
        ]
        rows.append([name, words, f"{own[0]['bytes']:,}", *spent])
    heads = ["method", "rounds", "bytes a round", "bytes", "gradients", "samples"]
    return {"columns": heads, "rows": rows}
