"""What the runs of the path of personalization say together, in tables for one page.

Everything is read from the stored results of :mod:`fedlearn_book.reproductions.personal_path`.
Differences are taken within a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from fedlearn_book.reproductions import personal_path_linear as linear
from fedlearn_book.reproductions import personal_path_scenes as scenes
from fedlearn_book.reproductions import read
from fedlearn_book.reproductions.personal_path import shown
from fedlearn_book.reproductions.record import matching

Results = list[dict[str, Any]]
Table = dict[str, Any]


def results(name: str, world: str) -> Results:
    """Return the stored results of one world, seed by seed."""
    return matching(read(f"personal_path_{name}")["cells"], world=world)


def minus(own: Results, value: Callable[[dict[str, Any], str], float], a: str, b: str) -> str:
    """Write the mean difference of two methods with its interval.

    >>> minus([{"x": 3, "y": 1}, {"x": 5, "y": 3}], lambda one, key: one[key], "x", "y")
    '+2.00 ± 0.00'
    """
    return shown([value(one, a) - value(one, b) for one in own], 2, "+")


def linear_clients(world: str) -> Table:
    """Known clients and new ones with few samples, of one linear world."""
    own, rows = results("linear", world), []

    def error(one: dict[str, Any], method: str) -> float:
        value: float = one["known"][method]["excess"]
        return value

    for method in linear.METHODS | linear.NEW:
        row, known = [method], method in own[0]["known"]
        row += [shown([error(one, method) for one in own])] if known else ["–"]
        row += [minus(own, error, method, "path") if known and method != "path" else ""]
        for k in range(len(linear.SIZES)):
            new = [one["new"][method][k] for one in own if method in one["new"]]
            row.append(shown(new) if new else "–")
        rows.append(row)
    heads = ["method", "known", "minus path", *(f"new, {n} samples" for n in linear.SIZES)]
    return {"columns": heads, "rows": rows}


def wrong_linear() -> Table:
    """The squared error of the shared model, one column a world of wrong linear clients."""
    rows = []
    for method in ("FedAvg, honest clients", *linear.SHARED):
        row = [method]
        for world in linear.WRONG:
            own = results("corrupted_linear", world)
            row.append(shown([one["w"][method] for one in own], 3))
        rows.append(row)
    return {"columns": ["shared model of", *linear.WRONG], "rows": rows}


def wrong_networks() -> Table:
    """Accuracy of the shared model in percent, one column a world of wrong clients."""
    rows = []
    for method in results("corrupted", "none")[0]["scores"]:
        row = [method]
        for world in scenes.WRONG:
            own = [one["scores"][method]["accuracy"] for one in results("corrupted", world)]
            row.append(shown([100 * value for value in own], 1))
        rows.append(row)
    return {"columns": ["shared model of", *scenes.WRONG], "rows": rows}


def networks(name: str, worlds: Sequence[str], against: str) -> Table:
    """Accuracy in percent in some worlds, and the difference to one method in the same seed."""
    rows = []
    for method in results(name, worlds[0])[0]["scores"]:
        row = [method]
        for world in worlds:
            own = [one["scores"] for one in results(name, world)]
            row.append(shown([100 * one[method]["accuracy"] for one in own], 1))
            gap = [100 * (one[method]["accuracy"] - one[against]["accuracy"]) for one in own]
            row.append(shown(gap, 1, "+") if method != against else "")
        rows.append(row)
    heads = [text for world in worlds for text in (world, f"minus {against}")]
    return {"columns": ["method", *heads], "rows": rows}


def writers() -> Table:
    """Writers of digits: accuracy, differences within a seed, own numbers; not the worst tenth."""
    content = read("personal_path_writers")["table"]
    keep = [k for k, head in enumerate(content["columns"]) if head != "worst"]
    rows = [content["columns"], *content["rows"]]
    heads, *rows = [[row[k] for k in keep] for row in rows]
    return {"columns": heads, "rows": rows}


def few() -> Table:
    """New writers with few images: accuracy in percent, and the difference to FedAvg + ft."""
    content: Table = read("personal_path_few")["table"]
    return content


def drawers() -> Table:
    """Omniglot: accuracy of three kinds of people after at most 3 and at most 30 steps."""
    stored = read("personal_path_omniglot")["table"]["rows"]
    rows = []
    for method in dict.fromkeys(row[1] for row in stored):
        own = [row for row in stored if row[1] == method]
        rows.append([method, *(accuracy for row in own for accuracy in row[2:4])])
    who = ("trained", "same alphabets", "new alphabets")
    heads = [f"{one}, {most} steps" for one in who for most in (3, 30)]
    return {"columns": ["method", *heads], "rows": rows}


def hospitals() -> Table:
    """Log loss against fine-tuning and against own intercepts, accuracy, personal numbers."""
    own, rows = [one["scores"] for one in results("hospitals", "hospitals")], []

    def loss(one: dict[str, Any], method: str) -> float:
        value: float = -one[method]["log likelihood"]
        return value

    for method in own[0]:
        row = [method, shown([loss(one, method) for one in own], 3)]
        for base in ("FedAvg + ft", "own intercepts"):
            gaps = [loss(one, method) - loss(one, base) for one in own]
            row.append(shown(gaps, 3, "+") if method != base else "")
        row.append(shown([100 * one[method]["accuracy"] for one in own], 1))
        numbers = [one[method].get("own numbers") for one in own]
        row.append("" if None in numbers else f"{fmean(numbers):.1f}")
        rows.append(row)
    heads = ["method", "log loss", "minus FedAvg + ft", "minus own intercepts", "accuracy"]
    return {"columns": [*heads, "own numbers"], "rows": rows}


def first_at_the_hospitals(places: int = 4) -> Table:
    """Say which number of which hospital became personal first, second, …, and how often."""
    own, rows = results("hospitals", "hospitals"), []
    for k in range(places):
        seen = [f"{one['first'][k][0]}: {one['first'][k][1]}" for one in own]
        counts = sorted({(-seen.count(text), text) for text in seen})
        rows.append([f"{k + 1}", "; ".join(f"{text} ({-count})" for count, text in counts[:4])])
    return {"columns": ["place", f"number, and in how many of {len(own)} splits"], "rows": rows}


def found_rows() -> Table:
    """Say how many of the first personal rows of the output layer are truly swapped ones."""
    own, rows = results("swaps", "swaps"), []
    for kind in ("rows", "last rows"):
        found = [one["found"][kind] for one in own]
        row = [f"path, {kind}"]
        for key in ("found", "before false", "clients"):
            values = [one[key] for one in found]
            row.append(f"{fmean(values):.1f} ({min(values)} to {max(values)})")
        rows.append(row)
    of = own[0]["found"]["rows"]["of"]
    heads = ["path", f"true among the first {of}", "true before the first false", "clients"]
    return {"columns": heads, "rows": rows}


def first_leaves() -> Table:
    """Say which leaf was a client's first own one, in percent of the clients, by world."""
    rows = []
    for world in ("two groups", "dirichlet 0.3"):
        own = [one["first"] for one in results("images", world)]
        for leaf in own[0]:
            m = [max(1, sum(one[k]["first"] for k in one)) for one in own]
            share = [100 * one[leaf]["first"] / n for one, n in zip(own, m, strict=True)]
            when = [one[leaf]["round"] for one in own if one[leaf]["round"] is not None]
            clients = fmean(one[leaf]["clients"] for one in own)
            rows.append(
                [world, leaf, shown(share, 0), f"{clients:.1f}",
                 f"{fmean(when):.1f}" if when else "never"]
            )  # fmt: skip
    heads = ["clients", "leaf", "is first (percent)", "clients that own it", "mean round"]
    return {"columns": heads, "rows": rows}
