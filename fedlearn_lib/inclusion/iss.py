r"""The inverse scale space of the $\ell_1$ norm, exactly: large coefficients first, unshrunken.

Between two knots nothing has to be computed, for the coefficients stand still and the dual path
is a straight line. At a knot they jump to a least-squares fit with signs prescribed.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib._checks import check_finite, check_integers, check_regression
from fedlearn_lib.inclusion.path import Path

#: A correlation below this part of $\|x_j\|\|y\|$ is zero: what is left of $y$ is rounding.
NOTHING = 1e-10
#: A coordinate of the dual path that is so close to the boundary at a knot has reached it.
TIE = 1e-12
#: A column of which less than this part is outside of the span of others depends on them.
DEPENDS = 1e-6
#: A coordinate that would reach it within this part of the time is there, for the certificate.
NOW = 1e-9


class _Data(NamedTuple):
    r"""The data in float64, $\|x_j\|$ [p], and the correlations that count as zero, [p]."""

    X: Tensor
    y: Tensor
    norms: Tensor
    zero: Tensor

    def gradient(self, residual: Tensor) -> Tensor:
        return (residual @ self.X) / len(self.y)


class _Fit(NamedTuple):
    r"""Least squares on the columns that are in: ``X[:, active] = Q R``, ``beta`` [a].

    ``turned`` is $Q^\top y$ [a] and ``rest`` the residual $y-QQ^\top y$ [n].
    """

    active: list[int]
    beta: Tensor
    Q: Tensor
    R: Tensor
    turned: Tensor
    rest: Tensor


def iss_path(
    X: Tensor,
    y: Tensor,
    *,
    max_active: int | None = None,
    max_knots: int | None = None,
    t_max: float = math.inf,
) -> Path:
    r"""Return the exact path of the inverse scale space, knot by knot.

    $$\dot\rho_t=\tfrac1n X^\top(y-X\beta_t),\qquad\rho_t\in\partial\|\beta_t\|_1,\qquad\rho_0=0.$$

    $\rho$ is piecewise linear and $\beta$ piecewise constant. A knot is a time at which another
    $|\rho_j|$ reaches 1; from it on, $\beta$ minimizes $\|y-X\beta\|^2$ over the cone
    $\beta_j\rho_j\ge0$ where $|\rho_j|=1$, $\beta_j=0$ elsewhere. Coordinates can leave and return.
    The data are used as given, in float64: center them first where the model has an intercept.

    Where columns depend on each other the fit $X\beta_t$ and $\rho_t$ are still unique, and
    $\beta_t$ is one of several: a column joins only if it improves the fit, the one with the
    largest gain first, of equal ones the first. So a copy of a column that is in stays at zero,
    and a warning names it.
    Coordinates that reach 1 together (to ``TIE``) share a knot. The path ends when every
    correlation with the residual is below ``NOTHING`` of its largest possible value.

    Parameters
    ----------
    X : [n p], the design.
    y : [n], the response.
    max_active : stop after the first knot with so many nonzero coefficients.
    max_knots : stop after so many knots.
    t_max : no knots after this path time.

    >>> path = iss_path(torch.eye(3) * 3**0.5, torch.tensor([2.0, -1.0, 0.5]) * 3**0.5)
    >>> path.t
    tensor([0.5000, 1.0000, 2.0000], dtype=torch.float64)
    >>> path.w[1]
    tensor([ 2., -1.,  0.], dtype=torch.float64)

    Source: Burger, Möller, Benning and Osher (2013) give the algorithm, Osher, Ruan, Xiong, Yao
    and Yin (2016) its statistics.
    """
    check_integers(max_active=max_active, max_knots=max_knots)
    if not t_max > 0:
        raise ValueError(f"t_max must be positive, got {t_max}; leave it out for the whole path")
    data = _data(X, y)
    most, knots = max_active or math.inf, max_knots or math.inf
    fit = _Fit([], data.y[:0], data.X[:, :0], data.X[:0, :0], data.y[:0], data.y)
    times: list[float] = []
    rows: list[Tensor] = []
    spare: set[int] = set()
    t, rho, g = 0.0, torch.zeros_like(data.zero), data.gradient(data.y)
    while len(times) < knots and len(fit.active) < most:
        step, moved = _next_knot(rho, torch.where(g.abs() > data.zero, g, 0))
        if math.isinf(step) or t + step > t_max:
            break
        t, rho = t + step, moved
        fit, g = _fit_with_signs(data, rho, fit, g)
        times.append(t)
        rows.append(torch.zeros_like(rho))
        rows[-1][fit.active] = fit.beta
        spare |= _spare(data, fit, (rho.abs() == 1) & (rows[-1] == 0) & (g.abs() <= data.zero))
    if not times:
        raise ValueError(
            f"no coordinate enters up to t_max={t_max}: the largest |x_j . y| / n is "
            f"{float(g.abs().max()):.3g}, and the first enters at its inverse; raise t_max, or "
            "look whether y is zero or orthogonal to every column"
        )
    if spare:
        _warn_of(sorted(spare))
    w = torch.stack(rows)
    return Path(torch.tensor(times, dtype=w.dtype), w, w)


def _spare(data: _Data, fit: _Fit, still: Tensor) -> set[int]:
    """Return those of some columns that are combinations of the columns that are in."""
    if not bool(still.any()):
        return set()
    columns = still.nonzero()[:, 0]
    x = data.X[:, columns]
    rest = torch.linalg.vector_norm(x - fit.Q @ (fit.Q.T @ x), dim=0)
    return set(columns[rest <= DEPENDS * data.norms[columns]].tolist())


def _warn_of(columns: list[int]) -> None:
    more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    warnings.warn(
        f"columns {columns[:10]}{more} reached the boundary and stayed at zero because they depend "
        "on columns that are in: the coefficients are one choice of several, the fit and the dual "
        "path are unique; leave such columns out to have one answer",
        stacklevel=3,
    )


def _next_knot(rho: Tensor, g: Tensor) -> tuple[float, Tensor]:
    """Return how long until the next coordinate reaches 1, and the dual vector there."""
    wait = torch.where(g != 0, (1 - rho * g.sign()) / g.abs(), math.inf)
    step, first = wait.min(0)
    moved = rho + torch.where(torch.isinf(step), 0, step) * g
    tight = moved.abs() >= 1 - TIE
    tight[first] = True
    return float(step), torch.where(tight, moved.sign(), moved)


def _fit_with_signs(data: _Data, rho: Tensor, fit: _Fit, g: Tensor) -> tuple[_Fit, Tensor]:
    r"""Minimize $\|y-X\beta\|^2$ over the cone of ``rho``; return the fit and its gradient."""
    tight, limit = rho.abs() == 1, 10 * (len(fit.active) + 10)
    for _ in range(limit):
        gain = torch.where(tight, rho * g, 0)
        gain = torch.where(gain > data.zero, gain, 0)
        j = int(gain.argmax())
        if gain[j] == 0:
            return fit, g
        fit = _enter(data, rho, fit, j)
        g = data.gradient(fit.rest)
    raise RuntimeError(
        f"the fit at a knot did not settle after {limit} exchanges of columns: rounding decides "
        "which of several nearly dependent columns is in; remove columns that nearly repeat "
        "others, or stop earlier by max_active or t_max"
    )


def _enter(data: _Data, rho: Tensor, fit: _Fit, j: int) -> _Fit:
    """Let column j in; walk to the new least squares, leaving columns behind at their zero."""
    fit = _append(fit, j, data.X[:, j])
    tiny = 0.01 * NOTHING * torch.linalg.vector_norm(data.y)
    while True:
        goal = torch.linalg.solve_triangular(fit.R, fit.turned[:, None], upper=True)[:, 0]
        now, then = rho[fit.active] * fit.beta, rho[fit.active] * goal
        flips = then * data.norms[fit.active] <= tiny
        if not bool(flips.any()):
            return fit._replace(beta=goal)
        part = torch.where(now > then, now / (now - then), 0).clamp(0, 1)
        share, i = torch.where(flips, part, 2.0).min(0)
        fit = fit._replace(beta=fit.beta + share * (goal - fit.beta))
        fit = _remove(fit, int(i), data.y)


def _append(fit: _Fit, j: int, x: Tensor) -> _Fit:
    """Update the factorization by a last column (Gram-Schmidt, twice where digits cancel)."""
    Q, before = fit.Q, torch.linalg.vector_norm(x)
    turned = Q.T @ x
    x = x - Q @ turned
    if torch.linalg.vector_norm(x) < 0.7 * before:
        again = Q.T @ x
        turned, x = turned + again, x - Q @ again
    length = torch.linalg.vector_norm(x)
    R = torch.nn.functional.pad(fit.R, (0, 1, 0, 1))
    R[:, -1] = torch.cat([turned, length[None]])
    q = x / length
    step = q @ fit.rest
    return _Fit(
        active=[*fit.active, j],
        beta=torch.nn.functional.pad(fit.beta, (0, 1)),
        Q=torch.cat([Q, q[:, None]], 1),
        R=R,
        turned=torch.cat([fit.turned, step[None]]),
        rest=fit.rest - step * q,
    )


def _remove(fit: _Fit, i: int, y: Tensor) -> _Fit:
    """Update the factorization by leaving out column i: only what follows it changes."""
    turn, low = torch.linalg.qr(fit.R[i:, i + 1 :])
    R = torch.cat([fit.R[:, :i], fit.R[:, i + 1 :]], 1)[:-1]
    R[i:, i:] = low
    Q = torch.cat([fit.Q[:, :i], fit.Q[:, i:] @ turn], 1)
    kept = [k for k in range(len(fit.active)) if k != i]
    turned = Q.T @ y
    return _Fit([fit.active[k] for k in kept], fit.beta[kept], Q, R, turned, y - Q @ turned)


def _data(X: Tensor, y: Tensor) -> _Data:
    X, y = check_regression(X, y)
    check_finite("y", y)
    norms = torch.from_numpy(np.sqrt(np.einsum("ij,ij->j", X.numpy(), X.numpy())))  # one pass
    check_finite("X", norms if bool(torch.isfinite(norms).all()) else X)
    return _Data(X, y, norms, NOTHING * norms * torch.linalg.vector_norm(y) / len(y))


class Certificate(NamedTuple):
    r"""How far a path is from being the inverse scale space of its data: four largest violations.

    ``box`` of $|\rho_j|\le1$, ``sign`` of $\rho_j=\mathrm{sign}\,\beta_j$ where $\beta_j\ne0$ (both
    at the two ends of every piece); ``gradient`` of $x_j^\top(y-X\beta)=0$ where $\beta_j\ne0$ and
    ``outward`` of $\rho_jx_j^\top(y-X\beta)\le0$ where $\beta_j=0$ and $|\rho_j|=1$ (both at every
    knot, divided by the largest $|x_j^\top y|$).
    """

    box: float
    sign: float
    gradient: float
    outward: float

    @property
    def worst(self) -> float:
        """The largest of the four."""
        return max(self)


def certificate(path: Path, X: Tensor, y: Tensor) -> Certificate:
    r"""Measure, from the times and coefficients alone, whether a path solves the inclusion.

    $\rho$ is integrated exactly: from $\rho_0=0$ it grows by $(t_{k+1}-t_k)X^\top(y-X\beta_k)/n$
    between two knots. That it is a subgradient at both ends of each piece proves it between
    them, for subgradients form a convex set.

    Parameters
    ----------
    path : what :func:`iss_path` returned, or any path with piecewise constant coefficients.
    X, y : [n p] and [n], the data that it is a path of.

    >>> X, y = torch.eye(3), torch.tensor([2.0, -1.0, 0.5])
    >>> certificate(iss_path(X, y), X, y).worst < 1e-12
    True

    Source: Osher, Ruan, Xiong, Yao and Yin (2016) for the inclusion; the certificate is ours.
    """
    X, y = _data(X, y)[:2]
    w, n = torch.as_tensor(path.w), len(y)
    g = torch.cat([y[None] @ X, (y - w @ X.T) @ X]) / n  # [K+1 p], on each piece
    spans = torch.diff(path.t, prepend=path.t.new_zeros(1))
    rho = (spans[:, None] * g[:-1]).cumsum(0)  # [K p], at each knot
    inside, scale = w != 0, g[0].abs().max()
    tight = 1 - rho.abs() <= NOW * path.t[:, None] * g[1:].abs()
    left, right = (rho - w.sign()).abs(), (rho[1:] - w[:-1].sign()).abs()
    sign = torch.cat([left[inside], right[inside[:-1]]])
    outward = (rho.sign() * g[1:])[tight & ~inside] / scale
    return Certificate(
        box=_largest(rho.abs() - 1),
        sign=_largest(sign),
        gradient=_largest(g[1:][inside].abs() / scale),
        outward=_largest(outward),
    )


def _largest(violations: Tensor) -> float:
    return float(violations.clamp(min=0).max()) if violations.numel() else 0.0
