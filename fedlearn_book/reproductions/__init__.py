"""Runs that are longer than a chapter, and the small result files that chapters show.

``python -m fedlearn_book.reproductions writers`` runs one and writes ``writers.json``: into
``results`` beside this file in a checkout of the book, else into ``results`` where you are, or
into the folder that ``--folder`` names. :func:`read` reads what is stored here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
NAMES = (
    "authors_lenet",
    "compared",
    "compared_beyond",
    "compared_search",
    "distance_gain",
    "family",
    "family_cifar10",
    "family_cifar10_long",
    "family_cifar100",
    "family_tiny",
    "flower_faults",
    "flower_writers",
    "goal",
    "growth",
    "growth_released",
    "images",
    "lenet_mnist",
    "network_arrival",
    "omniglot",
    "omniglot_search",
    "personal_path_corrupted",
    "personal_path_corrupted_linear",
    "personal_path_few",
    "personal_path_hospitals",
    "personal_path_images",
    "personal_path_linear",
    "personal_path_omniglot",
    "personal_path_swaps",
    "personal_path_writers",
    "pfllib",
    "resnet_cifar10",
    "scale",
    "split_auc",
    "split_lasso",
    "tickets_cifar10",
    "tickets_fashion",
    "tickets_mnist",
    "tickets_small",
    "two_groups_cifar10",
    "two_groups_cifar100",
    "two_groups_cifar10_small_step",
    "two_groups_mnist",
    "two_groups_mnist_small_step",
    "two_groups_search",
    "two_groups_tanh",
    "writers",
)


def read(name: str, folder: str | Path = RESULTS) -> dict[str, Any]:
    """Return the stored result of a reproduction: the book's own, or yours in a ``folder``.

    >>> read("writers")["seeds"]
    [0, 1, 2, 3, 4]
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {NAMES}, got {name!r}")
    path = Path(folder) / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"the result of {name!r} is not stored in {path.parent}; make it with "
            f"`python -m fedlearn_book.reproductions {name} --folder {path.parent}`"
        )
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def as_markdown(name: str) -> str:
    """Return a stored result as Markdown: its table, and a line that says where it comes from.

    >>> print(as_markdown("writers").splitlines()[-1][-60:])
    46 minutes, `python -m fedlearn_book.reproductions writers`.
    """
    record = read(name)
    seeds = ", ".join(map(str, record["seeds"]))
    facts = [record["setting"], f"seeds {seeds}", f"{record['seconds'] / 60:.0f} minutes"]
    return f"{table(record['table'])}\n\n{'; '.join(facts)}, `{record['command']}`."


def table(content: dict[str, Any]) -> str:
    """Write columns and rows as a Markdown table.

    >>> print(table({"columns": ["a", "b"], "rows": [[1, 0.25]]}))
    | a | b |
    |---|---|
    | 1 | 0.25 |
    """
    lines = [content["columns"], *content["rows"]]
    cells = [[_cell(value) for value in line] for line in lines]
    head, *body = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([head, "|" + "---|" * len(content["columns"]), *body])


def _cell(value: Any) -> str:
    """Write one cell: a number keeps its interval or percent sign beside it, a bar is a bar."""
    text = str(value).replace("|", "\\|").replace(" %", "\N{NO-BREAK SPACE}%")
    return text.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")
