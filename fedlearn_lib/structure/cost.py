"""What a network costs: parameters to store, multiplications to run."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Cost(NamedTuple):
    """``parameters`` of a model and ``multiply_adds`` of its weights for one input."""

    parameters: int
    multiply_adds: int


def cost(model: nn.Module, *shape: int) -> Cost:
    r"""Count the parameters of a model and its multiply-adds for one input of the given shape.

    A convolution of $c$ into $c'$ channels with a $k\times k$ kernel and $h\times w$ outputs
    takes $hwk^2cc'$, a linear layer $cc'$. Biases, norms and activations are not counted.

    >>> from fedlearn_lib import lenet
    >>> cost(lenet(), 1, 28, 28)
    Cost(parameters=61706, multiply_adds=416520)
    """
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        places = output[0, 0].numel() if weight.ndim == 4 else 1
        total += places * weight.numel()  # type: ignore[operator]

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    try:
        with torch.no_grad():
            model(torch.zeros(1, *shape, dtype=next(model.parameters()).dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return Cost(sum(p.numel() for p in model.parameters()), total)
