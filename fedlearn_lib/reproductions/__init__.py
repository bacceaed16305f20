"""Runs that are longer than a chapter, and the small result files that chapters show.

``python -m fedlearn_lib.reproductions writers`` runs one and writes ``results/writers.json``.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

NAMES = ("writers",)


def read(name: str) -> dict[str, Any]:
    """Return the stored result of a reproduction.

    >>> read("writers")["seeds"]
    [0, 1, 2, 3, 4]
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {NAMES}, got {name!r}")
    result: dict[str, Any] = json.loads(
        (files(__package__) / "results" / f"{name}.json").read_text(encoding="utf-8")
    )
    return result
