"""The theory of splitting, on problems that the chapter did not choose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import fedlearn_lib as fl
from fedlearn_lib.theory import (
    clean_until,
    split_design,
    split_estimate,
    split_gram,
    split_irr,
)

SHAPES = [(9, 5, 4), (9, 5, 8), (4, 6, 5), (4, 6, 9)]  # n, p, q: tall and wide X, tall and wide D


def problem(n: int, p: int, q: int, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*s, generator=g).double() for s in ((n, p), (n,), (q, p)))


def split_loss(X, y, D, beta, gamma, nu):
    return (y - X @ beta).square().sum() / (2 * len(X)) + (D @ beta - gamma).square().sum() / 2 / nu


def spring_minimum(X, y, D, gamma, nu):
    """The minimum over β of the split loss, by least squares on the stacked system."""
    A = torch.cat([X / len(X) ** 0.5, D / nu**0.5]).numpy()
    b = torch.cat([y / len(X) ** 0.5, gamma / nu**0.5]).numpy()
    beta = torch.from_numpy(np.linalg.lstsq(A, b, rcond=None)[0])
    return beta, split_loss(X, y, D, beta, gamma, nu).item()


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_left_when_beta_is_eliminated(shape) -> None:
    """Proposition 10.4: the minimum over β, the Hessian Σ/ν, and the slope (γ - Dβ)/ν."""
    X, y, D = problem(*shape)
    g = torch.Generator().manual_seed(1)
    for nu in (0.03, 1.0, 40.0):
        new, response = split_design(X, y, nu, D)
        gram = split_gram(X, nu, D)
        torch.testing.assert_close(new.T @ new / len(new), gram / nu, rtol=0, atol=1e-10 / nu)
        assert (
            torch.linalg.eigvalsh(gram)[[0, -1]]
            .clamp(0, 1)
            .sub(torch.linalg.eigvalsh(gram)[[0, -1]])
            .abs()
            .max()
            < 1e-12
        )  # between 0 and 1
        for _ in range(3):
            gamma = torch.randn(len(D), generator=g).double()
            beta, least = spring_minimum(X, y, D, gamma, nu)
            left = (response - new @ gamma).square().sum().item() / (2 * len(new))
            assert left == pytest.approx(least, rel=1e-9, abs=1e-12)
            slope = new.T @ (new @ gamma - response) / len(new)
            torch.testing.assert_close(slope, (gamma - D @ beta) / nu, rtol=1e-8, atol=1e-9)
        truth = torch.randn(X.shape[1], generator=g).double()
        clean, target = split_design(X, X @ truth, nu, D)
        moment = clean.T @ target / len(clean)  # without noise the regression's truth is Dβ*
        torch.testing.assert_close(moment, gram @ (D @ truth) / nu, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_safe_step_descends_and_has_the_rate_of_one_over_path_time(seed: int) -> None:
    """Proposition 10.3: the norm of the Hessian, descent for c < 2, the rate for c ≤ 1."""
    X, y, D = problem(*SHAPES[seed], seed=seed)
    y = 20 * y
    n, nu, kappa = len(X), (0.3, 2.0)[seed % 2], 8.0
    q = len(D)
    H = torch.cat(
        [
            torch.cat([X.T @ X / n + D.T @ D / nu, -D.T / nu], 1),
            torch.cat([-D / nu, torch.eye(q).double() / nu], 1),
        ]
    )
    bound = 2 / (kappa * fl.sparse.split_lbi_max_lr(X, D, kappa=kappa, nu=nu))
    assert torch.linalg.matrix_norm(H, 2) <= bound * (1 + 1e-12)
    G, b = X.T @ X / n, X.T @ y / n
    best, least = spring_minimum(X, y, D, D @ torch.linalg.pinv(X) @ y, nu)
    D0 = best.square().sum() / (2 * kappa) + (D @ best).abs().sum()
    D0 = D0 + (D @ best).square().sum() / (2 * kappa)
    for c in (1.0, 1.99):
        lr = c / 2 * fl.sparse.split_lbi_max_lr(X, D, kappa=kappa, nu=nu)
        path = fl.split_lbi_path(
            lambda w: w.sum(), torch.zeros(X.shape[1]).double(), fl.L1(), kappa=kappa, nu=nu,
            lr=lr, steps=1500, D=D, gradient=lambda w: G @ w - b,
        )  # fmt: skip
        values = [
            split_loss(X, y, D, w, u, nu).item() for w, u in zip(path.w, path.gamma, strict=True)
        ]
        move = torch.cat([path.w, path.gamma], 1).diff(dim=0).square().sum(1)
        room = (1 / (kappa * lr) - bound / 2) * move
        assert path.gamma[-1].any()
        assert (np.diff(values) <= -room.numpy() + 1e-9).all()
        if c == 1.0:
            gap = np.array(values[1:]) - least
            assert (gap <= (D0 / path.t[1:]).numpy() + 1e-9).all()


def test_the_safe_step_is_the_edge_where_both_parts_meet() -> None:
    """Proposition 10.3: with X = 0 the bound is attained, and c = 2.02 diverges."""
    D = torch.tensor([[3.0]]).double()
    for c, diverges in ((1.98, False), (2.02, True)):
        lr = c / 2 * fl.sparse.split_lbi_max_lr(torch.zeros(2, 1), D, kappa=1.0, nu=0.5)
        path = fl.split_lbi_path(
            lambda w: w.sum(), torch.full((1,), 1e3).double(), fl.L1(), kappa=1.0, nu=0.5, lr=lr,
            steps=4000, D=D, gradient=torch.zeros_like,
        )  # fmt: skip
        assert bool(path.w[-1].abs() > 1e6) is diverges


@pytest.mark.parametrize("shape", [(9, 5), (4, 6)])
def test_splitting_the_identity_is_preconditioning(shape) -> None:
    """Proposition 10.7: the regression left is that of (I + νXXᵀ/n)^(-1/2) (X, y)."""
    n, p = shape
    X, y, _ = problem(n, p, 2)
    for nu in (0.01, 2.0, 300.0):
        values, vectors = torch.linalg.eigh(torch.eye(n).double() + nu * X @ X.T / n)
        white = vectors @ torch.diag(values**-0.5) @ vectors.T
        new, response = split_design(X, y, nu)
        for mine, theirs in ((new.T @ new, X.T @ white @ white @ X), (new.T @ response,
                             X.T @ white @ white @ y)):  # fmt: skip
            torch.testing.assert_close(mine / len(new), theirs / n, rtol=1e-7, atol=1e-9)
        spread = torch.linalg.svdvals(white @ X) / n**0.5
        plain = torch.linalg.svdvals(X) / n**0.5
        torch.testing.assert_close(spread, plain / (1 + nu * plain**2).sqrt(), rtol=1e-9, atol=0)
        size = torch.linalg.matrix_norm(X, 2)
        assert torch.linalg.matrix_norm(white @ X - X, 2) <= nu * size**3 / (2 * n)


@pytest.mark.parametrize("seed", range(5))
def test_irr_in_closed_form_and_its_limits(seed: int) -> None:
    """Proposition 10.9: for an invertible XᵀX, and the two limits for any X."""
    X, _, D = problem(9, 5, (4, 8)[seed % 2], seed)
    inside = torch.arange(len(D)) < 2
    M = D @ torch.linalg.inv(X.T @ X / len(X)) @ D.T
    MJ, MJI = M[~inside][:, ~inside], M[~inside][:, inside]
    for nu in (1e-3, 0.5, 20.0):
        closed = torch.linalg.solve(nu * torch.eye(len(MJ)).double() + MJ, MJI).abs().sum(1).max()
        assert split_irr(X, inside, nu, D) == pytest.approx(closed.item(), rel=1e-6)
    large = 1e6
    assert large * split_irr(X, inside, large, D) == pytest.approx(
        MJI.abs().sum(1).max().item(), rel=1e-3
    )
    assert split_irr(X, inside, math.inf, D) == 0
    tight = torch.linalg.pinv(MJ, hermitian=True, rtol=1e-9) @ MJI
    assert split_irr(X, inside, 1e-6, D) == pytest.approx(tight.abs().sum(1).max().item(), rel=1e-3)
    if len(D) == 4:
        assert split_irr(X, inside, 0.0, D) == pytest.approx(tight.abs().sum(1).max().item())


def test_limits_for_a_wide_design() -> None:
    """Proposition 10.9: with a kernel Σ(∞) is a projection, and IRR(0) is that of X for D = I."""
    X, _, D = problem(4, 6, 5)
    for matrix in (D, None):
        far, near = split_gram(X, math.inf, matrix), split_gram(X, 1e9, matrix)
        torch.testing.assert_close(far, near, rtol=0, atol=1e-6)
        torch.testing.assert_close(far @ far, far, rtol=0, atol=1e-12)
        assert 0 < round(torch.trace(far).item()) < len(far)
    inside = torch.arange(6) < 2
    C = X.T @ X
    known = (C[~inside][:, inside] @ torch.linalg.inv(C[inside][:, inside])).abs().sum(1).max()
    assert split_irr(X, inside, 0.0) == pytest.approx(known.item())
    assert split_irr(X, inside, 1e-7) == pytest.approx(known.item(), rel=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_what_always_falls_and_what_falls_for_a_chain(seed: int) -> None:
    """Proposition 10.10: the spectral norm, the envelope, and the chain with its exact limit 1."""
    X, _, D = problem(9, 5, 5, seed)
    inside = torch.tensor([True, False, True, False, False])
    M = D @ torch.linalg.inv(X.T @ X / len(X)) @ D.T
    MJ, MJI = M[~inside][:, ~inside], M[~inside][:, inside]
    nus = torch.logspace(-3, 3, 25).tolist()
    norms = []
    for nu in nus:
        gram = split_gram(X, nu, D)
        factor = gram[~inside][:, inside] @ torch.linalg.inv(gram[inside][:, inside])
        norms.append(torch.linalg.matrix_norm(factor, 2).item())
        top = 2**0.5 * torch.linalg.matrix_norm(MJI, 2) / (nu + torch.linalg.eigvalsh(MJ)[0])
        assert split_irr(X, inside, nu, D) <= top * (1 + 1e-6)
    assert (np.diff(norms) < 0).all()
    p = 8 + seed
    chain = (torch.eye(p) - torch.eye(p).roll(1, 1))[:-1].double()
    jumps = torch.zeros(p - 1, dtype=torch.bool)
    jumps[[1, 4]] = True
    eye = torch.eye(p).double() * p**0.5
    values = [split_irr(eye, jumps, nu, chain) for nu in [0.0, *nus]]
    assert values[0] == pytest.approx(1)
    assert (np.diff(values) < 0).all()


def test_irr_can_rise() -> None:
    """Proposition 10.10: a design with IRR(0) < 1 < IRR(ν) for a larger ν."""
    M = torch.tensor(
        [[16.05, -12, 26.6475], [-12, 9.05, -19.9975], [26.6475, -19.9975, 50]]
    ).double()
    X = torch.linalg.cholesky(torch.linalg.inv(M)).T * 3**0.5
    inside = torch.tensor([False, False, True])
    values = [split_irr(X, inside, nu) for nu in (0.0, 0.5, 10.0)]
    assert values[0] < 1 < values[1]
    assert values[2] < values[1]


def chain_problem(seed: int, n: int = 60, p: int = 6, sigma: float = 0.0):
    """A correlated design with IRR below one at ν = 2 and a signal with two jumps."""
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(n, p, generator=g).double() + 0.3 * torch.randn(n, 1, generator=g).double()
    D = (torch.eye(p) - torch.eye(p).roll(1, 1))[:-1].double()
    beta = torch.tensor([0.0, 0, 2, 2, -1, -1]).double()
    return X, D, beta, X @ beta + sigma * torch.randn(n, generator=g).double()


@pytest.mark.parametrize("seed", range(5))
def test_the_path_enters_no_false_row_and_finds_the_signs_in_time(seed: int) -> None:
    """Theorem 10.11: no false row before t̄, and all signs right after the time of the theorem."""
    for sigma in (0.0, 0.3):
        X, D, beta, y = chain_problem(seed, sigma=sigma)
        truth, nu, n = D @ beta, 2.0, len(X)
        inside = truth != 0
        irr = split_irr(X, inside, nu, D)
        assert irr < 1
        gram = split_gram(X, nu, D)
        A = nu * X.T @ X / n + D.T @ D
        omega = nu * D @ torch.linalg.solve(A, X.T @ (y - X @ beta) / n)
        inner = torch.linalg.inv(gram[inside][:, inside])
        mixed = omega[~inside] - gram[~inside][:, inside] @ inner @ omega[inside]
        clean = nu * (1 - irr) / mixed.abs().max().item() if sigma else math.inf
        oracle = truth[inside] + inner @ omega[inside]
        assert torch.equal(oracle.sign(), truth[inside].sign())
        lam = torch.linalg.eigvalsh(gram[inside][:, inside])[0].item()
        m = oracle.abs().min().item()
        late = nu / (lam * m) * max(2, 4 * math.log(oracle.abs().sum().item() / m))
        path = fl.iss_path(*split_design(X, y, nu, D))
        times = path.entry_times()
        assert times[~inside].min() >= clean * (1 - 1e-9)
        assert late < clean
        for t in torch.linspace(late, min(clean, 5 * late), 7)[1:-1].tolist():
            assert torch.equal(path.at(t).sign(), truth.sign())


def test_the_probability_of_a_clean_start() -> None:
    """Theorem 10.11: false rows before the time of the theorem in at most the share δ of draws."""
    X, D, beta, _ = chain_problem(0)
    inside = D @ beta != 0
    bound = clean_until(X, inside, 2.0, 0.5, delta=0.2, D=D)
    g, early = torch.Generator().manual_seed(3), 0
    for _ in range(100):
        y = X @ beta + 0.5 * torch.randn(len(X), generator=g).double()
        times = fl.iss_path(*split_design(X, y, 2.0, D)).entry_times()
        early += bool(times[~inside].min() < bound)
    room = (1 - split_irr(X, inside, 2.0, D)) / (2 * 0.5)
    assert bound == pytest.approx(room * math.sqrt(60 * 2.0 / math.log(2 * 3 / 0.2)))
    assert early <= 20 + 3 * 4  # three standard deviations of a binomial with 100 and 0.2


@pytest.mark.parametrize("seed", range(4))
def test_the_noise_in_the_force_is_no_larger_than_the_theorem_says(seed: int) -> None:
    """Theorem 10.11, part 3: exact variances of the noise, against 2σ²ν/n, for IRR below one."""
    X, D, beta, _ = chain_problem(seed)
    inside, n = D @ beta != 0, len(X)
    for nu in (0.3, 2.0, 50.0):
        gram, A = split_gram(X, nu, D), nu * X.T @ X / n + D.T @ D
        force = nu * D @ torch.linalg.solve(A, X.T) / n  # ω is this matrix times the noise
        assert (torch.linalg.eigvalsh(force @ force.T)[-1] <= nu / n * (1 + 1e-9)).all()
        ratio = gram[~inside][:, inside] @ torch.linalg.inv(gram[inside][:, inside])
        mixed = force[~inside] - ratio @ force[inside]
        irr = split_irr(X, inside, nu, D)
        assert mixed.square().sum(1).max() <= (1 + irr**2) * nu / n
        if nu == 2.0:
            assert irr < 1


@pytest.mark.parametrize("seed", range(4))
def test_the_revised_estimator_is_the_nearest_point(seed: int) -> None:
    """Proposition 10.12: nearest in the subspace, means over components, zero where D = I."""
    g = torch.Generator().manual_seed(seed)
    beta, D = torch.randn(6, generator=g).double(), torch.randn(5, 6, generator=g).double()
    gamma = torch.tensor([1.0, 0, 0, 2, 0]).double()
    near = split_estimate(beta, gamma, D)
    rows = D[gamma == 0]
    assert (rows @ near).abs().max() < 1e-12
    found = minimize(
        lambda b: ((b - beta.numpy()) ** 2).sum(), np.zeros(6), tol=1e-12,
        constraints={"type": "eq", "fun": lambda b: rows.numpy() @ b},
    ).x  # fmt: skip
    np.testing.assert_allclose(near.numpy(), found, atol=1e-6)  # the solver's own accuracy
    edges = [(0, 1), (1, 2), (3, 4), (0, 5)]
    graph = torch.zeros(4, 6).double()
    for row, (a, b) in enumerate(edges):
        graph[row, a], graph[row, b] = 1, -1
    near = split_estimate(beta, torch.tensor([0.0, 5.0, 0.0, 0.0]).double(), graph)
    for piece in ([0, 1, 5], [2], [3, 4]):
        torch.testing.assert_close(near[piece], beta[piece].mean().expand(len(piece)))
    assert torch.equal(split_estimate(beta, beta.clamp(min=0)), beta.clamp(min=0))
    assert torch.equal(split_estimate(beta, torch.ones(5), D), beta)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda X, m: split_gram(X, -1.0), "nu must not be negative"),
        (lambda X, m: split_gram(X, 1.0, torch.eye(3)), r"D must be \[q p\] with"),
        (lambda X, m: split_gram(X / 0, 1.0), "X must be finite, got 20"),
        (lambda X, m: split_gram(X[0], 1.0), r"X must be \[n p\]"),
        (lambda X, m: split_irr(X / 0, m, 1.0), "X must be finite"),
        (lambda X, m: split_gram(X, 1.0, torch.eye(4) / 0), "D must be finite"),
        (lambda X, m: split_gram(X, 0.0, torch.ones(3, 4)), "full row rank"),
        (lambda X, m: split_design(X, torch.ones(2), 1.0), r"y must be \[n\]"),
        (lambda X, m: split_design(X, torch.ones(5), math.inf), "nu must be a positive"),
        (lambda X, m: split_irr(X, m[:3], 1.0), "support must be a mask of 4"),
        (lambda X, m: split_irr(X, m.double(), 1.0), "support must be a mask of 4"),
        (lambda X, m: split_irr(torch.ones(5, 4), m, 0.0), "restricted to the support is singular"),
        (
            lambda X, m: split_estimate(torch.ones(4), torch.ones(3), torch.eye(4)),
            r"D must be \[q p",
        ),
        (lambda X, m: clean_until(X, m, 1.0, 0.0, delta=0.1), "sigma must be positive"),
        (lambda X, m: clean_until(X, m, 1.0, 1.0, delta=2.0), "sigma must be positive"),
    ],
)
def test_what_has_no_answer_is_refused(call, words: str) -> None:
    X = problem(5, 4, 4)[0]
    with pytest.raises(ValueError, match=words):
        call(X, torch.tensor([True, True, False, False]))


def test_nothing_outside_the_support_means_no_condition() -> None:
    X = problem(5, 4, 4)[0]
    assert split_irr(X, torch.ones(4, dtype=torch.bool), 1.0) == 0
    assert split_irr(X, torch.zeros(4, dtype=torch.bool), 1.0) == 0
