"""Partitions: nobody shares a sample, nothing is lost, a seed is a seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_clients import seeded

from fedlearn_lib import (
    partition_dirichlet,
    partition_iid,
    partition_natural,
    partition_two_groups,
    split_parts,
)

MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
pools = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(torch.tensor)


def pool(counts: list[int]) -> torch.Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@settings(max_examples=60, deadline=None)
@given(pools, st.data(), st.integers(0, 2**31), st.sampled_from([None, 1e-4, 0.1, 1.0, 1e4]))
def test_partitions_are_disjoint_complete_and_reproducible(labels, data, seed: int, alpha) -> None:
    m = data.draw(st.integers(1, len(labels)))

    def deal() -> list[torch.Tensor]:
        if alpha is None:
            return partition_iid(labels, m, generator=seeded(seed))
        return partition_dirichlet(labels, m, alpha=alpha, generator=seeded(seed))

    parts = deal()
    assert len(parts) == m
    assert min(len(part) for part in parts) >= 1
    assert torch.cat(parts).sort().values.tolist() == list(range(len(labels)))
    assert equal(parts, deal())


@settings(max_examples=40, deadline=None)
@given(pools, st.integers(1, 4))
def test_natural_parts_are_the_owners(owner, least: int) -> None:
    sizes = [int((owner == who).sum()) for who in owner.unique()]
    if max(sizes) < least:
        with pytest.raises(ValueError, match=f"least={least}.*{max(sizes)} samples; lower it"):
            partition_natural(owner, least=least)
        return
    parts = partition_natural(owner, least=least)
    assert [len(part) for part in parts] == [n for n in sizes if n >= least]
    assert all(len(owner[part].unique()) == 1 for part in parts)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 20), min_size=1, max_size=5), st.floats(0.01, 0.99))
def test_splits_keep_both_sides_and_lose_nothing(sizes: list[int], test: float) -> None:
    parts = list(torch.randperm(sum(sizes), generator=seeded()).split(sizes))
    train, held = split_parts(parts, test=test, generator=seeded(1))
    for part, left, right in zip(parts, train, held, strict=True):
        assert min(len(left), len(right)) >= 1
        assert abs(len(right) - test * len(part)) <= 1
        assert torch.cat([left, right]).sort().values.equal(part.sort().values)


def test_iid_parts_differ_by_one_at_most_and_between_seeds() -> None:
    labels = torch.zeros(23)
    parts = partition_iid(labels, 5, generator=seeded(0))
    assert sorted(len(part) for part in parts) == [4, 4, 5, 5, 5]
    assert not equal(parts, partition_iid(labels, 5, generator=seeded(1)))


def test_concentration_means_what_it_says() -> None:
    labels = pool([300] * 4)

    def mixed(alpha: float) -> float:
        """The mean over clients of the share of a client's most frequent label."""
        parts = partition_dirichlet(labels, 8, alpha=alpha, generator=seeded(5))
        tops = [float(labels[part].bincount().max()) / len(part) for part in parts]
        return sum(tops) / len(tops)

    assert mixed(1e5) < 0.27 < 0.4 < mixed(0.5) < 0.8 < mixed(0.01)


def test_dirichlet_shares_have_the_mean_and_variance_of_the_law() -> None:
    # A share of Dir(2, ..., 2) over 5 clients: mean 1/5, variance (1/5)(4/5)/11. Over 400 draws of
    # a class, 5 standard errors for the mean and 25 % for the variance: false alarm below 1e-3.
    g = seeded(7)
    labels = torch.zeros(1000, dtype=torch.long)
    first = torch.tensor(
        [len(partition_dirichlet(labels, 5, alpha=2.0, generator=g)[0]) / 1000 for _ in range(400)]
    )
    variance = 0.2 * 0.8 / 11
    assert abs(float(first.mean()) - 0.2) < 5 * (variance / 400) ** 0.5
    assert abs(float(first.var()) / variance - 1) < 0.25


def wanted(m: int, a: int) -> list[list[int]]:
    first = [[a] * 5 + [0] * 5 for _ in range(m // 2)]
    second = [[0] * 10 for _ in range(m // 2)]
    for j, row in enumerate(second):
        row[j % 5], row[5 + j % 5] = a // 2, 2 * a
    return first + second


@pytest.mark.parametrize(("m", "a"), [(50, 4), (10, 7), (2, 2), (4, 3), (14, 5)])
def test_two_groups_have_the_exact_counts_and_share_nothing(m: int, a: int) -> None:
    labels = pool([200] * 10)[torch.randperm(2000, generator=seeded(2))]
    parts = partition_two_groups(labels, m, a=a, generator=seeded())
    assert [labels[part].bincount(minlength=10).tolist() for part in parts] == wanted(m, a)
    assert len(torch.cat(parts).unique()) == len(torch.cat(parts))
    assert equal(parts, partition_two_groups(labels, m, a=a, generator=seeded()))


def test_two_groups_deal_every_class_in_the_order_of_the_clients() -> None:
    """The draws are part of the protocol: class by class one shuffle, dealt from client 0 on."""
    labels, m, a = pool([60, 70, 80, 90, 65, 75, 85, 95, 70, 80]), 6, 5
    parts, g = partition_two_groups(labels, m, a=a, generator=seeded(3)), seeded(3)
    dealt: list[list[int]] = [[] for _ in range(m)]
    for c in range(10):
        rows = (labels == c).nonzero().flatten().tolist()
        rows = [rows[k] for k in torch.randperm(len(rows), generator=g).tolist()]
        for i, row in enumerate(wanted(m, a)):
            dealt[i] += [rows.pop(0) for _ in range(row[c])]
    assert [part.tolist() for part in parts] == dealt


def test_parts_may_be_lists_or_arrays() -> None:
    parts = [list(range(10)), torch.arange(10, 20).numpy()]
    tensors = [torch.as_tensor(part) for part in parts]
    for a, b in zip(*(split_parts(p, test=0.3, generator=seeded()) for p in (parts, tensors)),
                    strict=True):  # fmt: skip
        assert equal(a, b)


@pytest.mark.parametrize(
    ("counts", "m", "best"),
    [
        (MNIST_TRAIN, 50, 212),
        (MNIST_TEST, 50, 35),
        ([5000] * 10, 50, 181),
        ([1000] * 10, 50, 36),
        ([500] * 10, 50, 18),
        ([178, 182, 177, 183, 181, 182, 181, 179, 174, 180], 50, 6),
        ([20, 30, 9, 40, 50, 13, 60, 70, 80, 90], 6, 2),
    ],
)
def test_an_infeasible_a_names_the_largest_feasible_one(counts, m: int, best: int) -> None:
    fits = [
        a for a in range(2, 1000)
        if all(sum(column) <= n for column, n in zip(zip(*wanted(m, a), strict=True), counts,
                                                     strict=True))
    ]  # fmt: skip
    assert max(fits) == best
    labels, g = pool(counts), seeded()
    before = g.get_state()
    with pytest.raises(ValueError, match=f"a must be.*a={best + 1} .*largest feasible a is {best}"):
        partition_two_groups(labels, m, a=best + 1, generator=g)
    assert torch.equal(g.get_state(), before)
    assert len(partition_two_groups(labels, m, a=best, generator=g)) == m


ten = pool([30] * 10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda g: partition_iid(ten, 0, generator=g),
            "m must be from 1 to the 300 samples.*got m=0",
        ),
        (lambda g: partition_iid(ten, 301, generator=g), "m must be.*m=301; every client needs"),
        (lambda g: partition_iid(ten, 2.5, generator=g), "m must be.*2.5"),
        (lambda g: partition_iid(ten[:0], 1, generator=g), "labels must hold one real number"),
        (lambda g: partition_dirichlet(ten, 301, alpha=1.0, generator=g), "m must be"),
        (lambda g: partition_dirichlet(ten, 2, alpha=0.0, generator=g), "alpha must be.*got 0.0"),
        (lambda g: partition_dirichlet(ten, 2, alpha=-1.0, generator=g), "alpha must be.*-1.0"),
        (lambda g: partition_dirichlet(ten, 2, alpha=torch.nan, generator=g), "alpha.*nan"),
        (lambda g: partition_dirichlet(ten, 2, alpha=torch.inf, generator=g), "partition_iid"),
        (lambda g: partition_dirichlet(ten.view(-1, 2), 2, alpha=1.0, generator=g), "argmax"),
        (lambda g: partition_dirichlet(ten * torch.nan, 2, alpha=1.0, generator=g), "300 NaN"),
        (lambda g: partition_two_groups(ten, 3, a=2, generator=g), "m must be even.*3"),
        (lambda g: partition_two_groups(ten, 0, a=2, generator=g), "m must be even.*0"),
        (lambda g: partition_two_groups(ten, 2, a=1, generator=g), "a must be.*a=1 "),
        (lambda g: partition_two_groups(ten, 2, a=2.0, generator=g), "a must be an integer.*2.0"),
        (lambda g: partition_two_groups(ten, 50, a=2, generator=g), "no a is feasible"),
        (lambda g: partition_two_groups(ten + 1, 2, a=2, generator=g), "labels must be.*1 to 10"),
        (lambda g: partition_two_groups(ten - 1, 2, a=2, generator=g), "labels must be.*-1 to 8"),
        (lambda g: partition_two_groups(ten.float(), 2, a=2, generator=g), "labels must be"),
        (
            lambda g: partition_two_groups(ten[:0], 2, a=2, generator=g),
            "labels must hold one real number",
        ),
        (lambda g: partition_two_groups(ten.view(-1, 2), 2, a=2, generator=g), "argmax"),
        (lambda g: partition_natural(ten[:0]), "owner must hold"),
        (
            lambda g: partition_natural(ten.numpy()),
            "owner must be a dense tensor, got an array",
        ),
        (
            lambda g: partition_iid(ten.numpy(), 2, generator=g),
            "labels must be a dense tensor, got an array.*as_tensor",
        ),
        (lambda g: partition_dirichlet(ten.tolist(), 2, alpha=1.0, generator=g), "got list"),
        (
            lambda g: partition_two_groups(ten.numpy(), 2, a=2, generator=g),
            "labels must be a dense tensor, got an array.*as_tensor",
        ),
        (lambda g: partition_iid(ten, 2, generator=None), r"generator must be a torch\.Generator"),
        (lambda g: partition_dirichlet(ten, 2, alpha=1.0, generator=None), "generator must be"),
        (lambda g: partition_two_groups(ten, 2, a=2, generator=None), "generator must be"),
        (lambda g: split_parts([ten], test=0.5, generator=None), "generator must be"),
        (lambda g: split_parts([], test=0.2, generator=g), "parts must hold"),
        (lambda g: split_parts([ten], test=1.0, generator=g), "test must be.*1.0"),
        (
            lambda g: split_parts([ten, ten[:1]], test=0.2, generator=g),
            r"clients \[1\] of parts have fewer",
        ),
    ],
)
def test_bad_partitions_leave_the_generator_alone(make, message: str) -> None:
    g = seeded()
    before = g.get_state()
    with pytest.raises(ValueError, match=message):
        make(g)
    assert torch.equal(g.get_state(), before)
