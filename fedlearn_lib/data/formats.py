"""The two public file formats that the loaders read: idx (MNIST's) and CIFAR-10's binary one.

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
_CIFAR_ROW = 1 + 3 * 32 * 32


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


def read_cifar(path: Path) -> NDArray[np.uint8]:
    """Read one ``.bin`` file of CIFAR-10 as rows of a label and 3·32·32 pixels: [n 3073].

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "test_batch.bin"
    >>> _ = file.write_bytes(bytes([9]) + bytes(3072))
    >>> read_cifar(file).shape
    (1, 3073)
    """
    return cifar_rows(path.read_bytes(), str(path))


def read_cifar_archive(path: Path, names: list[str]) -> list[NDArray[np.uint8]]:
    """Read the ``.bin`` files ``names`` out of ``cifar-10-binary.tar.gz``."""
    rows = []
    with tarfile.open(path, "r:gz") as archive:
        for name in names:
            member = archive.extractfile(f"cifar-10-batches-bin/{name}")
            if member is None:
                raise ValueError(f"{name} in {path} is not a file; get the archive again")
            rows.append(cifar_rows(member.read(), f"{name} in {path}"))
    return rows


def cifar_rows(raw: bytes, where: str) -> NDArray[np.uint8]:
    """Cut the bytes of a ``.bin`` file into rows; the first byte of each is a label 0 to 9."""
    if len(raw) == 0 or len(raw) % _CIFAR_ROW:
        raise ValueError(
            f"{where} has {len(raw)} bytes, needed is a multiple of {_CIFAR_ROW} (one label and "
            "3·32·32 pixels a row); the file is truncated or in another format, get it again"
        )
    rows = np.frombuffer(raw, np.uint8).reshape(-1, _CIFAR_ROW)
    if rows[:, 0].max() > 9:
        raise ValueError(
            f"{where} has the label {rows[:, 0].max()}, needed are 0 to 9; CIFAR-100 has two "
            "labels a row and is another format, a damaged file must be fetched again"
        )
    return rows


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
