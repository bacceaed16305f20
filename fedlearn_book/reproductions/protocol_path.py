r"""The path of chapter 14 among the methods of chapter 7: what a client holds, and how it adapts.

On a path a client holds the shared model and its accounts, one tree with the leaves ``k`` and
``dual.k``. It adapts by steps of its accounts alone, so that a number becomes its own when its
account is full: fine-tuning with an entrance fee.
"""

from __future__ import annotations

from typing import Any

import torch

from fedlearn_book.reproductions.personal_path_rounds import penalties
from fedlearn_lib.federated.oracles import Oracle
from fedlearn_lib.federated.personal_path import DUAL, accounts_of
from fedlearn_lib.trees import Params


def path_start(state: Any, newcomers: int | None = None) -> Params:
    """What clients hold when they begin to adapt, leaves [m ...]; newcomers' accounts are empty."""
    V = accounts_of(state)
    if newcomers is not None:
        V = {k: v.new_zeros(newcomers, *v.shape[1:]) for k, v in V.items()}
    w = {k: state.w[k].expand(v.shape) for k, v in V.items()}
    return w | {DUAL + k: v for k, v in V.items()}


def path_oracle(slope: Oracle, kappa: float, kind: str) -> Oracle:
    r"""A direction that moves accounts only: a step of size α is $V\leftarrow V-\frac α\kappa g$.

    >>> slope = lambda u, draws: {"w": u["w"] - 4}
    >>> held = {"w": torch.tensor([1.0]), "dual.w": torch.tensor([1.5])}  # uses 1 + 2 (1.5 - 1) = 2
    >>> path_oracle(slope, 2.0, "entries")(held, ())
    {'w': tensor([0.]), 'dual.w': tensor([-1.])}
    """

    def oracle(held: Params, draws: Any) -> Params:
        g = slope(used_on_path(held, kappa, kind), draws)
        still = {k: torch.zeros_like(v) for k, v in g.items()}
        return still | {DUAL + k: v / kappa for k, v in g.items()}

    return oracle


def used_on_path(held: Params, kappa: float, kind: str) -> Params:
    r"""The model $w+\kappa\,\mathrm{Prox}(V)$ that a client uses, from what it holds.

    >>> used_on_path({"w": torch.ones(2), "dual.w": torch.tensor([0.5, 1.5])}, 2.0, "entries")
    {'w': tensor([1., 2.])}
    """
    w = {k: v for k, v in held.items() if not k.startswith(DUAL)}
    return {
        k: w[k] if one is None else w[k] + kappa * one.prox(held[DUAL + k])
        for k, one in penalties(w, kind).items()
    }
