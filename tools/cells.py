"""Cells of a notebook as they stand in its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def source(cell: Cell) -> str:
    """Return what stands in a cell.

    >>> source({"source": ["one line\\n", "and another"]})
    'one line\\nand another'
    """
    return "".join(cell["source"])


def tags(cell: Cell) -> list[str]:
    found: list[str] = cell["metadata"].get("tags", [])
    return found


def markdown(identity: str, text: str, *marks: str) -> Cell:
    """Make a cell of words with an id of its own.

    >>> markdown("note-1", "Ask first.", "teacher")
    {'cell_type': 'markdown', 'id': 'note-1', 'metadata': {'tags': ['teacher']},
     'source': 'Ask first.'}
    """
    metadata = {"tags": list(marks)} if marks else {}
    return {"cell_type": "markdown", "id": identity, "metadata": metadata, "source": text}
