r"""Pruning that changes a network's size and not its function.

A unit (channel, hidden unit) is *deaf* if its incoming weights are all zero, so that it says the
same whatever it hears, and *mute* if its outgoing weights are all zero, so that nobody hears it.
A deaf unit's constant moves into the next bias where that is exact; a mute one just goes.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_model, check_parameters
from fedlearn_lib.models import ResidualBlock
from fedlearn_lib.structure.chain import (
    SHAPING,
    Link,
    Weighted,
    columns_of,
    group_of,
    links_of,
    set_sizes,
)
from fedlearn_lib.trees import Params


@checked()
def prune(model: nn.Module, w: Params | None = None) -> nn.Module:
    r"""Return a smaller network with the same outputs: dead units are cut out of its tensors.

    For two layers with an activation $\varphi$ between them, a unit $j$ with incoming weights
    zero sends $c_j=\varphi(b_j)$, and the next bias becomes $b'_i+c_j\sum_uK_{iju}$.
    A unit stays where no bias makes up for it: before a convolution with zero padding unless
    $c_j=0$ or its outgoing weights vanish, and before a GroupNorm unless its whole group goes.

    Parameters
    ----------
    model : an ``nn.Sequential`` of ``Conv2d``, ``Linear``, pointwise activations, pooling,
        ``Flatten``, ``GroupNorm`` and the library's residual blocks; of a block the channels
        between its two convolutions may go, those of the sum stay.
    w : parameters to use in the place of the model's own, which are not changed.

    Raises
    ------
    ValueError : a layer of another kind; a layer without a single unit left, because such a
        network answers the same to every input.

    >>> from fedlearn_lib import mlp, parameters_of
    >>> model = mlp(4, 3, 2)
    >>> w = parameters_of(model)
    >>> w["1.weight"][0] = 0
    >>> prune(model, w)[1]
    Linear(in_features=4, out_features=2, bias=True)
    """
    small = deepcopy(model)
    if not isinstance(small, nn.Sequential):
        raise ValueError(f"the model must be an nn.Sequential, got {type(model).__name__}")
    links_of(small, "the model")  # refuses what it does not know
    if w is not None:
        check_parameters("w", w, small)
        check_model("w", w)
        small.load_state_dict(w)
    with torch.no_grad():
        _shrink(small, "the model", whole=True)
        for name, module in small.named_children():
            if isinstance(module, ResidualBlock):
                _shrink(module.body, f"layer {name!r}", whole=False)
    return small


def _shrink(chain: nn.Sequential, place: str, *, whole: bool) -> None:
    """Cut the deaf units from the first layer on, then the mute ones from the last layer back."""
    links = links_of(chain, place)
    for link in links:
        _cut(link, _deaf(link), place, whole)
    for link in reversed(links):
        _cut(link, columns_of(link).eq(0).flatten(1).all(1), place, whole)


def _deaf(link: Link) -> Tensor:
    """Which units of the first layer send a constant that the second layer's bias can hold."""
    first, _, second = link
    deaf = first.weight.eq(0).flatten(1).all(1)
    absorbs = (_constants(link) == 0) | columns_of(link).eq(0).flatten(1).all(1)
    if not isinstance(second, nn.Conv2d) or _unpadded(second):
        absorbs = torch.ones_like(deaf)
    return deaf & absorbs


def _unpadded(layer: nn.Conv2d) -> bool:
    return layer.padding_mode != "zeros" or layer.padding in ("valid", (0, 0))


def _constants(link: Link) -> Tensor:
    """What each unit of the first layer sends on if its incoming weights are zero, [units]."""
    first, between, _ = link
    sent = first.weight.new_zeros(len(first.weight)) if first.bias is None else first.bias
    sent = sent.view(1, -1, 1, 1).expand(1, -1, 2, 2)  # a norm wants more than one pixel
    for module in between:
        if not isinstance(module, SHAPING):
            sent = module(sent)
    return sent[0, :, 0, 0]


def _cut(link: Link, dead: Tensor, place: str, whole: bool) -> None:
    """Remove the dead units between two layers; their constants go into the second bias."""
    first, between, second = link
    for norm in (m for m in between if isinstance(m, nn.GroupNorm)):
        dead = dead.view(norm.num_groups, -1).all(1).repeat_interleave(group_of(norm))
    if bool(dead.all()):
        if whole:
            raise ValueError(
                f"no unit of {first} in {place} is left, so the network answers the same to every "
                "input; keep at least one unit in each layer"
            )
        dead = dead.clone()
        dead[: max([1, *(group_of(m) for m in between if isinstance(m, nn.GroupNorm))])] = False
    if not bool(dead.any()):
        return
    gain = torch.einsum("j,joa->o", _constants(link) * dead, columns_of(link))
    keep = ~dead
    columns = columns_of(link)[keep].transpose(0, 1)
    places = second.weight.shape[2:] if second.weight.ndim == 4 else ()
    inside = columns.reshape(len(columns), -1, *places)
    if second.bias is not None or bool(gain.any()):
        second.bias = nn.Parameter(gain if second.bias is None else second.bias + gain)
    second.weight = nn.Parameter(inside.clone(memory_format=torch.contiguous_format))
    _keep_rows(first, between, keep)
    set_sizes(first)
    set_sizes(second)


def _keep_rows(first: Weighted, between: list[nn.Module], keep: Tensor) -> None:
    first.weight = nn.Parameter(first.weight[keep])
    if first.bias is not None:
        first.bias = nn.Parameter(first.bias[keep])
    for norm in (m for m in between if isinstance(m, nn.GroupNorm)):
        size = group_of(norm)
        norm.num_channels = int(keep.sum())
        norm.num_groups = norm.num_channels // size
        if norm.affine:
            norm.weight, norm.bias = nn.Parameter(norm.weight[keep]), nn.Parameter(norm.bias[keep])
