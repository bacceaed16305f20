"""Penalties keep their definitions: the prox solves its problem, residuals know subgradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_clients import seeded

from fedlearn_lib import L1, GroupL2, Path

WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.1], dtype=torch.float64)
PENALTIES = [L1(), L1(0.3), GroupL2(), GroupL2(0.7), GroupL2(0.7, WEIGHTS)]
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
    ("penalty", "x", "message"),
    [
        (GroupL2(), torch.ones(3), r"two or more dimensions.*\(3,\)"),
        (GroupL2(1.0, torch.ones(2)), torch.ones(3, 2), "3 positive numbers"),
        (GroupL2(1.0, torch.tensor([1.0, 0.0])), torch.ones(2, 2), "2 positive numbers"),
    ],
)
def test_what_does_not_fit_is_refused(penalty, x, message) -> None:
    with pytest.raises(ValueError, match=message):
        penalty.prox(x)


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
