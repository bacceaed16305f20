"""Optimal transport between clients: of their inputs, their labels, and both together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import (
    check_choice,
    check_finite,
    check_integers,
    check_memory,
    check_positive,
)
from fedlearn_lib.data.clients import Batch, Clients
from fedlearn_lib.data.optional import need


class _Law(NamedTuple):
    """Points [n d], their labels [n k] where they count, and their masses [n] (sum one)."""

    x: np.ndarray
    y: np.ndarray
    mass: np.ndarray


Cost = Callable[[_Law, _Law], np.ndarray]


@checked()
def wasserstein(
    clients: Clients,
    *,
    on: str = "x",
    order: int = 1,
    label_cost: float = 1.0,
    threads: int | None = None,
) -> Tensor:
    r"""Return the exact Wasserstein distance between all pairs of clients: [m m], float64.

    $$W_q(\mu,\nu)=\Big(\min_{\pi\in\Pi(\mu,\nu)}\int d(z,z')^q\,d\pi\Big)^{1/q}$$
    between the empirical laws of the clients' samples.

    Parameters
    ----------
    on : ``"x"``, inputs under the Euclidean distance; ``"y"``, labels under the distance that is 1
        between different labels, for which $W_1$ is the total variation; ``"xy"``, pairs under
        $d((x,y),(x',y'))=\|x-x'\|+\lambda\,1[y\ne y']$, a metric because both parts are.
    order : q.
    label_cost : $\lambda>0$ of ``on="xy"``, in the units of x: how far a sample would rather
        travel than change its label.
    threads : pairs solved at the same time; by default one a processor.

    Solved by POT's network simplex (Flamary et al., JMLR 2021), ``ot.emd2``.

    >>> x = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    >>> clients = Clients.of(x, torch.tensor([0, 1, 0, 0]), [[0, 1], [2, 3]])
    >>> wasserstein(clients)
    tensor([[0., 5.],
            [5., 0.]], dtype=torch.float64)
    >>> wasserstein(clients, on="xy", label_cost=3.0)[0, 1]   # half of the labels must change
    tensor(6.5000, dtype=torch.float64)
    """
    cost = _cost(on, order, label_cost)
    check_integers(threads=threads)
    laws = [_law(clients.data(i), on) for i in range(clients.m)]
    pairs = [(i, j) for i in range(clients.m) for j in range(i)]
    values = _solve(cost, [(laws[i], laws[j]) for i, j in pairs], order, threads)
    return _symmetric(clients.m, pairs, values)


@checked()
def wasserstein_to_pool(
    clients: Clients,
    pool: Batch | None = None,
    *,
    on: str = "x",
    order: int = 1,
    label_cost: float = 1.0,
    threads: int | None = None,
) -> Tensor:
    r"""Return the distance of every client's law to that of the pool, $W_q(\mu_i,\mu)$: [m].

    Without ``pool``, $\mu=\sum_jp_j\mu_j$ is the clients' own mixture: each sample of client $j$
    has the mass $p_j/n_j$. It is the law whose expected loss is $f=\sum_jp_jf_j$. Otherwise
    ``pool`` is ``(x, y)``, samples like the clients', with equal masses. Equal samples are merged
    before the plan is sought.

    The other parameters are those of :func:`wasserstein`.

    >>> x = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    >>> clients = Clients.of(x, torch.zeros(4), [[0, 1], [2, 3]], p=[0.8, 0.2])
    >>> [round(d, 6) for d in wasserstein_to_pool(clients).tolist()]
    [1.0, 4.0]
    """
    cost = _cost(on, order, label_cost)
    check_integers(threads=threads)
    if pool is not None:
        _check_pool(pool, clients, on)
    own = [_law(clients.data(i), on) for i in range(clients.m)]
    whole = _mixture(own, clients.p.tolist()) if pool is None else _merged(_law(pool, on, "pool"))
    return torch.tensor(
        _solve(cost, [(_merged(law), whole) for law in own], order, threads), dtype=torch.float64
    )


@checked()
def sliced_wasserstein(
    clients: Clients, *, order: int = 1, directions: int = 50, generator: torch.Generator
) -> Tensor:
    r"""Return the sliced Wasserstein distance between all pairs of clients: [m m], float64.

    The mean over random unit vectors $u$ of $W_q$ between the laws of $\langle u,x\rangle$, to the
    power $q$ inside and $1/q$ outside. In one dimension the optimal plan sorts, so each client is
    projected and sorted once (Bonneel, Rabin, Peyré, Pfister, 2015). Between clients of equal size
    the rest is a difference; others take POT's ``ot.wasserstein_1d``, pair by pair.

    >>> x = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    >>> clients = Clients.of(x, torch.zeros(4), [[0, 1], [2, 3]])
    >>> sliced_wasserstein(clients, generator=torch.Generator().manual_seed(0))
    tensor([[0., 5.],
            [5., 0.]], dtype=torch.float64)
    """
    check_integers(order=order, directions=directions)
    check_memory(directions * clients.m * int(clients.n.max()), directions=directions)
    samples = [_law(clients.data(i), "x").x for i in range(clients.m)]
    u = torch.randn(samples[0].shape[1], directions, generator=generator, dtype=torch.float64)
    u = (u / u.norm(dim=0)).numpy()
    lines = [np.sort(u.T @ sample.T) for sample in samples]  # [directions n_i]
    if int(clients.n.min()) == int(clients.n.max()):
        flat = torch.from_numpy(np.stack(lines)).flatten(1)  # [m directions·n]
        above = torch.zeros(clients.m, clients.m, dtype=torch.float64)
        i, j = torch.triu_indices(clients.m, clients.m, 1)
        above[i, j] = torch.pdist(flat, order) / flat.shape[1] ** (1 / order)
        return above + above.T
    ot = _pot()
    pairs = [(i, j) for i in range(clients.m) for j in range(i)]
    values = [
        float(ot.wasserstein_1d(lines[i].T, lines[j].T, p=order, require_sort=False).mean())
        ** (1 / order)
        for i, j in pairs
    ]
    return _symmetric(clients.m, pairs, values)


def _pot() -> Any:
    return need("ot", package="POT", what="a distance between clients")


def _law(batch: Batch, on: str, name: str = "clients") -> _Law:
    for axis, part in zip("xy", batch, strict=True):
        if axis in on:
            check_finite(f"the {axis} of {name}", part)
    x, y = (part.detach().cpu().reshape(len(part), -1).double().numpy() for part in batch)
    n = len(x)
    kept = x if "x" in on else np.empty((n, 0)), y if "y" in on else np.empty((n, 0))
    return _Law(*kept, np.full(n, 1 / n))


def _check_pool(pool: Batch, clients: Clients, on: str) -> None:
    if not pool[0].ndim or not pool[1].ndim:
        raise ValueError("pool must have one row a sample in x and y, got no axis; use x[None]")
    if len(pool[0]) != len(pool[1]) or len(pool[0]) == 0:
        raise ValueError(
            "pool must have at least one sample and as many labels as samples, got "
            f"{len(pool[0])} and {len(pool[1])}; take both from one data set"
        )
    for name, part, like in zip("xy", pool, (clients.x, clients.y), strict=True):
        if name not in on:
            continue
        if part.shape[1:] != like.shape[2:]:
            raise ValueError(
                f"the {name} of pool must have samples of the clients' shape "
                f"{tuple(like.shape[2:])}, got {tuple(part.shape[1:])}; reshape it"
            )


def _merged(law: _Law) -> _Law:
    """Join equal samples, adding their masses, and drop those without mass."""
    d = law.x.shape[1]
    points, place = np.unique(np.hstack([law.x, law.y]), axis=0, return_inverse=True)
    mass = np.bincount(place.reshape(-1), weights=law.mass, minlength=len(points))
    return _Law(points[mass > 0, :d], points[mass > 0, d:], mass[mass > 0])


def _mixture(laws: list[_Law], p: list[float]) -> _Law:
    mass = np.concatenate([share * law.mass for law, share in zip(laws, p, strict=True)])
    parts = (np.concatenate([law.x for law in laws]), np.concatenate([law.y for law in laws]))
    return _merged(_Law(*parts, mass / mass.sum()))


def _cost(on: str, order: int, label_cost: float) -> Cost:
    check_choice("on", on, ("x", "y", "xy"))
    check_integers(order=order)
    check_positive(label_cost=label_cost)
    weight = label_cost if on == "xy" else 1.0

    def cost(a: _Law, b: _Law) -> np.ndarray:
        ot = _pot()
        total: np.ndarray = ot.dist(a.x, b.x, metric="euclidean") if "x" in on else np.zeros(())
        if "y" in on:
            total = total + weight * (a.y[:, None] != b.y[None]).any(-1)
        return total if order == 1 else total**order

    return cost


def _solve(
    cost: Cost, problems: Sequence[tuple[_Law, _Law]], order: int, threads: int | None
) -> list[float]:
    from threadpoolctl import threadpool_limits

    ot = _pot()

    def solve(problem: tuple[_Law, _Law]) -> float:
        a, b = problem
        least = float(ot.emd2(a.mass, b.mass, cost(a, b), numItermax=1_000_000))
        distance: float = max(least, 0.0) ** (1 / order)  # rounding can make a zero negative
        return distance

    # One thread a pair: threads inside the matrix products would only fight over the processors.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        return list(pool.map(solve, problems))


def _symmetric(m: int, pairs: list[tuple[int, int]], values: list[float]) -> Tensor:
    out = torch.zeros(m, m, dtype=torch.float64)
    for (i, j), value in zip(pairs, values, strict=True):
        out[i, j] = out[j, i] = value
    return out
