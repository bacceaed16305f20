r"""Growth by the authors' released rule, for several springs, on Chapter 13's small images.

Ten epochs from an empty path, then a decision: layers with 80 % or more of their units in the
support get a quarter more; if there is none, growing stops. Each network is then compared with
three of its size that were trained from the beginning: for the same work, for the same epochs, and
for the same epochs with the step and the momentum of the path, but no copy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from torch import nn

from fedlearn_book.reproductions import small_tickets, tickets
from fedlearn_book.reproductions.growth import Grown, widen
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import ALIVE, interval, matching, run_cells
from fedlearn_book.reproductions.small_tickets import network, small_images
from fedlearn_book.reproductions.tickets import accuracy, batches, fit, path_of
from fedlearn_lib import loss_of, parameters_of
from fedlearn_lib.data import Dataset
from fedlearn_lib.structure import cost, retrain

METHODS = {
    "grown": "grown",
    "same work": "same size, same work",
    "same size": "same size, same epochs",
    "path's step": "same size, same epochs, the path's step",
}
SEEDS, NUS = 5, (5.0, 10.0, 20.0, 40.0, 80.0)
START, PLACES = (2, 3, 4), (0, 3, 6)
PHASE, POLISH, MOST = 10, 4, 40  # epochs before a decision, epochs at the end, decisions at most
Cell = dict[str, Any]


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells and store ``growth_released.json``; ``root`` is not needed."""
    train, test = small_images()
    run_cells(
        "growth_released",
        [
            {"nu": nu, "method": method, "seed": seed}
            for seed in range(SEEDS)
            for nu in NUS
            for method in METHODS
        ],
        partial(compute, lru_cache(maxsize=1)(partial(grown, train)), train, test),
        folder=folder,
        constants=constants_of(__name__, small_tickets.__name__, tickets.__name__),
        title="Growth by the authors' released rule, spring by spring",
        question="At which size does the rule stop, and is the grown network worth its work?",
        command="python -m fedlearn_book.reproductions growth_released",
        setting=f"{len(train.y)} images of 14 × 14 pixels, {START} units at first; {PHASE} epochs "
        f"of SplitLBI from V = 0, α = {tickets.PATH_LR:g}, one group a row, then a quarter more "
        f"units where 80 % are in the support, until no layer is; at the end {POLISH} epochs of "
        "SGD. The others: SGD, for as many epochs as cost the same work, or for the same epochs, "
        f"step {tickets.LR:g} falling to 0, momentum {tickets.MOMENTUM:g}; or with step "
        f"{tickets.PATH_LR:g} and momentum {tickets.PATH_MOMENTUM:g} and the last {POLISH} epochs "
        "of all",
        table=summarize,
        note="Median decisions and parameters; median test accuracy in percent of the networks "
        "that learned something, the number of those that did not (below 20 %), and how far the "
        "rival is ahead of the grown network, in points: mean and half-width of the 95 % interval "
        f"over the pairs of which both learned something. After {MOST} decisions a run would be "
        "ended and counted as one that does not stop.",
    )


def compute(
    grown_of: Callable[[float, int], Grown], train: Dataset, test: Dataset,
    nu: float, method: str, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Train one network; the growth is shared by the cells of its spring and seed."""
    shape, result = tuple(train.x.shape[1:]), grown_of(nu, seed)
    widths = tuple(result.widths[-1])
    own = cost(result.model, *shape)
    model, epochs = network(seed, widths), PHASE * (len(result.widths) - 1) + POLISH
    if method == "grown":
        model, epochs = result.model, POLISH
    elif method == "same work":
        epochs = POLISH + round(result.work / own.multiply_adds)
    w = parameters_of(model)
    if method == "path's step":
        w = retrain(
            loss_of(model), w, {}, batches(train, epochs - POLISH, 1000 * seed),
            lr=tickets.PATH_LR, momentum=tickets.PATH_MOMENTUM,
        )  # fmt: skip
    end = fit(model, w, {}, train, POLISH if method == "path's step" else epochs, seed)
    about = {"widths": result.widths} if method == "grown" else {}
    return {"accuracy": accuracy(model, end, test), **own._asdict(), "epochs": epochs, **about}


def grown(train: Dataset, nu: float, seed: int) -> Grown:
    """Grow until no layer is full after a phase; ``widths`` has one more entry than phases."""
    g = torch.Generator().manual_seed(100_000 + seed)
    model, widths, work = network(seed, START), [list(START)], 0
    for phase in range(MOST):
        optimizer = path_of(model, nu=nu)  # V = 0
        for x, y in batches(train, PHASE, 1000 * seed + phase):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        work += PHASE * cost(model, *train.x.shape[1:]).multiply_adds
        wide = widen(model, optimizer, g)
        sizes = [len(wide[place].weight) for place in PLACES]  # type: ignore[arg-type]
        widths.append(sizes)
        if sizes == widths[-2]:
            break
        model = wide
    return Grown(model, widths, work)


def summarize(done: list[Cell]) -> dict[str, Any]:
    """Make one row a spring: when it stops, how large it is, and the three accuracies."""
    rows = []
    for nu in NUS:
        own = matching(done, nu=nu, method="grown")
        phases = [len(r["widths"]) - 1 for r in own]
        row = [f"{nu:g}", f"{median(phases):g}", f"{median(r['parameters'] for r in own):,.0f}"]
        for method in METHODS:
            results = matching(done, nu=nu, method=method)
            alive = [r["accuracy"] for r in results if r["accuracy"] >= ALIVE]
            text = f"{100 * median(alive):.1f}" if alive else "none"
            text += f" ({len(results) - len(alive)} dead)"
            if method != "grown":
                pairs = zip(own, results, strict=True)
                gaps = [100 * (b["accuracy"] - a["accuracy"]) for a, b in pairs
                        if min(a["accuracy"], b["accuracy"]) >= ALIVE]  # fmt: skip
                text += "; {:+.1f} ± {:.1f}".format(*interval(gaps)) if len(gaps) > 1 else ""
            row.append(text)
        rows.append([*row, f"{mean(p == MOST for p in phases):.0%}"])
    heads = ["ν", "decisions", "parameters", *METHODS.values(), "did not stop"]
    return {"columns": heads, "rows": rows}
