"""Personalization compared: eleven methods, four kinds of clients, one protocol.

Two groups and Dirichlet clients share the small MNIST set of the package; the hospitals are the
four of the heart disease data; the writers need full MNIST with QMNIST's label tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlearn_book.reproductions import protocol
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.protocol import METHODS, Sides, World, cost, measure
from fedlearn_book.reproductions.record import interval, matching, run_cells
from fedlearn_lib import (
    Clients,
    load,
    logistic,
    mlp,
    partition_dirichlet,
    partition_natural,
    partition_two_groups,
    split_parts,
)
from fedlearn_lib.data import Dataset

SPLITS = ("two groups", "dirichlet 0.3", "writers", "hospitals")
SEEDS = (0, 1, 2, 3, 4)
KNOWN, TUNE, NEW = 40, 10, 20  # clients that train, on which we choose, that nobody has seen
BUDGET = 60, 10, 5, 20  # rounds, cohort, local steps, batch


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells and store ``compared.json``."""
    mnist = {part: load("mnist", root=root, part=part) for part in ("train", "test")}
    if any(data.client is None for data in mnist.values()):
        raise FileNotFoundError(
            "this run needs QMNIST's label tables beside MNIST to know the writers; get them with "
            'load("mnist", download=True)'
        )

    def compute(split: str, method: str, seed: int) -> dict[str, Any]:
        return measure(method, make_world(split, seed, mnist))

    run_cells(
        "compared",
        [{"split": s, "method": m, "seed": k} for k in SEEDS for s in SPLITS for m in METHODS],
        compute,
        folder=folder,
        constants=constants_of(__name__, protocol.__name__),
        title="Personalization compared",
        question="Which way of personalizing a shared model serves clients best, and at what cost?",
        command="python -m fedlearn_book.reproductions compared",
        setting="{} rounds of {} clients (hospitals: all 4), {} local steps with batches of {}; "
        "six settings a method, three steps of adaptation, at most 10 of them; MLP 784-40-10 "
        "(hospitals: logistic regression)".format(*BUDGET),
        grids={name: list(method.grid) for name, method in METHODS.items()},
        costs={
            split: {name: cost(method, world) for name, method in METHODS.items()}
            for split, world in (("mnist", make_world(SPLITS[0], 0)), ("hospitals", _hospitals(0)))
        },
        table=summarize,
        note="Accuracy in percent, mean and half-width of the 95 % interval over five seeds "
        "(hospitals: five folds). Each seed has clients, tuning and test of its own; known clients "
        "are chosen for on spare samples of theirs. Worst: the tenth of the new clients with the "
        "lowest accuracy; of the hospitals, the lowest.",
    )


def summarize(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row for each split and method: mean ± half-width over the seeds."""
    keys = (("plain", 0), ("personal", 0), ("personal", 1), ("personal", 2))
    rows = []
    for split in SPLITS:
        for method in METHODS:
            own = matching(cells, split=split, method=method)
            row = [split, method]
            for kind, number in keys:
                mean, half = interval([100 * result[kind][number] for result in own])
                row.append(f"{mean:.1f} ± {half:.1f}")
            rows.append(row)
    heads = ["clients", "method", "new, no adaptation", "new, adapted", "worst", "known, adapted"]
    return {"columns": heads, "rows": rows}


def make_world(split: str, seed: int, mnist: dict[str, Dataset] | None = None) -> World:
    """Make the clients of one seed: 40 that train, 10 on which we choose, 20 that are new."""
    g = torch.Generator().manual_seed(seed)
    if split == "hospitals":
        return _hospitals(seed)
    if split == "writers":
        return _writers(seed, g, mnist or {})
    data, m = load("mnist_mini"), KNOWN + TUNE + NEW
    if split == "two groups":
        parts = partition_two_groups(data.y, m, a=12, generator=g)
    else:
        parts = partition_dirichlet(data.y, m, alpha=float(split.split()[1]), generator=g)
    parts = [parts[i] for i in torch.randperm(m, generator=g).tolist() if len(parts[i]) >= 10]
    known, spare = _known(data, parts[: -TUNE - NEW], g)
    tune, new = _sides(data, parts[-TUNE - NEW : -NEW], g), _sides(data, parts[-NEW:], g)
    model = mlp(784, 40, 10, activation="relu", seed=seed)
    return World(known, spare, tune, new, model, *BUDGET, seed)


def _writers(seed: int, g: torch.Generator, mnist: dict[str, Dataset]) -> World:
    """100 of MNIST's training writers train, 60 others tune, 200 of the test's writers are new."""
    owners = {k: partition_natural(_owner(data), least=10) for k, data in mnist.items()}
    order = {k: torch.randperm(len(parts), generator=g).tolist() for k, parts in owners.items()}
    train = [owners["train"][i] for i in order["train"][:160]]
    known, spare = _known(mnist["train"], train[:100], g)
    tune = _sides(mnist["train"], train[100:], g)
    new = _sides(mnist["test"], [owners["test"][i] for i in order["test"][:200]], g)
    model = mlp(784, 40, 10, activation="relu", seed=seed)
    return World(known, spare, tune, new, model, *BUDGET, seed)


def _hospitals(fold: int) -> World:
    """Five folds of each hospital's patients: one to test, one to tune, three to train."""
    heart = load("heart_disease")
    g = torch.Generator().manual_seed(0)  # the same folds whatever the seed
    folds = []
    for part in partition_natural(_owner(heart)):
        pieces = torch.tensor_split(part[torch.randperm(len(part), generator=g)], len(SEEDS))
        folds.append([pieces[(fold + k) % len(SEEDS)] for k in range(len(SEEDS))])
    train, test, spare = (
        _clients(heart, parts)
        for parts in (
            [torch.cat(one[2:]) for one in folds],
            [one[0] for one in folds],
            [one[1] for one in folds],
        )
    )
    model = logistic(13, 2, seed=fold)
    return World((train, test), (train, spare), None, None, model, 60, 4, 5, 20, fold)


def _owner(data: Dataset) -> Tensor:
    if data.client is None:
        raise ValueError(
            "data must say who made each sample, got client=None; see fedlearn_lib.load"
        )
    return data.client


def _sides(data: Dataset, parts: list[Tensor], g: torch.Generator) -> Sides:
    """Give each client three fifths of its samples to adapt on, the rest to be scored on."""
    learn, rest = split_parts(parts, test=0.4, generator=g)
    return _clients(data, learn), _clients(data, rest)


def _known(data: Dataset, parts: list[Tensor], g: torch.Generator) -> tuple[Sides, Sides]:
    """Give each client three fifths to train on, one to be scored on, one spare to choose on."""
    learn, rest = split_parts(parts, test=0.4, generator=g)
    score, spare = split_parts(rest, test=0.5, generator=g)
    train = _clients(data, learn)
    return (train, _clients(data, score)), (train, _clients(data, spare))


def _clients(data: Dataset, parts: list[Tensor]) -> Clients:
    return Clients.of(data.x.flatten(1), data.y, parts, [1.0] * len(parts))
