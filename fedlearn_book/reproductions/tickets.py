r"""Tickets: is the structure that a path finds early worth keeping?

SplitLBI with one group a filter or hidden unit trains a network and lets its units enter one by
one. The first of them, alone and from the saved start, are trained again, against as many units
chosen by magnitude after dense training, by magnitude at the start, and by lot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import living, matching, percent, run_cells
from fedlearn_lib import (
    SplitLBI,
    accuracy_of,
    lenet,
    load,
    loss_of,
    parameters_of,
    project,
    prune,
    record_path,
    resnet,
)
from fedlearn_lib.data import Dataset
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.structure import (
    Masks,
    close_masks,
    cost,
    he_start,
    magnitude_masks,
    mask_counts,
    overlap_by_chance,
    random_masks,
    retrain,
)
from fedlearn_lib.trees import Params

METHODS = {
    "early": "first on the path",
    "rewound": "magnitude, rewound",
    "kept": "magnitude, not rewound",
    "large at start": "magnitude at the start",
    "random by layer": "by lot, same layers",
    "random": "by lot, uniform",
}
BATCH, LR, MOMENTUM, DECAY = 128, 0.05, 0.9, 5e-4
PATH_LR, PATH_MOMENTUM = 0.1, 0.5  # of SplitLBI, momentum on the loss
Cell = dict[str, Any]


class Plan(NamedTuple):
    """One result file: data, network, ν of the path, epochs of each training, and the cells.

    ``limit`` is the number of training images that are used, the first ones of a shuffled list.
    """

    data: str
    network: Callable[[int], nn.Module]
    nu: float
    epochs: int
    shares: tuple[float, ...]
    seeds: int
    limit: int = 60_000


def small_lenet(seed: int) -> nn.Module:
    return he_start(lenet(seed=seed), seed)


def small_resnet(seed: int) -> nn.Module:
    return he_start(resnet(width=8, seed=seed), seed)


PLANS = {
    "tickets_mnist": Plan("mnist", small_lenet, 60.0, 6, (0.1, 0.2, 0.4, 0.7), 3),
    "tickets_fashion": Plan("fashion_mnist", small_lenet, 60.0, 6, (0.1, 0.2, 0.4, 0.7), 3),
    "tickets_cifar10": Plan("cifar10", small_resnet, 30.0, 6, (0.3, 0.6), 3, 20_000),
    # 90 seconds an epoch of all images on one core: a part of them, and fewer shares
}


def main(name: str, *, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells of one plan and store its result file."""
    plan = PLANS[name]
    train, test = train_and_test(plan.data, root)
    train = first_images(train, plan.limit)
    run_cells(
        name,
        list(cells(plan)),
        partial(compute, lru_cache(maxsize=1)(partial(prepare, plan, train)), train, test),
        folder=folder,
        constants=constants_of(__name__),
        title=f"Early structure, retrained: {train.name}",
        question="Are the units that enter the path first worth more than units chosen by "
        "magnitude or by lot, when all are trained from the same start?",
        command=f"python -m fedlearn_book.reproductions {name}",
        setting=f"{len(train.y)} images, {plan.epochs} epochs for each training, batches of "
        f"{BATCH}; path: SplitLBI, one group a row, α = {PATH_LR:g}, ν = {plan.nu:g}, "
        f"momentum {PATH_MOMENTUM:g} on the "
        f"loss; others: SGD, step {LR:g} falling to 0, momentum {MOMENTUM:g}, decay {DECAY:g}",
        table=partial(summarize, plan),
        note="Test accuracy in percent, mean ± half-width of the 95 % interval over seeds, or, "
        "where networks learned nothing (below 20 %), the median of the others; by the share of "
        "filters and hidden units that are kept (the last layer keeps all). *Magnitude* keeps the "
        "largest rows of the dense network after its training, rewound to the start or not; the "
        "latter has been trained twice as long. Overlap: units that are both among the first and "
        "among the largest, and what chance makes of it.",
    )


def cells(plan: Plan) -> Iterator[Cell]:
    """Yield the cells: for every seed the dense network, then each share and method."""
    for seed in range(plan.seeds):
        yield {"method": "dense", "share": 1.0, "seed": seed}
        for share in plan.shares:
            for method in METHODS:
                yield {"method": method, "share": share, "seed": seed}


class Prepared(NamedTuple):
    """What the cells of a seed share: network, saved start, entry times, dense network's end."""

    model: nn.Module
    start: Params
    entry: dict[str, Tensor]
    dense: Params
    plan: Plan


def prepare(plan: Plan, train: Dataset, seed: int) -> Prepared:
    """Follow the path and train the dense network, both from the same start."""
    model = plan.network(seed)
    start = parameters_of(model)
    entry = follow(model, batches(train, plan.epochs, seed), nu=plan.nu)
    dense = fit(model, start, {}, train, plan.epochs, seed)
    return Prepared(model, start, entry, dense, plan)


def compute(
    prepared: Callable[[int], Prepared], train: Dataset, test: Dataset,
    method: str, share: float, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Train one network inside one mask, and score it."""
    p = prepared(seed)
    if method == "dense":
        return {"accuracy": accuracy(p.model, p.dense, test), **size(p.model, test)}
    masks = choose(p, method, share, seed)
    about = {"layers": list(mask_counts(masks, "rows").values()), "overlap": overlap(p, share)}
    try:
        small, w, left = shrink(p.model, p.dense if method == "kept" else p.start, masks)
    except ValueError:  # a layer without units: the network answers the same to every input
        return {"accuracy": round(1 / (1 + int(test.y.max())), 4), **about}
    end = fit(small, w, left, train, p.plan.epochs, seed)
    return {"accuracy": accuracy(small, end, test), **size(small, test), **about}


# ----- networks and their training --------------------------------------------------------------


def units_of(model: nn.Module) -> list[str]:
    """Return the names of the weights whose rows may go: all but the last layer's."""
    return [name for name, p in model.named_parameters() if p.ndim > 1][:-1]


def batches(data: Dataset, epochs: int, seed: int) -> Iterator[Batch]:
    g = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(data.y), generator=g).split(BATCH):
            yield data.x[rows], data.y[rows]


def path_of(model: nn.Module, *, nu: float, names: list[str] | None = None) -> SplitLBI:
    """Return SplitLBI with one group a row: of these weights, or of every layer but the last."""
    names = units_of(model) if names is None else names
    inside = [(name, p) for name, p in model.named_parameters() if name in names]
    outside = [(name, p) for name, p in model.named_parameters() if name not in names]
    return SplitLBI(
        [{"params": inside, "penalty": "group"}, {"params": outside, "penalty": None}],
        PATH_LR, nu=nu, momentum=PATH_MOMENTUM, momentum_on="loss",
    )  # fmt: skip


def follow(model: nn.Module, data: Iterator[Batch], *, nu: float) -> dict[str, Tensor]:
    """Train with SplitLBI and return the path time at which each row enters, by name."""
    optimizer = path_of(model, nu=nu)
    recorder = record_path(optimizer, keep="norms")
    for x, y in data:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    times = recorder.path().entry_times()
    if not isinstance(times, dict):
        raise TypeError("the recorder names its tensors")
    return times


def fit(model: nn.Module, w: Params, masks: Masks, data: Dataset, epochs: int, seed: int) -> Params:
    """Train inside the masks with a step that falls linearly to zero."""
    steps = epochs * -(-len(data.y) // BATCH)
    return retrain(
        loss_of(model), w, masks, batches(data, epochs, 100 + seed),
        lr=lambda k: LR * (1 - k / steps), momentum=MOMENTUM, weight_decay=DECAY,
    )  # fmt: skip


def shrink(model: nn.Module, w: Params, masks: Masks) -> tuple[nn.Module, Params, Masks]:
    """Return the network to train: cut out where all units can go, masked where they cannot."""
    small = prune(model, project(w, masks))
    if all(len(small.get_parameter(k)) == c for k, c in mask_counts(masks, "rows").items()):
        return small, parameters_of(small), {}
    closed = close_masks(model, masks)
    return model, project(w, closed), closed


# ----- which units, and what they score ---------------------------------------------------------


def choose(p: Prepared, method: str, share: float, seed: int) -> Masks:
    """Return the mask of a method: ``share`` of all units."""
    first = first_units(p.entry, share)
    early = {name: _rows(kept, p.start[name]) for name, kept in first.items()}
    layers = mask_counts(early, "rows")
    stream = 10_000 * (1 + list(METHODS).index(method)) + 1000 * seed + round(100 * share)
    g = torch.Generator().manual_seed(stream)  # every lot has numbers of its own
    if method == "early":
        return early
    if method in ("rewound", "kept"):
        return magnitude_masks(p.dense, layers, unit="rows")
    if method == "large at start":
        return magnitude_masks(p.start, layers, unit="rows")
    if method == "random by layer":
        return random_masks(p.start, layers, unit="rows", generator=g)
    order = {name: torch.rand(len(kept), generator=g) for name, kept in first.items()}
    return {name: _rows(kept, p.start[name]) for name, kept in first_units(order, share).items()}


def first_units(times: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return which units are among the first ``share`` of all: booleans by name.

    >>> first_units({"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([2.0, 4.0])}, 0.5)
    {'a': tensor([False,  True]), 'b': tensor([ True, False])}
    """
    every = torch.cat(list(times.values()))
    kept = torch.zeros(len(every), dtype=torch.bool)
    kept[every.argsort(stable=True)[: round(share * len(every))]] = True
    return dict(zip(times, kept.split([len(t) for t in times.values()]), strict=True))


def _rows(kept: Tensor, like: Tensor) -> Tensor:
    return kept.view(-1, *[1] * (like.ndim - 1)).expand(like.shape)


def overlap(p: Prepared, share: float) -> list[float]:
    """Return the units both first and largest, and mean and deviation by chance, in all layers."""
    first, late = (choose(p, method, share, 0) for method in ("early", "rewound"))
    both = sum(mask_counts({k: first[k] & late[k] for k in first}, "rows").values())
    chances = [
        overlap_by_chance(len(first[k]), c, c) for k, c in mask_counts(first, "rows").items()
    ]
    mean, variance = sum(m for m, _ in chances), sum(s**2 for _, s in chances)
    return [both, round(mean, 2), round(variance**0.5, 2)]


def accuracy(model: nn.Module, w: Params, test: Dataset) -> float:
    metric = accuracy_of(model)
    with torch.no_grad():
        right = [
            metric(w, batch)
            for batch in zip(test.x.split(1000), test.y.split(1000), strict=True)
        ]  # fmt: skip
    return round(float(torch.cat(right).mean()), 4)


def size(model: nn.Module, test: Dataset) -> dict[str, int]:
    return cost(model, *test.x.shape[1:])._asdict()


def train_and_test(name: str, root: str | None) -> tuple[Dataset, Dataset]:
    """Load both parts of a set of images, each image with a channel."""
    train, test = (load(name, root=root, part=part) for part in ("train", "test"))
    return train._replace(x=images(train.x)), test._replace(x=images(test.x))


def first_images(data: Dataset, limit: int) -> Dataset:
    """Return ``limit`` images drawn from all classes: files may be sorted by class."""
    rows = torch.randperm(len(data.y), generator=torch.Generator().manual_seed(0))[:limit]
    return data._replace(x=data.x[rows], y=data.y[rows])


def images(x: Tensor) -> Tensor:
    """Return images with a channel: [n h w] -> [n 1 h w]."""
    return x[:, None] if x.ndim == 3 else x


# ----- the table --------------------------------------------------------------------------------


def summarize(plan: Plan, done: list[Cell]) -> dict[str, Any]:
    """Make one row a share: every method's accuracy, and the overlap of first and largest."""
    rows = []
    dense = percent([r["accuracy"] for r in matching(done, method="dense")])
    for share in plan.shares:
        row = [f"{100 * share:g} %"]
        for method in METHODS:
            own = matching(done, method=method, share=share)
            row.append(living([r["accuracy"] for r in own]))
        overlaps = torch.tensor([r["overlap"] for r in matching(done, method="early", share=share)])
        both, chance, _ = overlaps.mean(0).tolist()
        rows.append([*row, f"{both:.1f} (chance {chance:.1f})"])
    rows.append(["100 %", dense, *[""] * len(METHODS)])
    return {"columns": ["kept", *METHODS.values(), "first and largest"], "rows": rows}
