r"""New writers who have 5, 10 or 20 images of their own: which start serves those who have little?

:mod:`personal_path_linear` asks it of linear models. Here it is asked of chapter 7's network: each
method is trained as :mod:`compared` and :mod:`personal_path_people` chose it for new writers, then
new writers adapt on so few images that each of them counts. How far, other writers who did not
train either have chosen, with as few.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fedlearn_book.reproductions import compared, personal_path_people, protocol, read
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.personal_path_people import PATHS, SPLIT, scored
from fedlearn_book.reproductions.protocol import ALPHAS, METHODS, STEPS, Method, Sides, World, curve
from fedlearn_book.reproductions.record import folder_of, interval, matching, percent, run_cells
from fedlearn_lib import Clients

SIZES = (5, 10, 20)
NAME = "personal_path_few"
RUNNERS: dict[str, Method] = {
    "local": METHODS["local"],
    "FedAvg": METHODS["FedAvg"],
    "FedAvg, head": METHODS["FedAvg"]._replace(adapt="head"),
    **{name: METHODS[name] for name in ("Ditto", "FedRep", "Per-FedAvg fo", "Per-FedAvg hf")},
    **PATHS,
}
Cell = dict[str, Any]


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Train every method in ten deals and store ``personal_path_few.json``."""
    home = folder_of(folder)
    mnist = compared.load_all(root)
    found = settings(home)
    run_cells(
        NAME,
        [
            {"method": method, "seed": seed}
            for seed in range(compared.SEEDS[SPLIT])
            for method in RUNNERS
        ],
        partial(compute, found, partial(compared.make_world, SPLIT, mnist=mnist)),
        folder=home,
        constants=constants_of(__name__, compared.__name__, personal_path_people.__name__)
        | {"found": found},
        title="New writers with few images",
        question="Which start serves a new writer of digits who has 5, 10 or 20 images?",
        command=f"python -m fedlearn_book.reproductions {NAME}",
        setting=f"{compared._setting()}; settings as chosen for new writers by `compared_search`, "
        "`compared_beyond` and `personal_path_writers`; new writers who have 20 images or more, of "
        "which they use the first 5, 10 or 20; step and number of steps chosen by other writers",
        table=summarize,
        note="Accuracy in percent of new writers on the images that they did not adapt on, mean "
        "and half-width of the 95 % interval over ten deals; *none*: without adaptation; "
        "differences to FedAvg, adapted as well, within a deal.",
    )


def settings(home: str | Path) -> dict[str, protocol.Setting]:
    """Return the setting that new writers have chosen for each method."""
    first = compared.choices(home)
    paths = read("personal_path_writers", home)["cells"]
    result = {}
    for name, method in RUNNERS.items():
        if name in PATHS:
            chosen = next(c["result"] for c in paths if c["setting"] == {"method": name})
        else:
            chosen = matching(first, split=SPLIT, method=name.partition(",")[0])[0]
        result[name] = method.settings[chosen["new"]["personal"][0]]
    return result


def few(sides: Sides, n: int) -> Sides:
    """Keep the clients who have as many samples as the largest of ``SIZES``, and ``n`` of each."""
    learn, score = sides
    rows = (learn.n >= SIZES[-1]).nonzero().flatten()
    p = torch.full((len(rows),), 1 / len(rows))
    own = Clients(learn.x[rows, :n], learn.y[rows, :n], torch.full((len(rows),), n), p)
    return own, Clients(score.x[rows], score.y[rows], score.n[rows], p)


def compute(
    found: dict[str, protocol.Setting], make_world: Callable[[int], World], method: str, seed: int
) -> Cell:
    """Train one method in one deal; let others choose how far to adapt, and score the new ones."""
    world, own, setting = make_world(seed), RUNNERS[method], found[method]
    if world.tune is None or world.new is None:
        raise ValueError("this run needs clients who did not train, some to choose, some to score")
    state = protocol.train(own, setting, world)
    result: Cell = {"dead": protocol.is_dead(state), "use": {}}
    plain = curve(own, setting, world, state, few(world.new, SIZES[-1]), ALPHAS[0], (0,))[0]
    result["none"] = round(float(plain.mean()), 4)
    for n in SIZES:
        others, new = few(world.tune, n), few(world.new, n)
        tried = torch.stack(
            [curve(own, setting, world, state, others, alpha).mean(1) for alpha in ALPHAS]
        )
        a, s = (int(k) for k in torch.unravel_index(tried.argmax(), tried.shape))
        scores = curve(own, setting, world, state, new, ALPHAS[a], (STEPS[s],))[0]
        result[str(n)] = round(float(scores.mean()), 4)
        result["use"][str(n)] = [ALPHAS[a], STEPS[s]]
    return result


def summarize(cells: list[Cell]) -> dict[str, Any]:
    """Make one row a method: accuracy by number of images, and the difference to FedAvg."""
    base = scored(cells, "FedAvg")
    rows = []
    for name in RUNNERS:
        own = scored(cells, name)
        row = [f"{name} + ft" if name == "FedAvg" else name]
        row += [percent([one[key] for one in own], 1) for key in ("none", *map(str, SIZES))]
        for n in map(str, SIZES):
            gaps = [100 * (one[n] - other[n]) for one, other in zip(own, base, strict=True)]
            row.append("" if name == "FedAvg" else "{:+.1f} ± {:.1f}".format(*interval(gaps)))
        rows.append(row)
    heads = ["method", "none", *(f"{n} images" for n in SIZES)]
    return {"columns": [*heads, *(f"{n}, minus FedAvg + ft" for n in SIZES)], "rows": rows}
