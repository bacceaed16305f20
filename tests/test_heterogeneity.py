"""Distances between clients, and the results of the chapter on heterogeneity."""

from __future__ import annotations

import sys
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_clients import random_quadratics, seeded

from fedlearn_lib import (
    Clients,
    gradient,
    gradient_dissimilarity,
    hessian_dissimilarity,
    logistic,
    loss_of,
    parameters_of,
    partition_dirichlet,
    total_variation,
    wasserstein,
)
from fedlearn_lib.data import gaussian_clients, quadratic_clients, quadratic_loss
from fedlearn_lib.federated import label_distribution, sliced_wasserstein, wasserstein_to_pool

laws = st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any)


def law(counts: list[int]) -> torch.Tensor:
    return torch.tensor(counts, dtype=torch.float64) / sum(counts)


def two_clients(x: torch.Tensor, y: torch.Tensor) -> Clients:
    rows = [range(len(x)), range(len(x), len(x) + len(y))]
    return Clients.of(torch.cat([x, y]), torch.zeros(len(x) + len(y)), rows)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 30.0])
def test_spread_of_the_shares_of_a_class(alpha: float) -> None:
    """Proposition 2.1 on our own partition: sd/mean of a client's share of a class.

    200 partitions of 8 classes give 1,600 draws of each share; a correct code is outside
    the band of 12 % with a probability below 1 in 1,000 (found by simulation).
    """
    m, labels = 5, torch.arange(16_000) % 8
    shares = []
    for seed in range(200):
        parts = partition_dirichlet(labels, m, alpha=alpha, generator=seeded(seed))
        shares.append(torch.stack([labels[part].bincount(minlength=8) for part in parts]) / 2000)
    found = torch.stack(shares).double()  # [200 m 8]
    assert float(found.mean()) == pytest.approx(1 / m, rel=1e-9)
    formula = ((m - 1) / (m * alpha + 1)) ** 0.5
    assert float(found.std() * m) == pytest.approx(formula, rel=0.12)


@settings(deadline=None)
@given(laws, laws)
def test_three_faces_of_total_variation(a: list[int], b: list[int]) -> None:
    """Proposition 2.3: half sum = best event = mass that must change."""
    p, q = law(a), law(b)
    tv = float(total_variation(p, q))
    events = [list(S) for r in range(6) for S in combinations(range(5), r)]
    assert tv == pytest.approx(max(float(p[S].sum() - q[S].sum()) for S in events), abs=1e-12)
    assert tv == pytest.approx(1 - float(torch.minimum(p, q).sum()), abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(laws, laws)
def test_total_variation_is_a_wasserstein_distance(a: list[int], b: list[int]) -> None:
    """Proposition 2.5: W_1 under the 0/1 distance is TV, by the exact solver."""
    labels = torch.tensor([c for counts in (a, b) for c, n in enumerate(counts) for _ in range(n)])
    clients = Clients.of(labels[:, None], labels, [range(sum(a)), range(sum(a), sum(a) + sum(b))])
    pi = label_distribution(clients, 5)
    torch.testing.assert_close(pi, torch.stack([law(a), law(b)]), rtol=0, atol=1e-15)
    d = wasserstein(clients, on="y")
    assert float(d[0, 1]) == pytest.approx(float(total_variation(pi[0], pi[1])), abs=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_on_a_line_sorting_is_optimal(order: int) -> None:
    """Proposition 2.6: the solver and the sorted pairing agree; a random pairing costs more."""
    x, y = torch.randn(2, 25, generator=seeded(4), dtype=torch.float64) * 3
    by_sorting = (x.sort().values - y.sort().values).abs().pow(order).mean() ** (1 / order)
    d = wasserstein(two_clients(x[:, None], y[:, None]), order=order)
    assert float(d[0, 1]) == pytest.approx(float(by_sorting), rel=1e-9)
    assert float((x - y).abs().pow(order).mean() ** (1 / order)) > float(by_sorting) * 1.01


@pytest.mark.parametrize("order", [1, 2])
def test_shifts_and_means(order: int) -> None:
    """Proposition 2.7: a shift costs its length; the means are a lower bound."""
    x, v = torch.randn(30, 4, generator=seeded(5), dtype=torch.float64), torch.ones(4).double()
    assert float(wasserstein(two_clients(x, x + v), order=order)[0, 1]) == pytest.approx(
        2, abs=1e-9
    )
    d = wasserstein(two_clients(x, 3 * x + v), order=order)
    assert float(d[0, 1]) > float((x - 3 * x - v).mean(0).norm()) + 0.1


def test_wasserstein_is_a_metric_on_ragged_clients() -> None:
    x = torch.randn(24, 3, generator=seeded(6))
    d = wasserstein(Clients.of(x, torch.zeros(24), [range(5), range(5, 12), range(12, 24)]))
    torch.testing.assert_close(d, d.T, rtol=0, atol=0)
    assert d.diagonal().tolist() == [0, 0, 0]
    assert d[0, 1] > 0
    assert d[0, 2] <= d[0, 1] + d[1, 2]


def test_threads_change_nothing() -> None:
    clients = gaussian_clients(torch.randn(5, 3, generator=seeded(1)), n=12, generator=seeded(2))
    assert torch.equal(wasserstein(clients, threads=1), wasserstein(clients, threads=2))


def test_sliced_distance_is_the_mean_over_directions() -> None:
    x, y = torch.randn(2, 15, 3, generator=seeded(7), dtype=torch.float64)
    found = sliced_wasserstein(two_clients(x, y), directions=4, order=2, generator=seeded(3))
    u = torch.randn(3, 4, generator=seeded(3), dtype=torch.float64)
    u = u / u.norm(dim=0)
    gaps = ((x @ u).sort(0).values - (y @ u).sort(0).values).square().mean(0)
    assert float(found[0, 1]) == pytest.approx(float(gaps.mean().sqrt()), rel=1e-12)
    exact = wasserstein(two_clients(x, y), order=2)
    assert 0 < found[0, 1] < exact[0, 1]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("sizes", [[9, 9, 9], [9, 4, 6]])
def test_sliced_distances_are_those_of_pot(sizes: list[int], order: int) -> None:
    import ot

    x = torch.randn(sum(sizes), 3, generator=seeded(8), dtype=torch.float64)
    clients = Clients.of(x, torch.zeros(len(x)), list(torch.arange(len(x)).split(sizes)))
    u = torch.randn(3, 7, generator=seeded(3), dtype=torch.float64)
    u = (u / u.norm(dim=0)).numpy()
    found = sliced_wasserstein(clients, directions=7, order=order, generator=seeded(3))
    own = [clients.data(i)[0].numpy() for i in range(3)]
    expected = [
        [ot.sliced_wasserstein_distance(a, b, projections=u, p=order) for b in own] for a in own
    ]
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-12, atol=1e-12)
    assert torch.equal(found, found.T)


def test_equal_sizes_need_no_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sort and one difference; POT is asked about ragged clients only."""
    import ot

    calls: list[int] = []
    real = ot.wasserstein_1d

    def counted(*args: object, **options: object) -> object:
        calls.append(1)
        return real(*args, **options)

    monkeypatch.setattr(ot, "wasserstein_1d", counted)
    for sizes, needed in (([6, 6, 6], 0), ([6, 6, 5], 3)):
        calls.clear()
        parts = list(torch.arange(sum(sizes)).split(sizes))
        x = torch.randn(sum(sizes), 2, generator=seeded(9))
        sliced_wasserstein(Clients.of(x, torch.zeros(len(x)), parts), generator=seeded())
        assert len(calls) == needed


x2, y2 = torch.ones(3, 2), torch.zeros(3)
POOLS = {
    "NaN": ((torch.tensor([[0.0, torch.nan]] * 3), y2), "x of pool must be finite, got 3 NaN"),
    "infinite label": ((x2, y2 + torch.inf), "y of pool must be finite"),
    "lengths": ((x2, y2[:2]), "pool must have.*as many.*got 3 and 2"),
    "dimension": ((torch.ones(3, 4), y2), r"x of pool must.*\(2,\), got \(4,\)"),
    "labels": ((x2, torch.zeros(3, 2)), r"y of pool must.*\(\), got \(2,\)"),
    "empty": ((x2[:0], y2[:0]), "pool.*at least one sample"),
    "no pair": (x2, r"pool must be a pair \(x, y\)"),
    "numpy": ((x2.numpy(), y2), r"pool must be a pair \(x, y\) of dense tensors.*array"),
}


@pytest.mark.parametrize("name", POOLS)
def test_pools_that_are_none(name: str) -> None:
    """One NaN made every distance 0, and a pool with fewer labels than inputs was accepted."""
    clients = Clients.of(torch.randn(4, 2, generator=seeded()), torch.ones(4), [[0, 1], [2, 3]])
    pool, message = POOLS[name]
    with pytest.raises(ValueError, match=message):
        wasserstein_to_pool(clients, pool, on="xy")


def test_a_pool_needs_only_the_parts_that_count() -> None:
    clients = Clients.of(torch.randn(4, 2, generator=seeded()), torch.ones(4), [[0, 1], [2, 3]])
    by_hand = wasserstein_to_pool(clients, (x2, y2), on="x")
    assert torch.equal(wasserstein_to_pool(clients, (x2, y2 * torch.nan), on="x"), by_hand)


def test_dissimilarities_of_quadratics() -> None:
    """Proposition 2.9: constant γ_G for equal curvatures, growth without bound for others."""
    A, w, p = random_quadratics(m=4, d=3, seed=3)
    same = A[:1].expand(4, 3, 3)
    formula = (p @ torch.einsum("ab,ib->ia", A[0], w - p @ w).square().sum(1)).sqrt()
    for s in (0.0, 1.0, 50.0):
        at = {"w": torch.full((3,), s, dtype=torch.float64)}
        found = gradient_dissimilarity(quadratic_loss, at, quadratic_clients(same, w, p))
        assert found == pytest.approx(float(formula), rel=1e-9)
        assert hessian_dissimilarity(quadratic_loss, at, quadratic_clients(same, w, p)) < 1e-12
    far = [
        gradient_dissimilarity(
            quadratic_loss,
            {"w": torch.full((3,), s, dtype=torch.float64)},
            quadratic_clients(A, w, p),
        )
        for s in (1e3, 2e3)
    ]
    assert far[1] / far[0] == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("d", [1, 2, 3, 12])
def test_hessian_dissimilarity_is_the_spectral_norm(d: int) -> None:
    A, w, p = random_quadratics(m=4, d=d, seed=1)
    mean = torch.einsum("i,iab->ab", p, A)
    if d == 12:  # equal clients of a size that Lanczos handles
        same = quadratic_clients(A[:1].expand(4, d, d), w, p)
        assert hessian_dissimilarity(quadratic_loss, {"w": torch.zeros(d).double()}, same) < 1e-12
    dense = (p @ torch.linalg.matrix_norm(A - mean, 2).square()).sqrt()
    at = {"w": torch.zeros(d, dtype=torch.float64)}
    found = hessian_dissimilarity(quadratic_loss, at, quadratic_clients(A, w, p))
    assert found == pytest.approx(float(dense), rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_label_skew_bounds_the_pull(seed: int) -> None:
    """Proposition 2.10: clients that share every class's samples; any center gives a bound.

    Class c has one sample, so a client with π_i is a list of repeated samples and the mixture is
    exact. With two classes and the midpoint as center the bound is an equality.
    """
    g = seeded(seed)
    for classes, exact in ((4, False), (2, True)):
        x = torch.randn(classes, 3, generator=g, dtype=torch.float64)
        counts = torch.randint(1, 9, (5, classes), generator=g)
        parts = [torch.arange(classes).repeat_interleave(row) for row in counts]
        clients = Clients.of(x, torch.arange(classes), parts)
        model = logistic(3, classes).double()
        loss, w = loss_of(model), parameters_of(model)
        pi = label_distribution(clients, classes)
        rows = [gradient(loss)(w, ((x[c : c + 1], torch.tensor([c])),)) for c in range(classes)]
        grads = torch.stack([torch.cat([v.flatten() for v in row.values()]) for row in rows])
        radius = (grads - grads.mean(0)).norm(dim=1).max()
        tv = total_variation(pi, clients.p @ pi)
        limit = float(2 * radius * (clients.p @ tv.square()).sqrt())
        found = gradient_dissimilarity(loss, w, clients)
        assert 0.05 * limit < found <= limit * (1 + 1e-9)
        if exact:
            assert found == pytest.approx(limit, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda c: total_variation(torch.tensor([0.5, 0.6]), torch.tensor([0.5, 0.5])),
            "p must be",
        ),
        (
            lambda c: total_variation(torch.tensor([1.5, -0.5]), torch.tensor([0.5, 0.5])),
            "p must be",
        ),
        (lambda c: total_variation(torch.ones(1), torch.tensor([0.5, 0.5])), "same number"),
        (
            lambda c: total_variation(np.array([0.5, 0.5]), torch.tensor([0.5, 0.5])),
            "p must be a dense tensor, got an array.*as_tensor",
        ),
        (lambda c: wasserstein(c, on="z"), "'z'"),
        (lambda c: wasserstein(c, order=0), "order"),
        (lambda c: sliced_wasserstein(c, order=1.5, generator=seeded()), "1.5"),
        (lambda c: sliced_wasserstein(c, directions=0, generator=seeded()), "directions"),
        (lambda c: sliced_wasserstein(c, generator=None), r"generator must be a torch\.Generator"),
        (lambda c: label_distribution(c, 1), "classes=1"),
    ],
)
def test_bad_arguments_name_the_value_and_the_remedy(call, words: str) -> None:
    clients = Clients.of(torch.zeros(4, 2), torch.tensor([0, 1, 2, 1]), [[0, 1], [2, 3]])
    with pytest.raises(ValueError, match=words):
        call(clients)


def test_without_pot_a_distance_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ot", None)
    clients = Clients.of(torch.randn(5, 2, generator=seeded()), torch.ones(5), [[0, 1, 2], [3, 4]])
    for call in (
        lambda: wasserstein(clients),
        lambda: wasserstein_to_pool(clients),
        lambda: sliced_wasserstein(clients, generator=seeded()),
    ):
        with pytest.raises(ModuleNotFoundError, match=r"package POT.*python -m pip install POT"):
            call()


def test_a_solver_that_stops_early_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import ot

    real = ot.emd2
    monkeypatch.setattr(ot, "emd2", lambda a, b, M, **kw: real(a, b, M, **{**kw, "numItermax": 1}))
    x = np.random.default_rng(0).standard_normal((80, 3))
    with pytest.warns(UserWarning, match="numItermax"):
        wasserstein(Clients.of(torch.from_numpy(x), torch.zeros(80), [range(40), range(40, 80)]))
