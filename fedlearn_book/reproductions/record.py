"""Run the cells of a reproduction one by one, and lose none of them when the machine stops."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from fedlearn_book.reproductions import part
from fedlearn_lib import __version__

ALIVE = 0.2  # below this accuracy a classifier of ten classes has learned nothing
TEXTS = ("title", "question", "note", "command")  # of a result file; they change no number


def run_cells(
    name: str,
    cells: Sequence[Mapping[str, Any]],
    compute: Callable[..., Mapping[str, Any]],
    *,
    table: Callable[[list[dict[str, Any]]], dict[str, Any]],
    folder: str | Path | None = None,
    constants: Mapping[str, Any] | None = None,
    **about: Any,
) -> Path:
    """Compute every cell that is not stored yet, then write ``<name>.json`` and return its path.

    Each finished cell is kept at once in ``<name>.json.part``; a run that was stopped continues
    there, under the same versions, constants and description only. A part file that belongs to
    other cells is an error.

    Parameters
    ----------
    cells : the settings, dictionaries of JSON values; ``compute(**cell)`` returns a cell's result.
    table : the finished cells -> ``{"columns": [...], "rows": [[...], ...]}``, what a page shows.
    folder : where the files go; see :func:`folder_of`.
    constants : what the results depend on beside the settings; see
        :func:`fedlearn_book.reproductions.part.constants_of`.
    about : what the result file says about itself: title, question, command.
    """
    home = folder_of(folder)
    file = home / f"{name}.json.part"
    described = {key: value for key, value in about.items() if key not in TEXTS}
    protocol = {"versions": _versions(), "about": described, "constants": constants or {}}
    done = part.resume(file, protocol)
    stray = [cell["setting"] for cell in done if cell["setting"] not in list(cells)]
    if stray:
        raise ValueError(f"{file} holds cells of another run, such as {stray[0]}; delete it")
    _begin(file, protocol, done)
    todo = [cell for cell in cells if all(old["setting"] != cell for old in done)]
    bar = tqdm(todo, desc=name, initial=len(done), total=len(cells), unit="cell")
    for cell in bar:
        bar.set_postfix_str(", ".join(str(value) for value in cell.values()))
        start = time.perf_counter()
        result = dict(compute(**cell))
        seconds = round(time.perf_counter() - start, 1)
        done.append({"setting": dict(cell), "result": result, "seconds": seconds})
        part.keep(file, protocol, done)
    ordered = [next(old for old in done if old["setting"] == cell) for cell in cells]
    path = home / f"{name}.json"
    part.write(
        path, {**about, "table": table(ordered), **_circumstances(ordered), "cells": ordered}
    )
    file.unlink(missing_ok=True)
    return path


def folder_of(folder: str | Path | None = None, *, package: Path = Path(__file__).parent) -> Path:
    """Return the folder that results go to, and make it if it is not there.

    By default the repository's own results if this package lies in a checkout of the book, and
    ``results`` where you are if it is installed: nothing is ever written beside installed code.
    """
    root = package.parents[1]
    checkout = (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir()
    home = package / "results" if checkout else Path("results")
    home = home if folder is None else Path(folder).expanduser()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(_unwritable(home, error)) from error
    return home


def _begin(file: Path, protocol: Mapping[str, Any], done: list[dict[str, Any]]) -> None:
    """Write the part file before the first cell: better now than after an hour."""
    try:
        part.keep(file, protocol, done)
    except OSError as error:
        raise OSError(_unwritable(file.parent, error)) from error


def _unwritable(folder: Path, error: OSError) -> str:
    return (
        f"results cannot be written to the folder {folder} ({error.strerror}); pass --folder and "
        "the name of a folder that is yours"
    )


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


def living(values: Sequence[float], digits: int = 2) -> str:
    """Write the interval of some accuracies; where a run learned nothing, the others' median.

    A mean over a run that died describes none of them.

    >>> living([0.98, 0.99, 0.97])
    '98.00 ± 2.48'
    >>> living([0.98, 0.1, 0.97])
    '97.50 (1 dead)'
    """
    alive = [value for value in values if value >= ALIVE]
    if len(alive) == len(values):
        return percent(values, digits)
    middle = f"{100 * median(alive):.{digits}f}" if alive else "none"
    return f"{middle} ({len(values) - len(alive)} dead)"


def _circumstances(cells: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "seeds": sorted({cell["setting"]["seed"] for cell in cells if "seed" in cell["setting"]}),
        "seconds": round(sum(cell["seconds"] for cell in cells), 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    torch_version = torch.__version__.split("+")[0]
    return {"fedlearn_lib": __version__, "torch": torch_version, "numpy": np.__version__}
