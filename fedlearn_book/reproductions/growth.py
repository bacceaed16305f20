r"""A network that grows: few filters at first, more wherever nearly all of them are in use.

After each epoch of SplitLBI a layer with 80 % or more of its units in the support gets a few more,
without a voice at first (:func:`fedlearn_lib.grow`). The network that results is then compared
with two of the same size that were trained at this size from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from torch import nn

from fedlearn_book.reproductions import tickets
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import living, matching, run_cells
from fedlearn_book.reproductions.tickets import (
    PATH_LR,
    PATH_MOMENTUM,
    accuracy,
    batches,
    fit,
    path_of,
    train_and_test,
    units_of,
)
from fedlearn_lib import SplitLBI, grow, lenet, parameters_of
from fedlearn_lib.data import Dataset
from fedlearn_lib.structure import carry_state, cost, he_start, ready_to_grow

METHODS = {
    "small": "the small start, never grown",
    "grown": "grown",
    "same work": "the grown size from the beginning, same work",
    "same size": "the grown size from the beginning, same epochs",
    "lenet": "LeNet",
}
START, FULL = (2, 3, 8, 8), (6, 16, 120, 84)
PLACES = (0, 3, 6, 9)  # of the layers that may grow
GROWING, POLISH, SEEDS, NU = 12, 4, 5, 60.0
Cell = dict[str, Any]


class Grown(NamedTuple):
    """The grown network, its widths after each epoch, multiply-adds of one pass over all epochs."""

    model: nn.Sequential
    widths: list[list[int]]
    work: int


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells on MNIST and store ``growth.json``."""
    train, test = train_and_test("mnist", root)
    run_cells(
        "growth",
        [{"method": method, "seed": seed} for seed in range(SEEDS) for method in METHODS],
        partial(compute, lru_cache(maxsize=1)(partial(grown, train)), train, test),
        folder=folder,
        constants=constants_of(__name__, tickets.__name__),
        title="A network that grows, on MNIST",
        question="Is a network that grew from a few filters as good as the same network trained "
        "at its final size, and what did it cost?",
        command="python -m fedlearn_book.reproductions growth",
        setting=f"LeNet with {START} units at first; {GROWING} epochs of SplitLBI, "
        f"α = {PATH_LR:g}, ν = {NU:g}, momentum {PATH_MOMENTUM:g} on the loss, one group a row; "
        f"a quarter more units where 80 % are in the support; then {POLISH} epochs of SGD. "
        f"The others: {GROWING + POLISH} epochs of SGD, or as many as cost the same work",
        table=summarize,
        note="Test accuracy in percent, mean ± half-width of the 95 % interval over seeds; of a "
        "row in which a network learned nothing (below 20 %) the median of the others; mean "
        "parameters; multiply-adds of all training forward passes for one image, in millions.",
    )


def compute(
    grown_of: Callable[[int], Grown], train: Dataset, test: Dataset, method: str, seed: int
) -> dict[str, Any]:
    """Train one network; the grown one's growth is shared by the cells of its seed."""
    shape, epochs = tuple(train.x.shape[1:]), GROWING + POLISH
    result = grown_of(seed)
    if method == "grown":
        model, epochs, work = result.model, POLISH, result.work
    else:
        sizes = {"small": START, "lenet": FULL}.get(method, tuple(result.widths[-1]))
        model, work = he_start(lenet(widths=sizes), seed), 0
        if method == "same work":
            epochs = POLISH + round(result.work / cost(model, *shape).multiply_adds)
    end = fit(model, parameters_of(model), {}, train, epochs, seed)
    work += epochs * cost(model, *shape).multiply_adds
    about: dict[str, Any] = {"widths": result.widths} if method == "grown" else {}
    return {
        "accuracy": accuracy(model, end, test), **cost(model, *shape)._asdict(), "work": work,
        **about,
    }  # fmt: skip


def grown(train: Dataset, seed: int) -> Grown:
    """Grow a network, one decision a layer after each epoch."""
    g = torch.Generator().manual_seed(100_000 + seed)
    model, widths, work = he_start(lenet(widths=START), seed), [list(START)], 0
    optimizer = path_of(model, nu=NU)
    for epoch in range(GROWING):
        for x, y in batches(train, 1, 1000 * seed + epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        work += cost(model, *train.x.shape[1:]).multiply_adds
        wide = widen(model, optimizer, g)
        optimizer = carry_state(optimizer, model, wide)
        model = wide
        widths.append([len(model[place].weight) for place in PLACES])  # type: ignore[arg-type]
    return Grown(model, widths, work)


def widen(model: nn.Sequential, optimizer: SplitLBI, g: torch.Generator) -> nn.Sequential:
    """Return a copy with a quarter more units, one at least, wherever 80 % are in the support."""
    masks = {name: optimizer.support(model.get_parameter(name)) for name in units_of(model)}
    for name in ready_to_grow(masks):
        place = int(name.partition(".")[0])
        model = grow(model, place, max(1, len(masks[name]) // 4), generator=g)
    return model


def summarize(done: list[Cell]) -> dict[str, Any]:
    """Make one row a network: accuracy, parameters, multiply-adds of its training."""
    rows = []
    for method, words in METHODS.items():
        own = matching(done, method=method)
        accuracy = living([result["accuracy"] for result in own])
        parameters = f"{mean(result['parameters'] for result in own):,.0f}"
        work = f"{mean(result['work'] for result in own) / 1e6:.2f}"
        rows.append([words, accuracy, parameters, work])
    return {"columns": ["network", "test accuracy", "parameters", "training work"], "rows": rows}
