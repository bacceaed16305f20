"""``python -m fedlearn_lib.reproductions NAME [--root FOLDER]``."""

from __future__ import annotations

import argparse

from fedlearn_lib.reproductions import NAMES, writers


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fedlearn_lib.reproductions")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--root", help="folder of the data sets; see fedlearn_lib.load")
    options = parser.parse_args()
    {"writers": writers.main}[options.name](root=options.root)


if __name__ == "__main__":
    main()
