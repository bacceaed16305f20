"""Sums that hide their terms: masks, grids, shares."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import pytest
import torch
from toy_clients import seeded

from fedlearn_lib.federated import (
    join_secret,
    mask_of,
    masked,
    pair_seeds,
    quantize,
    split_secret,
    sum_of_masked,
    to_grid,
)
from fedlearn_lib.federated.secure import PRIME


@pytest.mark.parametrize("bits", [8, 32, 48])
@pytest.mark.parametrize("m", [2, 3, 7])
def test_the_masks_cancel_exactly(m: int, bits: int) -> None:
    """Theorem 15.6: the sum of what is sent is the sum of the numbers, negative ones too."""
    k = torch.randint(-9, 10, (m, 50), generator=seeded(m))
    seeds = pair_seeds(m, generator=seeded(bits))
    sent = masked(k, seeds, bits=bits)
    assert bool((sent >= 0).all())
    assert bool((sent < 2**bits).all())
    assert torch.equal(sum_of_masked(sent, bits=bits), k.sum(0))
    masks = torch.stack([mask_of(i, seeds, 50, bits=bits) for i in range(m)])
    assert not (masks.sum(0) % 2**bits).any()
    assert masks.unique().numel() > 25  # and are no zeros


def seen(k: tuple[int, ...], M: int = 3) -> Counter:
    """What the server sees of three clients, for all choices of the masks of Algorithm 15.5."""
    views: Counter = Counter()
    for s12, s13, s23 in product(range(M), repeat=3):
        views[(k[0] + s12 + s13) % M, (k[1] - s12 + s23) % M, (k[2] - s13 - s23) % M] += 1
    return views


def test_what_is_sent_is_uniform_given_the_sum() -> None:
    """Theorem 15.6: all messages with one sum look alike, by enumeration of all masks."""
    for k in product(range(3), repeat=3):
        assert seen(k) == seen((sum(k) % 3, 0, 0))
        assert set(seen(k).values()) == {3}
        assert len(seen(k)) == 9
    assert seen((1, 0, 0)) != seen((2, 0, 0))


def test_the_library_masks_as_the_algorithm_says() -> None:
    """Theorem 15.6: with fresh secrets every client's message is uniform, whatever its number."""
    counts = torch.zeros(2, 4)
    for seed in range(2000):
        sent = masked(torch.tensor([[3], [-2]]), pair_seeds(2, generator=seeded(seed)), bits=2)
        counts[0, sent[0, 0]] += 1
        counts[1, sent[1, 0]] += 1
        assert int(sum_of_masked(sent, bits=2)) == 1
    assert bool((counts - 500).abs().max() < 5 * (2000 * 3 / 16) ** 0.5)


@pytest.mark.parametrize("width", [1e-6, 0.01, 0.5])
def test_the_grid_costs_half_a_step(width: float) -> None:
    """Proposition 15.7: the mean is off by at most ω/2, and by nearly that somewhere."""
    x = torch.randn(6, 400, generator=seeded(), dtype=torch.float64)
    seeds = pair_seeds(6, generator=seeded(1))
    mean = width * sum_of_masked(masked(to_grid(x, width), seeds)) / 6
    worst = float((mean - x.mean(0)).abs().max())
    assert width / 20 < worst <= width / 2 + 1e-15
    narrow = width * sum_of_masked(masked(to_grid(x, width), seeds, bits=3), bits=3) / 6
    assert float((narrow - x.mean(0)).abs().max()) > width / 2  # the clock is too small


def test_random_rounding_has_no_bias_and_a_small_variance() -> None:
    """Proposition 15.7: the variance of the mean of m clients is at most ω²/4m."""
    row = torch.tensor([[1.0, 0.125, -0.4, 0.0]], dtype=torch.float64)
    many = quantize(row.expand(200_000, -1), 4, generator=seeded()).view(50_000, 4, 4).mean(1)
    bound = 0.25**2 / 4 / 4
    assert bool((many.var(0) < 1.05 * bound).all())
    assert float(many[:, 1].var()) > 0.95 * bound  # halfway between two multiples
    assert bool((many.mean(0) - row).abs().max() < 5 * (bound / 50_000) ** 0.5)


@pytest.mark.parametrize(("needed", "holders"), [(1, 1), (2, 3), (3, 5), (5, 5)])
def test_any_enough_shares_return_the_secret(needed: int, holders: int) -> None:
    """Proposition 15.8: every subset of t shares does, and more than t as well."""
    for secret in (0, 1, 20_27, PRIME - 1):
        shares = split_secret(secret, needed=needed, holders=holders, generator=seeded(secret % 97))
        for size in range(needed, holders + 1):
            assert {join_secret(list(some)) for some in combinations(shares, size)} == {secret}
        if needed > 1:
            assert join_secret(shares[: needed - 1]) != secret


def test_too_few_shares_have_one_law_for_every_secret() -> None:
    """Proposition 15.8: two of three shares of all parabolas modulo 5, by enumeration."""

    def two_shares(secret: int) -> Counter:
        return Counter(
            tuple((secret + a * x + b * x * x) % 5 for x in (1, 3))
            for a, b in product(range(5), repeat=2)
        )

    assert all(two_shares(secret) == two_shares(0) for secret in range(5))
    assert set(two_shares(0).values()) == {1}


def test_a_lost_client_is_repaired_from_shares() -> None:
    k = torch.randint(-99, 100, (5, 20), generator=seeded())
    seeds = pair_seeds(5, generator=seeded(2))
    sent = masked(k, seeds)[[0, 1, 3, 4]]
    assert not torch.equal(sum_of_masked(sent), k[[0, 1, 3, 4]].sum(0))
    found = torch.zeros_like(seeds)
    for j in (0, 1, 3, 4):
        shares = split_secret(int(seeds[2, j]), needed=3, holders=5, generator=seeded(j))
        found[2, j] = found[j, 2] = join_secret(shares[1:4])
    left = mask_of(2, found, 20)
    assert torch.equal(sum_of_masked(torch.cat([sent, left[None]])), k[[0, 1, 3, 4]].sum(0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: to_grid(torch.ones(2, 2), 0.0), "width must be a positive"),
        (lambda: to_grid(torch.full((1, 1), 1e30), 1e-9), "width must be coarse"),
        (lambda: masked(torch.ones(2, 2), pair_seeds(2, generator=seeded())), "values must be"),
        (lambda: masked(torch.ones(3, 2).long(), pair_seeds(2, generator=seeded())), "one row"),
        (lambda: mask_of(2, torch.tensor([[0, 1], [1, 0]]), 3), "i must be a client"),
        (lambda: mask_of(0, torch.tensor([[0, 1], [2, 0]]), 3), "symmetric"),
        (lambda: sum_of_masked(torch.ones(2, 2).long(), bits=60), "bits must be at most 48"),
        (lambda: split_secret(1, needed=3, holders=2, generator=seeded()), "needed ≤ holders"),
        (lambda: split_secret(PRIME, needed=1, holders=2, generator=seeded()), "below"),
        (lambda: join_secret([(1, 2), (1, 3)]), "different x"),
        (lambda: join_secret([]), "different x"),
    ],
)
def test_bad_input_gets_a_sentence(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
