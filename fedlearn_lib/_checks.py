"""What an argument must be: every ``check_`` raises ``ValueError`` or does nothing.

The message says what was given, what is needed, and what to do.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

SYSCONF = hasattr(os, "sysconf")  # not on Windows


def check_integers(least: int = 1, **values: object) -> None:
    """Refuse what is no whole number of at least ``least``; ``None`` passes."""
    for name, value in values.items():
        if value is not None and (not is_integer(value) or value < least):
            raise ValueError(
                f"{name} must be an integer of at least {least}, got {value!r}; correct {name}"
            )


def check_positive(**values: object) -> None:
    """Refuse what is no number in (0, ∞)."""
    for name, value in values.items():
        if not is_number(value) or not 0 < value < math.inf:
            raise ValueError(
                f"{name} must be a positive finite number, got {value!r}; correct {name}"
            )


def check_nonnegative(**values: object) -> None:
    """Refuse what is no number in [0, ∞)."""
    for name, value in values.items():
        if not is_number(value) or not 0 <= value < math.inf:
            raise ValueError(
                f"{name} must be a finite number of at least 0, got {value!r}; correct {name}"
            )


def check_choice(name: str, value: object, options: Sequence[object]) -> None:
    if not any(value is option or (type(value) is type(option) and value == option)
               for option in options):  # fmt: skip
        raise ValueError(f"{name} must be one of {tuple(options)}, got {value!r}; choose one")


def check_tensors(ndim: int | None = None, **values: object) -> None:
    """Refuse what is no tensor, or has another number of axes."""
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{name} must be a tensor, got {type(value).__name__}; use torch.as_tensor"
            )
        if ndim is not None and value.ndim != ndim:
            raise ValueError(
                f"{name} must have {ndim} {'axis' if ndim == 1 else 'axes'}, got the shape "
                f"{tuple(value.shape)}; reshape it"
            )


def is_number(value: object) -> TypeGuard[float]:
    """Whether this is one real number; a tensor is none, and True is a mistake."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_draw(ids: Tensor, m: int, *, steps: int, draws: int, batch: int | None) -> None:
    """Refuse a request for batches that no population of m clients can serve."""
    check_integers(steps=steps, draws=draws, batch=batch)
    check_ids(ids, m)


def check_ids(ids: Tensor, m: int) -> None:
    """Refuse what are not numbers of some of m clients, [c]."""
    whole = not (ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool)
    if ids.ndim != 1 or not whole or not len(ids) or int(ids.min()) < 0 or int(ids.max()) >= m:
        raise ValueError(
            f"ids must be numbers of clients from 0 to {m - 1}, [c], got {ids.tolist()!s:.60} "
            f"({ids.dtype}); sample_cohort draws such numbers"
        )


def check_equal_sizes(sizes: Tensor) -> None:
    """Refuse ``batch=None`` for clients of different sizes."""
    if int(sizes.min()) != int(sizes.max()):
        raise ValueError(
            "batch=None uses every sample and needs clients of equal size, got sizes from "
            f"{int(sizes.min())} to {int(sizes.max())}; pass a batch size"
        )


def check_how(how: str, options: Sequence[str] = ("vmap", "loop")) -> None:
    if how not in options:
        names = " or ".join(f'"{name}"' for name in options)
        raise ValueError(f'how must be {names}, got {how!r}; "vmap" is the default')


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
    seen = {key: value for key, value in w.items() if not value.is_meta}  # meta has no values
    bad = [key for key, value in seen.items() if not bool(torch.isfinite(value).all())]
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


@contextmanager
def naming_the_loop() -> Iterator[None]:
    """Add to an error under ``torch.vmap`` that the loop over clients does without it."""
    try:
        yield
    except RuntimeError as error:
        error.add_note(
            'This happened under how="vmap". If torch.vmap cannot do what a function of yours asks '
            'for (.item(), one_hot, an if on a tensor), how="loop" runs it client by client.'
        )
        raise


def check_scalar(name: str, value: object) -> None:
    """Refuse what is no single number that autograd could take the gradient of."""
    if not isinstance(value, Tensor) or value.ndim != 0 or not value.is_floating_point():
        shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must return a scalar tensor, got {shape}; take the mean or sum")


def check_columns(name: str, columns: Iterable[object], p: int, least: int = 0) -> list[int]:
    """Return column numbers as integers; refuse what are not ``least`` different ones below p."""
    given = columns.tolist() if isinstance(columns, Tensor | np.ndarray) else list(columns)
    chosen = [int(j) for j in given if is_integer(j) and 0 <= j < p]
    if len(set(chosen)) < max(len(given), least):
        raise ValueError(
            f"{name} must be different columns from 0 to {p - 1}, got {given[:10]}; "
            "pass their numbers"
        )
    return chosen


def check_slope(slope: object, w: Tensor, name: str = "") -> None:
    """Refuse what a ``gradient`` returned if it has not the shape of w."""
    if not isinstance(slope, Tensor) or slope.shape != w.shape:
        got = list(slope.shape) if isinstance(slope, Tensor) else type(slope).__name__
        raise ValueError(
            f"gradient must return a tensor of shape {list(w.shape)}{name and f' for {name!r}'}, "
            f"got {got}; it is the gradient with respect to its argument"
        )


def check_mask(name: str, mask: object, size: int, each: str) -> Tensor:
    """Return a mask as a tensor; refuse what is not one truth value for ``each`` of ``size``."""
    found = torch.as_tensor(mask)
    if found.shape != (size,) or found.dtype != torch.bool or found.is_sparse or found.is_meta:
        raise ValueError(
            f"{name} must be a mask of {size} entries, one for {each}, got "
            f"{tuple(found.shape)} of {found.dtype} on {found.device}, {found.layout}"
        )
    return found


def check_parameters(name: str, w: dict[str, Tensor], model: nn.Module) -> None:
    """Refuse parameters that are not those of the model by name and shape, or hold no floats."""
    needed = {key: tuple(value.shape) for key, value in model.named_parameters()}
    given = {key: tuple(value.shape) for key, value in w.items() if value.is_floating_point()}
    if needed != given:
        wrong = sorted({*needed.items()} ^ {*given.items()})
        raise ValueError(
            f"{name} must hold floats under the names and in the shapes of the model's parameters, "
            f"got differences in {wrong[:6]}; start from parameters_of(model)"
        )


def check_unmarked(w0: Iterable[str], *marks: str) -> None:
    """Refuse names of parameters that begin with a mark of what travels beside the model."""
    if marked := sorted(k for k in w0 if k.startswith(marks)):
        raise ValueError(
            f"w0 must have no names that begin with {' or '.join(map(repr, marks))}, which mark "
            f"what travels or is kept beside the model, got {marked}; rename these parts of the "
            "model"
        )


def check_floats(name: str, w: dict[str, Tensor]) -> None:
    wrong = {key: value.dtype for key, value in w.items() if not value.is_floating_point()}
    if wrong:
        raise ValueError(f"{name} must hold real floats, got {wrong}; use .float() or .double()")


def check_memory(numbers: int, **counts: object) -> None:
    """Refuse counts that ask at once for more numbers than this machine's memory holds."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if SYSCONF else 2**40
    if 4 * numbers > memory:
        asked = ", ".join(f"{name}={value!r}" for name, value in counts.items())
        raise ValueError(
            f"{asked} would need {4 * numbers / 2**30:.3g} GiB at once, and this machine has "
            f"{memory / 2**30:.3g}; lower {' or '.join(counts)}"
        )
