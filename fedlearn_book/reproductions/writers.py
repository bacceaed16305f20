"""MNIST by its writers: how different are natural clients, and what does it cost FedAvg?

The 539 people who wrote MNIST's training images are the clients, and the 297 others who wrote
its test images are clients that were never seen. The same images are also dealt at random to
clients of the same sizes, and by a Dirichlet distribution, for comparison.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import interval, matching, run_cells
from fedlearn_lib import (
    Clients,
    accuracy_of,
    evaluate,
    fedavg,
    gradient,
    gradient_dissimilarity,
    load,
    loss_of,
    mlp,
    parameters_of,
    partition_dirichlet,
    partition_natural,
    run,
    total_variation,
)
from fedlearn_lib.federated import label_distribution, sliced_wasserstein

SPLITS = ("writers", "alike", "dirichlet 0.5")
ROWS = ("writers", "at random, same sizes", "Dirichlet, α = 0.5")
SEEDS = (0, 1, 2, 3, 4)
ROUNDS, COHORT, STEPS, BATCH, LR = 200, 50, 10, 20, 0.1


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells and store ``writers.json``."""
    train, test = load("mnist", root=root), load("mnist", root=root, part="test")
    if train.client is None or test.client is None:
        raise FileNotFoundError(
            "this run needs QMNIST's label tables beside MNIST to know the writers; get them with "
            'load("mnist", download=True)'
        )
    owners = partition_natural(train.client)
    new = Clients.of(test.x, test.y, partition_natural(test.client))

    def compute(split: str, seed: int) -> dict[str, float]:
        g = torch.Generator().manual_seed(seed)
        clients = Clients.of(train.x, train.y, _parts(split, train.y, owners, g))
        return {**_measure(clients, g), **_train(clients, new, seed)}

    run_cells(
        "writers",
        [{"split": split, "seed": seed} for split in SPLITS for seed in SEEDS],
        compute,
        folder=folder,
        constants=constants_of(__name__),
        title="MNIST by its writers",
        question="How different are natural clients, and what does it cost federated averaging?",
        command="python -m fedlearn_book.reproductions writers",
        setting=f"{len(owners)} clients, {new.m} new writers, {ROUNDS} rounds of {COHORT} clients, "
        f"{STEPS} local steps with batches of {BATCH}, step {LR}, MLP 784-100-10",
        table=summarize,
        note="TV: mean total variation between a client's labels and all labels. Sliced $W_1$: "
        "mean over pairs of 100 clients, 90 images each, 50 directions. $\\gamma_G$: at the start. "
        "Worst decile: mean accuracy over the tenth of the new writers with the lowest. Mean and "
        "half-width of the 95 % interval over the seeds.",
    )


def summarize(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row a split: mean ± half-width over the seeds."""
    digits = {"tv": 3, "sliced": 4, "gamma": 3, "accuracy": 4, "worst_decile": 4}
    rows = []
    for split, name in zip(SPLITS, ROWS, strict=True):
        own = matching(cells, split=split)
        row = [name]
        for quantity, places in digits.items():
            mean, half = interval([result[quantity] for result in own])
            row.append(f"{mean:.{places}f} ± {half:.{places}f}")
        rows.append(row)
    heads = [
        "clients",
        "TV",
        "sliced $W_1$",
        "$\\gamma_G$",
        "accuracy, new writers",
        "worst decile",
    ]
    return {"columns": heads, "rows": rows}


def _parts(split: str, labels: Tensor, owners: list[Tensor], g: torch.Generator) -> list[Tensor]:
    if split == "writers":
        return owners
    if split == "alike":
        sizes = [len(owner) for owner in owners]
        return list(torch.randperm(len(labels), generator=g).split(sizes))
    return partition_dirichlet(labels, len(owners), alpha=0.5, generator=g)


def _measure(clients: Clients, g: torch.Generator) -> dict[str, float]:
    laws = label_distribution(clients, 10)
    large = (clients.n >= 90).nonzero().flatten()
    some = large[torch.randperm(len(large), generator=g)[:100]]
    same_size = Clients(
        clients.x[some, :90], clients.y[some, :90],
        torch.full((len(some),), 90), torch.full((len(some),), 1 / len(some)),
    )  # fmt: skip
    sliced = sliced_wasserstein(same_size, generator=g)
    model = mlp(784, 100, 10, activation="relu")
    gamma = gradient_dissimilarity(loss_of(model), parameters_of(model), clients)
    return {
        "tv": round(float(clients.p @ total_variation(laws, clients.p @ laws)), 4),
        "sliced": round(float(sliced.sum() / (len(some) * (len(some) - 1))), 5),
        "gamma": round(gamma, 4),
    }


def _train(clients: Clients, new: Clients, seed: int) -> dict[str, float]:
    model = mlp(784, 100, 10, activation="relu", seed=seed)
    state, _ = run(
        fedavg(gradient(loss_of(model)), lr=LR), parameters_of(model), clients, rounds=ROUNDS,
        cohort=COHORT, steps=STEPS, batch=BATCH, generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    scores = evaluate(accuracy_of(model), state.w, new, new)["before"]
    return {
        "accuracy": round(float(new.p @ scores.double()), 4),
        "worst_decile": round(float(scores.sort().values[: new.m // 10].mean()), 4),
    }
