r"""What a split is made of: tensors by name, a matrix $D$ for them, and their penalties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fedlearn_lib._checks import check_finite
from fedlearn_lib.sparse.penalties import Penalty


def times(D: Tensor | None, w: Tensor) -> Tensor:
    """Return $Dw$ along the last axis of w, [… p] to [… q]; w itself without a D."""
    return w if D is None else (D @ w.reshape(-1, w.shape[-1]).T).T.reshape(*w.shape[:-1], len(D))


def check_leaves(w0: Any) -> dict[str, Tensor]:
    """Return the tensors by name; refuse what is no tensor of finite floats."""
    leaves: dict[str, Any] = w0 if isinstance(w0, dict) else {"": w0}
    wrong = [name for name, leaf in leaves.items() if not _is_dense(leaf)]
    if not leaves or wrong:
        raise ValueError(
            f"w0 must be a dense tensor of floats or a dict of them, got {type(w0).__name__} "
            f"{wrong}; pass torch.zeros(p, dtype=torch.float64) or parameters_of(model)"
        )
    for name, leaf in leaves.items():
        check_finite(f"w0[{name!r}]" if name else "w0", leaf)
    return leaves


def _is_dense(leaf: object) -> bool:
    if not isinstance(leaf, Tensor) or leaf.layout is not torch.strided:
        return False
    return leaf.is_floating_point() and not leaf.is_meta


def matching(D: Tensor | None, w0: Any) -> Tensor | None:
    """Return D in the type of ``w0``; refuse one of another width."""
    if D is None:
        return None
    if isinstance(w0, dict) or D.ndim != 2 or D.shape[1:] != w0.shape[-1:]:
        shape = "a dict" if isinstance(w0, dict) else tuple(w0.shape)
        raise ValueError(
            f"D must be a matrix [q p] for a tensor w0 [… p], got {tuple(D.shape)} for {shape}; "
            "leave D out for the identity"
        )
    return D.to(w0)


def penalties_by_name(
    penalty: Penalty | Mapping[str, Penalty | None], leaves: dict[str, Tensor], D: Tensor | None
) -> Mapping[str, Penalty | None]:
    """Return penalties by name; one that does not fit its tensor says so."""
    penalties = penalty if isinstance(penalty, Mapping) else dict.fromkeys(leaves, penalty)
    if penalties.keys() != leaves.keys():
        raise ValueError(
            f"penalty names {sorted(penalties)} and w0 names {sorted(leaves)} must be the same; "
            "write None for a tensor that is not split"
        )
    for name, leaf in leaves.items():
        if (one := penalties[name]) is not None:
            one.prox(torch.zeros_like(times(D, leaf)))
    return penalties
