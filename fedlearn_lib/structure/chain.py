"""Chains of layers: which layer's units another one hears, through what."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from fedlearn_lib.models import ResidualBlock

Weighted = nn.Conv2d | nn.Linear
Link = tuple[Weighted, list[nn.Module], Weighted]
POINTWISE = (nn.ReLU, nn.ELU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.GELU, nn.Identity)
SHAPING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)


def links_of(chain: nn.Sequential, place: str) -> list[Link]:
    """Return the pairs of weighted layers that follow each other, with what is between them."""
    known = (nn.Conv2d, nn.Linear, nn.GroupNorm, ResidualBlock, *POINTWISE, *SHAPING)
    modules = list(chain)
    for m in modules:
        grouped = isinstance(m, nn.Conv2d) and m.groups > 1
        uneven = isinstance(m, nn.AvgPool2d) and (m.padding != 0 or m.divisor_override)
        if not isinstance(m, known) or grouped or uneven:
            raise ValueError(
                f"prune knows no exact rule for {m} in {place}; it knows Conv2d and Linear with "
                "pointwise activations, pooling, Flatten, GroupNorm and ResidualBlock"
            )
    at = [i for i, m in enumerate(modules) if isinstance(m, Weighted)]
    links = [(modules[i], modules[i + 1 : j], modules[j]) for i, j in pairwise(at)]
    for _, between, _ in links:
        if sum(isinstance(m, nn.GroupNorm) for m in between) > 1:
            raise ValueError(
                f"prune knows no exact rule for two norms between two layers in {place}, got "
                f"{between}; leave one of them out"
            )
    return [link for link in links if not any(isinstance(m, ResidualBlock) for m in link[1])]  # type: ignore[misc]


def columns_of(link: Link) -> Tensor:
    """The second layer's weights by unit of the first: [units, outputs, places]."""
    first, _, second = link
    outputs, units = len(second.weight), len(first.weight)
    return second.weight.reshape(outputs, units, -1).transpose(0, 1)


def group_of(norm: nn.GroupNorm) -> int:
    return norm.num_channels // norm.num_groups


def set_sizes(layer: Weighted) -> None:
    """Make a layer's attributes agree with its tensor."""
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    else:
        layer.out_channels, layer.in_channels = layer.weight.shape[:2]
