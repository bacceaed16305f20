r"""Messages as rows: what clients send, one vector a client, and what is done on the way.

A round's messages have leaves [m …]. Everything that happens between clients and their mean,
hiding, clipping, rounding, is arithmetic on the matrix [m d] of their numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_model
from fedlearn_lib.trees import Params


@checked()
def as_rows(messages: Params) -> Tensor:
    """Return messages with leaves [m …] as one row of numbers a client: [m d].

    >>> as_rows({"a": torch.tensor([[1.0], [2.0]]), "b": torch.tensor([3.0, 4.0])})
    tensor([[1., 3.],
            [2., 4.]])
    """
    check_model("messages", messages)
    rows = {name: tuple(x.shape[:1]) for name, x in messages.items()}
    if len(set(rows.values())) > 1 or () in rows.values() or (0,) in rows.values():
        raise ValueError(
            "messages must have one row a client in every leaf, the same number in each, got the "
            f"rows {rows}; take them from map_clients"
        )
    return torch.cat([x.flatten(1) if x.ndim > 1 else x[:, None] for x in messages.values()], 1)


@checked(row="d")
def as_leaves(row: Tensor, like: Params) -> Params:
    """Return one row of numbers [d] as parameters with the names and shapes of ``like``.

    >>> as_leaves(torch.tensor([1.0, 3.0]), {"a": torch.zeros(1), "b": torch.tensor(0.0)})
    {'a': tensor([1.]), 'b': tensor(3.)}
    """
    check_model("like", like, finite=False)
    sizes = [x.numel() for x in like.values()]
    if len(row) != sum(sizes):
        raise ValueError(
            f"row must have as many numbers as like, {sum(sizes)}, got {len(row)}; pass the "
            "model that the messages belong to"
        )
    parts = row.split(sizes)
    return {k: part.view(x.shape) for (k, x), part in zip(like.items(), parts, strict=True)}
