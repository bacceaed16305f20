"""Ways to deal one pool of labelled samples to m clients.

Every partition returns ``list[Tensor]``: for each client the row numbers it receives.
The rows of different clients never overlap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_nonnegative
from fedlearn_lib.data._pool import rows_of


@checked()
def partition_iid(labels: Tensor, m: int, *, generator: torch.Generator) -> list[Tensor]:
    """Shuffle the pool and cut it into m parts whose sizes differ by one at most.

    >>> parts = partition_iid(torch.zeros(10), 3, generator=torch.Generator().manual_seed(0))
    >>> [len(part) for part in parts]
    [4, 3, 3]
    """
    _check_m(labels, m)
    return list(torch.tensor_split(torch.randperm(len(labels), generator=generator), m))


@checked()
def partition_dirichlet(
    labels: Tensor, m: int, *, alpha: float, generator: torch.Generator
) -> list[Tensor]:
    r"""Deal each class to the clients in shares drawn from a Dirichlet distribution.

    For every class $c$ draw $q_c\sim\mathrm{Dir}(\alpha,\dots,\alpha)$ over the clients and
    give client $i$ the fraction $q_{ci}$ of the samples of class $c$ (Yurochkin et al., 2019,
    arXiv:1905.12022; Hsu, Qi, Brown, 2019, draw over the classes for each client).
    Small $\alpha$: few clients own a class; $\alpha\to\infty$: equal shares. A client that is
    left with nothing takes one sample from the largest, so no client is empty.

    >>> labels = torch.arange(100) % 2
    >>> parts = partition_dirichlet(labels, 4, alpha=100.0,
    ...                             generator=torch.Generator().manual_seed(0))
    >>> sum(len(part) for part in parts)
    100
    """
    _check_m(labels, m)
    if not alpha > 0 or alpha == float("inf"):
        raise ValueError(
            f"alpha must be a positive finite number, got {alpha}; "
            "use partition_iid for equal shares"
        )
    parts: list[list[Tensor]] = [[] for _ in range(m)]
    rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    for c in torch.unique(labels):
        rows = _shuffled_rows(labels, c, generator)
        shares = torch.from_numpy(rng.dirichlet([alpha] * m))
        cuts = (shares.cumsum(0)[:-1] * len(rows)).round().long()
        for part, piece in zip(parts, torch.tensor_split(rows, cuts), strict=True):
            part.append(piece)
    return _fill_empty([torch.cat(part) for part in parts])


@checked()
def partition_two_groups(
    labels: Tensor, m: int, *, a: int, generator: torch.Generator
) -> list[Tensor]:
    r"""Make the two groups of users of the Per-FedAvg paper.

    Ten classes. Each of the first $m/2$ clients gets $a$ samples of each of the classes 0-4.
    Client $j$ of the other half gets $a/2$ samples of class $j \bmod 5$ and $2a$ samples of
    class $5 + (j \bmod 5)$ (Fallah, Mokhtari, Ozdaglar, 2020, Section 5). For odd $a$ the half
    is rounded down. No sample is used twice: with 50 clients the largest $a$ is 212 on MNIST's
    training images and 35 on its test images.

    >>> labels = torch.arange(1000) % 10
    >>> parts = partition_two_groups(labels, 10, a=8, generator=torch.Generator().manual_seed(0))
    >>> labels[parts[0]].bincount(minlength=10).tolist()
    [8, 8, 8, 8, 8, 0, 0, 0, 0, 0]
    >>> labels[parts[5]].bincount(minlength=10).tolist()
    [4, 0, 0, 0, 0, 16, 0, 0, 0, 0]
    """
    _check_two_groups(labels, m, a)
    counts = _two_group_counts(m, a)
    parts: list[list[Tensor]] = [[] for _ in range(m)]
    for c in range(10):
        wanted = counts[:, c].tolist()  # one number a client; what is left over nobody gets
        dealt = _shuffled_rows(labels, c, generator)[: sum(wanted)].split(wanted)
        for part, piece in zip(parts, dealt, strict=True):
            part.append(piece)
    return [torch.cat(part) for part in parts]


@checked()
def partition_natural(owner: Tensor, *, least: int = 1) -> list[Tensor]:
    """Give every sample to its real owner: a hospital, a writer.

    Parameters
    ----------
    owner : [N], who made each sample (``Dataset.client``); any integers.
    least : leave out owners with fewer samples than this.

    >>> [part.tolist() for part in partition_natural(torch.tensor([7, 3, 7, 7]))]
    [[1], [0, 2, 3]]
    >>> [part.tolist() for part in partition_natural(torch.tensor([7, 3, 7, 7]), least=2)]
    [[0, 2, 3]]
    """
    _check_labels(owner, "owner")
    check_nonnegative(least=least)
    parts = [(owner == who).nonzero().flatten() for who in torch.unique(owner)]
    kept = [part for part in parts if len(part) >= least]
    if not kept:
        most = max((len(part) for part in parts), default=0)
        raise ValueError(
            f"least={least} leaves no client: the largest owner has {most} samples; lower it"
        )
    return kept


@checked()
def split_parts(
    parts: Sequence[Tensor | Sequence[int]], *, test: float, generator: torch.Generator
) -> tuple[list[Tensor], list[Tensor]]:
    r"""Hold out about a fraction ``test`` of every client's rows: $(\text{train}, \text{test})$.

    Both sides keep at least one sample, so a client with a single sample is an error.

    >>> train, test = split_parts([torch.arange(10)], test=0.2,
    ...                           generator=torch.Generator().manual_seed(0))
    >>> len(train[0]), len(test[0])
    (8, 2)
    """
    if not 0 < test < 1:
        raise ValueError(f"test must be a fraction between 0 and 1, got {test}; try 0.2")
    owned = rows_of(parts)
    if not owned:
        raise ValueError("parts must hold at least one client, got none; partition a pool first")
    small = [i for i, rows in enumerate(owned) if len(rows) < 2]
    if small:
        raise ValueError(
            f"the clients {small[:10]} of parts have fewer than 2 samples and cannot be split; "
            "drop them"
        )
    sides: tuple[list[Tensor], list[Tensor]] = ([], [])
    for rows in owned:
        held = min(max(round(test * len(rows)), 1), len(rows) - 1)
        rows = rows[torch.randperm(len(rows), generator=generator)]
        sides[0].append(rows[held:])
        sides[1].append(rows[:held])
    return sides


def _shuffled_rows(labels: Tensor, c: int | Tensor, generator: torch.Generator) -> Tensor:
    """The numbers of the rows of class c, in random order."""
    rows = (labels == c).nonzero().flatten()
    return rows[torch.randperm(len(rows), generator=generator)]


def _check_labels(labels: Tensor, name: str = "labels") -> None:
    if labels.ndim != 1 or len(labels) == 0 or labels.is_complex() or bool(labels.isnan().any()):
        raise ValueError(
            f"{name} must hold one real number a sample and no NaN, got {tuple(labels.shape)} with "
            f"{int(labels.isnan().sum())} NaN; turn one-hot rows into numbers with argmax(-1)"
        )


def _check_m(labels: Tensor, m: int) -> None:
    _check_labels(labels)
    if not 1 <= m <= len(labels):
        raise ValueError(
            f"m must be from 1 to the {len(labels)} samples that have labels, got m={m!r}; "
            "every client needs at least one sample"
        )


def _check_two_groups(labels: Tensor, m: int, a: int) -> None:
    if m < 2 or m % 2:
        raise ValueError(
            f"m must be even and at least 2 for two groups of equal size, got {m!r}; "
            "the paper takes m=50"
        )
    _check_m(labels, m)
    whole = not (labels.is_floating_point() or labels.dtype == torch.bool)
    if not whole or int(labels.min()) < 0 or int(labels.max()) > 9:
        raise ValueError(
            "labels must be the integers 0 to 9, got values "
            f"from {labels.min().item()} to {labels.max().item()} ({labels.dtype}); "
            "the split is made for ten classes, use partition_dirichlet for others"
        )
    available = labels.bincount(minlength=10)
    best = _largest_a(m, available)
    if not 2 <= a <= best:
        remedy = (
            f"the largest feasible a is {best}" if best else "no a is feasible: use fewer clients"
        )
        raise ValueError(
            f"a must be an integer of at least 2 that fits the pool, got a={a!r} for m={m} clients "
            f"and {available.tolist()} samples a class; {remedy}"
        )


def _two_group_counts(m: int, a: int) -> Tensor:
    """How many samples of each class each client gets: [m 10]."""
    broad, narrow = torch.zeros(2, m // 2, 10, dtype=torch.long)
    broad[:, :5] = a
    j = torch.arange(m // 2)
    narrow[j, j % 5] = a // 2
    narrow[j, 5 + j % 5] = 2 * a
    return torch.cat([broad, narrow])


def _largest_a(m: int, available: Tensor) -> int:
    """The largest a of at least 2 for which no class runs out; 0 if there is none."""
    a = 2
    while bool((_two_group_counts(m, a).sum(0) <= available).all()):
        a += 1
    return a - 1 if a > 2 else 0


def _fill_empty(parts: list[Tensor]) -> list[Tensor]:
    parts = list(parts)
    for i in range(len(parts)):
        if len(parts[i]) == 0:
            rich = max(range(len(parts)), key=lambda j: len(parts[j]))
            parts[i], parts[rich] = parts[rich][:1], parts[rich][1:]
    return parts
