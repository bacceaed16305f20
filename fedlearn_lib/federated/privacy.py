r"""Noise that bounds what a round says about one client, and the accounts of it.

Neighbors are two runs of which one leaves a client's messages out (a zero in their place). With
every message clipped to length $C$ and noise $N(0,\sigma^2C^2I)$ on their sum, a round says as much
as one number from $N(0,\sigma^2)$ or $N(1,\sigma^2)$, and K rounds as much as K such numbers.

The teaching version: whoever knows the seed of the noise can take the noise off. A real run draws
it from the operating system, on a grid.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers, check_nonnegative, check_positive

LARGEST_ORDER = 256  # of Rényi divergences that the account with sampling tries
NORMAL = NormalDist()


def _below(x: float) -> float:
    r"""Return $\Phi(x)$ with its digits also far out, where ``NormalDist.cdf`` has none left."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


@checked(x="m d")
def clip(x: Tensor, bound: float) -> Tensor:
    r"""Return every row shortened to length $C$ if it is longer, $x_i\min(1,C/\|x_i\|)$: [m d].

    >>> clip(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), bound=1.0)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    check_positive(bound=bound)
    shrink: Tensor = (bound / x.norm(dim=1, keepdim=True)).clamp(max=1)
    return x * shrink


@checked(x="m d")
def noisy_mean(x: Tensor, *, bound: float, sigma: float, generator: torch.Generator) -> Tensor:
    r"""Return $\frac1m\big(\sum_i\mathrm{clip}(x_i)+N(0,\sigma^2C^2I)\big)$: [d].

    Parameters
    ----------
    x : [m d], one message a row.
    bound : $C$, the length to which messages are clipped.
    sigma : $\sigma$, the noise multiplier; 0 only clips.

    McMahan, Ramage, Talwar, Zhang, ICLR 2018.

    >>> x = torch.tensor([[3.0, 4.0], [0.6, 0.8]])
    >>> noisy_mean(x, bound=1.0, sigma=0.0, generator=torch.Generator())
    tensor([0.6000, 0.8000])
    """
    check_positive(bound=bound)
    check_nonnegative(sigma=sigma)
    noise = torch.randn(x.shape[1], generator=generator, dtype=x.dtype, device=generator.device)
    return (clip(x, bound).sum(0) + sigma * bound * noise.to(x.device)) / len(x)


@checked()
def gaussian_renyi(order: float, sigma: float, rounds: int = 1) -> float:
    r"""Return $K\lambda/2\sigma^2$, the Rényi divergence of order $\lambda$ of K rounds.

    >>> gaussian_renyi(2.0, sigma=2.0, rounds=4)
    1.0
    """
    _check_order(order)
    _check_sigma(sigma)
    check_integers(rounds=rounds)
    return rounds * order / (2 * sigma**2)


@checked()
def sampled_renyi(order: int, sigma: float, share: float) -> float:
    r"""Return the Rényi divergence of whole order $\lambda$ of one round with sampling.

    Every client takes part with probability $r$, by itself. The mixture
    $(1-r)N(0,\sigma^2)+rN(1,\sigma^2)$ has from $N(0,\sigma^2)$ the divergence
    $$\frac1{\lambda-1}\log\sum_{k=0}^\lambda\binom\lambda k(1-r)^{\lambda-k}r^k
      e^{k(k-1)/2\sigma^2}.$$

    >>> sampled_renyi(8, sigma=2.0, share=1.0) == gaussian_renyi(8.0, sigma=2.0)
    True
    """
    check_integers(2, order=order)
    _check_sigma(sigma)
    _check_share("share", share)
    if order > 10_000:
        raise ValueError(f"order must be at most 10000, got {order}; smaller orders are enough")
    if share == 1:
        return gaussian_renyi(float(order), sigma)
    terms = [
        math.log(math.comb(order, k)) + (order - k) * math.log1p(-share) + k * math.log(share)
        + k * (k - 1) / (2 * sigma**2)
        for k in range(order + 1)
    ]  # fmt: skip
    top = max(terms)
    return (top + math.log(math.fsum(math.exp(t - top) for t in terms))) / (order - 1)


@checked()
def renyi_epsilon(sigma: float, *, rounds: int, delta: float, share: float = 1.0) -> float:
    r"""Return an $\varepsilon$ for which K rounds are $(\varepsilon,\delta)$-private, by Rényi.

    The smallest $K\,D_\lambda+\log(1/\delta)/(\lambda-1)$. With all clients in every round it is
    $K/2\sigma^2+\sqrt{2K\log(1/\delta)}/\sigma$; with sampling the smallest over the whole orders
    $2,\dots,256$.

    >>> round(renyi_epsilon(4.0, rounds=20, delta=1e-4), 2)
    5.42
    >>> renyi_epsilon(4.0, rounds=20, delta=1e-4, share=0.1) < 0.8
    True
    """
    _check_sigma(sigma)
    check_integers(rounds=rounds)
    _check_share("delta", delta)
    _check_share("share", share)
    log = math.log(1 / delta)
    if share == 1:
        return rounds / (2 * sigma**2) + math.sqrt(2 * rounds * log) / sigma
    return min(
        rounds * sampled_renyi(order, sigma, share) + log / (order - 1)
        for order in range(2, LARGEST_ORDER + 1)
    )


@checked()
def gaussian_delta(epsilon: float, sigma: float, rounds: int = 1) -> float:
    r"""Return the smallest $\delta$ for which K rounds are $(\varepsilon,\delta)$-private.

    With $\mu=\sqrt K/\sigma$ it is
    $\Phi(\frac\mu2-\frac\varepsilon\mu)-e^\varepsilon\Phi(-\frac\mu2-\frac\varepsilon\mu)$.

    Balle, Wang, ICML 2018, Theorem 8.

    >>> round(gaussian_delta(1.0, sigma=1.0), 4)
    0.1269
    """
    check_nonnegative(epsilon=epsilon)
    _check_sigma(sigma)
    check_integers(rounds=rounds)
    mu = math.sqrt(rounds) / sigma
    far = _below(-mu / 2 - epsilon / mu)
    second = math.exp(epsilon + math.log(far)) if far else 0.0
    return max(_below(mu / 2 - epsilon / mu) - second, 0.0)


@checked()
def gaussian_epsilon(delta: float, sigma: float, rounds: int = 1) -> float:
    r"""Return the smallest $\varepsilon$ for which K rounds are $(\varepsilon,\delta)$-private.

    It solves ``gaussian_delta(epsilon, sigma, rounds) == delta`` by bisection, and is zero where
    $\delta$ alone is enough.

    >>> round(gaussian_epsilon(0.1269, sigma=1.0), 3)
    1.0
    """
    _check_share("delta", delta)
    _check_sigma(sigma)
    check_integers(rounds=rounds)
    low, high = 0.0, 1.0
    while gaussian_delta(high, sigma, rounds) > delta:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        above = gaussian_delta(middle, sigma, rounds) > delta
        low, high = (middle, high) if above else (low, middle)
    return high


@checked()
def largest_power(false_alarms: float, sigma: float, rounds: int = 1) -> float:
    r"""Return $\Phi(\Phi^{-1}(a)+\sqrt K/\sigma)$, the best chance to notice a client.

    No test that accuses an absent client with probability $a$ recognizes one that is present more
    often, whatever else it knows.

    >>> round(largest_power(0.05, sigma=4.0, rounds=16), 3)
    0.26
    """
    _check_share("false_alarms", false_alarms)
    _check_sigma(sigma)
    check_integers(rounds=rounds)
    if false_alarms == 1:
        return 1.0
    return _below(NORMAL.inv_cdf(false_alarms) + math.sqrt(rounds) / sigma)


def _check_order(order: float) -> None:
    if not 1 < order < math.inf:
        raise ValueError(f"order must be a finite number above 1, got {order!r}; correct order")


def _check_sigma(sigma: float) -> None:
    """Refuse what is no positive number, or one whose square a float does not hold."""
    check_positive(sigma=sigma)
    if not 1e-100 < sigma < 1e100:
        raise ValueError(
            f"sigma must lie between 1e-100 and 1e100, got {sigma}; it counts noise in clipping "
            "lengths, and useful ones lie near 1"
        )


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be a number in (0, 1], got {value!r}; correct {name}")
