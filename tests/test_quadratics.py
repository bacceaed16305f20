"""FedAvg on quadratics, where the fixed point, the drift and the whole path are known on paper."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toy_clients import random_quadratics, seeded

from fedlearn_lib import fedavg, gradient, run
from fedlearn_lib.data import quadratic_clients, quadratic_loss


def pull(A: Tensor, lr: float, steps: int) -> Tensor:
    """Return B_i = I - (I - eta A_i)^tau, the share of its way home that client i walks."""
    eye = torch.eye(A.shape[1], dtype=A.dtype)
    return eye - torch.linalg.matrix_power(eye - lr * A, steps)


def fixed_point(A: Tensor, w: Tensor, p: Tensor, lr: float, steps: int) -> Tensor:
    B = p[:, None, None] * pull(A, lr, steps)
    return torch.linalg.solve(B.sum(0), torch.einsum("mij,mj->i", B, w))


def minimizer(A: Tensor, w: Tensor, p: Tensor) -> Tensor:
    return torch.linalg.solve((p[:, None, None] * A).sum(0), torch.einsum("m,mij,mj->i", p, A, w))


def simulate(A, w, p, *, start, lr, steps, rounds, server_lr=1.0, batch=1) -> Tensor:
    algorithm = fedavg(gradient(quadratic_loss), lr=lr, server_lr=server_lr)
    state, _ = run(
        algorithm, {"w": start}, quadratic_clients(A, w, p),
        rounds=rounds, steps=steps, batch=batch, generator=seeded(),
    )  # fmt: skip
    result: Tensor = state.w["w"]
    return result


@pytest.mark.parametrize("steps", [1, 2, 8])
@pytest.mark.parametrize("seed", range(2))
def test_rounds_converge_to_the_closed_form(seed: int, steps: int) -> None:
    A, w, p = random_quadratics(m=5, d=3, seed=seed)
    start = torch.full((3,), 7.0, dtype=torch.float64)
    end = simulate(A, w, p, start=start, lr=0.6, steps=steps, rounds=15 + 240 // steps)
    torch.testing.assert_close(end, fixed_point(A, w, p, 0.6, steps), rtol=0, atol=1e-12)


@pytest.mark.parametrize("server_lr", [0.5, 1.0])
def test_the_fixed_point_is_fixed_for_every_server_step(server_lr: float) -> None:
    A, w, p = random_quadratics(m=4, d=3, seed=1)
    star = fixed_point(A, w, p, 0.3, 5)
    after = simulate(A, w, p, start=star, lr=0.3, steps=5, rounds=3, server_lr=server_lr)
    torch.testing.assert_close(after, star, rtol=0, atol=1e-14)


@pytest.mark.parametrize("server_lr", [0.5, 1.0, 1.5])
def test_every_round_follows_the_affine_recursion(server_lr: float) -> None:
    A, w, p = random_quadratics(m=6, d=4, seed=2)
    B = p[:, None, None] * pull(A, 0.4, 3)
    v = torch.ones(4, dtype=torch.float64)
    for k in range(1, 5):
        v = v + server_lr * torch.einsum("mij,mj->i", B, w - v)
        start = torch.ones(4, dtype=torch.float64)
        seen = simulate(
            A, w, p, start=start, lr=0.4, steps=3, rounds=k, server_lr=server_lr, batch=None
        )
        torch.testing.assert_close(seen, v, rtol=0, atol=1e-13)


def test_one_local_step_is_gradient_descent_on_the_weighted_objective() -> None:
    A, w, p = random_quadratics(m=5, d=3, seed=3)
    v = torch.zeros(3, dtype=torch.float64)
    for _ in range(10):
        v = v - 0.3 * torch.einsum("m,mij,mj->i", p, A, v - w)
    start = torch.zeros(3, dtype=torch.float64)
    seen = simulate(A, w, p, start=start, lr=0.3, steps=1, rounds=10)
    torch.testing.assert_close(seen, v, rtol=0, atol=1e-14)


def test_one_local_step_has_no_drift_and_more_have_some() -> None:
    A, w, p = random_quadratics(m=5, d=3, seed=4)
    best = minimizer(A, w, p)
    drift = [float((fixed_point(A, w, p, 0.3, steps) - best).norm()) for steps in (1, 2, 10)]
    assert drift[0] < 1e-14
    assert 1e-3 < drift[1] < drift[2]


def test_clients_with_equal_curvature_do_not_drift() -> None:
    A, w, p = random_quadratics(m=5, d=3, seed=5)
    A = A[:1].expand(5, 3, 3)
    start = torch.zeros(3, dtype=torch.float64)
    end = simulate(A, w, p, start=start, lr=0.3, steps=7, rounds=80)
    torch.testing.assert_close(end, p @ w, rtol=0, atol=1e-12)


def test_clients_with_one_minimizer_do_not_drift() -> None:
    A, w, p = random_quadratics(m=5, d=3, seed=6)
    w = w[:1].expand(5, 3)
    start = torch.zeros(3, dtype=torch.float64)
    end = simulate(A, w, p, start=start, lr=0.3, steps=7, rounds=80)
    torch.testing.assert_close(end, w[0], rtol=0, atol=1e-12)


def test_the_loss_is_the_displayed_formula() -> None:
    A, w, _ = random_quadratics(m=3, d=2, seed=7)
    v = torch.tensor([0.3, -1.2], dtype=torch.float64)
    by_hand = sum(0.5 * (v - w[i]) @ A[i] @ (v - w[i]) for i in range(3)) / 3
    torch.testing.assert_close(quadratic_loss({"w": v}, (A, w)), by_hand, rtol=0, atol=1e-14)
