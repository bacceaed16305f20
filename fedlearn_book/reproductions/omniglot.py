r"""Omniglot, MAML's own data: does a start that is trained to adapt serve people better?

250 clients of four people each (:mod:`fedlearn_book.reproductions.omniglot_clients`), and three
questions: how well does a start serve those who trained it, other people who write in the same
alphabets, and people whose alphabet it has never seen? Step sizes are chosen on eight alphabets
that are never reported (``omniglot_search``); then ten deals of the other 42 are scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from fedlearn_book.reproductions import omniglot_clients, omniglot_starts, read
from fedlearn_book.reproductions.omniglot_clients import load_all, make_world
from fedlearn_book.reproductions.omniglot_starts import (
    ALPHAS,
    GRIDS,
    HIDDEN,
    STEPS,
    curve,
    is_dead,
    part_of,
    train,
)
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import folder_of, interval, matching, percent, run_cells
from fedlearn_lib import Clients
from fedlearn_lib.data import Dataset

SEARCH_SEED, SEEDS = 100, tuple(range(10))
WHO = ("known", "drawers", "alphabets")
ROWS = ("people who trained", "other people, same alphabets", "people of new alphabets")
BUDGETS = (3, 30)  # the most steps that a client may take when it adapts
BASE = "FedAvg"  # what the others are compared with
Cell = dict[str, Any]
Choice = dict[str, Any]


def search(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Train every method with every setting once, and store ``omniglot_search.json``."""
    data = load_all(root)

    def compute(method: str, seed: int, **setting: float) -> dict[str, Any]:
        world = make_world(data, seed, search=True)
        w = train(method, setting, world, seed)
        return {
            "dead": is_dead(w),
            **{
                who: [
                    _rounded(curve(w, getattr(world, who), a, method).mean(1).tolist())
                    for a in ALPHAS[part_of(method)]
                ]
                for who in WHO[1:]
            },
        }

    run_cells(
        "omniglot_search",
        [
            {"method": method, "seed": SEARCH_SEED, **setting}
            for method, grid in GRIDS.items()
            for setting in grid
        ],
        compute,
        folder=folder,
        constants=_constants(),
        title="Omniglot, the search for step sizes",
        question="Which step sizes does each method want?",
        command="python -m fedlearn_book.reproductions omniglot_search",
        setting=f"{_setting()}; clients adapt with a step of {_list(ALPHAS['all'])}, of a head "
        f"alone {_list(ALPHAS['head'])}, and are "
        f"scored after {', '.join(map(str, STEPS))} steps",
        alphas=ALPHAS,
        steps=list(STEPS),
        table=summarize_search,
        note="The chosen setting of every method, the values that were tried, and how many runs "
        "ended in NaN. Chosen is what does best on the mean of four accuracies: other people and "
        "new alphabets, at most 3 and at most 30 steps. None of these clients is reported below.",
    )


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Score the chosen settings on ten deals and store ``omniglot.json``."""
    home = folder_of(folder)
    chosen = choose(read("omniglot_search", home)["cells"])
    data = load_all(root)

    run_cells(
        "omniglot",
        [{"method": method, "seed": seed} for seed in SEEDS for method in GRIDS],
        lambda method, seed: score(data, chosen[method], method, seed),
        folder=home,
        constants=_constants() | {"chosen": chosen},
        title="Omniglot: four people a client",
        question="Does a start that is trained to adapt serve people better than the model of "
        "federated averaging, if they use an alphabet that it knows, and one that it does not?",
        command="python -m fedlearn_book.reproductions omniglot",
        setting=_setting(),
        chosen=chosen,
        table=summarize,
        note="Accuracy in percent, mean over clients and half-width of the 95 % interval over ten "
        "deals of alphabets and people; the last columns are the paired difference to FedAvg. "
        "Steps are full-batch steps on a client's own three drawings of each character.",
    )


def score(data: Dataset, chosen: Choice, method: str, seed: int) -> dict[str, Any]:
    """Train a start with its chosen setting and score it on everybody of one deal."""
    world = make_world(data, seed)
    w = train(method, chosen["setting"], world, seed)
    result: dict[str, Any] = {"dead": is_dead(w)}
    for who in WHO:
        judged = chosen["use"]["drawers" if who == "known" else who]
        sides = getattr(world, who)
        if who == "known":  # one client of each alphabet: there are three times as many
            sides = (_third(sides[0]), _third(sides[1]))
        curves = {a: curve(w, sides, a, method).mean(1) for a, _ in judged}
        result[who] = _rounded(
            [float(curves[judged[0][0]][0]), *(float(curves[a][STEPS.index(s)]) for a, s in judged)]
        )
    return result


def _third(clients: Clients) -> Clients:
    return Clients(clients.x[::3], clients.y[::3], clients.n[::3], 3 * clients.p[::3])


def choose(cells: list[Cell]) -> dict[str, Choice]:
    """Find each method's best setting, and its step and number of steps for each use."""
    chosen = {}
    for method in GRIDS:
        own = [cell for cell in cells if cell["setting"]["method"] == method]
        uses = [
            {
                who: [_best(c["result"][who], ALPHAS[part_of(method)], b) for b in BUDGETS]
                for who in WHO[1:]
            }
            for c in own
        ]
        means = [sum(one[0] for found in use.values() for one in found) / 4 for use in uses]
        best = max(range(len(own)), key=means.__getitem__)
        setting = {k: v for k, v in own[best]["setting"].items() if k not in ("method", "seed")}
        use = {who: [one[1:] for one in found] for who, found in uses[best].items()}
        chosen[method] = {"setting": setting, "use": use}
    return chosen


def _best(
    scores: list[list[float]], alphas: Sequence[float], most: int
) -> tuple[float, float, int]:
    """The best accuracy with at most so many steps: (accuracy, step, number of steps)."""
    tried = product(enumerate(alphas), enumerate(STEPS))
    return max(
        ((scores[i][j], a, s) for (i, a), (j, s) in tried if s <= most), key=lambda one: one[0]
    )


def summarize(cells: list[Cell]) -> dict[str, Any]:
    """Make one row for each kind of people and method."""
    rows = []
    for who, title in zip(WHO, ROWS, strict=True):
        base = [result[who] for result in matching(cells, method=BASE)]
        for method in GRIDS:
            own = matching(cells, method=method)
            row = [title, method, *(percent([r[who][k] for r in own], 1) for k in range(3))]
            for k in (1, 2):
                gaps = [100 * (r[who][k] - b[k]) for r, b in zip(own, base, strict=True)]
                middle, half = interval(gaps)
                row.append("" if method == BASE else f"{middle:+.1f} ± {half:.1f}")
            rows.append([*row, sum(r["dead"] for r in own)])
    heads = ["people", "start", "as sent", *(f"at most {most} steps" for most in BUDGETS)]
    return {
        "columns": [*heads, *(f"less FedAvg, {b} steps" for b in BUDGETS), "dead"],
        "rows": rows,
    }


def summarize_search(cells: list[Cell]) -> dict[str, Any]:
    """Make one row a method: what was chosen, of what, and how many runs died."""
    rows = []
    for method, one in choose(cells).items():
        grid = {k: sorted({setting[k] for setting in GRIDS[method]}) for k in one["setting"]}
        values = "; ".join(f"{k} = {v:g} of {_list(grid[k])}" for k, v in one["setting"].items())
        uses = [f"{s} steps of {a:g}" for use in one["use"].values() for a, s in use]
        dead = sum(result["dead"] for result in matching(cells, method=method))
        rows.append([method, values or "none", *uses, f"{dead} of {len(GRIDS[method])}"])
    uses = [
        f"{who}, at most {most}" for who in ("other people", "new alphabets") for most in BUDGETS
    ]
    return {"columns": ["start", "chosen", *uses, "dead"], "rows": rows}


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _constants() -> dict[str, Any]:
    """All constants but the grids: a cell carries its own setting, and more may be added."""
    modules = (__name__, omniglot_clients.__name__, omniglot_starts.__name__)
    grids = ("GRIDS", "META")
    return {k: v for k, v in constants_of(*modules).items() if not k.endswith(grids)}


def _setting() -> str:
    starts, people = omniglot_starts, omniglot_clients
    return (
        f"{people.KNOWN} alphabets train, {people.TUNE} are there to choose on, the other 12 are "
        f"new; clients of {people.GROUP} people, {starts.ROUNDS} rounds of {starts.COHORT} "
        f"clients, {starts.LOCAL} local steps with batches of {starts.BATCH}, MLP "
        f"{people.INPUTS}-{HIDDEN}-{people.CLASSES} with tanh on edges in 7 × 7 cells"
    )
