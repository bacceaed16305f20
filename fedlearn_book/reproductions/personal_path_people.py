r"""The path of personalization among people: writers of digits, and drawers of alphabets.

The clients, seeds, tuning and budgets are those of chapter 7: :mod:`compared` for the writers of
MNIST, :mod:`omniglot` for Omniglot's drawers. Whatever is stored there is not run again; the path
is added to it, and on Omniglot the methods whose clients keep something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from fedlearn_book.reproductions import (
    compared,
    omniglot,
    omniglot_clients,
    omniglot_starts,
    protocol_path,
    read,
)
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.personal_path_rounds import penalties
from fedlearn_book.reproductions.protocol import (
    METHODS,
    Method,
    Sides,
    World,
    curve,
    grid,
    is_dead,
    judge,
    measure,
    train,
    walk,
)
from fedlearn_book.reproductions.record import interval, matching, percent, run_cells
from fedlearn_lib import gradient, parameters_of
from fedlearn_lib.federated import OwnState, personal_path
from fedlearn_lib.federated.personal_path import DUAL
from fedlearn_lib.trees import Params

SPLIT = "writers"
SEED = 100  # of the deal on which one chooses
KINDS = ("entries", "layers")
WRITERS = grid(lr=(0.4, 0.8), kappa=(0.01, 0.03, 0.1, 0.3), first=(0, 30, 60))
DRAWERS = grid(lr=(0.1, 0.3, 1.0), kappa=(0.01, 0.03, 0.1, 0.3), first=(0, 100))
DRAWN = tuple(range(10))  # the deals of Omniglot that are scored
BESIDE = ("local", "FedAvg", "Ditto", "FedRep", "Per-FedAvg fo", "Per-FedAvg hf")  # of writers
STARTS = ("from scratch", "FedAvg", "FedAvg, head", "FO, 1 step", "exact, 1 step")  # of drawers
PATH_ALPHAS = (0.3, 1.0, 3.0, 10.0)  # steps of adaptation along a path; fewer numbers take longer
Cell = dict[str, Any]
Choice = dict[str, Any]


def along(kind: str, settings: tuple[dict[str, float], ...]) -> Method:
    r"""The path as a method of chapter 7; the step of the shared model is $\kappa\eta$, its lr."""

    def make(loss: Any, world: World, lr: float, kappa: float, first: float) -> Any:
        penalty = penalties(parameters_of(world.model), kind)
        return personal_path(gradient(loss), kappa=kappa, lr=lr / kappa, penalty=penalty)

    return Method(make, settings, adapt="path", kind=kind)


PATHS = {f"path, {kind}": along(kind, WRITERS) for kind in KINDS}
KEPT = {  # of the drawers: methods whose clients keep something
    "local": METHODS["local"]._replace(grid=grid(lr=(0.03, 0.1, 0.3, 1.0))),
    "Ditto": METHODS["Ditto"]._replace(grid=grid(lr=(0.1, 0.3, 1.0), lam=(0.01, 0.03, 0.3))),
    "FedRep": METHODS["FedRep"]._replace(grid=grid(lr=(0.1, 0.3, 1.0, 3.0))),
    **{f"path, {kind}": along(kind, DRAWERS) for kind in KINDS},
}


def writers(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Choose on the deal of the search, score ten deals, store ``personal_path_writers.json``."""
    mnist = compared.load_all(root)
    make_world = partial(compared.make_world, SPLIT, mnist=mnist)
    _run(
        "personal_path_writers",
        tuple(PATHS),
        range(compared.SEEDS[SPLIT]),
        lambda method: judge(method, [make_world(SEED)], PATHS),
        lambda method, seed, chosen: score_writers(method, make_world(seed), chosen),
        folder=folder,
        constants=constants_of(__name__, compared.__name__, protocol_path.__name__),
        title="The path of personalization among writers",
        question="Are few numbers of one's own, found by the path, what a writer of digits needs?",
        setting=f"{compared._setting()}; a path may follow {WRITERS[0]['first']}, "
        f"{WRITERS[1]['first']} or {WRITERS[2]['first']} rounds of FedAvg",
        grids={"path": list(WRITERS)},
        table=table_of_writers,
        note="Accuracy in percent, mean and half-width of the 95 % interval over ten deals; the "
        "rows without a path are those of `compared`, with the same clients and seeds, and so are "
        "the paired differences to FedAvg + ft. *Own numbers*: in which a client's model differs "
        "from the shared one in the end, new and known clients.",
    )


def drawers(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Choose on the alphabets of the search, score ten deals, store the file of the drawers."""
    data = omniglot_clients.load_all(root)
    _run(
        "personal_path_omniglot",
        tuple(KEPT),
        DRAWN,
        lambda method: choose_for_drawers(method, data),
        lambda method, seed, chosen: score_drawers(method, data, seed, chosen),
        folder=folder,
        constants=constants_of(
            __name__, omniglot.__name__, omniglot_clients.__name__, omniglot_starts.__name__
        ),
        title="The path of personalization among people who draw alphabets",
        question="People draw different alphabets under the same numbers: what has to be their "
        "own, and does the path find it?",
        setting=f"{omniglot._setting()}; a path may follow {DRAWERS[0]['first']} or "
        f"{DRAWERS[1]['first']} rounds of FedAvg",
        grids={name: list(method.grid) for name, method in KEPT.items()},
        table=table_of_drawers,
        note="Accuracy in percent, mean and half-width of the 95 % interval over ten deals, "
        "after at most 3 and at most 30 full-batch steps; paired differences to FedAvg + ft, at "
        "most 30 steps. The starts that keep nothing are those of `omniglot`, with the same "
        "clients and seeds. *Own numbers*: in percent of a layer, for new alphabets after at most "
        "30 steps.",
    )


def _run(
    name: str,
    methods: Sequence[str],
    seeds: Sequence[int],
    choose: Callable[[str], Choice],
    score: Callable[[str, int, Choice], Cell],
    **about: Any,
) -> None:
    """One cell a method to choose, then one a method and seed; a stopped run chooses again."""
    found: dict[str, Choice] = {}

    def compute(method: str, seed: int | None = None) -> Cell:
        if method not in found:
            found[method] = choose(method)
        return found[method] if seed is None else score(method, seed, found[method])

    cells: list[Cell] = [{"method": method} for method in methods]
    cells += [{"method": method, "seed": seed} for seed in seeds for method in methods]
    command = f"python -m fedlearn_book.reproductions {name}"
    run_cells(name, cells, compute, command=command, **about)


def scored(cells: Sequence[Cell], method: str) -> list[Cell]:
    """Return the results of a method, seed by seed, without its search.

    >>> scored([{"setting": {"method": "a"}, "result": 0},
    ...         {"setting": {"method": "a", "seed": 0}, "result": {"x": 1}}], "a")
    [{'x': 1}]
    """
    return matching([cell for cell in cells if "seed" in cell["setting"]], method=method)


def own_numbers(method: Method, held: Params) -> dict[str, float]:
    """The share of each leaf that is personal on a path, mean over clients; zero is left shared.

    >>> held = {"w": torch.zeros(2, 2), "dual.w": torch.tensor([[0.5, 2.0], [-1.5, 1.2]])}
    >>> own_numbers(along("entries", WRITERS), held)
    {'w': 0.75}
    """
    w = {k: v[0] for k, v in held.items() if not k.startswith(DUAL)}
    accounts = {k: held[DUAL + k] for k in w}
    return {
        k: round(fmean(float((one.prox(v) != 0).double().mean()) for v in accounts[k]), 4)
        for k, one in penalties(w, method.kind).items()
        if one is not None
    }


def score_writers(name: str, world: World, chosen: Choice) -> Cell:
    """Score the chosen settings as ``compared`` does, and count the numbers of clients' own."""
    method, report = PATHS[name], measure(name, world, chosen, PATHS)
    for who, sides in (("new", world.new), ("known", world.known)):
        assert sides is not None
        k, alpha, steps = chosen[who]["personal"]
        setting = method.grid[k]
        *_, held = walk(
            method, setting, world, train(method, setting, world), sides, alpha, (steps,)
        )
        report[f"own, {who}"] = own_numbers(method, held)
    return report


def table_of_writers(cells: list[Cell]) -> dict[str, Any]:
    """One row a method: new and known clients, differences to FedAvg within a seed, own numbers."""
    own = {name: scored(cells, name) for name in PATHS}
    seeds = range(len(own["path, entries"]))
    stored = read("compared")["cells"]
    beside = {name: matching(stored, split=SPLIT, method=name) for name in BESIDE}
    rows, sizes = [], {k: v.numel() for k, v in _writers_network().items()}
    for name, results in (beside | own).items():
        row = [f"{name} + ft" if name == "FedAvg" else name]
        for place in (0, 1, 2):
            row.append(percent([results[k]["personal"][place] for k in seeds], 1))
        for place in (0, 2):
            gaps = [results[k]["personal"][place] - beside["FedAvg"][k]["personal"][place]
                    for k in seeds]  # fmt: skip
            row.append(_gap(gaps) if name != "FedAvg" else "")
        for who in ("new", "known"):
            counts = [sum(sizes[k] * share for k, share in one[f"own, {who}"].items())
                      for one in results if f"own, {who}" in one]  # fmt: skip
            row.append(f"{fmean(counts):,.0f}" if counts else "")
        rows.append(row)
    heads = ["method", "new, adapted", "worst", "known, adapted"]
    heads += ["new, minus FedAvg + ft", "known, minus FedAvg + ft"]
    return {"columns": [*heads, "own numbers, new", "own numbers, known"], "rows": rows}


def _writers_network() -> Params:
    from fedlearn_lib import mlp

    return parameters_of(mlp(784, 40, 10, activation="tanh"))


def _gap(gaps: Sequence[float]) -> str:
    middle, half = interval([100 * gap for gap in gaps])
    return f"{middle:+.1f} ± {half:.1f}"


def world_of(people: omniglot_clients.World, seed: int) -> World:
    """Omniglot's clients as a world of chapter 7's protocol."""
    starts = omniglot_starts
    return World(
        people.known, people.drawers, people.drawers, people.alphabets,
        omniglot_starts.network(seed), starts.ROUNDS, starts.COHORT, starts.LOCAL, starts.BATCH,
        seed,
    )  # fmt: skip


def alphas_of(method: Method) -> tuple[float, ...]:
    if method.adapt == "path":
        return PATH_ALPHAS
    return omniglot_starts.ALPHAS["head" if method.adapt == "head" else "all"]


def curve_of(
    method: Method, setting: Mapping[str, float], world: World, state: Any, who: str, alpha: float
) -> torch.Tensor:
    """Accuracy after the steps of :mod:`omniglot_starts`, of one client in three that trained."""
    if who == "known":
        learn, score = world.known
        third: Sides = (omniglot._third(learn), omniglot._third(score))
        world = world._replace(known=third)
        if isinstance(state, OwnState):
            state = OwnState(state.server, {k: v[::3] for k, v in state.own.items()})
    sides = {"known": world.known, "drawers": world.spare, "alphabets": world.new}[who]
    assert sides is not None
    return curve(method, setting, world, state, sides, alpha, omniglot_starts.STEPS)


def choose_for_drawers(name: str, data: Any) -> Choice:
    """Find a setting for those who did not train and one for those who did, and their steps.

    The first is what is best on the mean of four accuracies, as in ``omniglot_search``: other
    people and new alphabets, at most 3 and at most 30 steps. The second is best for those who
    trained and kept something.
    """
    method = KEPT[name]
    world = world_of(omniglot_clients.make_world(data, SEED, search=True), SEED)
    tried: list[Choice] = []
    dead = 0
    for setting in method.grid:
        state = train(method, setting, world, draws=1)
        dead += is_dead(state)
        uses = {}
        for who in omniglot.WHO:
            scores = [
                curve_of(method, setting, world, state, who, a).mean(1).tolist()
                for a in alphas_of(method)
            ]
            uses[who] = [omniglot._best(scores, alphas_of(method), b) for b in omniglot.BUDGETS]
        tried.append(uses)
    report: Choice = {"dead": dead, "runs": len(method.grid)}
    for role, judges in {"new": ("drawers", "alphabets"), "known": ("known",)}.items():
        means = [fmean(one[0] for who in judges for one in uses[who]) for uses in tried]
        best = max(range(len(means)), key=means.__getitem__)
        report[role] = {
            "setting": method.grid[best], "tried": [round(mean, 4) for mean in means],
            **{who: [list(one[1:]) for one in tried[best][who]] for who in judges},
        }  # fmt: skip
    return report


def score_drawers(name: str, data: Any, seed: int, chosen: Choice) -> Cell:
    """Train with the chosen settings, score the three kinds of people, count own numbers."""
    method = KEPT[name]
    world = world_of(omniglot_clients.make_world(data, seed), seed)
    settings = [chosen[role]["setting"] for role in ("new", "known")]
    states = [train(method, settings[0], world, draws=1)]
    states += states if settings[1] == settings[0] else [train(method, settings[1], world, draws=1)]
    result: Cell = {"dead": sum(map(is_dead, states))}
    for who in omniglot.WHO:
        role, k = ("known", 1) if who == "known" else ("new", 0)
        judged = chosen[role][who]
        curves = {
            a: curve_of(method, settings[k], world, states[k], who, a).mean(1) for a, _ in judged
        }
        places = [(judged[0][0], 0), *((a, omniglot_starts.STEPS.index(s)) for a, s in judged)]
        result[who] = [round(float(curves[a][place]), 4) for a, place in places]
    if method.adapt == "path":
        alpha, steps = chosen["new"]["alphabets"][-1]
        assert world.new is not None
        *_, held = walk(method, settings[0], world, states[0], world.new, alpha, (steps,))
        result["own"] = own_numbers(method, held)
    return result


def table_of_drawers(cells: list[Cell]) -> dict[str, Any]:
    """One row a method and kind of people, 3 and 30 steps, differences to FedAvg within a seed."""
    own = {name: scored(cells, name) for name in KEPT}
    seeds = range(len(own["local"]))
    stored = read("omniglot")["cells"]
    beside = {name: matching(stored, method=name) for name in STARTS}
    rows = []
    for who, title in zip(omniglot.WHO, omniglot.ROWS, strict=True):
        for name, results in (beside | own).items():
            row = [title, f"{name} + ft" if name == "FedAvg" else name]
            row += [percent([results[k][who][place] for k in seeds], 1) for place in (1, 2)]
            gaps = [results[k][who][2] - beside["FedAvg"][k][who][2] for k in seeds]
            row.append(_gap(gaps) if name != "FedAvg" else "")
            if who == "alphabets" and "own" in results[0]:
                leaves = [one["own"] for one in results]
                row.append(
                    ", ".join(f"{k} {100 * fmean(x[k] for x in leaves):.0f} %" for k in leaves[0])
                )
            else:
                row.append("")
            rows.append(row)
    heads = ["people", "method", *(f"at most {most} steps" for most in omniglot.BUDGETS)]
    return {"columns": [*heads, "minus FedAvg + ft, 30 steps", "own numbers"], "rows": rows}
