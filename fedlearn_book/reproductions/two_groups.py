r"""The experiment of the Per-FedAvg paper at its scale: two groups of users, one step to adapt.

Fifty users in the two groups of :func:`fedlearn_lib.partition_two_groups`, an ELU network with
hidden layers of 80 and 60, 1000 rounds of ten users with batches of 40. FedAvg with one step of
adaptation at the end is compared with Per-FedAvg: first order, Hessian-free and exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import interval, matching, run_cells
from fedlearn_lib import (
    Algorithm,
    Clients,
    accuracy_of,
    adapt,
    evaluate,
    fedavg,
    gradient,
    load,
    loss_of,
    mlp,
    parameters_of,
    partition_two_groups,
    perfedavg,
    run,
)
from fedlearn_lib.data import Dataset
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.oracles import Loss
from fedlearn_lib.trees import Params

M, ROUNDS, COHORT, BATCH, BETA, DELTA = 50, 1000, 10, 40, 0.001, 1e-3
TEST_ALPHAS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
METHODS = ("fedavg", "fo", "hf", "exact")
HEADS = ("FedAvg + update", "FO", "HF", "exact")
DRAWS = 5  # batches over which the accuracy after adaptation is averaged
Cell = dict[str, Any]


class Plan(NamedTuple):
    """One result file: a data set, an activation, the settings and the paper's numbers.

    ``recalled`` holds, for (τ, α), FedAvg + update, FO and HF of the paper's Table 1 in percent,
    as we recall them. ``classes`` are dealt in ten blocks of equal size, each as one class.
    ``how`` is that of :func:`fedlearn_lib.run`: "compile" takes half the time for photographs,
    and needs a C++ compiler.
    """

    data: str
    activation: str
    a: int
    a_test: int
    settings: tuple[tuple[int, float], ...]
    seeds: int
    recalled: dict[tuple[int, float], tuple[float, float, float]]
    classes: int = 10
    how: str = "vmap"


ONE, TENTH = ((10, 0.01), (4, 0.01)), ((10, 0.001), (4, 0.001))
PLANS = {
    "two_groups_mnist": Plan(
        "mnist", "elu", 196, 34, ONE, 5,
        {(10, 0.01): (75.96, 78.00, 79.85), (4, 0.01): (60.18, 64.55, 70.94)}, how="compile",
    ),
    "two_groups_mnist_small_step": Plan("mnist", "elu", 196, 34, TENTH, 5, {}),
    "two_groups_tanh": Plan("mnist", "tanh", 196, 34, ONE, 5, {}),
    "two_groups_cifar10": Plan(
        "cifar10", "elu", 68, 34, ONE, 3, {(4, 0.01): (35.97, 25.32, 46.32)}, how="compile"
    ),
    "two_groups_cifar10_small_step": Plan(
        "cifar10", "elu", 68, 34, TENTH, 3,
        {(10, 0.001): (40.49, 46.98, 50.44), (4, 0.001): (38.38, 34.04, 43.73)}, how="compile",
    ),
    "two_groups_cifar100": Plan("cifar100", "elu", 68, 34, ONE, 1, {}, 100, "compile"),
}  # fmt: skip
#: What may explain a difference to the paper, one thing at a time.
CHANGES: dict[str, dict[str, Any]] = {
    "none": {},
    "β = 0.0005": {"beta": 0.0005},
    "training batches of 20": {"batch": 20},
}
SIZES = (BATCH, 400)  # images in the batch of the one step at test time


def main(name: str, *, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells of one plan and store its result file."""
    plan = PLANS[name]
    pools = [load(plan.data, root=root, part=part) for part in ("train", "test")]

    def compute(method: str, tau: int, seed: int, alpha: float | None = None) -> dict[str, Any]:
        sides = users(pools[0], pools[1], plan, seed)
        model, w = train_one(sides[0], plan, method, tau, seed, alpha)
        return scores(loss_of(model), accuracy_of(model), w, *sides)

    run_cells(
        name,
        list(cells(plan)),
        compute,
        folder=folder,
        constants=constants_of(__name__),
        title=f"Two groups on {pools[0].name}, {plan.activation}, α = {plan.settings[0][1]:g}",
        question="Does a start trained for one step of adaptation serve the users better than the "
        "model of federated averaging with the same step?",
        command=f"python -m fedlearn_book.reproductions {name}",
        setting=f"{M} users, a = {plan.a} (test {plan.a_test}), {ROUNDS} rounds of {COHORT}, "
        f"batches of {BATCH}, β = {BETA:g}, δ = {DELTA:g}, network 80-60 with {plan.activation}",
        table=lambda done: summarize(plan, done),
        note="Test accuracy in percent, mean over the users: **after one step of adaptation** with "
        "a batch of the user's training data, and in parentheses before it; ± is the half-width of "
        "the 95 % interval over seeds, where there are several. The last column is Table 1 of "
        "Fallah et al. (2020) *as we recall it* (FedAvg + update | FO | HF); compare with the "
        "paper.",
    )


def search(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Look for the setting that matters: one change at a time, ``two_groups_search.json``."""
    plan, (tau, alpha) = PLANS["two_groups_mnist"], ONE[0]
    pools = [load(plan.data, root=root, part=part) for part in ("train", "test")]

    def compute(change: str, method: str, seed: int) -> dict[str, Any]:
        train, test = users(pools[0], pools[1], plan, seed)
        model, w = train_one(train, plan, method, tau, seed, alpha, **CHANGES[change])
        loss, metric = loss_of(model), accuracy_of(model)
        scored = {"before": evaluate(metric, w, train, test)["before"]} | {
            str(size): _adapted(loss, metric, w, train, test, alpha, size) for size in SIZES
        }
        return {key: digest(accuracy) for key, accuracy in scored.items()}

    run_cells(
        "two_groups_search",
        [
            {"change": change, "method": method, "seed": seed}
            for seed in (0, 1, 2)
            for change in CHANGES
            for method in METHODS[:3]
        ],
        compute,
        folder=folder,
        constants=constants_of(__name__),
        title="Two groups on MNIST, one change at a time",
        question="Which setting decides how high the accuracies are, and how far apart?",
        command="python -m fedlearn_book.reproductions two_groups_search",
        setting=f"as two_groups_mnist with τ = {tau}, α = {alpha:g}, but for the change",
        table=summarize_search,
        note="Test accuracy in percent, mean over the users and three seeds, after one step on a "
        "batch of 40 of the user's training images, after one on a batch of 400, and before it.",
    )


def cells(plan: Plan) -> Iterator[Cell]:
    """Yield the cells of a plan, all settings of one seed before the next seed begins."""
    for seed in range(plan.seeds):
        for tau in sorted({tau for tau, _ in plan.settings}, reverse=True):
            yield {"method": "fedavg", "tau": tau, "seed": seed}
        for tau, alpha in plan.settings:
            for method in METHODS[1:]:
                yield {"method": method, "tau": tau, "seed": seed, "alpha": alpha}


def train_one(
    train: Clients, plan: Plan, method: str, tau: int, seed: int, alpha: float | None,
    *, beta: float = BETA, batch: int = BATCH,
) -> tuple[nn.Module, Params]:  # fmt: skip
    """Train one start on the users' training parts: the network, and the start's parameters."""
    model = mlp(train.x[0, 0].numel(), 80, 60, plan.classes, activation=plan.activation, seed=seed)
    state, _ = run(
        algorithm_of(method, loss_of(model), alpha, beta), parameters_of(model), train,
        rounds=ROUNDS, cohort=COHORT, steps=tau, batch=batch,
        generator=torch.Generator().manual_seed(seed), how=plan.how,
    )  # fmt: skip
    return model, state.w


def users(train: Dataset, test: Dataset, plan: Plan, seed: int) -> tuple[Clients, Clients]:
    """Deal both parts of a data set to the same users in the same proportions."""
    g = torch.Generator().manual_seed(1000 + seed)
    sides = []
    for pool, a in ((train, plan.a), (test, plan.a_test)):
        blocks = pool.y * 10 // plan.classes
        parts = partition_two_groups(blocks, M, a=a, generator=g)
        sides.append(Clients.of(pool.x.flatten(1), pool.y, parts, p=[1.0] * M))
    return sides[0], sides[1]


def algorithm_of(
    method: str, loss: Loss, alpha: float | None, beta: float = BETA
) -> Algorithm[Any, Params]:
    """Return FedAvg with step β, or Per-FedAvg in one of its three modes."""
    if method == "fedavg" or alpha is None:
        return fedavg(gradient(loss), lr=beta)
    return perfedavg(loss, alpha=alpha, beta=beta, mode=method, delta=DELTA)


def scores(loss: Loss, metric: Any, w: Params, train: Clients, test: Clients) -> dict[str, Any]:
    """Score the start and the adapted models: mean, worst tenth, and the two groups' means."""
    before = evaluate(metric, w, train, test)["before"]
    after = {f"{alpha:g}": digest(_adapted(loss, metric, w, train, test, alpha))
             for alpha in TEST_ALPHAS}  # fmt: skip
    return {"before": digest(before), "after": after}


def _adapted(
    loss: Loss, metric: Any, w: Params, train: Clients, test: Clients, alpha: float,
    batch: int = BATCH,
) -> Tensor:  # fmt: skip
    """Score each user's model after one step on one batch, the mean over ``DRAWS`` batches: [m]."""
    own = [
        evaluate(
            metric, w, train, test, adapt=partial(_one_step, loss, alpha), batch=batch,
            generator=torch.Generator().manual_seed(draw),
        )["after"]
        for draw in range(DRAWS)
    ]  # fmt: skip
    return torch.stack(own).mean(0)


def _one_step(loss: Loss, alpha: float, w: Params, batch: Batch) -> Params:
    return adapt(loss, w, batch, alpha)


def digest(accuracy: Tensor) -> list[float]:
    """Return the mean over users, over the worst tenth, and over each of the two groups.

    >>> digest(torch.tensor([1.0, 0.5, 0.25, 0.25]))
    [0.5, 0.25, 0.75, 0.25]
    """
    half = len(accuracy) // 2
    worst = accuracy.sort().values[: max(1, len(accuracy) // 10)]
    views = (accuracy, worst, accuracy[:half], accuracy[half:])
    return [round(float(view.mean()), 4) for view in views]


def summarize(plan: Plan, done: list[Cell]) -> dict[str, Any]:
    """Make one row a setting: accuracy after (and before) adaptation, mean ± half-width."""
    rows = []
    for tau, alpha in plan.settings:
        row = [f"{tau}", f"{alpha:g}"]
        for method in METHODS:
            own = results_of(done, method, tau, alpha)
            after = [100 * r["after"][f"{alpha:g}"][0] for r in own]
            before = mean(100 * r["before"][0] for r in own)
            row.append(f"{_with_interval(after)} ({before:.1f})")
        recalled = plan.recalled.get((tau, alpha))
        row.append(" | ".join(f"{value:.2f}" for value in recalled) if recalled else "none")
        rows.append(row)
    return {"columns": ["τ", "α", *HEADS, "paper, as we recall it"], "rows": rows}


def _with_interval(values: list[float]) -> str:
    """Write a mean and the half-width of its interval, which a single seed does not have.

    >>> _with_interval([1.0, 2.0, 3.0]), _with_interval([2.0])
    ('2.0 ± 2.5', '2.0')
    """
    if len(values) == 1:
        return f"{values[0]:.1f}"
    middle, half = interval(values)
    return f"{middle:.1f} ± {half:.1f}"


def summarize_search(done: list[Cell]) -> dict[str, Any]:
    """Make one row a change: each method after one step on either size of batch, and before."""
    rows = []
    for change in CHANGES:
        row = [change]
        for method in METHODS[:3]:
            own = matching(done, change=change, method=method)
            small, large, before = (
                mean(100 * r[key][0] for r in own) for key in (*map(str, SIZES), "before")
            )
            row.append(f"{small:.1f}; {large:.1f} ({before:.1f})")
        rows.append(row)
    heads = [f"{head}: {SIZES[0]}; {SIZES[1]} (before)" for head in HEADS[:3]]
    return {"columns": ["change", *heads], "rows": rows}


def results_of(done: list[Cell], method: str, tau: int, alpha: float) -> list[dict[str, Any]]:
    """Return one method's results in the order of the seeds; FedAvg was trained without α."""
    return [
        cell["result"] for cell in done
        if (cell["setting"]["method"], cell["setting"]["tau"]) == (method, tau)
        and cell["setting"].get("alpha", alpha) == alpha
    ]  # fmt: skip
