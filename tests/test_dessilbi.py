"""Each result of the chapter on DessiLBI, on problems that the chapter did not choose."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from toy_clients import seeded

from fedlearn_lib import L1, GroupL2, SplitLBI, record_path, split_lbi_path
from fedlearn_lib.sparse.optim import shrink

seeds = st.integers(0, 10_000)


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def run(w: nn.Parameter, optimizer: SplitLBI, slopes) -> list[tuple[Tensor, Tensor]]:
    """Step through gradients (given, or functions of w) and return all (W, V) from W_0 on."""
    trail = [(w.detach().clone(), torch.zeros_like(w))]
    for slope in slopes:
        w.grad = slope(w.detach()) if callable(slope) else slope
        optimizer.step()
        trail.append((w.detach().clone(), optimizer.state[w]["dual"].clone()))
    return trail


@settings(deadline=None)
@given(seeds, st.floats(0.1, 5.0))
def test_one_copy_for_each_dual_variable(seed: int, kappa: float) -> None:
    """Proposition 11.2: V − Γ/κ is a subgradient of Ω at Γ = κ Prox(V), and at no other point."""
    v, other = draw(4, 3, seed=seed, scale=2), draw(4, 3, seed=seed + 1)
    for penalty, name in ((L1(), "l1"), (GroupL2(), "group")):
        gamma = kappa * shrink(v, name)
        assert float(penalty.residual(gamma, v - gamma / kappa)) < 1e-12
        wrong = gamma + other
        assert float(penalty.residual(wrong, v - wrong / kappa)) > 1e-3


def test_eulers_error_halves_with_the_step() -> None:
    """Proposition 11.2: the error at a fixed time is proportional to α (ratios near 2)."""
    m = draw(6, 6, seed=5)
    A, b, w0 = m @ m.T / 6, draw(6, seed=6), draw(6, seed=7)

    def end(steps: int) -> Tensor:
        w = nn.Parameter(w0.clone())
        optimizer = SplitLBI([w], 4.0 / steps, kappa=1.5, nu=0.8)
        return torch.cat(run(w, optimizer, [lambda x: A @ x - b] * steps)[-1])

    exact = end(64_000)
    errors = [float((end(steps) - exact).norm()) for steps in (500, 1000, 2000)]
    assert errors[0] > 1e-4  # there is an error to halve
    for coarse, fine in pairwise(errors):
        assert 1.8 < coarse / fine < 2.3


@settings(deadline=None)
@given(seeds, st.floats(0.1, 3.0), st.sampled_from([0.0, 0.7]))
def test_without_a_penalty_the_step_is_that_of_sgd(seed, kappa, momentum) -> None:
    """Proposition 11.4: with penalty=None the buffers and steps are those of SGD."""
    ours, theirs = (nn.Parameter(draw(5, seed=seed)) for _ in range(2))
    one = SplitLBI([ours], 0.2, kappa=kappa, penalty=None, momentum=momentum, weight_decay=0.3)
    two = torch.optim.SGD([theirs], lr=0.2 * kappa, momentum=momentum, weight_decay=0.3)
    for k in range(6):
        ours.grad = draw(5, seed=seed + k)
        theirs.grad = ours.grad.clone()
        one.step()
        two.step()
    assert float((ours - theirs).detach().abs().max()) < 1e-12


@settings(deadline=None)
@given(seeds, st.sampled_from(["l1", "group"]), st.floats(0.2, 4.0), st.floats(0.3, 9.0))
def test_a_step_conserves_the_weights_and_what_they_paid(seed, penalty, kappa, nu) -> None:
    """Lemma 11.5: W + κV is W_0 minus κ Σ α G, for changing steps and random gradients."""
    w = nn.Parameter(draw(4, 3, seed=seed, scale=3))
    optimizer = SplitLBI([w], 0.1, kappa=kappa, nu=nu, penalty=penalty)
    sum_ = w.detach().clone()
    for k in range(8):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 + k % 3)
        w.grad = draw(4, 3, seed=seed + k)
        sum_ -= kappa * optimizer.param_groups[0]["lr"] * w.grad
        optimizer.step()
        found = w.detach() + kappa * optimizer.state[w]["dual"]
        assert float((found - sum_).abs().max()) < 1e-11


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("form", ["coupled", "loss"])
@settings(deadline=None, max_examples=25)
@given(seeds, st.floats(0.3, 5.0), st.floats(0.02, 0.3))
def test_a_held_filter_enters_at_the_predicted_step(form, scaled, seed, nu, alpha) -> None:
    """Proposition 11.6, 1: step floor(ων/(αc)) + 1, and not before, in either momentum form."""
    held = draw(3, 4, seed=seed, scale=1.5)
    w = nn.Parameter(held.clone())
    optimizer = SplitLBI(
        [w], alpha, nu=nu, penalty="group", scaled=scaled, momentum=0.8, momentum_on=form,
        weight_decay=0.1,
    )  # fmt: skip
    omega = 2.0 if scaled else 1.0
    predicted = [math.floor(omega * nu / (alpha * c)) + 1 for c in held.norm(dim=1).tolist()]
    found = [0] * 3
    for k in range(1, min(max(predicted), 400) + 2):
        w.grad = torch.zeros_like(w)
        optimizer.step()
        w.data.copy_(held)
        for g in range(3):
            if not found[g] and bool(optimizer.support(w)[g, 0]):
                found[g] = k
    for g in range(3):
        assert found[g] == predicted[g] or (predicted[g] > 400 and not found[g])


def test_a_whole_number_of_steps_ends_exactly_at_the_threshold() -> None:
    """Proposition 11.6, 1: with ν/(αc) = 8 the copy is still zero at step 8."""
    w = nn.Parameter(torch.tensor([[2.0, 0.0]]))
    optimizer = SplitLBI([w], 0.25, nu=4.0, penalty="group")
    seen = []
    for _ in range(9):
        w.grad = torch.zeros_like(w)
        optimizer.step()
        w.data.copy_(torch.tensor([[2.0, 0.0]]))
        seen.append(bool(optimizer.support(w).any()))
    assert seen == [False] * 8 + [True]


@settings(deadline=None)
@given(seeds, st.sampled_from(["coupled", "loss"]))
def test_nothing_enters_before_its_norms_add_up(seed, form) -> None:
    """Proposition 11.6, 2: zero while Σ α ‖W‖ ≤ ν, whatever gradients and momentum do."""
    w = nn.Parameter(draw(3, 4, seed=seed, scale=1.5))
    optimizer = SplitLBI([w], 0.2, nu=1.0, penalty="group", momentum=0.5, momentum_on=form)
    total, outside = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.bool)
    for k in range(12):
        total += 0.2 * w.detach().norm(dim=1)
        w.grad = draw(3, 4, seed=seed + k)
        optimizer.step()
        outside &= total <= 1.0 - 1e-12
        assert not optimizer.support(w)[outside].any()
    assert not outside.all()  # the claim was about something


@pytest.mark.parametrize(("form", "momentum"), [("coupled", 0.0), ("loss", 0.9), ("coupled", 0.6)])
@settings(deadline=None, max_examples=10)
@given(seeds, st.floats(0.3, 2.0))
def test_by_decay_alone_a_filter_enters_if_its_norm_exceeds_the_threshold(
    form, momentum, seed, kappa
) -> None:
    """Proposition 11.7: the limit of V is W_0/κ, in the coupled form (1 − μ) W_0/κ."""
    nu = 10.0 * kappa
    alpha = 0.4  # c = κα/ν = 0.04 ≤ (1 − √0.6)² = 0.0508
    reach = (1 - momentum) / kappa if form == "coupled" else 1 / kappa
    directions = nn.functional.normalize(draw(4, 5, seed=seed), dim=1)
    norms = torch.tensor([0.3, 0.98, 1.02, 3.0], dtype=torch.float64) / reach
    w = nn.Parameter(directions * norms[:, None])
    optimizer = SplitLBI(
        [w], alpha, kappa=kappa, nu=nu, penalty="group", momentum=momentum, momentum_on=form
    )
    start, before = w.detach().clone(), torch.zeros(4, dtype=torch.float64)
    entered = torch.zeros(4, dtype=torch.bool)
    for k in range(1, 1501):
        w.grad = torch.zeros_like(w)
        optimizer.step()
        entered |= optimizer.support(w)[:, 0]
        v = optimizer.state[w]["dual"].norm(dim=1)
        assert bool((v >= before - 1e-12)[:2].all())  # it grows
        before = v
        if form == "loss" or not momentum:
            q = 1 - (1 - 0.04) ** k
            expected = q * start[0] / kappa
            assert float((optimizer.state[w]["dual"][0] - expected).abs().max()) < 1e-12
    assert entered.tolist() == [False, False, True, True]
    limit = reach * start[:2]
    assert float((optimizer.state[w]["dual"][:2] - limit).abs().max()) < 1e-9
    assert float(w.detach()[:2].abs().max()) < 1e-9


@settings(deadline=None, max_examples=15)
@given(seeds, st.floats(0.0, 0.9), st.floats(5.0, 30.0))
def test_the_loss_form_rests_where_the_coupled_form_with_a_larger_nu_rests(
    seed, momentum, nu
) -> None:
    """Proposition 11.8: same rest points with ν and ν/(1 − μ), V faster by 1/(1 − μ)."""
    G = draw(3, seed=seed)
    ends, speeds = [], []
    for form, spring in (("loss", nu), ("coupled", nu / (1 - momentum))):
        w = nn.Parameter(draw(3, seed=seed + 1))
        optimizer = SplitLBI([w], 1.0, kappa=2.0, nu=spring, momentum=momentum, momentum_on=form)
        for _ in range(4000):
            w.grad = G.clone()
            optimizer.step()
            moved = optimizer.state[w]["dual"].clone()
            optimizer.state[w]["dual"].zero_()  # the copy is held at zero
        ends.append(w.detach().clone())
        speeds.append(moved)
    expected = -nu / (1 - momentum) * G
    for end in ends:
        assert float((end - expected).abs().max()) < 1e-7 * nu / (1 - momentum)
    ratio = (1 / (1 - momentum)) * speeds[1]
    assert float((speeds[0] - ratio).abs().max()) < 1e-7 / (1 - momentum)


@settings(deadline=None)
@given(seeds, st.floats(0.1, 5.0))
def test_projecting_costs_what_the_spring_still_holds(seed, nu) -> None:
    """Proposition 11.9: nearest point, and the rise of the loss within ½ Lip ‖W outside‖²."""
    m = draw(5, 5, seed=seed)
    A, goal = m @ m.T, draw(5, seed=seed + 1)
    gamma = draw(5, seed=seed + 2) * (torch.arange(5) < 3)
    w = torch.linalg.solve(A + torch.eye(5).double() / nu, A @ goal + gamma / nu)

    def risk(x: Tensor) -> float:
        return float(0.5 * (x - goal) @ A @ (x - goal))

    inside = gamma != 0
    outside = float((w * ~inside).square().sum())
    rise = risk(w * inside) - risk(w)
    lip = float(torch.linalg.eigvalsh(A)[-1])
    assert abs(rise - outside / nu) <= lip / 2 * outside + 1e-9
    other = draw(5, seed=seed + 3) * inside
    assert float((w - w * inside).norm()) <= float((w - other).norm())


@settings(deadline=None)
@given(seeds, st.sampled_from(["l1", "group"]), st.booleans())
def test_every_critical_point_is_at_rest_with_some_dual_variable(seed, penalty, sparse) -> None:
    """Proposition 11.10: V = W/κ + ξ holds W, sparse or not; no other gradient does."""
    kappa = 1.3
    goal = draw(4, 3, seed=seed, scale=2)
    if sparse:
        goal[::2] = 0.0
    rows = goal.norm(dim=1, keepdim=True)
    xi = goal.sign() if penalty == "l1" else torch.where(rows > 0, goal / rows.clamp(min=1e-9), 0)
    w = nn.Parameter(goal.clone())
    optimizer = SplitLBI([w], 0.1, kappa=kappa, nu=2.0, penalty=penalty)
    w.grad = torch.zeros_like(w)
    optimizer.step()  # makes the state
    with torch.no_grad():
        w.copy_(goal)
        optimizer.state[w]["dual"].copy_(goal / kappa + xi)
    for _ in range(3):
        w.grad = w.detach() - goal
        optimizer.step()
    assert float((w.detach() - goal).abs().max()) < 1e-12
    assert float((optimizer.gamma(w) - goal).abs().max()) < 1e-12
    w.grad = torch.ones_like(w)
    optimizer.step()
    assert float((w.detach() - goal).abs().max()) > 0.01


@settings(deadline=None, max_examples=20)
@given(seeds, st.sampled_from(["l1", "group"]))
def test_the_optimizer_walks_the_path_of_the_split_chapter(seed, penalty) -> None:
    """Algorithm 11.3: SplitLBI on a parameter is `split_lbi_path` on its loss, step by step."""
    X, y = draw(20, 12, seed=seed), draw(20, seed=seed + 1, scale=2)

    def loss(w: Tensor) -> Tensor:
        return 0.5 * (X @ w.flatten() - y).square().mean()

    w0, common = draw(4, 3, seed=seed + 2, scale=9), dict(kappa=2.0, nu=0.7, lr=0.05)
    path = split_lbi_path(
        loss, w0, L1() if penalty == "l1" else GroupL2(), steps=60, every=20, **common
    )
    w = nn.Parameter(w0.clone())
    optimizer = SplitLBI([("w", w)], penalty=penalty, **common)
    recorder = record_path(optimizer, every=20)
    for _ in range(60):
        optimizer.zero_grad()
        loss(w).backward()
        optimizer.step()
    found = recorder.path()
    assert float((found.t - path.t[1:]).abs().max()) < 1e-12  # it also records the start
    for ours, theirs in ((found.w["w"], path.w), (found.gamma["w"], path.gamma)):
        assert float((ours - theirs[1:]).abs().max()) < 1e-10
    assert bool((path.gamma != 0).any())
