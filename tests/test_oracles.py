r"""Meta-gradients and adaptation against autograd, closed forms and the bounds of their errors."""

from __future__ import annotations

import itertools
import math
import re

import pytest
import torch
from toy_clients import assert_close, random_quadratics, seeded

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
    perfedavg,
)
from fedlearn_lib.data import quadratic_loss
from fedlearn_lib.federated.maml import MODES

MODEL = mlp(4, 6, 3, activation="tanh", seed=1).double()
LOSS = loss_of(MODEL)
W = {name: 2 * value for name, value in parameters_of(MODEL).items()}  # not near the linear part


def batches(count: int, seed: int = 0) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    g = seeded(seed)
    return tuple(
        (torch.randn(7, 4, generator=g).double(), torch.randint(3, (7,), generator=g))
        for _ in range(count)
    )


def flat(w: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([value.flatten() for value in w.values()])


def gap(x: dict[str, torch.Tensor], y: dict[str, torch.Tensor]) -> float:
    return float(norm(axpy(-1.0, x, y)))


def hessian(w, batch) -> torch.Tensor:
    """The full Hessian of LOSS, as a matrix."""
    sizes = [value.numel() for value in w.values()]

    def along(v: torch.Tensor) -> torch.Tensor:
        parts = zip(w.items(), v.split(sizes), strict=True)
        return LOSS({name: part.view(value.shape) for (name, value), part in parts}, batch)

    found: torch.Tensor = torch.autograd.functional.hessian(along, flat(w))
    return found


# ---------------------------------------------------------------- the exact meta-gradient


@pytest.mark.parametrize("mode", MODES)
def test_without_a_step_the_meta_gradient_is_the_gradient(mode: str) -> None:
    """Definition 3.1: with α = 0 adaptation does nothing and F = f, seen through D'."""
    D, E, H = batches(3)
    assert_close(maml_gradient(LOSS, 0.0, mode)(W, (D, E, H)), gradient(LOSS)(W, (E,)), 0)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 2.0])
def test_exact_is_the_derivative_of_adapt_then_lose(alpha: float) -> None:
    """Proposition 3.2: with D'' = D it is autograd of w ↦ f(w − α∇f(w; D); D')."""
    D, E = batches(2)
    leaves = {name: value.clone().requires_grad_() for name, value in W.items()}
    slopes = torch.autograd.grad(LOSS(leaves, D), tuple(leaves.values()), create_graph=True)
    moved = {n: v - alpha * s for (n, v), s in zip(leaves.items(), slopes, strict=True)}
    found = torch.autograd.grad(LOSS(moved, E), tuple(leaves.values()))
    expected = dict(zip(leaves, found, strict=True))
    assert_close(maml_gradient(LOSS, alpha)(W, (D, E, D)), expected, 1e-10)  # float64


def test_exact_takes_the_hessian_at_w_and_from_the_third_batch() -> None:
    """Proposition 3.2 and Algorithm 3.4: g − α∇²f(w; D'')g, neither at w̃ nor from D or D'."""
    D, E, H = batches(3)
    alpha, slope = 0.4, gradient(LOSS)
    moved = axpy(-alpha, slope(W, (D,)), W)
    g = slope(moved, (E,))
    found = flat(maml_gradient(LOSS, alpha)(W, (D, E, H)))

    def by_hand(where, batch) -> torch.Tensor:
        return flat(g) - alpha * hessian(where, batch) @ flat(g)

    torch.testing.assert_close(found, by_hand(W, H), rtol=0, atol=1e-12)
    for where, batch in [(moved, H), (W, D), (W, E)]:
        assert float((found - by_hand(where, batch)).norm()) > 1e-3


def test_first_order_needs_two_batches_and_looks_at_the_adapted_model() -> None:
    """Proposition 3.6: FO is ∇f(w̃; D')."""
    D, E, H = batches(3)
    slope = gradient(LOSS)
    expected = slope(axpy(-0.4, slope(W, (D,)), W), (E,))
    oracle = maml_gradient(LOSS, 0.4, "fo")
    assert_close(oracle(W, (D, E)), expected, 0)
    assert_close(oracle(W, (D, E, H)), expected, 0)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_several_steps_are_the_derivative_of_adapt_then_lose(steps: int) -> None:
    """Proposition 5.15: with D'' = D it is autograd of w ↦ f(w^ν; D'), ν steps of adapt."""
    D, E = batches(2)
    expected = torch.func.grad(lambda w: LOSS(adapt(LOSS, w, D, 0.3, steps), E))(W)
    assert_close(maml_gradient(LOSS, 0.3, steps=steps)(W, (D, E, D)), expected, 1e-10)


def test_several_steps_take_each_hessian_where_the_step_was_made() -> None:
    """Proposition 5.15: (I − αH(w⁰))(I − αH(w¹))∇f(w²; D'), the Hessians from D''; FO and HF."""
    D, E, H = batches(3)
    alpha, slope = 0.4, gradient(LOSS)
    first = axpy(-alpha, slope(W, (D,)), W)
    g = slope(axpy(-alpha, slope(first, (D,)), first), (E,))
    by_hand = flat(g)
    for where in (first, W):
        by_hand = by_hand - alpha * hessian(where, H) @ by_hand
    exact, fo, hf = (
        maml_gradient(LOSS, alpha, mode, 1e-4, steps=2)(W, (D, E, H)) for mode in MODES
    )
    torch.testing.assert_close(flat(exact), by_hand, rtol=0, atol=1e-12)
    assert_close(fo, g, 0)
    assert 0 < gap(hf, exact) < 1e-6 < gap(fo, exact)


@pytest.mark.parametrize("seed", range(3))
def test_quadratics_have_closed_forms(seed: int) -> None:
    """Proposition 3.3: exact and HF give JAJ(w − w_i), FO gives AJ(w − w_i)."""
    A, centers, _ = random_quadratics(m=3, d=4, seed=seed)
    here, alpha = torch.linspace(-2, 3, 4, dtype=torch.float64), 0.7
    J = torch.eye(4, dtype=torch.float64) - alpha * A
    for i in range(3):
        D = (A[i : i + 1], centers[i : i + 1])
        away = here - centers[i]
        expected = {"exact": J[i] @ A[i] @ J[i] @ away, "fo": A[i] @ J[i] @ away}
        expected["hf"] = expected["exact"]
        for mode in MODES:
            oracle = maml_gradient(quadratic_loss, alpha, mode, delta=0.5)
            found = oracle({"w": here}, (D, D, D))["w"]
            torch.testing.assert_close(found, expected[mode], rtol=0, atol=1e-13)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 0.9])
def test_the_best_start_of_quadratics(alpha: float) -> None:
    """Proposition 3.3: Σp JAJ(w − w_i) = 0 minimizes F; FO stops elsewhere, F is higher there."""
    A, centers, p = random_quadratics(m=4, d=3, seed=5)
    J = torch.eye(3, dtype=torch.float64) - alpha * A

    def mean(M: torch.Tensor) -> torch.Tensor:
        right = torch.einsum("i,iab,ib->a", p, M, centers)
        return torch.linalg.solve(torch.einsum("i,iab->ab", p, M), right)

    def meta_loss(v: torch.Tensor) -> float:
        return sum(
            float(q * quadratic_loss(adapt(quadratic_loss, {"w": v}, D, alpha), D))
            for q, D in zip(p, zip(A[:, None], centers[:, None], strict=True), strict=True)
        )

    best, first_order = mean(J @ A @ J), mean(A @ J)
    step = 1e-3 * torch.randn(20, 3, generator=seeded(1), dtype=torch.float64)
    assert all(meta_loss(best) < meta_loss(best + s) for s in step)
    assert meta_loss(first_order) > meta_loss(best) + 1e-5


# ---------------------------------------------------------------- the errors of FO and HF


def cubic(w, batch):
    """f(w) = ½ Σ a_k w_k² + (c/6) Σ w_k³: its Hessian is Lipschitz with constant exactly c."""
    a, c = batch
    return 0.5 * (a * w["w"] ** 2).sum() + c / 6 * (w["w"] ** 3).sum()


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.5])
def test_first_order_is_off_by_at_most_alpha_times_l(alpha: float) -> None:
    """Proposition 3.6: ‖FO − exact‖ ≤ α‖∇²f(w)‖‖g‖, an equality along the steepest direction."""
    D, E, H = batches(3)
    exact, fo = maml_gradient(LOSS, alpha), maml_gradient(LOSS, alpha, "fo")
    g = fo(W, (D, E))
    L = float(torch.linalg.matrix_norm(hessian(W, H), 2))
    error = gap(exact(W, (D, E, H)), g)
    assert 0.02 * alpha * L * float(norm(g)) < error <= alpha * L * float(norm(g))
    D = (torch.diag(torch.tensor([5.0, 1.0]))[None], torch.zeros(1, 2))
    w = {"w": torch.tensor([1.0, 0.0])}
    exact, fo = maml_gradient(quadratic_loss, alpha), maml_gradient(quadratic_loss, alpha, "fo")
    g = fo(w, (D, D))
    assert gap(exact(w, (D, D, D)), g) == pytest.approx(alpha * 5 * float(norm(g)), rel=1e-5)


@pytest.mark.parametrize("delta", [1e-3, 1e-2, 0.1])
def test_hessian_free_is_off_by_at_most_half_rho_delta(delta: float) -> None:
    """Proposition 3.7: ‖HF − exact‖ ≤ αρδ‖g‖²/2 where the Hessian is ρ-Lipschitz.

    ∇f(w) = w|w| (one coordinate at 0) has a Hessian 2|w| with ρ = 2 and no third derivative at 0:
    there d = δg|g| and ∇²f g = 0, so the bound is attained.
    """
    alpha = 0.3

    def kink(w, batch):
        return (w["w"].abs() ** 3).sum() / 3 + (batch * w["w"]).sum()

    w, D = {"w": torch.zeros(1, dtype=torch.float64)}, torch.tensor([1.7], dtype=torch.float64)
    g = maml_gradient(kink, alpha, "fo")(w, (D, D))
    exact = maml_gradient(kink, alpha)(w, (D, D, D))
    bound = alpha * 2 * delta * float(norm(g)) ** 2 / 2
    error = gap(maml_gradient(kink, alpha, "hf", delta)(w, (D, D, D)), exact)
    assert error == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("delta", [0.5, 1e-2])
def test_hessian_free_is_exact_on_a_cubic(delta: float) -> None:
    """Proposition 3.7: with third derivatives that are constant (M = 0, here ρ = c) no error."""
    D = (torch.tensor([1.0, 3.0], dtype=torch.float64), 2.0)
    w = {"w": torch.tensor([0.4, -0.9], dtype=torch.float64)}
    exact = maml_gradient(cubic, 0.2)(w, (D, D, D))
    error = gap(maml_gradient(cubic, 0.2, "hf", delta)(w, (D, D, D)), exact)
    g = maml_gradient(cubic, 0.2, "fo")(w, (D, D))
    assert error <= 0.2 * 2.0 * delta * float(norm(g)) ** 2 / 2
    assert error < 1e-13


def test_hessian_free_converges_with_slope_two() -> None:
    """Proposition 3.7: the error falls as δ² on a smooth network in float64."""
    D, E, H = batches(3)
    exact = maml_gradient(LOSS, 0.4)(W, (D, E, H))
    deltas = [0.08, 0.04, 0.02, 0.01]
    errors = [gap(maml_gradient(LOSS, 0.4, "hf", d)(W, (D, E, H)), exact) for d in deltas]
    slopes = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert errors[-1] > 1e-9  # truncation, far above round-off
    assert slopes == pytest.approx([2, 2, 2], abs=0.05)


def test_hessian_free_is_off_by_m_delta_squared_over_six() -> None:
    """Proposition 3.7: ‖d − ∇²f g‖ ≤ Mδ²‖g‖³/6, an equality where f'''' = M throughout."""

    def quartic(w, batch):
        return (w["w"] ** 4).sum() / 24 * 6.0 + (batch * w["w"]).sum()

    w, D = {"w": torch.tensor([0.3], dtype=torch.float64)}, torch.tensor([1.1]).double()
    g = maml_gradient(quartic, 0.5, "fo")(w, (D, D))
    exact = maml_gradient(quartic, 0.5)(w, (D, D, D))
    for delta in (0.2, 0.05):
        error = gap(maml_gradient(quartic, 0.5, "hf", delta)(w, (D, D, D)), exact)
        assert error == pytest.approx(0.5 * 6.0 * delta**2 * float(norm(g)) ** 3 / 6, rel=1e-8)


def test_round_off_grows_as_delta_falls() -> None:
    """Proposition 3.7: below the best δ the error grows like 1/δ, and float32 is worse."""
    D, E, H = batches(3)
    exact = maml_gradient(LOSS, 0.4)(W, (D, E, H))
    single = {name: value.float() for name, value in W.items()}
    draws = tuple((x.float(), y) for x, y in (D, E, H))

    def error(delta: float) -> float:
        found = maml_gradient(LOSS, 0.4, "hf", delta)(single, draws)
        return gap({name: value.double() for name, value in found.items()}, exact)

    assert error(1e-6) > 20 * error(1e-3)
    double = [gap(maml_gradient(LOSS, 0.4, "hf", d)(W, (D, E, H)), exact) for d in (1e-9, 1e-5)]
    assert double[0] > 20 * double[1]
    assert error(1e-6) > 1e3 * gap(maml_gradient(LOSS, 0.4, "hf", 1e-6)(W, (D, E, H)), exact)


def mean_over_signs(loss, w: float, alpha: float, draws) -> float:
    """The mean of the exact oracle over all listed triples of noise, each equally likely."""
    oracle, at = maml_gradient(loss, alpha), {"w": torch.tensor([w], dtype=torch.float64)}
    found = [oracle(at, tuple(torch.tensor(s) for s in three))["w"].item() for three in draws]
    return sum(found) / len(found)


@pytest.mark.parametrize("b", [1, 2, 4])
def test_a_noisy_inner_step_biases_the_meta_gradient(b: int) -> None:
    """Proposition 3.8: on a cubic with f''' = ρ the bias is (1 − αf''(w)) ρα²σ²/2b, exactly."""
    rho, sigma, w, alpha = 3.0, 0.8, 0.5, 0.2

    def noisy(v, s):  # f(v; s) = v²/2 + ρv³/6 + sv with E s = 0: only the slope is noisy
        return (v["w"] ** 2 / 2 + rho * v["w"] ** 3 / 6 + s * v["w"]).sum()

    means = [sigma * sum(signs) / b for signs in itertools.product((-1, 1), repeat=b)]
    found = mean_over_signs(noisy, w, alpha, itertools.product(means, (-sigma, sigma), (0.3,)))
    truth = mean_over_signs(noisy, w, alpha, [(0.0, 0.0, 0.0)])
    bias = (1 - alpha * (1 + rho * w)) * rho * alpha**2 * sigma**2 / (2 * b)
    assert found - truth == pytest.approx(bias, rel=1e-6)  # the noise is float32


def test_three_batches_are_unbiased_on_a_quadratic_and_one_batch_is_not() -> None:
    """Proposition 3.8: f(v; s) = (1 + s)v²/2, noise in the curvature, which D'' = D repeats."""

    def noisy(v, s):
        return 0.5 * (1 + s) * (v["w"] ** 2).sum()

    signs, alpha = (-0.5, 0.5), 0.5
    three = mean_over_signs(noisy, 2.0, alpha, itertools.product(signs, repeat=3))
    assert three == pytest.approx((1 - alpha) ** 2 * 2, rel=1e-12)
    one = mean_over_signs(noisy, 2.0, alpha, [(s, s, s) for s in signs])
    expected = sum((1 - alpha * (1 + s)) ** 2 * (1 + s) for s in signs)
    assert one == pytest.approx(expected, rel=1e-12)
    assert abs(one - three) > 0.1


# ---------------------------------------------------------------- Hessian-vector products


def test_hvp_is_the_hessian_times_the_vector_inside_and_outside_vmap() -> None:
    """Proposition 3.5: ∇⟨∇f(w), v⟩ = ∇²f(w)v."""
    (D,) = batches(1)
    g = seeded(4)
    vs = {n: torch.randn(3, *w.shape, generator=g, dtype=w.dtype) for n, w in W.items()}
    H = hessian(W, D)
    inside = torch.func.vmap(lambda v: hvp(LOSS, W, D, v))(vs)
    for k in range(3):
        v = {name: value[k] for name, value in vs.items()}
        outside = hvp(LOSS, W, D, v)
        torch.testing.assert_close(flat(outside), H @ flat(v), rtol=0, atol=1e-12)
        assert_close({name: value[k] for name, value in inside.items()}, outside, 1e-12)


def test_hvp_of_a_relu_network_misses_the_kinks() -> None:
    """Proposition 3.5 needs C²: of |w| autograd sees curvature zero on both sides of the kink."""

    def bent(w, batch):
        return torch.relu(w["w"]).sum()

    w, v = {"w": torch.tensor([1e-9]).double()}, {"w": torch.tensor([1.0]).double()}
    assert hvp(bent, w, None, v)["w"].item() == 0
    up, down = axpy(0.1, v, w), axpy(-0.1, v, w)
    slope = gradient(bent)
    across = (slope(up, (None,))["w"] - slope(down, (None,))["w"]) / 0.2
    assert across.item() == pytest.approx(5.0)  # the jump of the slope over 2δ


def test_hvp_of_a_linear_loss_is_zero() -> None:
    found = hvp(lambda w, batch: w["w"].sum(), {"w": torch.ones(2)}, None, {"w": torch.ones(2)})
    assert_close(found, {"w": torch.zeros(2)}, 0)


# ---------------------------------------------------------------- derivatives from outside


def cube(w, batch):
    return (w["w"] ** 3).sum()


def slopes_of(value: torch.Tensor, w) -> dict[str, torch.Tensor]:
    return dict(zip(w, torch.autograd.grad(value, tuple(w.values())), strict=True))


@pytest.mark.parametrize("steps", [1, 2])
def test_autograd_sees_the_steps_of_adapt(steps: int) -> None:
    """One step on w³ from w = 2 with α = 0.1 ends at 0.8, where d/dw is 3·0.64·(1 − 1.2)."""
    w = {"w": torch.tensor(2.0, dtype=torch.float64, requires_grad=True)}
    found = slopes_of(cube(adapt(cube, w, None, 0.1, steps), None), w)["w"].item()

    def end(v: float) -> float:
        for _ in range(steps):
            v -= 0.1 * 3 * v**2
        return v**3

    assert found == pytest.approx((end(2 + 1e-6) - end(2 - 1e-6)) / 2e-6, rel=1e-8)
    if steps == 1:
        assert found == pytest.approx(-0.384, rel=1e-12)


D, E, H = batches(3)
V = {n: torch.randn(v.shape, generator=seeded(8)).double() for n, v in W.items()}
FUNCTIONS = {
    "adapt, one step": lambda w: LOSS(adapt(LOSS, w, D, 0.4), E),
    "adapt, two steps": lambda w: LOSS(adapt(LOSS, w, D, 0.4, steps=2), E),
    "gradient": lambda w: dot(gradient(LOSS)(w, (D,)), V),
    "hvp": lambda w: dot(hvp(LOSS, w, D, V), V),
    "hvp along w": lambda w: dot(hvp(LOSS, W, D, w), V),
    "exact": lambda w: dot(maml_gradient(LOSS, 0.4)(w, (D, E, H)), V),
    "fo": lambda w: dot(maml_gradient(LOSS, 0.4, "fo")(w, (D, E)), V),
    "hf": lambda w: dot(maml_gradient(LOSS, 0.4, "hf", 0.05)(w, (D, E, H)), V),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_autograd_torch_func_and_finite_differences_agree(name: str) -> None:
    function = FUNCTIONS[name]
    leaves = {n: v.clone().requires_grad_() for n, v in W.items()}
    found = slopes_of(function(leaves), leaves)
    for k in range(3):
        v = {n: torch.randn(x.shape, generator=seeded(k)).double() for n, x in W.items()}
        ends = [float(function(axpy(side * 1e-5, v, W))) for side in (1, -1)]
        assert float(dot(found, v)) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)
    assert_close(found, torch.func.grad(function)(W), 1e-12)


def test_the_gradient_of_the_exact_gradient_is_the_hessian_of_what_is_adapted_for() -> None:
    """With D'' = D the exact oracle is ∇F, so its derivative along v is ∇²F v = hvp of F."""
    leaves = {n: v.clone().requires_grad_() for n, v in W.items()}
    found = slopes_of(dot(maml_gradient(LOSS, 0.4)(leaves, (D, E, D)), V), leaves)

    def F(w, batch):
        return LOSS(adapt(LOSS, w, D, 0.4), E)

    assert_close(found, hvp(F, W, None, V), 1e-12)


@pytest.mark.parametrize("kind", [tuple, list])  # a DataLoader's batches are lists
def test_autograd_sees_the_batch(kind: type) -> None:
    """A derivative in the data, as for finding the sample that moves a model most."""
    x, y = D
    seen = x.clone().requires_grad_()
    found = torch.autograd.grad(dot(gradient(LOSS)(W, (kind((seen, y)),)), V), seen)[0]
    expected = torch.func.grad(lambda x: dot(gradient(LOSS)(W, ((x, y),)), V))(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert float(found.abs().max()) > 1e-3


def test_what_the_loss_holds_is_followed_only_beside_w_or_the_batch() -> None:
    """As the docstrings say; here the loss is c w², whose gradient at w = 2 is 4 c."""
    c, one = torch.tensor(3.0, requires_grad=True), {"w": torch.tensor(1.0)}

    def loss(w, batch):
        return c * w["w"] ** 2

    for watched in (False, True):
        w = {"w": torch.tensor(2.0, requires_grad=watched)}
        ends = [gradient(loss)(w, (None,)), adapt(loss, w, None, 0.1), hvp(loss, w, None, one)]
        assert [end["w"].requires_grad for end in ends] == [watched] * 3
    assert [float(torch.autograd.grad(end["w"], c)[0]) for end in ends] == pytest.approx(
        [4.0, -0.4, 2.0]
    )


def test_who_asks_for_no_derivative_gets_no_graph() -> None:
    leaves = {n: v.clone().requires_grad_() for n, v in W.items()}
    with torch.no_grad():
        quiet = [gradient(LOSS)(leaves, (D,)), hvp(LOSS, leaves, D, V), adapt(LOSS, leaves, D, 0.4)]
    plain = [gradient(LOSS)(W, (D,)), hvp(LOSS, W, D, V), adapt(LOSS, W, D, 0.4)]
    loud = [
        gradient(LOSS)(leaves, (D,)), hvp(LOSS, leaves, D, V), adapt(LOSS, leaves, D, 0.4)
    ]  # fmt: skip
    for a, b, c in zip(quiet, plain, loud, strict=True):
        assert_close(a, b, 0)
        assert_close({n: v.detach() for n, v in c.items()}, b, 0)
        assert not any(v.requires_grad for v in (a | b).values())
    assert all(v.grad is None for v in leaves.values())


def test_the_default_delta_is_a_thousandth() -> None:
    """In ``maml_gradient``, as its docstring says; the error of "hf" tells one δ from another."""
    found = [maml_gradient(LOSS, 0.4, "hf", *more)(W, (D, E, H)) for more in ((), (1e-3,), (2e-3,))]
    assert_close(found[0], found[1], 0)
    assert gap(found[0], found[2]) > 1e-9


def test_the_default_delta_of_perfedavg_is_the_same() -> None:
    draws = tuple(torch.stack(parts)[None] for parts in zip(D, E, H, strict=True))
    found = [
        perfedavg(LOSS, alpha=0.4, beta=1.0, mode="hf", **more).client(W, draws)
        for more in ({}, {"delta": 1e-3}, {"delta": 2e-3})
    ]
    assert_close(found[0], found[1], 0)
    assert gap(found[0], found[2]) > 1e-9


# ---------------------------------------------------------------- many sines


def test_the_best_single_function_is_the_mean_of_all_sines() -> None:
    """Proposition 3.9: (2/π) E[A] cos x on a fine grid of phases, for another law of A and x."""
    phase = (torch.arange(4000, dtype=torch.float64) + 0.5) * math.pi / 4000
    size, share = torch.tensor([0.5, 3.0]).double(), torch.tensor([0.3, 0.7]).double()
    x = torch.linspace(-1, 2.5, 50, dtype=torch.float64)
    curves = size[:, None, None] * torch.sin(x + phase[:, None])  # [2 4000 50]
    mean = torch.einsum("a,apx->x", share, curves) / 4000
    mean_size, mean_square = share @ size, share @ size**2
    torch.testing.assert_close(mean, 2 / math.pi * mean_size * x.cos(), rtol=0, atol=1e-6)
    error = (torch.einsum("a,apx->x", share, (curves - mean) ** 2) / 4000).mean()
    formula = mean_square / 2 - 4 / math.pi**2 * mean_size**2 * (x.cos() ** 2).mean()
    assert float(error) == pytest.approx(float(formula), abs=1e-6)  # midpoint rule


# ---------------------------------------------------------------- adapt


@pytest.mark.parametrize("steps", [0, 1, 2, 30])
def test_adapting_on_a_quadratic_follows_the_power(steps: int) -> None:
    """Lemma 1.4 again: after s steps the gap is (I − αA)^s (w − w_i)."""
    A, centers, _ = random_quadratics(m=1, d=3, seed=2)
    start = torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64)
    found = adapt(quadratic_loss, {"w": start}, (A, centers), alpha=0.6, steps=steps)["w"]
    power = torch.linalg.matrix_power(torch.eye(3, dtype=torch.float64) - 0.6 * A[0], steps)
    torch.testing.assert_close(found, centers[0] + power @ (start - centers[0]), rtol=0, atol=1e-13)


def test_nothing_moves_w() -> None:
    D, E, H = batches(3)
    before = {name: value.clone() for name, value in W.items()}
    for mode in MODES:
        maml_gradient(LOSS, 0.4, mode)(W, (D, E, H))
    after = adapt(LOSS, W, D, alpha=0.5, steps=3)
    assert_close(W, before, 0)
    assert gap(after, before) > 0.1
    assert not any(value.requires_grad for value in after.values())


# ---------------------------------------------------------------- over clients, and errors


@pytest.mark.parametrize("mode", MODES)
def test_vmap_over_clients_is_the_loop(mode: str) -> None:
    every = [batches(3, seed=s) for s in range(4)]
    stacked = tuple(
        tuple(torch.stack([client[k][part] for client in every]) for part in range(2))
        for k in range(3)
    )
    oracle = maml_gradient(LOSS, 0.4, mode, delta=0.01)
    together = torch.func.vmap(oracle, in_dims=(None, 0))(W, stacked)
    for i, client in enumerate(every):
        own = {name: value[i] for name, value in together.items()}
        assert_close(own, oracle(W, client), 1e-11)  # a difference quotient over 0.02


@pytest.mark.parametrize("alpha", [-0.1, math.nan, math.inf, "0.1", None])
def test_a_step_that_is_no_step_is_refused(alpha: object) -> None:
    with pytest.raises(ValueError, match=r"alpha must be a (finite )?number.*, got"):
        maml_gradient(LOSS, alpha)
    with pytest.raises(ValueError, match=r"alpha must be a (finite )?number.*, got"):
        adapt(LOSS, W, None, alpha=alpha)


@pytest.mark.parametrize("delta", [0, -1e-3, math.nan, math.inf, "1e-3"])
def test_a_delta_that_cannot_divide_is_refused(delta: object) -> None:
    with pytest.raises(ValueError, match=r"delta must be a (positive finite )?number, got"):
        maml_gradient(LOSS, 0.1, "hf", delta)


def test_a_mode_is_one_of_three_and_steps_are_whole() -> None:
    with pytest.raises(ValueError, match=r"mode must be one of .*'exact', 'fo', 'hf'.*got 'FO'"):
        maml_gradient(LOSS, 0.1, "FO")
    with pytest.raises(ValueError, match=r"steps must be an integer of at least 0, got 1.5"):
        adapt(LOSS, W, None, alpha=0.1, steps=1.5)


@pytest.mark.parametrize(
    ("mode", "given", "wanted"),
    [("exact", 2, "3"), ("exact", 1, "3"), ("exact", 4, "3"), ("hf", 2, "3"), ("fo", 1, "2 or 3"),
     ("fo", 0, "2 or 3")],
)  # fmt: skip
def test_a_wrong_number_of_batches_is_named(mode: str, given: int, wanted: str) -> None:
    names = {"3": "(D, D′, D″)", "2 or 3": "(D, D′) or (D, D′, D″)"}[wanted]
    message = rf'draws must be the batches {re.escape(names)}.*mode "{mode}", got {given}; draw'
    with pytest.raises(ValueError, match=message):
        maml_gradient(LOSS, 0.1, mode)(W, batches(given))
