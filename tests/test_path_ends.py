"""Where paths end, and which paths the iterations follow, by solvers that know no path."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor
from toy_clients import seeded

from fedlearn_lib import SplitLBI, iss_path, lbi_path
from fedlearn_lib.sparse import L1, GroupL2
from fedlearn_lib.theory import split_design


def wide(seed: int, n: int = 8, p: int = 20, noise: float = 0.3) -> tuple[Tensor, Tensor]:
    g = seeded(seed)
    X = torch.randn(n, p, generator=g, dtype=torch.float64)
    return X, X[:, :3] @ torch.tensor([2.0, -1.0, 1.5], dtype=torch.float64) + noise * torch.randn(
        n, generator=g, dtype=torch.float64
    )


def smallest_norm(X: Tensor, target: Tensor, D: Tensor) -> float:
    """The smallest l1 norm of Dz with Xz = target, a linear program in z and |Dz|."""
    p, q = X.shape[1], len(D)
    above = np.block([[D.numpy(), -np.eye(q)], [-D.numpy(), -np.eye(q)]])
    equal = np.hstack([X.numpy(), np.zeros((len(X), q))])
    found = linprog(
        np.r_[np.zeros(p), np.ones(q)], above, np.zeros(2 * q), equal, target.numpy(),
        bounds=(None, None),
    )  # fmt: skip
    assert found.success
    return float(found.fun)


def shrink(z: Tensor) -> Tensor:
    return z - z.clamp(-1, 1)


@pytest.mark.parametrize("seed", range(8))
def test_no_model_with_the_same_fit_has_a_smaller_norm(seed: int) -> None:
    """Theorem 8.16: at every knot, and therefore at the end."""
    X, y = wide(seed)
    path, eye = iss_path(X, y), torch.eye(20, dtype=torch.float64)
    for w in path.w:
        assert float(w.abs().sum()) == pytest.approx(smallest_norm(X, X @ w, eye), rel=1e-7)
    assert float((X @ path.w[-1] - y).norm()) < 1e-9
    assert float((torch.linalg.pinv(X) @ y).abs().sum()) > 1.05 * float(path.w[-1].abs().sum())


def bregman(X: Tensor, y: Tensor, alpha: float, steps: int) -> list[Tensor]:
    """The dual variables of Bregman's iteration; each step is a LASSO problem."""
    from sklearn.linear_model import lars_path

    back, found = torch.zeros_like(y), []
    for _ in range(steps):
        lams, _, ends = lars_path(X.numpy(), (y + back).numpy(), method="lasso")
        w = torch.tensor([np.interp(1 / alpha, lams[::-1], row[::-1]) for row in ends])
        back = back + y - X @ w
        rho = alpha * X.T @ back / len(X)
        assert float(rho.abs().max()) < 1 + 1e-9
        assert bool(((rho * w.sign() > 1 - 1e-9) | (w.abs() < 1e-12)).all())  # ρ is a slope at w
        found.append(rho)
    return found


def dual(X: Tensor, y: Tensor, t: float) -> Tensor:
    """The dual path of the exact inverse scale space at time t."""
    path = iss_path(X, y)
    ends = torch.cat([path.t[1:], torch.tensor([torch.inf])]).clamp(max=t)
    return X.T @ (t * y - X @ ((ends - path.t).clamp(min=0) @ path.w)) / len(X)


@pytest.mark.parametrize("seed", [3, 24, 100])
def test_bregmans_iteration_stays_near_the_path(seed: int) -> None:
    """Proposition 9.3, part 3: within the bound, also where something leaves."""
    g = seeded(seed)
    X = torch.randn(4, 3, generator=g, dtype=torch.float64)
    y = torch.randn(4, generator=g, dtype=torch.float64)
    end = float(iss_path(X, y).t[-1]) * 1.2
    largest = (float(torch.linalg.matrix_norm(X, 2)) ** 2 / 4 / 8) ** 0.5 * float(y.norm())
    off = []
    for steps in (1, 2, 8):
        alpha = end / steps
        rhos = bregman(X, y, alpha, steps)
        far = max(float((r - dual(X, y, (k + 1) * alpha)).norm()) for k, r in enumerate(rhos))
        assert far <= alpha * largest
        off.append(far)
    assert max(off) > 1e-3  # something leaves on these designs, so the bound is needed


def test_without_a_departure_bregmans_iteration_is_on_the_path() -> None:
    """Proposition 9.3, part 3: with whatever step."""
    g = seeded(1)
    X = torch.linalg.qr(torch.randn(30, 6, generator=g, dtype=torch.float64)).Q * 30**0.5
    y = X @ torch.tensor([3.0, -2, 1, 0.5, 0, 0], dtype=torch.float64)
    y = y + torch.randn(30, generator=g, dtype=torch.float64)
    for alpha in (0.1, 0.7, 5.0):
        for k, rho in enumerate(bregman(X, y, alpha, 6)):
            assert float((rho - dual(X, y, (k + 1) * alpha)).abs().max()) < 1e-9


def damped_end(X: Tensor, y: Tensor, kappa: float) -> Tensor:
    """The library's linearized Bregman iterations, until nothing is left unexplained."""
    steps = 40_000
    w: Tensor = lbi_path(X, y, kappa=kappa, steps=steps, every=steps).w[-1]
    assert float((y - X @ w).norm()) < 1e-8
    return w


@pytest.mark.parametrize("kappa", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_where_linearized_bregman_iterations_end(seed: int, kappa: float) -> None:
    """Theorem 9.10: L-BFGS on the dual finds the same vector, and the bounds hold."""
    X, y = wide(seed)
    end, best = damped_end(X, y, kappa), iss_path(X, y).w[-1]

    def value(a: np.ndarray) -> tuple[float, np.ndarray]:
        w = kappa * shrink(X.T @ torch.from_numpy(a))
        return float(w @ w) / (2 * kappa) - float(y @ torch.from_numpy(a)), (X @ w - y).numpy()

    a = minimize(value, np.zeros(len(X)), jac=True, options={"gtol": 1e-11, "maxiter": 20_000}).x
    assert float((end - kappa * shrink(X.T @ torch.from_numpy(a))).abs().max()) < 1e-5
    assert float(end.norm()) <= float(best.norm()) * (1 + 1e-9)
    gap = float(end.abs().sum() - best.abs().sum())
    assert -1e-9 <= gap <= float(best @ best) / (2 * kappa)


@pytest.mark.parametrize("structure", ["identity", "chain"])
@pytest.mark.parametrize("nu", [0.1, 1.0, 10.0])
def test_split_paths_end_where_the_structure_is_smallest(structure: str, nu: float) -> None:
    """Proposition 10.6, part 1: for every spring."""
    X, y = wide(5)
    D = torch.eye(20, dtype=torch.float64)
    if structure == "chain":
        D = (D - D.roll(1, 1))[:-1]
    gamma = iss_path(*split_design(X, y, nu, D)).w[-1]
    assert float(gamma.abs().sum()) == pytest.approx(smallest_norm(X, y, D), rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_split_flow_stays_near_the_split_path(seed: int) -> None:
    """Theorem 10.5: both dual variables, for three κ; ten times κ is ten times nearer."""
    from scipy.integrate import solve_ivp

    g, nu, end = seeded(seed), 1.0, 3.0
    X, D = (torch.randn(*s, generator=g, dtype=torch.float64) for s in ((15, 4), (5, 4)))
    y = 3 * X.sum(1) + torch.randn(15, generator=g, dtype=torch.float64)
    gram, moment, p = X.T @ X / 15, X.T @ y / 15, 4
    path = iss_path(*split_design(X, y, nu, D), t_max=end)
    ends = torch.cat([path.t, torch.tensor([end])]).clamp(max=end)
    spans = torch.cat([ends[:1], ends.diff()])
    gammas = torch.cat([torch.zeros(1, 5, dtype=torch.float64), path.w])
    betas = torch.linalg.solve(nu * gram + D.T @ D, (nu * moment + gammas @ D).T).T
    rho = spans @ (betas @ D.T - gammas) / nu
    energy = float(spans @ (betas.square().sum(1) + gammas.square().sum(1)))
    size = float(torch.linalg.matrix_norm(X, 2)) ** 2 / 15
    h = size + (1 + float(torch.linalg.matrix_norm(D, 2)) ** 2) / nu
    far = []
    for kappa in (5.0, 50.0, 500.0):

        def speed(t: float, u: np.ndarray, kappa: float = kappa) -> np.ndarray:
            beta, z = kappa * torch.from_numpy(u[:p]), torch.from_numpy(u[p:])
            pull = (D @ beta - kappa * shrink(z)) / nu
            return torch.cat([moment - gram @ beta - D.T @ pull, pull]).numpy()

        u = solve_ivp(speed, (0, end), np.zeros(p + 5), method="LSODA", rtol=1e-8).y[:, -1]
        distance = float(np.linalg.norm(u - np.r_[np.zeros(p), rho.numpy()]))
        assert distance**2 <= h / (2 * kappa) * energy
        far.append(distance)
    assert far[0] > 5 * far[1] > 25 * far[2]


@pytest.mark.parametrize("kind", ["l1", "group"])
@pytest.mark.parametrize("batch", [6, 3])
def test_where_the_optimizer_ends_when_minimizers_abound(kind: str, batch: int) -> None:
    """Proposition 11.11: against 500 other minimizers, from a start that is not zero."""
    g = seeded(7)
    X = torch.randn(6, 9, generator=g, dtype=torch.float64)
    y = torch.randn(6, generator=g, dtype=torch.float64)
    start = torch.randn(3, 3, generator=g, dtype=torch.float64) / 3
    w, kappa = torch.nn.Parameter(start.clone()), 2.0
    lr = 1 / (kappa * (float(torch.linalg.matrix_norm(X, 2)) ** 2 / batch + 2))
    penalty = L1() if kind == "l1" else GroupL2()  # rows of the 3 × 3 weights
    groups = [{"params": [w], "penalty": kind}]
    optimizer = SplitLBI(groups, lr=lr, kappa=kappa, nu=1.0)
    for k in range(15_000):
        rows = torch.arange(k * batch, (k + 1) * batch) % 6
        residual = X[rows] @ w.detach().flatten() - y[rows]
        w.grad = (X[rows].T @ residual / batch).view(3, 3)
        optimizer.step()
    end = w.detach()
    assert float((X @ end.flatten() - y).norm()) < 1e-7
    assert float((optimizer.gamma(w) - end).norm()) < 1e-7

    def cost(v: Tensor) -> float:
        near = float((v - start).square().sum() + v.square().sum()) / 2
        return kappa * float(penalty.value(v)) + near

    free = torch.linalg.svd(X).Vh[6:]
    for size in (1e-3, 0.1, 1.0):
        for _ in range(200):
            other = end + size * (torch.randn(3, generator=g, dtype=torch.float64) @ free).view(
                3, 3
            )
            assert cost(end) < cost(other)
