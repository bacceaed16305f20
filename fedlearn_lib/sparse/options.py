"""The options of a parameter group of SplitLBI, and what does not fit them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fedlearn_lib._checks import check_choice, check_nonnegative, check_positive
from fedlearn_lib._shapes import shown

PENALTIES = ("l1", "group", None)
FORMS = ("coupled", "loss")
LARGEST = torch.finfo(torch.float32).max
#: What a group has where nobody says otherwise; a state stored before an option was added has them.
DEFAULTS: dict[str, Any] = {
    "kappa": 1.0, "nu": 10.0, "penalty": "l1", "scaled": False, "momentum": 0.0,
    "momentum_on": "coupled", "weight_decay": 0.0,
}  # fmt: skip


def check_options(given: dict[str, Any]) -> None:
    """Refuse options out of range; what is not given has its default."""
    options = {"lr": 0.0, **DEFAULTS, **given}
    check_choice("penalty", options["penalty"], PENALTIES)
    check_choice("scaled", options["scaled"], (True, False))
    check_choice("momentum_on", options["momentum_on"], FORMS)
    check_positive(kappa=options["kappa"], nu=options["nu"])
    lr = options["lr"]  # a tensor, as in torch.optim: a compiled step is not compiled again for it
    lr = lr.item() if isinstance(lr, Tensor) and lr.numel() == 1 else lr
    check_nonnegative(lr=lr)
    check_nonnegative(weight_decay=options["weight_decay"], momentum=options["momentum"])
    longest = lr * max(1.0, options["kappa"]) * max(1.0, 1 / options["nu"], options["weight_decay"])
    if longest > LARGEST:
        raise ValueError(
            f"lr={lr:.3g}, kappa={options['kappa']:.3g}, nu={options['nu']:.3g} and weight_decay="
            f"{options['weight_decay']:.3g} make a step of {longest:.3g}, more than float32 holds; "
            "raise nu, or lower the others"
        )
    if options["momentum"] >= 1:
        raise ValueError(f"momentum must be in [0, 1), got {options['momentum']!r}; try 0.9")


def check_changed(group: dict[str, Any]) -> None:
    """Refuse options that somebody has set out of range since the group was made."""
    fine = group["kappa"] > 0 and group["nu"] > 0 and 0 <= group["momentum"] < 1
    fine = fine and group["weight_decay"] >= 0 and group["penalty"] in PENALTIES
    lr = group["lr"]  # a look into a tensor would break a compiled step in two
    if not (fine and (isinstance(lr, Tensor) or 0 <= lr <= LARGEST)):
        check_options(group)


def check_fit(name: str, p: Tensor, penalty: str | None) -> None:
    """Refuse a parameter that no step, or not this penalty, can move."""
    if not p.is_floating_point():
        raise ValueError(f"{name!r} must hold real floats, got {p.dtype}; leave it out")
    if penalty == "group" and (p.ndim < 2 or p.numel() == 0):
        raise ValueError(
            f'penalty="group" needs two or more dimensions, one group a row, got {name!r} of '
            f'shape {tuple(p.shape)}; put it in a group with penalty="l1" or None'
        )


def check_lists(needed: dict[str, bool], **lists: Sequence[Tensor | None]) -> None:
    """Refuse lists that do not match the first; ``None`` may stand where nothing is needed."""
    first, model = next(iter(lists.items()))
    for name, tensors in lists.items():
        if not isinstance(tensors, (list, tuple)) or not len(tensors) == len(model) > 0:
            raise ValueError(
                f"{name} must be a list of tensors, one for each of {first}, got {shown(tensors)}; "
                "pass lists of one length"
            )
        for i, (x, p) in enumerate(zip(tensors, model, strict=True)):
            if needed[name] if x is None else not _fits(x, p):
                raise ValueError(
                    f"{name}[{i}] must be a dense tensor of floats in the shape of {first}[{i}], "
                    f"got {shown(x)}; replace it"
                )


def _fits(x: object, p: object) -> bool:
    if not isinstance(x, Tensor) or not isinstance(p, Tensor) or x.shape != p.shape:
        return False
    return x.is_floating_point() and x.layout is torch.strided and not x.is_meta
