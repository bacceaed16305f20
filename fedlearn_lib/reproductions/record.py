"""Run the cells of a reproduction one by one, and lose none of them when the machine stops."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from fedlearn_lib import __version__
from fedlearn_lib.reproductions import RESULTS as RESULTS

INNERMOST = r"[\[{]\n[^\[\]{}]*\n\s*[\]}]"  # a list or object of plain values goes on one line


def run_cells(
    name: str,
    cells: Sequence[Mapping[str, Any]],
    compute: Callable[..., Mapping[str, Any]],
    *,
    table: Callable[[list[dict[str, Any]]], dict[str, Any]],
    folder: Path = RESULTS,
    **about: Any,
) -> Path:
    """Compute every cell that is not stored yet, then write ``<name>.json`` and return its path.

    Each finished cell is kept at once in ``<name>.json.part``; a run that was stopped continues
    there. A part file that belongs to other cells is an error.

    Parameters
    ----------
    cells : the settings, dictionaries of JSON values; ``compute(**cell)`` returns a cell's result.
    table : the finished cells -> ``{"columns": [...], "rows": [[...], ...]}``, what a page shows.
    about : what the result file says about itself: title, question, command.
    """
    part = folder / f"{name}.json.part"
    done: list[dict[str, Any]] = json.loads(part.read_text()) if part.exists() else []
    stray = [cell["setting"] for cell in done if cell["setting"] not in list(cells)]
    if stray:
        raise ValueError(f"{part.name} holds cells of another run, such as {stray[0]}; delete it")
    todo = [cell for cell in cells if all(old["setting"] != cell for old in done)]
    bar = tqdm(todo, desc=name, initial=len(done), total=len(cells), unit="cell")
    for cell in bar:
        bar.set_postfix_str(", ".join(str(value) for value in cell.values()))
        start = time.perf_counter()
        result = dict(compute(**cell))
        seconds = round(time.perf_counter() - start, 1)
        done.append({"setting": dict(cell), "result": result, "seconds": seconds})
        write(part, done)
    ordered = [next(old for old in done if old["setting"] == cell) for cell in cells]
    path = folder / f"{name}.json"
    write(path, {**about, "table": table(ordered), **_circumstances(ordered), "cells": ordered})
    part.unlink(missing_ok=True)
    return path


def matching(cells: Sequence[Mapping[str, Any]], **setting: Any) -> list[dict[str, Any]]:
    """Return the results of all cells that have these values in their setting, in their order.

    >>> cells = [{"setting": {"tau": 4, "seed": k}, "result": {"loss": k / 2}} for k in (0, 1)]
    >>> matching(cells, tau=4)
    [{'loss': 0.0}, {'loss': 0.5}]
    >>> matching(cells, tau=4, seed=1)
    [{'loss': 0.5}]
    """
    found = [dict(cell["result"]) for cell in cells if setting.items() <= cell["setting"].items()]
    if not found:
        keys = list(cells[0]["setting"]) if cells else []
        raise ValueError(f"no cell has the setting {setting}; cells are told apart by {keys}")
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half-width of its 95 % interval (Student's t).

    >>> [round(v, 3) for v in interval([1.0, 2.0, 3.0])]
    [2.0, 2.484]
    """
    from scipy import stats

    n = len(values)
    half = stats.t.ppf(0.975, n - 1) * float(np.std(values, ddof=1)) / n**0.5
    return float(np.mean(values)), float(half)


def percent(values: Sequence[float], digits: int = 2) -> str:
    """Write the interval of some shares in percent.

    >>> percent([0.5, 0.75, 0.25])
    '50.00 ± 62.10'
    """
    middle, half = interval([100 * value for value in values])
    return f"{middle:.{digits}f} ± {half:.{digits}f}"


def write(path: Path, content: Any) -> None:
    """Write JSON so that the file is whole or absent, never half."""
    scratch = path.with_name(path.name + ".new")
    text = json.dumps(content, indent=1, ensure_ascii=False)
    flat = re.sub(INNERMOST, lambda match: re.sub(r"\n\s*", " ", match.group()), text)
    scratch.write_text(flat + "\n", encoding="utf-8")
    scratch.replace(path)


def _circumstances(cells: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "seeds": sorted({cell["setting"]["seed"] for cell in cells if "seed" in cell["setting"]}),
        "seconds": round(sum(cell["seconds"] for cell in cells), 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {
            "python": platform.python_version(),
            "fedlearn_lib": __version__,
            "torch": torch.__version__.split("+")[0],
            "numpy": np.__version__,
        },
    }
