"""How much the book holds, counted by the build from what is there."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import NamedTuple

from portable.catalog import Cell, read_cells, read_results

RESULTS = "fedlearn_book/reproductions/results"


class Counts(NamedTuple):
    """What the first page says about the book."""

    chapters: int
    results: int  # with a proof in their chapter
    tests: int  # functions; many are run with several values
    figures: int  # in chapters
    minutes: int  # of runs whose results are stored


def counts(root: Path, chapters: list[str]) -> Counts:
    """Count what the chapters (as Sphinx names them) and the tests of the repository hold."""
    proved = [result for result in read_results(root, chapters) if result.proved]
    cells = [cell for name in chapters for cell in read_cells(root / f"{name}.ipynb")]
    records = [json.loads(path.read_text("utf-8")) for path in (root / RESULTS).glob("*.json")]
    seconds = sum(record["seconds"] for record in records)
    figures = sum(map(is_interactive, cells))
    return Counts(len(chapters), len(proved), count_tests(root), figures, round(seconds / 60))


def is_interactive(cell: Cell) -> bool:
    """Say whether a code cell shows a figure that the reader can move."""
    shown = [output.get("data", {}).get("text/html", "") for output in cell.get("outputs", [])]
    return any('class="fl-figure' in "".join(html) for html in shown)


def count_tests(root: Path) -> int:
    """Count the test functions."""
    found = 0
    for path in (root / "tests").glob("**/test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += sum(
            isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            for node in ast.walk(tree)
        )
    return found
