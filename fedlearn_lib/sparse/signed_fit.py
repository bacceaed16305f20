r"""Least squares with signs prescribed: where a coefficient enters the path and where it leaves.

At a knot of the inverse scale space $\beta$ minimizes $\|y-X\beta\|^2$ over the cone
$\beta_j\rho_j\ge0$ where $|\rho_j|=1$, $\beta_j=0$ elsewhere. An active set solves it: the column
that improves the fit most enters, the coefficients walk from the old fit to the new one, and
those that reach zero on the way leave. An orthonormal basis of the columns that are in is kept.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedlearn_lib._checks import check_finite

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
#: A correlation below this part of $\|x_j\|\|y\|$ is zero: what is left of $y$ is rounding.
NOTHING = 1e-10
#: A coefficient that moves the fit by less than this part of $\|y\|$ in its direction is zero.
LEAVES = 0.01 * NOTHING
#: Gains that differ by less than this part are equal: copies of a column, up to rounding.
ALIKE = 1e-12
#: From so many entries on X is stored by columns, which makes each knot's pass over it shorter.
LARGE = 1 << 20
#: A projection that leaves less than this part of a column has lost digits, and is repeated.
CANCELS = 0.7


class Data(NamedTuple):
    r"""The data in float64, $\|x_j\|$ [p], and the correlations that count as zero, [p]."""

    X: Array
    y: Array
    norms: Array
    zero: Array

    def gradient(self, residual: Array) -> Array:
        g: Array = residual @ self.X
        g /= len(self.y)
        return g


def data_of(X: Tensor, y: Tensor) -> Data:
    """Take the data of a linear model to float64, and refuse columns too long for it."""
    A, b = (part.detach().double().numpy() for part in (X, y))
    if A.size > LARGE:
        A = np.asfortranarray(A)
    norms = np.sqrt(np.einsum("ij,ij->j", A, A))  # in one pass
    check_finite("X", torch.from_numpy(norms))
    return Data(A, b, norms, NOTHING * norms * np.linalg.norm(b) / len(b))


class Fit(NamedTuple):
    r"""Least squares on the columns that are in: ``X[:, active] @ S`` is the transpose of Q.

    Attributes
    ----------
    active : [a], their numbers in the order in which they entered.
    beta : [a], their coefficients, $SQy$ once the fit is done.
    Q : [a n], an orthonormal basis of their span, row by row.
    S : [a a], how the rows of Q are made of the columns.
    turned, rest : $Qy$, [a], and the residual $y-Q^\top Qy$, [n].
    """

    active: Numbers
    beta: Array
    Q: Array
    S: Array
    turned: Array
    rest: Array

    @classmethod
    def empty(cls, data: Data) -> Fit:
        none = np.empty(0)
        return cls(
            np.empty(0, np.intp), none, np.empty((0, len(data.y))), np.empty((0, 0)), none, data.y
        )


def fit_with_signs(data: Data, rho: Array, tight: Numbers, fit: Fit, g: Array) -> tuple[Fit, Array]:
    r"""Minimize $\|y-X\beta\|^2$ over the cone of ``rho``; return the fit and its gradient.

    Parameters
    ----------
    rho : [p], the signs. tight : the numbers of the coordinates at which it is 1 or -1.
    fit, g : where to start from, and $X^\top(y-X\beta)/n$ there, [p].
    """
    limit = 10 * (len(fit.active) + 10)
    for _ in range(limit):
        if len(fit.active) == len(tight):  # everybody is in
            return fit, g
        gain = rho[tight] * g[tight]
        gain[gain <= data.zero[tight]] = 0
        best = int(np.argmax(gain >= (1 - ALIKE) * gain.max()))  # of equal ones the first
        if gain[best] == 0:
            return fit, g
        fit = _enter(data, rho, fit, int(tight[best]))
        g = data.gradient(fit.rest)
    raise RuntimeError(
        f"the fit at a knot did not settle after {limit} exchanges of columns: rounding decides "
        "which of several nearly dependent columns is in; remove columns that nearly repeat "
        "others, or stop earlier by max_active or t_max"
    )


def _enter(data: Data, rho: Array, fit: Fit, j: int) -> Fit:
    """Let column j in; walk to the new least squares, leaving columns behind at their zero."""
    fit = _append(fit, j, data.X[:, j].copy())
    least = LEAVES * _norm(data.y)
    while True:
        goal = fit.S @ fit.turned
        signs = rho[fit.active]
        now, then = signs * fit.beta, signs * goal  # both are to be positive
        flips = np.flatnonzero(then * data.norms[fit.active] <= least)
        if not len(flips):
            return fit._replace(beta=goal)
        part = _part_of_the_way(now[flips], then[flips])
        first = part.argmin()
        fit = fit._replace(beta=fit.beta + part[first] * (goal - fit.beta))
        fit = _remove(fit, int(flips[first]), data.y)


def _part_of_the_way(now: Array, then: Array) -> Array:
    """Return the part, from 0 to 1, after which each coefficient on its way is zero."""
    falls = now > then
    part = np.zeros_like(now)
    part[falls] = now[falls] / (now - then)[falls]
    return part.clip(0, 1)


def _append(fit: Fit, j: int, x: Array) -> Fit:
    """Add what column j brings to the basis (Gram-Schmidt, twice where digits cancel)."""
    a, before = len(fit.active), _norm(x)
    known = fit.Q @ x
    x -= known @ fit.Q
    if _norm(x) < CANCELS * before:
        again = fit.Q @ x
        known, x = known + again, x - again @ fit.Q
    length = _norm(x)
    S = np.zeros((a + 1, a + 1))
    S[:a, :a], S[:a, a], S[a, a] = fit.S, -(fit.S @ known) / length, 1 / length
    q = x / length
    step = q @ fit.rest
    return Fit(
        active=np.concatenate([fit.active, [j]]),
        beta=np.concatenate([fit.beta, [0.0]]),
        Q=_with_row(fit.Q, q),
        S=S,
        turned=np.concatenate([fit.turned, [step]]),
        rest=fit.rest - step * q,
    )


def _with_row(Q: Array, q: Array) -> Array:
    """Return Q with one more row, [a + 1, n], in the array of which Q is the first rows.

    Most of the time of a long path would go to fresh copies of Q. A path goes on from its last fit
    only, so no other fit needs the row that is written.
    """
    a, whole = len(Q), Q.base
    if whole is None or len(whole) == a:
        whole = np.empty((2 * a + 16, len(q)))
        whole[:a] = Q
    whole[a] = q
    more: Array = whole[: a + 1]
    return more


def _remove(fit: Fit, i: int, y: Array) -> Fit:
    """Turn the basis until its last vector alone needs column i, and drop that vector."""
    v = fit.S[i].copy()
    v[-1] += math.copysign(_norm(v), v[-1])  # Householder: v is reflected on the last axis
    v /= _norm(v)
    S = fit.S - 2 * np.outer(fit.S @ v, v)
    Q = (fit.Q - 2 * np.outer(v, v @ fit.Q))[:-1]
    kept = np.arange(len(fit.active)) != i
    turned = Q @ y
    return Fit(fit.active[kept], fit.beta[kept], Q, S[kept, :-1], turned, y - turned @ Q)


def _norm(x: Array) -> float:
    return math.sqrt(x @ x)
