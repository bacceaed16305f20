r"""The inverse scale space of the $\ell_1$ norm, exactly: large coefficients first, unshrunken.

Between two knots nothing has to be computed, for the coefficients stand still and the dual path
is a straight line. At a knot they jump to a least-squares fit with signs prescribed, which
``signed_fit.py`` computes. All arrays are NumPy's, whose calls cost less than torch's.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers
from fedlearn_lib.sparse.path import Path
from fedlearn_lib.sparse.signed_fit import Array, Data, Fit, Mask, Numbers, data_of, fit_with_signs

#: A coordinate of the dual path that is so close to the boundary at a knot has reached it.
TIE = 1e-12
#: A column of which less than this part is outside of the span of others depends on them.
DEPENDS = 1e-6


@checked(X="n p", y="n")
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
    data = data_of(X, y)
    times, fits, spare = _walk(data, max_active or math.inf, max_knots or math.inf, t_max)
    if not times:
        raise ValueError(
            f"no coordinate enters up to t_max={t_max}: the largest |x_j . y| / n is "
            f"{np.abs(data.gradient(data.y)).max():.3g}, and the first enters at its inverse; "
            "raise t_max, or look whether y is zero or orthogonal to every column"
        )
    if spare:
        _warn_of(sorted(spare))
    w = np.zeros((len(times), len(data.zero)))
    for row, (active, beta) in zip(w, fits, strict=True):
        row[active] = beta
    path = torch.from_numpy(w)
    return Path(torch.tensor(times, dtype=path.dtype), path, path)


def _walk(
    data: Data, most: float, knots: float, t_max: float
) -> tuple[list[float], list[tuple[Numbers, Array]], set[int]]:
    """Go from knot to knot: times, columns and coefficients from each on, and columns to spare."""
    times: list[float] = []
    fits: list[tuple[Numbers, Array]] = []
    spare: set[int] = set()
    fit, t, rho, g = Fit.empty(data), 0.0, np.zeros_like(data.zero), data.gradient(data.y)
    while len(times) < knots and len(fit.active) < most:
        step, rho, tight = _next_knot(rho, g, np.abs(g) > data.zero)
        t += step
        if math.isinf(t) or t > t_max:
            break
        fit, g = fit_with_signs(data, rho, tight, fit, g)
        times.append(t)
        fits.append((fit.active, fit.beta))
        if len(tight) > len(fit.active):
            spare |= _dependent(data, fit, g, np.setdiff1d(tight, fit.active))
    return times, fits, spare


def _next_knot(rho: Array, g: Array, moves: Mask) -> tuple[float, Array, Numbers]:
    """Return how long until the next coordinate reaches 1, the dual there, and who is at 1."""
    with np.errstate(divide="ignore", invalid="ignore"):  # where g is zero
        wait = np.where(moves, (np.copysign(1.0, g) - rho) / g, math.inf)
    first = wait.argmin()
    step = float(wait[first])
    if math.isinf(step):
        return step, rho, np.flatnonzero(np.abs(rho) == 1)
    moved = np.where(moves, rho + step * g, rho)
    reached = np.abs(moved) >= 1 - TIE
    reached[first] = True
    tight = np.flatnonzero(reached)
    moved[tight] = np.sign(moved[tight])
    return step, moved, tight


def _dependent(data: Data, fit: Fit, g: Array, columns: Numbers) -> set[int]:
    """Return those of some columns that are combinations of the columns that are in."""
    columns = columns[np.abs(g[columns]) <= data.zero[columns]]
    x = data.X[:, columns]
    rest = np.linalg.norm(x - fit.Q.T @ (fit.Q @ x), axis=0)
    return set(columns[rest <= DEPENDS * data.norms[columns]].tolist())


def _warn_of(columns: list[int]) -> None:
    more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    warnings.warn(
        f"columns {columns[:10]}{more} reached the boundary and stayed at zero because they depend "
        "on columns that are in: the coefficients are one choice of several, the fit and the dual "
        "path are unique; leave such columns out to have one answer",
        stacklevel=4,  # past the decorator
    )
