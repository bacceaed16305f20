"""What a network costs: parameters to store, multiplications to run."""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers


class Cost(NamedTuple):
    """``parameters`` of a model and ``multiply_adds`` of its weights for one input."""

    parameters: int
    multiply_adds: int


@checked()
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

    check_integers(**{f"shape[{i}]": size for i, size in enumerate(shape)})
    copy = deepcopy(model).to("meta").eval()  # shapes without numbers; the model stays as it is
    for layer in copy.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    dtype = next((p.dtype for p in copy.parameters()), None)
    try:
        copy(torch.zeros(1, *shape, dtype=dtype, device="meta"))
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise ValueError(
            f"the model must take inputs of the given shape {shape}, got: {error}; pass the shape "
            "of one sample"
        ) from error
    return Cost(sum(p.numel() for p in copy.parameters()), total)
