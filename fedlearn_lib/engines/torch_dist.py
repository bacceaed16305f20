r"""Several processes instead of one: the server first takes the weighted mean over them.

The only thing that clients of this library do together is a weighted mean of messages. So a
simulation that is divided among processes needs two all-reduces a round, and nothing else changes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from fedlearn_lib._checked import checked, checked_anywhere, checked_record
from fedlearn_lib._checks import check_draw, check_ids, check_integers
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated._population import Population
from fedlearn_lib.federated.algorithm import Algorithm, M, S
from fedlearn_lib.trees import Params

__all__ = ["Shard", "all_reduced"]

SKIP = 64  # clients of other processes whose draws are thrown away in one call


@checked_record()
class Shard(NamedTuple):
    r"""The clients from ``first`` to ``last - 1`` of a population: those of one process.

    It consumes randomness like the whole population. With the same seed in every process, and all
    clients in every round, each client draws exactly what it draws in a single process.

    >>> from fedlearn_lib.data import GaussianPopulation
    >>> shard = Shard.of(GaussianPopulation(m=10, d=3), rank=1, processes=4)
    >>> shard.first, shard.last, shard.m, round(shard.weight, 3)
    (2, 5, 3, 0.3)
    """

    clients: Population
    first: int
    last: int

    def _check(self) -> None:
        _check_population(self.clients)
        check_integers(0, first=self.first)
        check_integers(last=self.last)
        if not self.first < self.last <= self.clients.m:
            raise ValueError(
                f"first must be below last, and last at most the number of clients "
                f"{self.clients.m}, got {self.first} and {self.last}; see Shard.of"
            )

    @classmethod
    @checked()
    def of(cls, clients: Population, *, rank: int, processes: int) -> Shard:
        """Divide the clients into ``processes`` runs of nearly equal length; take number ``rank``.

        >>> from fedlearn_lib.data import GaussianPopulation
        >>> [Shard.of(GaussianPopulation(m=10, d=3), rank=r, processes=3).m for r in range(3)]
        [3, 3, 4]
        """
        _check_population(clients)
        if not 1 <= processes <= clients.m:
            raise ValueError(
                f"processes must be from 1 to the number of clients {clients.m}, got {processes}; "
                "a process without clients has no mean, start fewer"
            )
        if not 0 <= rank < processes:
            raise ValueError(
                f"rank must be from 0 to processes-1={processes - 1}, got {rank}; take it from "
                "torch.distributed.get_rank()"
            )
        ends = [clients.m * r // processes for r in (rank, rank + 1)]
        return cls(clients, *ends)

    @property
    def m(self) -> int:
        """The number of clients of this process."""
        return self.last - self.first

    @property
    def weight(self) -> float:
        r"""The weight of this process's clients among all, $\sum_{i\in\text{shard}}p_i$."""
        return float(
            self.clients.weights(torch.arange(self.clients.m))[self.first : self.last].sum()
        )

    @checked()
    def weights(self, ids: Tensor) -> Tensor:
        """Return the shares of some of this process's clients in their own mean: [len(ids)]."""
        check_ids(ids, self.m)
        return self.clients.weights(ids + self.first)

    @checked()
    def draw(
        self,
        ids: Tensor,
        *,
        steps: int,
        draws: int = 1,
        batch: int | None,
        generator: torch.Generator,
    ) -> Batch:
        """Draw batches of this process's clients; those of other processes are passed over."""
        check_draw(ids, self.m, steps=steps, draws=draws, batch=batch)
        if not torch.equal(ids, torch.arange(int(ids[0]), int(ids[-1]) + 1)):
            raise ValueError(
                f"ids must be neighbors in order, as in a round of all clients, got "
                f"{ids.tolist()[:5]}; leave cohort out, or give each process Clients of its own "
                "and a generator of its own"
            )

        def passed_over(start: int, stop: int) -> None:
            for k in range(start, stop, SKIP):
                some = torch.arange(k, min(k + SKIP, stop))
                self.clients.draw(some, steps=steps, draws=draws, batch=batch, generator=generator)

        if int(ids[0]) == 0 and batch is not None:
            passed_over(0, self.first)
        drawn = self.clients.draw(
            ids + self.first, steps=steps, draws=draws, batch=batch, generator=generator
        )
        if int(ids[-1]) == self.m - 1 and batch is not None:
            passed_over(self.last, self.clients.m)
        return drawn


@checked_anywhere
def all_reduced(algorithm: Algorithm[S, M], weight: float) -> Algorithm[S, M]:
    r"""Return the same algorithm for one of several processes: its server sees the mean over all.

    Process $r$ runs its own clients and has their mean $\bar x_r=\frac1{P_r}\sum_ip_ix_i$,
    $P_r=\sum_ip_i$, both over its own $i$. The server is then called with
    $$\sum_rP_r\bar x_r\Big/\sum_rP_r=\sum_ip_ix_i\Big/\sum_ip_i,$$
    the same in every process: two all-reduces. Clients, and what they keep, stay where they are.

    Parameters
    ----------
    algorithm : any.
    weight : $P_r$; with a cohort in each process, the weight of all its clients.

    Every process calls :func:`fedlearn_lib.run` with the same w0, rounds, steps and batch.

    >>> from fedlearn_lib.federated import State
    >>> replace = Algorithm(State, lambda w, batches: w, lambda state, mean: State(mean, 1))
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # one process
    >>> all_reduced(replace, 0.5).server(State({"w": torch.zeros(1)}), {"w": torch.ones(1)})
    State(w={'w': tensor([1.])}, round=1)
    >>> dist.destroy_process_group()
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight must be a number from 0 on, got {weight!r}; see Shard.weight")

    def init(w0: Params) -> S:
        _check_same_start(w0)
        return algorithm.init(w0)

    def server(state: S, mean: Params) -> S:
        return algorithm.server(state, mean_over_processes(mean, weight))

    return algorithm._replace(init=init, server=server)


@checked_anywhere
def mean_over_processes(mean: Params, weight: float) -> Params:
    r"""Return $\sum_rP_r\bar x_r/\sum_rP_r$ from this process's mean $\bar x_r$ and weight $P_r$.

    All leaves travel as one vector. It needs ``torch.distributed``; see :func:`all_reduced`.
    """
    _check_group()
    flat = torch.cat([weight * leaf.flatten() for leaf in mean.values()])
    total = torch.tensor([weight], dtype=torch.float64, device=flat.device)
    dist.all_reduce(flat)
    dist.all_reduce(total)
    if not float(total) > 0:
        raise ValueError(
            f"weight must be positive in at least one process, got the sum {float(total)}; pass "
            "the weight of each process's clients"
        )
    parts = (flat / total.to(flat)).split([leaf.numel() for leaf in mean.values()])
    return {
        name: part.view(leaf.shape).to(leaf)
        for (name, leaf), part in zip(mean.items(), parts, strict=True)
    }


def _check_population(clients: object) -> None:
    missing = [name for name in ("m", "weights", "draw") if not hasattr(clients, name)]
    if missing:
        raise ValueError(
            f"clients must have m, weights(ids) and draw(ids, …), got {type(clients).__name__} "
            f"with no {', '.join(missing)}; make it with Clients.of"
        )


def _check_group() -> None:
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError(
            "all_reduced needs a group of processes, got none; call "
            'torch.distributed.init_process_group("gloo") first and start the script with torchrun'
        )


def _check_same_start(w0: Params) -> None:
    """Compare the start with that of process 0; all processes refuse together, none waits."""
    _check_group()
    seen: list[dict[str, tuple[object, ...]]] = [{} for _ in range(dist.get_world_size())]
    mine = {
        name: (tuple(leaf.shape), str(leaf.dtype), float(leaf.detach().double().sum()))
        for name, leaf in w0.items()
    }
    dist.all_gather_object(seen, mine)
    for rank, other in enumerate(seen):
        odd = [k for k in {**seen[0], **other} if seen[0].get(k) != other.get(k)]
        if odd:
            name = odd[0]
            raise ValueError(
                f"w0 must be the same model in every process, got {name!r} as {seen[0].get(name)} "
                f"in process 0 and {other.get(name)} in process {rank} (shape, dtype, sum); build "
                "it from the same seed, or broadcast it"
            )
        if list(other) != list(seen[0]):
            raise ValueError(
                f"w0 must have its leaves in the same order in every process, got {list(other)} in "
                f"process {rank} and {list(seen[0])} in process 0; sort them"
            )
