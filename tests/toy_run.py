"""A reproduction of a few short cells, as a program that a test can kill.

``python toy_run.py FOLDER SECONDS``: the seconds that a cell takes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from fedlearn_book.reproductions.record import run_cells

CELLS = [{"x": x, "seed": seed} for x in (1, 2, 3, 4) for seed in (0, 1, 2)]


def table(done: list[dict]) -> dict:
    return {"columns": ["sum"], "rows": [[sum(cell["result"]["y"] for cell in done)]]}


def run(folder: Path, seconds: float = 0.0, y: float = 10.0, **options: object) -> Path:
    def compute(x: int, seed: int) -> dict:
        print("cell", x, seed, flush=True)
        time.sleep(seconds)
        return {"y": y * x + seed, "list": [x / 3, seed / 7]}

    about = {"title": "t", "question": "q", "command": "c", "setting": "two lines"} | options
    return run_cells("toy", CELLS, compute, table=table, folder=folder, **about)


if __name__ == "__main__":
    run(Path(sys.argv[1]), float(sys.argv[2]))
