r"""Constants of the meta-loss $F_i(w)=f_i(w-\alpha\nabla f_i(w))$, and the speed of Per-FedAvg.

Each function takes constants that hold for every client and all $w$: $L$ and $\rho$, the Lipschitz
constants of gradient and Hessian; $B$, a bound on the gradient; $\sigma_G,\sigma_H$, the standard
deviations of one sample's gradient and Hessian; $\gamma_G,\gamma_H$, the spread over clients.
``convex=True`` uses that the Hessians have no negative eigenvalue, and needs $\alpha L\le1$.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fedlearn_lib._checks import check_integers


class Bound(NamedTuple):
    r"""The five terms of the convergence theorem for Per-FedAvg, and what removes each.

    Attributes
    ----------
    optimization : the distance to go; more rounds.
    noise : batches of the outer gradient and the Hessian; a smaller β, a larger cohort.
    sampling : not all clients take part; all of them, or a smaller βτ.
    drift : more than one local step; τ = 1, or a smaller βτ.
    residual : batches of the inner gradient; only a larger b.
    """

    optimization: float
    noise: float
    sampling: float
    drift: float
    residual: float

    @property
    def total(self) -> float:
        """The sum of the five terms, a bound on the mean of E‖∇F(w_k)‖² over the rounds."""
        return sum(self)


def stretch(L: float, alpha: float, *, convex: bool = False) -> float:
    r"""Return $\Lambda$, the most by which $I-\alpha\nabla^2f_i(w)$ stretches a vector.

    It is $1+\alpha L$ in general, and 1 for convex losses with $\alpha L\le1$.

    >>> stretch(2.0, 0.5), stretch(2.0, 0.5, convex=True)
    (2.0, 1.0)
    """
    _check(L=L, alpha=alpha)
    if convex and alpha * L > 1 + 1e-9:  # room for rounding
        raise ValueError(f"convex=True needs alpha * L <= 1, got {alpha * L:.4g}; lower alpha")
    return 1.0 if convex else 1 + alpha * L


def meta_smoothness(L: float, rho: float, B: float, alpha: float, *, convex: bool = False) -> float:
    r"""Return $L_F=L\Lambda^2+\alpha\rho B$, a Lipschitz constant of $\nabla F_i$.

    At most $4L+\alpha\rho B$ for $\alpha L\le1$ (Fallah et al., 2020).

    >>> meta_smoothness(2.0, 1.0, 3.0, alpha=0.5)
    9.5
    """
    _check(rho=rho, B=B)
    return L * stretch(L, alpha, convex=convex) ** 2 + alpha * rho * B


def meta_bias(
    L: float, rho: float, sigma_G: float, alpha: float, batch: int, *, convex: bool = False
) -> float:
    r"""Return $\mu=\Lambda\min(\alpha L\sigma_G/\sqrt b,\ \tfrac12\rho\alpha^2\sigma_G^2/b)$.

    A bound on $\|\mathbb E\tilde\nabla F_i(w)-\nabla F_i(w)\|$ for an inner batch of $b$ samples.
    The second argument of the minimum vanishes for quadratics, as the bias does.

    >>> meta_bias(1.0, 1.0, 2.0, alpha=1.0, batch=4), meta_bias(1.0, 1.0, 2.0, 1.0, 100)
    (1.0, 0.04)
    """
    _check(rho=rho, sigma_G=sigma_G)
    check_integers(batch=batch)
    first = alpha * L * sigma_G / math.sqrt(batch)
    second = 0.5 * rho * alpha**2 * sigma_G**2 / batch
    return stretch(L, alpha, convex=convex) * min(first, second)


def meta_variance(
    L: float,
    B: float,
    sigma_G: float,
    sigma_H: float,
    alpha: float,
    batches: tuple[int, int, int],
    *,
    convex: bool = False,
) -> float:
    r"""Return $\sigma_F^2$, a bound on $\mathbb E\|\tilde\nabla F_i(w)-\nabla F_i(w)\|^2$.

    $$\sigma_F^2=\Lambda^2\sigma_G^2\Big(\frac1{b'}+\frac{\alpha^2L^2}b\Big)
      +\frac{\alpha^2\sigma_H^2}{b''}\Big(B^2+\frac{\sigma_G^2}{b'}\Big).$$

    Parameters
    ----------
    sigma_H : for the spectral norm: $\mathbb E\|\nabla^2\ell(w;z)-\nabla^2f_i(w)\|^2\le\sigma_H^2$.
    batches : $(b,b',b'')$, samples to adapt with, to look back with, and for the Hessian.

    >>> meta_variance(1.0, 3.0, 2.0, 0.5, alpha=1.0, batches=(4, 2, 1))
    14.75
    """
    _check(B=B, sigma_G=sigma_G, sigma_H=sigma_H)
    inner, outer, third = batches
    check_integers(b=inner, b_prime=outer, b_second=third)
    s = stretch(L, alpha, convex=convex)
    gradients = s**2 * sigma_G**2 * (1 / outer + (alpha * L) ** 2 / inner)
    return gradients + (alpha * sigma_H) ** 2 / third * (B**2 + sigma_G**2 / outer)


def meta_dissimilarity(
    L: float, B: float, gamma_G: float, gamma_H: float, alpha: float, *, convex: bool = False
) -> float:
    r"""Return $\gamma_F=\Lambda(1+\alpha L)\gamma_G+\alpha B\gamma_H$.

    A bound on $\big(\frac1m\sum_i\|\nabla F_i(w)-\nabla F(w)\|^2\big)^{1/2}$ if $\gamma_G,\gamma_H$
    hold for all $w$; $\gamma_F^2\le32\gamma_G^2+2\alpha^2B^2\gamma_H^2$ for $\alpha L\le1$.

    >>> meta_dissimilarity(1.0, 3.0, 0.5, 0.25, alpha=1.0)
    2.75
    """
    _check(B=B, gamma_G=gamma_G, gamma_H=gamma_H)
    return stretch(L, alpha, convex=convex) * (1 + alpha * L) * gamma_G + alpha * B * gamma_H


def sampling_factor(m: int, cohort: int) -> float:
    r"""Return $\frac{m-c}{c(m-1)}=\frac{1-r}{r(m-1)}$ for a cohort of $c=rm$ of $m$ clients.

    The variance of the mean of $c$ numbers that are drawn from $m$ without replacement, divided
    by the variance of one of them.

    >>> sampling_factor(10, 1), sampling_factor(10, 5), sampling_factor(10, 10)
    (1.0, 0.1111111111111111, 0.0)
    """
    check_integers(m=m, cohort=cohort)
    if cohort > m:
        raise ValueError(f"cohort={cohort} is larger than m={m}; lower it")
    return 0.0 if m == cohort else (m - cohort) / (cohort * (m - 1))


def perfedavg_bound(
    *,
    gap: float,
    L_F: float,
    sigma_F2: float,
    gamma_F: float,
    bias: float,
    beta: float,
    tau: int,
    rounds: int,
    m: int,
    cohort: int,
) -> Bound:
    r"""Return the terms of a bound on $\frac1K\sum_{k<K}\mathbb E\|\nabla F(w_k)\|^2$.

    With $x=\beta L_F$ and $x\tau\le\frac14$,
    $$\frac{7\,(F(w_0)-F^*)}{3\beta\tau K}+\frac73\,\frac{x\sigma_F^2}c
      +\frac73\,x\tau\,\frac{m-c}{c(m-1)}\,\gamma_F^2
      +\Big[\frac83x^2\tau(\tau-1)\gamma_F^2+4x^2(\tau-1)\sigma_F^2\Big]+4\mu^2.$$

    Parameters
    ----------
    gap : $F(w_0)-F^*$.
    L_F, sigma_F2, gamma_F, bias : from the four functions ``meta_…``; ``bias`` is $\mu$.
    beta, tau, rounds : $\beta$, $\tau$ and $K$.
    m, cohort : clients, and clients in a round.

    The structure is that of Fallah, Mokhtari, Ozdaglar, NeurIPS 2020; constants and proof are
    those of the book's chapter on convergence.

    >>> perfedavg_bound(gap=3.0, L_F=1.0, sigma_F2=0.0, gamma_F=3.0, bias=0.5, beta=0.25, tau=1,
    ...                 rounds=7, m=4, cohort=1)
    Bound(optimization=4.0, noise=0.0, sampling=5.25, drift=0.0, residual=1.0)
    """
    _check(gap=gap, L_F=L_F, sigma_F2=sigma_F2, gamma_F=gamma_F, bias=bias, beta=beta)
    check_integers(tau=tau, rounds=rounds)
    x, share = beta * L_F, sampling_factor(m, cohort)
    if not 0 < x * tau <= 0.25 + 1e-12:
        raise ValueError(
            f"the theorem needs 0 < beta * tau * L_F <= 1/4, got {x * tau:.4g}; choose beta "
            f"between 0 and {1 / (4 * tau * L_F) if L_F else math.inf:.4g}"
        )
    return Bound(
        optimization=7 * gap / (3 * beta * tau * rounds),
        noise=7 / 3 * x * sigma_F2 / cohort,
        sampling=7 / 3 * x * tau * share * gamma_F**2,
        drift=8 / 3 * x**2 * tau * (tau - 1) * gamma_F**2 + 4 * x**2 * (tau - 1) * sigma_F2,
        residual=4 * bias**2,
    )


def balanced_steps(eps: float, *, everybody: bool) -> tuple[float, int, int]:
    r"""Return $(\beta,\tau,K)$ that make every term but the residual of order $\epsilon$.

    With all clients in each round $\beta=\epsilon$, $\tau=\epsilon^{-1/2}$, $K=\epsilon^{-3/2}$;
    with a fixed share of them $\tau=1$ and $K=\epsilon^{-2}$, because the term of client
    sampling allows no more than $\beta\tau=\epsilon$. Numbers of steps are rounded up.

    >>> balanced_steps(0.01, everybody=True), balanced_steps(0.01, everybody=False)
    ((0.01, 10, 1000), (0.01, 1, 10000))
    """
    if not 0 < eps < 1:
        raise ValueError(f"eps must lie between 0 and 1, got {eps!r}; try 0.01")
    powers = (-0.5, -1.5) if everybody else (0.0, -2.0)
    tau, rounds = (math.ceil(round(eps**power, 6)) for power in powers)
    return eps, tau, rounds


def softmax_constants(radius: float) -> tuple[float, float, float]:
    r"""Return $(L,B,\rho)=\big(\tfrac12R^2,\ \sqrt2R,\ R^3/\sqrt2\big)$ for softmax regression.

    Cross-entropy of a linear map, all inputs (with the constant 1 of the bias, if there is one)
    of norm at most $R$; the constants hold for every $w$ and every client.

    >>> L, B, rho = softmax_constants(2.0)
    >>> round(L, 3), round(B, 3), round(rho, 3)
    (2.0, 2.828, 5.657)
    """
    _check(radius=radius)
    return 0.5 * radius**2, math.sqrt(2) * radius, radius**3 / math.sqrt(2)


def _check(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ValueError(
                f"{name} must be a finite number of at least 0, got {value!r}; correct {name}"
            )
