"""Does the distance of a client to the pool predict what personalization gains it?

The 440 people who wrote at least 100 of MNIST's training images are divided at random: half of
them train a start, the others are new clients. A new client's images are halved: every distance
is measured, and the start adapted, on one half; the gain is measured on the other. (A predictor
that sees the scored images shares their noise, so that it seems to predict.) Beside the writers,
the same images dealt to clients of the same sizes: at random, and with Dirichlet label laws.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import interval, matching, run_cells
from fedlearn_lib import (
    Clients,
    accuracy_of,
    adapt,
    axpy,
    fedavg,
    gradient,
    load,
    loss_of,
    mlp,
    norm,
    parameters_of,
    partition_natural,
    perfedavg,
    run,
    split_parts,
    total_variation,
)
from fedlearn_lib.data import Dataset
from fedlearn_lib.federated import label_distribution, wasserstein_to_pool
from fedlearn_lib.trees import Params

DEALS = ("writers", "at random", "Dirichlet 0.5", "Dirichlet 0.1")
STARTS, SEEDS = ("FedAvg", "Per-FedAvg"), (0, 1, 2)
LEAST, POOL, COMPONENTS, LABEL_COST = 100, 500, 20, 4.0
ROUNDS, COHORT, STEPS, BATCH, LR, ALPHA = 100, 20, 10, 20, 0.1, 0.1
PREDICTORS = ("tv", "w1_x", "w1_xy", "w1_hidden", "gradient", "loss", "loss held out")
KEPT = ("w1_xy", "gradient", "loss", "before", "gain 5")  # client by client, for the writers


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells and store ``distance_gain.json``."""
    data = load("mnist", root=root)
    if data.client is None:
        raise FileNotFoundError(
            "this run needs QMNIST's label tables beside MNIST to know the writers; get them with "
            'load("mnist", download=True)'
        )
    owners = partition_natural(data.client, least=LEAST)
    data = data._replace(x=data.x.flatten(1))

    def compute(deal: str, start: str, seed: int) -> dict[str, Any]:
        return _cell(data, owners, deal, start, seed)

    run_cells(
        "distance_gain",
        [{"deal": d, "start": s, "seed": k} for d in DEALS for k in SEEDS for s in STARTS],
        compute,
        folder=folder,
        constants=constants_of(__name__),
        title="Distance and gain",
        question="Does a client's distance to the pool predict what personalization gains it?",
        command="python -m fedlearn_book.reproductions distance_gain",
        setting=f"{len(owners)} writers, half of them new; MLP 784-100-10, {ROUNDS} rounds of "
        f"{COHORT} clients, {STEPS} steps with batches of {BATCH}, step {LR}; adaptation with "
        f"α = {ALPHA} on half of a client's images; $W_1$ to {POOL} images of the pool in "
        f"{COMPONENTS} principal components, label cost {LABEL_COST:g}",
        table=summarize,
        note="TV, $W_1$ (on pairs) and gain of accuracy: means over the new clients; chance: $W_1$ "
        "of a random sample of a client's size. ρ: Spearman's rank correlation, over the new "
        "clients, of a distance measured on the adaptation half with the gain after five steps on "
        "the other half. Mean and half-width of the 95 % interval over the seeds.",
    )


def summarize(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row a deal and start: mean ± half-width over the seeds."""
    rows = []
    for deal in DEALS:
        for start in STARTS:
            own = matching(cells, deal=deal, start=start)
            columns = [
                *([r["mean"][name] for r in own] for name in ("tv", "w1_xy")),
                [r["chance"]["w1_xy"] for r in own],
                *([r["mean"][name] for r in own] for name in ("before", "gain 1", "gain 5")),
                *([r["rho"][name][0] for r in own] for name in ("w1_xy", "gradient")),
            ]
            places = (3, 3, 3, 3, 4, 4, 2, 2)
            pairs = [interval(column) for column in columns]
            shown = [f"{a:.{k}f} ± {b:.{k}f}" for (a, b), k in zip(pairs, places, strict=True)]
            rows.append([deal, start, *shown])
    heads = ["clients", "start", "TV", "$W_1$", "chance", "before", "gain, 1 step", "gain, 5 steps"]
    return {"columns": [*heads, "ρ of $W_1$", "ρ of gradient"], "rows": rows}


def rank_correlation(x: list[float], y: list[float], draws: int = 1000) -> list[float]:
    """Return Spearman's ρ and the ends of its 95 % bootstrap interval over the clients.

    >>> rank_correlation([1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 9.0, 16.0])
    [1.0, 1.0, 1.0]
    """
    from scipy.stats import rankdata

    def rho(rows: np.ndarray) -> float:
        ranks = [rankdata(np.asarray(side)[rows]) for side in (x, y)]
        return float(np.corrcoef(*ranks)[0, 1])

    rng, n = np.random.default_rng(0), len(x)
    samples = [rng.integers(n, size=n) for _ in range(draws)]
    drawn = [rho(rows) for rows in samples if len(np.unique(rows)) > 1]
    return [round(v, 3) for v in (rho(np.arange(n)), *np.percentile(drawn, [2.5, 97.5]).tolist())]


def partial_rank_correlation(x: list[float], y: list[float], given: list[float]) -> float:
    """Correlate what is left of two ranks when a line in the rank of ``given`` is taken off both.

    Whatever x says of y only by way of ``given`` is gone:

    >>> rng = np.random.default_rng(0)
    >>> given = rng.normal(size=5000)
    >>> x, y = (given + rng.normal(size=5000) for _ in range(2))
    >>> round(rank_correlation(x, y, draws=1)[0], 1)
    0.5
    >>> abs(partial_rank_correlation(x, y, given)) < 0.05
    True
    """
    from scipy.stats import rankdata

    first, second, base = (rankdata(side) - (len(given) + 1) / 2 for side in (x, y, given))
    left = [side - base * (side @ base) / (base @ base) for side in (first, second)]
    return float(np.corrcoef(*left)[0, 1])


def _cell(data: Dataset, owners: list[Tensor], deal: str, start: str, seed: int) -> dict[str, Any]:
    g = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(owners), generator=g).tolist()
    half = len(owners) // 2
    old, new = ([owners[i] for i in side] for side in (order[:half], order[half:]))
    known = torch.cat(old)
    pool = known[torch.randperm(len(known), generator=g)[:POOL]]
    w = _train(data, _deal(data.y, old, deal, g), start, seed)
    inner, held = split_parts(_deal(data.y, new, deal, g), test=0.5, generator=g)
    chance, _ = split_parts(_deal(data.y, new, "at random", g)[:40], test=0.5, generator=g)
    found = {**_distances(data, inner, pool, w), **_gains(data, inner, held, w)}
    null = _distances(data, chance, pool, w)
    return {
        "mean": {name: round(float(np.mean(values)), 4) for name, values in found.items()},
        "sd": {name: round(float(np.std(values)), 4) for name, values in found.items()},
        "chance": {name: round(float(np.mean(values)), 4) for name, values in null.items()},
        "chance sd": {name: round(float(np.std(values)), 4) for name, values in null.items()},
        "rho": {name: rank_correlation(found[name], found["gain 5"]) for name in PREDICTORS},
        "rho 1": {name: rank_correlation(found[name], found["gain 1"]) for name in PREDICTORS},
        "clients": {name: [round(v, 3) for v in found[name]] for name in KEPT}
        if deal == "writers"
        else {},
    }


def _deal(labels: Tensor, owners: list[Tensor], deal: str, g: torch.Generator) -> list[Tensor]:
    """The owners' images as they are, or the same images dealt to clients of the same sizes."""
    if deal == "writers":
        return owners
    rows, sizes = torch.cat(owners), [len(owner) for owner in owners]
    if deal == "at random":
        return list(rows[torch.randperm(len(rows), generator=g)].split(sizes))
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=g)))
    of_class = [rows[labels[rows] == c].numpy() for c in range(10)]
    laws = rng.dirichlet([float(deal.split()[1])] * 10, size=len(sizes))
    counts = [rng.multinomial(n, law) for n, law in zip(sizes, laws, strict=True)]
    return [
        torch.from_numpy(
            np.concatenate([rng.choice(of_class[c], k, replace=False) for c, k in enumerate(row)])
        )
        for row in counts
    ]


def _train(data: Dataset, parts: list[Tensor], start: str, seed: int) -> Params:
    model = mlp(784, 100, 10, activation="relu", seed=seed)
    loss = loss_of(model)
    algorithm = (
        fedavg(gradient(loss), lr=LR)
        if start == "FedAvg"
        else perfedavg(loss, alpha=ALPHA, beta=LR)
    )
    uniform = [1 / len(parts)] * len(parts)
    state, _ = run(
        algorithm, parameters_of(model), Clients.of(data.x, data.y, parts, uniform), rounds=ROUNDS,
        cohort=COHORT, steps=STEPS, batch=BATCH, generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    trained: Params = state.w
    return trained


def _distances(
    data: Dataset, parts: list[Tensor], pool: Tensor, w: Params
) -> dict[str, list[float]]:
    """Distances of every client to the pool: labels, inputs, pairs, and gradients at the start."""
    center = data.x[pool].mean(0)
    axes = torch.linalg.svd(data.x[pool] - center, full_matrices=False).Vh[:COMPONENTS]
    z = (data.x - center) @ axes.mT
    hidden = torch.relu(data.x @ w["1.weight"].mT + w["1.bias"])
    clients, whole = Clients.of(z, data.y, parts), (z[pool], data.y[pool])
    inside = wasserstein_to_pool(Clients.of(hidden, data.y, parts), (hidden[pool], data.y[pool]))
    law = data.y[pool].bincount(minlength=10).double() / len(pool)
    loss = loss_of(mlp(784, 100, 10, activation="relu"))
    slope = gradient(loss)
    mean = slope(w, ((data.x[pool], data.y[pool]),))
    gaps = [norm(axpy(-1.0, mean, slope(w, ((data.x[p], data.y[p]),)))) for p in parts]
    return {
        "tv": total_variation(label_distribution(clients, 10), law).tolist(),
        "w1_x": wasserstein_to_pool(clients, whole).tolist(),
        "w1_xy": wasserstein_to_pool(clients, whole, on="xy", label_cost=LABEL_COST).tolist(),
        "w1_hidden": inside.tolist(),
        "gradient": [float(gap) for gap in gaps],
        "loss": [float(loss(w, (data.x[p], data.y[p]))) for p in parts],
    }


def _gains(
    data: Dataset, inner: list[Tensor], held: list[Tensor], w: Params
) -> dict[str, list[float]]:
    """Held-out accuracy before, and what one and five steps on the inner half add to it."""
    model = mlp(784, 100, 10, activation="relu")
    loss, score = loss_of(model), accuracy_of(model)
    found: dict[str, list[float]] = {
        name: [] for name in ("before", "gain 1", "gain 5", "loss held out")
    }
    for mine, others in zip(inner, held, strict=True):
        own, scored = (data.x[mine], data.y[mine]), (data.x[others], data.y[others])
        before = float(score(w, scored).mean())
        for steps in (1, 5):
            after = score(adapt(loss, w, own, ALPHA, steps=steps), scored).mean()
            found[f"gain {steps}"].append(float(after) - before)
        found["before"].append(before)
        found["loss held out"].append(float(loss(w, scored)))
    return found
