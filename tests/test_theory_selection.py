"""The results of the chapter on linearized Bregman iterations, on problems it did not choose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from toy_clients import seeded

from fedlearn_lib import L1, GroupL2, iss_path, lbi_path
from fedlearn_lib.sparse import largest_curvature, lbi, lbi_max_lr
from fedlearn_lib.theory import (
    irrepresentable,
    noise_rate,
    oracle_reach,
    restricted_convexity,
    safe_time,
    selection_bound,
    sign_time,
)


def design(n: int, p: int, seed: int, common: float = 0.0):
    """A Gaussian design whose columns share a part, its generator still running."""
    g = seeded(seed)
    X = torch.randn(n, p, generator=g, dtype=torch.float64)
    return X + common * torch.randn(n, 1, generator=g, dtype=torch.float64), g


def shrink(z):
    return np.sign(z) * np.maximum(abs(z) - 1, 0)


# ----- the inclusion, its discretization, its limit -------------------------------------------


def flow(X, y, kappa: float, times) -> np.ndarray:
    """z at the given times, by an integrator that knows nothing of this book: [times p]."""
    X, y = X.numpy(), y.numpy()
    slope = lambda t, z: X.T @ (y - kappa * X @ shrink(z)) / len(y)  # noqa: E731
    found = solve_ivp(
        slope, (0, times[-1]), np.zeros(X.shape[1]), t_eval=times, rtol=1e-9, atol=1e-11
    )
    return found.y.T


@pytest.mark.parametrize("seed", range(3))
def test_dual_and_coefficients_are_two_readings_of_one_vector(seed: int) -> None:
    """Proposition 9.4: ρ + β/κ = z with ρ a subgradient at β if and only if β = κ shrink(z)."""
    z = 3 * torch.randn(200, generator=seeded(seed), dtype=torch.float64)
    kappa = 7.0
    beta = kappa * L1().prox(z)
    assert float(L1().residual(beta, z - beta / kappa)) < 1e-12
    for other in (beta + 0.1, 1.1 * beta, 0 * beta):
        assert float(L1().residual(other, z - other / kappa)) > 1e-2


@pytest.mark.parametrize("seed", range(3))
def test_the_field_is_lipschitz(seed: int) -> None:
    """Proposition 9.4: z ↦ −∇f(κ shrink z) has Lipschitz constant κ‖XᵀX/n‖, and attains it."""
    X, g = design(20, 12, seed)
    kappa = 5.0
    field = lambda z: -X.T @ (X @ (kappa * L1().prox(z))) / 20  # noqa: E731
    bound = kappa * largest_curvature(X)
    for size in (0.01, 1.0, 10.0):
        a, b = (size * torch.randn(12, generator=g, dtype=torch.float64) for _ in range(2))
        assert float((field(a) - field(b)).norm()) <= bound * float((a - b).norm()) + 1e-12
    v = torch.linalg.eigh(X.T @ X / 20).eigenvectors[:, -1]
    far = 5 * v.sign() + v.sign() * 0.0
    assert float((field(far + 0.1 * v) - field(far)).norm()) == pytest.approx(0.1 * bound)


def test_euler_steps_are_linearized_bregman_iterations_and_converge_to_the_flow() -> None:
    """Proposition 9.5: forward Euler of the flow is LBI; its error falls in proportion to α."""
    X, g = design(30, 8, 1, common=0.5)
    y = X[:, 0] * 2 - X[:, 1] + 0.3 * torch.randn(30, generator=g, dtype=torch.float64)
    kappa, end = 10.0, 1.5
    z = flow(X, y, kappa, [0.0, end])[-1]
    errors = []
    for steps in (400, 800, 1600):
        beta = lbi_path(X, y, kappa=kappa, lr=end / steps, steps=steps).w[-1].numpy()
        errors.append(abs(beta - kappa * shrink(z)).max())
    assert 1.7 < errors[0] / errors[1] < 2.3
    assert 1.7 < errors[1] / errors[2] < 2.3
    assert errors[2] < 0.01


def test_the_constant_of_euler_s_method() -> None:
    """Proposition 9.5: ‖z_k − z(t_k)‖ ≤ (α/2) √(2L f(0)) (e^{κLt} − 1), with a small exponent."""
    X, y = torch.ones(4, 1).double(), torch.full((4,), 2.0).double()  # L = 1, f(0) = 2
    for kappa, lr in [(1.0, 0.3), (0.5, 0.11), (2.0, 0.07)]:
        z = beta = 0.0
        for k in range(1, 12):
            z = z + lr * (2 - beta)
            beta = kappa * max(z - 1, 0)
            t = k * lr  # the flow: z = 2t until t = 1/2, then 1 + (2/κ)(1 − exp(−κ(t − 1/2)))
            exact = 2 * t if t <= 0.5 else 1 + 2 / kappa * -math.expm1(-kappa * (t - 0.5))
            assert abs(z - exact) <= lr / 2 * 2 * math.expm1(kappa * t)
        path = lbi_path(X, y, kappa=kappa, lr=lr, steps=11)
        assert float(path.w[-1, 0]) == pytest.approx(beta)
        assert abs(z - exact) > 1e-3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.2, 0.95, 0.999])
@pytest.mark.parametrize("penalty", [L1(), GroupL2(), L1(0.3)])
def test_the_loss_falls_while_coordinates_come_and_go(seed: int, share: float, penalty) -> None:
    """Proposition 9.6: f(β_{k+1}) ≤ f(β_k) − (1/ακ − L/2)‖β_{k+1} − β_k‖², any convex penalty."""
    X, g = design(25, 12, seed, common=0.7)
    y = X[:, :3].sum(1) + torch.randn(25, generator=g, dtype=torch.float64)
    kappa, L = 6.0, largest_curvature(X)
    lr = share * 2 / (kappa * L)
    loss = lambda B: ((y - X @ B.flatten()) ** 2).sum() / 50  # noqa: E731
    gradient = lambda B: (X.T @ (X @ B.flatten() - y) / 25).view(B.shape)  # noqa: E731
    start = torch.zeros(4, 3, dtype=torch.float64)
    path = lbi(gradient, start, penalty, kappa=kappa, lr=lr, steps=500)
    values = torch.stack([loss(w) for w in path.w])
    moved = (path.w[1:] - path.w[:-1]).flatten(1).square().sum(1)
    assert bool((values[1:] <= values[:-1] - (1 / (lr * kappa) - L / 2) * moved + 1e-12).all())
    supports = (path.w != 0).flatten(1)
    assert int((supports[1:] != supports[:-1]).any(1).sum()) > 2  # the active set did change


def test_the_logistic_loss_falls_below_four_times_the_step() -> None:
    """Proposition 9.6: only the Lipschitz constant of the gradient counts; here it is L/4."""
    X, g = design(60, 10, 3)
    y = (X[:, 0] + torch.randn(60, generator=g, dtype=torch.float64) > 0).double()
    lr = 0.99 * lbi_max_lr(X, 8.0, loss="logistic")
    path = lbi_path(X, y, kappa=8.0, lr=lr, steps=400, loss="logistic")
    values = torch.stack(
        [(torch.nn.functional.softplus(X @ w) - y * (X @ w)).mean() for w in path.w]
    )
    assert bool((values.diff() <= 1e-12).all())
    assert values[-1] < 0.8 * math.log(2)


@pytest.mark.parametrize("seed", range(5))
def test_beyond_the_step_bound_a_large_error_grows_for_ever(seed: int) -> None:
    """Proposition 9.7: |vᵀe| ≥ (q−1)|vᵀe| − 2κ‖v‖₁; from 2κ‖v‖₁/(q−2) on it grows, q = ακL > 2."""
    X, _ = design(40, 6, seed)
    y = X @ torch.tensor([3.0, -2.0, 2.0, 1.0, -1.0, 2.0]).double()
    L, V = torch.linalg.eigh(X.T @ X / 40)
    v, top, kappa = V[:, -1], float(L[-1]), 1e-3
    best = torch.linalg.lstsq(X, y[:, None]).solution[:, 0]
    q = 2.5
    path = lbi_path(X, y, kappa=kappa, lr=q / (kappa * top), steps=60, check=False)
    errors = ((path.w - best) @ v).abs()
    slack = 2 * kappa * float(v.abs().sum())
    assert bool((errors[1:] >= (q - 1) * errors[:-1] - slack - 1e-9 * errors[1:]).all())
    assert bool((errors[1:] <= (q - 1) * errors[:-1] + slack + 1e-9 * errors[1:]).all())
    begun = errors[0] if float(errors[0]) > slack / (q - 2) else None
    assert begun is not None
    assert float(errors[-1]) > 1e6 * float(begun)


@pytest.mark.parametrize("share", [1.05, 1.5])
def test_beyond_the_step_bound_a_small_error_never_settles(share: float) -> None:
    """Proposition 9.7: with a large κ the dead zone catches the run; it neither grows nor rests."""
    X, y = torch.ones(1, 1), torch.tensor([2.0])
    path = lbi_path(X, y, kappa=50.0, lr=share * 2 / 50, steps=3000, check=False)
    late = path.w[1000:, 0]
    assert float(late.abs().max()) <= 2 * share * 2  # at most ακc = 2·share·c
    assert int((late == 0).sum()) > 50
    assert float(late.diff().abs().max()) > 1


@pytest.mark.parametrize("kappa", [3.0, 30.0])
def test_on_orthogonal_columns_each_coefficient_approaches_exponentially(kappa: float) -> None:
    """Proposition 9.8: β_j = (c_j/d_j)(1 − exp(−κ d_j (t − 1/|c_j|))) from t_j = 1/|c_j| on."""
    g = seeded(5)
    d = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    X = torch.linalg.qr(torch.randn(9, 3, generator=g, dtype=torch.float64)).Q * (9 * d).sqrt()
    y = torch.randn(9, generator=g, dtype=torch.float64) * 3
    c = X.T @ y / 9
    times = np.linspace(0.01, 6, 40)
    z = flow(X, y, kappa, times)
    t = torch.tensor(times)[:, None]
    wanted = c / d * (1 - torch.exp(-kappa * d * (t - 1 / c.abs()).clamp(min=0)))
    assert abs(kappa * shrink(z) - wanted.numpy()).max() < 1e-6
    exact = iss_path(X, y)
    assert sorted(exact.t.tolist()) == pytest.approx(sorted((1 / c.abs()).tolist()))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kappa", [2.0, 20.0, 60.0])
def test_the_damped_dual_stays_close_to_the_exact_one(seed: int, kappa: float) -> None:
    """Theorem 9.9: ‖z_t − ρ_t‖² ≤ (L/2κ) ∫₀ᵗ ‖β_s‖² ds on correlated designs, at every knot."""
    X, g = design(30, 6, seed, common=1.0)
    y = X[:, 0] - X[:, 2] + 0.5 * torch.randn(30, generator=g, dtype=torch.float64)
    path = iss_path(X, y)
    times = torch.cat([torch.zeros(1).double(), path.t])
    betas = torch.cat([torch.zeros(1, 6).double(), path.w])
    lengths = times.diff()[:, None]
    slopes = torch.stack([X.T @ (y - X @ b) / 30 for b in betas])
    rho = (lengths * slopes[:-1]).cumsum(0)  # at the knots
    energy = (lengths[:, 0] * betas[:-1].square().sum(1)).cumsum(0)
    z = torch.tensor(flow(X, y, kappa, [0.0, *path.t.tolist()]))[1:]
    distances = (z - rho).square().sum(1)
    assert bool((distances <= largest_curvature(X) / (2 * kappa) * energy + 1e-9).all())
    assert float(distances[-1]) > 0


# ----- selection ------------------------------------------------------------------------------


def test_the_constants_of_a_design_worked_by_hand() -> None:
    X = torch.tensor([[1.0, 0.0, 0.6], [0.0, 1.0, -0.6], [0.0, 0.0, 0.5]])
    assert irrepresentable(X, [0, 1]) == pytest.approx(1.2)
    assert irrepresentable(X, [0, 1], torch.tensor([1.0, -1.0])) == pytest.approx(1.2)
    assert irrepresentable(X, [0, 1], torch.tensor([1.0, 1.0])) == pytest.approx(0.0, abs=1e-6)
    assert irrepresentable(X, [0, 1, 2]) == 0.0
    assert restricted_convexity(X, [0]) == pytest.approx(1 / 3)
    assert noise_rate(X, [0, 1], torch.tensor([5.0, 5.0, -6.0])) == pytest.approx(1.0)
    assert noise_rate(X, [0, 1, 2], torch.ones(3)) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_the_constants_by_brute_force(seed: int) -> None:
    X, g = design(20, 7, seed, common=0.4)
    S, out = [1, 3, 4], [0, 2, 5, 6]
    signs = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    rows = [torch.linalg.lstsq(X[:, S], X[:, [j]]).solution[:, 0] for j in out]
    assert irrepresentable(X, S) == pytest.approx(max(float(r.abs().sum()) for r in rows))
    wanted = max(abs(float(r @ signs)) for r in rows)
    assert irrepresentable(X, S, signs) == pytest.approx(wanted)
    noise = torch.randn(20, generator=g, dtype=torch.float64)
    left = noise - X[:, S] @ torch.linalg.pinv(X[:, S]) @ noise
    assert noise_rate(X, S, noise) == pytest.approx(float((X[:, out].T @ left).abs().max() / 20))
    assert restricted_convexity(X, S) == pytest.approx(
        float(torch.linalg.svdvals(X[:, S])[-1]) ** 2 / 20
    )


def instance(seed: int, sigma: float = 0.3, n: int = 80, p: int = 30):
    X, g = design(n, p, seed)
    beta = torch.zeros(p, dtype=torch.float64)
    beta[[2, 7, 11]] = torch.tensor([2.0, -1.5, 1.0], dtype=torch.float64)
    noise = sigma * torch.randn(n, generator=g, dtype=torch.float64)
    return X, beta, noise, [2, 7, 11]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kappa", [5.0, 50.0, 300.0])
def test_no_false_positive_enters_before_the_safe_time(seed: int, kappa: float) -> None:
    """Theorem 9.11: for t_k ω ≤ η − (1 − η)B/κ supp β_k lies in S; B bounds the oracle."""
    X, beta, noise, S = instance(seed)
    y = X @ beta + noise
    eta = 1 - irrepresentable(X, S)
    reach = oracle_reach(X, S, y)
    safe = safe_time(eta, noise_rate(X, S, noise), reach=reach, kappa=kappa)
    lr = 0.9 * lbi_max_lr(X, kappa)
    steps = math.ceil(max(4 * safe, 5.0) / lr)
    path = lbi_path(X, y, kappa=kappa, lr=lr, steps=steps)
    entries = path.entry_times()
    false = torch.tensor([j not in S for j in range(30)])
    assert float(entries[false].min()) > safe
    oracle = lbi_path(X[:, S], y, kappa=kappa, lr=lr, steps=steps)
    assert float(oracle.w.abs().max()) <= reach
    inside = path.t <= safe
    assert (
        float((path.w[inside][:, S] - oracle.w[inside]).abs().max() if inside.any() else 0) < 1e-9
    )
    if kappa == 300.0 and eta > 0.2:
        assert safe > 1.0  # the statement is not empty here


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kappa", [5.0, 100.0])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_oracle_has_the_right_signs_after_the_sign_time(seed, kappa, share) -> None:
    """Proposition 9.12: after the sign time the oracle's signs are those of its fit, for good."""
    X, beta, noise, S = instance(seed, n=25)
    X = X[:, S]
    y = X @ beta[S] + noise
    fit = torch.linalg.lstsq(X, y[:, None]).solution[:, 0]
    gamma, lr = restricted_convexity(X, range(3)), share * lbi_max_lr(X, kappa)
    after = sign_time(fit, gamma, kappa=kappa, c=1 - share, lr=lr)
    path = lbi_path(X, y, kappa=kappa, lr=lr, steps=math.ceil(3 * after / lr))
    late = path.t > after
    right = (path.w.sign() == fit.sign()).all(1)
    assert bool(right[late].all())
    assert not bool(right[0])
    mu = gamma / (2 / float(fit.abs().min()) + 1 / (2 * kappa))
    start = float(fit.abs().sum() + fit.square().sum() / (2 * kappa))
    decay = start * mu / gamma * torch.exp(1 - (1 - share) * mu * (path.t - lr))
    assert bool(((path.w - fit).square().sum(1)[late] <= decay[late] + 1e-12).all())


def test_the_promises_hold_at_least_as_often_as_promised() -> None:
    """Theorem 9.13: signs right between ``first`` and ``last``, errors bounded, P ≥ 1 − 2δ."""
    X, beta, _, _ = instance(3, n=400, p=40)
    sigma, kappa, delta = 0.15, 300.0, 0.2
    lr = lbi_max_lr(X, kappa) / 2
    bound = selection_bound(X, beta, sigma, kappa=kappa, lr=lr, delta=delta)
    assert bound.first < bound.last
    assert bound.probability == pytest.approx(0.6)
    good, g = 0, seeded(9)
    for _ in range(8):
        y = X @ beta + sigma * torch.randn(400, generator=g, dtype=torch.float64)
        steps = math.floor(bound.last / lr)
        path = lbi_path(X, y, kappa=kappa, lr=lr, steps=steps, every=10)
        window = (path.t > bound.first) & (path.t <= bound.last)
        signs = (path.w[window].sign() == beta.sign()).all()
        error = float((path.w[-1] - beta).norm()) <= bound.noise + bound.rest
        good += bool(signs) and error
    assert good >= 5  # 0.6 of 8, a bound on a probability that is much larger


@pytest.mark.parametrize("seed", range(3))
def test_signs_that_cannot_be_represented_are_missed_half_of_the_time(seed: int) -> None:
    """Proposition 9.14: if |M_j sign(β*)| > 1 and κ is large, at most half of the runs succeed."""
    g = seeded(seed)
    X = torch.linalg.qr(torch.randn(60, 4, generator=g, dtype=torch.float64)).Q * 60**0.5
    X[:, 3] = 0.45 * (X[:, 0] + X[:, 1] + X[:, 2]) + 0.5 * X[:, 3]
    beta = torch.tensor([2.0, 1.5, 1.0, 0.0], dtype=torch.float64)
    assert irrepresentable(X, [0, 1, 2], torch.ones(3)) == pytest.approx(1.35)
    wins = 0
    for _ in range(40):
        y = X @ beta + 2.0 * torch.randn(60, generator=g, dtype=torch.float64)
        path = iss_path(X, y)
        clean = (path.w[:, 3] == 0).int().cumprod(0).bool()
        wins += bool((clean & (path.w[:, :3] > 0).all(1)).any())
    assert wins <= 27  # P(more | p = 1/2, 40 draws) < 1 percent
    quiet = iss_path(X, X @ beta)
    clean = (quiet.w[:, 3] == 0).int().cumprod(0).bool()
    assert not bool((clean & (quiet.w[:, :3] > 0).all(1)).any())  # noiseless: never


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X: irrepresentable(X, [0, 0]), r"different columns from 0 to 2, got \[0, 0\]"),
        (lambda X: irrepresentable(X, [5]), r"from 0 to 2, got \[5\]"),
        (lambda X: irrepresentable(X, []), r"got \[\]"),
        (lambda X: irrepresentable(X[:, [0, 0, 1]], [0, 1]), "depend on each other"),
        (lambda X: irrepresentable(X / 0, [0]), "X must be finite"),
        (lambda X: sign_time(torch.zeros(2), 1.0), "other than zero"),
        (lambda X: safe_time(math.nan, 0.1), "eta must be .*nan"),
        (lambda X: safe_time(1.5, 0.1), "eta must be a number of at most 1.*got 1.5"),
        (lambda X: safe_time(0.5, -0.1), "omega must be a finite number of at least 0, got -0.1"),
        (lambda X: safe_time(0.5, 0.1, reach=-1.0), "reach must be"),
        (lambda X: safe_time(0.5, 0.1, kappa=0.0), "kappa must be positive, got 0.0"),
        (lambda X: sign_time(torch.ones(2), 1.0, c=0.0), "c must lie in"),
        (lambda X: selection_bound(X, torch.ones(3), 1.0, delta=2.0), "delta must lie between"),
        (lambda X: selection_bound(X, torch.ones(3), 1.0, delta=0.5), "between 0 and 1/2"),
    ],
)
def test_what_does_not_fit_is_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.eye(3))
