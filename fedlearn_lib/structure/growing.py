"""Growing: a layer whose filters are nearly all in use gets a few more."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers, check_memory, check_nonnegative
from fedlearn_lib.structure.chain import group_of, links_of, set_sizes
from fedlearn_lib.structure.masks import Masks, _rows


@checked()
def ready_to_grow(masks: Masks, *, share: float = 0.8) -> list[str]:
    """Return the names of the parameters of which at least ``share`` of the rows are in use.

    A row (output filter, hidden unit) is in use if its mask keeps any of its weights.

    >>> a, b = torch.ones(5, 2), torch.ones(5, 2)
    >>> a[0], b[:2] = 0, 0
    >>> ready_to_grow({"a": a, "b": b})
    ['a']
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share!r}; the usual value is 0.8")
    used = {name: _rows(mask != 0, "rows").any(1).double() for name, mask in masks.items()}
    return [name for name, rows in used.items() if rows.mean() >= share]


@checked()
def grow(
    model: nn.Sequential, layer: int, extra: int, *, generator: torch.Generator, outgoing: float = 0
) -> nn.Sequential:
    r"""Return a wider network: ``extra`` more units in one layer, at first without a voice.

    The new units' incoming weights are drawn from $N(0, 2/\text{fan in})$ (He et al., 2015),
    their biases are 0, their outgoing weights $N(0,\text{outgoing}^2\cdot2/\text{fan in})$.
    With ``outgoing=0`` the outputs do not change.

    Parameters
    ----------
    model : a chain as :func:`prune` takes it; it is not changed.
    layer : the position of the layer to widen, ``0`` for ``model[0]``; not the last one.
    extra : how many units; a multiple of the group's size if a GroupNorm follows.

    >>> from fedlearn_lib import lenet
    >>> wide = grow(lenet(), 0, 2, generator=torch.Generator().manual_seed(0))
    >>> wide[0].weight.shape, wide[3].weight.shape
    (torch.Size([8, 1, 5, 5]), torch.Size([16, 8, 5, 5]))
    """
    check_integers(extra=extra)
    check_nonnegative(outgoing=outgoing)
    check_memory(extra * max(p.numel() for p in [torch.ones(1), *model.parameters()]), extra=extra)
    wide = deepcopy(model)
    inside = -len(wide) <= layer < len(wide)
    found = [link for link in links_of(wide, "the model") if inside and link[0] is wide[layer]]
    if not found:
        raise ValueError(
            f"layer must be the position of a Conv2d or Linear layer that another one follows "
            f"without a residual block between them, got {layer!r} in the model {model}"
        )
    first, between, second = found[0]
    norms = [m for m in between if isinstance(m, nn.GroupNorm)]
    for norm in norms:
        if extra % group_of(norm):
            raise ValueError(
                f"extra must be a multiple of {group_of(norm)}, the size of a group of {norm}, got "
                f"{extra}; a group that changes its members changes the old outputs"
            )
    repeat = second.in_features // len(first.weight) if isinstance(second, nn.Linear) else 1
    with torch.no_grad():
        _append(first, 0, he_weights(first.weight, 0, extra, generator))
        for norm in norms:
            _widen(norm, extra)
        _append(second, 1, outgoing * he_weights(second.weight, 1, extra * repeat, generator))
    return wide


def he_weights(weight: Tensor, dim: int, extra: int, generator: torch.Generator) -> Tensor:
    r"""Draw ``extra`` slices of a weight along an axis from $N(0,2/\text{fan in})$."""
    shape = list(weight.shape)
    shape[dim] = extra
    scale = (2 / weight[0].numel()) ** 0.5
    drawn: Tensor = scale * torch.randn(shape, generator=generator, dtype=weight.dtype)
    return drawn


def _append(layer: nn.Conv2d | nn.Linear, dim: int, new: Tensor) -> None:
    layer.weight = nn.Parameter(torch.cat([layer.weight, new], dim))
    if dim == 0 and layer.bias is not None:
        layer.bias = nn.Parameter(torch.cat([layer.bias, layer.bias.new_zeros(len(new))]))
    set_sizes(layer)


def _widen(norm: nn.GroupNorm, extra: int) -> None:
    size = group_of(norm)
    norm.num_channels += extra
    norm.num_groups = norm.num_channels // size
    if norm.affine:
        norm.weight = nn.Parameter(torch.cat([norm.weight, norm.weight.new_ones(extra)]))
        norm.bias = nn.Parameter(torch.cat([norm.bias, norm.bias.new_zeros(extra)]))
