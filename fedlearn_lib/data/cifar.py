"""CIFAR-10, the original and the variant that went through JPEG: read, check, make tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fedlearn_lib.data import known
from fedlearn_lib.data.dataset import Dataset
from fedlearn_lib.data.download import fetch
from fedlearn_lib.data.formats import read_cifar, read_cifar_archive, sha256
from fedlearn_lib.data.places import find, missing, places, same, target
from fedlearn_lib.data.shipped import scaled

ARCHIVE = "cifar-10-binary.tar.gz"
BATCHES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}


def load_cifar(part: str, root: Path | None, download: bool) -> Dataset:
    """CIFAR-10, from ``.bin`` files or the archive; ``name`` tells which variant it is."""
    where, files = places("cifar10", root), BATCHES[part]
    paths = find("cifar10", [files, [ARCHIVE]], where)
    if paths is None and download:
        paths = [fetch(ARCHIVE, known.MIRRORS["cifar10"], target(root), _check_archive)]
    if paths is None:
        raise FileNotFoundError(missing("cifar10", part, [*files, f"or {ARCHIVE}"], where))
    if paths[0].name != ARCHIVE:
        batches = [read_cifar(path) for path in paths]
        title = _variant(files, paths, batches)
    else:
        _check_archive(paths[0])
        batches, title = read_cifar_archive(paths[0], files), known.TITLE["cifar10"]
    rows = np.concatenate(batches)
    y = torch.from_numpy(rows[:, 0].astype(np.int64))
    return Dataset(scaled(rows[:, 1:]).view(-1, 3, 32, 32), y, None, title)


def _check_archive(path: Path) -> None:
    same("cifar10", ARCHIVE, path, sha256(path))


def _variant(
    files: Sequence[str], paths: Sequence[Path], batches: Sequence[NDArray[np.uint8]]
) -> str:
    """Tell which CIFAR-10 these files are; files of neither kind are refused."""
    digests = [sha256(rows) for rows in batches]
    for name in ("cifar10", "cifar10_jpeg"):
        if digests == [known.SHA256[name][file] for file in files]:
            return known.TITLE[name]
    held = "; ".join(
        f"{path.name} is {known.whose(d)}" for path, d in zip(paths, digests, strict=True)
    )
    raise ValueError(
        f"the files in {paths[0].parent} have the form of CIFAR-10 but not its content: by their "
        f"checksums, {held}. Remove them and call load with download=True, or put the original "
        f"{ARCHIVE} there in their place; data of your own in this format can be read with "
        "fedlearn_lib.data.formats.read_cifar"
    )
