"""What clients are made of, a pool of samples, row numbers and weights, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib._shapes import shown

Batch = tuple[Tensor, Tensor]
Array = Tensor | np.ndarray


def pool_of(X: Array, y: Array) -> Batch:
    """Return the pool as tensors, whole numbers in y as int64; refuse NaN and misalignment."""
    for name, value in {"X": X, "y": y}.items():
        if value.ndim == 0:
            raise ValueError(f"{name} must have one row a sample, got no axis; use {name}[None]")
    X, y = torch.as_tensor(X), torch.as_tensor(y)
    if len(X) != len(y):
        raise ValueError(
            f"X and y must have one row a sample, got {len(X)} and {len(y)} rows; align them"
        )
    for name, value in {"X": X, "y": y}.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{name} holds NaN or infinite values; fill or drop them before making clients"
            )
    whole = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
    return X, y.long() if whole else y


def rows_of(parts: Sequence[Array | Sequence[int]]) -> list[Tensor]:
    """Return the row numbers of every client; refuse what are none."""
    index: list[Tensor] = []
    for i, part in enumerate(parts):
        try:
            rows = torch.as_tensor(part)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"parts must be flat lists of row numbers, got {shown(part)} for client {i}; pass "
                "integers"
            ) from error
        if not (holds_counts(rows) or rows.shape == (0,)):
            raise ValueError(
                f"parts must be flat lists of row numbers, got {shown(rows)} for client {i}; a "
                "mask becomes row numbers with mask.nonzero().flatten()"
            )
        index.append(rows.cpu().long())
    return index


def holds_counts(n: Tensor) -> bool:
    """Whether these are whole numbers along one axis, whose values can be looked at."""
    seen = n.ndim == 1 and n.layout is torch.strided and not n.is_meta
    return seen and not (n.is_floating_point() or n.is_complex() or n.dtype == torch.bool)


def listed(n: Tensor) -> str:
    return shown(n) if n.is_meta else f"{n.tolist()} ({n.dtype})"


def check_client(i: int, m: int) -> None:
    if not 0 <= i < m:
        raise ValueError(f"i must be a client's number from 0 to {m - 1}, got {i}; correct i")


def check_parts(parts: list[Tensor], rows: int) -> None:
    empty = [i for i, part in enumerate(parts) if len(part) == 0]
    if not parts or empty:
        raise ValueError(
            f"parts must give every client at least one sample, got {len(parts)} parts of which "
            f"{empty[:10]} are empty; drop these clients or partition again with another seed"
        )
    low, high = min(int(part.min()) for part in parts), max(int(part.max()) for part in parts)
    if low < 0 or high >= rows:
        raise ValueError(
            f"parts must hold row numbers from 0 to {rows - 1}, got {low} to {high}; "
            "partition the labels of this same pool"
        )


def check_shares(p: Tensor, m: int) -> None:
    unseen = p.is_complex() or p.is_meta
    if p.shape != (m,) or unseen or not bool(torch.isfinite(p).all()):
        raise ValueError(
            f"p must hold one finite weight for each of the {m} clients or parts, got {shown(p)}; "
            f"pass {m} numbers or None for n_i / n"
        )
    if bool((p < 0).any()) or float(p.sum()) <= 0:
        raise ValueError(
            f"p must be non-negative with a positive sum, got {p.tolist()[:10]}; "
            "weights are shares of the objective f = sum p_i f_i"
        )


def check_weights(p: Tensor, m: int) -> None:
    """Refuse what are no weights with the sum one."""
    check_shares(p, m)
    total = float(p.sum(dtype=torch.float64))
    if abs(total - 1) > 1e-5:
        raise ValueError(f"p must have the sum 1, got {total:.6g}; divide it by its sum")
