"""What every path returns: times, coefficients, and the sparse copy that says which are in."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Leaves = Tensor | dict[str, Tensor]


class Path(NamedTuple):
    r"""Coefficients along a path: ``w[k]`` on $[t_k, t_{k+1})$, and zero before $t_0$.

    Parameters
    ----------
    t : [K], increasing path times: $\sum\alpha_k$ for a discretization.
    w : [K …], the coefficients (a tensor, or a dictionary of them by parameter's name).
    gamma : [K …], the sparse copy $\Gamma$ whose support is the model's; without a split, ``w``.

    >>> path = Path(torch.tensor([1.0, 2.0]), *2 * [torch.tensor([[3.0, 0.0], [3.0, -2.0]])])
    >>> path.at(1.5)
    tensor([3., 0.])
    >>> path.entry_times()
    tensor([1., 2.])
    """

    t: Tensor
    w: Leaves
    gamma: Leaves

    def at(self, t: float, of: Literal["w", "gamma"] = "w") -> Leaves:
        """Return the coefficients (or, with ``of="gamma"``, their sparse copy) at time ``t``."""
        k = int(torch.searchsorted(self.t, torch.tensor(t, dtype=self.t.dtype), right=True)) - 1
        return _map(lambda x: x[k].clone() if k >= 0 else torch.zeros_like(x[0]), getattr(self, of))

    def entry_times(self) -> Leaves:
        """Return the first time at which each entry of ``gamma`` is not zero, inf where never."""
        return _map(self._first, self.gamma)

    def _first(self, x: Tensor) -> Tensor:
        inside = x != 0  # on x's device; times are on the CPU
        found, first = inside.any(0).cpu(), self.t[inside.int().argmax(0).cpu()]
        return torch.where(found, first, torch.full_like(first, float("inf")))


def _map(function, leaves: Leaves) -> Leaves:  # type: ignore[no-untyped-def]
    if isinstance(leaves, dict):
        return {name: function(x) for name, x in leaves.items()}
    result: Tensor = function(leaves)
    return result
