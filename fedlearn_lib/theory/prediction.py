r"""How well the path predicts where no irrepresentable condition holds: a cone, and two rates.

$y=X\beta^*+\varepsilon$ with $\beta^*$ zero outside $S$, $s=|S|$; $\hat\beta$ is the least-squares
fit of somebody who knows $S$, and $\omega=\max_{j\notin S}|X_j^\top(y-X\hat\beta)|/n$
(:func:`fedlearn_lib.theory.noise_rate`). $\beta_r$ is the inverse scale space, $\bar\beta_t$ its
average over the times up to $t$.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_columns, check_nonnegative, check_positive

#: Half of the sign patterns of the support are tried one by one, so it must be small.
MOST = 12


class Prediction(NamedTuple):
    r"""Bounds on squared prediction errors $\|X(\cdot-\hat\beta)\|^2/n$.

    Attributes
    ----------
    average : of $\bar\beta_t$, the average of the path up to the time $t$.
    path : of $\beta_\tau$ at some time $\tau$ between $t/2$ and $t$.
    """

    average: float
    path: float


@checked(X="n p")
def compatibility(X: Tensor, support: Sequence[int], slack: float = 4.0) -> float:
    r"""Return $\phi$, the smallest $\sqrt{s/n}\|Xv\|$ over a cone; zero if the cone has a kernel.

    The cone is that of all $v$ with $\|v_S\|_1=1$ and $\|v_{S^c}\|_1\le$ ``slack``. Hence
    $\phi^2\|v_S\|_1^2\le s\|Xv\|^2/n$ whenever $\|v_{S^c}\|_1\le$ ``slack`` $\|v_S\|_1$. It is at
    least the restricted eigenvalue of the same cone, the smallest $\|Xv\|/\sqrt n\|v_S\|$.

    For every pattern of signs on S the columns $Xv$ fill a polytope, whose point nearest to zero
    is found by nonnegative least squares; with $s$ columns there are $2^{s-1}$ polytopes.

    >>> import torch
    >>> compatibility(2 * torch.eye(4), [0, 1])
    1.0
    >>> copied = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])  # the third is the sum
    >>> round(compatibility(copied, [0, 1]), 6)
    0.0
    """
    from scipy.optimize import nnls

    check_nonnegative(slack=slack)
    chosen = check_columns("support", support, X.shape[1], least=1)
    if len(chosen) > MOST:
        raise ValueError(
            f"support must have at most {MOST} columns, for each of whose sign patterns a problem "
            f"is solved, got {len(chosen)}; choose a smaller one"
        )
    A = X.detach().double().numpy() / math.sqrt(len(X))
    rest = np.delete(A, chosen, axis=1)
    far = slack * np.concatenate([rest, -rest, np.zeros((len(A), 1))], axis=1)
    nearest = math.inf
    for signs in product([1.0, -1.0], repeat=len(chosen) - 1):
        near = A[:, chosen] * np.array([1.0, *signs])
        corners = (near[:, :, None] + far[:, None, :]).reshape(len(A), -1)
        system = np.vstack([corners, np.ones(corners.shape[1])])
        shares, _ = nnls(system, np.append(np.zeros(len(A)), 1.0), maxiter=10 * system.size)
        nearest = min(nearest, float(np.linalg.norm(corners @ (shares / shares.sum()))))
    return math.sqrt(len(chosen)) * nearest


@checked(coefficients="s")
def prediction_bound(t: float, coefficients: Tensor, phi: float, *, omega: float) -> Prediction:
    r"""Return what a path predicts at worst at the time $t\le1/4\omega$, for any design.

    With $u=\phi^2t\|\hat\beta\|_1/2s$ and $h=1+\ln_+u$ the bounds are
    $\min\{2\|\hat\beta\|_1/t,\;4sh/(\phi t)^2\}$ for the average and
    $\min\{16\|\hat\beta\|_1/3t,\;48sh/(\phi t)^2\}$ for the path.

    Parameters
    ----------
    coefficients : [s], the oracle's $\hat\beta$ on its support.
    phi : :func:`compatibility` with the slack 4; 0 leaves the slow rates, which need no condition.
    omega : the noise rate, or a bound on it.

    >>> import torch
    >>> prediction_bound(8.0, torch.tensor([3.0, -1.0]), phi=0.0, omega=0.01).average
    1.0
    >>> prediction_bound(8.0, torch.tensor([0.25, -0.25]), phi=1.0, omega=0.01)
    Prediction(average=0.125, path=0.333...)
    """
    check_positive(t=t)
    check_nonnegative(phi=phi, omega=omega)
    if t * omega > 0.25 * (1 + 1e-12):
        raise ValueError(
            f"t must be at most 1 / (4 * omega) = {1 / (4 * omega):.4g}, beyond which false "
            f"variables may win, got {t!r}; stop earlier"
        )
    size, s = float(coefficients.double().abs().sum()), len(coefficients)
    slow = Prediction(2 * size / t, 16 * size / (3 * t))
    if phi == 0 or size == 0:
        return slow
    height = 1 + max(0.0, math.log(phi**2 * t * size / (2 * s)))
    fast = s * height / (phi * t) ** 2
    return Prediction(min(slow.average, 4 * fast), min(slow.path, 48 * fast))
