"""Clipped and noisy rounds, and the accounts of what they say about one client."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from toy_clients import seeded

from fedlearn_lib.federated import (
    clip,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_renyi,
    largest_power,
    noisy_mean,
    renyi_epsilon,
    sampled_renyi,
)

GRID = np.linspace(-80, 120, 400_001)


def quadrature(log_p: np.ndarray, log_q: np.ndarray, order: float) -> float:
    """The Rényi divergence of two densities on the line, from their logarithms on the grid."""
    terms = order * log_p + (1 - order) * log_q
    return float(special.logsumexp(terms) + math.log(GRID[1] - GRID[0])) / (order - 1)


def bell(mean: float, sigma: float) -> np.ndarray:
    return np.asarray(stats.norm(mean, sigma).logpdf(GRID))


def test_clipping_shortens_and_does_not_turn() -> None:
    x = torch.randn(30, 7, generator=seeded(), dtype=torch.float64)
    short = clip(x, 2.0)
    assert bool((short.norm(dim=1) <= 2.0 + 1e-12).all())
    torch.testing.assert_close(torch.cosine_similarity(short, x), torch.ones(30).double())
    inside = x.norm(dim=1) <= 2.0
    assert 0 < int(inside.sum()) < 30
    assert torch.equal(short[inside], x[inside])
    assert not clip(torch.zeros(2, 3), 1.0).any()


def test_the_noise_is_that_of_the_sum_and_no_client_moves_it_by_more_than_the_bound() -> None:
    """Algorithm 15.10: standard deviation σC/m in every entry of the mean."""
    x = torch.randn(20, 40_000, generator=seeded(), dtype=torch.float64)
    plain = noisy_mean(x, bound=0.5, sigma=0.0, generator=seeded(1))
    noise = noisy_mean(x, bound=0.5, sigma=3.0, generator=seeded(1)) - plain
    assert abs(float(noise.std()) / (3.0 * 0.5 / 20) - 1) < 0.02
    without = x.clone()
    without[4] = 0
    moved = 20 * (plain - noisy_mean(without, bound=0.5, sigma=0.0, generator=seeded(1)))
    assert abs(float(moved.norm()) - 0.5) < 1e-9


def rounds_of(theta: int, n: int, g: torch.Generator, *, repair: float = 1.0, via: bool):
    """Two rounds in the plane; the second message depends on the first sum. C = 1, σ = 1.5."""
    past, out = torch.zeros(n, 2, dtype=torch.float64), []
    for _ in range(2):
        length = 0.9 / (1 + past.square().sum(1, keepdim=True))
        angle = past.sum(1, keepdim=True)
        e = torch.cat([angle.cos(), angle.sin()], 1)
        xi = torch.randn(n, 2, generator=g, dtype=torch.float64)
        if via:
            T = theta + 1.5 * torch.randn(n, 1, generator=g, dtype=torch.float64)
            own = torch.randn(n, 1, generator=g, dtype=torch.float64)
            along = length * T + repair * (1 - length**2).sqrt() * 1.5 * own
            across = 1.5 * (xi - (xi * e).sum(1, keepdim=True) * e)
            past = 0.2 * past + along * e + across
        else:
            past = 0.2 * past + theta * length * e + 1.5 * xi
        out.append(past)
    return torch.cat(out, 1).numpy()


@pytest.mark.parametrize("theta", [0, 1])
def test_a_run_is_a_random_function_of_one_number_a_round(theta: int) -> None:
    """Theorem 15.11: rounds made by the map R have the law of the rounds themselves."""
    g = seeded(5)
    real = rounds_of(theta, 40_000, g, via=False)
    made = rounds_of(theta, 40_000, g, via=True)
    lame = rounds_of(theta, 40_000, g, via=True, repair=0.0)
    views = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.3, 1, -0.5, 0.8], [0, 0, 1, 0], [1, -1, 1, 2]])
    same = [stats.ks_2samp(real @ v, made @ v).pvalue for v in views]
    assert min(same) > 1e-4
    assert min(stats.ks_2samp(real @ v, lame @ v).pvalue for v in views) < 1e-6


@pytest.mark.parametrize(("sigma", "rounds"), [(1.0, 1), (4.0, 9), (0.7, 2)])
def test_the_largest_power_is_that_of_the_likelihood_ratio(sigma: float, rounds: int) -> None:
    """Corollary 15.12, part 1: the sum of K numbers at every level, and no better statistic."""
    for a in (0.001, 0.05, 0.5):
        cut = stats.norm(0, sigma * math.sqrt(rounds)).isf(a)
        power = stats.norm(rounds, sigma * math.sqrt(rounds)).sf(cut)
        assert math.isclose(largest_power(a, sigma, rounds), power, rel_tol=1e-9)
    assert largest_power(1.0, sigma, rounds) == 1.0
    T = sigma * torch.randn(2, 100_000, rounds, generator=seeded(), dtype=torch.float64)
    T[1] += 1
    for statistic in (T.amax(2), T[:, :, 0], T.abs().sum(2)):
        power = float((statistic[1] > statistic[0].quantile(0.95)).double().mean())
        assert power < largest_power(0.05, sigma, rounds) + 0.01


@pytest.mark.parametrize("mu", [0.3, 1.0, 3.0])
def test_delta_is_the_largest_excess_over_all_sets(mu: float) -> None:
    """Corollary 15.12, part 2: the integral of (p₁ − e^ε p₀)₊ by quadrature, and both orders."""
    for epsilon in (0.0, 0.5, 2.0):
        for first, second in ((mu, 0.0), (0.0, mu)):
            p, q = stats.norm(first).pdf, stats.norm(second).pdf

            def excess(x, p=p, q=q, epsilon=epsilon):
                return max(p(x) - math.exp(epsilon) * q(x), 0.0)

            edge = (epsilon / mu + mu / 2) if first else (mu / 2 - epsilon / mu)
            low, high = (edge, 20) if first else (-20, edge)
            value, _ = integrate.quad(excess, low, high, limit=200)
            assert math.isclose(gaussian_delta(epsilon, 1 / mu), value, abs_tol=1e-9)
    assert gaussian_delta(1.0, 3.0, rounds=4) == pytest.approx(gaussian_delta(1.0, 1.5))
    assert gaussian_delta(5000.0, 1.0) == 0.0
    for delta in (1e-9, 0.01, 0.1):
        epsilon = gaussian_epsilon(delta, 1 / mu)
        assert epsilon == pytest.approx(0) or gaussian_delta(epsilon, 1 / mu) == pytest.approx(
            delta
        )
        assert gaussian_delta(epsilon * 0.999, 1 / mu) >= delta or epsilon < 1e-9


def test_noise_of_several_sizes_adds_up_in_squares() -> None:
    """Corollary 15.12, part 3: two rounds with σ = 2 and 3 against the formula with their μ."""
    mu = math.sqrt(1 / 4 + 1 / 9)
    T = torch.randn(2, 400_000, 2, generator=seeded(), dtype=torch.float64)
    T = T * torch.tensor([2.0, 3.0]) + torch.tensor([0.0, 1.0])[:, None, None]
    Z = (T / torch.tensor([4.0, 9.0])).sum(2) / mu
    power = float((Z[1] > stats.norm.isf(0.1)).double().mean())
    assert abs(power - largest_power(0.1, 1 / mu)) < 0.005


@pytest.mark.parametrize(("order", "sigma"), [(1.5, 1.0), (3.0, 2.0), (9.0, 4.0)])
def test_the_divergence_of_two_bells(order: float, sigma: float) -> None:
    """Theorem 15.13: λ/2σ² by quadrature, K times it for K rounds, and less after forgetting."""
    value = quadrature(bell(1, sigma), bell(0, sigma), order)
    assert math.isclose(gaussian_renyi(order, sigma), value, rel_tol=1e-6)
    assert math.isclose(gaussian_renyi(order, sigma, 7), 7 * value, rel_tol=1e-6)
    cells = np.r_[-np.inf, np.linspace(-4 * sigma, 4 * sigma, 12), np.inf]
    p, q = (np.diff(stats.norm(mean, sigma).cdf(cells)) for mean in (1, 0))
    forgot = math.log((p**order * q ** (1 - order)).sum()) / (order - 1)
    assert 0 < forgot < value


@pytest.mark.parametrize("sigma", [0.8, 3.0, 20.0])
def test_renyi_never_promises_more_than_the_exact_account(sigma: float) -> None:
    """Proposition 15.14: δ at its ε is at most what was asked for, and λ is the best one."""
    for rounds, delta in ((1, 1e-5), (30, 1e-3), (500, 1e-6)):
        epsilon = renyi_epsilon(sigma, rounds=rounds, delta=delta)
        assert gaussian_delta(epsilon, sigma, rounds) <= delta
        orders = 1 + np.geomspace(1e-4, 1e4, 20_001)
        tried = rounds * orders / (2 * sigma**2) + math.log(1 / delta) / (orders - 1)
        assert math.isclose(epsilon, tried.min(), rel_tol=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.2, 1.0])
@pytest.mark.parametrize(("sigma", "order"), [(1.0, 2), (2.0, 8), (4.0, 20)])
def test_sampling_by_the_binomial_formula(sigma: float, order: int, share: float) -> None:
    """Proposition 15.15: the mixture from the bell by quadrature; the opposite order is smaller."""
    plain = bell(0, sigma)
    with np.errstate(divide="ignore"):
        p = np.logaddexp(np.log(1 - share) + plain, np.log(share) + bell(1, sigma))
    value = quadrature(p, plain, order)
    assert math.isclose(sampled_renyi(order, sigma, share), value, rel_tol=1e-6, abs_tol=1e-10)
    opposite = quadrature(plain, p, order)
    assert opposite <= value * (1 + 1e-9) + 1e-12


def test_an_independent_accountant_agrees_on_the_divergence() -> None:
    """Proposition 15.15 against dp-accounting 0.6.0, which is no dependency of the book.

    ``a = rdp.RdpAccountant(orders=list(range(2, 257)))``, then
    ``a.compose(PoissonSampledDpEvent(r, GaussianDpEvent(sigma)), K)`` and ``a._rdp[6] / K``.
    """
    made = {(0.1, 1.0): 1.3783614113481268, (0.01, 1.0): 0.000893643907606041,
            (0.1, 4.0): 0.002674498619803344, (0.05, 2.0): 0.0031215266423009493}  # fmt: skip
    for (share, sigma), value in made.items():
        assert math.isclose(sampled_renyi(8, sigma, share), value, rel_tol=1e-9)
    # its ε, from a sharper last step: 6.82 for r = 0.1, σ = 1, K = 100 at δ = 1e-4
    ours = renyi_epsilon(1.0, rounds=100, delta=1e-4, share=0.1)
    assert 6.821628963883517 < ours < 1.2 * 6.821628963883517


def test_sampling_never_costs() -> None:
    for share in (0.5, 0.05):
        with_coin = renyi_epsilon(4.0, rounds=50, delta=1e-5, share=share)
        assert with_coin < renyi_epsilon(4.0, rounds=50, delta=1e-5)


def test_sampling_saves_messages_and_not_privacy() -> None:
    """The same noise on the mean, σ in proportion to the share: ε is never below that of all."""
    for sigma, rounds in ((40.0, 20), (60.0, 200)):
        for share in (0.5, 0.25, 0.1, 0.05):
            some = renyi_epsilon(share * sigma, rounds=rounds, delta=1e-4, share=share)
            assert some >= renyi_epsilon(sigma, rounds=rounds, delta=1e-4)
    assert renyi_epsilon(4.0, rounds=20, delta=1e-4, share=0.1) < 0.56


def test_noise_on_a_support() -> None:
    """Theorem 15.16: energies by formula and as drawn, the paid choice, the noise in a score."""
    x = torch.randn(50, 30, generator=seeded(), dtype=torch.float64) * 0.1
    x[:, :3] += 0.5
    target, g = x.mean(0), seeded(9)
    for size, sigma in ((30, 8.0), (3, 8.0), (3, 8.0 / math.sqrt(0.75))):
        S = list(range(size))
        kept = torch.zeros(30, dtype=torch.float64)
        kept[S] = clip(x[:, S], 0.6).mean(0)
        lost = float((target - kept).square().sum())
        drawn = torch.zeros(4000, 30, dtype=torch.float64)
        drawn[:, S] = torch.stack(
            [noisy_mean(x[:, S], bound=0.6, sigma=sigma, generator=g) for _ in range(4000)]
        )
        rate = (8.0 * 0.6 / 50) ** 2
        formula = lost + len(S) * rate / (1.0 if sigma == 8.0 else 0.75)
        error = float((drawn - target).square().sum(1).mean())
        assert abs(error / formula - 1) < 0.05
        z = torch.linspace(-1, 2, 30, dtype=torch.float64)
        felt = float(((drawn - kept) @ z).var())
        expected = float(z[S].square().sum()) * (sigma * 0.6 / 50) ** 2
        assert abs(felt / expected - 1) < 0.1
    # χ of the budget and the rest add up to the whole, K/σ²
    assert 0.25 / 8.0**2 + 1 / (8.0 / math.sqrt(0.75)) ** 2 == pytest.approx(1 / 8.0**2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: clip(torch.ones(2, 2), 0.0), "bound must be a positive"),
        (lambda: clip(torch.ones(2), 1.0), "x must be"),
        (
            lambda: noisy_mean(torch.ones(2, 2), bound=1.0, sigma=-1.0, generator=seeded()),
            "sigma must be",
        ),
        (lambda: gaussian_renyi(1.0, 1.0), "order must be"),
        (lambda: sampled_renyi(1, 1.0, 0.5), "order must be"),
        (lambda: sampled_renyi(2, 1.0, 0.0), "share must be"),
        (lambda: sampled_renyi(3, 7.4e-182, 0.5), "sigma must lie between"),
        (lambda: gaussian_renyi(3.0, 1e200), "sigma must lie between"),
        (lambda: renyi_epsilon(1.0, rounds=1, delta=0.0), "delta must be"),
        (lambda: gaussian_delta(-1.0, 1.0), "epsilon must be"),
        (lambda: gaussian_epsilon(0.0, 1.0), "delta must be"),
        (lambda: largest_power(0.0, 1.0), "false_alarms must be"),
    ],
)
def test_bad_input_gets_a_sentence(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_delta_keeps_its_digits_in_the_tail() -> None:
    """There e^ε multiplies a tail of the normal law that a cdf of few digits has lost."""
    for epsilon, sigma, rounds in [(1.0, 4.0, 20), (30.0, 1.0, 30), (40.0, 0.3, 5)]:
        mu = rounds**0.5 / sigma
        second = np.exp(epsilon + special.log_ndtr(-mu / 2 - epsilon / mu))
        exact = special.ndtr(mu / 2 - epsilon / mu) - second
        assert gaussian_delta(epsilon, sigma, rounds) == pytest.approx(exact, rel=1e-9)
    assert gaussian_delta(30.0, 1.0, 30) == pytest.approx(0.00196, abs=5e-6)
