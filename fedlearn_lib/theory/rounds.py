r"""How long a round lasts: it ends when the slowest client of its cohort has answered."""

from __future__ import annotations

import math

import torch

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers, check_nonnegative, check_positive

NODES = 20_000  # of the quadrature


@checked()
def slowest_exponential(mean: float, cohort: int, answers: int | None = None) -> float:
    r"""Expected time until ``answers`` of ``cohort`` clients are there, times exponential.

    $$\mathbb E\,T_{(a:c)}=\bar t\sum_{k=c-a+1}^c\frac1k,$$
    with $\bar t$ = ``mean``; for $a=c$, all answers and the default, it is $\bar t(1+\dots+1/c)$.

    >>> round(slowest_exponential(1.0, 3), 4)         # 1 + 1/2 + 1/3
    1.8333
    >>> round(slowest_exponential(1.0, 3, answers=1), 4)
    0.3333
    """
    check_positive(mean=mean)
    check_integers(cohort=cohort)
    a = cohort if answers is None else answers
    check_integers(answers=a)
    if a > cohort:
        raise ValueError(f"answers must be at most cohort={cohort}, got {a}; lower it")
    return mean * (_harmonic(cohort) - _harmonic(cohort - a))


def _harmonic(n: int) -> float:
    """Return 1 + … + 1/n: added up, or by Euler's formula, whose error is below 1/120n⁴."""
    if n <= 1000:
        return math.fsum(1 / k for k in range(1, n + 1))
    return math.log(n) + 0.5772156649015329 + 1 / (2 * n) - 1 / (12 * n * n)


@checked()
def slowest_lognormal(mu: float, sigma: float, cohort: int) -> float:
    r"""Expected maximum of ``cohort`` independent times $e^{\mu+\sigma Z}$, $Z\sim\mathcal N(0,1)$.

    With $\Phi$ the normal law and $Q(s)=e^{\mu-\sigma\Phi^{-1}(s)}$ the time that a share $s$
    exceeds, the maximum is $Q(1-e^{-E/c})$ in law, $E$ exponential with mean one. The expectation
    over $E$ is an integral over $\log E$, which is smooth.

    >>> round(slowest_lognormal(0.0, 1.0, 1), 6), round(math.exp(0.5), 6)
    (1.648721, 1.648721)
    """
    _check_lognormal(mu, sigma, cohort)
    if sigma == 0:
        return math.exp(mu)
    least = -0.5 * (sigma + 8.5) ** 2 - 5  # what lies below adds nothing to 12 digits
    log_e = torch.linspace(least, 4.0, NODES, dtype=torch.float64)
    e = log_e.exp()
    exceeded = -torch.expm1(-e / cohort)
    times = (mu - sigma * torch.special.ndtri(exceeded)).exp()
    return float(torch.trapezoid(times * e * (-e).exp(), log_e))


@checked()
def slowest_lognormal_bound(mu: float, sigma: float, cohort: int) -> float:
    r"""Return a bound of :func:`slowest_lognormal`, $\exp(\mu+\sigma\sqrt{2\log c})$.

    It is the best of $(c\,\mathbb E\,T^q)^{1/q}$ over $q\ge1$, which bounds the expected maximum
    for any law. Where the best $q$ would be below 1, the bound is $c\,e^{\mu+\sigma^2/2}$.

    >>> slowest_lognormal(0.0, 0.5, 100) < slowest_lognormal_bound(0.0, 0.5, 100)
    True
    """
    _check_lognormal(mu, sigma, cohort)
    q = max(1.0, math.sqrt(2 * math.log(cohort)) / sigma) if sigma else math.inf
    spread = 0.0 if q == math.inf else math.log(cohort) / q + q * sigma**2 / 2
    return math.exp(mu + spread)


def _check_lognormal(mu: float, sigma: float, cohort: int) -> None:
    check_nonnegative(sigma=sigma)
    check_integers(cohort=cohort)
    if sigma > 5 or abs(mu) > 100:
        raise ValueError(
            f"mu must be between -100 and 100 and sigma at most 5, got {mu} and {sigma}; choose "
            "another unit of time, or another law"
        )
