"""What Chapter 3 says of work, angles, the best δ, and several steps, by count and brute force."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from toy_clients import seeded

from fedlearn_lib import (
    adapt,
    axpy,
    dot,
    gradient,
    hvp,
    loss_of,
    maml_gradient,
    mlp,
    norm,
    parameters_of,
)

MODEL = mlp(5, 7, 4, 3, activation="tanh", seed=2).double()
LOSS = loss_of(MODEL)
W = {name: 2.5 * value for name, value in parameters_of(MODEL).items()}


def batch(seed: int = 0, n: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    g = seeded(seed)
    return torch.randn(n, 5, generator=g).double(), torch.randint(3, (n,), generator=g)


def along(v: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"w": v}


def form(A: torch.Tensor):
    return lambda w, batch: 0.5 * w["w"] @ A @ w["w"]


# ---------------------------------------------------------------- work


@pytest.mark.parametrize("depth", [1, 3])
def test_the_work_of_a_product_does_not_grow_with_the_size(depth: int) -> None:
    """Proposition 3.5: gradient and product cost a fixed number of losses, whatever d is."""

    def work(f, *arguments) -> int:
        with FlopCounterMode(display=False) as counter:
            f(*arguments)
        return int(counter.get_total_flops())

    ratios = []
    for width in (8, 80, 800):
        net = mlp(5, *[width] * depth, 3, activation="tanh").double()
        f, w = loss_of(net), parameters_of(net)
        once = work(f, w, batch())
        counts = work(gradient(f), w, (batch(),)), work(hvp, f, w, batch(), w)
        ratios.append([count / once for count in counts])
    assert all(1 < slopes <= 3 and slopes < product <= 3 * slopes for slopes, product in ratios)
    spread = torch.tensor(ratios)
    assert (spread.max(0).values / spread.min(0).values).max() < 1.5


# ---------------------------------------------------------------- first order


def angle_and_share(f, w, alpha: float, data=None) -> tuple[float, float]:
    """Sine of the angle between first order and exact, and the relative error."""
    exact, first = (maml_gradient(f, alpha, mode)(w, (data,) * 3) for mode in ("exact", "fo"))
    cosine = float(dot(exact, first) / (norm(exact) * norm(first)))
    return math.sqrt(max(0.0, 1 - cosine**2)), float(norm(axpy(-1.0, exact, first)) / norm(exact))


@pytest.mark.parametrize("x", [0.1, 0.5, 0.9])
def test_the_angle_of_first_order_is_attained_by_a_saddle(x: float) -> None:
    """Proposition 3.6: sin θ ≤ αL, an equality for curvatures ±L, seen from the right place."""
    L, alpha = 4.0, x / 4.0
    a = torch.tensor([L, -L], dtype=torch.float64)
    look = torch.tensor([1 + x, 1 - x], dtype=torch.float64).sqrt()
    sine, _ = angle_and_share(form(torch.diag(a)), along(look / (a * (1 - alpha * a))), alpha)
    assert sine == pytest.approx(x, rel=1e-9)


def test_a_small_step_bounds_angle_and_relative_error() -> None:
    """Proposition 3.6: sin θ ≤ αL and ‖FO − exact‖/‖exact‖ ≤ αL/(1 − αL), on random forms."""
    for seed in range(30):
        root = torch.randn(4, 4, generator=seeded(seed)).double()
        A = (root + root.T) / 2
        x = 0.05 + 0.9 * seed / 30
        alpha = x / float(torch.linalg.matrix_norm(A, 2))
        w = along(torch.randn(4, generator=seeded(100 + seed)).double())
        sine, share = angle_and_share(form(A), w, alpha)
        assert 0 < sine <= x * (1 + 1e-9)
        assert 0 < share <= x / (1 - x)
    parabola = form(3 * torch.eye(4, dtype=torch.float64))
    _, share = angle_and_share(parabola, w, 0.2)
    assert share == pytest.approx(0.6 / 0.4)


# ---------------------------------------------------------------- the best δ


@pytest.mark.parametrize("eps", [1e-3, 1e-6])
def test_delta_star_is_the_bottom_of_the_sum(eps: float) -> None:
    """Proposition 3.7: Mx⁴/24 with slopes wrong by ε attains both bounds; δ* is best."""
    M, v = 5.0, along(torch.tensor([1.7], dtype=torch.float64))
    clean = gradient(lambda w, batch: M / 24 * (w["w"] ** 4).sum())
    zero = along(torch.zeros(1, dtype=torch.float64))

    def error(delta: float) -> float:
        up, down = (axpy(sign * delta, v, zero) for sign in (1, -1))
        found = [clean(at, (None,))["w"] + eps * at["w"].sign() for at in (up, down)]
        return float((found[0] - found[1]) / (2 * delta))  # the Hessian at zero is zero

    star = (3 * eps / (M * 1.7**3)) ** (1 / 3)
    assert error(star) == pytest.approx(M * star**2 * 1.7**3 / 6 + eps / star, rel=1e-9)
    assert all(error(star) < error(star * factor) for factor in (0.5, 0.9, 1.1, 2.0))


# ---------------------------------------------------------------- several steps


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("mode", ["exact", "hf"])
def test_several_steps_are_the_slope_of_the_loss_after_them(steps: int, mode: str) -> None:
    """Proposition 3.10: against differences of F itself, along random directions."""
    D, g = batch(), seeded(7)

    def F(w) -> float:
        return float(LOSS(adapt(LOSS, w, D, 0.3, steps), D))

    found = maml_gradient(LOSS, 0.3, mode, 1e-4, steps)(W, (D,) * 3)
    for _ in range(3):
        way = {n: torch.randn(w.shape, generator=g).double() / 6 for n, w in W.items()}
        slope = (F(axpy(1e-4, way, W)) - F(axpy(-1e-4, way, W))) / 2e-4
        assert float(dot(found, way)) == pytest.approx(slope, abs=2e-6)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("mode", "losses"), [("exact", (2, 1)), ("fo", (1, 1)), ("hf", (3, 1))])
def test_the_price_of_several_steps(steps: int, mode: str, losses: tuple[int, int]) -> None:
    """Proposition 3.10: ν+1 gradients and ν products; FO ν+1 gradients; HF 3ν+1."""
    calls = 0

    def counted(w, D):
        nonlocal calls
        calls += 1
        return LOSS(w, D)

    maml_gradient(counted, 0.3, mode, 1e-3, steps)(W, (batch(),) * 3)
    each, once = losses  # a gradient and a product evaluate the loss once each
    assert calls == each * steps + once


@pytest.mark.parametrize("nu", [1, 2, 5])
def test_first_order_is_off_by_a_power(nu: int) -> None:
    """Proposition 3.10 and Exercise 3.7: at most ((1 + αL)^ν − 1)‖g‖, attained on a hill."""
    hill = form(-2 * torch.eye(3, dtype=torch.float64))
    w = along(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    exact, first = (maml_gradient(hill, 0.1, mode, steps=nu)(w, (None,) * 3)
                    for mode in ("exact", "fo"))  # fmt: skip
    off = float(norm(axpy(-1.0, exact, first)))
    assert off == pytest.approx((1.2**nu - 1) * float(norm(first)))
