"""Penalties keep their definitions: the prox solves its problem, residuals know subgradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_clients import seeded

from fedlearn_lib import L1, GroupL2, Path
from fedlearn_lib.sparse.penalties import group_threshold, soft_threshold

WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.1], dtype=torch.float64)
ENTRIES = torch.tensor([[0.5, 2.0, 1.0]] * 3 + [[0.1, 0.2, 3.0]], dtype=torch.float64)
PENALTIES = [L1(), L1(0.3), L1(0.7, ENTRIES), GroupL2(), GroupL2(0.7), GroupL2(0.7, WEIGHTS)]
matrices = st.integers(0, 10_000).map(
    lambda seed: 3 * torch.randn(4, 3, generator=seeded(seed), dtype=torch.float64)
)
steps = st.floats(0.05, 3.0)


@pytest.mark.parametrize("penalty", PENALTIES)
@given(matrices, matrices, steps)
def test_the_prox_is_firmly_non_expansive(penalty, x, y, step) -> None:
    px, py = penalty.prox(x, step), penalty.prox(y, step)
    assert float(((px - py) ** 2).sum()) <= float(((px - py) * (x - y)).sum()) + 1e-12


@pytest.mark.parametrize("penalty", PENALTIES)
@given(matrices, matrices, steps)
def test_nothing_near_the_prox_has_a_smaller_objective(penalty, x, direction, step) -> None:
    def objective(z):
        return float(0.5 * ((z - x) ** 2).sum() + step * penalty.value(z))

    z = penalty.prox(x, step)
    for size in (1e-3, 0.1, 1.0):
        assert objective(z + size * direction) >= objective(z) + 0.49 * size**2 * float(
            (direction**2).sum()  # the objective is strongly convex with constant one
        )


@pytest.mark.parametrize("penalty", PENALTIES)
@given(matrices, steps)
def test_what_the_prox_takes_away_is_a_subgradient_there(penalty, x, step) -> None:
    """Moreau: x = prox(x) + s v with v in the subdifferential at prox(x)."""
    z = penalty.prox(x, step)
    assert float(penalty.residual(z, (x - z) / step)) < 1e-12
    assert float(penalty.residual(z, (x - z) / step + 2.5 * penalty.scale)) > 0.1 * penalty.scale
    if bool(penalty.support(z).any()):  # zero is a subgradient at zero only
        assert float(penalty.residual(z, torch.zeros_like(z))) >= 0.1 * penalty.scale - 1e-12


@pytest.mark.parametrize("penalty", PENALTIES)
def test_value_and_subgradient_agree_with_autograd(penalty) -> None:
    x = torch.randn(4, 3, generator=seeded(1), dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(penalty.value(x), x)
    assert float(penalty.residual(x.detach(), slope)) < 1e-12
    assert bool(penalty.support(x.detach()).all())


def test_supports_have_the_shape_of_the_tensor() -> None:
    x = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    assert L1().support(x).tolist() == [[False, True], [False, False]]
    assert GroupL2().support(x).tolist() == [[True, True], [False, False]]
    assert GroupL2().support(torch.ones(3, 2, 5, 5)).shape == (3, 2, 5, 5)


@pytest.mark.parametrize(
    ("prox", "message"),
    [
        (lambda: GroupL2().prox(torch.ones(3)), r"x must have two or more dimensions.*\(3,\)"),
        (lambda: GroupL2().residual(torch.ones(2, 2), torch.ones(2)), r"v must have two.*\(2,\)"),
        (lambda: GroupL2(1.0, torch.ones(2)).prox(torch.ones(3, 2)), r"a group of x.*\(3,\)"),
        (lambda: GroupL2(1.0, torch.tensor([1.0, 0.0])), r"weights .*positive .*\[1.0, 0.0\]"),
        (lambda: GroupL2(math.nan), "scale must be a number, got nan"),
        (lambda: L1(1.0, torch.ones(2)).prox(torch.ones(3)), r"an entry of x.*shape \(3,\)"),
        (lambda: L1(1.0, torch.tensor([1.0, -1.0])), r"weights .*non-negative.*\[1.0, -1.0\]"),
        (lambda: L1(1.0, torch.tensor([1.0, math.nan])), r"weights must be finite.*\[1.0, nan\]"),
        (lambda: L1(scale=-1.0), "scale must be a finite number of at least 0, got -1.0"),
        (lambda: L1().prox(None), "x must be a dense tensor, got None"),
        (lambda: L1().residual(torch.ones(2), torch.ones(3)), "x and v do not fit together"),
    ],
)
def test_what_does_not_fit_is_refused(prox, message) -> None:
    with pytest.raises(ValueError, match=message):
        prox()


def test_an_entry_without_weight_is_free() -> None:
    """By hand: only the first entry is penalized, whatever the others are."""
    penalty, x = L1(2.0, torch.tensor([1.0, 0.0])), torch.tensor([3.0, -5.0])
    assert penalty.value(x).item() == 6.0
    assert penalty.prox(x).tolist() == [1.0, -5.0]
    assert penalty.residual(x, torch.tensor([2.0, 0.0])).item() == 0.0
    assert penalty.residual(x, torch.tensor([2.0, 3.0])).item() == 3.0


def test_the_two_thresholds_are_their_case_distinctions() -> None:
    x = 3 * torch.randn(50, 4, generator=seeded(3), dtype=torch.float64)
    x[7] = 0
    by_hand = [[v - 1 if v > 1 else v + 1 if v < -1 else 0.0 for v in row] for row in x.tolist()]
    assert soft_threshold(x, 1.0).tolist() == by_hand
    assert soft_threshold(x.numpy(), 1.0).tolist() == by_hand  # an array as well as a tensor
    assert soft_threshold(x, 0 * x).tolist() == x.tolist()
    for row, short in zip(x, group_threshold(x, 1.0), strict=True):
        norm = float(row.norm())
        wanted = (norm - 1) / norm * row if norm > 1 else 0 * row
        assert float((short - wanted).abs().max()) < 1e-14
    assert group_threshold(x, 0.0).tolist() == x.tolist()  # a zero row too


def test_a_path_is_zero_before_its_first_knot_and_constant_between_knots() -> None:
    w = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, -2.0], [0.0, 0.0, -3.0]])
    path = Path(torch.tensor([0.5, 1.0, 4.0]), w, w)
    assert path.at(0.49).tolist() == [0.0, 0.0, 0.0]
    assert path.at(0.5).tolist() == path.at(0.99).tolist() == [1.0, 0.0, 0.0]
    assert path.at(100.0).tolist() == [0.0, 0.0, -3.0]
    assert path.entry_times().tolist() == [0.5, float("inf"), 1.0]
    named = Path(path.t, {"a": w + 1}, {"a": w})
    assert named.at(1.0)["a"].tolist() == [2.0, 1.0, -1.0]
    assert named.at(1.0, of="gamma")["a"].tolist() == [1.0, 0.0, -2.0]
    assert named.entry_times()["a"].tolist() == [0.5, float("inf"), 1.0]
