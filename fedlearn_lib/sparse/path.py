"""What every path returns: times, coefficients, and the sparse copy that says which are in."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fedlearn_lib._checked import checked, checked_record
from fedlearn_lib._checks import check_floats
from fedlearn_lib._shapes import shown

Leaves = Tensor | dict[str, Tensor]


@checked_record(t="K")
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

    @checked()
    def at(self, t: float, of: Literal["w", "gamma"] = "w") -> Leaves:
        """Return the coefficients (or, with ``of="gamma"``, their sparse copy) at time ``t``.

        After the last time they are those of the last time: where a path goes on, take more steps.
        """
        k = int(torch.searchsorted(self.t, torch.tensor(t, dtype=self.t.dtype), right=True)) - 1
        return _map(lambda x: x[k].clone() if k >= 0 else torch.zeros_like(x[0]), getattr(self, of))

    def entry_times(self) -> Leaves:
        """Return the first time at which each entry of ``gamma`` is not zero, inf where never."""
        return _map(self._first, self.gamma)

    def _check(self) -> None:
        check_floats("t", {"t": self.t})
        t = self.t
        if t.is_meta or not bool(torch.isfinite(t.sum())) or bool((t[1:] < t[:-1]).any()):
            raise ValueError(f"t must be finite and never fall, got {shown(self.t)}; sort by t")
        check_floats("w", self.w if isinstance(self.w, dict) else {"w": self.w})
        for name, leaves in {"w": self.w, "gamma": self.gamma}.items():
            rows = leaves.values() if isinstance(leaves, dict) else [leaves]
            if any(x.shape[:1] != self.t.shape for x in rows) or (len(self.t) and not rows):
                raise ValueError(
                    f"{name} must have one row for each of the {len(self.t)} times t, got the "
                    f"shapes {[tuple(x.shape) for x in rows]}; stack the iterates"
                )

    def _first(self, x: Tensor) -> Tensor:
        inside = x != 0  # on x's device; times are on the CPU
        found, first = inside.any(0).cpu(), self.t[inside.int().argmax(0).cpu()]
        return torch.where(found, first, torch.full_like(first, float("inf")))


def linear_models(path: Path, p: int) -> Tensor:
    """Return the coefficients of a path of linear models, [K p]; refuse those of others."""
    w = path.w
    if isinstance(w, dict) or w.is_meta or w.shape[1:] != (p,):
        got = f"a dictionary with {list(w)}" if isinstance(w, dict) else shown(w)
        raise ValueError(
            f"path.w must be the {p} coefficients of a linear model at each time, one tensor, got "
            f"{got}; pass the X of this path, or score such models by validation_curve"
        )
    return w


def warn_of_divergence(last: Iterable[Tensor], why: str) -> None:
    """Warn if the end of a path is not finite; one look, for what has left the floats stays out."""
    if not all(bool(torch.isfinite(x).all()) for x in last):
        warnings.warn(
            f"the path ends in NaN or infinity: {why}",
            RuntimeWarning,
            stacklevel=4,  # past the decorator
        )


def _map(function, leaves: Leaves) -> Leaves:  # type: ignore[no-untyped-def]
    if isinstance(leaves, dict):
        return {name: function(x) for name, x in leaves.items()}
    result: Tensor = function(leaves)
    return result
