"""Clients of very different size: samples end to end instead of one padded row a client."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib.data._pool import Batch, check_client, check_weights, holds_counts, listed
from fedlearn_lib.data.clients import Clients


class FlatClients(Clients):
    r"""The same clients without padding: they take the memory of their samples and no more.

    Everything that asks for ``m``, ``n``, ``p``, ``data``, ``weights`` and ``draw`` can use them:
    :func:`fedlearn_lib.run`, the distances between clients, the measures of their difference; and
    :func:`fedlearn_lib.evaluate`, which groups them by size.
    Their draws are those of padded ``Clients``, number by number.

    Attributes
    ----------
    x : [N …], inputs: all of client 0, then all of client 1, …
    y : [N …], targets.
    n : [m], how many samples each client has; their sum is N.
    p : [m], as in ``Clients``.

    >>> clients = FlatClients.of(torch.arange(6.0), torch.zeros(6), [[5, 1, 2, 3], [4]])
    >>> clients.m, clients.n.tolist(), clients.x.tolist()
    (2, [4, 1], [5.0, 1.0, 2.0, 3.0, 4.0])
    >>> clients.data(1)[0].tolist()
    [4.0]
    """

    __slots__ = ()

    @staticmethod
    def _check(x: Tensor, y: Tensor, n: Tensor, p: Tensor) -> None:
        for name, leaf in {"x": x, "y": y}.items():
            if leaf.ndim == 0:
                raise ValueError(f"{name} must have one row a sample, got no axis; correct {name}")
        counts = holds_counts(n) and len(n) > 0
        if not counts or int(n.min()) < 1 or {len(x), len(y)} != {int(n.sum())}:
            raise ValueError(
                f"n must hold whole numbers of at least 1 that add up to the {len(x)} rows of x "
                f"and y, got {listed(n)} with {len(y)} rows of y; use FlatClients.of"
            )
        check_weights(p, len(n))

    @staticmethod
    def _rows(parts: list[Tensor]) -> Tensor:
        return torch.cat(parts)

    def _end_to_end(self, ids: Tensor) -> tuple[Batch, Tensor]:
        return (self.x, self.y), (self.n.cumsum(0) - self.n)[ids]

    @checked()
    def data(self, i: int) -> Batch:
        r"""Return client $i$'s own samples: [n_i …], [n_i …]."""
        check_client(i, self.m)
        own = slice(int(self.n[:i].sum()), int(self.n[: i + 1].sum()))
        return self.x[own], self.y[own]
