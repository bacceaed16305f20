"""A start in which every row of a layer begins alike, so that learning decides who enters first."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers
from fedlearn_lib.structure.growing import he_weights

Model = TypeVar("Model", bound=nn.Module)


@checked()
def he_start(model: Model, seed: int) -> Model:
    r"""Return a copy with weights from $N(0,2/\text{fan in})$ and biases of zero.

    All rows of a layer have the same law, the one that :func:`grow` gives to new units; torch's
    own start is three times as small in its variance, and draws biases. Parameters of
    normalization layers stay as they are.

    He, Zhang, Ren, Sun, ICCV 2015.

    >>> from fedlearn_lib import mlp
    >>> model = he_start(mlp(1000, 3), seed=0)
    >>> bool((model[1].weight.std() - 0.002**0.5).abs() < 0.002), model[1].bias.tolist()
    (True, [0.0, 0.0, 0.0])
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be an nn.Module, got {model!r}; pass a network")
    check_integers(0, seed=seed)
    start, generator = deepcopy(model), torch.Generator().manual_seed(int(seed))
    with torch.no_grad():
        for layer in start.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.copy_(he_weights(layer.weight, 0, len(layer.weight), generator))
                if layer.bias is not None:
                    layer.bias.zero_()
    return start
