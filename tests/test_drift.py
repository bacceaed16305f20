"""The results of the chapter on federated averaging, on problems it did not choose."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from test_quadratics import fixed_point, minimizer, pull, simulate
from torch import Tensor
from toy_clients import random_quadratics, seeded
from toy_waves import CIRCLE, Waves

from fedlearn_lib import Clients, axpy, fedavg, gradient, loss_of, mlp, norm, parameters_of, run


def one_round(loss, w, clients, lr: float, steps: int):
    state, _ = run(
        fedavg(gradient(loss), lr=lr), w, clients,
        rounds=1, steps=steps, batch=None, generator=seeded(),
    )  # fmt: skip
    return state.w


def test_one_local_step_descends_a_network_too() -> None:
    """Proposition 1.3 needs gradients only: a tanh network, weights that are not uniform."""
    g = seeded(3)
    x, y = torch.randn(30, 4, generator=g).double(), torch.randint(0, 3, (30,), generator=g)
    clients = Clients.of(x, y, torch.arange(30).chunk(3), p=[0.2, 0.5, 0.3])
    model = mlp(4, 5, 3, activation="tanh").double()
    loss, w = loss_of(model), parameters_of(model)
    grads = [gradient(loss)(w, (clients.data(i),)) for i in range(3)]
    expected = {
        name: w[name] - 0.7 * sum(p * g_i[name] for p, g_i in zip(clients.p, grads, strict=True))
        for name in w
    }
    after = one_round(loss, w, clients, lr=0.7, steps=1)
    assert float(norm(axpy(-1.0, expected, after))) < 1e-13
    two = one_round(loss, w, clients, lr=0.7, steps=2)
    assert float(norm(axpy(-1.0, expected, two))) > 1e-3  # the second step is the difference


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_local_steps_multiply_the_gap_by_a_power(steps: int) -> None:
    """Lemma 1.4: w_i^τ − w_i = (I − ηA_i)^τ (w − w_i), one client at a time."""
    A, w, _ = random_quadratics(m=3, d=4, seed=5)
    start = torch.linspace(-2, 3, 4, dtype=torch.float64)
    for i in range(3):
        one = torch.ones(1, dtype=torch.float64)
        end = simulate(A[i : i + 1], w[i : i + 1], one, start=start, lr=0.3, steps=steps, rounds=1)
        power = torch.eye(4, dtype=torch.float64) - pull(A[i : i + 1], 0.3, steps)[0]
        torch.testing.assert_close(end - w[i], power @ (start - w[i]), rtol=0, atol=1e-13)


@pytest.mark.parametrize("seed", range(4))
def test_the_distance_shrinks_by_rho_in_every_round(seed: int) -> None:
    """Proposition 1.5: ‖w_{k+1} − w_∞‖ ≤ ρ ‖w_k − w_∞‖ with ρ = ‖Σ p_i (I − ηA_i)^τ‖ < 1."""
    A, w, p = random_quadratics(m=4, d=3, seed=seed)
    lr, steps = 1.9 / float(torch.linalg.eigvalsh(A).max()), 3
    star = fixed_point(A, w, p, lr, steps)
    eye = torch.eye(3, dtype=torch.float64)
    rho = float(torch.linalg.matrix_norm(torch.einsum("i,iab->ab", p, eye - pull(A, lr, steps)), 2))
    assert rho < 1
    here = torch.full((3,), 5.0, dtype=torch.float64)
    for _ in range(5):
        after = simulate(A, w, p, start=here, lr=lr, steps=steps, rounds=1)
        assert float((after - star).norm()) <= rho * float((here - star).norm()) + 1e-12
        here = after


def test_a_step_beyond_the_bound_diverges() -> None:
    """Proposition 1.5 needs η < 2/λ_max of every client, not of their mean."""
    A = torch.tensor([[[3.0]], [[0.1]]], dtype=torch.float64)
    w, p = torch.zeros(2, 1, dtype=torch.float64), torch.tensor([0.5, 0.5], dtype=torch.float64)
    start = torch.ones(1, dtype=torch.float64)
    assert float(simulate(A, w, p, start=start, lr=1.0, steps=1, rounds=50).abs()) < 1e-9
    assert float(simulate(A, w, p, start=start, lr=1.0, steps=2, rounds=50).abs()) > 1e9


def test_a_round_is_a_unit_step_on_the_surrogate() -> None:
    """Corollary 1.6: the gradient of f_τ is w_k − w_{k+1}; its minimizer is w_∞; f_τ is convex."""
    A, w, p = random_quadratics(m=4, d=3, seed=7)
    M = pull(A, 0.4, 6)

    def surrogate(v: Tensor) -> Tensor:
        return 0.5 * torch.einsum("i,ia,iab,ib->", p, v - w, M, v - w)

    start = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    after = simulate(A, w, p, start=start, lr=0.4, steps=6, rounds=1)
    slope = torch.func.grad(surrogate)
    torch.testing.assert_close(slope(start), start - after, rtol=0, atol=1e-13)
    assert float(slope(fixed_point(A, w, p, 0.4, 6)).norm()) < 1e-13
    assert float(torch.linalg.eigvalsh(torch.einsum("i,iab->ab", p, M)).min()) > 0


def test_many_steps_end_at_the_plain_mean() -> None:
    """Corollary 1.6: w_∞ → Σ p_i w_i as τ → ∞, and it is not the minimizer of f."""
    A, w, p = random_quadratics(m=4, d=3, seed=8)
    torch.testing.assert_close(fixed_point(A, w, p, 0.4, 4000), p @ w, rtol=0, atol=1e-9)
    assert float((p @ w - minimizer(A, w, p)).norm()) > 0.05


@pytest.mark.parametrize("steps", [2, 5, 9])
def test_the_first_order_drift(steps: int) -> None:
    """Proposition 1.7: the error of the formula is of second order in η, and γ_H γ_G bounds it."""
    A, w, p = random_quadratics(m=5, d=3, seed=9)
    star, mean = minimizer(A, w, p), torch.einsum("i,iab->ab", p, A)
    gradients = torch.einsum("iab,ib->ia", A, star - w)
    covariance = torch.einsum("i,iab,ib->a", p, A, gradients)
    errors = []
    for eta in (1e-3, 5e-4):
        predicted = eta * (steps - 1) / 2 * torch.linalg.solve(mean, covariance)
        errors.append(float((fixed_point(A, w, p, eta, steps) - star - predicted).norm()))
        assert errors[-1] < 0.05 * float(predicted.norm())
    assert 3.8 < errors[0] / errors[1] < 4.2  # halving η divides a second-order term by four
    gamma_H = (p @ torch.linalg.matrix_norm(A - mean, 2).square()).sqrt()
    gamma_G = (p @ gradients.square().sum(1)).sqrt()
    assert 0.01 * gamma_H * gamma_G < covariance.norm() <= gamma_H * gamma_G


def error_of_a_round(loss, w, clients, lr: float, steps: int) -> tuple[float, float]:
    """Return ‖e_k‖ and Σ p_i ‖∇f_i(w)‖."""
    after = one_round(loss, w, clients, lr, steps)
    grads = [gradient(loss)(w, (clients.data(i),)) for i in range(clients.m)]
    error = {
        name: (w[name] - after[name]) / (lr * steps)
        - sum(p * g[name] for p, g in zip(clients.p, grads, strict=True))
        for name in w
    }
    return float(norm(error)), sum(
        float(p * norm(g)) for p, g in zip(clients.p, grads, strict=True)
    )


def bound(lr: float, L: float, steps: int) -> float:
    return ((1 + lr * L) ** steps - 1) / (steps * lr * L) - 1


@pytest.mark.parametrize(("lr", "steps"), [(0.05, 2), (0.02, 10), (0.3, 4)])
def test_the_error_of_a_round_is_bounded(lr: float, steps: int) -> None:
    """Proposition 1.8 on f_i(w) = Σ_d cos(w_d − c_id), which is not convex and has L = 1."""

    def loss(w, batch):
        return torch.cos(w["w"] - batch[0]).sum(-1).mean()

    centers = torch.randn(6, 3, generator=seeded(1)).double()
    clients = Clients.of(centers, torch.zeros(6), [[i] for i in range(6)])
    w = {"w": torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)}
    error, size = error_of_a_round(loss, w, clients, lr, steps)
    assert 0 < error <= bound(lr, 1.0, steps) * size


def test_the_bound_of_a_round_is_attained_and_its_simple_form_holds() -> None:
    """Proposition 1.8 is an equality for f(w) = −L w²/2; c ≤ ηL(τ−1) if τηL ≤ 1."""

    def loss(w, batch):
        return -0.5 * 2.0 * (w["w"] ** 2).sum() + 0 * batch[0].sum()

    clients = Clients.of(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1), [[0]])
    error, size = error_of_a_round(loss, {"w": torch.ones(2, dtype=torch.float64)}, clients, 0.1, 7)
    assert error == pytest.approx(bound(0.1, 2.0, 7) * size, rel=1e-12)
    for steps in (2, 5, 50):
        for share in (0.01, 0.5, 1.0):
            lr = share / steps
            assert bound(lr, 1.0, steps) <= lr * (steps - 1)


@pytest.mark.parametrize("steps", [2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_drift_is_a_meta_gradient_for_every_smooth_loss(seed: int, steps: int) -> None:
    """Proposition 4.8 on waves: a round, and ∇F, against f minus a multiple of Σ p_i ‖∇f_i‖²."""
    waves = Waves(m=4, n=3, seed=seed)
    w, plain = CIRCLE, waves.slope(CIRCLE).mean(1)
    squares = 2 * (waves.slope(CIRCLE) * waves.curve(CIRCLE)).mean(1)  # ∇ of the mean square
    L, B, rho = waves.L, waves.B, waves.rho
    errors, ratios = [], []
    for lr in (0.04, 0.02):
        v = w[:, None] + np.zeros(4)
        for _ in range(steps):
            v = v - lr * waves._own(np.sin, v)
        followed = -lr * steps * (plain - lr * (steps - 1) / 4 * squares)
        rest = abs(v.mean(1) - w - followed)
        thirds = steps * (steps - 1) * (2 * steps - 1) / 12 * rho * B**2
        bound = lr**3 * (thirds + math.comb(steps, 3) * L**2 * B)
        errors.append(rest.max())
        ratios.append((rest / bound).max())
        meta = waves.meta(w, lr).mean(1)
        gap = abs(meta - (plain - lr * squares)).max()
        assert 0 < gap <= lr**2 * (L**2 * B + 0.5 * (1 + lr * L) * rho * B**2)
    assert 0.02 < max(ratios) <= 1
    assert 6 < errors[0] / errors[1] < 10  # of third order: half the step, an eighth of it


def test_both_parts_of_the_rest_of_a_round_are_attained() -> None:
    """Proposition 4.8: −w²/2 leaves C(τ,3)L²B, a slope of −1 + u²/2 leaves the part with ρB²."""
    lr, steps = 1e-4, 6
    rest = (1 + lr) ** steps - 1 - lr * steps - lr**2 * math.comb(steps, 2)
    assert rest == pytest.approx(lr**3 * math.comb(steps, 3), rel=1e-3)
    u = 0.0
    for _ in range(steps):
        u -= lr * (-1 + 0.5 * u**2)
    bound = lr**3 * steps * (steps - 1) * (2 * steps - 1) / 12
    assert lr * steps - u == pytest.approx(bound, rel=1e-3)


@pytest.mark.parametrize("cohort", [1, 2, 4, 5])
def test_a_cohort_in_place_of_everybody(cohort: int) -> None:
    """Proposition 1.9: every cohort of five clients; mean, variance, and the bias of the ratio."""
    g = seeded(1)
    moves = torch.randn(5, 3, generator=g).double()
    p = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05], dtype=torch.float64)
    cohorts = [list(S) for S in combinations(range(5), cohort)]
    plain = torch.stack([moves[S].mean(0) for S in cohorts])
    torch.testing.assert_close(plain.mean(0), moves.mean(0), rtol=0, atol=1e-14)
    factor = (5 - cohort) / (cohort * 4)
    spread = (moves - moves.mean(0)).square().sum(1).mean()
    found = (plain - moves.mean(0)).square().sum(1).mean()
    torch.testing.assert_close(found, factor * spread, rtol=1e-12, atol=1e-15)
    target = p @ moves
    scaled = torch.stack([5 / cohort * p[S] @ moves[S] for S in cohorts])
    torch.testing.assert_close(scaled.mean(0), target, rtol=0, atol=1e-14)
    share = torch.stack([p[S].sum() for S in cohorts])
    ratio = torch.stack([p[S] @ moves[S] / p[S].sum() for S in cohorts])
    together = ((share - share.mean())[:, None] * ratio).mean(0)
    torch.testing.assert_close(ratio.mean(0) - target, -5 / cohort * together, rtol=0, atol=1e-14)
    assert (float((ratio.mean(0) - target).norm()) > 0.01) == (cohort < 5)
    if cohort == 1:
        torch.testing.assert_close(ratio.mean(0), moves.mean(0), rtol=0, atol=1e-14)


def test_the_library_takes_the_ratio() -> None:
    """Proposition 1.9: a client that is drawn alone counts fully, whatever its weight."""
    x, n = torch.tensor([[[1.0]], [[5.0]]]).double(), torch.ones(2, dtype=torch.long)
    clients = Clients(x, torch.zeros(2, 1), n, torch.tensor([0.9, 0.1]))

    def loss(w, batch):
        return 0.5 * (w["w"] - batch[0].mean()).square().sum()

    ends = set()
    for seed in range(8):
        state, _ = run(
            fedavg(gradient(loss), lr=1.0), {"w": torch.zeros(1).double()}, clients,
            rounds=1, cohort=1, steps=1, batch=1, generator=seeded(seed),
        )  # fmt: skip
        ends.add(state.w["w"].item())
    assert ends == {1.0, 5.0}


def distance_after(A: Tensor, w: Tensor, p: Tensor, *, lr: float, steps: int, rounds: int) -> float:
    """The distance to the minimizer of f after some rounds of the library, from (5, 5, …)."""
    start = torch.full(w.shape[1:], 5.0, dtype=torch.float64)
    end = simulate(A, w, p, start=start, lr=lr, steps=steps, rounds=rounds)
    return float((end - minimizer(A, w, p)).norm())


def spreads(A: Tensor, w: Tensor, p: Tensor) -> tuple[float, float]:
    """γ_H and γ_G of quadratic clients at the minimizer of f."""
    slopes = torch.einsum("iab,ib->ia", A, minimizer(A, w, p) - w)
    gaps = A - torch.einsum("i,iab->ab", p, A)
    gamma_H = (p @ torch.linalg.matrix_norm(gaps, 2).square()).sqrt()
    return float(gamma_H), float((p @ slopes.square().sum(1)).sqrt())


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_number_of_local_steps(seed: int, share: float) -> None:
    """Proposition 1.10: the bound after K rounds holds up to the longest way; where it is least."""
    A, w, p = random_quadratics(m=4, d=3, seed=seed)
    A = A.mean(0) + 0.3 * (A - A.mean(0))
    values = torch.linalg.eigvalsh(A)
    low, lr = float(values.min()), share / float(values.max())
    product, away = math.prod(spreads(A, w, p)), float((5.0 - minimizer(A, w, p)).norm())
    steps = max(1, int(1 / (low * lr)) if share == 1.0 else 3)
    for rounds in (1, 4, 30):
        found = distance_after(A, w, p, lr=lr, steps=steps, rounds=rounds)
        drift = lr * (steps - 1) * product / low  # as the proof has it
        assert found <= math.exp(-low * lr * steps * rounds) * away + drift
    ways = np.geomspace(1e-4, 1e2, 20001)
    bound = np.exp(-low * 30 * ways) * away + ways * product / low
    best = math.log(low**2 * 30 * away / product) / (low * 30)
    assert ways[bound.argmin()] == pytest.approx(best, rel=1e-3)


def test_neither_part_of_the_bound_after_some_rounds_is_idle() -> None:
    """Proposition 1.10: two clients nearly alike reach half of the drift, alike ones the rest."""
    ends, half = torch.tensor([[0.0], [1.0]]).double(), torch.full((2,), 0.5).double()
    A = torch.tensor([1.0, 0.99]).double().view(2, 1, 1)
    found = distance_after(A, ends, half, lr=0.01, steps=9, rounds=400)
    drift = 0.01 * 8 * math.prod(spreads(A, ends, half)) / 0.99
    assert 0.45 * drift < found < drift
    found = distance_after(A[:1].expand(2, 1, 1), ends, half, lr=0.01, steps=9, rounds=3)
    assert 0.98 < found / (4.5 * math.exp(-0.01 * 9 * 3)) < 1.0
