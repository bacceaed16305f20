r"""Which variables linearized Bregman iterations select: conditions, times and errors.

$y=X\beta^*+\varepsilon$ with $\beta^*$ zero outside $S$, $s=|S|$. With $P$ the projection on the
columns of $S$, $\hat\beta=(X_S^\top X_S)^{-1}X_S^\top y$ is the fit of somebody who knows $S$ (the
oracle). Constants and proofs are those of the book's chapter on linearized Bregman iterations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_columns, check_nonnegative
from fedlearn_lib.sparse.curvature import largest_curvature

#: Columns whose Gram matrix has an eigenvalue below this part of its largest entry are dependent.
SINGULAR = 1e-10


class Selection(NamedTuple):
    r"""Times and errors of the sign-consistency theorem.

    Attributes
    ----------
    first : from here on all signs in S are right: $\alpha+\frac{1+\ln_+(D_0\mu/\gamma b^2)}{c\mu}$.
    last : no false positive until here, $\bar\tau$.
    noise : bound on $\|\hat\beta-\beta^*\|_2$ that holds with the probability.
    rest : bound on $\|\beta_k-\hat\beta\|_2$ at ``last``.
    probability : all of it holds with at least this probability, if ``first`` < ``last``.
    """

    first: float
    last: float
    noise: float
    rest: float
    probability: float


@checked(X="n p")
def restricted_convexity(X: Tensor, support: Sequence[int]) -> float:
    r"""Return $\gamma$, the smallest eigenvalue of $X_S^\top X_S/n$.

    >>> restricted_convexity(2 * torch.eye(4), [0, 1])
    1.0
    """
    XS = _columns(X, support)[0]
    return float(torch.linalg.eigvalsh(XS.T @ XS / len(XS))[0].clamp(min=0))


@checked(X="n p", signs="s")
def irrepresentable(X: Tensor, support: Sequence[int], signs: Tensor | None = None) -> float:
    r"""Return $\|X_{S^c}^\top X_S(X_S^\top X_S)^{-1}\|_\infty$, at best below one.

    It is the largest sum of absolute coefficients in the regression of a column outside S on the
    columns of S. With ``signs`` [s] it is $\max_{j\notin S}|X_j^\top X_S(X_S^\top X_S)^{-1}
    \mathrm{sign}|$ instead, which is not larger.

    >>> X = torch.tensor([[1.0, 0.0, 0.6], [0.0, 1.0, -0.6], [0.0, 0.0, 0.5]])
    >>> round(irrepresentable(X, [0, 1]), 4)
    1.2
    >>> irrepresentable(X, [0, 1], torch.tensor([1.0, 1.0]))
    0.0
    """
    M = _regressions(X, support)
    if signs is not None and len(signs) != M.shape[1]:
        raise ValueError(
            f"signs must be one for each of the {M.shape[1]} columns of support, got {len(signs)}"
        )
    if not len(M):
        return 0.0
    values = M.abs().sum(1) if signs is None else (M @ signs.to(M)).abs()
    return float(values.max())


@checked(X="n p", noise="n")
def noise_rate(X: Tensor, support: Sequence[int], noise: Tensor) -> float:
    r"""Return $\omega=\max_{j\notin S}|X_j^\top(I-P)\varepsilon|/n$, the speed of false entries.

    >>> noise_rate(2 * torch.eye(4), [0, 1], torch.tensor([9.0, 9.0, -3.0, 1.0]))
    1.5
    """
    XS, rest = _columns(X, support)
    noise = noise.to(XS)
    left = noise - XS @ torch.linalg.lstsq(XS, noise[:, None]).solution[:, 0]
    return float((rest.T @ left).abs().max() / len(XS)) if rest.shape[1] else 0.0


@checked(X="n p", y="n")
def oracle_reach(X: Tensor, support: Sequence[int], y: Tensor) -> float:
    r"""Return $B=2\|Py\|/\sqrt{n\gamma}$: no coefficient of the oracle's path exceeds it.

    >>> oracle_reach(2 * torch.eye(4), [0, 1], torch.tensor([6.0, 8.0, 1.0, 0.0]))
    10.0
    """
    XS = _columns(X, support)[0]
    fitted = XS @ torch.linalg.lstsq(XS, y.to(XS)[:, None]).solution
    return float(2 * fitted.norm() / math.sqrt(len(XS) * restricted_convexity(X, support)))


@checked()
def safe_time(eta: float, omega: float, *, reach: float = 0.0, kappa: float = math.inf) -> float:
    r"""Return $\big(\eta-(1-\eta)B/\kappa\big)/\omega$, before which no false positive enters.

    ``eta`` is one minus the irrepresentable value, ``omega`` the noise rate (or a bound on it),
    ``reach`` is $B$. Zero where the condition fails or $\kappa$ is too small.

    >>> safe_time(0.5, 0.1, reach=10.0, kappa=100.0), safe_time(-0.1, 0.1)
    (4.5, 0.0)
    """
    check_nonnegative(omega=omega, reach=reach)
    if not -math.inf < eta <= 1:
        raise ValueError(
            f"eta must be a number of at most 1, got {eta!r}; it is 1 - irrepresentable(X, support)"
        )
    _check_kappa(kappa)
    left = eta - ((1 - eta) * reach / kappa if reach else 0.0)
    return max(0.0, left) / omega if omega > 0 else (math.inf if left > 0 else 0.0)


@checked(coefficients="s")
def sign_time(
    coefficients: Tensor, gamma: float, *, kappa: float = math.inf, c: float = 1.0, lr: float = 0.0
) -> float:
    r"""Return $\alpha+\frac1{c\mu}\big(1+\ln_+\frac{D_0\mu}{\gamma b^2}\big)$.

    After this time the oracle's path has the signs of $\hat\beta$ (``coefficients``, [s]), where
    $b=\min_j|\hat\beta_j|$, $\mu=\gamma/(2/b+1/2\kappa)$ and
    $D_0=\|\hat\beta\|_1+\|\hat\beta\|^2/2\kappa$. For LBI $c=1-\alpha\kappa\|X_S^\top X_S/n\|/2$;
    for the differential inclusion $c=1$ and $\alpha=0$.

    >>> round(sign_time(torch.tensor([2.0, -2.0]), gamma=1.0), 4)
    1.0
    """
    check_nonnegative(lr=lr)
    mu, start, b = _rate(coefficients, gamma, kappa)
    if not 0 < c <= 1:
        raise ValueError(f"c must lie in (0, 1], got {c!r}; lower lr below 2/(kappa * norm)")
    return lr + (1 + max(0.0, math.log(start * mu / (gamma * b**2)))) / (c * mu)


@checked(X="n p", beta="p")
def selection_bound(
    X: Tensor,
    beta: Tensor,
    sigma: float,
    *,
    kappa: float = math.inf,
    lr: float = 0.0,
    delta: float = 0.05,
) -> Selection:
    r"""Return what the sign-consistency theorem promises for the truth ``beta`` [p].

    The noise is $N(0,\sigma^2I)$. With probability at least $1-2\delta$ both
    $\omega\le\sigma C\sqrt{2\ln((p-s)/\delta)/n}$, where $C=\max_{j\notin S}\|X_j\|/\sqrt n$, and
    $\|\hat\beta-\beta^*\|_\infty\le r=\sigma\sqrt{2\ln(s/\delta)/(n\gamma)}$. Then the path has the
    signs of ``beta``, zeros included, at all its times between ``first`` and ``last``.

    Parameters
    ----------
    lr : $\alpha$; 0 is the differential inclusion, and with ``kappa`` infinite its limit.
    delta : $\delta$, between 0 and 1/2; from 1/2 on nothing would be promised.

    >>> X, beta = 20 * torch.eye(400), torch.cat([torch.full((4,), 3.0), torch.zeros(396)])
    >>> bound = selection_bound(X, beta, sigma=1.0)
    >>> round(bound.first, 2), round(bound.last, 2), round(bound.probability, 2)
    (1.26, 4.72, 0.9)
    """
    if not (0 < delta < 0.5 and 0 <= sigma < math.inf and 0 <= lr < math.inf):
        raise ValueError(
            "delta must lie between 0 and 1/2, sigma and lr must be finite and not negative, got "
            f"{delta!r}, {sigma!r} and {lr!r}; correct them"
        )
    _check_kappa(kappa)
    beta = beta.double()
    support = beta.nonzero().flatten().tolist()
    XS, rest = _columns(X, support)
    n, s, outside = len(XS), len(support), rest.shape[1]
    gamma, top = restricted_convexity(X, support), largest_curvature(XS)
    r = sigma * math.sqrt(2 * math.log(s / delta) / (n * gamma))
    size = float(beta.norm()) + math.sqrt(s) * r  # of the oracle's fit
    largest = float(rest.norm(dim=0).max()) / math.sqrt(n) if outside else 0.0
    omega = sigma * largest * math.sqrt(2 * math.log(max(outside, 1) / delta) / n)
    reach = 2 * math.sqrt(top / gamma) * size
    last = safe_time(1 - irrepresentable(X, support), omega, reach=reach, kappa=kappa)
    inner, c = beta[support].abs() - r, 1 - lr * kappa * top / 2 if lr else 1.0
    if not c > 0:
        raise ValueError(
            f"lr must be below {2 / (kappa * top):.4g}, beyond which the iteration is unstable for "
            f"this X and kappa={kappa:g}, got {lr!r}; lower lr or kappa"
        )
    if float(inner.min()) <= 0 or last == 0:
        return Selection(math.inf, last, math.sqrt(s) * r, math.inf, 1 - 2 * delta)
    outer = beta[support].abs() + r
    start = float(outer.sum()) + size**2 / (2 * kappa)
    mu, _, b = _rate(inner, gamma, kappa)
    first = lr + (1 + max(0.0, math.log(start * mu / (gamma * b**2)))) / (c * mu)
    left = math.sqrt(start * mu / gamma) * math.exp((1 - c * mu * (last - 2 * lr)) / 2)
    return Selection(first, last, math.sqrt(s) * r, left, 1 - 2 * delta)


def _check_kappa(kappa: float) -> None:
    if not kappa > 0:
        raise ValueError(f"kappa must be positive, got {kappa!r}; math.inf is the inclusion")


def _rate(beta: Tensor, gamma: float, kappa: float) -> tuple[float, float, float]:
    """Return μ, the Bregman distance at the start, and the smallest |β̂_j|."""
    b = float(beta.abs().min())
    if not (b > 0 and gamma > 0 and kappa > 0):
        raise ValueError(
            "the time needs coefficients other than zero, gamma > 0 and kappa > 0, got smallest "
            f"|coefficient| {b:.4g}, gamma={gamma:.4g}, kappa={kappa:.4g}; check the support"
        )
    mu = gamma / (2 / b + 1 / (2 * kappa))
    return mu, float(beta.abs().sum() + (beta**2).sum() / (2 * kappa)), b


def _columns(X: Tensor, support: Sequence[int]) -> tuple[Tensor, Tensor]:
    X = X.double()
    chosen = check_columns("support", support, X.shape[1], least=1)
    rest = torch.ones(X.shape[1], dtype=torch.bool)
    rest[chosen] = False
    return X[:, chosen], X[:, rest]


def _regressions(X: Tensor, support: Sequence[int]) -> Tensor:
    """Return M [p−s, s]: row j holds the coefficients of column j regressed on the support."""
    XS, rest = _columns(X, support)
    gram = XS.T @ XS
    if float(torch.linalg.eigvalsh(gram)[0]) <= SINGULAR * float(gram.diagonal().max()):
        raise ValueError(
            f"the columns of X in the support depend on each other, got {list(support)[:10]} with "
            "smallest eigenvalue 0; leave out the redundant ones"
        )
    M: Tensor = torch.linalg.solve(gram, XS.T @ rest).T
    return M
