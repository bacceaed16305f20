r"""From one model for all to everybody's own, compared: where the path is ahead, and where not.

Each name is one kind of world with a result file of its own. The methods of one seed see the same
clients and the same batches, choose on samples that are not scored, and are compared seed by seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fedlearn_book.reproductions import personal_path_linear as linear
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import interval, matching, run_cells

Cell = dict[str, Any]


class Plan(NamedTuple):
    """One comparison: which cells, what computes one, and what a page says about them."""

    cells: tuple[Cell, ...]
    compute: Callable[..., dict[str, Any]]
    summarize: Callable[[list[Cell]], dict[str, Any]]
    modules: tuple[str, ...]  # whose constants the results depend on
    title: str
    question: str
    setting: str
    note: str


def main(name: str, *, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells of a plan and store its file; ``root`` is not needed."""
    plan = PLANS[name]
    run_cells(
        name,
        plan.cells,
        plan.compute,
        table=plan.summarize,
        folder=folder,
        constants=constants_of(*plan.modules),
        title=plan.title,
        question=plan.question,
        command=f"python -m fedlearn_book.reproductions {name}",
        setting=plan.setting,
        note=plan.note,
    )


def shown(values: Sequence[float], digits: int = 2, sign: str = "") -> str:
    """Write the mean and the half-width of its 95 % interval.

    >>> shown([1.0, 2.0, 3.0]), shown([0.1, 0.2, 0.3], 1, "+")
    ('2.00 ± 2.48', '+0.2 ± 0.2')
    """
    middle, half = interval(values)
    return f"{middle:{sign}.{digits}f} ± {half:.{digits}f}"


def crossed(worlds: Sequence[str], seeds: int) -> tuple[Cell, ...]:
    """Return the cells of all worlds and seeds, seed by seed.

    >>> crossed(["a", "b"], 1)
    ({'world': 'a', 'seed': 0}, {'world': 'b', 'seed': 0})
    """
    return tuple({"world": world, "seed": seed} for seed in range(seeds) for world in worlds)


def summarize_linear(cells: list[Cell]) -> dict[str, Any]:
    """Make one row a world and method: excess errors of known clients and of new ones."""
    rows, sizes = [], range(len(linear.SIZES))
    for world, words in linear.WORLDS.items():
        own = matching(cells, world=world)
        for method in linear.METHODS | linear.NEW:
            known = [one["known"][method] for one in own if method in one["known"]]
            new = [one["new"][method] for one in own if method in one["new"]]
            row = [words, method, *(["–"] * 4 if not known else _known(own, known))]
            row += [shown([one[k] for one in new]) if new else "–" for k in sizes]
            rows.append(row)
    heads = ["clients", "method", "known", "minus path", "own numbers", "error of w"]
    return {"columns": heads + [f"new, {n}" for n in linear.SIZES], "rows": rows}


def _known(own: list[dict[str, Any]], known: list[dict[str, Any]]) -> list[str]:
    """Excess error, its difference to the path's in the same seed, personal numbers, error of w."""
    gaps = [
        one["excess"] - all_["known"]["path"]["excess"]
        for one, all_ in zip(known, own, strict=True)
    ]
    numbers = interval([one["numbers"] / linear.CLIENTS for one in known])[0]
    return [
        shown([one["excess"] for one in known], 3),
        shown(gaps, 3, "+") if any(gaps) else "",
        f"{numbers:.1f}",
        shown([one["start"] for one in known], 3),
    ]


PLANS = {
    "personal_path_linear": Plan(
        crossed(tuple(linear.WORLDS), 10),
        linear.compute,
        summarize_linear,
        (linear.__name__,),
        "The path of personalization on linear clients",
        "Clients differ in two numbers of twenty, or a little in all: which middle between one "
        "model for all and everybody's own is the right one, for them and for new clients?",
        f"{linear.CLIENTS} clients with {linear.SAMPLES} samples and {linear.HELD} to choose on, "
        f"{linear.FEATURES} numbers, noise {linear.NOISE:g}; {linear.ARRIVE} new clients, and as "
        f"many who choose for them; λ on {len(linear.LAMBDAS)} values from {linear.LAMBDAS[0]:g} "
        f"to {linear.LAMBDAS[-1]:g}, at most {linear.STEPS[-1]} steps of {linear.STEP:g}, path "
        f"times up to {linear.TIMES[-1]:g}",
        "Excess error, mean over clients, then mean ± half-width of the 95 % interval over seeds. "
        "*Minus path*: the difference in the same seed. *Own numbers*: of a client, where its "
        "model differs from the shared one. *New*: clients nobody has seen, with so many samples, "
        "who adapt the shared model; how far, other new clients have chosen.",
    ),
}
