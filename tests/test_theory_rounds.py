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
    message_bytes,
    slowest_exponential,
    slowest_lognormal,
    slowest_lognormal_bound,
)


@pytest.mark.parametrize(("cohort", "answers"), [(1, 1), (7, 7), (40, 32), (40, 1)])
def test_exponential_order_statistics(cohort: int, answers: int) -> None:
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
    for cohort in (1, 2, 10, 1000, 10**6, 10**9):
        found, bound = (
            one(0.3, sigma, cohort) for one in (slowest_lognormal, slowest_lognormal_bound)
        )
        assert found <= bound * (1 + 1e-6)
        assert bound <= 6 * found or cohort < 10


def test_bytes() -> None:
    assert message_bytes(10**6) == 4 * 10**6
    assert message_bytes(9, support=2, width=8) == 16 + 2
    with pytest.raises(ValueError, match="support must be at most numbers"):
        message_bytes(3, support=4)


@pytest.mark.parametrize("answers", [0, 4])
def test_answers_that_cannot_come(answers: int) -> None:
    with pytest.raises(ValueError, match="answers"):
        slowest_exponential(1.0, 3, answers=answers)


def test_prices_are_found_again_from_the_times_they_make() -> None:
    prices = [2e-3, 1e-5, 3e-6, 4e-9]
    stored = [
        {"setting": cell, "result": {"cpu": float(np.dot(prices, scale.features(
            **{k: cell[k] for k in ("cohort", "d", "steps", "batch")})))}}
        for cell in scale.cells() if cell["kind"] in ("fit", "check")
    ]  # fmt: skip
    assert scale.fitted(stored) == pytest.approx(prices, rel=1e-6)
    assert scale.ratios(stored, prices, "check") == pytest.approx([1.0] * 12)
    slow = [{**c, "result": {"cpu": 2 * c["result"]["cpu"]}} for c in stored]
    assert scale.ratios(slow, prices, "check") == pytest.approx([2.0] * 12)


def test_a_measured_run_and_a_measured_client_have_all_their_numbers() -> None:
    found = scale.measure("fit", 0, cohort=5, d=3, steps=2, batch=2)
    assert found["cpu"] > 0
    times = scale.measure("clients", 0)
    assert len(times["ms"]) == len(times["n"]) == scale.OWNERS
    assert sum(times["n"]) == 1797
    assert min(times["n"]) >= 1
