"""Closing a mask: a filter that is out takes its bias and its listeners' weights along."""

from __future__ import annotations

from torch import nn

from fedlearn_lib._checked import checked
from fedlearn_lib.models import ResidualBlock
from fedlearn_lib.structure.chain import Link, columns_of, links_of
from fedlearn_lib.structure.masks import Masks, check_masks


@checked()
def close_masks(model: nn.Module, masks: Masks) -> Masks:
    """Return the masks with the bias and the outgoing weights of every dead unit out as well.

    A unit is dead if the mask of its incoming weights keeps none. Without this step it still
    sends a constant that can be trained: a second bias for those who hear it. A GroupNorm in
    between keeps its own parameters. Chains are those of :func:`prune`; what a residual sum
    adds to is never closed.

    >>> import torch
    >>> from fedlearn_lib import mlp
    >>> kept = torch.tensor([1, 1, 0])[:, None].expand(3, 4)
    >>> masks = close_masks(mlp(4, 3, 2), {"1.weight": kept})
    >>> masks["1.bias"], masks["3.weight"]
    (tensor([ True,  True, False]), tensor([[ True,  True, False],
            [ True,  True, False]]))
    """
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"the model must be an nn.Sequential, got {type(model).__name__}")
    check_masks("masks", masks, "model", dict(model.named_parameters()))
    closed = {name: mask != 0 for name, mask in masks.items()}
    blocks = [(k, m) for k, m in model.named_children() if isinstance(m, ResidualBlock)]
    for prefix, chain in [("", model), *[(f"{k}.body.", m.body) for k, m in blocks]]:
        names = {id(m): f"{prefix}{name}" for name, m in chain.named_children()}
        for link in links_of(chain, prefix or "the model"):
            _close_link(link, closed, names[id(link[0])], names[id(link[2])])
    return closed


def _close_link(link: Link, closed: Masks, first: str, second: str) -> None:
    mask = closed.get(f"{first}.weight")
    if mask is None:
        return
    alive = mask.flatten(1).any(1)
    if link[0].bias is not None:
        closed[f"{first}.bias"] = closed.get(f"{first}.bias", True) & alive
    heard = alive[:, None, None].expand(columns_of(link).shape).transpose(0, 1)
    kept = heard.reshape(link[2].weight.shape)
    closed[f"{second}.weight"] = closed.get(f"{second}.weight", True) & kept
