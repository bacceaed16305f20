"""MNIST, with the writers of its images, and Fashion-MNIST: read, check, make tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedlearn_lib.data import known
from fedlearn_lib.data.dataset import Dataset
from fedlearn_lib.data.download import fetch
from fedlearn_lib.data.formats import read_idx, sha256
from fedlearn_lib.data.places import FOLDERS, find, missing, places, same, target
from fedlearn_lib.data.shipped import scaled


def load_idx(name: str, part: str, root: Path | None, download: bool) -> Dataset:
    """MNIST or Fashion-MNIST; ``client`` is the writer where QMNIST's table is found."""
    where, prefix = places(name, root), "train" if part == "train" else "t10k"
    files = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
    paths = find(name, [files], where)
    if paths is None and download:
        paths = [_fetch_idx(name, file, root) for file in files]
    if paths is None:
        raise FileNotFoundError(missing(name, part, files, where))
    images, labels = (_read(name, *pair) for pair in zip(files, paths, strict=True))
    writer = _find_writers(part, labels, root, download) if name == "mnist" else None
    y = torch.from_numpy(labels.astype(np.int64))
    return Dataset(scaled(images), y, writer, known.TITLE[name])


def _read(name: str, file: str, path: Path) -> NDArray[Any]:
    """Read an idx file that must be exactly ``file`` of the data set ``name``."""
    values = read_idx(path)
    same(name, file, path, sha256(values))
    inner = (28, 28) if "images" in file else ()
    if values.shape[1:] != inner:
        raise ValueError(f"{path} has shape {values.shape}, needed is (N, *{inner}); get it again")
    return values


def _fetch_idx(name: str, file: str, root: Path | None) -> Path:
    folder, mirrors = target(root) / FOLDERS[name][0], known.MIRRORS[name]
    return fetch(f"{file}.gz", mirrors, folder, lambda path: _read(name, file, path))


def _find_writers(
    part: str, labels: NDArray[Any], root: Path | None, download: bool
) -> Tensor | None:
    """Who wrote each image, from QMNIST's table, or None where there is no table."""
    file = f"qmnist-{part}-labels-idx2-int"
    found = find("mnist", [[file]], places("mnist", root))
    if found is None and not download:
        return None
    if found is None:
        folder, mirrors = target(root) / FOLDERS["mnist"][0], known.MIRRORS["qmnist"]
        path = fetch(f"{file}.gz", mirrors, folder, lambda p: _read_writers(file, labels, p))
    else:
        path = found[0]
    return torch.from_numpy(_read_writers(file, labels, path))


def _read_writers(file: str, labels: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """Column 2 of the rows that are MNIST's: the first 10,000 of the 60,000 of the test table."""
    table = read_idx(path)
    if table.ndim != 2 or table.shape[0] < len(labels) or table.shape[1] < 3:
        raise ValueError(
            f"{path} has shape {table.shape}, needed is QMNIST's table with at least "
            f"{len(labels)} rows and 3 columns; remove it or get it again"
        )
    rows = table[: len(labels)]
    differ = int((rows[:, 0] != labels).sum())
    if differ:
        raise ValueError(
            f"{path} gives {differ} of the {len(labels)} images another digit than MNIST's labels "
            "do, so its rows are not these images; remove it or get it again"
        )
    same("mnist", file, path, sha256(rows[:, 2].astype("<i4")))
    return rows[:, 2].astype(np.int64)
