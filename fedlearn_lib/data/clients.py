"""Clients: every client's samples in one padded array, and batches drawn from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from fedlearn_lib._checked import checked, checked_anywhere
from fedlearn_lib._checks import check_draw, check_equal_sizes, check_ids, check_memory
from fedlearn_lib.data._pool import (
    Array,
    Batch,
    check_client,
    check_parts,
    check_shares,
    check_weights,
    holds_counts,
    listed,
    pool_of,
    rows_of,
)

__all__ = ["Batch", "Clients"]


class _Fields(NamedTuple):
    x: Tensor
    y: Tensor
    n: Tensor
    p: Tensor


class Clients(_Fields):
    r"""The data of $m$ clients, padded to the size of the largest.

    Attributes
    ----------
    x : [m n …], inputs; rows from ``n[i]`` on are padding and are never drawn.
    y : [m n …], targets.
    n : [m], how many samples each client has.
    p : [m], the weights of $f = \sum_i p_i f_i$; non-negative, sum one.

    >>> clients = Clients.of(torch.arange(6.0), torch.zeros(6), [[0, 1, 2, 3], [4, 5]])
    >>> clients.m, clients.n.tolist(), [round(v, 3) for v in clients.p.tolist()]
    (2, [4, 2], [0.667, 0.333])
    """

    __slots__ = ()

    @checked_anywhere
    def __new__(cls, x: Tensor, y: Tensor, n: Tensor, p: Tensor) -> Self:
        cls._check(x, y, n, p)
        return super().__new__(cls, x, y, n.cpu(), p.cpu())

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> Self:  # type: ignore[override]
        return cls(*iterable)  # checked, and so is what _replace makes by it

    @staticmethod
    def _check(x: Tensor, y: Tensor, n: Tensor, p: Tensor) -> None:
        """Refuse what would draw padding, or another client's samples."""
        for name, leaf in {"x": x, "y": y}.items():
            if leaf.ndim < 2 or leaf.shape[:2] != x.shape[:2]:
                raise ValueError(
                    f"{name} must be one padded row of samples a client, [m n …], m and n the same "
                    f"in x and y, got {tuple(leaf.shape)} for x of {tuple(x.shape)}; use Clients.of"
                )
        if not holds_counts(n) or len(n) != len(x) or int(n.min()) < 1 or int(n.max()) > x.shape[1]:
            raise ValueError(
                f"n must hold a whole number from 1 to {x.shape[1]} for each of the {len(x)} "
                f"clients, got {listed(n)}; use Clients.of"
            )
        check_weights(p, len(x))

    @property
    def m(self) -> int:
        """The number of clients."""
        return len(self.n)

    @classmethod
    @checked(p="m")
    def of(
        cls,
        X: Array,
        y: Array,
        parts: Sequence[Array | Sequence[int]],
        p: Array | Sequence[float] | None = None,
    ) -> Self:
        r"""Give the samples ``parts[i]`` of the pool ``(X, y)`` to client $i$.

        Parameters
        ----------
        X, y : [N …], the pool of samples, tensors or NumPy arrays. Targets in whole numbers
            become int64, which the losses of torch ask for.
        parts : m lists of row numbers of the pool, none of them empty.
        p : [m], the clients' weights; by default $p_i = n_i/\sum_j n_j$, so that $f$ is the
            average loss over all samples (McMahan et al., 2017). Per-FedAvg wants $1/m$.
        """
        X, y = pool_of(X, y)
        index = rows_of(parts)
        check_parts(index, len(X))
        n = torch.tensor([len(part) for part in index])
        weights = n.double() / n.sum() if p is None else torch.as_tensor(p, dtype=torch.float64)
        check_shares(weights, len(index))
        rows = cls._rows(index)
        return cls(X[rows], y[rows], n, weights / weights.sum())

    @staticmethod
    def _rows(parts: list[Tensor]) -> Tensor:
        """Return the row of the pool behind every place of x: [m n], padded with one's first."""
        rows = torch.zeros(len(parts), max(len(part) for part in parts), dtype=torch.long)
        for i, part in enumerate(parts):
            rows[i, : len(part)] = part
            rows[i, len(part) :] = part[0]
        return rows

    @checked()
    def data(self, i: int) -> Batch:
        r"""Return client $i$'s own samples without padding: [n_i …], [n_i …]."""
        check_client(i, self.m)
        return self.x[i, : int(self.n[i])], self.y[i, : int(self.n[i])]

    @checked()
    def weights(self, ids: Tensor) -> Tensor:
        r"""Return $p_i/\sum_{j\in\text{ids}}p_j$ for the clients ``ids``: [len(ids)]."""
        check_ids(ids, self.m)
        chosen = self.p[ids.cpu()]
        if not float(chosen.sum()) > 0:
            raise ValueError(
                f"ids {ids.tolist()[:10]} have no weight together; give every client a positive "
                "weight p, or sample more of them"
            )
        return chosen / chosen.sum()

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
        r"""Draw the batches that the clients ``ids`` use in one round, one client after the other.

        Sample numbers are $\lfloor u\,n_i\rfloor$ with $u$ uniform on $[0,1)$ in float64: with
        replacement, no padding row is ever hit, and ragged clients need no mask.

        Parameters
        ----------
        ids : [c], client numbers.
        steps : τ, local steps in the round.
        draws : k, independent batches a step.
        batch : b, samples a batch; ``None`` takes each client's whole data at every step,
            which needs clients of equal size.

        Returns
        -------
        (x, y) with leaves [c τ k b …].
        """
        check_draw(ids, self.m, steps=steps, draws=draws, batch=batch)
        ids = ids.cpu()
        sizes = self.n[ids].view(-1, 1, 1, 1)
        if batch is None:
            check_equal_sizes(sizes)
            inside = torch.arange(int(sizes[0])).expand(len(ids), 1, 1, -1)
        else:
            shape = (len(ids), steps, draws, batch)
            needed = math.prod(shape) * self.data(0)[0][0].numel()
            check_memory(needed, steps=steps, draws=draws, batch=batch)
            u = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
            inside = (u.cpu() * sizes).long()
        samples, begin = self._end_to_end(ids)
        x, y = (_take(leaf, inside + begin.view(-1, 1, 1, 1)) for leaf in samples)
        return x.expand(-1, steps, draws, *x.shape[3:]), y.expand(-1, steps, draws, *y.shape[3:])

    def _end_to_end(self, ids: Tensor) -> tuple[Batch, Tensor]:
        """Return all samples in one row, and where those of the clients ``ids`` begin in it."""
        return (self.x.flatten(0, 1), self.y.flatten(0, 1)), ids * self.x.shape[1]

    @checked_anywhere
    def to(self, device: torch.device | str) -> Self:
        """Return the same clients with their samples on another device.

        ``n`` and ``p`` stay on the CPU, where cohorts and row numbers are drawn.
        """
        try:
            place = torch.device(device)
        except RuntimeError as error:
            raise ValueError(f"device must be one of torch, got {device!r}: {error}") from error
        return self._replace(x=self.x.to(place), y=self.y.to(place))


def _take(leaf: Tensor, rows: Tensor) -> Tensor:
    taken = leaf.index_select(0, rows.flatten().to(leaf.device))
    return taken.view(*rows.shape, *leaf.shape[1:])
