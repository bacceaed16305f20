r"""Whether a path is the inverse scale space of its data: four violations, all near zero if so."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_finite
from fedlearn_lib.sparse.path import Path, linear_models
from fedlearn_lib.sparse.signed_fit import data_of

#: A coordinate that would reach the boundary within this part of the time is there.
NOW = 1e-9
#: What is below this part of the terms of a correlation is the rounding of their sum.
ROUNDING = 2e-15


class Certificate(NamedTuple):
    r"""How far a path is from being the inverse scale space of its data: four largest violations.

    ``box`` of $|\rho_j|\le1$, ``sign`` of $\rho_j=\mathrm{sign}\,\beta_j$ where $\beta_j\ne0$ (both
    at the two ends of every piece); ``gradient`` of $x_j^\top(y-X\beta)=0$ where $\beta_j\ne0$ and
    ``outward`` of $\rho_jx_j^\top(y-X\beta)\le0$ where $\beta_j=0$ and $|\rho_j|=1$ (both at every
    knot, divided by the largest $|x_j^\top y|$). ``rounding`` is no violation: by so much a
    $\rho_j$ may be rounded at the last knot, and violations below that are not seen.
    """

    box: float
    sign: float
    gradient: float
    outward: float
    rounding: float = 0.0

    @property
    def worst(self) -> float:
        """The largest of the four violations."""
        return max(self[:4])


@checked(X="n p", y="n")
def certificate(path: Path, X: Tensor, y: Tensor) -> Certificate:
    r"""Measure, from the times and coefficients alone, whether a path solves the inclusion.

    $\rho$ is integrated exactly: from $\rho_0=0$ it grows by $(t_{k+1}-t_k)X^\top(y-X\beta_k)/n$
    between two knots. That it is a subgradient at both ends of each piece proves it between
    them, for subgradients form a convex set.

    What rounding can do is discounted: a correlation that :func:`iss_path` takes for zero is zero,
    and what a sum of ``ROUNDING`` times its terms adds to $\rho_j$ until a knot is no violation.
    On columns of very different length, or nearly dependent ones, the last times are so large
    that this discount reaches 1. Then nothing is proven there: look at ``rounding``, too.

    Parameters
    ----------
    path : what :func:`iss_path` returned, or any path with piecewise constant coefficients.
    X, y : [n p] and [n], the data that it is a path of.

    >>> from fedlearn_lib import iss_path
    >>> X, y = torch.eye(3), torch.tensor([2.0, -1.0, 0.5])
    >>> certificate(iss_path(X, y), X, y).worst < 1e-12
    True

    Source: Osher, Ruan, Xiong, Yao and Yin (2016) for the inclusion; the certificate is ours.
    """
    X, y, norms, zero = (torch.from_numpy(part) for part in data_of(X, y))
    w, n = linear_models(path, X.shape[1]).double(), len(y)
    check_finite("path.w", w)
    g = torch.cat([y[None] @ X, (y - w @ X.T) @ X]) / n  # [K+1 p], on each piece
    terms = torch.cat([y.norm()[None], y.norm() + w.abs() @ norms])
    rounding = ROUNDING / n * terms[:, None] * norms  # [K+1 p], of g
    g[g.abs() <= torch.maximum(zero, rounding)] = 0
    spans = torch.diff(path.t, prepend=path.t.new_zeros(1))[:, None]
    rho, slack = (spans * g[:-1]).cumsum(0), (spans * rounding[:-1]).cumsum(0)  # [K p], at knots
    inside, scale = w != 0, g[0].abs().max()
    tight = 1 - rho.abs() <= NOW * path.t[:, None] * g[1:].abs()
    left, right = (rho - w.sign()).abs() - slack, (rho[1:] - w[:-1].sign()).abs() - slack[1:]
    sign = torch.cat([left[inside], right[inside[:-1]]])
    outward = (rho.sign() * g[1:])[tight & ~inside] / scale
    return Certificate(
        box=_largest(rho.abs() - 1 - slack),
        sign=_largest(sign),
        gradient=_largest(g[1:][inside].abs() / scale),
        outward=_largest(outward),
        rounding=_largest(slack),
    )


def _largest(violations: Tensor) -> float:
    return float(violations.clamp(min=0).max()) if violations.numel() else 0.0
