r"""How close Per-FedAvg comes to a point where $\nabla F=0$, in five terms."""

from __future__ import annotations

import math
from typing import NamedTuple

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers, check_nonnegative

ROUNDING = 1e-9  # a product may exceed the bound that it was chosen to meet by so much


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


@checked()
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


@checked()
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
    check_nonnegative(gap=gap, L_F=L_F, sigma_F2=sigma_F2, gamma_F=gamma_F, bias=bias, beta=beta)
    check_integers(tau=tau, rounds=rounds)
    x, share = beta * L_F, sampling_factor(m, cohort)
    if not 0 < x * tau <= 0.25 + ROUNDING:
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


@checked()
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
