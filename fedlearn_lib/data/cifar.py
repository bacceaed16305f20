"""CIFAR-10 and CIFAR-100, the originals and copies that went through JPEG: read, check, convert."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fedlearn_lib.data import known
from fedlearn_lib.data.dataset import Dataset
from fedlearn_lib.data.download import fetch
from fedlearn_lib.data.formats import content, read_cifar, read_cifar_archive, sha256
from fedlearn_lib.data.places import FOLDERS, find, missing, places, same, target
from fedlearn_lib.data.shipped import scaled

Rows = NDArray[np.uint8]


class Form(NamedTuple):
    """How a set is distributed: its archive, the files of each part, labels before the pixels."""

    archive: str
    files: dict[str, list[str]]
    labels: int


FORMS = {
    "cifar10": Form(
        "cifar-10-binary.tar.gz",
        {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]},
        1,
    ),
    "cifar100": Form(
        "cifar-100-binary.tar.gz", {"train": ["train.bin"], "test": ["test.bin"]}, 2
    ),
}  # fmt: skip


def load_cifar(name: str, part: str, root: Path | None, download: bool) -> Dataset:
    """Either set, from ``.bin`` files or the archive; of CIFAR-100's two labels the fine one.

    ``Dataset.name`` tells which variant it is.
    """
    where, form = places(name, root), FORMS[name]
    files, archive = form.files[part], form.archive
    paths = find(name, [files, [archive]], where)
    if paths is None and download:
        paths = [fetch(archive, known.MIRRORS[name], target(root), lambda p: _check(name, p))]
    if paths is None:
        raise FileNotFoundError(missing(name, part, [*files, f"or {archive}"], where))
    if paths[0].name != archive:
        batches = [read_cifar(path, form.labels) for path in paths]
        title = _variant(name, part, paths, batches)
    else:
        _check(name, paths[0])
        inside = [f"{FOLDERS[name][0]}/{file}" for file in files]
        batches = read_cifar_archive(paths[0], inside, form.labels)
        title = known.TITLE[name]
    rows = np.concatenate(batches)
    y = torch.from_numpy(rows[:, form.labels - 1].astype(np.int64))
    return Dataset(scaled(rows[:, form.labels :]).view(-1, 3, 32, 32), y, None, title)


def _check(name: str, archive: Path) -> None:
    same(name, FORMS[name].archive, archive, sha256(archive))


def _variant(name: str, part: str, paths: list[Path], batches: list[Rows]) -> str:
    """Tell which variant these files are, whatever the order of the images; refuse any other."""
    form = FORMS[name]
    digests = [sha256(rows) for rows in batches]
    variants = (name, f"{name}_jpeg")
    for variant in variants:
        if digests == [known.SHA256.get(variant, {}).get(file) for file in form.files[part]]:
            return known.TITLE[variant]
    images = content(np.concatenate(batches)[:, form.labels - 1 :])
    for variant in variants:
        if images == known.CONTENT.get(variant, {}).get(part):
            return known.TITLE[variant]
    held = "; ".join(
        f"{path.name} is {known.whose(d)}" for path, d in zip(paths, digests, strict=True)
    )
    raise ValueError(
        f"the files in {paths[0].parent} have the form of {known.TITLE[name]} but not its content, "
        f"in whatever order: by their checksums, {held}. Remove them and call load with "
        f"download=True, or put the original {form.archive} there in their place; data of your own "
        "in this format can be read with fedlearn_lib.data.formats.read_cifar"
    )
