"""The inverse scale space path: its definition by brute force, closed forms, degenerate designs."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_clients import seeded

from fedlearn_lib import Path, certificate, iss_path, plot_path


def problem(n: int, p: int, seed: int, *, corr: float = 0.0) -> tuple[Tensor, Tensor]:
    """Columns of a first-order autoregression, three of them in the truth, some noise."""
    g = seeded(seed)
    X = torch.randn(n, p, generator=g, dtype=torch.float64)
    for j in range(1, p):
        X[:, j] = corr * X[:, j - 1] + (1 - corr**2) ** 0.5 * X[:, j]
    noise = torch.randn(n, generator=g, dtype=torch.float64)
    return X, X[:, :3] @ torch.tensor([2.0, -1.0, 1.5], dtype=torch.float64)[: X.shape[1]] + noise


def degenerate(n: int, p: int, seed: int) -> tuple[Tensor, Tensor]:
    """A copy, a mirrored copy, a zero column and a sum of two columns."""
    X, y = problem(n, p, seed, corr=0.5)
    X[:, 3], X[:, 4], X[:, 5], X[:, 6] = X[:, 0], -X[:, 1], 0, X[:, 0] + X[:, 2]
    return X, y


def states(path: Path, j: int) -> list[bool]:
    """In or out, without repetitions, beginning outside."""
    inside = [False, *(path.w[:, j] != 0).tolist()]
    return [now for k, now in enumerate(inside) if k == 0 or now != inside[k - 1]]


def best_with_signs(X: Tensor, y: Tensor, rho: Tensor) -> tuple[float, Tensor]:
    """The least loss over the cone of ``rho``, by trying every support."""
    tight = [j for j in range(len(rho)) if abs(float(rho[j])) > 1 - 1e-9]
    best = (float(y.square().sum()), torch.zeros_like(rho))
    for size in range(1, len(tight) + 1):
        for support in map(list, combinations(tight, size)):
            beta = torch.zeros_like(rho)
            beta[support] = torch.linalg.lstsq(X[:, support], y, driver="gelsd").solution
            loss = float((y - X @ beta).square().sum())
            if bool((beta * rho >= -1e-12).all()) and loss < best[0]:
                best = (loss, beta)
    return best


@pytest.mark.parametrize("seed", range(25))
def test_every_knot_is_what_trying_all_supports_finds(seed: int) -> None:
    """Walk the path with no code in common: supports by enumeration, times from the definition."""
    n, p, corr = [(20, 5, 0.0), (12, 6, 0.9), (4, 6, 0.3), (9, 6, -0.95), (3, 5, 0.9)][seed % 5]
    X, y = problem(n, p, seed, corr=corr)
    path, rho, t, beta = iss_path(X, y), torch.zeros(p).double(), 0.0, torch.zeros(p).double()
    for knot, coefficients in zip(path.t, path.w, strict=True):
        g = X.T @ (y - X @ beta) / n
        moving = [j for j in range(p) if abs(float(g[j])) > 1e-10]
        step = min((1 - float(rho[j] * g[j].sign())) / abs(float(g[j])) for j in moving)
        t, rho = t + step, rho + step * g
        loss, beta = best_with_signs(X, y, rho)
        assert abs(float(knot) - t) <= 1e-9 * t
        assert abs(float((y - X @ coefficients).square().sum()) - loss) < 1e-9
        assert float((X @ (coefficients - beta)).abs().max()) < 1e-8
    assert float((X.T @ (y - X @ path.w[-1])).abs().max()) < 1e-9  # the end is least squares


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("n", "p"), [(40, 10), (30, 80)])
@pytest.mark.parametrize("corr", [0.0, 0.95, -0.9])
def test_the_certificate_of_the_exact_path_is_rounding(n: int, p: int, corr: float, seed) -> None:
    X, y = problem(n, p, seed, corr=corr)
    path = iss_path(X, y)
    assert certificate(path, X, y).worst < 1e-9  # times up to 1e4 carry rounding 1e-16 so far
    assert bool((path.t.diff() > 0).all())


def test_the_certificate_sees_every_kind_of_fault() -> None:
    X, y = problem(40, 8, 3, corr=0.9)
    path = iss_path(X, y)
    t, w = path.t, path.w
    late = certificate(Path(t * 1.01, w, w), X, y)
    assert min(late.box, late.sign) > 0.005
    assert late.gradient < 1e-12
    shrunk = certificate(Path(t, 0.99 * w, 0.99 * w), X, y)
    assert min(shrunk.gradient, shrunk.sign) > 1e-3
    missing = w.clone()
    missing[-1, 0] = 0
    assert certificate(Path(t, missing, missing), X, y).worst > 1e-3
    first = certificate(Path(t[:1], 0 * w[:1], 0 * w[:1]), X, y)
    assert first.outward == pytest.approx(1.0)  # the coordinate that ought to have entered
    assert first.gradient == first.sign == 0.0
    flipped = certificate(Path(t, -w, -w), X, y)
    assert flipped.sign > 1.0
    assert certificate(path, X, y).worst < 1e-12


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("fault", ["lengths", "near copies"])
def test_rounding_is_discounted_and_faults_are_not(fault: str, seed: int) -> None:
    """Times go up to 1e7 here, and what rounding adds to the dual until then is no violation."""
    X, y = problem(40, 8, seed, corr=0.5)
    if fault == "lengths":
        X = X * 10.0 ** torch.linspace(-3, 3, 8, dtype=X.dtype)
    else:
        X[:, 4:6] = X[:, :2] + 1e-6 * X[:, 4:6]
    path = iss_path(X, y)
    found = certificate(path, X, y)
    assert found.worst < 1e-12
    assert 1e-9 < found.rounding < 1  # said, and small enough to prove something
    late = torch.cat([1.01 * path.t[:1], path.t[1:]])
    assert certificate(Path(late, path.w, path.w), X, y).worst > 1e-5
    for k in range(len(path.t)):
        w = torch.cat([path.w[:k], 1.01 * path.w[k:]])
        assert certificate(Path(path.t, w, w), X, y).worst > 1e-5


def test_a_coordinate_leaves_and_comes_back() -> None:
    X, y = problem(30, 60, 2, corr=0.9)
    path = iss_path(X, y)
    trips = [states(path, j) for j in range(60)]
    assert sum(trip == [False, True, False] for trip in trips) >= 3
    assert sum(trip[:4] == [False, True, False, True] for trip in trips) >= 3
    assert certificate(path, X, y).worst < 1e-10


@pytest.mark.parametrize(("seed", "corr"), [(14, 0.9), (47, 0.97), (16, 0.99), (33, 0.99)])
def test_a_coordinate_about_to_enter_is_no_violation(seed: int, corr: float) -> None:
    """Some |ρ| is within 1e-6 of 1 at a knot and reaches it at the next one."""
    X, y = problem(30, 60, seed, corr=corr)
    assert certificate(iss_path(X, y), X, y).worst < 1e-10


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n", "p"), [(40, 10), (12, 30)])
def test_dependent_columns_change_neither_the_fit_nor_the_certificate(n, p, seed) -> None:
    X, y = degenerate(n, p, seed)
    with pytest.warns(UserWarning, match=r"columns \[.*\] reached the boundary and stayed") as said:
        path = iss_path(X, y)
    assert [warning.filename for warning in said] == [__file__]
    assert certificate(path, X, y).worst < 1e-9
    assert not bool(path.w[:, 5].any())  # the zero column
    for knot in path.w:  # what is in is linearly independent: a copy stays at zero
        inside = (knot != 0).nonzero()[:, 0]
        assert int(torch.linalg.matrix_rank(X[:, inside])) == len(inside)
    plain = iss_path(X[:, [j for j in range(p) if j not in (3, 4, 5)]], y)
    assert path.t.tolist() == pytest.approx(plain.t.tolist(), rel=1e-9)


def test_ties_share_a_knot() -> None:
    X = torch.cat([torch.eye(6), torch.eye(6)], 1)  # every column twice, all correlations equal
    with pytest.warns(UserWarning, match=r"columns \[6, 7, 8, 9, 10, 11\] reached the boundary"):
        path = iss_path(X, torch.tensor([1.0, -1, 1, 1, -1, 1]))
    assert path.t.tolist() == pytest.approx([6.0])
    assert path.w[0].tolist() == pytest.approx([1, -1, 1, 1, -1, 1, *6 * [0]])


def test_ties_up_to_rounding_share_a_knot() -> None:
    Q = torch.linalg.qr(torch.randn(40, 8, generator=seeded(0), dtype=torch.float64)).Q
    signs = torch.tensor([1, -1, 1, 1, -1, -1, 1, -1], dtype=torch.float64)
    X = 40**0.5 * Q
    y = X @ (0.3 * signs)
    assert len({float(c) for c in (X.T @ y).abs()}) > 1  # equal on paper only
    path = iss_path(X, y)
    assert path.t.tolist() == pytest.approx([1 / 0.3])
    assert path.w[0].tolist() == pytest.approx((0.3 * signs).tolist())


def test_a_fit_that_does_not_settle_says_so(monkeypatch) -> None:
    from fedlearn_lib.sparse import signed_fit

    X, y = problem(10, 3, 0)
    monkeypatch.setattr(signed_fit, "_enter", lambda data, rho, fit, j: fit)
    with pytest.raises(RuntimeError, match="did not settle after 100 exchanges"):
        iss_path(X, y)


@pytest.mark.parametrize("gap", [1e-4, 1e-6, 1e-8, 1e-9, 1e-11, 1e-13])
def test_nearly_equal_columns_end_in_a_path_that_fits(gap: float) -> None:
    X, y = problem(30, 6, 1)
    X[:, 3] = X[:, 0] + gap * X[:, 3]
    copy = gap < 1e-12
    with pytest.warns(UserWarning, match=r"columns \[[03]\]") if copy else nullcontext():
        path = iss_path(X, y)
    assert len(path.t) < 20
    copy = gap < 1e-8  # what the difference explains is below NOTHING: it counts as a copy
    used = X[:, [0, 1, 2, 4, 5]] if copy else X
    fit = torch.linalg.lstsq(used, y, driver="gelsd").solution
    assert float((X @ path.w[-1] - used @ fit).abs().max()) < 1e-6


def test_identity_and_orthogonal_designs_in_closed_form() -> None:
    y = torch.tensor([3.0, -2.0, 1.0, 0.5, 0.25], dtype=torch.float64)
    path = iss_path(5**0.5 * torch.eye(5), 5**0.5 * y)  # X'X/n = I and X'y/n = y
    assert path.t.tolist() == pytest.approx([1 / 3, 1 / 2, 1, 2, 4])
    Q = torch.linalg.qr(torch.randn(20, 5, generator=seeded(0), dtype=torch.float64)).Q
    X, target = 20**0.5 * Q, torch.randn(20, generator=seeded(1), dtype=torch.float64)
    c = X.T @ target / 20
    path = iss_path(X, target)
    assert path.entry_times().tolist() == pytest.approx((1 / c.abs()).tolist())
    for t, w in zip(path.t, path.w, strict=True):
        assert w.tolist() == pytest.approx((c * (c.abs() * t > 1 - 1e-9)).tolist(), abs=1e-12)


def test_the_options_stop_the_same_path_earlier() -> None:
    X, y = problem(30, 60, 2, corr=0.9)
    path = iss_path(X, y)
    few = iss_path(X, y, max_active=7)
    counts = (few.w != 0).sum(1).tolist()
    assert max(counts[:-1]) < counts[-1] == 7
    assert torch.equal(few.w, path.w[: len(few.t)])
    assert torch.equal(iss_path(X, y, max_knots=4).t, path.t[:4])
    assert torch.equal(iss_path(X, y, t_max=float(path.t[5])).t, path.t[:6])
    assert torch.equal(iss_path(X, y, t_max=0.999 * float(path.t[5])).t, path.t[:5])


@pytest.mark.parametrize("a", [1e-6, 1.0, 1e6])
def test_which_columns_depend_on_others_is_no_matter_of_scale(a: float) -> None:
    """A copy is named at every scale, a column that differs from another by 1e-4 is not."""
    X, y = problem(30, 6, 1)
    nearly = X[:, 0] + 1e-4 * X[:, 3]
    with pytest.warns(UserWarning, match=r"columns \[3\] reached"):
        iss_path(a * torch.cat([X[:, :3], X[:, :1], X[:, 4:]], 1), y)
    iss_path(a * torch.cat([X[:, :3], nearly[:, None], X[:, 4:]], 1), y)  # warns of nothing


def test_only_what_nearly_depends_is_named() -> None:
    """The part of a column outside of the span of others is what counts, not its length."""
    from fedlearn_lib.sparse import iss, signed_fit

    X, y = problem(30, 6, 1)
    x = X[:, 3] - X[:, :2] @ torch.linalg.lstsq(X[:, :2], X[:, 3:4]).solution[:, 0]
    for a in (1e-3, 1.0, 1e3):  # columns 2 and 3: a part of 1e-7 and of 1e-5 beside column 0
        X[:, 2] = a * (X[:, 0] / X[:, 0].norm() + 1e-7 * x / x.norm())
        X[:, 3] = a * (X[:, 0] / X[:, 0].norm() + 1e-5 * x / x.norm())
        data = signed_fit.data_of(X[:, :4], y)
        fit = signed_fit.fit_with_signs(
            data, np.array([1.0, 0, 0, 0]), np.array([0]), signed_fit.Fit.empty(data),
            np.array([1.0, 0, 0, 0]),
        )[0]  # fmt: skip
        found = iss._dependent(data, fit, np.zeros(4), np.array([1, 2, 3]))
        assert found == {2}


def test_scales_of_data_only_scale_the_path() -> None:
    X, y = problem(30, 12, 5, corr=0.8)
    path = iss_path(X, y)
    for a, b in ((1e6, 1e-6), (1e-8, 1e3)):
        scaled = iss_path(a * X, b * y)
        assert (scaled.t * (a * b)).tolist() == pytest.approx(path.t.tolist(), rel=1e-9)
        assert torch.allclose(scaled.w * (a / b), path.w, rtol=1e-7, atol=1e-9)


def test_arrays_and_integers_are_accepted_and_left_as_they_were() -> None:
    X, y = problem(10, 4, 0)
    before = torch.cat([X, y[:, None]], 1)
    path = iss_path(X.numpy(), y.numpy())
    assert torch.equal(torch.cat([X, y[:, None]], 1), before)
    assert torch.equal(path.w, iss_path(X.T.contiguous().T, y.requires_grad_()).w)
    assert iss_path(torch.eye(2).int(), torch.tensor([2, 1])).t.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": torch.ones(3)}, r"X must be \[n p\]"),
        ({"y": torch.ones(4)}, r"y must be \[n\] with the axes \[3, 2\] of X, got \[4\]"),
        ({"y": torch.tensor([1.0, 2.0, torch.nan])}, "y must be finite"),
        ({"X": torch.full((3, 2), torch.inf)}, "X must be finite, got 6 NaN"),
        ({"max_active": 0}, "max_active must be an integer of at least 1, got 0"),
        ({"max_knots": 2.5}, "max_knots must be an integer"),
        ({"t_max": 0.0}, "t_max must be positive"),
        ({"t_max": 1e-3}, "no coordinate enters up to t_max=0.001"),
        ({"y": torch.zeros(3)}, "orthogonal to every column"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, message: str) -> None:
    call = {"X": torch.tensor([[1.0, 0], [0, 1], [1, 1]]), "y": torch.tensor([1.0, 2, 3])} | change
    with pytest.raises(ValueError, match=message):
        iss_path(call.pop("X"), call.pop("y"), **call)


def test_plot_path_draws_one_line_a_coefficient_and_labels_what_ends_inside() -> None:
    from matplotlib.figure import Figure

    X, y = problem(30, 6, 1)
    path = iss_path(X, y, max_active=3)
    colors = ["red", "blue", *4 * ["gray"]]
    ax = plot_path(path, Figure().subplots(), color=colors)
    assert [line.get_color() for line in ax.lines] == colors
    for j, line in enumerate(ax.lines):
        assert line.get_ydata()[1:-1].tolist() == path.w[:, j].tolist()
        assert line.get_ydata()[0] == 0.0
        assert line.get_drawstyle() == "steps-post"
    inside = (path.w[-1] != 0).nonzero()[:, 0].tolist()
    assert [text.get_text() for text in ax.texts] == [rf"$\beta_{{{j + 1}}}$" for j in inside]
    with pytest.raises(ValueError, match="got a dict"):
        plot_path(Path(path.t, {"a": path.w}, {"a": path.w}), Figure().subplots())


def test_of_many_coefficients_those_are_drawn_that_enter() -> None:
    from matplotlib.figure import Figure

    X, y = problem(30, 200, 1)
    path = iss_path(X, y, max_active=3)
    ever = (path.w != 0).any(0).nonzero()[:, 0].tolist()
    ax = plot_path(path, Figure().subplots())
    assert len(ax.lines) == len(ever) < 20
    assert len(ax.texts) == int((path.w[-1] != 0).sum()) == 3


def l1_gap(beta: Tensor, rho: Tensor, points: Tensor) -> float:
    """The least of |z| - |beta| - <rho, z - beta> over rows z: negative where rho is no slope."""
    return float((points.abs().sum(1) - beta.abs().sum() - (points - beta) @ rho).min())


def loss(X: Tensor, y: Tensor, beta: Tensor) -> float:
    return float((y - X @ beta).square().mean()) / 2


def middles(path: Path) -> Tensor:
    """A time inside each piece, the first before the first knot and the last after the last."""
    t = torch.cat([path.t.new_zeros(1), path.t, 1.5 * path.t[-1:]])
    return (t[1:] + t[:-1]) / 2


def dual(path: Path, X: Tensor, y: Tensor, t: float) -> Tensor:
    """The dual path at time t: the integral of the gradients."""
    ends = torch.cat([path.t, path.t.new_full((1,), torch.inf)]).clamp(max=t)
    starts = torch.cat([path.t.new_zeros(1), path.t]).clamp(max=t)
    w = torch.cat([torch.zeros_like(path.w[:1]), path.w])
    rho: Tensor = (ends - starts) @ ((y - w @ X.T) @ X) / len(y)
    return rho


def average(path: Path, t: float) -> Tensor:
    ends = torch.cat([path.t[1:], path.t.new_full((1,), torch.inf)]).clamp(max=t)
    mean: Tensor = (ends - path.t).clamp(min=0) @ path.w / t
    return mean


def lasso_violation(X: Tensor, y: Tensor, beta: Tensor, lam: float) -> float:
    """How far beta is from minimizing the loss + lam * |beta|: the optimality condition."""
    v = X.T @ (y - X @ beta) / len(y) / lam
    wrong = torch.where(beta.abs() > 1e-9, (v - beta.sign()).abs(), (v.abs() - 1).clamp(min=0))
    return float(wrong.max())


@pytest.mark.parametrize("seed", range(8))
def test_subdifferential_of_the_l1_norm(seed: int) -> None:
    """Proposition 8.2: box and signs are what the inequality says, tried on many points."""
    g = seeded(seed)
    beta = torch.tensor([1.5, -0.2, 0.0, 0.0], dtype=torch.float64)
    points = 3 * torch.randn(20_000, 4, generator=g, dtype=torch.float64) + beta
    near = beta + 1e-3 * torch.randn(20_000, 4, generator=g, dtype=torch.float64)
    points = torch.cat([points, near, torch.zeros(1, 4)])
    free = 2 * torch.rand(2, generator=g, dtype=torch.float64) - 1
    rho = torch.cat([beta[:2].sign(), free])
    assert l1_gap(beta, rho, points) >= -1e-12
    for j, value in ((0, 0.9), (1, -1.1), (1, 1.0), (2, 1.05), (3, -1.05)):
        wrong = rho.clone()
        wrong[j] = value
        assert l1_gap(beta, wrong, points) < -1e-6


@pytest.mark.parametrize("seed", range(8))
def test_bregman_distance_of_the_l1_norm(seed: int) -> None:
    """Proposition 8.4: formula, sign, the set where it vanishes, convexity."""
    g = seeded(seed)
    beta = torch.randn(5, generator=g, dtype=torch.float64) * torch.tensor([1.0, 1, 1, 0, 0])
    rho = torch.where(beta != 0, beta.sign(), 0.5 * torch.ones(5))
    rho[3] = 1.0

    def distance(z: Tensor) -> float:
        return float(z.abs().sum() - beta.abs().sum() - rho @ (z - beta))

    def formula(z: Tensor) -> float:
        return float((z.abs() - rho * z).sum())

    for _ in range(50):
        z, u = torch.randn(2, 5, generator=g, dtype=torch.float64)
        assert distance(z) == pytest.approx(formula(z), abs=1e-12)
        assert formula(z) > 0  # the last coordinate of a normal vector is not zero
        assert formula((z + u) / 2) <= (formula(z) + formula(u)) / 2 + 1e-12
    same = rho * torch.tensor([7.0, 0.1, 0.0, 2.0, 0.0])  # the signs of rho where it is at a wall
    assert formula(same) == pytest.approx(0, abs=1e-12)
    assert formula(-same) > 1


@pytest.mark.parametrize(("n", "p"), [(12, 4), (5, 9)])
def test_filter_factors(n: int, p: int) -> None:
    """Proposition 8.5: ridge by its normal equations, gradient flow by small steps."""
    X, y = problem(n, p, 4, corr=0.6)
    U, s, Vh = torch.linalg.svd(X / n**0.5, full_matrices=False)
    plain = (U.T @ y) / n**0.5 / s
    for mu in (0.01, 1.0):
        eye = torch.eye(p, dtype=torch.float64)
        ridge = torch.linalg.solve(X.T @ X / n + mu * eye, X.T @ y / n)
        assert float((Vh.T @ (s**2 / (s**2 + mu) * plain) - ridge).abs().max()) < 1e-10
    beta, h, steps = torch.zeros(p).double(), 1e-4, 5000
    for _ in range(steps):
        beta = beta + h * X.T @ (y - X @ beta) / n
    flow = Vh.T @ ((1 - torch.exp(-h * steps * s**2)) * plain)
    assert float((flow - beta).abs().max()) < 1e-3  # Euler's error is of the order of h
    assert float((flow - Vh.T @ plain).abs().max()) > 1e-2


@pytest.mark.parametrize("seed", range(6))
def test_two_solutions_share_fit_and_dual_path(seed: int) -> None:
    """Proposition 8.7: repeated columns make many solutions, with one fit and one dual path."""
    X, y = problem(20, 5, seed, corr=0.5)
    twice = torch.cat([X, X[:, :2]], 1)
    with pytest.warns(UserWarning, match=r"columns \[5, 6\]"):
        one = iss_path(twice, y)
    share = torch.rand(len(one.t), 1, generator=seeded(seed), dtype=torch.float64)
    w = one.w.clone()
    w[:, 5:] = share * one.w[:, :2]
    w[:, :2] = (1 - share) * one.w[:, :2]
    other = Path(one.t, w, w)
    assert float((one.w - w).abs().max()) > 0.05
    assert certificate(other, twice, y).worst < 1e-9  # a solution, too
    for t in middles(one)[1:]:
        assert float((twice @ (one.at(float(t)) - other.at(float(t)))).abs().max()) < 1e-9
        gap = dual(one, twice, y, float(t)) - dual(other, twice, y, float(t))
        assert float(gap.abs().max()) < 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_best_fit_that_rho_allows(seed: int) -> None:
    """Lemma 8.8: the three conditions hold at the minimizer by enumeration, and only there."""
    X, y = problem(10, 6, seed, corr=0.7)
    rho = torch.tensor([1.0, -1, 1, -1, 0.3, -0.9], dtype=torch.float64)
    _, beta = best_with_signs(X, y, rho)

    def violation(beta: Tensor) -> float:
        g = X.T @ (y - X @ beta) / len(y)
        tight = rho.abs() == 1
        return float(torch.cat([g[beta != 0].abs(), (rho * g)[tight & (beta == 0)]]).max())

    assert violation(beta) < 1e-9
    again = torch.where(rho.abs() == 1, beta + 0.1 * rho, 0)  # still in the cone
    assert violation(again) > 1e-3
    assert float((X @ beta) @ (y - X @ beta)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_the_path_is_the_solution(seed: int) -> None:
    """Theorem 8.9: the inclusion in integrated form, descent at knots, least squares at the end."""
    n, p = [(30, 8), (12, 20)][seed % 2]
    X, y = problem(n, p, seed, corr=0.9)
    path = iss_path(X, y)
    for t in middles(path)[1:]:
        rho, beta = dual(path, X, y, float(t)), path.at(float(t))
        assert float(rho.abs().max()) < 1 + 1e-9
        assert float((rho - beta.sign())[beta != 0].abs().max()) < 1e-9
        g = X.T @ (y - X @ beta) / n
        assert float(g[beta != 0].abs().max()) < 1e-10
    losses = [loss(X, y, 0 * path.w[0]), *(loss(X, y, beta) for beta in path.w)]
    assert all(after < before for before, after in pairwise(losses))
    assert float((X.T @ (y - X @ path.w[-1])).abs().max()) < 1e-8


@pytest.mark.parametrize("seed", range(5))
def test_a_certificate_without_violation_is_a_proof(seed: int) -> None:
    """Corollary 8.10: what passes has the path's fit; each change of a knot or a value fails."""
    X, y = problem(25, 6, seed, corr=0.8)
    path = iss_path(X, y)
    assert certificate(path, X, y).worst < 1e-10
    for k in range(len(path.t)):
        t, w = path.t.clone(), path.w.clone()
        t[k] = t[k] + 0.01 * (t[k] - (t[k - 1] if k else 0))
        assert certificate(Path(t, path.w, path.w), X, y).worst > 1e-5
        w[k] = w[k] * 1.01
        assert certificate(Path(path.t, w, w), X, y).worst > 1e-5


@pytest.mark.parametrize("seed", range(8))
def test_bregman_distance_falls_toward_what_fits_better(seed: int) -> None:
    """Proposition 8.11: the rate is an identity; the distance falls while z fits better."""
    X, y = problem(30, 8, seed, corr=0.7)
    path, g = iss_path(X, y), seeded(seed)
    z = path.w[-1] + 0.3 * torch.randn(8, generator=g, dtype=torch.float64)
    z[4:] = 0
    for t, t2 in zip(path.t, path.t[1:], strict=False):
        ends = [float(z.abs().sum() - dual(path, X, y, float(s)) @ z) for s in (t, t2)]
        beta = path.at(float(t))
        part = float((X @ (z - beta)).square().mean()) / 2
        rate = loss(X, y, z) - loss(X, y, beta) - part
        assert ends[1] - ends[0] == pytest.approx(float(t2 - t) * rate, rel=1e-6, abs=1e-9)
        if loss(X, y, z) <= loss(X, y, beta):
            assert ends[1] <= ends[0] + 1e-12


@pytest.mark.parametrize("seed", range(8))
def test_the_loss_is_below_the_lasso_objective(seed: int) -> None:
    """Corollary 8.12: at every t, against any z, and the best one by coordinate descent."""
    X, y = problem(20, [6, 30][seed % 2], seed, corr=0.8)
    path = iss_path(X, y)
    for t in middles(path)[1:20:2]:
        z = torch.zeros(X.shape[1], dtype=torch.float64)
        for _ in range(60):
            for j in range(len(z)):
                z[j] = 0
                c, d = float(X[:, j] @ (y - X @ z)) / 20, float(X[:, j].square().mean())
                z[j] = max(abs(c) - 1 / float(t), 0) * (1 if c > 0 else -1) / d
        bound = loss(X, y, z) + float(z.abs().sum()) / float(t)
        assert loss(X, y, path.at(float(t))) <= bound + 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_orthogonal_designs(seed: int) -> None:
    """Proposition 8.13: entry at 1/|c_j| with all of c_j, LASSO smaller by 1/t."""
    g = seeded(seed)
    X = 30**0.5 * torch.linalg.qr(torch.randn(30, 7, generator=g, dtype=torch.float64)).Q
    y = torch.randn(30, generator=g, dtype=torch.float64)
    c, path = X.T @ y / 30, iss_path(X, y)
    for t in middles(path):
        expected = torch.where(c.abs() * t >= 1, c, 0)
        assert float((path.at(float(t)) - expected).abs().max()) < 1e-12
        lasso = (c.abs() - 1 / t).clamp(min=0) * c.sign()
        assert float((average(path, float(t)) - lasso).abs().max()) < 1e-12
        assert lasso_violation(X, y, lasso, 1 / float(t)) < 1e-12


def test_lasso_is_the_average_until_something_leaves() -> None:
    """Theorem 8.14: the three parts, on 60 designs with and without departures."""
    before = after_same = after_other = 0
    for seed in range(60):
        X, y = problem(40, 10, seed, corr=0.8)
        path = iss_path(X, y)
        for t in map(float, middles(path)[1:]):
            mean, rho = average(path, t), dual(path, X, y, t)
            g = X.T @ (y - X @ mean) / 40
            assert float((g * t - rho).abs().max()) < 1e-8  # part 1: always
            violation = lasso_violation(X, y, mean, 1 / t)
            inside = mean.abs() > 1e-9
            subgradient = float((rho - mean.sign())[inside].abs().max()) < 1e-8
            assert (violation < 1e-7) == subgradient  # part 2: exactly then
            seen = (path.w[path.t <= t] != 0).any(0)
            stayed = bool((rho[seen].abs() > 1 - 1e-9).all())
            if stayed and not bool(((path.w[path.t <= t] * rho)[:, seen] < 0).any()):
                assert violation < 1e-7  # part 3: nothing has left
                before += 1
            elif violation < 1e-7:
                after_same += 1
            else:
                after_other += 1
    assert before > 300
    assert after_other > 50


@pytest.mark.parametrize("seed", range(10))
def test_lasso_is_shifted_and_the_path_is_not(seed: int) -> None:
    """Proposition 8.15: both in terms of the truth, the noise and the support."""
    from sklearn.linear_model import lars_path

    X, _ = problem(50, 6, seed, corr=0.6)
    truth = torch.tensor([2.0, -1.0, 1.5, 0, 0, 0], dtype=torch.float64)
    noise = 0.3 * torch.randn(50, generator=seeded(seed + 100), dtype=torch.float64)
    y, checked = X @ truth + noise, 0
    path = iss_path(X, y)
    for beta in path.w:
        J = beta.nonzero()[:, 0]
        if bool((beta[:3] != 0).all()):
            own = truth[J] + torch.linalg.lstsq(X[:, J], noise).solution
            assert float((beta[J] - own).abs().max()) < 1e-10
            checked += 1
    lams, _, ends = lars_path(X.numpy(), y.numpy(), method="lasso")
    for k in range(len(lams) - 1):
        lam, beta = (lams[k] + lams[k + 1]) / 2, torch.from_numpy(ends[:, k] + ends[:, k + 1]) / 2
        J = beta.nonzero()[:, 0]
        if bool((beta[:3] != 0).all()):
            gram = X[:, J].T @ X[:, J] / 50
            shift = lam * torch.linalg.solve(gram, beta[J].sign())
            own = truth[J] + torch.linalg.lstsq(X[:, J], noise).solution - shift
            assert float((beta[J] - own).abs().max()) < 1e-10
            least = lam * len(J) ** 0.5 / float(torch.linalg.matrix_norm(gram, 2))
            assert float(shift.norm()) >= least * (1 - 1e-12)
            checked += 1
    assert checked >= 2
