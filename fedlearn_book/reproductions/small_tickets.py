r"""Tickets on Chapter 13's small images: forty seeds, the same mask from a fresh start, the dead.

The full-size runs of ``tickets.py`` have three seeds, too few to tell a mask from luck. Here a
training takes a second, so forty are affordable, and the control that defines a ticket: the units
that enter the path first, trained from *another* start. If they do as well, what was found is a
structure and no ticket; if a lot of the same sizes does as well, not even that. And the control
of the path itself: the largest units after two epochs of SGD with the path's step, without a copy.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from torch import nn

from fedlearn_book.reproductions import tickets
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import ALIVE, interval, matching, run_cells
from fedlearn_book.reproductions.tickets import (
    PATH_LR,
    PATH_MOMENTUM,
    Plan,
    Prepared,
    accuracy,
    batches,
    choose,
    fit,
    prepare,
    shrink,
    size,
)
from fedlearn_lib import load, loss_of, parameters_of
from fedlearn_lib.data import Dataset
from fedlearn_lib.structure import he_start, magnitude_masks, mask_counts, retrain
from fedlearn_lib.trees import Params

SEEDS, UNITS, KEPT, TRAIN = 40, 56, (10, 14, 28), 4000
EPOCHS, NU = 12, 5.0
FRESH = 10_000  # added to the seed of a fresh start
GLANCE = 2  # epochs of SGD after which the large units are looked up
METHODS = {
    "early": "first on the path",
    "fresh": "the same, fresh start",
    "early size": "largest after two epochs",
    **{k: v for k, v in tickets.METHODS.items() if k != "early"},
}
Cell = dict[str, Any]


def network(seed: int, widths: tuple[int, ...] = (8, 16, 32)) -> nn.Sequential:
    """The network of Chapter 13, with so many filters, filters and hidden units."""
    a, b, c = widths
    model = nn.Sequential(
        nn.Conv2d(1, a, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(a, b, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * b, c), nn.ReLU(), nn.Linear(c, 10),
    )  # fmt: skip
    return he_start(model, seed)


PLAN = Plan("mnist_mini", network, NU, EPOCHS, tuple(k / UNITS for k in KEPT), SEEDS, TRAIN)


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells and store ``tickets_small.json``; ``root`` is not needed."""
    train, test = small_images()
    run_cells(
        "tickets_small",
        [
            {"method": method, "kept": kept, "seed": seed}
            for seed in range(SEEDS)
            for method, kept in [("dense", UNITS), *((m, k) for k in KEPT for m in METHODS)]
        ],
        partial(compute, lru_cache(maxsize=1)(partial(prepare, PLAN, train)), train, test),
        folder=folder,
        constants=constants_of(__name__, tickets.__name__),
        title="Early structure, retrained: small images, forty seeds, fresh starts",
        question="Are the first units on the path worth more than others, and does their start "
        "matter?",
        command="python -m fedlearn_book.reproductions tickets_small",
        setting=f"{TRAIN} images of 14 × 14 pixels, {EPOCHS} epochs, batches of {tickets.BATCH}; "
        f"path: SplitLBI, one group a row, α = {tickets.PATH_LR:g}, ν = {NU:g}; others: SGD, step "
        f"{tickets.LR:g} falling to 0, momentum {tickets.MOMENTUM:g}, decay {tickets.DECAY:g}; "
        f"the {GLANCE} epochs of *largest after two epochs*: SGD, step {PATH_LR:g}, momentum "
        f"{PATH_MOMENTUM:g}",
        table=summarize,
        note="Median test accuracy in percent of the networks that learned something, the number "
        "of those that did not (below 20 %), mean multiply-adds in thousands, and how far *first "
        "on the path* is ahead, in points: mean and half-width of the 95 % interval over the pairs "
        "of one seed of which both learned something.",
    )


def small_images() -> tuple[Dataset, Dataset]:
    """Chapter 13's images: 4,000 to train, 1,000 to score, each averaged to 14 x 14."""
    data = load("mnist_mini")
    order = torch.randperm(len(data.y), generator=torch.Generator().manual_seed(0))
    x = nn.functional.avg_pool2d(data.x[order, None].float(), 2)
    y = data.y[order]
    return data._replace(x=x[:TRAIN], y=y[:TRAIN]), data._replace(x=x[TRAIN:], y=y[TRAIN:])


def compute(
    prepared: Any, train: Dataset, test: Dataset, method: str, kept: int, seed: int
) -> dict[str, Any]:
    """Train one network inside one mask, and score it."""
    p: Prepared = prepared(seed)
    if method == "dense":
        return {"accuracy": accuracy(p.model, p.dense, test), **size(p.model, test)}
    start = p.dense if method == "kept" else p.start
    if method == "fresh":
        start = parameters_of(network(FRESH + seed))
    shared = {}
    if method == "early size":
        first = choose(p, "early", kept / UNITS, seed)
        masks = magnitude_masks(glance(p, train, seed), mask_counts(first, "rows"), unit="rows")
        both = mask_counts({name: first[name] & masks[name] for name in first}, "rows")
        shared = {"shared": sum(both.values())}
    else:
        masks = choose(p, "early" if method == "fresh" else method, kept / UNITS, seed)
    try:
        small, w, left = shrink(p.model, start, masks)
    except ValueError:  # a layer without units: the network answers the same to every input
        return {"accuracy": 0.0, "parameters": 0, "multiply_adds": 0, **shared}
    end = fit(small, w, left, train, EPOCHS, seed)
    return {"accuracy": accuracy(small, end, test), **size(small, test), **shared}


def glance(p: Prepared, train: Dataset, seed: int) -> Params:
    """Train for two epochs with the step, the momentum and the batches of the path, and no copy."""
    return retrain(
        loss_of(p.model), p.start, {}, batches(train, GLANCE, seed),
        lr=PATH_LR, momentum=PATH_MOMENTUM,
    )  # fmt: skip


def summarize(done: list[Cell]) -> dict[str, Any]:
    """Make one row a number of units and method: living, dead, work, and the paired difference."""
    rows = []
    for kept, method in [(UNITS, "dense"), *((k, m) for k in KEPT for m in METHODS)]:
        own = matching(done, method=method, kept=kept)
        alive = [r for r in own if r["accuracy"] >= ALIVE]
        row = [str(kept), METHODS.get(method, "all")]
        row.append(f"{100 * median(r['accuracy'] for r in alive):.1f}" if alive else "none")
        row.append(f"{len(own) - len(alive)} of {len(own)}")
        row.append(f"{mean(r['multiply_adds'] for r in own if r['parameters']) / 1000:.0f}")
        row.append("" if method in ("dense", "early") else ahead(done, kept, method))
        rows.append(row)
    heads = ["units", "which", "accuracy", "dead", "work", "first on the path is ahead by"]
    return {"columns": heads, "rows": rows}


def ahead(done: list[Cell], kept: int, method: str) -> str:
    """Write by how much *early* is ahead, over the seeds in which both learned something."""
    early, other = (
        [r["accuracy"] for r in matching(done, method=m, kept=kept)] for m in ("early", method)
    )
    gaps = [100 * (a - b) for a, b in zip(early, other, strict=True) if min(a, b) >= ALIVE]
    return "{:+.1f} ± {:.1f}".format(*interval(gaps)) if len(gaps) > 1 else "too few pairs"
