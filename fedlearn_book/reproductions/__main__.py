"""``python -m fedlearn_book.reproductions NAME [--root …] [--folder …] [--file …]``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from fedlearn_book.reproductions import (
    NAMES,
    authors,
    compared,
    distance_gain,
    family,
    flower_faults,
    goal,
    growth,
    growth_released,
    images,
    network_arrival,
    omniglot,
    optimizers,
    personal_path,
    personal_path_few,
    personal_path_people,
    pfllib,
    scale,
    small_tickets,
    split_auc,
    split_lasso,
    tickets,
    two_groups,
    writers,
)
from fedlearn_book.reproductions.record import folder_of

RUNS: dict[str, Callable[..., None]] = {
    "authors_lenet": authors.main,
    "compared": compared.main,
    "compared_beyond": compared.beyond,
    "compared_search": compared.search,
    "distance_gain": distance_gain.main,
    **{name: partial(family.main, name) for name in family.PLANS},
    "flower_faults": flower_faults.main,
    "flower_writers": flower_faults.main_writers,
    "goal": goal.main,
    "growth": growth.main,
    "growth_released": growth_released.main,
    "images": images.main,
    "network_arrival": network_arrival.main,
    "omniglot": omniglot.main,
    "omniglot_search": omniglot.search,
    **{name: partial(optimizers.main, name) for name in optimizers.PLANS},
    **{name: partial(personal_path.main, name) for name in personal_path.PLANS},
    "personal_path_few": personal_path_few.main,
    "personal_path_omniglot": personal_path_people.drawers,
    "personal_path_writers": personal_path_people.writers,
    "pfllib": pfllib.main,
    "scale": scale.main,
    "split_auc": split_auc.main,
    "split_lasso": split_lasso.main,
    **{name: partial(tickets.main, name) for name in tickets.PLANS},
    "tickets_small": small_tickets.main,
    **{name: partial(two_groups.main, name) for name in two_groups.PLANS},
    "two_groups_search": two_groups.search,
    "writers": writers.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fedlearn_book.reproductions")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--root", help="folder of the data sets; see fedlearn_lib.load")
    parser.add_argument("--folder", help="folder of the result; by default that of the book's own "
                        "results in a checkout, else results/ where you are")  # fmt: skip
    parser.add_argument("--file", help="the authors' network, for authors_lenet only")
    options = parser.parse_args()
    folder = folder_of(options.folder)
    if options.file is not None and options.name != "authors_lenet":
        parser.error(f"--file is for authors_lenet, got it for {options.name}; leave it out")
    own = {"file": options.file} if options.name == "authors_lenet" else {}
    RUNS[options.name](root=options.root, folder=folder, **own)
    print(f"wrote {folder / options.name}.json")


if __name__ == "__main__":
    main()
