r"""From one model for all to everybody's own, compared: where the path is ahead, and where not.

Each name is one kind of world with a result file of its own. The methods of one seed see the same
clients and the same batches, choose on samples that are not scored, and are compared seed by seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from fedlearn_book.reproductions import personal_path_linear as linear
from fedlearn_book.reproductions import personal_path_scenes as scenes
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
    grids: Callable[[], dict[str, tuple[float, ...]]] = scenes.grids


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
        grids={method: list(values) for method, values in plan.grids().items()},
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


def summarize_shared(cells: list[Cell]) -> dict[str, Any]:
    """Make one row a world and method: the shared model's squared error, against the path's."""
    rows = []
    for world in linear.WRONG:
        own = matching(cells, world=world)
        for method in own[0]["w"]:
            values = [one["w"][method] for one in own]
            gaps = [one["w"][method] - one["w"]["path"] for one in own]
            chosen = sum(any(text.startswith(f"{method}:") for text in one["edges"]) for one in own)
            row = [world, method, shown(values, 3), shown(gaps, 3, "+") if any(gaps) else ""]
            rows.append([*row, f"{chosen} of {len(own)}"])
    heads = ["wrong clients", "method", "squared error of w", "minus path", "at an edge"]
    return {"columns": heads, "rows": rows}


HEADS = {
    "log likelihood": ("log loss", -1, 3),
    "accuracy": ("accuracy", 100, 1),
}


def summarize_scenes(
    scores: Sequence[str], against: str, words: Mapping[str, str], cells: list[Cell]
) -> dict[str, Any]:
    """Make one row a world and method: scores, differences within a seed, own numbers, edges."""
    rows = []
    for world in dict.fromkeys(cell["setting"]["world"] for cell in cells):
        own = [result["scores"] for result in matching(cells, world=world)]
        for method in own[0]:
            row = [words.get(world, world), method]
            for score in scores:
                _, factor, digits = HEADS[score]
                values = [factor * one[method][score] for one in own]
                base = [factor * one[against][score] for one in own]
                gaps = [a - b for a, b in zip(values, base, strict=True)]
                row += [shown(values, digits), shown(gaps, digits, "+") if any(gaps) else ""]
            numbers = [one[method].get("own numbers") for one in own]
            row.append("" if None in numbers else f"{fmean(numbers):.1f}")
            moved = [one[method]["edge"] for one in own if one[method]["round"] > 0]
            row.append(f"{sum(map(bool, moved))} of {len(own)}")
            rows.append(row)
    heads = ["clients", "method"]
    for score in scores:
        heads += [HEADS[score][0], f"minus {against}"]
    return {"columns": [*heads, "own numbers", "at an edge"], "rows": rows}


PLANS = {
    "personal_path_linear": Plan(
        crossed(tuple(linear.WORLDS), 30),
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
        "who adapt the shared model; how far, other new clients have chosen. *Error of w*: the "
        "squared distance of the shared model from the truth.",
        linear.grids,
    ),
    "personal_path_hospitals": Plan(
        crossed(("hospitals",), 15),
        scenes.compute_hospitals,
        partial(summarize_scenes, ("log likelihood", "accuracy"), "FedAvg + ft", {}),
        (scenes.__name__,),
        "The path of personalization on four hospitals",
        "Is a model with few personal numbers better than one for all, than one with an intercept "
        "for each hospital, than a model for each? And which numbers become personal first?",
        f"logistic regression, full gradients, one local step of {scenes.HEART_STEP:g}; "
        f"{scenes.HEART_ROUNDS[0]} rounds of FedAvg, then {scenes.HEART_ROUNDS[1]} rounds of each "
        "method; 15 splits of the patients: three fifths to learn, one to choose, one to score; "
        "hospitals weigh the same",
        "Log loss and accuracy (percent) of held-out patients, mean over hospitals, then mean ± "
        "half-width of the 95 % interval over splits, which share most of their patients: too "
        "narrow. *Own numbers*: of 14, in which a hospital's model differs from the shared one. "
        "*At an edge*: how often the chosen setting or round was the last of its grid, and not the "
        "start itself.",
        scenes.heart_grids,
    ),
    "personal_path_swaps": Plan(
        crossed(("swaps",), 8),
        scenes.compute_swaps,
        partial(summarize_scenes, ("accuracy",), "FedAvg + ft", {"swaps": "two labels swapped"}),
        (scenes.__name__,),
        "Every client swaps two labels",
        "Does the path find which two rows of the output layer a client needs for itself, and "
        "what is that worth beside a last layer of one's own?",
        f"{scenes.CLIENTS} clients with 100 images of the small MNIST set (14 × 14), 50 to choose "
        f"on, 100 to score; MLP 196-{scenes.HIDDEN}-10; {scenes.ROUNDS[0]} rounds of FedAvg, then "
        f"{scenes.ROUNDS[1]} rounds of each method, {scenes.STEPS} local steps with batches of "
        f"{scenes.BATCH}, all clients",
        "Accuracy in percent, mean over clients, then mean ± half-width of the 95 % interval over "
        f"seeds. *Own numbers*: of the {196 * 40 + 40 + 410:,} of the network. *At an edge*: how "
        "often the chosen setting or round was the last of its grid, and not the start itself.",
    ),
    "personal_path_corrupted": Plan(
        crossed(tuple(scenes.WRONG), 5),
        scenes.compute_corrupted,
        partial(summarize_scenes, ("accuracy",), "FedAvg", {}),
        (scenes.__name__,),
        "Clients whose labels are random, or who send the opposite",
        "Does the shared model of the path resist bad data and bad messages, beside a median at "
        "the server?",
        f"{scenes.CLIENTS} clients with 100 images of the small MNIST set (14 × 14), alike but for "
        f"the bad ones; MLP 196-{scenes.HIDDEN}-10; {scenes.ROUNDS[0]} rounds of FedAvg, then as "
        "many of each method (the median takes all of them); chosen by the median client",
        "Accuracy of the shared model on clean images, in percent, mean ± half-width of the 95 % "
        "interval over seeds. *At an edge*: how often the chosen setting or round was the last of "
        "its grid, and not the start itself.",
        scenes.wrong_grids,
    ),
    "personal_path_corrupted_linear": Plan(
        crossed(tuple(linear.WRONG), 30),
        linear.compute_corrupted,
        summarize_shared,
        (linear.__name__,),
        "Linear clients whose targets are wrong",
        "The shared model of the path is a median of the models in use: how well does it resist "
        "clients whose targets are shuffled, or have the opposite sign?",
        f"{linear.CLIENTS} clients with {linear.SAMPLES} samples and {linear.HELD} to choose on, "
        f"{linear.FEATURES} numbers, noise {linear.NOISE:g}, alike but for the wrong ones; the "
        "median client chooses",
        "Squared distance of the shared model from the truth, mean ± half-width of the 95 % "
        "interval over seeds. *Minus path*: the difference in the same seed.",
        linear.grids,
    ),
    "personal_path_images": Plan(
        crossed(("two groups", "dirichlet 0.3"), 5),
        scenes.compute_images,
        partial(summarize_scenes, ("accuracy",), "FedAvg + ft", {}),
        (scenes.__name__,),
        "The path of personalization on clients with different digits",
        "Is a network of which few numbers are personal better than a fine-tuned one, than own "
        "output biases, than an own last layer? Which layers become personal first?",
        f"{scenes.CLIENTS} clients of the small MNIST set, 14 × 14 (under Dirichlet those with "
        f"{scenes.LEAST} images or more), a fifth of their images to learn from, a fifth to "
        f"choose, three to score; MLP 196-{scenes.HIDDEN}-10; {scenes.ROUNDS[0]} rounds of FedAvg, "
        f"then {scenes.ROUNDS[1]} rounds of each method, {scenes.STEPS} local steps with batches "
        f"of {scenes.BATCH}, all clients",
        "Accuracy in percent, mean over clients, then mean ± half-width of the 95 % interval over "
        f"seeds. *Own numbers*: of the {196 * 40 + 40 + 410:,} of the network. *At an edge*: how "
        "often the chosen setting or round was the last of its grid, and not the start itself.",
    ),
}
