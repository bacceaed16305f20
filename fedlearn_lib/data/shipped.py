"""The data sets that need no network: two in the package, one in scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedlearn_lib.data.dataset import Dataset
from fedlearn_lib.data.known import TITLE
from fedlearn_lib.data.optional import need

HOSPITALS = ("Cleveland", "Hungary", "Switzerland", "VA Long Beach")
HEART_COLUMNS = (
    *("age", "trestbps", "thalach", "oldpeak", "sex", "exang"),
    *("cp=typical", "cp=atypical", "cp=non-anginal", "cp=asymptomatic"),
    *("restecg=normal", "restecg=ST-T", "restecg=hypertrophy"),
)


def digits() -> Dataset:
    """scikit-learn's 8×8 digits: x [1797 64] in [0, 1], y [1797]."""
    bunch = need("sklearn.datasets", package="scikit-learn", what='load("digits")').load_digits()
    x = torch.from_numpy(bunch.data.astype(np.float32)) / 16
    return Dataset(x, torch.from_numpy(bunch.target.astype(np.int64)), None, TITLE["digits"])


def mnist_mini() -> Dataset:
    """First 500 MNIST training images of each class: x [5000 28 28] in [0, 1], y [5000]."""
    with (files(__package__) / "files" / "mnist_mini.npz").open("rb") as file:
        arrays = np.load(file)
        images, labels = arrays["images"], arrays["labels"]
    y = torch.from_numpy(labels.astype(np.int64))
    return Dataset(scaled(images), y, None, TITLE["mnist_mini"])


def heart_disease() -> Dataset:
    r"""Patients of four hospitals: x [920 13], y [920], client [920].

    Columns of x are ``HEART_COLUMNS``; y is 1 where a vessel is narrowed by more than half
    (``num > 0``); client numbers ``HOSPITALS``. A gap in a measured column (age, trestbps,
    thalach, oldpeak) takes the median of the 920 rows, a gap in a coded one (sex, exang, cp,
    restecg) the most frequent code; then the measured columns are standardized over all rows
    and cp and restecg become indicators. A blood pressure of 0 is a gap.

    Collected by Andras Janosi (Budapest), William Steinbrunn (Zurich), Matthias Pfisterer
    (Basel) and Robert Detrano (Long Beach and Cleveland); UCI repository, 1989, CC BY 4.0.

    >>> x, y, client, _ = heart_disease()
    >>> [round(float(y[client == i].float().mean()), 2) for i in range(4)]
    [0.46, 0.36, 0.93, 0.75]
    """
    table = _heart_table()
    measured = np.stack([_filled(table[c], np.median) for c in HEART_COLUMNS[:4]], axis=1)
    coded = {c: _filled(table[c], _most_frequent) for c in ("sex", "exang", "cp", "restecg")}
    blocks = [
        (measured - measured.mean(0)) / measured.std(0),
        np.stack([coded["sex"], coded["exang"]], axis=1),
        coded["cp"][:, None] == np.arange(1, 5),
        coded["restecg"][:, None] == np.arange(3),
    ]
    x = torch.from_numpy(np.concatenate(blocks, axis=1).astype(np.float32))
    y, client = (table["num"] > 0).astype(np.int64), table["hospital"].astype(np.int64)
    return Dataset(x, torch.from_numpy(y), torch.from_numpy(client), TITLE["heart_disease"])


def scaled(pixels: NDArray[np.uint8]) -> Tensor:
    """Turn bytes 0 to 255 into float32 in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float32)).div_(255)


def _heart_table() -> NDArray[np.void]:
    """The shipped table as it is, gaps as NaN: a structured array of 920 rows."""
    with (files(__package__) / "files" / "heart_disease.csv").open("r", encoding="utf-8") as file:
        table: NDArray[np.void] = np.genfromtxt(file, delimiter=",", names=True)
    table["trestbps"][table["trestbps"] == 0] = np.nan
    return table


def _filled(
    column: NDArray[np.float64], value: Callable[[NDArray[np.float64]], float]
) -> NDArray[np.float64]:
    present = column[~np.isnan(column)]
    return np.where(np.isnan(column), value(present), column)


def _most_frequent(codes: NDArray[np.float64]) -> float:
    values, counts = np.unique(codes, return_counts=True)
    return float(values[counts.argmax()])
