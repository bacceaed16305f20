r"""Run one client function over all clients of a cohort: batched, one by one, or compiled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_how, check_integers, naming_the_loop
from fedlearn_lib._explained import explained_call
from fedlearn_lib._shapes import shown
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated._compiled import compiled_clients
from fedlearn_lib.trees import Params

T = TypeVar("T")
HOW = ("vmap", "loop", "compile")
CACHE = 2**24  # bytes; more stacked parameters than this no longer stay near the processor
NEAR = 2**22  # the same for compiled code, which reads and writes less beside the parameters
DRAWN = 2**25  # bytes of batches at once; the allocator gives larger blocks back after each use


@checked_anywhere
@explained_call
def map_clients(
    client: Callable[..., T],
    w: Params,
    batches: Batch,
    *,
    own: Params | None = None,
    how: str = "vmap",
    chunk: int | None = None,
) -> T:
    r"""Run ``client(w, batches_i)`` for every $i$ and stack the messages: leaves [m …].

    Parameters
    ----------
    client : a pure function: no random numbers, no ``.item()``, no ``if tensor``.
    w : the shared model, the same for all.
    batches : leaves [m τ k b …].
    own : leaves [m …], what each client keeps. With it ``client(w, own_i, batches_i)`` returns
        ``(message, own_i)``, and the result is the pair of both, stacked.
    how : ``"vmap"`` turns m small matrix products into one batched product and is the choice
        for linear models and MLPs. ``"loop"`` runs clients one after the other and is the choice
        for convolutional networks, where batching over clients gains nothing on a CPU, and for
        clients that ``torch.vmap`` cannot trace. ``"compile"`` is ``"vmap"`` with a local step
        compiled by ``torch.compile``, equal up to rounding: for long runs of Per-FedAvg, 1.4 to 2
        times as fast (FedAvg of an MLP gains nothing, of LeNet 1.4 times, by its max pooling),
        since the first call takes up to half a minute. It needs a C++ compiler, and a client with
        an argument ``step``, as that of
        :func:`fedlearn_lib.fedavg` and :func:`fedlearn_lib.perfedavg`.
    chunk : clients a call. By default as many as keep their stacked parameters within 16 MB,
        about a processor's cache: 52 of an MLP 784-100-10, all of a small one. Compiled code is
        faster in the smaller cache of one core: 4 MB.

    >>> client = lambda w, batches: {"w": w["w"] + batches[0].sum()}
    >>> map_clients(client, {"w": torch.tensor(1.0)}, (torch.ones(3, 2), torch.ones(3, 2)))
    {'w': tensor([3., 3., 3.])}
    """
    check_how(how, HOW)
    m = _rows(batches, own)
    check_integers(chunk=chunk)
    if how == "compile":
        size = chunk_of(w, m, cache=NEAR) if chunk is None else min(chunk, m)
        return compiled_clients(client, w, batches, size)

    def called(*given: Any) -> T:
        message = client(*given)
        check_message("client", message)
        return message

    each: tuple[Any, ...] = (batches,) if own is None else (own, batches)
    if how == "vmap":
        size = chunk_of(w, m, own) if chunk is None else chunk
        in_dims = (None, *(0 for _ in each))
        with naming_the_loop():
            return torch.func.vmap(called, in_dims=in_dims, chunk_size=size)(w, *each)
    return _stack([called(w, *_row(each, i)) for i in range(m)])


def _rows(batches: Batch, own: Params | None) -> int:
    """The number of clients, each with one row of every leaf."""
    rows = {"x": batches[0], "y": batches[1], **(own or {})}
    sizes = {name: leaf.shape[0] if leaf.ndim else 0 for name, leaf in rows.items()}
    if len(set(sizes.values())) > 1 or not sizes["x"]:
        raise ValueError(
            "batches must hold one row a client, at least one, and own as many, got the rows "
            f"{sizes}; take batches from Clients.draw and own from an earlier round"
        )
    return sizes["x"]


def check_message(name: str, tree: object) -> None:
    """Refuse what cannot be stacked: anything but tensors in dictionaries and tuples."""
    if isinstance(tree, (dict, tuple)):
        for leaf in tree.values() if isinstance(tree, dict) else tree:
            check_message(name, leaf)
    elif not isinstance(tree, Tensor):
        raise ValueError(f"{name} must return tensors, in a dict by name, got {shown(tree)}")


def _row(tree: Any, i: int) -> Any:
    """Take row i of every leaf of tensors in tuples and dictionaries."""
    if isinstance(tree, Tensor):
        return tree[i]
    if isinstance(tree, tuple):
        return tuple(_row(leaf, i) for leaf in tree)
    return {name: _row(leaf, i) for name, leaf in tree.items()}


def _stack(trees: Sequence[T]) -> T:
    """Stack what ``_row`` takes apart."""
    rows: Sequence[Any] = trees
    stacked: Any
    if isinstance(rows[0], Tensor):
        stacked = torch.stack(list(rows))
    elif isinstance(rows[0], tuple):
        stacked = tuple(_stack(column) for column in zip(*rows, strict=True))
    else:
        stacked = {name: _stack([row[name] for row in rows]) for name in rows[0]}
    return cast(T, stacked)


def chunk_of(
    w: Params, m: int, own: Params | None = None, drawn: int = 0, cache: int = CACHE
) -> int:
    """Cut m clients into equal chunks, as few as keep parameters and batches within their limits.

    ``drawn`` is the number of bytes of one client's batches.
    """
    size = sum(value.nbytes for value in w.values())
    size += sum(value[0].nbytes for value in (own or {}).values())
    most = max(1, min(cache // max(size, 1), DRAWN // max(drawn, 1)))
    return math.ceil(m / math.ceil(m / most))
