"""Clients: the right rows, the right weights, and draws that never see padding."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_clients import assert_close, ragged_clients, seeded

from fedlearn_lib import (
    Clients,
    fedavg,
    gradient,
    gradient_dissimilarity,
    loss_of,
    mlp,
    parameters_of,
    run,
    wasserstein,
)
from fedlearn_lib.data import FlatClients, GaussianPopulation, gaussian_clients, quadratic_clients
from fedlearn_lib.federated import label_distribution, sample_cohort

X, Y = torch.arange(12.0).view(6, 2), torch.arange(6)


def test_clients_own_the_rows_they_were_given() -> None:
    parts = [[5, 0, 3], [2], [1, 4]]
    clients = Clients.of(X, Y, parts)
    assert clients.m == 3
    for i, part in enumerate(parts):
        x, y = clients.data(i)
        assert torch.equal(x, X[part])
        assert torch.equal(y, Y[part])


def test_default_weights_are_shares_of_the_samples() -> None:
    clients = Clients.of(X, Y, [[0, 1, 2], [3], [4, 5]])
    expected = torch.tensor([3, 1, 2], dtype=torch.float64) / 6
    torch.testing.assert_close(clients.p, expected, rtol=0, atol=1e-15)
    chosen = clients.weights(torch.tensor([0, 1]))
    torch.testing.assert_close(chosen, torch.tensor([0.75, 0.25], dtype=torch.float64))


def test_given_weights_are_normalized() -> None:
    clients = Clients.of(X, Y, [[0], [1]], p=[3, 1])
    assert clients.p.tolist() == [0.75, 0.25]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 10**6))
def test_draws_hit_own_samples_only(sizes: list[int], seed: int) -> None:
    clients = ragged_clients(sizes, seed=seed)
    ids = torch.arange(len(sizes))
    x, y = clients.draw(ids, steps=2, draws=3, batch=5, generator=seeded(seed))
    assert x.shape == (len(sizes), 2, 3, 5, 4)
    assert y.shape == (len(sizes), 2, 3, 5)
    for i in range(len(sizes)):
        own_x, own_y = clients.data(i)
        same = (x[i].flatten(0, 2)[:, None] == own_x).all(-1)  # [30 n_i]
        assert bool(same.any(1).all())
        row = same.int().argmax(1)
        assert torch.equal(own_y[row], y[i].flatten())  # x and y stay together


def test_a_uniform_number_next_to_one_does_not_reach_the_padding(monkeypatch) -> None:
    clients = ragged_clients([10**6 + 1, 3], d=1)
    top = torch.nextafter(torch.tensor(1.0).double(), torch.tensor(0.0).double())
    monkeypatch.setattr(
        torch, "rand", lambda shape, *, generator, dtype, device: top.to(dtype).expand(shape)
    )
    x, _ = clients.draw(torch.tensor([0, 1]), steps=1, batch=1, generator=seeded())
    assert x.flatten().tolist() == [clients.x[0, -1].item(), clients.x[1, 2].item()]


def test_draws_are_uniform_and_batches_are_different() -> None:
    # Chi-square with 6 degrees of freedom; 27.9 is exceeded with probability 1e-4.
    clients = Clients.of(torch.arange(9.0), torch.zeros(9), [range(7), [7, 8]])
    x, _ = clients.draw(torch.tensor([0]), steps=100, draws=2, batch=70, generator=seeded(3))
    counts = x.flatten().long().bincount(minlength=7).double()
    assert float(((counts - 2000) ** 2 / 2000).sum()) < 27.9
    flat = x.flatten(1, 2)[0]
    assert len(flat.unique(dim=0)) == 200


def test_ids_choose_the_clients_in_their_order() -> None:
    clients = Clients.of(torch.arange(3.0), torch.arange(3), [[0], [1], [2]])
    x, y = clients.draw(torch.tensor([2, 0]), steps=1, batch=2, generator=seeded())
    assert x.flatten().tolist() == [2, 2, 0, 0]
    assert y.flatten().tolist() == [2, 2, 0, 0]


def test_the_whole_data_of_equal_clients() -> None:
    clients = Clients.of(X, Y, [[4, 1], [0, 2], [3, 5]])
    x, y = clients.draw(torch.tensor([2, 0]), steps=3, draws=2, batch=None, generator=seeded())
    assert x.shape == (2, 3, 2, 2, 2)
    for t in range(3):
        assert torch.equal(x[0, t, 1], X[[3, 5]])
        assert torch.equal(y[1, t, 0], Y[[4, 1]])


def by_hand(**given) -> Clients:
    """Two clients of at most 3 samples, one field of them as given."""
    fields = {
        "x": X.view(2, 3, 2), "y": Y.view(2, 3), "n": torch.tensor([3, 2]),
        "p": torch.tensor([0.5, 0.5]),
    }  # fmt: skip
    return Clients(**(fields | given))


def test_clients_made_by_hand() -> None:
    clients = by_hand()
    assert clients.data(1)[1].tolist() == [3, 4]
    assert clients._replace(n=torch.tensor([1, 1])).n.tolist() == [1, 1]
    assert torch.equal(pickle.loads(pickle.dumps(clients)).x, clients.x)
    x, y, n, p = clients  # still a tuple of these four
    assert (x, y, n, p) == tuple(clients)


def test_clients_of_numpy_arrays_are_clients_of_tensors() -> None:
    parts = [np.array([5, 0, 3]), np.array([2])]
    arrays = Clients.of(X.numpy(), Y.numpy(), parts, p=np.array([0.25, 0.75]))
    tensors = Clients.of(X, Y, [[5, 0, 3], [2]], p=[0.25, 0.75])
    for a, b in zip(arrays, tensors, strict=True):
        assert torch.equal(a, b)
        assert a.dtype == b.dtype


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_whole_numbers_as_targets_become_labels(kind: torch.dtype) -> None:
    clients = Clients.of(X, Y.to(kind), [[5, 0, 3], [2]])
    assert clients.y.dtype == torch.int64
    assert clients.data(0)[1].tolist() == [5, 0, 3]


def test_the_pool_of_the_clients_is_not_their_memory() -> None:
    pool = X.numpy().copy()
    clients = Clients.of(pool, Y, [[0, 1], [2]])
    pool[:] = 0
    assert torch.equal(clients.data(0)[0], X[:2])


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: by_hand().draw(torch.tensor([0]), steps=1, batch=1, generator=g),
        lambda g: by_hand(n=torch.tensor([3, 3])).draw(
            torch.tensor([0]), steps=1, batch=None, generator=g
        ),
        lambda g: GaussianPopulation(m=5, d=3).draw(
            torch.tensor([0]), steps=1, batch=1, generator=g
        ),
        lambda g: gaussian_clients(X, n=1, generator=g),
        lambda g: sample_cohort(5, 2, generator=g),
        lambda g: sample_cohort(5, 5, generator=g),
    ],
)
@pytest.mark.parametrize("given", [None, 0])
def test_no_draw_from_everyones_generator(draw, given) -> None:
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=f"generator must be a torch.Generator, .*got {given}"):
        draw(given)
    assert torch.equal(torch.get_rng_state(), before)


def nan_at(*where: int) -> torch.Tensor:
    x = X.clone()
    x[where] = torch.nan
    return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Clients.of(X[:5], Y, [[0]]), "X and y.*5 and 6"),
        (lambda: Clients.of(nan_at(1, 0), Y, [[0]]), "X holds NaN"),
        (lambda: Clients.of(X, nan_at(2)[:, 0], [[0]]), "y holds NaN"),
        (lambda: Clients.of(X, Y, []), "parts must give every client.*0 parts"),
        (lambda: Clients.of(X, Y, [[0], []]), r"parts must give every client.*\[1\] are empty"),
        (lambda: Clients.of(X, Y, [[0], [6]]), "parts must hold row numbers from 0 to 5.*0 to 6"),
        (lambda: Clients.of(X, Y, [[-1]]), "parts must hold row numbers"),
        (lambda: Clients.of(X, Y, [Y > 2]), "parts must be flat lists.*bool.*nonzero"),
        (lambda: Clients.of(X, Y, [[0.5]]), "parts must be flat lists.*float"),
        (lambda: Clients.of(X, Y, [[[0, 1]]]), "parts must be flat lists"),
        (lambda: Clients.of(X, Y, [[0], [1]], p=[1.0]), r"p must hold.*each of the 2.*\(1,\)"),
        (lambda: Clients.of(X, Y, [[0], [1]], p=[2, -1]), r"p must be non-negative.*-1"),
        (lambda: Clients.of(X, Y, [[0], [1]], p=[0, 0]), "p must be non-negative with a positive"),
        (lambda: Clients.of(X, Y, [[0]], p=[torch.nan]), "p must be finite, got 1 NaN"),
        (
            lambda: quadratic_clients(torch.ones(2, 3, 3), torch.ones(2, 2)),
            r"w must be \[m d\].*\[2, 3, 3\]",
        ),
        (lambda: quadratic_clients(torch.ones(1, 1, 1), torch.ones(1, 1).double()), "one dtype"),
        (lambda: quadratic_clients(torch.tensor([[[1.0, 2], [0, 1]]]), X[:1]), "A must be symm.*2"),
        (
            lambda: quadratic_clients(torch.full((1, 1, 1), torch.nan), torch.ones(1, 1)),
            "A must be",
        ),
        (lambda: gaussian_clients(X, n=0, generator=seeded()), "n must be an integer.*got 0"),
        (lambda: gaussian_clients(X, n=1, scale=-1, generator=seeded()), "scale must be.*got -1"),
        (lambda: gaussian_clients(nan_at(0), n=1, generator=seeded()), "means must be finite"),
        (
            lambda: Clients.of({"x": X}, Y, [[0]]),
            "X must be a dense tensor, or a ndarray, got a dict",
        ),
        (lambda: Clients.of(X, Y[0], [[0]]), "y must have one row a sample, got no axis"),
        (lambda: Clients.of(nan_at(1, 0).numpy(), Y, [[0]]), "X holds NaN"),
        (lambda: by_hand(x=X[:, 0]), r"x must be .*\[m n …\].*\(6,\)"),
        (lambda: by_hand(y=Y.view(3, 2)), r"y must be .*\[m n …\].*\(3, 2\)"),
        (
            lambda: by_hand(x=X.view(2, 3, 2).numpy()),
            "x must be a dense tensor, got an array.*as_tensor",
        ),
        (lambda: by_hand(n=torch.tensor([5, 3])), r"n must hold.*1 to 3.*\[5, 3\]"),
        (lambda: by_hand(n=torch.tensor([0, 3])), r"n must hold.*1 to 3.*\[0, 3\]"),
        (lambda: by_hand(n=torch.tensor([3])), r"n must hold.*2 clients.*\[3\]"),
        (lambda: by_hand(n=torch.tensor([3.0, 2.0])), "n must hold.*float32"),
        (lambda: by_hand(p=torch.tensor([0.5])), "p must hold one finite weight.*2 clients"),
        (lambda: by_hand(p=torch.tensor([2.0, -1.0])), "p must be non-negative"),
        (lambda: by_hand(p=torch.tensor([2.0, 1.0])), r"p must have the sum 1, got 3; divide"),
        (lambda: by_hand()._replace(n=torch.tensor([5, 3])), r"n must hold.*\[5, 3\]"),
        (lambda: Clients._make((*by_hand()[:3], torch.ones(2))), "p must have the sum 1, got 2"),
        (lambda: GaussianPopulation(m=-5, d=3), "m must be an integer of at least 1, got -5"),
        (lambda: GaussianPopulation(m=5, d=torch.nan), "d must be an integer.*nan"),
        (lambda: GaussianPopulation(m=5, d=3, shift=-1.0), "shift must be.*-1.0"),
        (lambda: GaussianPopulation(m=5, d=3, seed=0.5), "seed must be.*0.5"),
        (lambda: GaussianPopulation(5, 3)._replace(m=0), "m must be.*0"),
        (lambda: GaussianPopulation._make((5, 0)), "d must be.*0"),
    ],
)
def test_bad_clients(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        ([0], {"batch": 0}, "batch must be an integer of at least 1, got 0"),
        ([0], {"batch": 2.5}, "batch must be an integer.*2.5"),
        ([0], {"steps": 0}, "steps must be"),
        ([0], {"draws": -1}, "draws must be.*-1"),
        ([], {}, "ids must be numbers of clients from 0 to 1"),
        ([2], {}, r"ids must be.*\[2\]"),
        ([-1], {}, r"ids must be.*\[-1\]"),
        ([0, 1], {"batch": None}, "batch=None"),
    ],
)
@pytest.mark.parametrize("kind", ["stored", "lazy"])
def test_bad_draws_leave_the_generator_alone(kind: str, ids, options, message: str) -> None:
    stored = ragged_clients([3, 2])
    clients = stored if kind == "stored" else GaussianPopulation(m=2, d=3)
    g = seeded()
    before = g.get_state()
    with pytest.raises(ValueError, match=message):
        clients.draw(
            torch.tensor(ids, dtype=torch.long),
            **({"steps": 1, "batch": 1, "generator": g} | options),
        )
    assert torch.equal(g.get_state(), before)


def test_clients_without_weight() -> None:
    clients = Clients.of(X, Y, [[0], [1], [2]], p=[1, 0, 0])
    with pytest.raises(ValueError, match=r"ids \[1, 2\] have no weight"):
        clients.weights(torch.tensor([1, 2]))


def test_gaussian_clients_have_their_means() -> None:
    # 30 means of 400 samples: each is off by more than 5/20 with probability 6e-7, any: 2e-5.
    means = 3 * torch.randn(10, 3, generator=seeded(1), dtype=torch.float64)
    clients = gaussian_clients(means, n=400, generator=seeded(2))
    assert float((clients.x.mean(1) - means).abs().max()) < 5 / 20
    assert torch.equal(clients.y, torch.arange(10)[:, None].expand(10, 400))


def test_a_lazy_client_has_the_same_law_whoever_else_is_drawn() -> None:
    # Its shift is fixed by (seed, i); 3 coordinates of 4,000 samples, 5 standard errors: 2e-6.
    population = GaussianPopulation(m=10**12, d=3, shift=2.0)
    together = population.draw(
        torch.tensor([5, 10**12 - 1]), steps=1, batch=4000, generator=seeded(0)
    )
    alone = population.draw(torch.tensor([10**12 - 1]), steps=1, batch=4000, generator=seeded(1))
    center = [(x - (2 * y[..., None] - 1) / 3**0.5).mean(3) for x, y in (together, alone)]
    gap = (center[0][1] - center[1][0]).abs().max()
    assert float(gap) < 5 * (2 / 4000) ** 0.5
    assert float((center[0][0] - center[0][1]).abs().max()) > 0.5


# --- samples end to end


def both_ways(sizes: list[int], seed: int = 0) -> tuple[Clients, FlatClients]:
    total, g = sum(sizes), seeded(seed)
    x, y = torch.randn(total, 2, 3, generator=g), torch.randint(5, (total,), generator=g)
    parts = list(torch.randperm(total, generator=g).split(sizes))
    return Clients.of(x, y, parts), FlatClients.of(x, y, parts)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 10**6))
def test_flat_clients_are_the_padded_ones(sizes: list[int], seed: int) -> None:
    padded, flat = both_ways(sizes, seed)
    assert flat.m == padded.m
    assert torch.equal(flat.n, padded.n)
    assert torch.equal(flat.p, padded.p)
    assert flat.x.shape == (sum(sizes), 2, 3)
    for i in range(len(sizes)):
        for a, b in zip(flat.data(i), padded.data(i), strict=True):
            assert torch.equal(a, b)
    ids = torch.randperm(len(sizes), generator=seeded(seed))
    draws = [c.draw(ids, steps=2, draws=3, batch=4, generator=seeded(1)) for c in (padded, flat)]
    for a, b in zip(*draws, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(flat.weights(ids), padded.weights(ids))


def test_flat_clients_of_equal_size_give_their_whole_data() -> None:
    padded, flat = both_ways([4, 4, 4])
    ids = torch.tensor([2, 0])
    draws = [c.draw(ids, steps=2, batch=None, generator=seeded()) for c in (padded, flat)]
    for a, b in zip(*draws, strict=True):
        assert torch.equal(a, b)


def test_one_large_client_costs_what_its_samples_cost() -> None:
    sizes = [2000] + [1] * 200
    x, y = torch.zeros(2200, 28), torch.zeros(2200)
    clients = FlatClients.of(x, y, list(torch.arange(2200).split(sizes)))
    assert clients.x.nbytes == x.nbytes
    assert clients.to("meta").x.shape == (2200, 28)


def test_flat_clients_run_and_have_distances() -> None:
    padded, flat = both_ways([6, 3, 8])
    model = mlp(6, 4, 5, activation="tanh")
    loss = loss_of(model)
    options = {"rounds": 2, "cohort": 2, "steps": 2, "batch": 3}
    ends = [
        run(fedavg(gradient(loss), lr=0.1), parameters_of(model), c, generator=seeded(),
            **options)[0].w
        for c in (padded, flat)
    ]  # fmt: skip
    assert_close(*ends, 0)
    assert torch.equal(wasserstein(padded), wasserstein(flat))
    assert torch.equal(label_distribution(padded, 5), label_distribution(flat, 5))
    gaps = [gradient_dissimilarity(loss, parameters_of(model), c) for c in (padded, flat)]
    assert gaps[0] == gaps[1] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": torch.tensor([3, 4])}, r"n must.*add up to the 6 rows of x and y, got \[3, 4\]"),
        ({"n": torch.tensor([6, 0])}, r"n must.*at least 1.*\[6, 0\]"),
        ({"y": Y[:5]}, "n must.*6 rows of x and y.*5"),
        ({"p": torch.tensor([0.5, 0.6])}, "p must have the sum 1"),
    ],
)
def test_bad_flat_clients(change, message: str) -> None:
    good = {"x": X, "y": Y, "n": torch.tensor([2, 4]), "p": torch.tensor([0.5, 0.5])}
    FlatClients(**good)
    with pytest.raises(ValueError, match=message):
        FlatClients(**(good | change))


def test_flat_clients_without_equal_sizes_have_no_whole_batches() -> None:
    _, flat = both_ways([4, 3])
    with pytest.raises(ValueError, match="batch=None"):
        flat.draw(torch.tensor([0, 1]), steps=1, batch=None, generator=seeded())


@pytest.mark.parametrize("i", [-1, 3])
def test_a_client_that_is_not_there_has_no_data(i: int) -> None:
    """FlatClients gave client -1 no samples at all, and Clients the last one's."""
    for clients in both_ways([4, 3, 5]):
        with pytest.raises(ValueError, match=f"i must be a client's number from 0 to 2, got {i}"):
            clients.data(i)


def test_batches_beyond_the_memory_are_refused_before_they_are_drawn() -> None:
    g = seeded()
    before = g.get_state()
    for clients in (*both_ways([4, 3]), GaussianPopulation(m=2, d=3)):
        with pytest.raises(ValueError, match=r"batch=10000000000000 would need .* GiB at once"):
            clients.draw(torch.tensor([0]), steps=1, batch=10**13, generator=g)
    assert torch.equal(g.get_state(), before)
