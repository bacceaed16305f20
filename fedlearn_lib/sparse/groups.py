"""Which parameters of a network get which penalty, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_choice
from fedlearn_lib.sparse.options import PENALTIES, check_options

#: Layers whose ``weight[g]`` is an output filter; of a transposed one it is an input channel.
FILTERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@checked()
def penalty_groups(
    model: nn.Module, *, conv: str | None = "group", linear: str | None = "l1", **options: Any
) -> list[dict[str, Any]]:
    """Return the parameter groups of a network: filters, fully connected weights, all the rest.

    The rest has no penalty: biases, the parameters of normalization layers, transposed
    convolutions (whose ``p[g]`` is an input channel), recurrent layers, embeddings.

    >>> from fedlearn_lib import lenet
    >>> [(g["penalty"], len(g["params"])) for g in penalty_groups(lenet())]
    [('group', 3), ('l1', 2), (None, 5)]
    """
    check_choice("conv", conv, PENALTIES)
    check_choice("linear", linear, PENALTIES)
    check_options(options)
    kinds: dict[str, list[tuple[str, Tensor]]] = {"conv": [], "linear": [], "rest": []}
    layers = dict(model.named_modules())
    for name, p in model.named_parameters():
        owner, _, kind = name.rpartition(".")
        layer = layers[owner]
        if kind == "weight" and isinstance(layer, FILTERS):
            kinds["conv"].append((name, p))
        elif kind == "weight" and isinstance(layer, nn.Linear):
            kinds["linear"].append((name, p))
        else:
            kinds["rest"].append((name, p))
    penalties = {"conv": conv, "linear": linear, "rest": None}
    return [
        {"params": params, "penalty": penalties[kind], **options}
        for kind, params in kinds.items() if params
    ]  # fmt: skip


def named(group: dict[str, Any]) -> Iterable[tuple[str, Tensor]]:
    """Return names and tensors of a parameter group; numbers stand in for missing names."""
    params = list(group["params"])
    if params and isinstance(params[0], tuple):  # not yet in an optimizer
        return params
    names = group.get("param_names") or [f"parameter {i}" for i in range(len(params))]
    return zip(names, params, strict=True)


def split_tensors(groups: list[dict[str, Any]]) -> Iterator[tuple[str, Tensor, dict[str, Any]]]:
    """Yield name, tensor and group of everything that has a penalty, each under its own name."""
    for number, group in enumerate(groups):
        for name, p in named(group) if group["penalty"] is not None else ():
            yield name if "param_names" in group else f"group {number}, {name}", p, group
