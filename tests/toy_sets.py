"""Six random images that stand in for MNIST and Fashion-MNIST, and the files they come in."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedlearn_lib.data import known
from fedlearn_lib.data.formats import sha256

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
WRITERS = "qmnist-train-labels-idx2-int"
rng = np.random.default_rng(0)
DIGITS = {name: rng.integers(0, 256, (6, 28, 28), np.uint8) for name in ("mnist", "fashion_mnist")}
CLASSES = {name: rng.integers(0, 10, 6, np.uint8) for name in DIGITS}
TABLE = np.concatenate([CLASSES["mnist"], rng.integers(0, 10, 4)])[:, None] + np.arange(8) * 100


def make_known(monkeypatch: Any) -> None:
    """Make these images the content that ``load`` expects."""
    for name in DIGITS:
        monkeypatch.setitem(known.SHA256[name], IMAGES, sha256(DIGITS[name]))
        monkeypatch.setitem(known.SHA256[name], LABELS, sha256(CLASSES[name]))
    writers = sha256(TABLE[:6, 2].astype("<i4"))
    monkeypatch.setitem(known.SHA256["mnist"], WRITERS, writers)


def idx(values: NDArray[Any]) -> bytes:
    """Write an array in the idx format."""
    code, kind = (8, ">u1") if values.dtype == np.uint8 else (12, ">i4")
    head = bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(kind).tobytes()


def write(folder: Path, name: str = "mnist", packed: bool = True) -> Path:
    """Write images and labels into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, values in ((IMAGES, DIGITS[name]), (LABELS, CLASSES[name])):
        content = gzip.compress(idx(values)) if packed else idx(values)
        (folder / (file + ".gz" * packed)).write_bytes(content)
    return folder
