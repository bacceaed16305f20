"""``python -m fedlearn_lib.reproductions NAME [--root FOLDER]``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from fedlearn_lib.reproductions import (
    NAMES,
    compared,
    distance_gain,
    growth,
    images,
    optimizers,
    split_auc,
    tickets,
    two_groups,
    writers,
)

RUNS: dict[str, Callable[..., None]] = {
    "compared": compared.main,
    "distance_gain": distance_gain.main,
    "growth": growth.main,
    "images": images.main,
    **{name: partial(optimizers.main, name) for name in optimizers.PLANS},
    "split_auc": split_auc.main,
    **{name: partial(tickets.main, name) for name in tickets.PLANS},
    **{name: partial(two_groups.main, name) for name in two_groups.PLANS},
    "two_groups_search": two_groups.search,
    "writers": writers.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fedlearn_lib.reproductions")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--root", help="folder of the data sets; see fedlearn_lib.load")
    options = parser.parse_args()
    RUNS[options.name](root=options.root)


if __name__ == "__main__":
    main()
