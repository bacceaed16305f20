"""Networks trained by SplitLBI and by its rivals: LeNet on MNIST, a residual network on CIFAR-10.

One cell is one method with one seed. All methods share the start, the order of the images and
the schedule: a tenth of the step after each milestone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import ALIVE, living, matching, percent, run_cells
from fedlearn_book.reproductions.tickets import (
    accuracy,
    first_images,
    small_lenet,
    small_resnet,
    train_and_test,
)
from fedlearn_lib import SplitLBI, penalty_groups
from fedlearn_lib.data import Dataset

BATCH = 128
L1 = 1e-4  # strength of the l1 penalty of SGD + l1


class Plan(NamedTuple):
    """One result file: data, network, length of a training, what has a sparse copy, rivals.

    ``fully`` is the penalty of fully connected weights (filters are always groups), ``limit`` the
    number of training images, ``recalled`` the paper's test accuracies as we recall them.
    """

    data: str
    network: Callable[[int], nn.Module]
    epochs: int
    milestones: tuple[int, int]
    nu: float
    fully: str | None
    limit: int
    seeds: int
    recalled: dict[str, float | None]


PLANS = {
    "lenet_mnist": Plan(
        "mnist", small_lenet, 20, (7, 14), 20.0, "l1", 60_000, 5,
        {"SGD": 98.87, "SGD + l1": 98.52, "momentum": 99.16, "momentum + decay": 99.23,
         "SGD, the spring's decay": None, "momentum, the spring's decay": None,
         "Adam": 99.19, "SplitLBI": 99.02, "SplitLBI, momentum": 99.19,
         "SplitLBI, momentum, half the step": None, "SplitLBI, momentum + decay": 99.20},
    ),
    "resnet_cifar10": Plan(
        "cifar10", small_resnet, 12, (6, 10), 50.0, None, 20_000, 3,
        {"SGD": 86.46, "momentum": 89.44, "momentum + decay": 90.31,
         "SGD, the spring's decay": None, "momentum, the spring's decay": None, "Adam": 89.14,
         "SplitLBI": 89.26, "SplitLBI, momentum": 89.72, "SplitLBI, momentum + decay": 89.95},
    ),
}  # fmt: skip


def sgd(model: nn.Module, plan: Plan, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, **options)


def pulled(model: nn.Module, plan: Plan, momentum: float = 0.0) -> torch.optim.Optimizer:
    """SGD whose weights decay as the spring pulls them while their copy is zero, without a copy.

    The spring pulls by lr / nu a step, and a decay d by lr d / (1 - momentum) in the long run
    (Proposition 11.8). What has no copy does not decay.
    """
    groups = [
        {
            "params": [p for _, p in group["params"]],
            "weight_decay": (1 - momentum) / plan.nu if group["penalty"] else 0.0,
        }
        for group in penalty_groups(model, linear=plan.fully)
    ]
    return torch.optim.SGD(groups, lr=0.1, momentum=momentum)


def adam(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def split(model: nn.Module, plan: Plan, lr: float = 0.1, **options: Any) -> torch.optim.Optimizer:
    groups = penalty_groups(model, linear=plan.fully)
    return SplitLBI(groups, lr=lr, kappa=1.0, nu=plan.nu, momentum_on="loss", **options)


METHODS: dict[str, Callable[[nn.Module, Plan], torch.optim.Optimizer]] = {
    "SGD": sgd,
    "SGD + l1": sgd,  # the penalty is in the loss
    "momentum": partial(sgd, momentum=0.9),
    "momentum + decay": partial(sgd, momentum=0.9, weight_decay=1e-4),
    "SGD, the spring's decay": pulled,
    "momentum, the spring's decay": partial(pulled, momentum=0.9),
    "Adam": adam,
    "SplitLBI": split,
    "SplitLBI, momentum": partial(split, momentum=0.9),
    "SplitLBI, momentum, half the step": partial(split, lr=0.05, momentum=0.9),
    "SplitLBI, momentum + decay": partial(split, momentum=0.9, weight_decay=1e-4),
}


def main(name: str, *, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells of one plan and store its result file."""
    plan = PLANS[name]
    train, test = train_and_test(plan.data, root)
    if plan.limit < len(train.y):
        train = first_images(train, plan.limit)
    copies = "one group a filter"
    copies += ", single weights elsewhere" if plan.fully else ", no copy of other weights"
    strength = f", l1 strength {L1:g}" if "SGD + l1" in plan.recalled else ""
    run_cells(
        name,
        [
            {"method": method, "seed": seed}
            for seed in range(plan.seeds)
            for method in plan.recalled
        ],
        lambda method, seed: train_one(plan, method, seed, train, test),
        folder=folder,
        constants=constants_of(__name__),
        title=f"SplitLBI and its rivals: {train.name}",
        question="What does training with a sparse copy cost, and how sparse is the copy?",
        command=f"python -m fedlearn_book.reproductions {name}",
        setting=f"{len(train.y)} images, {plan.epochs} epochs, batch {BATCH}, step 0.1 (Adam "
        f"0.001) divided by ten after {plan.milestones[0]} and {plan.milestones[1]} epochs, He "
        f"initialization; SplitLBI: κ = 1, ν = {plan.nu:g}, momentum 0.9 on the loss, {copies}; "
        f"decay 0.0001, or the spring's on what has a copy{strength}",
        table=partial(summarize, plan),
        note="Test accuracy in percent, mean and half-width of the 95 % interval over the seeds, "
        "or, where networks learned nothing (below 20 %), the median of the others; what is in is "
        "the mean over those that learned. *The spring's decay* is the pull of SplitLBI on weights "
        "whose copy is zero, without a copy: 1/ν, with momentum a tenth of it.",
    )


def train_one(plan: Plan, method: str, seed: int, train: Dataset, test: Dataset) -> dict[str, Any]:
    """Train one network; after each epoch score it dense and projected, and measure the copy.

    Returns lists with one entry an epoch: ``loss``, ``dense``, ``projected`` (accuracies;
    ``None`` without a copy), ``filters`` and ``weights`` (share in the support, layer by layer).
    """
    model = plan.network(seed)
    optimizer = METHODS[method](model, plan)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, plan.milestones)
    x, y = train.x, train.y
    g = torch.Generator().manual_seed(seed)
    report: dict[str, list[Any]] = {
        "loss": [], "dense": [], "projected": [], "filters": [], "weights": []
    }  # fmt: skip
    for _ in range(plan.epochs):
        total = 0.0
        for rows in torch.randperm(len(x), generator=g).split(BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x[rows]), y[rows])
            penalty = sum(p.abs().sum() for p in model.parameters() if p.ndim > 1)
            (loss + L1 * penalty if method == "SGD + l1" else loss).backward()
            optimizer.step()
            total += loss.item() * len(rows)
        schedule.step()
        report["loss"].append(round(total / len(x), 4))
        _score(model, optimizer, test, report)
    return report


def _score(
    model: nn.Module, optimizer: torch.optim.Optimizer, test: Dataset, report: dict[str, list[Any]]
) -> None:
    w: dict[str, Tensor] = dict(model.named_parameters())
    report["dense"].append(accuracy(model, w, test))
    if not isinstance(optimizer, SplitLBI):
        report["projected"].append(None)
        return
    masks = {name: optimizer.support(p) for name, p in w.items()}
    report["projected"].append(accuracy(model, {n: p * masks[n] for n, p in w.items()}, test))
    for key, dimensions in (("filters", 4), ("weights", 2)):
        shares = [float(m.float().mean()) for n, m in masks.items() if w[n].ndim == dimensions]
        report[key].append([round(share, 4) for share in shares])


def summarize(plan: Plan, cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row a method: dense and projected accuracy, shares in the support, the paper's."""
    rows = []
    for method, recalled in plan.recalled.items():
        own = matching(cells, method=method)
        alive = [r for r in own if r["dense"][-1] >= ALIVE]
        row = [method, living([r["dense"][-1] for r in own])]
        if own[0]["projected"][-1] is None:
            row += ["", "", ""]
        else:
            row += [
                living([r["projected"][-1] for r in own]),
                percent([sum(r["filters"][-1]) / len(r["filters"][-1]) for r in alive], 0),
                " / ".join(percent([r["weights"][-1][i] for r in alive]) for i in range(2))
                if plan.fully else "",
            ]  # fmt: skip
        rows.append([*row, "" if recalled is None else f"{recalled:.2f}"])
    columns = ["method", "dense", "on the support", "filters in (mean of layers)",
               "weights in, fully connected 1 / 2", "paper, dense, as we recall it"]  # fmt: skip
    if not plan.fully:
        columns, rows = [c for i, c in enumerate(columns) if i != 4], [r[:4] + r[5:] for r in rows]
    return {"columns": columns, "rows": rows}
