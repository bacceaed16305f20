r"""Masks: which weights a network may use, by support, by magnitude or by lot.

A mask has the shape of its parameter and keeps *units*: whole output filters of a convolution
(``x[j]``), single weights of a matrix. Parameters without a mask are kept as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import (
    check_choice,
    check_floats,
    check_generator,
    check_integers,
    check_model,
)
from fedlearn_lib.trees import Params

Masks = dict[str, Tensor]
Unit = Literal["filters", "rows", "entries"]
UNITS = ("filters", "rows", "entries")
Keep = dict[str, int] | float


@checked()
def project(w: Params, gamma: Params) -> Params:
    r"""Return $W\odot1[\Gamma\ne0]$, the weights on the support of the sparse copy.

    ``gamma`` may be $\Gamma$ or a mask; a parameter that has none is returned unchanged.

    >>> project({"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([0.0, -0.1])})
    {'a': tensor([0., 2.])}
    """
    check_masks("gamma", gamma, "w", w)
    return inside(w, gamma)


def inside(w: Params, gamma: Params) -> Params:
    """What :func:`project` returns, for a loop: without its checks."""
    return {k: torch.where(gamma[k] != 0, v, 0) if k in gamma else v for k, v in w.items()}


@checked()
def mask_counts(masks: Masks, unit: Unit = "filters") -> dict[str, int]:
    """Return how many units of each parameter are in its mask.

    >>> mask_counts({"conv": torch.ones(6, 1, 5, 5), "matrix": torch.ones(10, 84)})
    {'conv': 6, 'matrix': 840}
    """
    check_choice("unit", unit, UNITS)
    return {k: int((_rows(m != 0, unit).any(1)).sum()) for k, m in masks.items()}


@checked()
def kept_share(masks: Masks) -> float:
    """Return the share of weights that the masks keep, in all of them together.

    >>> kept_share({"a": torch.tensor([True, False]), "b": torch.tensor([False, False])})
    0.25
    """
    total = sum(m.numel() for m in masks.values())
    if not total:
        raise ValueError(f"masks must hold at least one entry, got {list(masks)}; pass masks")
    return sum(int((m != 0).sum()) for m in masks.values()) / total


@checked()
def magnitude_masks(w: Params, keep: Keep, *, unit: Unit = "filters") -> Masks:
    r"""Return masks of the units with the largest root mean square weight.

    Parameters
    ----------
    w : the parameters.
    keep : units to keep in each named parameter, ``{"0.weight": 3}`` (as :func:`mask_counts` gives
        them); or one share of all weights, which go to the largest units of any parameter with
        two or more dimensions, as many units as fit.
    unit : ``"filters"``: rows of a tensor with four dimensions, entries of a matrix; ``"rows"``
        or ``"entries"`` of all.

    >>> w = {"a": torch.tensor([[3.0, 0.1], [1.0, 2.0]])}
    >>> magnitude_masks(w, {"a": 1}, unit="rows")
    {'a': tensor([[ True,  True],
            [False, False]])}
    """
    return _best(w, keep, unit, lambda x: x.square().mean(1))


@checked()
def random_masks(
    w: Params, keep: Keep, *, generator: torch.Generator, unit: Unit = "filters"
) -> Masks:
    """Return masks of units drawn by lot, with the arguments of :func:`magnitude_masks`.

    >>> w = {"a": torch.ones(4, 2)}
    >>> masks = random_masks(w, {"a": 3}, generator=torch.Generator().manual_seed(0), unit="rows")
    >>> mask_counts(masks, "rows")
    {'a': 3}
    """
    check_generator(generator)
    return _best(w, keep, unit, lambda x: torch.rand(len(x), generator=generator))


@checked()
def overlap_by_chance(n: int, k: int, other: int) -> tuple[float, float]:
    r"""Return mean and standard deviation of the overlap of two masks, one drawn by lot.

    $\mathbb E=\frac{kl}n$ and $\operatorname{var}=\frac{kl(n-k)(n-l)}{n^2(n-1)}$ for $k$ and $l$
    of $n$ units (hypergeometric).

    >>> overlap_by_chance(16, 12, 12)
    (9.0, 0.7745966692414834)
    """
    check_integers(n=n)
    if not (0 <= k <= n and 0 <= other <= n):
        raise ValueError(f"k and other must lie in 0 to n, got n={n}, k={k}, other={other}")
    variance = k * other * (n - k) * (n - other) / (n**2 * max(n - 1, 1))
    return k * other / n, math.sqrt(variance)


def _best(w: Params, keep: Keep, unit: Unit, score: Callable[[Tensor], Tensor]) -> Masks:
    check_model("w", w)
    check_floats("w", w)
    names = list(keep) if isinstance(keep, dict) else [k for k, v in w.items() if v.ndim > 1]
    _check_keep(w, keep, names, unit)
    views = {name: _rows(w[name], unit) for name in names}
    scores = {name: score(view) for name, view in views.items()}
    if isinstance(keep, dict):
        ranks = {name: s.argsort(descending=True) for name, s in scores.items()}
        chosen = {name: ranks[name][: keep[name]] for name in names}
    else:
        chosen = _best_of_all(views, scores, keep)
    masks = {}
    for name in names:
        kept = torch.zeros(len(views[name]), dtype=torch.bool)
        kept[chosen[name]] = True
        masks[name] = kept[:, None].expand(views[name].shape).reshape(w[name].shape)
    return masks


def _best_of_all(views: Masks, scores: Masks, keep: float) -> dict[str, Tensor]:
    """Take units of all parameters in the order of their scores while their weights fit."""
    sizes = torch.cat([torch.full((len(v),), v.shape[1]) for v in views.values()])
    order = torch.cat(list(scores.values())).argsort(descending=True)
    kept = torch.zeros(len(sizes), dtype=torch.bool)
    kept[order[sizes[order].cumsum(0) <= keep * int(sizes.sum())]] = True
    parts = kept.split([len(v) for v in views.values()])
    return {name: part.nonzero().flatten() for name, part in zip(views, parts, strict=True)}


def _rows(x: Tensor, unit: Unit) -> Tensor:
    """View a parameter as [units, weights of one unit]."""
    whole = unit == "rows" or (unit == "filters" and x.ndim == 4)
    return x.flatten(1) if whole and x.ndim > 1 else x.reshape(-1, 1)


def check_masks(name: str, masks: Masks, owner: str, w: Params) -> None:
    """Refuse masks without a parameter of their name and shape."""
    wrong = [k for k, m in masks.items() if k not in w or w[k].shape != m.shape]
    if wrong:
        raise ValueError(
            f"every mask of {name} needs a parameter of its name and shape in {owner}, got "
            f"{wrong[:5]} without one; the parameters are {list(w)[:8]}"
        )


def _check_keep(w: Params, keep: Keep, names: list[str], unit: Unit) -> None:
    check_choice("unit", unit, UNITS)
    if not isinstance(keep, dict):
        if not 0 < keep <= 1:
            raise ValueError(f"keep must be a share in (0, 1] or counts by name, got {keep!r}")
        return
    for name in names:
        most = len(_rows(w[name], unit)) if name in w else 0
        if not 0 <= keep[name] <= most or name not in w:
            raise ValueError(
                f"keep[{name!r}] must be 0 to {most}, the units of that parameter in w, got "
                f"{keep[name]}; mask_counts(masks) gives counts that fit"
            )
