"""Descent, relative error, safe steps and rates on problems that the chapter did not choose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toy_clients import seeded

from fedlearn_lib import L1, GroupL2
from fedlearn_lib.sparse import largest_curvature
from fedlearn_lib.theory import (
    Run,
    coupled_lipschitz,
    descent,
    dual_of,
    local_lipschitz,
    logistic_lipschitz,
    lyapunov_max_lr,
    relative_error,
    squared_steps,
    subgradients,
)

ROUND = 1e-10  # float64 on values of order 1 to 100, after a few hundred operations
PENALTIES = [L1(), L1(0.3), GroupL2(0.7)]


def walk(loss, w0, penalty, *, kappa, nu, lr, steps, mix=False):
    """Every iterate of the recursion; ``mix`` lets V see the new W, a mistake."""
    slope = torch.func.grad(loss)
    w, gamma, v = w0, torch.zeros_like(w0), torch.zeros_like(w0)
    rows = [(w, gamma, v)]
    for _ in range(steps):
        new = w - kappa * lr * (slope(w) + (w - gamma) / nu)
        v = v + lr / nu * ((new if mix else w) - gamma)
        w, gamma = new, kappa * penalty.prox(v)
        rows.append((w, gamma, v))
    return Run(*(torch.stack(column) for column in zip(*rows, strict=True)))


def quadratic(seed, groups=4, size=3, low=0.05, high=3.0, shift=2.0):
    """A random convex quadratic on [groups size], its curvature ``high`` and its minimizer."""
    g, p = seeded(seed), groups * size
    q = torch.linalg.qr(torch.randn(p, p, generator=g, dtype=torch.float64)).Q
    spread = torch.linspace(low, high, p, dtype=torch.float64)
    A = q @ spread.diag() @ q.T
    best = shift * torch.randn(groups, size, generator=g, dtype=torch.float64)

    def loss(w):
        u = (w - best).flatten()
        return 0.5 * u @ A @ u

    return loss, best, A


def waves(w):
    """A smooth loss that is not convex: Σ (1 − cos w_j)(1 + ½ sin w_{j+1}), below by 0."""
    return ((1 - w.cos()) * (1 + 0.5 * w.roll(1).sin())).sum()


WAVES_LIP = 3.5  # row sums of its Hessian: diagonal at most 1.5 + 1, two neighbors ½ each


def by_hand(loss, run, penalty, kappa, nu, lr):
    """F_k from the definition, one step at a time, with NumPy-like loops."""
    values = []
    for k in range(len(run.w)):
        b = max(k - 1, 0)
        g = run.v[b] - run.gamma[b] / kappa
        value = lr * (loss(run.w[k]) + ((run.w[k] - run.gamma[k]) ** 2).sum() / (2 * nu))
        value = value + penalty.value(run.gamma[k]) - penalty.value(run.gamma[b])
        values.append(float(value - (g * (run.gamma[k] - run.gamma[b])).sum()))
    return torch.tensor(values, dtype=torch.float64)


# ----- the iteration --------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("kappa", [0.5, 7.0])
def test_one_step_solves_the_mirror_problem(penalty, kappa: float) -> None:
    """Algorithm 12.1, Proposition 12.3: minimize α⟨∇L̄(P_k), P⟩ + B(Γ, Γ_k) + ‖P − P_k‖²/2κ."""
    loss, _, _ = quadratic(3)
    nu, lr = 0.6, 0.2 / kappa
    w0 = torch.randn(4, 3, generator=seeded(1), dtype=torch.float64)
    run = walk(loss, w0, penalty, kappa=kappa, nu=nu, lr=lr, steps=40)
    g = subgradients(run, kappa=kappa)
    noise, moved = seeded(5), 0
    for k in (0, 3, 10, 39):
        pull = (run.w[k] - run.gamma[k]) / nu
        slope = torch.func.grad(loss)(run.w[k]) + pull

        def objective(w, gamma, k=k, pull=pull, slope=slope):
            linear = lr * ((slope * w).sum() - (pull * gamma).sum())
            bregman = penalty.value(gamma) - (g[k] * gamma).sum()
            far = (w - run.w[k]).square().sum() + (gamma - run.gamma[k]).square().sum()
            return float(linear + bregman + far / (2 * kappa))

        best = objective(run.w[k + 1], run.gamma[k + 1])
        moved += int(bool((run.gamma[k + 1] != run.gamma[k]).any()))
        for size in (1e-3, 0.3):
            for _ in range(20):
                dw, dg = (torch.randn(4, 3, generator=noise, dtype=torch.float64) for _ in "ab")
                far = size**2 * float(dw.square().sum() + dg.square().sum())
                found = objective(run.w[k + 1] + size * dw, run.gamma[k + 1] + size * dg)
                assert found >= best + 0.49 * far / kappa - ROUND
    assert moved >= 2  # the sparse copy took part


@pytest.mark.parametrize(("lip", "nu"), [(0.3, 0.2), (2.0, 1.0), (5.0, 30.0), (0.0, 0.5)])
def test_the_coupling_adds_two_over_nu(lip: float, nu: float) -> None:
    """Lemma 12.4: the coupling's Hessian has norm 2/ν, and the sharp constant is attained."""
    p, eye = 3, torch.eye(3, dtype=torch.float64)
    coupling = torch.cat([torch.cat([eye, -eye], 1), torch.cat([-eye, eye], 1)]) / nu
    assert float(torch.linalg.matrix_norm(coupling, 2)) == pytest.approx(2 / nu)
    worst = 0.0
    for seed in range(40):
        q = torch.linalg.qr(torch.randn(p, p, generator=seeded(seed), dtype=torch.float64)).Q
        spread = lip * (2 * torch.rand(p, generator=seeded(seed + 99), dtype=torch.float64) - 1)
        full = coupling.clone()
        full[:p, :p] += q @ spread.diag() @ q.T  # any Hessian with norm at most lip
        worst = max(worst, float(torch.linalg.eigvalsh(full).abs().max()))
    sharp, simple = coupled_lipschitz(lip, nu, sharp=True), coupled_lipschitz(lip, nu)
    assert worst <= sharp + ROUND
    coupling[:p, :p] += lip * eye
    assert float(torch.linalg.eigvalsh(coupling).max()) == pytest.approx(sharp)
    assert simple == pytest.approx(lip + 2 / nu)
    if lip:
        assert lip + 1 / nu < sharp < simple


# ----- descent --------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("kappa", [0.5, 1.0, 20.0])
@pytest.mark.parametrize("nu", [0.2, 5.0])
def test_the_lyapunov_function_falls_by_what_is_promised(penalty, kappa, nu) -> None:
    """Theorem 12.5: slack is not negative in any step, for convex and for wavy losses."""
    seen = 0.0
    for seed in range(3):
        loss, _, A = quadratic(seed)
        lip = float(torch.linalg.eigvalsh(A).max())
        w0 = 4 * torch.randn(4, 3, generator=seeded(seed + 50), dtype=torch.float64)
        for f, constant in ((loss, lip), (waves, WAVES_LIP)):
            lr = 0.99 * lyapunov_max_lr(constant, kappa=kappa, nu=nu, sharp=True)
            run = walk(f, w0, penalty, kappa=kappa, nu=nu, lr=lr, steps=120)
            found = descent(f, run, penalty, lip=constant, kappa=kappa, nu=nu, lr=lr)
            assert torch.allclose(
                found.value, by_hand(f, run, penalty, kappa, nu, lr), rtol=1e-11, atol=1e-11
            )
            assert found.slack.min() > -ROUND * (1 + found.value.abs().max())
            assert (found.before >= -ROUND).all()
            assert (found.back >= -ROUND).all()
            assert found.value.diff().max() <= ROUND * (1 + found.value[0])
            seen = max(seen, float(found.before.max() / found.value[0]))
    assert seen > 1e-4  # otherwise nothing was seen of the Bregman distances


def test_nothing_in_the_descent_can_be_dropped() -> None:
    """Theorem 12.5: for a quadratic with one curvature the slack is zero but for the coupling."""
    lip, nu, kappa = 2.0, 3.0, 4.0
    loss = lambda w: 0.5 * lip * (w**2).sum()  # noqa: E731
    lr = 0.9 * lyapunov_max_lr(lip, kappa=kappa, nu=nu, sharp=True)
    top = coupled_lipschitz(lip, nu, sharp=True)
    run = walk(
        loss, torch.tensor([30.0, -40.0]).double(), L1(), kappa=kappa, nu=nu, lr=lr, steps=30
    )
    found = descent(loss, run, L1(), lip=lip, kappa=kappa, nu=nu, lr=lr)
    dw, dg = run.w.diff(dim=0), run.gamma.diff(dim=0)
    exact = lip * dw.square().sum(1) + (dw - dg).square().sum(1) / nu
    expected = lr / 2 * (top * found.squared_step - exact)
    assert torch.allclose(found.slack, expected, rtol=1e-9, atol=1e-9)
    assert found.back[1:].max() > 1e-3


def test_the_squared_steps_are_summable() -> None:
    """Corollary 12.6: Σ‖P_{k+1} − P_k‖² ≤ α(L̄(P_0) − inf L̂)/a, so the smallest is ≤ that /K."""
    kappa, nu, w0 = 3.0, 0.7, 2.5 * torch.randn(9, generator=seeded(2), dtype=torch.float64)
    lr = 0.8 * lyapunov_max_lr(WAVES_LIP, kappa=kappa, nu=nu)
    run = walk(waves, w0, L1(0.2), kappa=kappa, nu=nu, lr=lr, steps=400)
    a = 1 / kappa - lr * coupled_lipschitz(WAVES_LIP, nu, sharp=True) / 2
    gap = lr * float(waves(w0) + w0.square().sum() / (2 * nu))  # inf waves = 0
    sums = squared_steps(run).cumsum(0)
    assert 0.05 * gap / a < sums[-1] <= gap / a
    for K in (10, 100, 400):
        assert squared_steps(run)[:K].min() <= gap / (a * K)


# ----- the step at which it breaks ------------------------------------------------------------


def scalar(lip, nu, kappa, lr, w0=1e4, steps=20_000):
    """The largest |W| of the last tenth of a run on lip/2 w², in plain floats, and the start's."""
    w, gamma, v = w0, 0.0, 0.0
    late = 0.0
    for k in range(steps):
        new = w - kappa * lr * (lip * w + (w - gamma) / nu)
        v += lr / nu * (w - gamma)
        w, gamma = new, kappa * math.copysign(max(abs(v) - 1, 0), v)
        if abs(w) > 1e12:
            return math.inf
        late = max(late, abs(w)) if k > 0.9 * steps else 0.0
    return late


@pytest.mark.parametrize(("lip", "nu"), [(0.5, 0.3), (2.0, 1.5), (3.0, 0.1), (1.0, 4.0)])
@pytest.mark.parametrize("kappa", [1.0, 9.0])
def test_the_sharp_step_is_the_limit(lip: float, nu: float, kappa: float) -> None:
    """Proposition 12.7: convergence below 2/(κℓ), divergence above it from a large start."""
    limit = lyapunov_max_lr(lip, kappa=kappa, nu=nu, sharp=True)
    assert scalar(lip, nu, kappa, 0.985 * limit) < 1e-3
    assert scalar(lip, nu, kappa, 1.02 * limit) == math.inf
    one = 2 / (kappa * (lip + 1 / nu))
    assert lyapunov_max_lr(lip, kappa=kappa, nu=nu) < limit < one


def test_one_over_nu_is_not_enough() -> None:
    """Proposition 12.7: 0.99 of the step with Lip + 1/ν diverges where 0.99 ℓ > Lip + 1/ν."""
    diverged = []
    for lip in (0.1, 1.0, 10.0):
        for nu in (0.1, 1.0, 10.0):
            ratio = 0.99 * coupled_lipschitz(lip, nu, sharp=True) / (lip + 1 / nu)
            found = scalar(lip, nu, 1.0, 0.99 * 2 / (lip + 1 / nu)) == math.inf
            assert found == (ratio > 1)
            assert scalar(lip, nu, 1.0, 0.99 * lyapunov_max_lr(lip, kappa=1.0, nu=nu)) < math.inf
            diverged.append(found)
    assert sum(diverged) == 6


# ----- subgradients and limits ----------------------------------------------------------------


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("kappa", [0.5, 8.0])
def test_the_subgradient_is_bounded_by_the_step(penalty, kappa: float) -> None:
    """Lemma 12.9: ‖h_{k+1}‖ ≤ √((αℓ + 1/κ)² + 1) ‖P_{k+1} − P_k‖ in every step."""
    loss, _, A = quadratic(7)
    lip = float(torch.linalg.eigvalsh(A).max())
    nu, w0 = 0.8, torch.randn(4, 3, generator=seeded(4), dtype=torch.float64)
    lr = 0.9 * lyapunov_max_lr(lip, kappa=kappa, nu=nu)
    run = walk(loss, w0, penalty, kappa=kappa, nu=nu, lr=lr, steps=150)
    found, bound = relative_error(loss, run, lip=lip, kappa=kappa, nu=nu, lr=lr)
    assert (found <= bound + ROUND).all()
    assert (found / bound)[bound > 1e-6].max() > 0.3
    # the middle part without the optimality condition of the step
    k, slope = 60, torch.func.grad(loss)
    g = subgradients(run, kappa=kappa)
    pull = [(run.w[j] - run.gamma[j]) / nu for j in (k, k + 1)]
    parts = torch.stack(
        [
            lr * (slope(run.w[k + 1]) + pull[1]),
            -lr * pull[1] + g[k + 1] - g[k],
            run.gamma[k] - run.gamma[k + 1],
        ]
    )
    assert float(found[k]) == pytest.approx(float(parts.norm()), rel=1e-9)
    other = lr * (pull[0] - pull[1]) - run.gamma.diff(dim=0)[k] / kappa
    assert float((parts[1] - other).norm()) < ROUND


@pytest.mark.parametrize("seed", range(4))
def test_limits_are_critical_points_of_the_loss(seed: int) -> None:
    """Proposition 12.10: W = Γ and ∇L̂(W) = 0 at the end, also where the loss is not convex."""
    w0 = 3 * torch.randn(6, generator=seeded(seed), dtype=torch.float64)
    kappa, nu = 5.0, 2.0
    lr = 0.9 * lyapunov_max_lr(WAVES_LIP, kappa=kappa, nu=nu)
    run = walk(waves, w0, L1(0.05), kappa=kappa, nu=nu, lr=lr, steps=6000)
    slope = torch.func.grad(waves)(run.w[-1])
    assert float((run.w[-1] - run.gamma[-1]).norm()) < 1e-6
    assert float(slope.norm()) < 1e-6


def test_a_critical_point_of_the_lyapunov_function_may_have_a_gradient() -> None:
    """Proposition 12.10: while Γ = 0 the subgradient dies out, and ∇L̂ does not."""
    loss = lambda w: 0.5 * ((w - 1.0) ** 2).sum()  # noqa: E731
    kappa, nu, lr = 1.0, 1.0, 0.01
    run = walk(loss, torch.tensor([1.0]).double(), L1(60.0), kappa=kappa, nu=nu, lr=lr, steps=9000)
    found, _ = relative_error(loss, run, lip=1.0, kappa=kappa, nu=nu, lr=lr)
    assert run.gamma[5000] == 0
    assert found[5000] < 1e-12
    assert abs(torch.func.grad(loss)(run.w[5000]).item() + 0.5) < 1e-9


def test_finite_length_on_a_loss_that_is_not_convex() -> None:
    """Theorem 12.12: past any late step the rest of the path is shorter than any tolerance."""
    w0 = 3 * torch.randn(8, generator=seeded(11), dtype=torch.float64)
    kappa, nu = 2.0, 1.0
    lr = 0.9 * lyapunov_max_lr(WAVES_LIP, kappa=kappa, nu=nu)
    run = walk(waves, w0, L1(0.1), kappa=kappa, nu=nu, lr=lr, steps=4000)
    lengths = squared_steps(run).sqrt().cumsum(0)
    assert lengths[-1] - lengths[2000] < 1e-9
    assert lengths[-1] < 100


def test_a_local_constant_is_enough() -> None:
    """Corollary 12.13: w⁴ has no Lipschitz gradient; a step from its region is safe."""
    quartic = lambda w: (w**4).sum() / 4  # noqa: E731

    def attempt(w0, lr):
        run = walk(quartic, w0, L1(), kappa=1.0, nu=1.0, lr=lr, steps=60)
        return run.w.abs().amax(1)

    w0 = torch.tensor([3.0, -2.0], dtype=torch.float64)
    top = float(quartic(w0) + w0.square().sum() / 2)  # L̄(P_0)
    radius = (4 * top) ** 0.25  # |w_j| on the sublevel set
    cap = 0.02
    reach = radius + cap * (radius**3 + math.sqrt(2 * top))  # one step out of it
    lr = min(cap, 0.99 * lyapunov_max_lr(3 * reach**2, kappa=1.0, nu=1.0))
    sizes = attempt(w0, lr)
    assert sizes.max() <= radius
    run = walk(quartic, w0, L1(), kappa=1.0, nu=1.0, lr=lr, steps=500)
    found = descent(quartic, run, L1(), lip=3 * reach**2, kappa=1.0, nu=1.0, lr=lr)
    assert found.slack.min() > -ROUND
    assert not torch.isfinite(attempt(w0, 0.5)[-1])


# ----- rates ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("power", "slope"), [(4, -2.0), (6, -1.5)])
def test_the_exponent_sets_the_rate(power: int, slope: float) -> None:
    """Theorem 12.14: |w − 3|^p has exponent 1 − 1/p; F_k − F falls as k^{−p/(p−2)}."""
    loss = lambda w: ((w - 3.0) ** power).sum() / power  # noqa: E731
    w, gamma, v, seen = 3.5, 0.0, 0.0, {}
    for k in range(1, 200_001):
        new = w - 0.2 * ((w - 3) ** (power - 1) + (w - gamma))
        v += 0.2 * (w - gamma)
        w, gamma = new, max(v - 1, 0.0)
        if k in (20_000, 200_000):
            one = torch.tensor([w], dtype=torch.float64)
            seen[k] = float(loss(one)) + (w - gamma) ** 2 / 2
    assert math.log10(seen[200_000] / seen[20_000]) == pytest.approx(slope, abs=0.05)


@pytest.mark.parametrize("theta", [0.5, 2 / 3])
def test_the_exponent_passes_to_the_lyapunov_function(theta: float) -> None:
    """Proposition 12.15: (F − F∞)^θ ≤ c dist(0, ∂F) with the stated c, by random points near z."""
    power, p, g = 1 / (1 - theta), 4, seeded(8)  # |x|^2 and |x|^3
    scale = torch.tensor([0.3, 1.0, 2.0, 0.6], dtype=torch.float64)
    x, d = (0.2 * torch.randn(50_000, p, generator=g, dtype=torch.float64) for _ in "ab")
    d = torch.where(torch.rand(50_000, 1, generator=g) < 0.5, d, -d.abs() * x.sign())
    risk, slope = (
        (scale * x.abs() ** power).sum(1),
        power * scale * x.abs() ** (power - 1) * x.sign(),
    )
    c0 = float((risk**theta / slope.norm(dim=1)).max())  # the constant of the loss, measured
    for nu, lr in ((0.4, 0.3), (20.0, 0.05)):
        height = lr * (risk + nu / 2 * d.square().sum(1))
        size = lr * ((slope + d).square().sum(1) + d.square().sum(1)).sqrt()
        worst = 2 ** (2 * theta - 1) * max(c0**2, (nu / 2) ** (2 * theta)) / ((3 - 5**0.5) / 2)
        ratio = height**theta / size
        assert 0.3 * lr ** (theta - 1) * worst**0.5 < ratio.max() <= lr ** (theta - 1) * worst**0.5


def test_strong_convexity_has_the_exponent_one_half() -> None:
    """Proposition 12.15: L̂ − L̂* ≤ ‖∇L̂‖²/2μ, and a parabola attains it."""
    loss, best, A = quadratic(6, low=0.4)
    w = best + torch.randn(200, 4, 3, generator=seeded(9), dtype=torch.float64)
    slopes = torch.func.vmap(torch.func.grad(loss))(w).flatten(1).square().sum(1)
    ratio = torch.func.vmap(loss)(w) / (slopes / (2 * float(torch.linalg.eigvalsh(A)[0])))
    assert 0.05 < ratio.max() <= 1 + ROUND


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kappa", [1.0, 6.0])
def test_the_end_is_gradient_descent_on_the_coupled_loss(seed: int, kappa: float) -> None:
    """Proposition 12.16: the distance to the end shrinks by max|1 − κα λ(∇²L̄)| a step."""
    loss, best, A = quadratic(seed, low=0.5, high=2.0, shift=3.0)
    nu, p = 0.9, best.numel()
    best_gap = best.abs().min()
    assert best_gap > 0.01
    lr = 0.5 * lyapunov_max_lr(2.0, kappa=kappa, nu=nu)
    run = walk(loss, torch.zeros(4, 3).double(), L1(0.2), kappa=kappa, nu=nu, lr=lr, steps=1500)
    eye = torch.eye(p, dtype=torch.float64)
    H = torch.cat([torch.cat([A + eye / nu, -eye / nu], 1), torch.cat([-eye / nu, eye / nu], 1)])
    rho = float((1 - kappa * lr * torch.linalg.eigvalsh(H)).abs().max())
    errors = torch.stack([run.w - best, run.gamma - best], 1).flatten(1).norm(dim=1)
    inside = ((errors > 1e-9) & (errors < 1e-4)).nonzero().flatten()
    first, last = int(inside[0]), int(inside[-1])
    assert last - first > 20
    measured = float((errors[last] / errors[first]) ** (1 / (last - first)))
    assert measured == pytest.approx(rho, abs=0.003)


def test_relu_breaks_the_descent_with_any_step() -> None:
    """Proposition 12.17: relu(wx) with targets −1: F rises in the first step for every α."""

    def loss(w):
        x, y = torch.tensor([1.0, -1.0]).double(), torch.tensor([-1.0, -1.0]).double()
        return (torch.relu(w * x) - y).square().mean()

    for kappa in (0.3, 2.0):
        for lr in (1e-1, 1e-3, 1e-6):
            w0 = torch.tensor([0.4 * kappa * lr], dtype=torch.float64)
            run = walk(loss, w0, L1(), kappa=kappa, nu=5.0, lr=lr, steps=200)
            value = descent(loss, run, L1(), lip=1.0, kappa=kappa, nu=5.0, lr=lr).value
            assert value[1] > value[0]
            sizes = run.w.diff(dim=0).abs()
            assert sizes.min() > 0.5 * kappa * lr  # the length grows without end
            assert run.w.abs().max() < 2 * kappa * lr  # and yet it stays near the minimum


# ----- constants and refusals -----------------------------------------------------------------


def test_the_constants_of_small_models() -> None:
    g = seeded(3)
    X = torch.randn(30, 5, generator=g, dtype=torch.float64)
    y = torch.randn(30, generator=g, dtype=torch.float64)
    signs = y.sign()
    least = lambda w: (X @ w - y).square().mean() / 2  # noqa: E731
    odds = lambda w: torch.nn.functional.softplus(-signs * (X @ w)).mean()  # noqa: E731
    zero = torch.zeros(5, dtype=torch.float64)
    assert local_lipschitz(least, zero + 3) == pytest.approx(largest_curvature(X))
    assert local_lipschitz(odds, zero) == pytest.approx(logistic_lipschitz(X))
    assert local_lipschitz(odds, zero + 1) < logistic_lipschitz(X)
    ridge = lambda w: odds(w) + 0.15 * w.square().sum()  # noqa: E731
    assert local_lipschitz(ridge, zero) == pytest.approx(logistic_lipschitz(X, l2=0.3))
    square = local_lipschitz(lambda w: -((w**2).sum()), torch.ones(2, 2))  # negative counts too
    assert square == pytest.approx(2.0)


def test_the_dual_of_a_path_is_its_dual() -> None:
    loss, _, _ = quadratic(1)
    w0 = torch.ones(4, 3, dtype=torch.float64)
    run = walk(loss, w0, GroupL2(0.1), kappa=3.0, nu=0.5, lr=0.02, steps=50)
    again = dual_of(run.w, run.gamma, nu=0.5, lr=0.02)
    assert float((again.v - run.v).abs().max()) < ROUND
    assert np.count_nonzero(run.gamma[-1]) > 0


def test_what_does_not_fit_is_refused() -> None:
    loss, _, A = quadratic(2)
    lip = float(torch.linalg.eigvalsh(A).max())
    settings = {"kappa": 2.0, "nu": 0.5, "lr": 0.05}
    w0 = 3 * torch.ones(4, 3, dtype=torch.float64)
    run = walk(loss, w0, L1(0.1), **settings, steps=30)
    descent(loss, run, L1(0.1), lip=lip, **settings)
    with pytest.raises(ValueError, match="pass the kappa of the run"):
        descent(loss, run, L1(0.1), lip=lip, **(settings | {"kappa": 1.0}))
    with pytest.raises(ValueError, match="record every step"):
        descent(loss, run, L1(0.1), lip=lip, **(settings | {"nu": 1.0}))
    mixed = walk(loss, w0, L1(0.1), **settings, steps=30, mix=True)
    with pytest.raises(ValueError, match="update nothing early"):
        descent(loss, mixed, L1(0.1), lip=lip, **settings)
    with pytest.raises(ValueError, match="at least two"):
        descent(loss, Run(*(x[:1] for x in run)), L1(0.1), lip=lip, **settings)
    with pytest.raises(ValueError, match="lip must be finite"):
        lyapunov_max_lr(-1.0, kappa=1.0, nu=1.0)
    with pytest.raises(ValueError, match="kappa must be a positive finite number"):
        lyapunov_max_lr(1.0, kappa=0.0, nu=1.0)
    with pytest.raises(ValueError, match="nu must be a positive finite number"):
        coupled_lipschitz(1.0, -2.0)
