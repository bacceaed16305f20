"""Clients: every client's samples in one padded array, and batches drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fedlearn_lib._checks import check_draw, check_equal_sizes

Batch = tuple[Tensor, Tensor]


class Clients(NamedTuple):
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

    x: Tensor
    y: Tensor
    n: Tensor
    p: Tensor

    @property
    def m(self) -> int:
        """The number of clients."""
        return len(self.n)

    @classmethod
    def of(
        cls,
        X: Tensor,
        y: Tensor,
        parts: Sequence[Tensor | Sequence[int]],
        p: Tensor | Sequence[float] | None = None,
    ) -> Clients:
        r"""Give the samples ``parts[i]`` of the pool ``(X, y)`` to client $i$.

        Parameters
        ----------
        X, y : [N …], the pool of samples.
        parts : m lists of row numbers of the pool, none of them empty.
        p : [m], the clients' weights; by default $p_i = n_i/\sum_j n_j$, so that $f$ is the
            average loss over all samples (McMahan et al., 2017). Per-FedAvg wants $1/m$.
        """
        index = [torch.as_tensor(part) for part in parts]
        _check_pool(X, y, index)
        index = [part.long() for part in index]
        n = torch.tensor([len(part) for part in index])
        weights = n.double() / n.sum() if p is None else torch.as_tensor(p, dtype=torch.float64)
        _check_weights(weights, len(index))
        rows = torch.zeros(len(index), int(n.max()), dtype=torch.long)
        for i, part in enumerate(index):
            rows[i, : len(part)] = part
            rows[i, len(part) :] = part[0]
        return cls(X[rows], y[rows], n, weights / weights.sum())

    def data(self, i: int) -> Batch:
        r"""Return client $i$'s own samples without padding: [n_i …], [n_i …]."""
        return self.x[i, : int(self.n[i])], self.y[i, : int(self.n[i])]

    def weights(self, ids: Tensor) -> Tensor:
        r"""Return $p_i/\sum_{j\in\text{ids}}p_j$ for the clients ``ids``: [len(ids)]."""
        chosen = self.p[ids]
        if not float(chosen.sum()) > 0:
            raise ValueError(
                f"ids {ids.tolist()[:10]} have no weight together; give every client a positive "
                "weight p, or sample more of them"
            )
        return chosen / chosen.sum()

    def draw(
        self,
        ids: Tensor,
        *,
        steps: int,
        draws: int = 1,
        batch: int | None,
        generator: torch.Generator,
    ) -> Batch:
        r"""Draw the batches that the clients ``ids`` use in one round, all at once.

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
        sizes = self.n[ids]
        if batch is None:
            check_equal_sizes(sizes)
            return self._whole(self.x, ids, steps, draws), self._whole(self.y, ids, steps, draws)
        shape = (len(ids), steps, draws, batch)
        u = torch.rand(shape, generator=generator, dtype=torch.float64)
        inside = (u * sizes.view(-1, 1, 1, 1)).long()
        rows = (inside + (ids * self.x.shape[1]).view(-1, 1, 1, 1)).flatten()
        return self._take(self.x, rows, shape), self._take(self.y, rows, shape)

    def _take(self, leaf: Tensor, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        return leaf.flatten(0, 1).index_select(0, rows).view(*shape, *leaf.shape[2:])

    def _whole(self, leaf: Tensor, ids: Tensor, steps: int, draws: int) -> Tensor:
        own = leaf[ids][:, None, None, : int(self.n[ids[0]])]
        return own.expand(-1, steps, draws, *own.shape[3:])


def _check_pool(X: Tensor, y: Tensor, parts: list[Tensor]) -> None:
    if len(X) != len(y):
        raise ValueError(
            f"X and y must have one row a sample, got {len(X)} and {len(y)} rows; align them"
        )
    if X.is_floating_point() and not bool(torch.isfinite(X).all()):
        raise ValueError("X holds NaN or infinite values; fill or drop them before making clients")
    if y.is_floating_point() and not bool(torch.isfinite(y).all()):
        raise ValueError("y holds NaN or infinite values; fill or drop them before making clients")
    empty = [i for i, part in enumerate(parts) if len(part) == 0]
    if not parts or empty:
        raise ValueError(
            f"parts must give every client at least one sample, got {len(parts)} parts of which "
            f"{empty[:10]} are empty; drop these clients or partition again with another seed"
        )
    for i, part in enumerate(parts):
        if part.ndim != 1 or part.is_floating_point() or part.dtype == torch.bool:
            raise ValueError(
                f"parts must be flat lists of row numbers, got {part.dtype} of shape "
                f"{tuple(part.shape)} for client {i}; a mask becomes row numbers with "
                "mask.nonzero().flatten()"
            )
    low, high = min(int(part.min()) for part in parts), max(int(part.max()) for part in parts)
    if low < 0 or high >= len(X):
        raise ValueError(
            f"parts must hold row numbers from 0 to {len(X) - 1}, got {low} to {high}; "
            "partition the labels of this same pool"
        )


def _check_weights(p: Tensor, m: int) -> None:
    if p.shape != (m,) or not bool(torch.isfinite(p).all()):
        raise ValueError(
            f"p must hold one finite weight for each of the {m} clients, got shape "
            f"{tuple(p.shape)}; pass {m} numbers or None for n_i / n"
        )
    if bool((p < 0).any()) or float(p.sum()) <= 0:
        raise ValueError(
            f"p must be non-negative with a positive sum, got {p.tolist()[:10]}; "
            "weights are shares of the objective f = sum p_i f_i"
        )
