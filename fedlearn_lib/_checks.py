"""What an argument must be: every function here raises ``ValueError`` or does nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def check_integers(least: int = 1, **values: int | None) -> None:
    for name, value in values.items():
        if value is not None and (not isinstance(value, int) or value < least):
            raise ValueError(
                f"{name} must be an integer of at least {least}, got {value!r}; correct {name}"
            )


def check_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a positive number, got {value!r}; correct {name}")


def check_regression(X: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return X [n p] and y [n] in float64; refuse other shapes."""
    X, y = (torch.as_tensor(a).detach().to(torch.float64) for a in (X, y))
    if X.ndim != 2 or y.shape != X.shape[:1] or X.numel() == 0:
        raise ValueError(
            f"X must be [n p] and y [n], got {list(X.shape)} and {list(y.shape)}; "
            "transpose X, or flatten y"
        )
    return X, y


def check_draw(ids: Tensor, m: int, *, steps: int, draws: int, batch: int | None) -> None:
    """Refuse a request for batches that no population of m clients can serve."""
    check_integers(steps=steps, draws=draws, batch=batch)
    if len(ids) == 0 or int(ids.min()) < 0 or int(ids.max()) >= m:
        raise ValueError(
            f"ids must be numbers of clients from 0 to {m - 1}, got {ids.tolist()[:10]}; "
            "sample_cohort draws such numbers"
        )


def check_equal_sizes(sizes: Tensor) -> None:
    """Refuse ``batch=None`` for clients of different sizes."""
    if int(sizes.min()) != int(sizes.max()):
        raise ValueError(
            "batch=None uses every sample and needs clients of equal size, got sizes from "
            f"{int(sizes.min())} to {int(sizes.max())}; pass a batch size"
        )


def check_how(how: str) -> None:
    if how not in ("vmap", "loop"):
        raise ValueError(f'how must be "vmap" or "loop", got {how!r}; "vmap" is the default')


def check_generator(generator: object) -> None:
    if not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator must be a torch.Generator, got {generator!r}; "
            "pass torch.Generator().manual_seed(0)"
        )


def check_model(name: str, w: object, *, finite: bool = True) -> None:
    if not isinstance(w, dict) or not w or not all(isinstance(v, Tensor) for v in w.values()):
        raise ValueError(
            f"{name} must be a non-empty dict of tensors, got {type(w).__name__}; "
            "pass parameters_of(model)"
        )
    bad = [key for key, value in w.items() if not bool(torch.isfinite(value).all())]
    if finite and bad:
        raise ValueError(
            f"{name} must be finite, got NaN or infinity in {bad[:5]}; start from fresh parameters"
        )


def check_finite(name: str, value: Tensor) -> None:
    if not bool(torch.isfinite(value).all()):
        raise ValueError(
            f"{name} must be finite, got {int((~torch.isfinite(value)).sum())} NaN or infinite "
            "entries; compute it again without them"
        )
