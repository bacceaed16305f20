"""How alike meta-losses are: the spread, the mean client, a new client; and FO, HF, a few steps."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from toy_waves import CIRCLE, ROUND, Waves

from fedlearn_lib import maml_gradient
from fedlearn_lib.theory import (
    fo_bias,
    fo_variance,
    hf_bias,
    mean_client_gap,
    meta_bias,
    meta_dissimilarity,
    meta_smoothness,
    meta_variance,
    newcomer_gap,
    stretch,
)


class Bowls:
    """Convex quadratics f_i(w) = ½ (w − c_i)ᵀ A_i (w − c_i): A [m d d], c [m d], at w = 0."""

    def __init__(self, rng: np.random.Generator, *, spread: float) -> None:
        m, d = rng.integers(2, 6), rng.integers(1, 4)
        turn = np.linalg.qr(rng.normal(size=(m, d, d)))[0] if rng.random() < 0.5 else np.eye(d)
        values = np.clip(rng.uniform(0, 1) + spread * rng.normal(size=(m, 1, d)), 0, 1)
        self.A = (turn * values) @ np.swapaxes(turn, -1, -2)
        self.c = rng.normal(size=(m, d)) * rng.choice([0.0, 0.1, 1.0]) + rng.normal(size=d)
        self.slopes = -np.einsum("iab,ib->ia", self.A, self.c)  # at w = 0
        self.L = np.linalg.norm(self.A, 2, (1, 2)).max()

    def meta(self, alpha: float, A=None, c=None):
        """∇F at 0 of clients with curvature A and minimizer c."""
        A, c = (self.A, self.c) if A is None else (A[None], c[None])
        back = np.eye(A.shape[-1]) - alpha * A
        return np.einsum("iab,ibc,ic->ia", back, A @ back, -c)

    def mean_client(self, alpha: float):
        """R, the meta-gradient of the client whose loss is the mean loss."""
        A, slope = self.A.mean(0), self.slopes.mean(0)
        back = np.eye(len(A)) - alpha * A
        return back @ back @ slope

    def largest_slope(self, alpha: float) -> float:
        """The B of the proofs: ‖∇f‖ at w = 0 and at w′."""
        slope = self.slopes.mean(0)
        after = slope - alpha * self.A.mean(0) @ slope
        return max(float(np.linalg.norm(slope)), float(np.linalg.norm(after)))

    def stretch(self, alpha: float) -> float:
        """Λ, here known exactly."""
        back = np.eye(self.A.shape[-1]) - alpha * self.A
        return float(np.linalg.norm(back, 2, (1, 2)).max())

    def gammas(self) -> tuple[float, float]:
        gaps = np.linalg.norm(self.A - self.A.mean(0), 2, (1, 2))
        return rms(self.slopes - self.slopes.mean(0)), math.sqrt((gaps**2).mean())


def rms(gaps: np.ndarray) -> float:
    return math.sqrt((gaps**2).sum(-1).mean())


def test_the_sharp_similarity_on_random_bowls() -> None:
    """Lemma 5.6: Λ²γ_G(w) + (1+Λ)αBγ_H with γ_G at w only; nearly attained, both parts needed."""
    rng, ratios, broken = np.random.default_rng(0), [], {"gradients": 0, "curves": 0}
    for _ in range(4000):
        bowls = Bowls(rng, spread=rng.choice([0.0, 0.02, 0.5]))
        alpha = rng.uniform(0.05, 1) / max(bowls.L, 1e-9)
        (gamma_G, gamma_H), B = bowls.gammas(), bowls.largest_slope(alpha)
        meta = bowls.meta(alpha)
        spread, stretched = rms(meta - meta.mean(0)), bowls.stretch(alpha)
        bound = stretched**2 * gamma_G + (1 + stretched) * alpha * B * gamma_H
        assert spread <= bound + ROUND
        ratios.append(spread / bound if bound > 1e-6 else 0.0)
        broken["gradients"] += spread > bound - stretched**2 * gamma_G + ROUND
        broken["curves"] += spread > bound - alpha * B * gamma_H + ROUND
    assert 0.98 < max(ratios) <= 1 + ROUND
    assert min(broken.values()) > 50


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_sharp_similarity_on_waves(seed: int, share: float) -> None:
    """Lemma 5.6 without convexity, with γ_G(w) at each w by itself."""
    waves = Waves(m=5, n=2, seed=seed)
    alpha = share / waves.L
    spread, here = waves.meta(CIRCLE, alpha).std(1), waves.slope(CIRCLE).std(1)
    bounds = [
        meta_dissimilarity(waves.L, waves.B, g, waves.gamma_H, alpha, everywhere=False)
        for g in here
    ]
    ratio = (spread / bounds).max()
    assert 0.1 < ratio <= 1


def test_agreeing_at_one_model_is_not_enough_for_the_other_form() -> None:
    """Lemma 5.6: with γ_G at w = 0 only, Λ(1+αL)γ_G + αBγ_H fails, the sharp form holds."""
    alpha, a, c = 0.05, np.array([1.0, 3.0]), np.array([6.0, 2.0])
    slopes = -a * c * (1 - alpha * a) ** 2
    assert slopes.std() == pytest.approx(0.54)
    sharp = meta_dissimilarity(3.0, 6.0, 0.0, 1.0, alpha, convex=True, everywhere=False)
    assert 0.0 + alpha * 6.0 * 1.0 < slopes.std() < sharp == pytest.approx(0.6)


def test_the_caps_of_the_spreads() -> None:
    """Lemma 5.6: opposite slopes attain ΛB; in the spectral norm Hessians may spread by 2L."""
    assert meta_dissimilarity(0.0, 2.0, 2.0, 0.0, alpha=1.0) == 2.0
    assert meta_dissimilarity(1.0, 2.0, 2.0, 1.0, alpha=1.0) == stretch(1.0, 1.0) * 2.0
    m = 50
    hessians = np.eye(m)[None] - 2 * np.stack([np.diag(row) for row in np.eye(m)])
    gaps = np.linalg.norm(hessians - hessians.mean(0), 2, (1, 2))
    assert np.linalg.norm(hessians, 2, (1, 2)).max() == 1
    assert gaps == pytest.approx(2 - 2 / m)


def test_the_mean_client_is_near_to_second_order() -> None:
    """Lemma 5.12: ∇F and the mean client's meta-gradient; no one of the parts can be dropped."""
    rng, worst, broken = np.random.default_rng(1), 0.0, np.zeros(2, int)
    for _ in range(4000):
        bowls = Bowls(rng, spread=rng.choice([0.02, 0.5]))
        alpha = rng.uniform(0.05, 1) / max(bowls.L, 1e-9)
        (gamma_G, gamma_H), B = bowls.gammas(), bowls.largest_slope(alpha)
        found = float(np.linalg.norm(bowls.meta(alpha).mean(0) - bowls.mean_client(alpha)))
        bound = mean_client_gap(bowls.L, 0.0, B, gamma_G, gamma_H, alpha, convex=True)
        assert found <= bound + ROUND
        worst = max(worst, found / bound if bound > 1e-9 else 0.0)
        broken += np.array([found > 2 * alpha * gamma_G * gamma_H + ROUND,
                            found > B * (alpha * gamma_H) ** 2 + ROUND])  # fmt: skip
    assert worst > 0.9
    assert broken.min() > 5


@pytest.mark.parametrize("seed", range(20))
def test_the_mean_client_on_waves(seed: int) -> None:
    """Lemma 5.12 where Hessians change: with γ_H at w, on the segment and at w′."""
    waves = Waves(m=5, n=2, seed=seed)
    alpha, ratios = 0.5 / waves.L, []
    for w in np.linspace(0, 6, 25):
        f, curve = waves.slope(w).mean(), waves.curve(w).mean()
        R = (1 - alpha * curve) * waves.slope(w - alpha * f).mean()
        gap = abs(waves.meta(w, alpha).mean() - R)
        bound = mean_client_gap(
            waves.L, waves.rho, waves.B, waves.slope(w).std(), waves.gamma_H, alpha
        )
        ratios.append(gap / bound)
    assert 0.005 < max(ratios) <= 1


def test_only_the_bend_of_the_slope_moves_the_mean_client() -> None:
    """Lemma 5.12: f_i′(u) = ±c − ½ρu² has γ_H = 0; the gap is ½ρα²γ_G², the whole bound."""
    rho, c, alpha = 0.3, np.array([-1.0, 1.0]), 0.5
    meta = c - 0.5 * rho * (-alpha * c) ** 2  # at w = 0: f_i″(0) = 0, f_i′(−αc)
    gap = abs(meta.mean() - 0.0)  # the mean client stays at 0, where its slope is 0
    assert gap == pytest.approx(mean_client_gap(0.0, rho, 1.0, 1.0, 0.0, alpha))


@pytest.mark.parametrize("seed", range(10))
def test_a_new_client(seed: int) -> None:
    """Proposition 5.13: ‖∇F_new − ∇F‖ over a period, the new wave against four known ones."""
    five = Waves(m=5, n=2, seed=seed)
    known = Waves(m=5, n=2, seed=seed)
    known.a, known.phase, known.shape = five.a[:4], five.phase[:4], (4, 2)
    alpha, ratios = 0.4 / five.L, []
    for w in CIRCLE[::10]:
        slopes, mean = five.slope(w), known.slope(w).mean()
        track = w - alpha * mean * np.linspace(0, 1, 21)
        h = abs(five.curve(track)[:, 4] - known.curve(track).mean(1)).max()
        gamma_H = math.sqrt(known.curve(track).var(1).max())
        second = mean_client_gap(five.L, five.rho, five.B, known.slope(w).std(), gamma_H, alpha)
        bound = newcomer_gap(five.L, five.B, abs(slopes[4] - mean), h, alpha, mean_client=second)
        ratios.append(abs(five.meta(w, alpha)[4] - known.meta(w, alpha).mean()) / bound)
    assert 0.2 < max(ratios) <= 1


def test_no_part_of_the_new_client_can_be_dropped() -> None:
    """Proposition 5.13: equal curvature attains Λ²d; equal slopes nearly attain 2αBh."""
    L, alpha, d = 1.0, 1.0, 0.7  # −½Lw² and −½Lw² + dw at w = 0
    assert (1 + alpha * L) ** 2 * d == pytest.approx(newcomer_gap(L, 1e9, d, 0.0, alpha))
    h, B = 1e-3, 2.0  # f′ = B; the new one has f′(u) = B + hu at w = 0, both convex
    gap = abs((1 - alpha * h) * (B - h * alpha * B) - B)
    bound = newcomer_gap(h, B, 0.0, h, alpha, convex=True)
    assert bound / 2 < 0.99 * bound < gap <= bound
    assert newcomer_gap(0.0, 1.0, 2.0, 0.0, alpha) == 2.0  # opposite slopes: the cap


def test_a_new_client_whose_slopes_are_known_at_both_models() -> None:
    """Proposition 5.13, form (b): random bowls with d at w and at w′; a wave attains αBh."""
    rng, ratios = np.random.default_rng(3), []
    for _ in range(2000):
        bowls = Bowls(rng, spread=rng.choice([0.02, 0.5]))
        d = bowls.A.shape[-1]
        alpha = rng.uniform(0.05, 1)
        A, c = bowls.A[0] * rng.uniform(0.5, 1), bowls.c[0] + 0.1 * rng.normal(size=d)
        slope, new, pool = bowls.slopes.mean(0), -A @ c, bowls.A.mean(0)
        after = np.eye(d) - alpha * pool  # the pool's slope at w′ is this times its slope at w
        there = (-A @ (alpha * slope + c)) - after @ slope
        B, (gamma_G, gamma_H) = bowls.largest_slope(alpha), bowls.gammas()
        second = mean_client_gap(bowls.L, 0.0, B, gamma_G, gamma_H, alpha, convex=True)
        far = max(float(np.linalg.norm(new - slope)), float(np.linalg.norm(there)))
        h = float(np.linalg.norm(A - pool, 2))
        L = max(float(bowls.L), float(np.linalg.norm(A, 2)))
        gap = float(np.linalg.norm(bowls.meta(alpha, A, c)[0] - bowls.meta(alpha).mean(0)))
        form_b = (1 + alpha * L) * far + alpha * B * h + second
        assert gap <= form_b + ROUND
        ratios.append(gap / form_b if form_b > 1e-9 else 0.0)
    assert max(ratios) > 0.7
    h = 0.01  # the pool has f′ = 1, the newcomer f′(u) = 1 + h sin(2πu)/2π: they agree at 0 and −1
    gap = abs((1 - h) * (1 + h * math.sin(-2 * math.pi) / (2 * math.pi)) - 1)
    assert gap == pytest.approx(newcomer_gap(h, 1.0, 0.0, h, 1.0, everywhere=True))
    assert gap < 0.5 * newcomer_gap(h, 1.0, 0.0, h, 1.0)


# ----- what is run: first order, Hessian-free, several steps ----------------------------------


def fo_draws(waves, i, w, alpha, b):
    """Every outcome of ∇̃f_i(w̃; D′) for batches of b samples: [inner outer]."""
    samples = list(product(range(waves.shape[1]), repeat=b))
    steps = [w - alpha * waves.slope(w, waves.of(i, s))[0] for s in samples]
    return np.array([[waves.slope(v, waves.of(i, s))[0] for s in samples] for v in steps])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("b", [1, 2])
def test_first_order_is_biased_and_less_noisy(seed: int, b: int) -> None:
    """Proposition 5.14 (FO): bias and variance by enumeration; αLB cannot be dropped."""
    waves = Waves(m=2, n=4, seed=seed)
    alpha, gaps, ratios = 0.9 / waves.L, [], []
    variance = fo_variance(waves.L, waves.sigma_G, alpha, (b, b))
    for w in (0.3, 2.0, 4.4):
        exact = waves.meta(w, alpha)
        for i in range(2):
            draws = fo_draws(waves, i, w, alpha, b)
            gaps.append(abs(draws.mean() - exact[i]))
            ratios.append(draws.var() / variance)
    bound = fo_bias(waves.L, waves.rho, waves.B, waves.sigma_G, alpha, b)
    assert 0.05 * bound < max(gaps) <= bound
    assert 0.1 < max(ratios) <= 1


def test_no_batch_removes_the_bias_of_first_order() -> None:
    """Proposition 5.14 (FO): −½Lw² + cw without noise attains αLB where ‖∇f‖ = B at w′."""
    L, alpha, w, c = 2.0, 0.3, 0.0, 1.0
    after = -L * (w - alpha * c) + c  # f′ at w′ = w − αf′(w)
    gap = abs(after - (1 + alpha * L) * after)
    assert gap == pytest.approx(fo_bias(L, 0.0, after, 0.0, alpha, 10**9))
    assert gap > fo_bias(L, 0.0, after, 0.0, alpha, 10**9) - alpha * L * after


def hf_draws(waves, i, w, alpha, b, delta):
    """Every outcome of the Hessian-free estimate: [inner outer hessian]."""
    samples = list(product(range(waves.shape[1]), repeat=b))
    g = fo_draws(waves, i, w, alpha, b)[..., None]
    quotient = [
        waves.slope(w + delta * g[..., 0], waves.of(i, s))[..., 0]
        - waves.slope(w - delta * g[..., 0], waves.of(i, s))[..., 0]
        for s in samples
    ]
    return g - alpha / (2 * delta) * np.stack(quotient, -1)


@pytest.mark.parametrize("delta", [0.01, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_hessian_free_has_the_same_noise_and_a_little_more_bias(seed: int, delta: float) -> None:
    """Proposition 5.14 (HF): bias μ + ½αρδ(B² + σ_G²/b′) and the variance bound of exact."""
    waves = Waves(m=2, n=3, seed=seed)
    alpha, ratios, gaps = 0.9 / waves.L, [], []
    variance = meta_variance(waves.L, waves.B, waves.sigma_G, waves.sigma_H, alpha, (1, 1, 1))
    for w in (0.3, 2.0, 4.4):
        exact = waves.meta(w, alpha)
        for i in range(2):
            draws = hf_draws(waves, i, w, alpha, 1, delta)
            gaps.append(abs(draws.mean() - exact[i]))
            ratios.append(draws.var() / variance)
    bound = hf_bias(waves.L, waves.rho, waves.B, waves.sigma_G, alpha, (1, 1, 1), delta)
    assert 0 < max(gaps) <= bound
    assert 0.02 < max(ratios) <= 1


def test_the_quotient_of_hessian_free_needs_its_term() -> None:
    """Proposition 5.14 (HF): f″(u) = ρ|u| at w = 0 without noise has the bias ½αρδB² exactly."""
    rho, alpha, delta, B = 0.4, 0.3, 0.2, 1.5

    def loss(w, batch):  # f′(u) = B + ½ρ u|u|
        u = w["w"]
        return (B * u + rho / 6 * u.abs() ** 3).sum()

    w = {"w": torch.zeros(1, dtype=torch.float64)}
    after = B - 0.5 * rho * (alpha * B) ** 2  # f′ at w′ = −αB, which ‖g‖ is
    found = {
        mode: maml_gradient(loss, alpha, mode, delta)(w, (None,) * 3)["w"].item()
        for mode in ("exact", "hf")
    }
    gap = abs(found["hf"] - found["exact"])
    assert gap == pytest.approx(0.5 * alpha * rho * delta * after**2)
    bound = hf_bias(10.0, rho, B, 0.0, alpha, (1, 1, 1), delta)
    assert meta_bias(10.0, rho, 0.0, alpha, 1) == 0 < 0.9 * bound < gap <= bound


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_few_steps_are_smooth(steps: int) -> None:
    """Proposition 5.15: the slope of w ↦ ∇F_i(w) for ν steps, waves; −½Lw² attains it."""
    for seed in range(5):
        waves = Waves(m=3, n=4, seed=seed)
        alpha = 0.3 / waves.L
        v, turned = CIRCLE[:, None] + np.zeros(3), np.ones(3)
        for _ in range(steps):
            turned = turned * (1 - alpha * waves._own(np.cos, v))
            v = v - alpha * waves._own(np.sin, v)
        meta = turned * waves._own(np.sin, v)
        steepest = abs(np.diff(meta, axis=0) / np.diff(CIRCLE)[:, None]).max()
        bound = meta_smoothness(waves.L, waves.rho, waves.B, alpha, steps=steps)
        assert 0.02 * bound < steepest <= bound
    L, alpha = 2.0, 0.25
    assert L * (1 + alpha * L) ** (2 * steps) == meta_smoothness(L, 0, 0, alpha, steps=steps)


def test_a_few_steps_need_the_part_with_the_changing_hessian() -> None:
    """Proposition 5.15: steep slopes with fine ripples, two steps; without αρB it is violated."""
    B, rho, omega, alpha = 5.0, 1.0, 20.0, 5.0
    L = rho / omega

    def slope(u):
        return 4 + rho / omega**2 * np.sin(omega * u)

    first = CIRCLE - alpha * slope(CIRCLE)
    turned = (1 - alpha * L * np.cos(omega * CIRCLE)) * (1 - alpha * L * np.cos(omega * first))
    meta = turned * slope(first - alpha * slope(first))
    steepest = abs(np.diff(meta) / np.diff(CIRCLE)).max()
    assert meta_smoothness(L, 0.0, B, alpha, steps=2) < steepest
    assert steepest <= meta_smoothness(L, rho, B, alpha, steps=2)


@pytest.mark.parametrize("steps", [1, 3])
def test_exact_inner_steps_leave_the_noise_of_the_last_batch(steps: int) -> None:
    """Proposition 5.15: exact inner gradients and Hessians: no bias, variance Λ^(2ν)σ_G²/b′."""
    waves, alpha = Waves(m=1, n=4, seed=steps), 0.4
    Lambda, bound = 1 + alpha * waves.L, 0.0
    for w in (0.3, 2.0, 4.4):
        turned, v = 1.0, w
        for _ in range(steps):
            turned, v = turned * (1 - alpha * waves.curve(v)[0]), v - alpha * waves.slope(v)[0]
        draws = [turned * waves.slope(v, waves.of(0, (j,)))[0] for j in range(4)]
        assert np.mean(draws) == pytest.approx(turned * waves.slope(v)[0])
        bound = Lambda ** (2 * steps) * waves.sigma_G**2
        assert 0.01 * bound < np.var(draws) <= bound
    hill = (1 + alpha * 2.0) ** steps * np.array([-1.0, 1.0])  # −w² with noise ±1 in the slope
    assert hill.var() == pytest.approx((1 + alpha * 2.0) ** (2 * steps))


def test_one_batch_for_several_hessians_is_biased() -> None:
    """Proposition 5.15: E(1 − αH̃)² ≠ (1 − αH)² for two steps with the same D″."""
    alpha, h = 0.5, np.array([-1.0, 1.0])  # Hessians ±1 of two samples, mean 0
    assert np.mean((1 - alpha * h) ** 2) == pytest.approx(1 + alpha**2)
