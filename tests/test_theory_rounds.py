"""Times of a round beside brute force: order statistics by simulation and by other formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from toy_clients import seeded

from fedlearn_book.reproductions import scale
from fedlearn_lib.theory import (
    slowest_exponential,
    slowest_lognormal,
    slowest_lognormal_bound,
)


@pytest.mark.parametrize(("cohort", "answers"), [(1, 1), (7, 7), (40, 32), (40, 1)])
def test_exponential_order_statistics(cohort: int, answers: int) -> None:
    """Proposition 16.4, part 2."""
    draws = -torch.rand(20000, cohort, generator=seeded(1), dtype=torch.float64).log()
    seen = 2.0 * draws.sort(1).values[:, answers - 1]
    error = 5 * float(seen.std()) / len(seen) ** 0.5
    found = slowest_exponential(2.0, cohort, answers=answers)
    assert abs(found - float(seen.mean())) < error


def test_the_harmonic_number_goes_on_smoothly() -> None:
    for n in (1000, 1001, 5000):
        exact = math.fsum(1 / k for k in range(1, n + 1))
        assert slowest_exponential(1.0, n) == pytest.approx(exact, abs=1e-12)
    assert slowest_exponential(1.0, 10**9) == pytest.approx(21.30048150234, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("cohort", [1, 2, 30, 1000])
def test_the_lognormal_maximum_is_the_integral_of_its_density(sigma: float, cohort: int) -> None:
    def density(z: float) -> float:
        power = (cohort - 1) * stats.norm.logcdf(z)
        return float(np.exp(0.5 + sigma * z + power) * cohort * stats.norm.pdf(z))

    direct, _ = integrate.quad(density, -12, 14, limit=500, points=[0, 3, 6], epsabs=1e-12)
    assert slowest_lognormal(0.5, sigma, cohort) == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.2, 1.0, 2.5])
def test_the_bound_holds_and_is_not_idle(sigma: float) -> None:
    """Proposition 16.4, part 3, and part 1 with q = 1 where σ is too large for it."""
    for cohort in (1, 2, 10, 1000, 10**6, 10**9):
        found, bound = (
            one(0.3, sigma, cohort) for one in (slowest_lognormal, slowest_lognormal_bound)
        )
        assert found <= bound * (1 + 1e-6)
        assert bound <= 6 * found or cohort < 10


@pytest.mark.parametrize("q", [1.0, 1.5, 4.0])
def test_moments_bound_the_slowest_of_any_law(q: float) -> None:
    """Proposition 16.4, part 1: times that take three values, by enumeration of three clients."""
    values, chance = torch.tensor([0.5, 1.0, 6.0]), torch.tensor([0.3, 0.6, 0.1])
    rows = torch.cartesian_prod(*[torch.arange(3)] * 3)
    slowest = (values[rows].amax(1) * chance[rows].prod(1)).sum()
    assert slowest <= (3 * (values**q * chance).sum()) ** (1 / q)


def test_who_is_left_out() -> None:
    """Proposition 16.5, by enumeration: who is asked, and who answers, for two of three clients."""
    x = torch.tensor([[1.0, 0.0], [-2.0, 3.0], [0.5, 7.0]], dtype=torch.float64)
    q = torch.tensor([0.9, 0.5, 0.2], dtype=torch.float64)
    asked = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    plain, weighted, some = torch.zeros(2).double(), torch.zeros(2).double(), 0.0
    for pair in asked:
        for came in torch.cartesian_prod(*[torch.arange(2)] * 2).double():
            p = float((came * q[pair] + (1 - came) * (1 - q[pair])).prod()) / 9
            weighted += p * (came / q[pair]) @ x[pair] / 2
            if came.sum() > 0:
                plain, some = plain + p * came @ x[pair] / came.sum(), some + p
    mean, spread = x.mean(0), ((q - q.mean())[:, None] * (x - x.mean(0))).mean(0)
    torch.testing.assert_close(plain / some, q @ x / q.sum(), rtol=0, atol=1e-14)
    torch.testing.assert_close(plain / some, mean + spread / q.mean(), rtol=0, atol=1e-14)
    torch.testing.assert_close(weighted, mean, rtol=0, atol=1e-14)


@pytest.mark.parametrize("R", [2, 3, 5])
def test_a_ring_sums_and_sends_less_than_two_vectors(R: int) -> None:
    """Proposition 16.3, part 3, with blocks as in its proof: who holds what after each step."""
    held = [{b: {j} for b in range(R)} for j in range(R)]  # whose numbers are in block b of j
    sent = 0
    for k in range(1, R):
        moving = [((j - k + 1) % R, held[j][(j - k + 1) % R]) for j in range(R)]
        for j, (b, whose) in enumerate(moving):
            held[(j + 1) % R][b] = held[(j + 1) % R][b] | whose
        sent += 1
    everybody = set(range(R))
    assert all(held[(b - 1) % R][b] == everybody for b in range(R))
    for k in range(1, R):
        moving = [((j - k + 2) % R, held[j][(j - k + 2) % R]) for j in range(R)]
        for j, (b, whose) in enumerate(moving):
            assert whose == everybody
            held[(j + 1) % R][b] = whose
        sent += 1
    assert all(whose == everybody for one in held for whose in one.values())
    assert sent == 2 * (R - 1)


@pytest.mark.parametrize("answers", [0, 4])
def test_answers_that_cannot_come(answers: int) -> None:
    with pytest.raises(ValueError, match="answers"):
        slowest_exponential(1.0, 3, answers=answers)


def test_prices_are_found_again_from_the_times_they_make() -> None:
    prices = [2e-3, 4e-4, 1e-5, 3e-6, 4e-9]
    stored = [
        {"setting": cell, "result": {"cpu": float(np.dot(prices, scale.features(
            **{k: cell[k] for k in ("cohort", "d", "steps", "batch")})))}}
        for cell in scale.cells() if cell["kind"] in ("fit", "check")
    ]  # fmt: skip
    assert scale.fitted(stored) == pytest.approx(prices, rel=1e-6)
    assert scale.ratios(stored, prices, "check") == pytest.approx([1.0] * 12)
    fewer = scale.fitted(stored, without=1)
    assert fewer[1] == 0
    assert max(scale.ratios(stored, fewer, "fit")) > 1.2
    slow = [{**c, "result": {"cpu": 2 * c["result"]["cpu"]}} for c in stored]
    assert scale.ratios(slow, prices, "check") == pytest.approx([2.0] * 12)


def test_a_measured_run_and_a_measured_client_have_all_their_numbers() -> None:
    found = scale.measure("fit", 0, cohort=5, d=3, steps=2, batch=2)
    assert found["cpu"] > 0
    times = scale.measure("clients", 0)
    assert len(times["ms"]) == len(times["n"]) == scale.OWNERS
    assert sum(times["n"]) == 1797
    assert min(times["n"]) >= 1
