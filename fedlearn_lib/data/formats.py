"""The two public file formats that the loaders read: idx (MNIST's) and CIFAR's binary one.

A file either has exactly the bytes that its format promises, or it is a ``ValueError``.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_IDX_TYPES: dict[int, np.dtype[Any]] = {0x08: np.dtype(np.uint8), 0x0C: np.dtype(">i4")}
_PIXELS = 3 * 32 * 32
_CLASSES = {1: (10,), 2: (20, 100)}  # labels before the pixels: CIFAR-10; CIFAR-100


def read_idx(path: Path) -> NDArray[Any]:
    """Read one idx file, gzipped or not (the content decides, not the name).

    Layout: two zero bytes, a type (8: uint8, 12: big-endian int32), the number of dimensions,
    each dimension as big-endian uint32, then the values, the last index running fastest.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "two-labels-idx1-ubyte"
    >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2]) + bytes([7, 4]))
    >>> read_idx(file)
    array([7, 4], dtype=uint8)
    """
    raw = _unpacked(path)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _IDX_TYPES or raw[3] == 0:
        raise ValueError(
            f"{path} is not an idx file of uint8 or int32: it begins with {raw[:4].hex(' ')!r}, "
            "needed is 00 00, then 08 or 0c, then the number of dimensions; get the file again"
        )
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise ValueError(f"{path} ends inside its header, after {len(raw)} bytes; get it again")
    shape, kind = struct.unpack(f">{raw[3]}I", raw[4:start]), _IDX_TYPES[raw[2]]
    expected = start + math.prod(shape) * kind.itemsize
    if len(raw) != expected:
        raise ValueError(
            f"{path} promises an array {shape} in {expected} bytes but has {len(raw)}; "
            f"it is {'truncated' if len(raw) < expected else 'not this array alone'}, get it again"
        )
    return np.frombuffer(raw, kind, offset=start).reshape(shape)


def read_cifar(path: Path, labels: int = 1) -> NDArray[np.uint8]:
    """Read a ``.bin`` file of CIFAR-10 as rows of a label and 3·32·32 pixels: [n 3073].

    With ``labels=2`` it is one of CIFAR-100: [n 3074], a coarse and a fine label in each row.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "test_batch.bin"
    >>> _ = file.write_bytes(bytes([9]) + bytes(3072))
    >>> read_cifar(file).shape
    (1, 3073)
    """
    return cifar_rows(path.read_bytes(), str(path), labels)


def read_cifar_archive(path: Path, names: list[str], labels: int = 1) -> list[NDArray[np.uint8]]:
    """Read the ``.bin`` files ``names`` out of an archive such as ``cifar-10-binary.tar.gz``."""
    rows = []
    with tarfile.open(path, "r:gz") as archive:
        for name in names:
            member = archive.extractfile(name)
            if member is None:
                raise ValueError(f"{name} in {path} is not a file; get the archive again")
            rows.append(cifar_rows(member.read(), f"{name} in {path}", labels))
    return rows


def cifar_rows(raw: bytes, where: str, labels: int = 1) -> NDArray[np.uint8]:
    """Cut the bytes of a ``.bin`` file into rows that begin with one label or two."""
    size = labels + _PIXELS
    if len(raw) == 0 or len(raw) % size:
        raise ValueError(
            f"{where} has {len(raw)} bytes, needed is a multiple of {size} (labels: {labels}, "
            "then 3·32·32 pixels a row); the file is truncated or in another format, get it again"
        )
    rows = np.frombuffer(raw, np.uint8).reshape(-1, size)
    for column, classes in enumerate(_CLASSES[labels]):
        if rows[:, column].max() >= classes:
            raise ValueError(
                f"{where} has the label {rows[:, column].max()}, needed are 0 to {classes - 1}; "
                "CIFAR-10 has one label a row and CIFAR-100 has two, a damaged file must be "
                "fetched again"
            )
    return rows


def content(rows: NDArray[np.uint8]) -> str:
    """Return a checksum of some rows that does not depend on their order.

    It is the SHA-256 of the sorted SHA-256 digests of all rows.

    >>> rows = np.arange(6, dtype=np.uint8).reshape(3, 2)
    >>> content(rows) == content(rows[::-1]) != content(rows[:2])
    True
    """
    each = sorted(hashlib.sha256(row.tobytes()).digest() for row in rows)
    return hashlib.sha256(b"".join(each)).hexdigest()


def sha256(values: NDArray[Any] | Path) -> str:
    """SHA-256 of an array's values in C order, or of a file's bytes.

    >>> sha256(np.array([1, 2], dtype=np.uint8))[:12]
    'a12871fee210'
    """
    if isinstance(values, Path):
        with values.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def _unpacked(path: Path) -> bytes:
    raw = path.read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path} is a truncated or damaged gzip file ({error}); delete it and get it again"
        ) from error
