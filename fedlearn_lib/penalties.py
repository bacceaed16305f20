r"""Penalties $\Omega$ that make a model sparse: each knows its value, its prox and its optima.

A penalty acts on one tensor. Its prox is defined by the problem that it solves, its residual by
the subgradients that it has; the tests hold both to these definitions by brute force.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Penalty(Protocol):
    """What a path asks of a penalty; :class:`L1` and :class:`GroupL2` are the two of the book."""

    def value(self, x: Tensor) -> Tensor: ...
    def prox(self, x: Tensor, step: float = 1.0) -> Tensor: ...
    def support(self, x: Tensor) -> Tensor: ...
    def residual(self, x: Tensor, v: Tensor) -> Tensor: ...


class L1(NamedTuple):
    r"""The penalty $\Omega(x)=\lambda\sum_j|x_j|$, which keeps few single entries.

    ``scale`` is $\lambda$.

    >>> L1().prox(torch.tensor([3.0, -0.5, -2.0]))
    tensor([ 2.,  0., -1.])
    """

    scale: float = 1.0

    def value(self, x: Tensor) -> Tensor:
        r"""Return $\lambda\sum_j|x_j|$, a scalar."""
        return self.scale * x.abs().sum()

    def prox(self, x: Tensor, step: float = 1.0) -> Tensor:
        r"""Return $\arg\min_z\ \frac12\|z-x\|^2+s\,\Omega(z)$, where ``step`` is $s$.

        Each entry moves towards zero by $s\lambda$ and stops there (soft thresholding).
        """
        return x - x.clamp(-step * self.scale, step * self.scale)

    def support(self, x: Tensor) -> Tensor:
        """Return the mask of the entries that are not zero, in the shape of ``x``."""
        return x != 0

    def residual(self, x: Tensor, v: Tensor) -> Tensor:
        r"""Return the distance from ``v`` to $\partial\Omega(x)$; zero where $v$ is a subgradient.

        >>> L1().residual(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.3])).item()
        0.0
        """
        inside = (v.abs() - self.scale).clamp(min=0)
        distances = torch.where(x != 0, v - self.scale * x.sign(), inside)
        return distances.square().sum().sqrt()


class GroupL2(NamedTuple):
    r"""The penalty $\Omega(x)=\lambda\sum_g\omega_g\|x^g\|$, which keeps few groups.

    Group $g$ is ``x[g]``: a row of a matrix, an output filter of a convolution.

    Parameters
    ----------
    scale : $\lambda$.
    weights : $\omega$, [groups], positive; ``None`` for ones. Yuan and Lin (2006) take the
        square root of the group's size.

    >>> GroupL2().prox(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    tensor([[2.4000, 3.2000],
            [0.0000, 0.0000]])
    """

    scale: float = 1.0
    weights: Tensor | None = None

    def value(self, x: Tensor) -> Tensor:
        r"""Return $\lambda\sum_g\omega_g\|x^g\|$, a scalar."""
        return (self._thresholds(x) * self.norms(x)).sum()

    def prox(self, x: Tensor, step: float = 1.0) -> Tensor:
        r"""Return $\arg\min_z\ \frac12\|z-x\|^2+s\,\Omega(z)$, where ``step`` is $s$.

        Each group keeps its direction; its norm moves towards zero by $s\lambda\omega_g$.
        """
        norms = self.norms(x)
        factor = (1 - step * self._thresholds(x) / norms.clamp(min=1e-30)).clamp(min=0)
        return _per_group(factor, x) * x

    def support(self, x: Tensor) -> Tensor:
        """Return the mask of the groups that are not zero, in the shape of ``x``."""
        return _per_group(self.norms(x) != 0, x).expand_as(x)

    def residual(self, x: Tensor, v: Tensor) -> Tensor:
        r"""Return the distance from ``v`` to $\partial\Omega(x)$; zero where $v$ is a subgradient.

        >>> x, v = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[0.6, 0.8], [0.0, 2.0]])
        >>> round(GroupL2().residual(x, v).item(), 4)
        1.0
        """
        norms, thresholds = self.norms(x), self._thresholds(x)
        direction = x / _per_group(norms.clamp(min=1e-30), x)
        active = self.norms(v - _per_group(thresholds, x) * direction)
        inside = (self.norms(v) - thresholds).clamp(min=0)
        return torch.where(norms != 0, active, inside).square().sum().sqrt()

    def norms(self, x: Tensor) -> Tensor:
        r"""Return $\|x^g\|$ for every group, [groups]."""
        if x.ndim < 2:
            raise ValueError(
                f"a group penalty needs a tensor of two or more dimensions, one group a row, got "
                f"shape {tuple(x.shape)}; use L1, or reshape it to [groups, size]"
            )
        norms: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
        return norms

    def _thresholds(self, x: Tensor) -> Tensor:
        if self.weights is None:
            return x.new_full((len(x),), self.scale)
        if self.weights.shape != (len(x),) or not bool((self.weights > 0).all()):
            raise ValueError(
                f"weights must be {len(x)} positive numbers, one for each group, got "
                f"{self.weights.tolist()}; pass None for equal weights"
            )
        return self.scale * self.weights.to(x)


def _per_group(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.ndim - 1))
