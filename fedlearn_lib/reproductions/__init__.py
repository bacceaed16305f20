"""Runs that are longer than a chapter, and the small result files that chapters show.

``python -m fedlearn_lib.reproductions writers`` runs one and writes ``results/writers.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
NAMES = (
    "two_groups_cifar10",
    "two_groups_cifar10_small_step",
    "two_groups_mnist",
    "two_groups_mnist_small_step",
    "two_groups_tanh",
    "writers",
)


def read(name: str) -> dict[str, Any]:
    """Return the stored result of a reproduction.

    >>> read("writers")["seeds"]
    [0, 1, 2, 3, 4]
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {NAMES}, got {name!r}")
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"the result of {name!r} is not stored in {path.parent}; make it with "
            f"`python -m fedlearn_lib.reproductions {name}`"
        )
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result
