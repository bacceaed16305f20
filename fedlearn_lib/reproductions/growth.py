r"""A network that grows: few filters at first, more wherever nearly all of them are in use.

After each epoch of SplitLBI a layer with 80 % or more of its units in the support gets a few more,
without a voice at first (:func:`fedlearn_lib.grow`). The network that results is then compared
with two of the same size that were trained at this size from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from statistics import mean
from typing import Any, NamedTuple

import torch
from torch import nn

from fedlearn_lib import (
    Dataset,
    SplitLBI,
    cost,
    grow,
    parameters_of,
    ready_to_grow,
)
from fedlearn_lib.reproductions.record import RESULTS, interval, matching, run_cells
from fedlearn_lib.reproductions.tickets import (
    accuracy,
    batches,
    fit,
    he_start,
    train_and_test,
    units_of,
)

METHODS = {
    "small": "the small start, never grown",
    "grown": "grown",
    "same work": "the grown size from the beginning, same work",
    "same size": "the grown size from the beginning, same epochs",
    "lenet": "LeNet",
}
START, FULL = (2, 3, 8, 8), (6, 16, 120, 84)
PLACES = (0, 3, 6, 9)  # of the layers that may grow
GROWING, POLISH, SEEDS, NU, LR, MOMENTUM = 12, 4, 5, 60.0, 0.1, 0.5
Cell = dict[str, Any]


class Grown(NamedTuple):
    """The grown network, its widths after each epoch, multiply-adds of one pass over all epochs."""

    model: nn.Sequential
    widths: list[list[int]]
    work: int


def main(*, root: str | None = None, folder: Any = RESULTS) -> None:
    """Run all cells on MNIST and store ``growth.json``."""
    train, test = train_and_test("mnist", root)
    run_cells(
        "growth",
        [{"method": method, "seed": seed} for seed in range(SEEDS) for method in METHODS],
        partial(compute, lru_cache(maxsize=1)(partial(grown, train)), train, test),
        folder=folder,
        title="A network that grows, on MNIST",
        question="Is a network that grew from a few filters as good as the same network trained "
        "at its final size, and what did it cost?",
        command="python -m fedlearn_lib.reproductions growth",
        setting=f"LeNet with {START} units at first; {GROWING} epochs of SplitLBI, α = {LR:g}, "
        f"ν = {NU:g}, momentum {MOMENTUM:g} on the loss, one group a row; a quarter more units "
        f"where 80 % are in the support; then {POLISH} epochs of SGD. The others: "
        f"{GROWING + POLISH} epochs of SGD, or as many as cost the same work",
        table=summarize,
        note="Test accuracy in percent, mean ± half-width of the 95 % interval over seeds; mean "
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
        model, work = narrow_lenet(sizes, seed), 0
        if method == "same work":
            epochs = POLISH + round(result.work / cost(model, *shape).multiply_adds)
    end = fit(model, parameters_of(model), {}, train, epochs, seed)
    work += epochs * cost(model, *shape).multiply_adds
    about: dict[str, Any] = {"widths": result.widths} if method == "grown" else {}
    return {
        "accuracy": accuracy(model, end, test), **cost(model, *shape)._asdict(), "work": work,
        **about,
    }  # fmt: skip


def narrow_lenet(widths: tuple[int, ...], seed: int) -> nn.Sequential:
    """Return LeNet with these numbers of filters and hidden units, and a He start."""
    a, b, c, d = widths
    model = nn.Sequential(
        nn.Conv2d(1, a, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(a, b, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(b, c, 5), nn.ReLU(), nn.Flatten(),
        nn.Linear(c, d), nn.ReLU(), nn.Linear(d, 10),
    )  # fmt: skip
    he_start(model, seed)
    return model


def grown(train: Dataset, seed: int) -> Grown:
    """Grow a network, one decision a layer after each epoch."""
    g = torch.Generator().manual_seed(100_000 + seed)
    model, widths, work = narrow_lenet(START, seed), [list(START)], 0
    optimizer = path_of(model, nu=NU)
    for epoch in range(GROWING):
        for x, y in batches(train, 1, 1000 * seed + epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        work += cost(model, *train.x.shape[1:]).multiply_adds
        wide = widen(model, optimizer, g)
        optimizer = carried(model, optimizer, wide)
        model = wide
        widths.append([len(model[place].weight) for place in PLACES])  # type: ignore[arg-type]
    return Grown(model, widths, work)


def path_of(model: nn.Sequential, *, nu: float) -> SplitLBI:
    """Return SplitLBI with one group a row of every layer but the last."""
    names = units_of(model)
    inside = [(name, p) for name, p in model.named_parameters() if name in names]
    outside = [(name, p) for name, p in model.named_parameters() if name not in names]
    return SplitLBI(
        [{"params": inside, "penalty": "group"}, {"params": outside, "penalty": None}],
        LR, nu=nu, momentum=MOMENTUM, momentum_on="loss",
    )  # fmt: skip


def widen(model: nn.Sequential, optimizer: SplitLBI, g: torch.Generator) -> nn.Sequential:
    """Return a copy with a quarter more units, one at least, wherever 80 % are in the support."""
    masks = {name: optimizer.support(model.get_parameter(name)) for name in units_of(model)}
    for name in ready_to_grow(masks):
        place = int(name.partition(".")[0])
        model = grow(model, place, max(1, len(masks[name]) // 4), generator=g)
    return model


def carried(model: nn.Sequential, optimizer: SplitLBI, wide: nn.Sequential) -> SplitLBI:
    """Return the wide network's optimizer: old entries keep their state, new ones start at 0."""
    new = path_of(wide, nu=optimizer.param_groups[0]["nu"])
    for old, p in zip(model.parameters(), wide.parameters(), strict=True):
        for name, value in optimizer.state[old].items():
            padded = torch.zeros_like(p)
            padded[tuple(slice(n) for n in value.shape)] = value
            new.state[p][name] = padded
    return new


def summarize(done: list[Cell]) -> dict[str, Any]:
    """Make one row a network: accuracy, parameters, multiply-adds of its training."""
    rows = []
    for method, words in METHODS.items():
        own = matching(done, method=method)
        middle, half = interval([100 * result["accuracy"] for result in own])
        parameters = f"{mean(result['parameters'] for result in own):,.0f}"
        work = f"{mean(result['work'] for result in own) / 1e6:.2f}"
        rows.append([words, f"{middle:.2f} ± {half:.2f}", parameters, work])
    return {"columns": ["network", "test accuracy", "parameters", "training work"], "rows": rows}
