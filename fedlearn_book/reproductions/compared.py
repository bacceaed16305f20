"""Personalization compared: eleven methods, four kinds of clients, one protocol.

Two groups and Dirichlet clients share the small MNIST set of the package; the hospitals are the
four of the heart disease data; the writers need full MNIST with QMNIST's label tables. First
``compared_search`` chooses the settings in worlds that are not reported, ``compared_beyond`` tries
what lies beyond the ends of their grids, then ``compared`` scores them; the hospitals choose in
each split of their patients, from the grids of the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlearn_book.reproductions import protocol, read
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.protocol import METHODS, Sides, World, cost, judge, measure
from fedlearn_book.reproductions.record import folder_of, interval, matching, run_cells
from fedlearn_lib import (
    Clients,
    load,
    logistic,
    mlp,
    partition_dirichlet,
    partition_natural,
    partition_two_groups,
    split_parts,
)
from fedlearn_lib.data import Dataset

DEALT = ("two groups", "dirichlet 0.3", "writers")  # clients that can be dealt anew
SPLITS = (*DEALT, "hospitals")
SEARCH = {"two groups": (100, 101), "dirichlet 0.3": (100, 101), "writers": (100,)}  # seeds
SEEDS = {"two groups": 20, "dirichlet 0.3": 20, "writers": 10, "hospitals": 10}  # how many
KNOWN, TUNE, NEW = 40, 10, 20  # clients that train, on which we choose, that nobody has seen
FEW = 34  # images of a writer who chooses: as many as a new one has on average, a third of its own
BUDGET = 60, 10, 5, 20  # rounds, cohort, local steps, batch
Cell = dict[str, Any]


def search(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Train every method with every setting, and store ``compared_search.json``."""
    mnist = load_all(root)

    def compute(split: str, method: str) -> Cell:
        return judge(method, [make_world(split, seed, mnist) for seed in SEARCH[split]])

    run_cells(
        "compared_search",
        [{"split": split, "method": method} for split in DEALT for method in METHODS],
        compute,
        folder=folder,
        constants=_constants(),
        title="Personalization compared, the search for settings",
        question="Which steps and springs does each method want?",
        command="python -m fedlearn_book.reproductions compared_search",
        setting=f"{_setting()}; two deals of the clients (of the writers one, with six times as "
        "many who choose), which are not reported",
        grids={name: list(method.grid) for name, method in METHODS.items()},
        table=summarize_search,
        note="The setting, the step of adaptation and the number of such steps that did best for "
        "new clients; how much the best setting is ahead of the second (percent); how many runs "
        "diverged; and which of the choices is the last value of its grid.",
    )


def beyond(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Let the settings beyond a grid meet what was chosen in it; store ``compared_beyond.json``."""
    home = folder_of(folder)
    found = read("compared_search", home)["cells"]
    mnist = load_all(root)

    def compute(split: str, method: str) -> Cell:
        first, own = matching(found, split=split, method=method)[0], METHODS[method]
        chosen = {first[who]["plain"] for who in ("new", "known")}
        chosen |= {first[who]["personal"][0] for who in ("new", "known")}
        numbers = [*sorted(chosen), *range(len(own.grid), len(own.settings))]
        worlds = [make_world(split, seed, mnist) for seed in SEARCH[split]]
        return judge(method, worlds, numbers=numbers) | {"numbers": numbers}

    run_cells(
        "compared_beyond",
        [{"split": split, "method": name} for split in DEALT for name in METHODS if _goes_on(name)],
        compute,
        folder=home,
        constants=_constants() | {"found": found},
        title="Personalization compared, beyond the ends of the grids",
        question="Was a method held back by the last value of its grid?",
        command="python -m fedlearn_book.reproductions compared_beyond",
        setting=f"{_setting()}; the deals of compared_search",
        grids={name: list(METHODS[name].beyond) for name in METHODS if _goes_on(name)},
        table=summarize_beyond,
        note="What does best for new clients once the settings beyond the grid are tried, too; how "
        "much the best of these is ahead of the choice of compared_search (percent); how many runs "
        "diverged; and which of the choices is still the last value that was tried.",
    )


def _goes_on(name: str) -> bool:
    return bool(METHODS[name].beyond)


def choices(home: str | Path) -> list[Cell]:
    """Return the cells of the search, those of ``compared_beyond`` in the place of its methods'."""
    again: list[Cell] = read("compared_beyond", home)["cells"]
    first: list[Cell] = read("compared_search", home)["cells"]
    tried = [cell["setting"] for cell in again]
    return [cell for cell in first if cell["setting"] not in tried] + again


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Score the chosen settings, and store ``compared.json``."""
    home = folder_of(folder)
    found = choices(home)
    mnist = load_all(root)

    def compute(split: str, method: str, seed: int) -> Cell:
        world = make_world(split, seed, mnist)
        own = split not in DEALT
        chosen = judge(method, [world]) if own else matching(found, split=split, method=method)[0]
        kept = {"chosen": {who: chosen[who] for who in ("new", "known")}} if own else {}
        return measure(method, world, chosen) | kept

    run_cells(
        "compared",
        [
            {"split": split, "method": method, "seed": seed}
            for split, seeds in SEEDS.items()
            for seed in range(seeds)
            for method in METHODS
        ],
        compute,
        folder=home,
        constants=_constants() | {"found": found},
        title="Personalization compared",
        question="Which way of personalizing a shared model serves clients best, and at what cost?",
        command="python -m fedlearn_book.reproductions compared",
        setting=_setting(),
        grids={name: list(method.settings) for name, method in METHODS.items()},
        costs={split: costs_of(split, found) for split in SPLITS},
        table=summarize,
        note="Accuracy in percent, mean and half-width of the 95 % interval over twenty "
        "seeds, of writers and hospitals ten. "
        "Settings were chosen in compared_search and compared_beyond; the hospitals, who have no "
        "other world, choose in each split on spare patients, from the grids of the search, and "
        "their splits share most of the patients, so that their intervals are too narrow. Worst: "
        "the tenth of the new clients with the lowest accuracy; of the hospitals, the lowest. "
        "Minus FedAvg: seed by seed, both adapted.",
    )


def costs_of(split: str, found: list[Cell]) -> dict[str, list[float]]:
    """What a round costs with the setting that new clients chose; of hospitals, with the first."""
    if split not in DEALT:
        return {name: cost(method, make_world(split, 0)) for name, method in METHODS.items()}
    world = make_world(DEALT[0], 0)  # the same network as that of the writers
    chosen = {name: matching(found, split=split, method=name)[0]["new"] for name in METHODS}
    return {
        name: cost(method, world, method.settings[chosen[name]["personal"][0]])
        for name, method in METHODS.items()
    }


def load_all(root: str | None) -> dict[str, Dataset]:
    """Full MNIST with its writers; an error says how to get what is missing."""
    mnist = {part: load("mnist", root=root, part=part) for part in ("train", "test")}
    if any(data.client is None for data in mnist.values()):
        raise FileNotFoundError(
            "this run needs QMNIST's label tables beside MNIST to know the writers; get them with "
            'load("mnist", download=True)'
        )
    return mnist


def summarize(cells: list[Cell]) -> dict[str, Any]:
    """Make one row for each split and method: mean ± half-width over the seeds."""
    keys = (("plain", 0), ("personal", 0), ("personal", 1), ("personal", 2))
    rows = []
    for split in SPLITS:
        base = [result["personal"] for result in matching(cells, split=split, method="FedAvg")]
        for method in METHODS:
            own = matching(cells, split=split, method=method)
            row = [split, method]
            row += [_shown([result[kind][number] for result in own]) for kind, number in keys]
            for number in (0, 2):
                gaps = [a["personal"][number] - b[number] for a, b in zip(own, base, strict=True)]
                row.append("" if method == "FedAvg" else _shown(gaps, "+"))
            rows.append([*row, sum(result["dead"] for result in own)])
    heads = ["clients", "method", "new, no adaptation", "new, adapted", "worst", "known, adapted"]
    heads += ["new, minus FedAvg", "known, minus FedAvg", "dead"]
    return {"columns": heads, "rows": rows}


def summarize_search(cells: list[Cell]) -> dict[str, Any]:
    """Make one row for each split and method: what was chosen, and whether at an edge."""
    rows = []
    for cell in cells:
        split, method = cell["setting"]["split"], cell["setting"]["method"]
        result = cell["result"]
        index, alpha, steps = result["new"]["personal"]
        grid = METHODS[method].grid
        scores = sorted(result["new"]["tried"], reverse=True)
        setting = ", ".join(f"{name} = {value:g}" for name, value in grid[index].items())
        ahead = f"{100 * (scores[0] - scores[1]):.1f}"
        died = f"{result['dead']} of {result['runs']}"
        edges = ", ".join(edges_of(method, result["new"]["personal"])) or "none"
        rows.append([split, method, setting, f"{steps} of {alpha:g}", ahead, died, edges])
    heads = ["clients", "method", "setting", "adaptation", "ahead of the second", "dead", "edges"]
    return {"columns": heads, "rows": rows}


def summarize_beyond(cells: list[Cell]) -> dict[str, Any]:
    """Make one row for each split and method: what was chosen, and what going on has won."""
    rows = []
    for cell in cells:
        split, method = cell["setting"]["split"], cell["setting"]["method"]
        result, settings = cell["result"], METHODS[method].settings
        (index, alpha, steps), tried = result["new"]["personal"], result["new"]["tried"]
        further = len(METHODS[method].beyond)
        setting = ", ".join(f"{name} = {value:g}" for name, value in settings[index].items())
        ahead = f"{100 * (max(tried[-further:]) - max(tried[:-further])):+.1f}"
        died = f"{result['dead']} of {result['runs']}"
        edges = ", ".join(edges_of(method, result["new"]["personal"], settings)) or "none"
        rows.append([split, method, setting, f"{steps} of {alpha:g}", ahead, died, edges])
    heads = ["clients", "method", "setting", "adaptation", "beyond, ahead", "dead", "edges"]
    return {"columns": heads, "rows": rows}


def edges_of(
    method: str, chosen: list[float], tried: Sequence[dict[str, float]] | None = None
) -> list[str]:
    """Say which of a choice's values are the first or the last that were tried.

    ``tried`` are the settings, by default the method's grid.

    >>> edges_of("FedAvg", [4, 0.3, 20])
    ['lr', 'steps']
    """
    index, alpha, steps = int(chosen[0]), chosen[1], chosen[2]
    tried = METHODS[method].grid if tried is None else tried
    at = [
        name
        for name, value in tried[index].items()
        if name != "inner_steps"  # one is the fewest there is
        and value in (min(s[name] for s in tried), max(s[name] for s in tried))
    ]
    at += ["step"] if alpha in (protocol.ALPHAS[0], protocol.ALPHAS[-1]) and steps else []
    return at + (["steps"] if steps == protocol.STEPS[-1] else [])


def _shown(values: list[float], sign: str = "") -> str:
    middle, half = interval([100 * value for value in values])
    return f"{middle:{sign}.1f} ± {half:.1f}"


def _constants() -> dict[str, Any]:
    """All constants but the grids, which a result file lists by themselves."""
    kept = constants_of(__name__, protocol.__name__)
    return {k: v for k, v in kept.items() if not k.endswith(("METHODS", "META", "LONG", "LR"))}


def _setting() -> str:
    return (
        "{} rounds of {} clients (hospitals: all 4), {} local steps with batches of {}; ".format(
            *BUDGET
        )
        + f"clients adapt on all their own samples, at most {protocol.STEPS[-1]} steps of "
        + ", ".join(f"{alpha:g}" for alpha in protocol.ALPHAS)
        + "; MLP 784-40-10 with tanh (hospitals: logistic regression)"
    )


def make_world(split: str, seed: int, mnist: dict[str, Dataset] | None = None) -> World:
    """Make the clients of one seed: 40 that train, 10 on which we choose, 20 that are new."""
    g = torch.Generator().manual_seed(seed)
    if split == "hospitals":
        return _hospitals(seed)
    if split == "writers":
        return _writers(seed, g, mnist or {})
    data, m = load("mnist_mini"), KNOWN + TUNE + NEW
    if split == "two groups":
        parts = partition_two_groups(data.y, m, a=12, generator=g)
    else:
        parts = partition_dirichlet(data.y, m, alpha=float(split.split()[1]), generator=g)
    parts = [parts[i] for i in torch.randperm(m, generator=g).tolist() if len(parts[i]) >= 10]
    known, spare = _known(data, parts[: -TUNE - NEW], g)
    tune, new = _sides(data, parts[-TUNE - NEW : -NEW], g), _sides(data, parts[-NEW:], g)
    model = mlp(784, 40, 10, activation="tanh", seed=seed)
    return World(known, spare, tune, new, model, *BUDGET, seed)


def _writers(seed: int, g: torch.Generator, mnist: dict[str, Dataset]) -> World:
    """100 of MNIST's training writers train, 60 others tune, 200 of the test's writers are new."""
    owners = {k: partition_natural(_owner(data), least=10) for k, data in mnist.items()}
    order = {k: torch.randperm(len(parts), generator=g).tolist() for k, parts in owners.items()}
    train = [owners["train"][i] for i in order["train"][:160]]
    known, spare = _known(mnist["train"], train[:100], g)
    few = [part[torch.randperm(len(part), generator=g)[:FEW]] for part in train[100:]]
    tune = _sides(mnist["train"], few, g)
    new = _sides(mnist["test"], [owners["test"][i] for i in order["test"][:200]], g)
    model = mlp(784, 40, 10, activation="tanh", seed=seed)
    return World(known, spare, tune, new, model, *BUDGET, seed)


def _hospitals(seed: int) -> World:
    """One split of each hospital's patients: a fifth to test, one to choose, three to train."""
    heart = load("heart_disease")
    g = torch.Generator().manual_seed(seed)
    test, spare, train = [], [], []
    for part in partition_natural(_owner(heart)):
        pieces = torch.tensor_split(part[torch.randperm(len(part), generator=g)], 5)
        test.append(pieces[0])
        spare.append(pieces[1])
        train.append(torch.cat(pieces[2:]))
    learn = _clients(heart, train)
    known, choose = (learn, _clients(heart, test)), (learn, _clients(heart, spare))
    return World(known, choose, None, None, logistic(13, 2, seed=seed), 60, 4, 5, 20, seed)


def _owner(data: Dataset) -> Tensor:
    if data.client is None:
        raise ValueError(
            "data must say who made each sample, got client=None; see fedlearn_lib.load"
        )
    return data.client


def _sides(data: Dataset, parts: list[Tensor], g: torch.Generator) -> Sides:
    """Give each client three fifths of its samples to adapt on, the rest to be scored on."""
    learn, rest = split_parts(parts, test=0.4, generator=g)
    return _clients(data, learn), _clients(data, rest)


def _known(data: Dataset, parts: list[Tensor], g: torch.Generator) -> tuple[Sides, Sides]:
    """Give each client three fifths to train on, one to be scored on, one spare to choose on."""
    learn, rest = split_parts(parts, test=0.4, generator=g)
    score, spare = split_parts(rest, test=0.5, generator=g)
    train = _clients(data, learn)
    return (train, _clients(data, score)), (train, _clients(data, spare))


def _clients(data: Dataset, parts: list[Tensor]) -> Clients:
    return Clients.of(data.x.flatten(1), data.y, parts, [1.0] * len(parts))
