r"""A sum that hides its terms: numbers on a grid, masks that cancel, secrets in shares.

The teaching version of secure aggregation. It shows what is computed and who could compute what;
torch's random numbers are no cryptography, and no key is exchanged here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers, check_memory, check_positive

BITS = 32  # the group has 2^32 elements
PRIME = 2**31 - 1  # secrets and shares are numbers below it


@checked(x="m d")
def to_grid(x: Tensor, width: float) -> Tensor:
    r"""Return the nearest multiples of ``width``, as whole numbers: [m d].

    >>> to_grid(torch.tensor([[0.24, -1.0]]), width=0.1)
    tensor([[  2, -10]])
    """
    check_positive(width=width)
    steps = (x / width).round()
    if bool((steps.abs() >= 2.0**62).any()):
        raise ValueError(
            f"width must be coarse enough for whole numbers, got {width!r} for numbers up to "
            f"{float(x.detach().abs().max()):.3g}; take a larger width"
        )
    return steps.long()


@checked()
def pair_seeds(m: int, *, generator: torch.Generator) -> Tensor:
    """Return a secret for every pair of m clients: [m m], symmetric, below 2^31 − 1.

    >>> seeds = pair_seeds(3, generator=torch.Generator().manual_seed(0))
    >>> bool((seeds == seeds.T).all()), seeds.diagonal().tolist()
    (True, [0, 0, 0])
    """
    check_integers(2, m=m)
    if m > 10_000:
        raise ValueError(f"m must be at most 10000, one secret a pair, got {m}; use groups")
    drawn = torch.randint(PRIME, (m, m), generator=generator, device=generator.device).triu(1)
    return drawn + drawn.T


@checked()
def mask_of(i: int, seeds: Tensor, size: int, *, bits: int = BITS) -> Tensor:
    r"""Return client $i$'s mask $\sum_{j>i}s_{ij}-\sum_{j<i}s_{ij}$ modulo $2^{bits}$: [size].

    The vector $s_{ij}$ is drawn from the secret that the two clients share. The masks of all
    clients add up to zero.

    >>> seeds = torch.tensor([[0, 7], [7, 0]])
    >>> sum(mask_of(i, seeds, 2) for i in range(2)) % 2**32
    tensor([0, 0])
    """
    check_integers(0, i=i)
    check_integers(size=size, bits=bits)
    check_memory(size, size=size)
    _check_seeds(seeds, bits)
    if i >= len(seeds):
        raise ValueError(f"i must be a client from 0 to {len(seeds) - 1}, got {i}; correct i")
    mask = torch.zeros(size, dtype=torch.long)
    for j in range(len(seeds)):
        if j != i:
            drawn = _pair_vector(int(seeds[i, j]), size, bits)
            mask += drawn if j > i else -drawn
    return mask % (1 << bits)


@checked()
def masked(values: Tensor, seeds: Tensor, *, bits: int = BITS) -> Tensor:
    """Return what each client sends: its whole numbers plus its mask, modulo 2^bits: [m d].

    >>> sent = masked(torch.tensor([[5], [-3]]), torch.tensor([[0, 7], [7, 0]]))
    >>> sum_of_masked(sent)
    tensor([2])
    """
    _check_whole("values", values)
    check_integers(bits=bits)
    _check_seeds(seeds, bits)
    if len(values) != len(seeds):
        raise ValueError(
            f"values must have one row for each of the {len(seeds)} clients of seeds, got "
            f"{len(values)}; make seeds with pair_seeds"
        )
    masks = [mask_of(i, seeds, values.shape[1], bits=bits) for i in range(len(values))]
    return (values + torch.stack(masks)) % (1 << bits)


@checked()
def sum_of_masked(sent: Tensor, *, bits: int = BITS) -> Tensor:
    r"""Return the sum of what was sent, as the number between $-2^{bits-1}$ and $2^{bits-1}$: [d].

    It is the sum of the clients' numbers if that lies in this range and all clients answered.

    >>> sum_of_masked(torch.tensor([[3], [2**32 - 5]]))
    tensor([-2])
    """
    _check_whole("sent", sent)
    check_integers(bits=bits)
    _check_bits(bits)
    size, half = 1 << bits, 1 << (bits - 1)
    return ((sent % size).sum(0) + half) % size - half


@checked()
def split_secret(
    secret: int, *, needed: int, holders: int, generator: torch.Generator
) -> list[tuple[int, int]]:
    r"""Cut a secret into shares of which any ``needed`` return it, and fewer say nothing.

    The shares are the points $(x,f(x))$, $x=1,\dots,$ ``holders``, of a polynomial of degree
    ``needed`` − 1 modulo the prime $2^{31}-1$ with $f(0)$ the secret and the other coefficients
    drawn uniformly.

    >>> shares = split_secret(42, needed=2, holders=3, generator=torch.Generator().manual_seed(0))
    >>> join_secret(shares[:2]), join_secret(shares[1:])
    (42, 42)
    """
    check_integers(0, secret=secret)
    check_integers(needed=needed, holders=holders)
    if secret >= PRIME or needed > holders or holders > 10_000:
        raise ValueError(
            f"secret must be below 2^31 - 1 and needed ≤ holders ≤ 10000, got secret={secret}, "
            f"needed={needed} and holders={holders}; correct them"
        )
    drawn = torch.randint(PRIME, (needed - 1,), generator=generator, device=generator.device)
    coefficients = [secret, *drawn.tolist()]
    return [
        (x, sum(c * pow(x, k, PRIME) for k, c in enumerate(coefficients)) % PRIME)
        for x in range(1, holders + 1)
    ]


@checked()
def join_secret(shares: list[tuple[int, int]]) -> int:
    r"""Return the secret behind shares: the value at 0 of the polynomial through them.

    Lagrange's formula, $\sum_jy_j\prod_{k\ne j}\frac{x_k}{x_k-x_j}$ modulo the prime. Too few
    shares return another number, without a word.

    >>> join_secret([(1, 5), (2, 8)])  # the line 2 + 3x
    2
    """
    xs = [x for x, _ in shares]
    if not xs or len(set(xs)) < len(xs) or not all(0 < x < PRIME for x in xs):
        raise ValueError(
            f"shares must be points with different x from 1 on, got x = {xs[:10]}; pass what "
            "split_secret returned"
        )
    secret = 0
    for x, y in shares:
        top = bottom = 1
        for other in xs:
            if other != x:
                top, bottom = top * other % PRIME, bottom * (other - x) % PRIME
        secret += y * top * pow(bottom, -1, PRIME)
    return secret % PRIME


def _pair_vector(seed: int, size: int, bits: int) -> Tensor:
    """What two clients with one secret both draw: uniform on the group, [size]."""
    return torch.randint(1 << bits, (size,), generator=torch.Generator().manual_seed(seed))


def _check_whole(name: str, value: Tensor) -> None:
    if value.dtype != torch.long or value.ndim != 2 or not value.numel():
        raise ValueError(
            f"{name} must be whole numbers of torch.int64, [m d], got {tuple(value.shape)} of "
            f"{value.dtype}; make them with to_grid"
        )


def _check_bits(bits: int) -> None:
    if bits > 48:
        raise ValueError(f"bits must be at most 48, got {bits}; sums must fit in 64 bits")


def _check_seeds(seeds: Tensor, bits: int) -> None:
    _check_bits(bits)
    square = seeds.ndim == 2 and seeds.shape[0] == seeds.shape[1] > 1
    if not square or seeds.dtype != torch.long or not bool((seeds == seeds.T).all()):
        raise ValueError(
            f"seeds must be a symmetric matrix of int64, [m m], m at least 2, got "
            f"{tuple(seeds.shape)} of {seeds.dtype}; make them with pair_seeds"
        )
    if int(seeds.min()) < 0:
        raise ValueError("seeds must not be negative; make them with pair_seeds")
