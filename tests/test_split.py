"""Split LBI: the recursion by hand, its limits, structure through D, and what it refuses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_clients import seeded

import fedlearn_lib as fl
from fedlearn_lib import theory
from fedlearn_lib.sparse import SplitState, split_step

SETTING = {"kappa": 5.0, "nu": 2.0, "lr": 0.012, "steps": 300}


def problem(n: int = 12, p: int = 5, q: int = 7, seed: int = 0):
    """A random linear model with a random D, in float64."""
    g = torch.Generator().manual_seed(seed)
    X, y, D = (torch.randn(*shape, generator=g).double() for shape in ((n, p), (n,), (q, p)))
    return X, X.sum(1) + 3 * y, D


def half_mean_square(X: torch.Tensor, y: torch.Tensor):
    return lambda w: 0.5 * (y - X @ w).square().mean()


def by_hand(X, y, D, *, kappa: float, nu: float, lr: float, steps: int):
    """The recursion in NumPy, written from the displayed formula; old iterates on the right."""
    X, y, D = X.numpy(), y.numpy(), D.numpy()
    beta, z, gamma = np.zeros(X.shape[1]), np.zeros(len(D)), np.zeros(len(D))
    betas, gammas = [beta], [gamma]
    for _ in range(steps):
        slope = X.T @ (X @ beta - y) / len(y)
        pull = D @ beta - gamma
        beta, z = (
            beta - kappa * lr * (slope + D.T @ pull / nu),
            z + lr * pull / nu,
        )
        gamma = kappa * np.sign(z) * np.maximum(np.abs(z) - 1, 0)
        betas.append(beta)
        gammas.append(gamma)
    return np.array(betas), np.array(gammas)


@pytest.mark.parametrize("seed", range(3))
def test_the_path_is_the_recursion_by_hand(seed: int) -> None:
    """Algorithm 10.2: both updates use the old iterates; a new one moves the path by far more."""
    X, y, D = problem(seed=seed)
    path = fl.split_lbi_path(
        half_mean_square(X, y), torch.zeros(5).double(), fl.L1(), D=D, **SETTING
    )
    betas, gammas = by_hand(X, y, D, **SETTING)
    assert (gammas[-1] != 0).any()
    np.testing.assert_allclose(path.w.numpy(), betas, rtol=0, atol=1e-10)  # rounding
    np.testing.assert_allclose(path.gamma.numpy(), gammas, rtol=0, atol=1e-10)
    assert path.t.tolist() == pytest.approx([0.012 * k for k in range(301)], abs=1e-12)


def test_sparse_D_closed_gradient_and_a_batch_of_problems_change_nothing() -> None:
    X, y, D = problem()
    G, c, loss = X.T @ X / len(y), X.T @ y / len(y), half_mean_square(X, y)
    start = torch.zeros(5).double()
    path = fl.split_lbi_path(loss, start, fl.L1(), D=D, **SETTING)
    again = fl.split_lbi_path(
        loss, start, fl.L1(), D=D.to_sparse(), gradient=lambda w: G @ w - c, **SETTING
    )
    both = fl.split_lbi_path(
        lambda w: loss(w[0]) + loss(w[1]), torch.stack([start, start + 1]), fl.L1(), D=D, **SETTING
    )
    for other in (again.gamma, both.gamma[:, 0]):
        torch.testing.assert_close(other, path.gamma, rtol=0, atol=1e-10)
    assert (both.gamma[-1, 1] - path.gamma[-1]).abs().max() > 1e-6  # another start, another path


def test_a_dictionary_splits_each_leaf_by_its_own_penalty() -> None:
    """A group penalty, an L1 and no split at all; the leaves meet only in the loss."""
    g = torch.Generator().manual_seed(1)
    x, noise = torch.randn(30, 4, generator=g).double(), torch.randn(30, generator=g).double()
    y = 3 * torch.tanh(x[:, 0] + x[:, 1]) + 0.1 * noise

    def loss(w: dict[str, torch.Tensor]) -> torch.Tensor:
        return 0.5 * (torch.tanh(x @ w["a"].T) @ w["b"] + w["c"] - y).square().mean()

    w0 = {"a": torch.randn(3, 4, generator=g).double(), "b": torch.ones(3).double()}
    w0["c"] = torch.zeros(1).double()
    kinds = {"a": fl.GroupL2(), "b": fl.L1(0.5), "c": None}
    path = fl.split_lbi_path(loss, w0, kinds, kappa=2.0, nu=3.0, lr=0.05, steps=300)
    w, v = dict(w0), {k: torch.zeros_like(x) for k, x in w0.items()}
    gamma = {k: torch.zeros_like(x) for k, x in w0.items()}
    for _ in range(300):
        slope = torch.func.grad(loss)(w)
        gap = {k: (w[k] - gamma[k]) / 3 for k in ("a", "b")}
        w = {k: w[k] - 0.1 * (slope[k] + gap.get(k, 0)) for k in w}
        v = {k: v[k] + 0.05 * gap.get(k, 0) for k in v}
        gamma = {k: 2 * kinds[k].prox(v[k]) for k in ("a", "b")}
    for name in ("a", "b"):
        torch.testing.assert_close(path.gamma[name][-1], gamma[name], rtol=0, atol=1e-11)
    torch.testing.assert_close(path.w["c"][-1], w["c"], rtol=0, atol=1e-11)
    assert torch.equal(path.gamma["c"], path.w["c"])
    rows = path.gamma["a"][-1].norm(dim=1)
    assert path.gamma["b"][-1].any()
    assert ((path.gamma["a"] != 0).sum(2) % 4 == 0).all()  # whole rows enter
    assert (rows > 0).any()


def test_one_step_moves_weights_and_dual_from_the_old_state() -> None:
    """A hand-computed step at which old and new iterates give different numbers."""
    state = SplitState(*(torch.tensor([v]).double() for v in (3.0, 1.5, 1.0)))
    new = split_step(state, torch.tensor([4.0]).double(), fl.L1(), kappa=2.0, nu=4.0, lr=0.5)
    # gap (3-1)/4 = 1/2; w = 3 - 2·½·(4+½) = -1.5; v = 1.5 + ½·½ = 1.75; gamma = 2·(1.75-1) = 1.5
    assert [x.item() for x in new] == [-1.5, 1.75, 1.5]


def test_a_loose_coupling_lets_the_dense_weights_fit_alone() -> None:
    """ν → ∞: W is gradient descent with the step κα, because the pull of Γ is divided by ν."""
    X, y, _ = problem()
    loss = half_mean_square(X, y)
    path = fl.split_lbi_path(
        loss, torch.zeros(5).double(), fl.L1(), kappa=5.0, nu=1e9, lr=0.02, steps=50
    )
    w = torch.zeros(5).double()
    for _ in range(50):
        w = w - 0.1 * torch.func.grad(loss)(w)
    torch.testing.assert_close(path.w[-1], w, rtol=0, atol=1e-7)  # the pull is 1e-9 times |w|
    assert not path.gamma.any()


def test_recording_every_few_steps_keeps_the_start_and_the_end() -> None:
    X, y, D = problem()
    given = (half_mean_square(X, y), torch.zeros(5).double(), fl.L1())
    full = fl.split_lbi_path(*given, D=D, **SETTING)
    thin = fl.split_lbi_path(*given, D=D, every=30, **SETTING)
    steps = [0, 30, 60, 90, 120, 150, 180, 210, 240, 270, 300]
    assert thin.t.tolist() == [k * SETTING["lr"] for k in steps]
    assert torch.equal(thin.gamma, full.gamma[steps])
    assert torch.equal(thin.w, full.w[steps])


def test_nothing_given_is_changed() -> None:
    X, y, D = problem()
    start = torch.ones(5).double()
    before = [v.clone() for v in (X, y, D, start)]
    fl.split_lbi_path(half_mean_square(X, y), start, fl.L1(), D=D, **SETTING)
    assert all(torch.equal(a, b) for a, b in zip(before, (X, y, D, start), strict=True))


OK: dict[str, Any] = {
    "w0": torch.zeros(3),
    "penalty": fl.L1(),
    "kappa": 1.0,
    "nu": 1.0,
    "lr": 0.1,
    "steps": 1,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kappa": 0.0}, "kappa must be a positive finite number"),
        ({"nu": -1.0}, "nu must be a positive finite number"),
        ({"lr": float("nan")}, "lr must be a number, got nan"),
        ({"steps": 0}, "steps must be an integer"),
        ({"every": 1.5}, "every must be an integer"),
        ({"w0": torch.zeros(3, dtype=torch.long)}, "w0 must be a dense tensor of floats"),
        ({"w0": {}}, "w0 must be a dense tensor of floats"),
        ({"w0": {"a": [1.0]}}, "w0 must be a dense tensor of floats"),
        ({"D": torch.zeros(2, 4)}, r"D must be a matrix \[q p\]"),
        ({"w0": torch.tensor([0.0, 0.0, torch.nan])}, "w0 must be finite, got 1"),
        ({"loss": None}, "loss and gradient must not both be None"),
        ({"gradient": 0.5}, "gradient must be a function, or None, got 0.5"),
        ({"gradient": lambda w: w[:2]}, r"gradient must return a tensor of shape \[3\], got \[2\]"),
        ({"w0": {"a": torch.zeros(3)}, "D": torch.eye(3)}, r"D must be a matrix \[q p\]"),
        ({"w0": {"a": torch.zeros(3)}, "penalty": {"b": fl.L1()}}, "must be the same"),
        ({"penalty": fl.GroupL2()}, "one group a row"),
    ],
)
def test_what_cannot_be_split_is_refused_before_any_work(change: dict, words: str) -> None:
    def loss(w):
        raise AssertionError("the loss was called")

    with pytest.raises(ValueError, match=words):
        fl.split_lbi_path(**{"loss": loss, **OK, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": SplitState(torch.ones(3), torch.ones(3), -1)}, "state must be a SplitState"),
        ({"slope": torch.ones(2)}, "state and slope .* do not fit together"),
        ({"slope": torch.ones(1, 3)}, "do not fit together: w and slope must have one shape"),
        ({"D": torch.ones(2, 4)}, "and D do not fit together"),
        ({"penalty": None}, "penalty must have a prox, got None"),
        ({"lr": "0.1"}, "lr must be a number"),
    ],
)
def test_a_step_says_what_does_not_fit(change: dict, words: str) -> None:
    parts = SplitState(torch.ones(3), torch.zeros(3), torch.zeros(3))
    good = {"state": parts, "slope": torch.ones(3), "penalty": fl.L1()}
    with pytest.raises(ValueError, match=words):
        split_step(**(good | {"kappa": 1.0, "nu": 1.0, "lr": 0.1} | change))


def test_an_error_of_a_penalty_or_a_gradient_comes_out_as_it_is() -> None:
    class Own(NamedTuple):
        value = support = residual = fl.L1.value

        def prox(self, x: Tensor, step: float = 1.0) -> Tensor:
            raise KeyError("mine")

    parts = SplitState(torch.ones(3), torch.zeros(3), torch.zeros(3))
    with pytest.raises(KeyError, match="mine"):
        split_step(parts, torch.ones(3), Own(), kappa=1.0, nu=1.0, lr=0.1)
    with pytest.raises(KeyError, match="mine"):
        fl.split_lbi_path(None, **OK, gradient=lambda w: {}["mine"])


def test_a_path_that_has_left_the_floats_says_which_step_is_too_long() -> None:
    """The spring alone, with nu = 1e-3 and kappa = 1, lets no step above 1e-3 pass."""
    spring = {"kappa": 1.0, "nu": 1e-3, "steps": 3000}
    words = "ends in NaN or infinity: a step of lr=0.01 .* nu=0.001 it must be below 0.001"
    start, still = torch.ones(2), torch.zeros_like
    with pytest.warns(RuntimeWarning, match=words) as said:
        path = fl.split_lbi_path(None, start, fl.L1(), **spring, lr=0.01, gradient=still)
    assert not bool(path.w[-1].isfinite().all())
    assert [warning.filename for warning in said] == [__file__]
    tame = fl.split_lbi_path(None, start, fl.L1(), **spring, lr=0.9e-3, gradient=still)
    assert bool(tame.w.isfinite().all())


def test_the_step_bound_of_a_linear_model_is_that_of_its_curvature() -> None:
    """With D = I the three bounds of the library are one number, and a scaled D scales it."""
    X = torch.randn(30, 4, generator=seeded(5), dtype=torch.float64)
    bound = fl.sparse.split_lbi_max_lr(X, kappa=3.0, nu=0.7)
    curvature = float(torch.linalg.matrix_norm(X, 2)) ** 2 / 30
    assert bound == pytest.approx(2 / (3 * (curvature + 2 / 0.7)), rel=1e-12)
    assert bound == pytest.approx(theory.lyapunov_max_lr(curvature, kappa=3.0, nu=0.7))
    assert fl.sparse.split_lbi_max_lr(X, kappa=3.0, nu=1e12) == pytest.approx(
        fl.sparse.lbi_max_lr(X, 3.0)
    )
    D = 2 * torch.eye(4, dtype=torch.float64)
    wanted = pytest.approx(2 / (3 * (curvature + 5 / 0.7)), rel=1e-12)
    assert fl.sparse.split_lbi_max_lr(X, D, kappa=3.0, nu=0.7) == wanted
    assert fl.sparse.split_lbi_max_lr(X, D.to_sparse(), kappa=3.0, nu=0.7) == wanted


@pytest.mark.parametrize("wrong", [{"kappa": -1.0}, {"nu": 0.0}])
def test_a_step_bound_needs_positive_numbers(wrong) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a positive"):
        fl.sparse.split_lbi_max_lr(torch.eye(2), **({"kappa": 1.0, "nu": 1.0} | wrong))
