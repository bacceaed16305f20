"""Arithmetic on parameters."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_clients import assert_close, seeded

from fedlearn_lib import axpy, dot, norm, weighted_mean

finite = st.floats(-1e3, 1e3, allow_nan=False)


def tree(seed: int) -> dict[str, torch.Tensor]:
    g = seeded(seed)
    return {
        "a": torch.randn(2, 3, generator=g, dtype=torch.float64),
        "b": torch.randn(4, generator=g, dtype=torch.float64),
    }


def flat(x: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([x["a"].flatten(), x["b"]])


def test_trees_are_long_vectors() -> None:
    x, y = tree(0), tree(1)
    torch.testing.assert_close(flat(axpy(-0.7, x, y)), -0.7 * flat(x) + flat(y))
    torch.testing.assert_close(flat(axpy(torch.tensor(-0.7).double(), x, y)),
                               torch.tensor(-0.7).double() * flat(x) + flat(y))  # fmt: skip
    torch.testing.assert_close(dot(x, y), flat(x) @ flat(y))
    torch.testing.assert_close(norm(x), flat(x).norm())


def test_a_step_size_may_be_mapped_over_and_differentiated() -> None:
    """A tensor a is part of the formula: many steps at once, or the best of them by descent."""
    x, y, v, steps = tree(0), tree(1), tree(2), torch.tensor([-0.7, 0.0, 2.0]).double()
    found = torch.func.vmap(axpy, in_dims=(0, None, None))(steps, x, y)
    for k, a in enumerate(steps.tolist()):
        assert_close({n: value[k] for n, value in found.items()}, axpy(a, x, y), 1e-15)
    slope = torch.func.grad(lambda a: dot(axpy(a, x, y), v))(steps[0])
    torch.testing.assert_close(slope, dot(x, v))
    leaf = steps[0].clone().requires_grad_()
    (slope,) = torch.autograd.grad(dot(axpy(leaf, x, y), v), leaf)
    torch.testing.assert_close(slope, dot(x, v))


@given(st.data(), st.integers(1, 6))
def test_weighted_mean_is_the_sum_and_lies_between_min_and_max(data, m: int) -> None:
    rows = data.draw(st.lists(st.lists(finite, min_size=3, max_size=3), min_size=m, max_size=m))
    raw = data.draw(st.lists(st.floats(0, 1), min_size=m, max_size=m).filter(lambda p: sum(p) > 0))
    x = torch.tensor(rows, dtype=torch.float64)
    p = torch.tensor(raw, dtype=torch.float64)
    p = p / p.sum()
    mean = weighted_mean({"w": x}, p)["w"]
    torch.testing.assert_close(mean, (p[:, None] * x).sum(0), rtol=1e-12, atol=1e-9)
    assert bool((mean >= x.min(0).values - 1e-9).all())
    assert bool((mean <= x.max(0).values + 1e-9).all())


def test_weighted_mean_keeps_the_dtype_of_the_messages() -> None:
    p = torch.tensor([0.25, 0.75], dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        assert weighted_mean({"w": torch.ones(2, 3, 4, dtype=dtype)}, p)["w"].dtype == dtype


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.5, 0.6], "sum 1.1"),
        ([1.5, -0.5], r"\[1.5, -0.5\]"),
        ([float("nan"), 1.0], "nan"),
        ([[0.5, 0.5]], "divide it by its sum"),
    ],
)
def test_weights_that_are_no_weights(p, message: str) -> None:
    with pytest.raises(ValueError, match=f"p must be.*{message}"):
        weighted_mean({"w": torch.ones(2, 1)}, torch.tensor(p))


@pytest.mark.parametrize("leaf", [torch.ones(3, 1), torch.tensor(1.0), torch.ones(2, 1).long()])
def test_messages_that_do_not_fit_the_weights(leaf: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"leaf of messages.*got.*w.*stack"):
        weighted_mean({"w": leaf}, torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("y", [{"a": torch.ones(1)}, {"b": torch.ones(2)}, {}])
@pytest.mark.parametrize("operation", [dot, lambda x, y: axpy(1.0, x, y)])
def test_trees_of_different_models_do_not_broadcast(operation, y) -> None:
    with pytest.raises(ValueError, match=r"x and y must have the same names and shapes.*\(2,\)"):
        operation({"a": torch.ones(2)}, y)
