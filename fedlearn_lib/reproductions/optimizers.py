"""LeNet on full MNIST: SplitLBI against SGD, SGD with an l1 penalty, momentum, decay and Adam.

One cell is one method with one seed. All methods share the start, the order of the images and
the schedule: a tenth of the step after 7 and after 14 of 20 epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from fedlearn_lib import Dataset, SplitLBI, lenet, load, penalty_groups
from fedlearn_lib.reproductions.record import RESULTS, interval, matching, run_cells

SEEDS = (0, 1, 2, 3, 4)
EPOCHS, BATCH, MILESTONES = 20, 128, (7, 14)
L1 = 1e-4  # strength of the l1 penalty of SGD + l1
SPLIT: dict[str, Any] = {"kappa": 1.0, "nu": 20.0, "momentum_on": "loss"}

Make = Callable[[nn.Module], torch.optim.Optimizer]
METHODS: dict[str, Make] = {
    "SGD": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "SGD + l1": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "momentum": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    "momentum + decay": lambda model: torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4
    ),
    "Adam": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
    "SplitLBI": lambda model: SplitLBI(penalty_groups(model), lr=0.1, **SPLIT),
    "SplitLBI, momentum": lambda model: SplitLBI(
        penalty_groups(model), lr=0.1, momentum=0.9, **SPLIT
    ),
    "SplitLBI, momentum + decay": lambda model: SplitLBI(
        penalty_groups(model), lr=0.1, momentum=0.9, weight_decay=1e-4, **SPLIT
    ),
}
#: Test accuracy in percent of LeNet on MNIST in the paper, as we recall its table.
RECALLED = {
    "SGD": 98.87, "SGD + l1": 98.52, "momentum": 99.16, "momentum + decay": 99.23, "Adam": 99.19,
    "SplitLBI": 99.02, "SplitLBI, momentum": 99.19, "SplitLBI, momentum + decay": 99.20,
}  # fmt: skip


def main(*, root: str | None = None, folder: Any = RESULTS) -> None:
    """Run all cells and store ``lenet_mnist.json``."""
    train, test = (load("mnist", root=root, part=part) for part in ("train", "test"))
    run_cells(
        "lenet_mnist",
        [{"method": method, "seed": seed} for seed in SEEDS for method in METHODS],
        lambda method, seed: train_one(method, seed, train, test),
        folder=folder,
        title="LeNet on MNIST",
        question="What does training with a sparse copy cost, and how sparse is the copy?",
        command="python -m fedlearn_lib.reproductions lenet_mnist",
        setting=f"{EPOCHS} epochs, batch {BATCH}, step 0.1 (Adam 0.001) divided by ten after "
        f"{MILESTONES[0]} and {MILESTONES[1]} epochs, He initialization; SplitLBI: κ = 1, ν = 20, "
        f"momentum 0.9 on the loss, one group a filter, single weights elsewhere; l1 strength "
        f"{L1:g}, decay 0.0001",
        table=summarize,
        note="Test accuracy in percent, mean and half-width of the 95 % interval over the seeds.",
    )


def he(model: nn.Module, *, seed: int) -> nn.Module:
    """Draw weights with variance 2 / fan-in, He et al. (2015), and set biases to zero, in place.

    >>> from fedlearn_lib import mlp
    >>> model = he(mlp(1000, 4), seed=0)
    >>> round(model[1].weight.norm(dim=1).mean().item(), 1), model[1].bias.abs().sum().item()
    (1.4, 0.0)
    """
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, (2 / p[0].numel()) ** 0.5, generator=g) if p.ndim > 1 else p.zero_()
    return model


def train_one(
    method: str, seed: int, train: Dataset, test: Dataset, *, epochs: int = EPOCHS
) -> dict[str, Any]:
    """Train one network; after each epoch score it dense and projected, and measure the copy.

    Returns lists with one entry an epoch: ``loss``, ``dense``, ``projected`` (accuracies;
    ``None`` without a copy), ``filters`` and ``weights`` (share in the support, layer by layer).
    """
    model = he(lenet(), seed=seed)
    optimizer = METHODS[method](model)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, MILESTONES)
    x, y = train.x[:, None], train.y
    g = torch.Generator().manual_seed(seed)
    report: dict[str, list[Any]] = {
        "loss": [], "dense": [], "projected": [], "filters": [], "weights": []
    }  # fmt: skip
    for _ in range(epochs):
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


@torch.no_grad()
def accuracy(model: nn.Module, w: dict[str, Tensor], data: Dataset) -> float:
    """Share of images that the network with parameters ``w`` classifies correctly."""
    parts = [functional_call(model, w, (x,)).argmax(1) for x in data.x[:, None].split(1000)]
    return round(float((torch.cat(parts) == data.y).float().mean()), 4)


def summarize(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row a method: dense and projected accuracy, shares in the support, the paper's."""
    rows = []
    for method in METHODS:
        own = matching(cells, method=method)
        row = [method, _percent([r["dense"][-1] for r in own])]
        if own[0]["projected"][-1] is None:
            row += ["", "", ""]
        else:
            row += [
                _percent([r["projected"][-1] for r in own]),
                _percent([sum(r["filters"][-1]) / len(r["filters"][-1]) for r in own], 0),
                " / ".join(_percent([r["weights"][-1][i] for r in own]) for i in range(2)),
            ]
        rows.append([*row, f"{RECALLED[method]:.2f}"])
    columns = ["method", "dense", "on the support", "filters in (mean of layers)",
               "weights in, fully connected 1 / 2", "paper, dense, as we recall it"]  # fmt: skip
    return {"columns": columns, "rows": rows}


def _percent(values: list[float], digits: int = 2) -> str:
    middle, half = interval([100 * value for value in values])
    return f"{middle:.{digits}f} ± {half:.{digits}f}"
