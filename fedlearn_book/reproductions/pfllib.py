r"""Per-FedAvg and FedAvg in the setting of PFLlib's public leaderboard, with the missing control.

Fashion-MNIST's 70,000 images dealt to 20 clients, by two classes a client and by a Dirichlet
distribution; a small convolutional network, batches of ten, step 0.005 for everything, one local
epoch, all clients in every round. There a model of Per-FedAvg is scored after one step of
adaptation on ten of the client's training images, a model of FedAvg without. Here both are scored
both ways. Every round is a cell, and a checkpoint of each run lets it go on where it was stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import folder_of, matching, run_cells
from fedlearn_lib import (
    Algorithm,
    Clients,
    accuracy_of,
    adapt,
    axpy,
    fedavg,
    gradient,
    load,
    loss_of,
    parameters_of,
    perfedavg,
    split_parts,
)
from fedlearn_lib.data import FlatClients
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated import State
from fedlearn_lib.trees import Params

M, BATCH, LR, SEED = 20, 10, 0.005, 0
ALPHA, TEST = 0.1, 0.25  # of the Dirichlet distribution; share of each client's images to score on
ROUNDS = 6  # the leaderboard's runs have 2,000
SPLITS, METHODS = ("two classes", "Dirichlet 0.1"), ("FedAvg", "Per-FedAvg FO")
PUBLISHED = {
    ("two classes", "FedAvg"): "80.41 ± 0.08", ("two classes", "Per-FedAvg FO"): "99.18 ± 0.08",
    ("Dirichlet 0.1", "FedAvg"): "85.85 ± 0.19", ("Dirichlet 0.1", "Per-FedAvg FO"): "95.10 ± 0.10",
}  # fmt: skip
Cell = dict[str, Any]


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run both methods on both deals, round after round, and store ``pfllib.json``."""
    home = folder_of(folder)
    parts = [load("fashion_mnist", root=root, part=part) for part in ("train", "test")]
    x = torch.cat([part.x for part in parts])[:, None] * 2 - 1
    y = torch.cat([part.y for part in parts])
    sides = {split: deal(x, y, split) for split in SPLITS}

    def compute(split: str, method: str, seed: int, **at: int) -> dict[str, float]:
        return one_round(sides[split], home, split, method, at["round"])

    run_cells(
        "pfllib",
        [
            {"split": split, "method": method, "round": k, "seed": SEED}
            for k in range(1, ROUNDS + 1)
            for split in SPLITS
            for method in METHODS
        ],
        compute,
        folder=home,
        constants={k: v for k, v in constants_of(__name__).items() if k != "pfllib.ROUNDS"},
        title="An outside table: PFLlib's leaderboard",
        question="How much of the leaderboard's distance between Per-FedAvg and FedAvg is the "
        "training, and how much is that only one of the two may adapt?",
        command="python -m fedlearn_book.reproductions pfllib",
        setting=f"Fashion-MNIST, {M} clients, all in every round, one local epoch with batches of "
        f"{BATCH}, steps {LR:g}, one seed of the leaderboard's five; convolutions 5 × 5 with 32 "
        "and 64 filters, 512 units",
        table=summarize,
        note=f"{ROUNDS} rounds of the leaderboard's 2,000. Accuracy in percent on all clients' "
        "test images together, of the model as it is sent and after one step on ten training "
        "images of each client: after the last round, and best of all rounds. **Best on test is "
        "chosen by the samples that it is scored on**; the published column is such a best, of "
        "FedAvg as sent and of Per-FedAvg after the step "
        "([PFLlib](https://arxiv.org/abs/2312.04992), its page of benchmarks).",
    )
    for checkpoint in home.glob("pfllib.*.pt"):
        checkpoint.unlink()


def deal(x: Tensor, y: Tensor, split: str) -> tuple[FlatClients, FlatClients]:
    """Deal the pool by the leaderboard's rules: three quarters of a client's images train."""
    g = torch.Generator().manual_seed(SEED)
    parts = two_classes(y, g) if split == SPLITS[0] else capped_dirichlet(y, g)
    learn, score = split_parts(parts, test=TEST, generator=g)
    return FlatClients.of(x, y, learn), FlatClients.of(x, y, score)


def two_classes(y: Tensor, g: torch.Generator) -> list[Tensor]:
    """Give clients 0 to 3 classes 0 and 1, clients 4 to 7 the next two, in shares by chance.

    Of a class with n images the first three of its four clients get n/40 to n/4 each, uniformly,
    and the last one what is left.
    """
    parts: list[list[Tensor]] = [[] for _ in range(M)]
    for c in range(10):
        rows = (y == c).nonzero().flatten()
        n = len(rows)
        sizes = torch.randint(n // 40, n // 4, (3,), generator=g).tolist()
        for k, piece in enumerate(rows.split([*sizes, n - sum(sizes)])):
            parts[c // 2 * 4 + k].append(piece)
    return [torch.cat(part) for part in parts]


def capped_dirichlet(y: Tensor, g: torch.Generator) -> list[Tensor]:
    """Deal each class by shares from a Dirichlet law to those who have less than N/m images yet.

    It is repeated until every client has some: two at least here, one to train and one to score.
    """
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=g)))
    while True:
        parts: list[list[int]] = [[] for _ in range(M)]
        for c in range(10):
            rows = rng.permutation((y == c).nonzero().flatten().numpy())
            share = rng.dirichlet([ALPHA] * M) * [len(part) < len(y) / M for part in parts]
            cuts = np.rint(np.cumsum(share / share.sum()) * len(rows)).astype(int)[:-1]
            for part, piece in zip(parts, np.split(rows, cuts), strict=True):
                part += piece.tolist()
        if min(len(part) for part in parts) > 1:
            return [torch.tensor(part) for part in parts]


def network() -> nn.Module:
    """Two convolutions with 32 and 64 filters of 5 × 5, 512 units: the leaderboard's small CNN."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return nn.Sequential(
            nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10),
        )  # fmt: skip


def algorithm_of(method: str, model: nn.Module) -> Algorithm[State, Params]:
    """Return FedAvg, or first-order Per-FedAvg with the same step for both of its steps."""
    if method == "FedAvg":
        return fedavg(gradient(loss_of(model)), lr=LR)
    return perfedavg(loss_of(model), alpha=LR, beta=LR, mode="fo")


def one_round(
    sides: tuple[Clients, Clients], folder: Path, split: str, method: str, number: int
) -> dict[str, float]:
    """Take one round from where the last one ended, and score the model that it leaves."""
    g = torch.Generator().manual_seed(1000 * SEED + number)
    model, (train, test) = network(), sides
    stem = f"pfllib.{SPLITS.index(split)}{METHODS.index(method)}"
    before, after = (folder / f"{stem}.{k}.pt" for k in (number - 1, number))
    w = torch.load(before, weights_only=True) if number > 1 else parameters_of(model)
    algorithm = algorithm_of(method, model)
    mean = {k: torch.zeros_like(v) for k, v in w.items()}
    for i in range(M):
        epoch = batches(train.data(i), algorithm.draws, g)
        mean = axpy(float(train.p[i]), algorithm.client(w, epoch), mean)
    w = algorithm.server(State(w, number - 1), mean).w
    torch.save(w, after)
    (folder / f"{stem}.{number - 2}.pt").unlink(missing_ok=True)
    return score(model, w, train, test, g)


def batches(own: Batch, draws: int, g: torch.Generator) -> Batch:
    """One epoch, [τ k 10 …]: with two batches a step (k = 2) twice over the data, as there."""
    rows = [torch.randperm(len(own[1]), generator=g) for _ in range(draws)]
    whole = len(rows[0]) // (draws * BATCH) * draws * BATCH
    order = torch.cat([one[:whole] for one in rows]).view(-1, draws, BATCH)
    return own[0][order], own[1][order]


def score(
    model: nn.Module, w: Params, train: Clients, test: Clients, g: torch.Generator
) -> dict[str, float]:
    """Share of all test images that are right, before and after one step on ten images."""
    loss, metric, right = loss_of(model), accuracy_of(model), torch.zeros(2)
    for i in range(M):
        x, y = train.data(i)
        few = torch.randperm(len(y), generator=g)[:BATCH]
        for k, own in enumerate((w, adapt(loss, w, (x[few], y[few]), LR))):
            with torch.no_grad():
                right[k] += metric(own, test.data(i)).sum()
    sent, adapted = (right / test.n.sum()).tolist()
    return {"sent": round(sent, 4), "adapted": round(adapted, 4)}


def summarize(cells: list[Cell]) -> dict[str, Any]:
    """Make one row for each deal and method: last and best, as sent and adapted."""
    rows = []
    for split in SPLITS:
        for method in METHODS:
            own = matching(cells, split=split, method=method)
            row = [split, method]
            for name in ("sent", "adapted"):
                values = [100 * result[name] for result in own]
                row += [f"{values[-1]:.2f}", f"{max(values):.2f}"]
            rows.append([*row, PUBLISHED[split, method]])
    heads = ["as sent: last", "best", "after one step: last", "best", "published, best"]
    return {"columns": ["clients", "method", *heads], "rows": rows}
