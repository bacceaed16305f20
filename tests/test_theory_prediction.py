"""Theorem 9.15: the path predicts well where no irrepresentable condition holds."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from toy_clients import seeded

from fedlearn_lib import iss_path
from fedlearn_lib.sparse import Path
from fedlearn_lib.theory import compatibility, irrepresentable, noise_rate, prediction_bound


class Problem(NamedTuple):
    X: Tensor
    y: Tensor
    fit: Tensor  # of the oracle, [p]
    s: int
    omega: float


def problem(X: Tensor, truth: Tensor, sigma: float, seed: int) -> Problem:
    """The first s columns carry the truth."""
    noise = sigma * torch.randn(len(X), generator=seeded(seed), dtype=torch.float64)
    s, y, fit = len(truth), X[:, : len(truth)] @ truth + noise, torch.zeros(X.shape[1]).double()
    fit[:s] = torch.linalg.lstsq(X[:, :s], y[:, None]).solution[:, 0]
    return Problem(X, y, fit, s, noise_rate(X, range(s), noise))


def decoy(theta: float, seed: int) -> Tensor:
    """Orthogonal columns; the fourth imitates the sum of the first three."""
    X = 40**0.5 * torch.linalg.qr(torch.randn(40, 9, generator=seeded(seed)).double()).Q
    X[:, 3] = theta / 3 * X[:, :3].sum(1) + (1 - theta**2 / 3) ** 0.5 * X[:, 3]
    return X


def alike(seed: int) -> Tensor:
    """Columns with a large common part, more of them than rows: no cone is free of a kernel."""
    g = seeded(seed)
    return torch.randn(20, 30, generator=g).double() + 2 * torch.randn(20, 1, generator=g).double()


TRUTH = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)


def average(path: Path, t: float) -> Tensor:
    ends = torch.cat([path.t[1:], torch.tensor([math.inf])]).clamp(max=t)
    return (ends - path.t).clamp(min=0).to(path.w) @ path.w / t


def error(p: Problem, beta: Tensor) -> float:
    return float((p.X @ (beta - p.fit)).square().sum() / len(p.X))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("theta", [0.0, 1.2, 1.5, 1.7])
def test_theorem_9_15_both_rates_from_the_first_time_to_the_last(theta: float, seed: int) -> None:
    """Theorem 9.15: the potential of the proof, the average, the best model of the second half."""
    X = decoy(theta, seed)
    assert (irrepresentable(X, range(3)) > 1) == (theta > 1)
    p = problem(X, TRUTH, 0.5, seed)
    phi, end = compatibility(X, range(3)), 1 / (4 * p.omega)
    assert phi > 0.1
    path = iss_path(X, p.y, t_max=end)
    for t in torch.logspace(-2, 0, 25, dtype=torch.float64).mul(end).tolist():
        bound = prediction_bound(t, p.fit[:3], phi, omega=p.omega)
        mean = average(path, t)
        rho = t * X.T @ (p.y - X @ mean) / len(X)
        bregman = float(p.fit.abs().sum() - rho @ p.fit)
        assert t * bregman + t**2 * error(p, mean) <= t**2 * bound.average + 1e-9
        knots = path.t[(path.t > t / 2) & (path.t < t)].tolist()
        assert min(error(p, path.at(r)) for r in [t / 2, *knots]) <= bound.path


@pytest.mark.parametrize("seed", range(6))
def test_theorem_9_15_slow_rates_need_no_condition_on_the_design(seed: int) -> None:
    """Theorem 9.15, parts 1 and 3: where a kernel meets the cone the slow rates remain."""
    X = alike(seed)
    assert compatibility(X, range(3)) < 1e-6
    p = problem(X, TRUTH, 0.5, seed)
    end = 1 / (4 * p.omega)
    path = iss_path(X, p.y, t_max=end)
    for t in torch.logspace(-2, 0, 25, dtype=torch.float64).mul(end).tolist():
        bound = prediction_bound(t, p.fit[:3], 0.0, omega=p.omega)
        assert error(p, average(path, t)) <= bound.average
        knots = path.t[(path.t > t / 2) & (path.t < t)].tolist()
        assert min(error(p, path.at(r)) for r in [t / 2, *knots]) <= bound.path


def test_one_coefficient_comes_within_a_factor_of_four() -> None:
    """On a single column the average lacks one account of room: its error is 1/t²."""
    X = torch.full((4, 1), 1.0, dtype=torch.float64)
    path = iss_path(X, 2 * X[:, 0])
    t = 1.0  # twice the time of entry, where h = 1
    lack = float((average(path, t) - 2).square())
    assert lack == pytest.approx(1.0)
    bound = prediction_bound(t, torch.tensor([2.0]), 1.0, omega=0.0)
    assert bound.average == pytest.approx(4 * lack)


def test_after_the_last_time_the_bound_is_broken() -> None:
    """Noise is fitted in the end: the limit 1/4ω on the time cannot be dropped."""
    p = problem(decoy(1.2, 0), TRUTH, 0.5, 0)
    path = iss_path(p.X, p.y)
    late = 100 / p.omega
    assert error(p, average(path, late)) > prediction_bound(late, p.fit[:3], 0.5, omega=0.0).average
    with pytest.raises(ValueError, match="t must be at most"):
        prediction_bound(late, p.fit[:3], 0.5, omega=p.omega)


@pytest.mark.parametrize(
    ("columns", "slack", "phi"),
    [
        ([[1.0, 0.0], [0.6, 0.8]], 4.0, 0.8),  # the second column hides 0.6 of the first
        ([[1.0, 0.0], [0.1, 0.0]], 4.0, 0.6),  # four times a tenth is all that it may take away
        ([[1.0, 0.0], [0.1, 0.0]], 0.0, 1.0),
    ],
)
def test_compatibility_by_hand(columns: list[list[float]], slack: float, phi: float) -> None:
    X = 2**0.5 * torch.tensor(columns, dtype=torch.float64).T
    assert compatibility(X, [0], slack) == pytest.approx(phi)


@pytest.mark.parametrize("seed", range(3))
def test_no_vector_of_the_cone_is_shorter(seed: int) -> None:
    g = seeded(seed)
    X = torch.randn(12, 8, generator=g).double()
    phi = compatibility(X, [0, 2, 5])
    v = torch.randn(20_000, 8, generator=g).double()
    inside, outside = v[:, [0, 2, 5]].abs().sum(1), v[:, [1, 3, 4, 6, 7]].abs().sum(1)
    v[:, [1, 3, 4, 6, 7]] *= (4 * inside * torch.rand(20_000, generator=g) / outside)[:, None]
    ratio = (3 / 12) ** 0.5 * (v @ X.T).norm(dim=1) / inside
    assert phi <= ratio.min() < 3 * phi


def test_bad_requests_say_what_fits() -> None:
    X = torch.randn(4, 20, generator=seeded())
    with pytest.raises(ValueError, match="at most 12 columns"):
        compatibility(X, range(13))
    with pytest.raises(ValueError, match="slack must be"):
        compatibility(X, [0], -1.0)
    with pytest.raises(ValueError, match="t must be a positive"):
        prediction_bound(0.0, torch.ones(2), 1.0, omega=0.1)
