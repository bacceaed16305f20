r"""A family of models, and what each way of making one costs: LeNet on MNIST.

One run of SplitLBI passes through models of every size. Its rivals: the same order of units at the
end of that run, plain magnitude after SGD, the same share in each layer, also with the pull of the
spring for a decay, proximal SGD and linearized Bregman training, both over a grid of strengths. A
member of a family is a network from which dead units are cut out. Members are chosen on images held
out from training, and scored on the test images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fedlearn_book.reproductions import tickets
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import interval, run_cells
from fedlearn_book.reproductions.small_tickets import ALIVE
from fedlearn_book.reproductions.tickets import (
    BATCH,
    DECAY,
    LR,
    MOMENTUM,
    accuracy,
    batches,
    first_images,
    first_units,
    path_of,
    size,
    small_lenet,
    train_and_test,
    units_of,
)
from fedlearn_lib import loss_of, parameters_of, project, prune
from fedlearn_lib.data import Dataset
from fedlearn_lib.sparse.penalties import group_norms, group_threshold
from fedlearn_lib.structure import Masks, magnitude_masks, retrain
from fedlearn_lib.trees import Params

EPOCHS, SEEDS, HELD_OUT = 6, 3, 5000
SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75)  # of all filters and hidden units
NUS = (60.0, 120.0, 180.0)  # of the paths in passing
NU = 120.0  # of the path whose end is used
PROX = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064)  # strengths of proximal SGD
BREGMAN = (0.5, 2.0, 5.0, 12.0, 30.0)  # thresholds of linearized Bregman training
BEGIN = 0.2  # share of the units with which linearized Bregman training begins
BIAS = 0.1  # of its units at the start
LOOK = 20  # steps between two looks at the support
BUDGETS = (0.02, 0.05, 0.1, 0.2, 0.4)  # multiply-adds, as shares of those of the whole network
#: Family: what it is called in the table, and how many epochs it takes until all of it is known.
FAMILIES = {
    **{f"passing {nu:g}": (f"the path in passing, ν = {nu:g}", EPOCHS) for nu in NUS},
    "order": ("the path's order, at its end", EPOCHS),
    "order, retrained": ("the same, one more epoch each", EPOCHS + len(SHARES)),
    "size": ("magnitude after SGD", EPOCHS),
    "size, retrained": ("the same, one more epoch each", EPOCHS + len(SHARES)),
    "decayed size": ("magnitude after SGD with the spring's decay", EPOCHS),
    "decayed size, retrained": ("the same, one more epoch each", EPOCHS + len(SHARES)),
    "prox": ("proximal SGD", EPOCHS * len(PROX)),
    "bregman": ("linearized Bregman training", EPOCHS * len(BREGMAN)),
}
Cell = dict[str, Any]
Member = dict[str, Any]


class Trained(NamedTuple):
    """What the cells of a seed share: two dense networks, one path's end, three in passing."""

    model: nn.Module
    dense: Params
    decayed: Params
    end: Params
    entry: dict[str, Tensor]
    passing: dict[str, list[Params]]


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Make all families on MNIST and store ``family.json``."""
    train, test = train_and_test("mnist", root)
    train = first_images(train, len(train.y))  # shuffled
    held = train._replace(x=train.x[:HELD_OUT], y=train.y[:HELD_OUT])
    train = train._replace(x=train.x[HELD_OUT:], y=train.y[HELD_OUT:])
    run_cells(
        "family",
        [
            {"family": family, "seed": seed}
            for seed in range(SEEDS)
            for family in ("dense", *FAMILIES)
        ],
        partial(compute, lru_cache(maxsize=1)(partial(prepare, train)), train, held, test),
        folder=folder,
        constants=constants_of(__name__, tickets.__name__),
        title="A family of models for the work of one training",
        question="Is a path the better way to explore the models between nothing and everything?",
        command="python -m fedlearn_book.reproductions family",
        setting=f"LeNet, {len(train.y)} images, {HELD_OUT} held out for choices, {EPOCHS} epochs, "
        f"batches of {BATCH}; path: SplitLBI, one group a filter or hidden unit, step 0.1, in the "
        f"last quarter 0.01; SGD: step {LR:g} falling to 0, momentum {MOMENTUM:g}, "
        f"decay {DECAY:g} or 1/ν; the path whose end is used and the decay have "
        f"ν = {NU:g}; strengths of proximal SGD {PROX[0]:g} to {PROX[-1]:g}, of "
        f"linearized Bregman training {BREGMAN[0]:g} to {BREGMAN[-1]:g}",
        table=summarize,
        note="Test accuracy in percent of the member that is best on the held-out images among "
        "those with at most this share of the dense network's multiply-adds, mean ± half-width of "
        "the 95 % interval over seeds; *none* if a seed has no living member so small. Work is in "
        "epochs until the whole family is known. Dead members answer the same to all images: they "
        "are counted, and not in the means. Magnitude keeps the same share of each layer.",
    )  # fmt: skip


def compute(
    prepared: Callable[[int], Trained], train: Dataset, held: Dataset, test: Dataset,
    family: str, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Make one family: size and accuracy of each member."""
    p = prepared(seed)
    if family == "dense":
        p.model.load_state_dict(p.dense)
        return {"members": [score(p.model, held, test)]}
    kind, _, again = family.partition(", ")
    members = []
    for w in weights_of(p, kind, train, seed):
        try:
            small = prune(p.model, w)
        except ValueError:  # a layer without units
            members.append({"dead": True})
            continue
        if again:
            end = fit(small, parameters_of(small), train, 1, 700 + seed, decay=DECAY)
            small.load_state_dict(end)
        members.append(score(small, held, test))
    return {"members": members}


def score(model: nn.Module, held: Dataset, test: Dataset) -> Member:
    """Accuracy on both sets, and size; a network that answers the same to all is dead."""
    w = parameters_of(model)
    member = {"held": accuracy(model, w, held), "test": accuracy(model, w, test)}
    return {**member, **size(model, test), "dead": member["held"] < ALIVE}


def prepare(train: Dataset, seed: int) -> Trained:
    """Train the dense networks and follow the path, all from the same start."""
    model = small_lenet(seed)
    start = parameters_of(model)
    dense, decayed = (fit(model, start, train, EPOCHS, seed, decay=d) for d in (DECAY, 1 / NU))
    paths = {f"passing {nu:g}": follow(small_lenet(seed), train, seed, nu) for nu in NUS}
    end, entry, _ = paths[f"passing {NU:g}"]
    return Trained(model, dense, decayed, end, entry, {k: path[2] for k, path in paths.items()})


def fit(
    model: nn.Module, w: Params, train: Dataset, epochs: int, seed: int, *, decay: float
) -> Params:
    """Train with a step that falls linearly to zero."""
    steps = epochs * -(-len(train.y) // BATCH)
    return retrain(
        loss_of(model), w, {}, batches(train, epochs, 100 + seed),
        lr=lambda k: LR * (1 - k / steps), momentum=MOMENTUM, weight_decay=decay,
    )  # fmt: skip


def follow(
    model: nn.Module, train: Dataset, seed: int, nu: float
) -> tuple[Params, dict[str, Tensor], list[Params]]:
    """Follow the path: weights at its end, entry time of each unit, projections in passing.

    A projection is kept when the support first holds each of ``SHARES`` of the units.
    """
    optimizer, names = path_of(model, nu=nu), units_of(model)
    slow = EPOCHS * -(-len(train.y) // BATCH) * 3 // 4
    entry = {name: torch.full((len(model.get_parameter(name)),), torch.inf) for name in names}
    passing: list[Params] = []
    for k, (x, y) in enumerate(batches(train, EPOCHS, seed)):
        if k == slow:
            for group in optimizer.param_groups:
                group["lr"] /= 10
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        if k % LOOK and k + 1 < 4 * slow // 3:
            continue
        masks = {name: optimizer.support(model.get_parameter(name)) for name in names}
        for name, mask in masks.items():
            entry[name][mask.flatten(1).any(1) & entry[name].isinf()] = k
        share = float(torch.cat([t.isfinite() for t in entry.values()]).float().mean())
        while len(passing) < len(SHARES) and share >= SHARES[len(passing)]:
            passing.append(project(parameters_of(model), masks))
    return parameters_of(model), entry, passing


def weights_of(p: Trained, kind: str, train: Dataset, seed: int) -> Iterator[Params]:
    """Yield the weights of a family's members, zero where a unit is out."""
    if kind in p.passing:
        yield from p.passing[kind]
    elif kind in ("prox", "bregman"):
        for strength in PROX if kind == "prox" else BREGMAN:
            yield sparse_training(small_lenet(seed), kind, strength, train, seed)
    else:
        w = {"order": p.end, "size": p.dense, "decayed size": p.decayed}[kind]
        for share in SHARES:
            yield project(w, masks_of(p, kind, w, share))


def masks_of(p: Trained, kind: str, w: Params, share: float) -> Masks:
    """Keep the first units of the path; of sizes the same share in each layer, one at least.

    Sizes of different layers cannot be compared: all layers together, the small ones go first.
    """
    if kind == "order":
        return {k: rows.view(-1, *[1] * (w[k].ndim - 1)).expand(w[k].shape)
                for k, rows in first_units(p.entry, share).items()}  # fmt: skip
    rows = {k: max(1, round(share * len(times))) for k, times in p.entry.items()}
    return magnitude_masks(w, rows, unit="rows")


def sparse_training(
    model: nn.Module, kind: str, strength: float, train: Dataset, seed: int
) -> Params:
    """Train with the group norm of the units: proximal SGD, or linearized Bregman training.

    The former shortens the rows after each step. The latter moves V by the gradient and reads the
    weights off it, W = prox(V); it begins with a fifth of the units (Bungert et al. 2022).
    """
    steps, names = EPOCHS * -(-len(train.y) // BATCH), set(units_of(model))
    g = torch.Generator().manual_seed(50_000 + seed)
    V = {k: p.detach().clone() for k, p in model.named_parameters()}
    if kind == "bregman":
        V = {k: begin(v, strength, g) if k in names else v for k, v in V.items()}
        # A ReLU that hears zero passes no gradient on: with zero biases no unit could ever enter.
        V |= {k: torch.full_like(V[k], BIAS) for k in (n.replace("weight", "bias") for n in names)}
    heavy = {k: torch.zeros_like(v) for k, v in V.items()}
    with torch.no_grad():
        set_weights(model, V, names, strength if kind == "bregman" else 0.0)
    for k, (x, y) in enumerate(batches(train, EPOCHS, 100 + seed)):
        model.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        lr = LR * (1 - k / steps)
        with torch.no_grad():
            for name, p in model.named_parameters():
                heavy[name] = MOMENTUM * heavy[name] + (p.grad if p.grad is not None else 0)
                V[name] -= lr * heavy[name]
                if kind == "prox" and name in names:
                    V[name] = group_threshold(V[name], lr * strength / (1 - MOMENTUM))
            set_weights(model, V, names, strength if kind == "bregman" else 0.0)
    return parameters_of(model)


def begin(v: Tensor, strength: float, g: torch.Generator) -> Tensor:
    """Put a fifth of the rows so far beyond the threshold that their weights are v; the rest: 0."""
    kept = torch.rand(len(v), generator=g) < BEGIN
    kept[0] = True  # no layer begins empty
    norms = group_norms(v)
    return kept.view(norms.shape) * v * (1 + strength / norms)


def set_weights(model: nn.Module, V: Params, names: set[str], threshold: float) -> None:
    for name, p in model.named_parameters():
        p.copy_(group_threshold(V[name], threshold) if name in names and threshold else V[name])


# ----- the table --------------------------------------------------------------------------------


def best(members: list[Member], most: float) -> Member | None:
    """Return the living member that is best on the held-out images, of at most so much work."""
    small = [m for m in members if not m["dead"] and m["multiply_adds"] <= most]
    return max(small, key=lambda m: m["held"], default=None)


def summarize(done: list[Cell]) -> dict[str, Any]:
    """Make one row a family: accuracy within each budget, dead members, work."""
    whole = max(m["multiply_adds"] for cell in done if cell["setting"]["family"] == "dense"
                for m in cell["result"]["members"])  # fmt: skip
    rows = []
    for family, (words, epochs) in {"dense": ("the whole network", EPOCHS), **FAMILIES}.items():
        own = [c["result"]["members"] for c in done if c["setting"]["family"] == family]
        row = [words]
        for budget in (*BUDGETS, 1.0):
            found = [best(members, budget * whole) for members in own]
            scores = [100 * m["test"] for m in found if m]
            row.append("{:.2f} ± {:.2f}".format(*interval(scores)) if all(found) else "none")
        dead = sum(m["dead"] for members in own for m in members)
        row += [f"{dead} of {sum(map(len, own))}", str(epochs)]
        rows.append(row)
    heads = [f"{100 * budget:g} %" for budget in BUDGETS]
    return {"columns": ["family", *heads, "all", "dead", "epochs"], "rows": rows}
