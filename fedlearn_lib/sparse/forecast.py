"""Before training: can anything enter the sparse copies of SplitLBI, and when?"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib.sparse.groups import split_tensors
from fedlearn_lib.sparse.optim import SplitLBI
from fedlearn_lib.sparse.penalties import group_norms


class Forecast(NamedTuple):
    """What a tensor's start says about its entries; a unit is a group ``p[g]``, or an entry.

    Attributes
    ----------
    norms : [units], their norms now.
    needed : units whose norm is at most this never enter by decay alone.
    held : [units], the path time at which each enters if the loss holds it where it is.
    alone : [units], the same if the loss lets it go; inf where it never does.
    """

    norms: Tensor
    needed: float
    held: Tensor
    alone: Tensor


@checked()
@torch.no_grad()
def entry_forecast(optimizer: SplitLBI) -> dict[str, Forecast]:
    r"""Return, for every tensor with a penalty, when its units will enter: norms against $\kappa$.

    Held at its place, $V=tW_0/\nu$, and a unit of threshold $\omega$ enters at
    $\nu\omega/\|W_0\|$. Without the loss, and with $k=\kappa/(1-\mu)$ for the momentum of the
    coupled form ($k=\kappa$ for the other) and the weight decay $\lambda$,
    $$W_t=e^{-k(1/\nu+\lambda)t}\,W_0,\qquad
      V_t=\frac{1-e^{-k(1/\nu+\lambda)t}}{k(1+\nu\lambda)}\,W_0,$$
    which reaches $\omega$ only if $\|W_0\|>k(1+\nu\lambda)\,\omega$. These are the limits of small
    steps, for an optimizer that has not yet made any. Divide a path time by ``lr`` to have steps.

    >>> w = torch.nn.Parameter(torch.tensor([4.0, 0.5]))
    >>> forecast = entry_forecast(SplitLBI([("w", w)], lr=0.1, kappa=1.0, nu=20.0))["w"]
    >>> forecast.needed, forecast.held  # 20 / 4 and 20 / 0.5
    (1.0, tensor([ 5., 40.]))
    >>> forecast.alone.round(decimals=2)  # -20 ln(1 - 1/4); |w| = 0.5 is below 1
    tensor([5.7500,    inf])

    Source: the book's chapter on DessiLBI, entry of a held filter and the dead start.
    """
    return {name: _forecast(p, group) for name, p, group in split_tensors(optimizer.param_groups)}


def _forecast(p: Tensor, group: dict[str, Any]) -> Forecast:
    norms = group_norms(p).flatten() if group["penalty"] == "group" else p.abs().flatten()
    omega = (p.numel() / len(norms)) ** 0.5 if group["scaled"] else 1.0
    coupled = group["momentum_on"] == "coupled"
    kappa = group["kappa"] / (1 - group["momentum"] if coupled else 1)
    slack = 1 + group["nu"] * group["weight_decay"]
    needed = kappa * slack * omega
    left = (1 - needed / norms).clamp(min=0)  # what is left of W at the entry; none: it never is
    alone = -left.log() * group["nu"] / (kappa * slack)
    return Forecast(norms, needed, group["nu"] * omega / norms, alone)
