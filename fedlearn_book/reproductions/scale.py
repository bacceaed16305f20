"""How far does one machine go? Memory, time and slow clients, measured, and a model of the time.

Clients come from a population that exists only as a rule, so its size costs nothing; the cohort is
drawn and averaged part by part. Every measurement of memory is a process of its own. Times are
CPU seconds of one thread, so that what else the machine does is not counted.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import interval, matching, run_cells
from fedlearn_lib import (
    Clients,
    fedavg,
    gradient,
    load,
    logistic,
    loss_of,
    parameters_of,
    run,
)
from fedlearn_lib.data import GaussianPopulation

SEEDS = (0, 1, 2)
MEMORY = (
    (1000, 1000), (10**5, 100), (10**5, 1000), (10**5, 10**4), (10**5, 10**5), (10**9, 1000),
)  # (m, cohort)  # fmt: skip
FIT = tuple((c, d, tau, 10) for c in (100, 1000) for d in (20, 200) for tau in (1, 10))
CHECK = ((300, 50, 3, 10), (2000, 100, 5, 10), (500, 400, 2, 20), (3000, 20, 20, 5))
M, D, STEPS, BATCH, LR, ROUNDS = 10**5, 100, 5, 10, 0.1, 3
OWNERS, EPOCHS = 200, 4  # clients of unequal size, for their own times


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Measure all cells and store ``scale.json``."""
    del root  # clients are made, or embedded
    run_cells(
        "scale",
        list(cells()),
        measure,
        folder=folder,
        constants=constants_of(__name__),
        title="How far one machine goes",
        question="What do memory and time of a round depend on, and does a model know it?",
        command="python -m fedlearn_book.reproductions scale",
        setting=f"logistic regression on {D} Gaussian features, {STEPS} local steps with batches "
        f"of {BATCH}, {ROUNDS} rounds; one thread",
        table=summarize,
        note="Peak memory of the process beyond that of the same process before the run, and CPU "
        "seconds a round: mean and half-width of the 95 % interval over three processes.",
    )


def cells() -> Iterator[dict[str, Any]]:
    """Yield the settings: memory, times to fit on, times to check, and clients one by one."""
    for m, cohort in MEMORY:
        yield from ({"kind": "memory", "m": m, "cohort": cohort, "seed": k} for k in SEEDS)
    for kind, plan in (("fit", FIT), ("check", CHECK)):
        for c, d, tau, b in plan:
            for k in SEEDS:
                yield {"kind": kind, "cohort": c, "d": d, "steps": tau, "batch": b, "seed": k}
    yield from ({"kind": "clients", "seed": k} for k in SEEDS)


def measure(kind: str, seed: int, **setting: Any) -> dict[str, Any]:
    if kind == "memory":
        return _in_a_process(seed=seed, d=D, steps=STEPS, batch=BATCH, **setting)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _client_times(seed) if kind == "clients" else rounds(seed=seed, **setting)
    finally:
        torch.set_num_threads(threads)


def rounds(
    *, cohort: int, d: int, steps: int, batch: int, seed: int, m: int = M
) -> dict[str, float]:
    """Run a few rounds of FedAvg: CPU seconds of one of them, and memory that they took, in MB."""
    model = logistic(d, 2)
    given = (fedavg(gradient(loss_of(model)), lr=LR), parameters_of(model))
    options: dict[str, Any] = {"steps": steps, "batch": batch}
    g = torch.Generator().manual_seed(seed)
    run(*given, GaussianPopulation(m=2, d=d), rounds=1, generator=g, **options)  # warm
    before, start = _memory("VmRSS"), time.process_time()
    population = GaussianPopulation(m=m, d=d, seed=seed)
    run(*given, population, rounds=ROUNDS, cohort=cohort, generator=g, **options)
    spent = (time.process_time() - start) / ROUNDS
    return {"cpu": round(spent, 5), "memory": round(_memory("VmHWM") - before, 2)}


def _memory(field: str) -> float:
    """Memory of this process in MB as Linux counts it: now (VmRSS) or at its peak (VmHWM)."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise OSError("memory is read from /proc/self/status, which only Linux has; run it there")
    found = re.search(rf"{field}:\s*(\d+) kB", status.read_text())
    assert found
    return int(found.group(1)) / 1000


def _in_a_process(**setting: Any) -> dict[str, Any]:
    code = (
        "import json, sys, torch; torch.set_num_threads(1)\n"
        "from fedlearn_book.reproductions.scale import rounds\n"
        "print(json.dumps(rounds(**json.loads(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, json.dumps(setting)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the measuring process failed for {setting}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _client_times(seed: int) -> dict[str, Any]:
    """CPU milliseconds that each client needs for its own data, sample by sample, and its size.

    The digits are dealt by a broken stick: sizes are exponential, the smallest client has one.
    """
    data, g = load("digits"), torch.Generator().manual_seed(seed)
    shares = -torch.rand(OWNERS, generator=g, dtype=torch.float64).log()
    ends = (shares.cumsum(0) / shares.sum() * (len(data.y) - OWNERS)).long() + torch.arange(OWNERS)
    sizes = torch.diff(ends + 1, prepend=torch.tensor([0]))
    parts = list(torch.randperm(int(sizes.sum()), generator=g).split(sizes.tolist()))
    clients, model = Clients.of(data.x.flatten(1), data.y, parts), logistic(64, 10)
    algorithm, w = fedavg(gradient(loss_of(model)), lr=LR), parameters_of(model)
    spent = []
    for i in range(clients.m):
        steps = EPOCHS * int(clients.n[i])
        x, y = clients.draw(torch.tensor([i]), steps=steps, batch=1, generator=g)
        start = time.process_time()
        algorithm.client(w, (x[0], y[0]))
        spent.append(round(1000 * (time.process_time() - start), 3))
    return {"n": clients.n.tolist(), "ms": spent}


def features(cohort: int, d: int, steps: int, batch: int) -> list[float]:
    """Return what the time of a round is made of.

    The round, its steps (each taken once for all clients), the clients, their steps, and the
    numbers read.

    >>> features(cohort=10, d=5, steps=2, batch=4)
    [1.0, 2.0, 10.0, 20.0, 400.0]
    """
    c = float(cohort)
    return [1.0, float(steps), c, c * steps, c * steps * batch * d]


def fitted(stored: Sequence[Mapping[str, Any]], without: int | None = None) -> list[float]:
    """Return the seconds that each of the :func:`features` costs: non-negative least squares.

    The errors are relative ones: each run is divided by the time it took. A price may be left out,
    by its number; it is zero then.
    """
    from scipy.optimize import nnls

    runs = [cell for cell in stored if cell["setting"]["kind"] == "fit"]
    X = np.array([_features_of(cell) for cell in runs])
    y = np.array([cell["result"]["cpu"] for cell in runs])
    scale = X.max(0)
    if without is not None:
        X[:, without] = 0
    prices = nnls(X / scale / y[:, None], np.ones(len(y)))[0] / scale
    return [float(price) for price in prices]


def ratios(stored: Sequence[Mapping[str, Any]], prices: Sequence[float], kind: str) -> list[float]:
    """Return measured over predicted time of every run of a kind: ``"fit"`` or ``"check"``."""
    runs = [cell for cell in stored if cell["setting"]["kind"] == kind]
    return [float(cell["result"]["cpu"] / np.dot(_features_of(cell), prices)) for cell in runs]


def _features_of(cell: Mapping[str, Any]) -> list[float]:
    setting = cell["setting"]
    return features(**{k: setting[k] for k in ("cohort", "d", "steps", "batch")})


def summarize(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row a population and cohort: memory and time."""
    rows = []
    for m, cohort in MEMORY:
        own = matching(done, kind="memory", m=m, cohort=cohort)
        pairs = [interval([r[name] for r in own]) for name in ("memory", "cpu")]
        shown = [f"{a:.{k}f} ± {b:.{k}f}" for (a, b), k in zip(pairs, (1, 3), strict=True)]
        rows.append([f"{m:,}", f"{cohort:,}", *shown])
    return {"columns": ["clients", "cohort", "memory, MB", "CPU seconds a round"], "rows": rows}
