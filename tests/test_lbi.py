"""Linearized Bregman iterations: the recursion, its limits, its step bound, and when to stop."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from toy_clients import seeded

from fedlearn_lib import L1, GroupL2, Path, lbi_path, split_lbi_path
from fedlearn_lib.sparse import (
    Curve,
    cross_validation,
    discrepancy_time,
    largest_curvature,
    lbi,
    lbi_max_lr,
    lbi_squared,
    validation_curve,
)
from fedlearn_lib.sparse.curvature import squared_norm


def problem(n: int, p: int, s: int = 3, noise: float = 0.5, seed: int = 0):
    """A random design with correlated columns, ``s`` true coefficients, and its responses."""
    g = seeded(seed)
    X = torch.randn(n, p, generator=g, dtype=torch.float64)
    X = X + 0.5 * X.roll(1, 1)
    beta = torch.zeros(p, dtype=torch.float64)
    beta[:s] = torch.tensor([2.0, -1.5, 1.0] * s, dtype=torch.float64)[:s]
    return X, X @ beta + noise * torch.randn(n, generator=g, dtype=torch.float64), beta


def plain(X, y, *, kappa, lr, steps, free=(), mean=lambda u: u):
    """The recursion of the chapter in NumPy, one line a formula: every iterate, [steps p]."""
    X, y = np.asarray(X), np.asarray(y)
    threshold = np.ones(X.shape[1])
    threshold[list(free)] = 0
    z, beta, seen = np.zeros(X.shape[1]), np.zeros(X.shape[1]), []
    for _ in range(steps):
        z = z + lr / len(y) * X.T @ (y - mean(X @ beta))
        beta = kappa * np.sign(z) * np.maximum(abs(z) - threshold, 0)
        seen.append(beta)
    return torch.tensor(np.array(seen))


@pytest.fixture(params=[0, lbi_squared.SMALL], ids=["in blocks", "as written"])
def _both_ways(request, monkeypatch) -> None:
    """Small data take steps as they are written; here they take blocks, too."""
    monkeypatch.setattr(lbi_squared, "SMALL", request.param)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize(("n", "p"), [(60, 20), (30, 80), (50, 50), (5, 12)])
@pytest.mark.parametrize("free", [(), (2, 4)])
@pytest.mark.parametrize("kappa", [1.0, 20.0])
def test_the_path_is_the_plain_recursion(n: int, p: int, free, kappa: float) -> None:
    """Algorithm 9.1: the blocks of steps of the library give the iterates of a plain loop."""
    X, y, _ = problem(n, p)
    lr = 0.8 * lbi_max_lr(X, kappa)
    steps = math.ceil(4 / lr)
    path = lbi_path(X, y, kappa=kappa, lr=lr, steps=steps, free=free)
    wanted = plain(X, y, kappa=kappa, lr=lr, steps=steps, free=free)
    assert path.w.shape == (steps, p)
    assert float((path.w - wanted).abs().max()) < 1e-9  # float64, errors do not grow: ακL < 2
    assert float((path.t - lr * torch.arange(1, steps + 1).double()).abs().max()) < 1e-12
    assert int((wanted != 0).any(0).sum()) >= 3  # something entered


@pytest.mark.usefixtures("_both_ways")
def test_more_variables_may_enter_than_there_are_samples() -> None:
    """Then the run is finished by plain steps, from the same state."""
    X, y, _ = problem(6, 30, noise=2.0)
    lr = 0.9 * lbi_max_lr(X, 0.3)
    path = lbi_path(X, y, kappa=0.3, lr=lr, steps=200)
    wanted = plain(X, y, kappa=0.3, lr=lr, steps=200)
    assert int((wanted != 0).any(0).sum()) > 6
    assert float((path.w - wanted).abs().max()) < 1e-9


def test_a_path_that_has_left_the_floats_says_which_step_is_too_long() -> None:
    with pytest.warns(
        RuntimeWarning, match="NaN or infinity: a step of lr=1 is .* kappa=3"
    ) as said:
        lbi(lambda b: b - 2, torch.zeros(2), L1(0.0), kappa=3.0, lr=1.0, steps=400)
    assert [warning.filename for warning in said] == [__file__]


@pytest.mark.usefixtures("_both_ways")
def test_without_data_or_before_the_first_entry_nothing_moves() -> None:
    X, y, _ = problem(20, 5)
    assert float(lbi_path(X, 0 * y, kappa=2.0, steps=50).w.abs().max()) == 0.0
    first = float((X.T @ y / 20).abs().max()) ** -1
    path = lbi_path(X, y, kappa=2.0, lr=first / 100.5, steps=101)
    assert (path.w != 0).any(1).nonzero().flatten().tolist() == [100]  # 100 steps stay below one
    assert lbi_path(0 * X, y, kappa=2.0, steps=3).w.abs().max() == 0.0


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("every", [1, 7, 100, 1000])
def test_recording_every_so_many_steps_takes_rows_of_the_whole_path(every: int) -> None:
    X, y, _ = problem(40, 15)
    full = lbi_path(X, y, kappa=10.0, steps=400)
    part = lbi_path(X, y, kappa=10.0, steps=400, every=every)
    rows = sorted({*range(every - 1, 400, every), 399})
    assert part.w.shape[0] == len(rows)
    assert float((part.w - full.w[rows]).abs().max()) < 1e-12
    assert part.t.tolist() == pytest.approx(full.t[rows].tolist())


def test_logistic_is_the_plain_recursion_with_a_logistic_mean() -> None:
    X, y, _ = problem(50, 12)
    X, labels = torch.cat([torch.ones(50, 1).double(), X], 1), (y > 0.3).long()
    lr = 0.9 * lbi_max_lr(X, 5.0, loss="logistic")
    path = lbi_path(X, labels, kappa=5.0, lr=lr, steps=300, loss="logistic", free=[0])
    wanted = plain(
        X, labels, kappa=5.0, lr=lr, steps=300, free=[0], mean=lambda u: 1 / (1 + np.exp(-u))
    )
    assert float((path.w - wanted).abs().max()) < 1e-9
    assert bool((path.w[:, 0] != 0).all())
    assert float(path.w[-1, 1:].abs().max()) > 0.5


def test_the_general_loop_takes_any_gradient_and_any_penalty() -> None:
    X, y, _ = problem(60, 12)
    target = torch.linalg.lstsq(X, y).solution
    gradient = lambda B: (X.T @ (X @ B.flatten() - y) / 60).view(4, 3)  # noqa: E731
    lr = 0.9 * lbi_max_lr(X, 4.0)
    path = lbi(gradient, torch.zeros(4, 3).double(), GroupL2(), kappa=4.0, lr=lr, steps=6000)
    inside = (path.w != 0).any(2)
    assert bool((inside == (path.w != 0).all(2)).all())  # rows enter as one
    assert inside.sum(1).unique().tolist() == [0, 1, 2, 3, 4]  # one after the other, here
    assert float((path.w[-1].flatten() - target).abs().max()) < 1e-6
    flat = lbi(lambda b: gradient(b).flatten(), torch.zeros(12).double(), kappa=4.0, lr=lr, steps=9)
    same = lbi_path(X, y, kappa=4.0, lr=lr, steps=9)
    assert float((flat.w - same.w).abs().max()) < 1e-12


def test_a_start_that_is_not_zero_is_kept_where_nothing_is_penalized() -> None:
    """The dual start is β₀/κ: a free coordinate begins where it is told to."""
    start = torch.tensor([0.0, 3.0], dtype=torch.float64)
    penalty = L1(weights=torch.tensor([1.0, 0.0]))
    still = lbi(torch.zeros_like, start, penalty, kappa=7.0, lr=0.1, steps=3)
    assert float((still.w - start).abs().max()) < 1e-12


@pytest.mark.parametrize("scipy", [True, False])
@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (700, 650), (650, 900)])
def test_the_largest_curvature_is_the_spectral_norm(shape, scipy, monkeypatch) -> None:
    if not scipy:  # it does not belong to what the library needs
        monkeypatch.setitem(sys.modules, "scipy.sparse.linalg", None)
    X = torch.randn(*shape, generator=seeded(), dtype=torch.float64)
    X[:, 0] = 0
    wanted = float(torch.linalg.matrix_norm(X, 2)) ** 2 / shape[0]
    assert largest_curvature(X) == pytest.approx(wanted, rel=1e-6)
    assert lbi_max_lr(X, 5.0) == pytest.approx(2 / (5 * wanted), rel=1e-6)
    assert lbi_max_lr(X, 5.0, loss="logistic") == pytest.approx(8 / (5 * wanted), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_a_rough_curvature_is_a_little_too_small(scale: float) -> None:
    X = scale * torch.randn(700, 900, generator=seeded(), dtype=torch.float64)
    exact, rough = largest_curvature(X), largest_curvature(X, rough=True)
    assert 0.9 * exact < rough < (1 - 1e-4) * exact  # it stopped early, and above a half
    assert largest_curvature(X[:50], rough=True) == largest_curvature(X[:50])
    X[:, 0] *= 10  # one large eigenvalue is found at once
    assert largest_curvature(X, rough=True) == pytest.approx(largest_curvature(X), rel=1e-5)


def test_the_norm_of_a_sparse_matrix_is_found_without_its_zeros() -> None:
    D = torch.eye(800, dtype=torch.float64)
    D = (D - D.roll(1, 1))[:-1]
    assert squared_norm(D.to_sparse()) == pytest.approx(squared_norm(D), rel=1e-9)
    assert squared_norm(D[:20].to_sparse()) == squared_norm(D[:20])


def test_a_curvature_of_what_is_not_finite_is_refused() -> None:
    for shape in [(3, 2), (700, 650)]:
        with pytest.raises(ValueError, match="X must be finite"):
            largest_curvature(torch.full(shape, torch.nan))
    with pytest.raises(ValueError, match="kappa must be a positive finite number, got -1"):
        lbi_max_lr(torch.eye(2), -1.0)


@pytest.mark.parametrize("n", [40, 700])
def test_a_doubtful_step_is_judged_by_the_sharp_bound(n: int) -> None:
    """Just below it passes, just above it does not; where it is clear the rough one decides."""
    X, y, _ = problem(n, 650)
    largest = lbi_max_lr(X, 2.0)
    for share in (0.3, 0.51, 0.9999):
        assert lbi_path(X, y, kappa=2.0, lr=share * largest, steps=1).t[0] == share * largest
    with pytest.raises(ValueError, match="lr must be below"):
        lbi_path(X, y, kappa=2.0, lr=1.0001 * largest, steps=1)
    default = float(lbi_path(X, y, kappa=2.0, steps=1).t[0])
    assert 0.5 * largest <= default * (1 + 1e-12) < 0.56 * largest


def test_the_curvature_of_a_design_of_low_rank() -> None:
    g = seeded()
    X = torch.randn(700, 2, generator=g).double() @ torch.randn(2, 800, generator=g).double()
    wanted = float(torch.linalg.matrix_norm(X, 2)) ** 2 / 700
    assert largest_curvature(X) == pytest.approx(wanted, rel=1e-6)
    assert largest_curvature(torch.zeros(700, 800)) == 0.0
    assert lbi_max_lr(torch.zeros(3, 2), 1.0) == math.inf


def test_an_unstable_step_is_refused_and_can_be_watched() -> None:
    X, y, _ = problem(40, 10)
    largest = lbi_max_lr(X, 0.01)
    with pytest.raises(ValueError, match=f"lr must be below {largest:.6g}.*check=False"):
        lbi_path(X, y, kappa=0.01, lr=1.001 * largest, steps=10)
    wild = lbi_path(X, y, kappa=0.01, lr=1.5 * largest, steps=400, check=False)
    assert float(wild.w[-1].norm()) > 1e6
    beyond = lbi_path(X, y, kappa=0.01, lr=3 * largest, steps=3000, check=False)
    assert not bool(torch.isfinite(beyond.w[-1]).all())  # too large for floats, without a warning
    tame = lbi_path(X, y, kappa=0.01, lr=0.999 * largest, steps=400)
    assert float(tame.w.norm(dim=1).max()) < 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": torch.ones(3)}, r"y must be \[n\] with the axes \[4, 2\] of X, got \[3\]"),
        ({"X": torch.full((4, 2), torch.nan)}, "X must be finite, got 8"),
        ({"y": torch.tensor([1.0, 2.0, torch.inf, 0.0])}, "y must be finite, got 1"),
        ({"loss": "hinge"}, "loss must be one of .*'squared', 'logistic'.*, got 'hinge'"),
        ({"loss": "logistic"}, r"labels 0 and 1, got \[1.0, 2.0\]"),
        ({"kappa": -1.0}, "kappa must be a positive finite number, got -1.0"),
        ({"lr": math.nan}, "lr must be a number, or None, got nan"),
        ({"lr": 0.0}, "lr must be a positive finite number, got 0.0"),
        ({"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"every": 1.5}, "every must be an integer, got 1.5"),
        ({"free": [2]}, r"free must be different columns from 0 to 1, got \[2\]"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message) -> None:
    good = {"X": torch.eye(4)[:, :2], "y": torch.tensor([1.0, 2.0, 1.0, 1.0]), "kappa": 1.0,
            "steps": 5}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        lbi_path(**(good | changes))


# ----- when to stop ---------------------------------------------------------------------------


def test_a_validation_curve_is_the_mean_over_held_out_samples() -> None:
    X, y, beta = problem(200, 60, noise=3.0)
    path = lbi_path(X[:100], y[:100], kappa=20.0, steps=800, every=20)
    curve = validation_curve(path, X[100:], y[100:])
    errors = ((y[100:, None] - X[100:] @ path.w.T) ** 2).T  # [K n]
    assert curve.error.tolist() == pytest.approx(errors.mean(1).tolist())
    assert curve.spread.tolist() == pytest.approx((errors.var(1) / 100).sqrt().tolist())
    assert curve.best() == float(path.t[errors.mean(1).argmin()])
    assert 0 < curve.simplest() <= curve.best() < float(path.t[-1])
    assert float((path.at(curve.best()) - beta).norm()) < float((path.w[-1] - beta).norm())


def test_the_simplest_model_is_the_first_within_one_standard_error() -> None:
    t, spread = torch.arange(4.0), torch.tensor([9.0, 9.0, 0.5, 9.0])
    assert Curve(t, torch.tensor([2.0, 1.4, 1.0, 1.2]), spread).simplest() == 1.0
    assert Curve(t, torch.tensor([2.0, 1.6, 1.0, 1.2]), spread).simplest() == 2.0


def test_a_model_without_a_number_for_its_error_is_never_the_best() -> None:
    t, nan = torch.tensor([1.0, 2.0, 3.0]), math.nan
    curve = Curve(t, torch.tensor([nan, 0.3, 0.2]), torch.tensor([nan, 0.2, 0.2]))
    assert (curve.best(), curve.simplest()) == (3.0, 2.0)
    assert Curve(t, torch.tensor([0.3, math.inf, nan]), torch.full((3,), nan)).simplest() == 1.0
    for choose in (Curve.best, Curve.simplest):
        with pytest.raises(ValueError, match="error must have a finite entry, got 3 times"):
            choose(Curve(t, torch.full((3,), nan), torch.zeros(3)))


@pytest.mark.parametrize("name", ["X", "y"])
def test_held_out_data_must_be_finite(name) -> None:
    data = {"X": torch.eye(8), "y": torch.ones(8)}
    path = lbi_path(**data, kappa=1.0, steps=3)
    data[name] = data[name].clone()
    data[name][0] = math.inf if name == "y" else math.nan
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        validation_curve(path, **data)
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        cross_validation(run_lbi, **data, times=path.t, folds=2, generator=seeded())


def test_times_beyond_the_end_of_a_path_are_named() -> None:
    X, y, _ = problem(30, 4)
    fit = lambda X, y: lbi_path(X, y, kappa=5.0, lr=0.01, steps=50)  # noqa: E731
    times = torch.tensor([0.25, 0.5, 0.75, 1.0])
    with pytest.warns(UserWarning, match=r"2 of 4 times lie beyond 0\.5, where the path of a fold"):
        curve = cross_validation(fit, X, y, times, folds=3, generator=seeded())
    assert curve.error[1] == curve.error[3]
    cross_validation(fit, X, y, times[:2], folds=3, generator=seeded())  # warns of nothing


def test_a_path_is_read_at_times_that_are_times() -> None:
    with pytest.raises(ValueError, match="t must be finite and never fall"):
        Path(torch.tensor([1.0, 3.0, 2.0]), *2 * [torch.eye(3)])
    with pytest.raises(ValueError, match="t must be finite and never fall"):
        Path(torch.arange(3.0), *2 * [torch.eye(3)])._replace(t=torch.tensor([1.0, 3.0, 2.0]))
    with pytest.raises(ValueError, match="t must be a number, got nan"):
        Path(torch.tensor([1.0]), *2 * [torch.eye(1)]).at(math.nan)


def test_cross_validation_scores_each_sample_by_a_path_that_has_not_seen_it() -> None:
    """By hand: the same folds, the same times, one fold after the other."""
    X, y, _ = problem(23, 6)
    times = torch.tensor([0.3, 0.9, 2.0], dtype=torch.float64)
    seen = []

    def fit(X, y):
        seen.append(len(y))
        return lbi_path(X, y, kappa=10.0, steps=200)

    curve = cross_validation(fit, X, y, times, folds=4, generator=seeded(3))
    parts = torch.randperm(23, generator=seeded(3)).tensor_split(4)
    rows = []
    for held in parts:
        kept = torch.tensor([i for i in range(23) if i not in held.tolist()])
        path = lbi_path(X[kept], y[kept], kappa=10.0, steps=200)
        rows.append([float(((y[held] - X[held] @ path.at(float(t))) ** 2).mean()) for t in times])
    table = np.array(rows)
    assert curve.error.tolist() == pytest.approx(table.mean(0).tolist())
    assert curve.spread.tolist() == pytest.approx((table.std(0, ddof=1) / 2).tolist())
    assert sorted(seen) == [17, 17, 17, 18]
    assert sum(len(part) for part in parts) == 23


def test_the_helpers_read_paths_of_named_tensors_and_of_sparse_copies() -> None:
    """A network's path is stopped as a vector's: same errors, and γ is scored when asked for."""
    X, y, _ = problem(60, 5)
    score = lambda w, X, y: (y - X @ w["b"][:, 0] - w["a"]) ** 2  # noqa: E731
    plain = lambda w, X, y: (y - X @ w) ** 2  # noqa: E731

    def both(X, y):
        path = split_lbi_path(
            lambda w: ((y - X @ w) ** 2).mean() / 2, torch.zeros(5, dtype=torch.float64), L1(),
            kappa=5.0, nu=2.0, lr=0.02, steps=200,
        )  # fmt: skip
        a = torch.zeros(len(path.t), dtype=torch.float64)
        leaves = ({"b": x[..., None], "a": a} for x in (path.w, path.gamma))
        return path, Path(path.t, *leaves)

    path, named = both(X[:40], y[:40])
    assert not torch.equal(path.w, path.gamma)
    for of in ("w", "gamma"):
        one = validation_curve(path, X[40:], y[40:], plain, of=of)
        two = validation_curve(named, X[40:], y[40:], score, of=of)
        assert one.error.tolist() == pytest.approx(two.error.tolist())
        direct = ((y[40:, None] - X[40:] @ getattr(path, of).T) ** 2).mean(0)
        assert one.error.tolist() == pytest.approx(direct.tolist())
        curves = [
            cross_validation(
                lambda X, y, k=k: both(X, y)[k], X, y, path.t[::50],
                score=(plain, score)[k], of=of, generator=seeded(1),
            ) for k in (0, 1)
        ]  # fmt: skip
        assert curves[0].error.tolist() == pytest.approx(curves[1].error.tolist())
    for call in (validation_curve, lambda path, X, y: discrepancy_time(path, X, y, 1.0)):
        with pytest.raises(ValueError, match=r"one tensor, got a dictionary with \['b', 'a'\]"):
            call(named, X, y)


def test_the_discrepancy_time_is_the_first_below_the_noise() -> None:
    X, y, _ = problem(80, 10, noise=0.7)
    path = lbi_path(X, y, kappa=20.0, steps=2000)
    t = discrepancy_time(path, X, y, sigma=0.8)
    k = path.t.tolist().index(t)
    left = ((y[:, None] - X @ path.w.T) ** 2).mean(0)
    assert left[k] <= 0.64 < left[k - 1]
    assert discrepancy_time(path, X, y, sigma=0.01) == math.inf


def run_lbi(X: torch.Tensor, y: torch.Tensor) -> Path:
    return lbi_path(X, y, kappa=1.0, steps=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda p, X, y: validation_curve(p, X[:1], y[:1]),
            r"at least 2 samples to hold out.*\[1, 3\]",
        ),
        (
            lambda p, X, y: discrepancy_time(p, X, y, -1.0),
            "sigma must be a standard deviation, got -1.0",
        ),
        (
            lambda p, X, y: cross_validation(run_lbi, X, y, p.t, folds=3, generator=seeded()),
            "at least 6 samples for folds=3",
        ),
        (
            lambda p, X, y: cross_validation(run_lbi, X, y, p.t, folds=1, generator=seeded()),
            "folds must be an integer of at least 2, got 1",
        ),
        (
            lambda p, X, y: cross_validation(
                torch.mul, torch.ones(4, 2), torch.ones(4), p.t, folds=2, generator=seeded()
            ),
            "fit must return a Path, got Tensor",
        ),
        (
            lambda p, X, y: validation_curve(p, X, y, lambda w, X, y: w.mean()),
            r"score must return one number a sample, \[3\]",
        ),
        (lambda p, X, y: validation_curve(p, X[:, :2], y), "w and X and y do not fit together"),
        (lambda p, X, y: discrepancy_time(p, X[:, :2], y, 1.0), r"path.w must be the 2 coeff"),
    ],
)
def test_stopping_refuses_what_cannot_be_judged(call, message) -> None:
    X, y = torch.eye(3), torch.ones(3)
    with pytest.raises(ValueError, match=message):
        call(lbi_path(X, y, kappa=1.0, steps=3), X, y)
