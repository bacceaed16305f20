"""Each bound of the chapter on convergence against brute force, on problems it did not choose."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
import torch
from toy_clients import seeded
from toy_waves import CIRCLE, ROUND, Waves

from fedlearn_lib import fedavg, gradient, perfedavg, run
from fedlearn_lib.data import quadratic_clients, quadratic_loss
from fedlearn_lib.theory import (
    Bound,
    balanced_steps,
    meta_bias,
    meta_dissimilarity,
    meta_smoothness,
    meta_variance,
    perfedavg_bound,
    sampling_factor,
    softmax_constants,
    stretch,
)

# ----- constants and lemmas -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_constants_of_softmax_regression(seed: int) -> None:
    """Proposition 5.2: L = R²/2, B = √2 R and ρ = R³/√2, from autograd on random inputs."""
    g = seeded(seed)
    x = torch.randn(3, generator=g, dtype=torch.float64)
    L, B, rho = softmax_constants(float(x.norm()))

    def loss(w):
        return torch.logsumexp(w.view(4, 3) @ x, 0) - w.view(4, 3)[0] @ x

    hessian = torch.func.jacrev(torch.func.grad(loss))
    at = 3 * torch.randn(40, 12, generator=g, dtype=torch.float64)
    step = 1e-4 * torch.nn.functional.normalize(torch.randn(at.shape, generator=g), dim=1)
    curved, moved = torch.func.vmap(hessian)(at), torch.func.vmap(hessian)(at + step)
    slopes = torch.func.vmap(torch.func.grad(loss))(at).norm(dim=1)
    rates = torch.linalg.matrix_norm(moved - curved, 2) / step.norm(dim=1)
    curves = torch.linalg.matrix_norm(curved, 2)
    assert 0.8 * B < slopes.max() <= B
    assert 0.6 * L < curves.max() <= L + ROUND
    assert 0.05 * rho < rates.max() <= rho


def test_the_constants_of_softmax_regression_are_attained() -> None:
    """Proposition 5.2: L at two equal probabilities, B where the model is sure and wrong."""
    x = torch.tensor([3.0, 4.0], dtype=torch.float64)
    L, B, _ = softmax_constants(5.0)

    def loss(w):
        return torch.logsumexp(w.view(2, 2) @ x, 0) - w.view(2, 2)[0] @ x

    level = torch.zeros(4, dtype=torch.float64)
    sure = torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64) * 10
    assert float(
        torch.linalg.matrix_norm(torch.func.jacrev(torch.func.grad(loss))(level), 2)
    ) == pytest.approx(L)
    assert float(torch.func.grad(loss)(sure).norm()) == pytest.approx(B)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_meta_loss_is_smooth(seed: int, share: float) -> None:
    """Lemma 5.3: |∇F_i(u) − ∇F_i(v)| ≤ L_F |u − v| over a whole period of random waves."""
    waves = Waves(m=3, n=4, seed=seed)
    alpha = share / waves.L
    slopes = np.diff(waves.meta(CIRCLE, alpha), axis=0) / np.diff(CIRCLE)[:, None]
    bound = meta_smoothness(waves.L, waves.rho, waves.B, alpha)
    assert 0.1 * bound < abs(slopes).max() <= bound


def test_both_parts_of_the_smoothness_constant_are_needed() -> None:
    """Lemma 5.3: (1 + αL)² is attained by −Lw²/2; αρB dominates for a steep, finely curved f."""
    L, alpha = 2.0, 0.4
    slope = torch.func.grad(lambda w: -0.5 * L * (w - alpha * (-L * w)) ** 2)
    second = torch.func.grad(slope)(torch.tensor(0.3, dtype=torch.float64)).abs()
    assert float(second) == pytest.approx(meta_smoothness(L, 0.0, 0.0, alpha), rel=1e-6)
    B, rho, omega = 5.0, 1.0, 20.0  # f' = 4 + sin(ωw) ρ/ω², so f'' ≤ ρ/ω and f''' ≤ ρ
    L, alpha = rho / omega, omega / rho

    def meta(w):
        adapted = w - alpha * (4 + rho / omega**2 * np.sin(omega * w))
        return (1 - alpha * L * np.cos(omega * w)) * (4 + rho / omega**2 * np.sin(omega * adapted))

    steep = abs(np.diff(meta(CIRCLE)) / np.diff(CIRCLE)).max()
    assert meta_smoothness(L, 0.0, B, alpha) < steep <= meta_smoothness(L, rho, B, alpha)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("b", [1, 2])
def test_the_bias_by_enumeration(seed: int, b: int) -> None:
    """Lemma 5.4: the mean over all batches misses ∇F_i by at most μ; the mean exists as a sum."""
    waves = Waves(m=2, n=4, seed=seed)
    alpha, gaps = 0.9 / waves.L, []
    for w in (0.3, 2.0, 4.4):
        exact = waves.meta(w, alpha)
        gaps += [abs(waves.draws(i, w, alpha, b).mean() - exact[i]) for i in range(2)]
    assert 0 < max(gaps) <= meta_bias(waves.L, waves.rho, waves.sigma_G, alpha, b)


def two_point_bias(slope, curve, w: float, alpha: float, sigma: float, b: int) -> float:
    """|E∇̃F − ∇F| when the inner gradient carries the mean of b coins ±σ, by enumeration."""
    heads = np.arange(b + 1)
    law = np.array([math.comb(b, k) for k in heads]) / 2**b
    noisy = (law * slope(w - alpha * (slope(w) + sigma * (2 * heads / b - 1)))).sum()
    return abs((1 - alpha * curve(w)) * (noisy - slope(w - alpha * slope(w))))


def test_each_branch_of_the_bias_is_nearly_attained() -> None:
    """Lemma 5.4: a kink needs 1/√b, a smooth slope falls as 1/b, a quadratic has no bias."""
    alpha, sigma, eps = 1.0, 1.0, 1e-3  # L = 1, ρ = 1/ε
    w = -1.0  # its adapted point is the kink at −2, and f''(−1) = −1 attains the stretch

    def kink(w):
        return 2 - np.sqrt((w + 2) ** 2 + eps**2)  # f'(−1) = 1, up to ε²

    for b in (1, 4, 16):
        found = two_point_bias(kink, lambda w: -1.0, w, alpha, sigma, b)
        bound = meta_bias(1.0, 1 / eps, sigma, alpha, b)
        assert 0.7 * bound < found <= bound
    small = [two_point_bias(np.sin, np.cos, 2.2, 0.5, 0.3, b) for b in (4, 16, 64)]
    for b, found in zip((4, 16, 64), small, strict=True):
        assert found <= meta_bias(1.0, 1.0, 0.3, 0.5, b)
    assert 3.8 < small[1] / small[2] < 4.2  # four times the batch, a quarter of the bias
    assert two_point_bias(lambda w: 2 * w, lambda w: 2.0, 1.0, 0.4, 5.0, 3) < 1e-12
    assert meta_bias(2.0, 0.0, 5.0, 0.4, 3) == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("b", [1, 2])
def test_the_variance_by_enumeration(seed: int, b: int) -> None:
    """Lemma 5.5: the mean square error over all triples of batches is at most σ_F²."""
    waves = Waves(m=2, n=4, seed=seed)
    alpha, ratios = 0.9 / waves.L, []
    bound = meta_variance(waves.L, waves.B, waves.sigma_G, waves.sigma_H, alpha, (b, b, b))
    for w in (0.3, 2.0, 4.4):
        exact = waves.meta(w, alpha)
        for i in range(2):
            ratios.append(((waves.draws(i, w, alpha, b) - exact[i]) ** 2).mean() / bound)
    assert 0.02 < max(ratios) <= 1


def test_no_part_of_the_variance_can_be_dropped() -> None:
    """Lemma 5.5 on ℓ = ½a_z w² − c_z w: outer, inner and Hessian noise one at a time."""
    L, alpha, w = 1.0, 1.0, 2.0

    def error(inner, outer, hessian, a=-1.0):
        gradients = [(w - alpha * (a * w + e)) * a + o for e, o in product(inner, outer)]
        exact = (1 - alpha * a) * (a * (w - alpha * a * w))
        draws = [(1 - alpha * (a + h)) * g for g, h in product(gradients, hessian)]
        return np.mean([(d - exact) ** 2 for d in draws]), abs(a * (w - alpha * a * w))

    still, coin = [0.0], [-1.0, 1.0]
    outer, _ = error(still, coin, still)
    assert outer == pytest.approx(meta_variance(L, 0, 1, 0, alpha, (10**9, 1, 1)), rel=1e-6)
    inner, _ = error(coin, still, still)
    assert inner == pytest.approx(meta_variance(L, 0, 1, 0, alpha, (1, 10**9, 1)), rel=1e-6)
    hessian, B = error(still, still, coin)
    assert hessian == pytest.approx(meta_variance(L, B, 0, 1, alpha, (1, 1, 1)), rel=1e-12)


def test_the_hessian_noise_divides_by_the_batch_along_a_vector() -> None:
    """Lemma 5.5: E‖H̄v‖² ≤ σ_H²‖v‖²/b in the spectral norm, although E‖H̄‖² ≤ σ_H²/b fails."""
    signs = np.array(list(product([-1, 1], repeat=2)))  # H = diag(±1, ±1): ‖H‖ = 1
    means = np.array([(p + q) / 2 for p in signs for q in signs])  # of two independent draws
    v = np.array([0.6, 0.8])
    assert np.mean(((means * v) ** 2).sum(1)) == pytest.approx(0.5)
    assert np.mean(abs(means).max(1) ** 2) == pytest.approx(0.75)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_similarity_of_meta_losses(seed: int, share: float) -> None:
    """Lemma 5.6: the spread of ∇F_i over clients, over a whole period, is at most γ_F."""
    waves = Waves(m=5, n=2, seed=seed)
    alpha = share / waves.L
    spread = math.sqrt(waves.meta(CIRCLE, alpha).var(1).max())
    bound = meta_dissimilarity(waves.L, waves.B, waves.gamma_G, waves.gamma_H, alpha)
    paper = 32 * waves.gamma_G**2 + 2 * (alpha * waves.B * waves.gamma_H) ** 2
    assert 0.1 * bound < spread <= bound <= math.sqrt(paper)


def test_both_parts_of_the_similarity_are_needed() -> None:
    """Lemma 5.6: −Lw²/2 ± cw attains the γ_G part; equal far slopes leave only αBγ_H."""
    L, alpha, c = 1.0, 1.0, np.array([-1.0, 1.0])
    w = 0.7
    meta = (1 + alpha * L) * (-L * (w - alpha * (-L * w + c)) + c)
    assert meta.std() == pytest.approx(meta_dissimilarity(L, 1e9, 1.0, 0.0, alpha))
    # two clients with slopes 1 ± h sin(ωw)/ω: γ_G ≤ h/ω is small, γ_H = h is not
    h, omega, B = 0.01, 50.0, 1.01
    slopes = 1 + h / omega * np.array([-1, 1]) * np.sin(omega * CIRCLE)[:, None]
    adapted = CIRCLE[:, None] - slopes
    signs = np.array([-1, 1])
    far = 1 + h / omega * signs * np.sin(omega * adapted)
    meta = (1 - h * signs * np.cos(omega * CIRCLE)[:, None]) * far
    spread = meta.std(1).max()
    assert meta_dissimilarity(h, B, h / omega, 0.0, 1.0) < spread
    assert spread <= meta_dissimilarity(h, B, h / omega, h, 1.0)


@pytest.mark.parametrize(("m", "cohort"), [(2, 1), (5, 2), (6, 6), (7, 4)])
def test_sampling_without_replacement_over_all_cohorts(m: int, cohort: int) -> None:
    """Lemma 5.7: the variance of a cohort's mean, enumerated, equals (m−c)/(c(m−1)) times one."""
    x = np.random.default_rng(m).normal(size=(m, 3))
    one = ((x - x.mean(0)) ** 2).sum(1).mean()
    means = np.array([x[list(S)].mean(0) for S in combinations(range(m), cohort)])
    found = ((means - x.mean(0)) ** 2).sum(1).mean()
    assert found == pytest.approx(sampling_factor(m, cohort) * one, rel=1e-12, abs=1e-15)


# ----- the theorem ----------------------------------------------------------------------------


def local_runs(waves, w, *, alpha, beta, tau, batches, copies, rng):
    """Iterates [τ+1 copies m] of every client from w, and the mean directions h_i at them."""
    m, n = waves.shape
    v, path = np.repeat(w[:, None], m, 1), []
    own = np.arange(m)[:, None]

    def mean(trig, at, b):
        pick = rng.integers(n, size=(copies, m, b))
        return (waves.a[own, pick] * trig(at[..., None] - waves.phase[own, pick])).mean(-1)

    for _ in range(tau):
        path.append(v)
        g = mean(np.sin, v - alpha * mean(np.sin, v, batches[0]), batches[1])
        v = v - beta * (1 - alpha * mean(np.cos, v, batches[2])) * g
    return np.array([*path, v])


def mean_direction(waves, v, alpha):
    """h_i(v) = E∇̃F_i(v) for an inner batch of one, over all samples: v [... m] -> [... m]."""
    first = waves.a * np.sin(v[..., None] - waves.phase)  # [... m n]
    slopes = [waves._own(np.sin, v - alpha * first[..., j]) for j in range(waves.shape[1])]
    return (1 - alpha * waves._own(np.cos, v)) * np.mean(slopes, axis=0)


@pytest.mark.parametrize("tau", [1, 2, 8])
@pytest.mark.parametrize("seed", range(3))
def test_the_drift_of_local_runs(seed: int, tau: int) -> None:
    """Lemma 5.8: the mean square of h_i(w_i^t) − ∇F_i(w_k), from 3,000 simulated rounds."""
    waves, copies = Waves(m=4, n=3, seed=seed), 3000
    alpha = 0.5 / waves.L
    known = waves.constants(alpha, (1, 2, 2))
    beta = 1 / (4 * tau * known["L_F"])
    w = np.full(copies, 1.0)
    path = local_runs(
        waves, w, alpha=alpha, beta=beta, tau=tau, batches=(1, 2, 2), copies=copies,
        rng=np.random.default_rng(seed),
    )[:-1]  # fmt: skip
    exact = waves.meta(1.0, alpha)
    V = ((mean_direction(waves, path, alpha) - exact) ** 2).mean()
    q, x = (beta * known["L_F"]) ** 2, exact.mean() ** 2 + known["gamma_F"] ** 2
    bound = 8 / 7 * (
        2 * known["bias"] ** 2 + 4 / 3 * q * tau * (tau - 1) * x
        + 2 * q * (tau - 1) * known["sigma_F2"]
    )  # fmt: skip
    assert 0 < V <= bound
    if tau > 1:  # without the part that grows with τ the lemma would be wrong at a small bias
        assert 1.01 * ((mean_direction(waves, path[:1], alpha) - exact) ** 2).mean() < V


@pytest.mark.parametrize("part", ["bias", "slope", "spread", "noise"])
def test_no_part_of_the_drift_can_be_dropped(part: str) -> None:
    """Lemma 5.8: walks with ∇F_i(w) = c_i − (w − w_k), L_F = 1, each with one part only."""
    tau = 1 if part == "bias" else 40
    x, steps = 1 / (4 * tau), np.arange(tau)
    walked = (1 + x) ** steps - 1  # of a unit slope; the noise adds x²Σ(1 + x)^2s
    noise = x**2 * np.array([((1 + x) ** (2 * np.arange(t))).sum() for t in steps])
    V = {"bias": 1.0, "noise": noise.mean()}.get(part, (walked**2).mean())
    bound = (
        8
        / 7
        * {"bias": 2.0, "noise": 2 * x**2 * (tau - 1)}.get(part, 4 / 3 * x**2 * tau * (tau - 1))
    )
    least = 0.43 if part == "bias" else 0.2
    assert least * bound < V <= bound


def test_the_drift_is_a_fifth_of_its_bound_for_short_steps() -> None:
    """Lemma 5.8 on f = −w²/2 without noise: the ratio tends to (1/3)/(32/21) for many steps."""
    tau, beta = 400, 1e-6
    w = np.exp(beta * np.arange(tau))
    V, x = ((w - 1) ** 2).mean(), beta
    assert V / (32 / 21 * x**2 * tau * (tau - 1)) == pytest.approx(7 / 32, rel=0.01)


def simulate(waves, w0, *, alpha, beta, tau, rounds, cohort, batches, copies=300, seed=0):
    """Mean over copies and rounds of ‖∇F(w_k)‖²."""
    rng, w, seen = np.random.default_rng(seed), np.full(copies, w0), []
    for _ in range(rounds):
        seen.append((waves.meta(w, alpha).mean(-1) ** 2).mean())
        ends = local_runs(
            waves, w, alpha=alpha, beta=beta, tau=tau, batches=batches, copies=copies, rng=rng
        )[-1]
        S = np.argsort(rng.random(ends.shape), 1)[:, :cohort]
        w = np.take_along_axis(ends, S, 1).mean(1)
    return np.mean(seen)


CASES = [(1, 4, (1, 1, 1)), (4, 4, (2, 2, 2)), (4, 1, (1, 3, 2)), (12, 2, (8, 4, 4))]


@pytest.mark.parametrize(("tau", "cohort", "batches"), CASES)
@pytest.mark.parametrize("seed", range(2))
def test_the_theorem_on_waves(tau: int, cohort: int, batches, seed: int) -> None:
    """Theorem 5.9: the mean of ‖∇F(w_k)‖² over rounds of random waves is below the five terms."""
    waves = Waves(m=4, n=3, seed=seed)
    alpha = 0.5 / waves.L
    known = waves.constants(alpha, batches)
    beta, values = 1 / (4 * tau * known["L_F"]), waves.value(CIRCLE, alpha)
    w0 = CIRCLE[values.argmax()] + 0.3
    setting = {"beta": beta, "tau": tau, "rounds": 60, "cohort": cohort}
    found = simulate(waves, w0, alpha=alpha, batches=batches, **setting)
    gap = float(waves.value(w0, alpha) - values.min())
    assert 0 < found <= perfedavg_bound(gap=gap, m=4, **known, **setting).total


def without(term: str, bound: Bound) -> float:
    return bound.total - getattr(bound, term)


def test_the_distance_to_go_cannot_be_dropped() -> None:
    """Theorem 5.9, optimization: one exact round on w²/2 from 1, where nothing else is left."""
    bound = perfedavg_bound(
        gap=0.5, L_F=1, sigma_F2=0, gamma_F=0, bias=0, beta=0.25, tau=1, rounds=1, m=1, cohort=1
    )
    assert without("optimization", bound) == 0 < 1.0 <= bound.total


def test_the_noise_cannot_be_dropped() -> None:
    """Theorem 5.9, noise: w ← (1 − β)w − βξ from the minimizer, ξ = ±1, in closed form."""
    beta, rounds = 0.1, 500
    v = [0.0]
    for _ in range(rounds - 1):
        v.append((1 - beta) ** 2 * v[-1] + beta**2)
    bound = perfedavg_bound(
        gap=0, L_F=1, sigma_F2=1, gamma_F=0, bias=0, beta=beta, tau=1, rounds=rounds, m=1, cohort=1
    )
    assert without("noise", bound) == 0 < np.mean(v) <= bound.total


def test_the_sampling_cannot_be_dropped() -> None:
    """Theorem 5.9, sampling: two clients ½(w ∓ 1)², one a round, from 0, in closed form."""
    beta, tau, rounds = 1e-3, 10, 4000
    theta, v = (1 - beta) ** tau, [0.0]
    for _ in range(rounds - 1):
        v.append(theta**2 * v[-1] + (1 - theta) ** 2)
    bound = perfedavg_bound(
        gap=0, L_F=1, sigma_F2=0, gamma_F=1, bias=0, beta=beta, tau=tau, rounds=rounds, m=2,
        cohort=1,
    )  # fmt: skip
    assert without("sampling", bound) < np.mean(v) <= bound.total


def test_the_drift_cannot_be_dropped() -> None:
    """Theorem 5.9, drift: waves with all clients and exact gradients, from the minimizer of F."""
    waves = Waves(m=4, n=1, seed=5)
    alpha, tau, rounds = 0.3 / waves.L, 6, 2000
    grid = np.linspace(0, 2 * np.pi, 200_001)
    w = grid[waves.value(grid, alpha).argmin()]
    known = {**waves.constants(alpha, (1, 1, 1)), "sigma_F2": 0.0, "bias": 0.0}
    beta, seen = 1 / (4 * tau * known["L_F"]), []
    for _ in range(rounds):
        seen.append(waves.meta(w, alpha).mean() ** 2)
        v = np.full(4, w)
        for _ in range(tau):
            slope = (1 - alpha * waves._own(np.cos, v)) * waves._own(
                np.sin, v - alpha * waves._own(np.sin, v)
            )
            v = v - beta * slope
        w = v.mean()
    bound = perfedavg_bound(
        gap=1e-9, m=4, cohort=4, beta=beta, tau=tau, rounds=rounds, **known
    )  # 1e-9: what the grid may miss of the minimum
    assert without("drift", bound) < np.mean(seen) <= bound.total


def test_the_residual_cannot_be_dropped() -> None:
    """Theorem 5.9, residual: exact steps but for b = 1 toss of a coin, from the minimizer of F."""
    q, alpha, beta, rounds = 0.9, 3.0, 0.05, 20_000  # f' = s(w) − q: L = 1/4, ρ = 1/(6√3)
    w, seen = math.log(q / (1 - q)), []

    def s(w):
        return 1 / (1 + math.exp(-w))

    def slope(w, share):  # of a client that adapts on a batch with this share of heads
        return (1 - alpha * s(w) * (1 - s(w))) * (s(w - alpha * (s(w) - share)) - q)

    for _ in range(rounds):
        seen.append(slope(w, q) ** 2)
        w -= beta * (q * slope(w, 1) + (1 - q) * slope(w, 0))
    sigma = math.sqrt(q * (1 - q))
    bias = meta_bias(0.25, 1 / (6 * math.sqrt(3)), sigma, alpha, 1, convex=True)
    bound = perfedavg_bound(
        gap=1e-12, L_F=1.0, sigma_F2=0.0, gamma_F=0.0, bias=bias, beta=beta, tau=1, rounds=rounds,
        m=1, cohort=1,
    )  # fmt: skip
    assert without("residual", bound) < np.mean(seen) <= bound.total


@pytest.mark.parametrize("tau", [1, 3])
def test_local_steps_keep_the_sampling_noise(tau: int) -> None:
    """Proposition 5.10: the library's run on two clients, against (1 − θ)/(1 + θ)."""
    alpha, beta, rounds = 0.2, 0.1, 1200
    a = (1 - alpha) ** 2
    theta = (1 - beta * a) ** tau
    ends = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    clients = quadratic_clients(torch.ones(2, 1, 1, dtype=torch.float64), ends)
    _, history = run(
        perfedavg(quadratic_loss, alpha=alpha, beta=beta), {"w": torch.zeros(1).double()}, clients,
        rounds=rounds, cohort=1, steps=tau, batch=1, generator=seeded(tau), how="loop",
        probe=lambda state: {"slope": float(a * state.w["w"][0]) ** 2},
    )  # fmt: skip
    found = np.mean(history.values["slope"][rounds // 6 :])
    # 1,000 correlated rounds: one standard error is about a fifth of the mean
    assert found == pytest.approx(a**2 * (1 - theta) / (1 + theta), rel=0.35)


def test_no_constant_saves_a_sampling_term_without_tau() -> None:
    """Proposition 5.10: with τ = β^(−1/2) the measured slope exceeds any multiple of β + (βτ)²."""
    ratios = []
    for beta in (1e-2, 1e-4, 1e-6):
        tau = round(beta**-0.5)
        theta = (1 - beta) ** tau
        ratios.append((1 - theta) / (1 + theta) / (beta + beta**2 * tau * (tau - 1)))
        assert (1 - theta) / (1 + theta) >= 0.3 * beta * tau
    assert ratios[1] > 8 * ratios[0]
    assert ratios[2] > 8 * ratios[1]


def test_the_rates_of_the_corollary() -> None:
    """Corollary 5.11: all clients, ε^(−3/2) rounds; a share of them, ε^(−2); mixed up, √ε only."""
    problem = {"gap": 1.0, "L_F": 1.0, "sigma_F2": 2.0, "gamma_F": 1.5, "bias": 0.0}

    def total(eps, cohort, everybody):
        beta, tau, rounds = balanced_steps(eps, everybody=everybody)
        return perfedavg_bound(
            m=10, cohort=cohort, beta=beta, tau=tau, rounds=rounds, **problem
        ).total

    for eps in (1e-2, 1e-4, 1e-6):
        assert total(eps, 10, True) < 20 * eps
        assert total(eps, 5, False) < 20 * eps
        assert 0.2 * eps**0.5 < total(eps, 5, True) < 20 * eps**0.5
    assert balanced_steps(1e-4, everybody=True)[2] == 10**6
    assert balanced_steps(1e-4, everybody=False)[2] == 10**8


def test_one_step_of_all_clients_is_gradient_descent() -> None:
    """Theorem 5.9 at τ = 1, c = m, without noise: only the distance to go remains, and it holds."""
    centers = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    clients = quadratic_clients(torch.ones(2, 1, 1, dtype=torch.float64), centers)
    _, history = run(
        fedavg(gradient(quadratic_loss), lr=0.25), {"w": torch.full((1,), 5.0).double()}, clients,
        rounds=8, steps=1, batch=1, generator=seeded(),
        probe=lambda state: {"slope": (float(state.w["w"][0]) - 1) ** 2},
    )  # fmt: skip
    bound = perfedavg_bound(
        gap=8.0, L_F=1, sigma_F2=0, gamma_F=1, bias=0, beta=0.25, tau=1, rounds=8, m=2, cohort=2
    )
    assert bound.total == bound.optimization
    assert 0.25 * bound.total < np.mean(history.values["slope"][:8]) <= bound.total


# ----- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stretch(2.0, 0.6, convex=True), "lower alpha"),
        (lambda: meta_smoothness(-1.0, 0, 0, 0.1), "L must be"),
        (lambda: meta_bias(1.0, 0, 1, 0.1, 0), "batch must be"),
        (lambda: meta_variance(1.0, 1, math.nan, 1, 0.1, (1, 1, 1)), "sigma_G must be"),
        (lambda: meta_dissimilarity(1.0, 1, 1, math.inf, 0.1), "gamma_H must be"),
        (lambda: sampling_factor(3, 4), "lower it"),
        (lambda: balanced_steps(1.0, everybody=True), "between 0 and 1"),
        (lambda: softmax_constants(-1.0), "radius must be"),
        (
            lambda: perfedavg_bound(
                gap=1, L_F=1, sigma_F2=0, gamma_F=0, bias=0, beta=0.2, tau=2, rounds=1, m=1,
                cohort=1,
            ),
            "between 0 and 0.125",
        ),
    ],
)  # fmt: skip
def test_impossible_constants_are_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
