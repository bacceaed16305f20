r"""Penalties $\Omega$ that make a model sparse: each knows its value, its prox and its optima.

A penalty acts on one tensor. Its prox is defined by the problem that it solves, its residual by
the subgradients that it has; the tests hold both to these definitions by brute force. The two
thresholds that every path of the library takes are the first functions here. A penalty of your
own needs the four methods of :class:`Penalty`; ``lbi`` and ``split_lbi_path`` then take it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib._checked import checked_record, explained
from fedlearn_lib._checks import check_nonnegative
from fedlearn_lib._shapes import shown

Array = TypeVar("Array", Tensor, np.ndarray)
#: Divides in the place of a norm that is zero; the quotient is then multiplied by that zero.
TINY = 1e-30


def soft_threshold(x: Array, threshold: Any) -> Array:
    r"""Move each entry towards zero by ``threshold`` and stop there: $x-\min(\max(x,-s),s)$.

    ``x`` is a tensor or an array, ``threshold`` a number or one of the kind and shape of ``x``.

    >>> soft_threshold(torch.tensor([3.0, -0.5, -2.0]), 1.0)
    tensor([ 2.,  0., -1.])
    """
    if isinstance(x, np.ndarray):  # whose clip is slow where the bounds are arrays
        shrunk: Array = x - np.minimum(np.maximum(x, -threshold), threshold)
        return shrunk
    short: Array = x - x.clip(-threshold, threshold)
    return short


def group_threshold(x: Tensor, threshold: float | Tensor) -> Tensor:
    r"""Shorten each group ``x[g]`` by ``threshold`` and stop at zero: $(1-s/\|x^g\|)_+\,x^g$.

    A tensor of thresholds has the shape of :func:`group_norms`.

    >>> group_threshold(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), 1.0)
    tensor([[2.4000, 3.2000],
            [0.0000, 0.0000]])
    """
    norms = group_norms(x).clamp(min=TINY)
    shorter: Tensor = (1 - threshold / norms).clamp(min=0) * x
    return shorter


def group_norms(x: Tensor) -> Tensor:
    r"""Return $\|x^g\|$ for every group ``x[g]``, [groups 1 … 1], to be multiplied with x.

    >>> group_norms(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[5.0], [0.0]]
    """
    norms: Tensor = _opaque_norms(x) if torch.compiler.is_compiling() else _norms(x)
    return norms


def _norms(x: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)), keepdim=True)
    return norms


# torch 2.13's compiler fails (KeyError in outer-loop fusion) when it fuses these norms with the
# update that follows them, so it is not shown what is inside.
_opaque_norms = torch.library.custom_op(
    "fedlearn_lib::row_norms", _norms, mutates_args=(), schema="(Tensor x) -> Tensor"
)
_opaque_norms.register_fake(lambda x: x.new_empty(len(x), *[1] * (x.ndim - 1)))


@runtime_checkable
class Penalty(Protocol):
    """What a path asks of a penalty; :class:`L1` and :class:`GroupL2` are the two of the book."""

    def value(self, x: Tensor) -> Tensor: ...
    def prox(self, x: Tensor, step: float = 1.0) -> Tensor: ...
    def support(self, x: Tensor) -> Tensor: ...
    def residual(self, x: Tensor, v: Tensor) -> Tensor: ...


@checked_record()
class L1(NamedTuple):
    r"""The penalty $\Omega(x)=\lambda\sum_j\omega_j|x_j|$, which keeps few single entries.

    Parameters
    ----------
    scale : $\lambda$, at least 0.
    weights : $\omega$, in the shape of ``x``, at least 0; ``None`` for ones. An entry of weight 0
        is not penalized.

    >>> L1().prox(torch.tensor([3.0, -0.5, -2.0]))
    tensor([ 2.,  0., -1.])
    >>> L1(weights=torch.tensor([0.0, 1.0])).value(torch.tensor([5.0, -2.0]))
    tensor(2.)
    """

    scale: float = 1.0
    weights: Tensor | None = None

    @explained
    def value(self, x: Tensor) -> Tensor:
        r"""Return $\lambda\sum_j\omega_j|x_j|$, a scalar."""
        if self.weights is None:
            return self.scale * x.abs().sum()
        return (self._thresholds(x) * x.abs()).sum()

    @explained
    def prox(self, x: Tensor, step: float = 1.0) -> Tensor:
        r"""Return $\arg\min_z\ \frac12\|z-x\|^2+s\,\Omega(z)$, where ``step`` is $s$.

        Each entry moves towards zero by $s\lambda\omega_j$ and stops there (soft thresholding).
        """
        return soft_threshold(x, step * self._thresholds(x))

    @explained
    def support(self, x: Tensor) -> Tensor:
        """Return the mask of the entries that are not zero, in the shape of ``x``."""
        return x.ne(0)

    @explained
    def residual(self, x: Tensor, v: Tensor) -> Tensor:
        r"""Return the distance from ``v`` to $\partial\Omega(x)$; zero where $v$ is a subgradient.

        >>> L1().residual(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.3])).item()
        0.0
        """
        thresholds = self._thresholds(x)
        inside = (v.abs() - thresholds).clamp(min=0)
        distances = torch.where(x != 0, v - thresholds * x.sign(), inside)
        return distances.square().sum().sqrt()

    def _thresholds(self, x: Tensor) -> float | Tensor:
        if self.weights is None:
            return self.scale
        _check_shape(self.weights, tuple(x.shape), "an entry")
        return self.scale * self.weights.to(x)

    def _check(self) -> None:
        check_nonnegative(scale=self.scale)
        if self.weights is not None:
            _check_weights(self.weights, 0.0, "non-negative")


@checked_record()
class GroupL2(NamedTuple):
    r"""The penalty $\Omega(x)=\lambda\sum_g\omega_g\|x^g\|$, which keeps few groups.

    Group $g$ is ``x[g]``: a row of a matrix, an output filter of a convolution.

    Parameters
    ----------
    scale : $\lambda$, at least 0.
    weights : $\omega$, [groups], positive; ``None`` for ones. Yuan and Lin (2006) take the
        square root of the group's size.

    >>> GroupL2().prox(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    tensor([[2.4000, 3.2000],
            [0.0000, 0.0000]])
    """

    scale: float = 1.0
    weights: Tensor | None = None

    @explained
    def value(self, x: Tensor) -> Tensor:
        r"""Return $\lambda\sum_g\omega_g\|x^g\|$, a scalar."""
        return (self._thresholds(x) * self.norms(x)).sum()

    @explained
    def prox(self, x: Tensor, step: float = 1.0) -> Tensor:
        r"""Return $\arg\min_z\ \frac12\|z-x\|^2+s\,\Omega(z)$, where ``step`` is $s$.

        Each group keeps its direction; its norm moves towards zero by $s\lambda\omega_g$.
        """
        _check_groups("x", x)
        return group_threshold(x, step * _per_group(self._thresholds(x), x))

    @explained
    def support(self, x: Tensor) -> Tensor:
        """Return the mask of the groups that are not zero, in the shape of ``x``."""
        return _per_group(self.norms(x) != 0, x).expand_as(x)

    @explained
    def residual(self, x: Tensor, v: Tensor) -> Tensor:
        r"""Return the distance from ``v`` to $\partial\Omega(x)$; zero where $v$ is a subgradient.

        >>> x, v = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[0.6, 0.8], [0.0, 2.0]])
        >>> round(GroupL2().residual(x, v).item(), 4)
        1.0
        """
        _check_groups("v", v)
        norms, thresholds = self.norms(x), self._thresholds(x)
        direction = x / _per_group(norms.clamp(min=TINY), x)
        active = self.norms(v - _per_group(thresholds, x) * direction)
        inside = (group_norms(v).flatten() - thresholds).clamp(min=0)
        return torch.where(norms != 0, active, inside).square().sum().sqrt()

    @explained
    def norms(self, x: Tensor) -> Tensor:
        r"""Return $\|x^g\|$ for every group, [groups]."""
        _check_groups("x", x)
        return group_norms(x).flatten()

    def _thresholds(self, x: Tensor) -> Tensor:
        if self.weights is None:
            return x.new_full((len(x),), self.scale)
        _check_shape(self.weights, (len(x),), "a group")
        return self.scale * self.weights.to(x)

    def _check(self) -> None:
        check_nonnegative(scale=self.scale)
        if self.weights is not None:
            _check_weights(self.weights, TINY, "positive")


def _per_group(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.ndim - 1))


def _check_groups(name: str, x: Tensor) -> None:
    if x.ndim < 2:
        raise ValueError(
            f"{name} must have two or more dimensions for a group penalty, one group a row, got "
            f"shape {tuple(x.shape)}; use L1, or reshape it to [groups, size]"
        )


def _check_shape(weights: Tensor, shape: tuple[int, ...], each: str) -> None:
    if weights.shape != shape:
        raise ValueError(
            f"weights must be one for {each} of x, in the shape {shape}, got the shape "
            f"{tuple(weights.shape)}; pass None for equal weights"
        )


def _check_weights(weights: Tensor, least: float, kind: str) -> None:
    fine = not weights.is_complex() and not weights.is_meta
    if not fine or not bool(((weights >= least) & (weights < torch.inf)).all()):
        raise ValueError(
            f"weights must be finite {kind} numbers, got "
            f"{weights.flatten().tolist()[:10] if fine else shown(weights)}; pass None for ones"
        )
