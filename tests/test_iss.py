"""The inverse scale space path: its definition by brute force, closed forms, degenerate designs."""

from __future__ import annotations

from itertools import combinations

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


def test_a_coordinate_leaves_and_comes_back() -> None:
    X, y = problem(30, 60, 2, corr=0.9)
    path = iss_path(X, y)
    trips = [states(path, j) for j in range(60)]
    assert sum(trip == [False, True, False] for trip in trips) >= 3
    assert sum(trip[:4] == [False, True, False, True] for trip in trips) >= 3
    assert certificate(path, X, y).worst < 1e-10


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n", "p"), [(40, 10), (12, 30)])
def test_dependent_columns_change_neither_the_fit_nor_the_certificate(n, p, seed) -> None:
    X, y = degenerate(n, p, seed)
    path = iss_path(X, y)
    assert certificate(path, X, y).worst < 1e-9
    assert not bool(path.w[:, 5].any())  # the zero column
    for knot in path.w:  # what is in is linearly independent: a copy stays at zero
        inside = (knot != 0).nonzero()[:, 0]
        assert int(torch.linalg.matrix_rank(X[:, inside])) == len(inside)
    plain = iss_path(X[:, [j for j in range(p) if j not in (3, 4, 5)]], y)
    assert path.t.tolist() == pytest.approx(plain.t.tolist(), rel=1e-9)


def test_ties_share_a_knot() -> None:
    X = torch.cat([torch.eye(6), torch.eye(6)], 1)  # every column twice, all correlations equal
    path = iss_path(X, torch.tensor([1.0, -1, 1, 1, -1, 1]))
    assert path.t.tolist() == pytest.approx([6.0])
    assert path.w[0].tolist() == pytest.approx([1, -1, 1, 1, -1, 1, *6 * [0]])


@pytest.mark.parametrize("gap", [1e-4, 1e-6, 1e-8, 1e-9, 1e-11, 1e-13])
def test_nearly_equal_columns_end_in_a_path_that_fits(gap: float) -> None:
    X, y = problem(30, 6, 1)
    X[:, 3] = X[:, 0] + gap * X[:, 3]
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
        ({"y": torch.ones(4)}, r"y \[n\].*\[3, 2\] and \[4\]"),
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
