r"""A federated algorithm: what a client does, what the server does, how to run over clients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fedlearn_lib._checks import check_how, check_integers
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.oracles import Loss, Oracle, maml_gradient
from fedlearn_lib.trees import Params, axpy

Client = Callable[..., Any]  # (w, batches_i) -> message, or (w, own_i, batches_i) -> message, own_i
CACHE = 2**24  # bytes; more stacked parameters than this no longer stay near the processor


class State(NamedTuple):
    """What the server remembers: the shared model ``w`` and the number of finished rounds."""

    w: Params
    round: int = 0


class OwnState(NamedTuple):
    """What a simulation sees and no server does: the server's state and every client's own.

    ``own`` has leaves [m …], one row for each client, whether it was ever sampled or not.
    """

    server: Any
    own: Params

    @property
    def w(self) -> Params:
        """The shared model."""
        shared: Params = self.server.w
        return shared

    @property
    def round(self) -> int:
        """The number of finished rounds."""
        return int(self.server.round)


class Algorithm(NamedTuple):
    """A few pure functions and a number; :func:`fedlearn_lib.run` is the loop around them.

    Attributes
    ----------
    init : ``w0 -> state``, with at least ``state.w`` and ``state.round``.
    client : ``(w, batches_i) -> message``; leaves of ``batches_i`` are [τ k b …].
    server : ``(state, mean message) -> state``.
    draws : k, independent batches that the client needs at each local step.
    own : ``w0 -> own``, what a client keeps for itself before its first round. With it the client
        is ``(w, own_i, batches_i) -> (message, own_i)``; ``None``: clients keep nothing.
    send : ``state -> w``, what each client of the cohort receives: ``state.w``, unless the method
        sends something beside the model (SCAFFOLD) or nothing (local training).
    """

    init: Callable[[Params], Any]
    client: Client
    server: Callable[[Any, Params], Any]
    draws: int = 1
    own: Callable[[Params], Params] | None = None
    send: Callable[[Any], Params] = attrgetter("w")


def fedavg(oracle: Oracle, *, lr: float, server_lr: float = 1.0) -> Algorithm:
    r"""Federated averaging: $\tau$ local steps, then the mean of what changed.

    $$w_i^{0}=w,\qquad w_i^{t+1}=w_i^{t}-\eta\,g_i(w_i^{t};D_t),\qquad
      w^+=w+\eta_s\sum_i p_i\,(w_i^{\tau}-w).$$

    Parameters
    ----------
    oracle : $(w,(D,))\mapsto g$, the direction of one local step.
    lr : $\eta$, the clients' step size.
    server_lr : $\eta_s$; with 1 the new model is the mean of the clients' models.

    McMahan, Moore, Ramage, Hampson, Agüera y Arcas, AISTATS 2017, Algorithm 1.

    >>> from fedlearn_lib.oracles import gradient
    >>> loss = lambda w, batch: 0.5 * ((w["w"] - batch[0]) ** 2).sum(-1).mean()
    >>> algorithm = fedavg(gradient(loss), lr=0.5)
    >>> x, y = torch.tensor([4.0]).view(1, 1, 1, 1), torch.zeros(1, 1, 1)   # τ = k = b = 1
    >>> algorithm.client({"w": torch.zeros(1)}, (x, y))
    {'w': tensor([2.])}
    """
    _check_step("lr", lr)
    _check_step("server_lr", server_lr)

    def client(w: Params, batches: Batch) -> Params:
        start, (steps, draws) = w, batches[0].shape[:2]
        for t in range(steps):
            step_draws = tuple((batches[0][t, k], batches[1][t, k]) for k in range(draws))
            w = axpy(-lr, oracle(w, step_draws), w)
        return axpy(-1.0, start, w)

    def server(state: State, message: Params) -> State:
        return State(axpy(server_lr, message, state.w), state.round + 1)

    return Algorithm(State, client, server)


def perfedavg(
    loss: Loss, *, alpha: float, beta: float, mode: str = "exact", delta: float = 1e-3
) -> Algorithm:
    r"""Personalized federated averaging: FedAvg along meta-gradients.

    $$w_i^{t+1}=w_i^{t}-\beta\,\tilde\nabla F_i(w_i^{t};D_t,D_t',D_t''),\qquad
      F_i(w)=f_i(w-\alpha\nabla f_i(w)).$$
    The result is a start, not an answer: each client takes its own step from it with
    :func:`fedlearn_lib.adapt`. The paper counts all clients alike: make ``Clients`` with
    ``p=[1] * m``.

    Parameters
    ----------
    loss : ``loss(w, batch) -> scalar``.
    alpha : $\alpha$, the step of a client's adaptation.
    beta : $\beta$, the step along the meta-gradient.
    mode, delta : see :func:`fedlearn_lib.maml_gradient`. ``"fo"`` draws two batches a step, the
        others three.

    Fallah, Mokhtari, Ozdaglar, NeurIPS 2020, Algorithm 1.

    >>> loss = lambda w, batch: 0.5 * ((w["w"] - batch[0]) ** 2).sum(-1).mean()
    >>> algorithm = perfedavg(loss, alpha=0.5, beta=0.5)
    >>> x, y = torch.tensor([4.0]).expand(1, 3, 1, 1), torch.zeros(1, 3, 1)   # τ = 1, k = 3
    >>> algorithm.draws, algorithm.client({"w": torch.zeros(1)}, (x, y))
    (3, {'w': tensor([0.5000])})
    """
    _check_step("beta", beta)
    oracle = maml_gradient(loss, alpha, mode, delta)
    return fedavg(oracle, lr=beta)._replace(draws=2 if mode == "fo" else 3)


def map_clients(
    client: Client,
    w: Params,
    batches: Batch,
    *,
    own: Params | None = None,
    how: str = "vmap",
    chunk: int | None = None,
) -> Any:
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
        clients that ``torch.vmap`` cannot trace.
    chunk : clients a ``vmap`` call. By default as many as keep their stacked parameters within
        16 MB, about a processor's cache: 52 of an MLP 784-100-10, all of a small one.

    >>> client = lambda w, batches: {"w": w["w"] + batches[0].sum()}
    >>> map_clients(client, {"w": torch.tensor(1.0)}, (torch.ones(3, 2), torch.ones(3, 2)))
    {'w': tensor([3., 3., 3.])}
    """
    check_how(how)
    m = len(batches[0])
    if m == 0 or len(batches[1]) != m:
        raise ValueError(
            f"batches must hold one row a client, got {m} rows of x and {len(batches[1])} of y; "
            "take them from Clients.draw with at least one client"
        )
    check_integers(chunk=chunk)
    each: tuple[Any, ...] = (batches,) if own is None else (own, batches)
    if how == "vmap":
        size = _chunk_of(w, m, own) if chunk is None else chunk
        return torch.func.vmap(client, in_dims=(None, *(0 for _ in each)), chunk_size=size)(
            w, *each
        )
    return _stack([client(w, *_row(each, i)) for i in range(m)])


def _row(tree: Any, i: int) -> Any:
    """Take row i of every leaf of tensors in tuples and dictionaries."""
    if isinstance(tree, Tensor):
        return tree[i]
    if isinstance(tree, tuple):
        return tuple(_row(leaf, i) for leaf in tree)
    return {name: _row(leaf, i) for name, leaf in tree.items()}


def _stack(rows: Sequence[Any]) -> Any:
    """Stack what ``_row`` takes apart."""
    if isinstance(rows[0], Tensor):
        return torch.stack(list(rows))
    if isinstance(rows[0], tuple):
        return tuple(_stack(column) for column in zip(*rows, strict=True))
    return {name: _stack([row[name] for row in rows]) for name in rows[0]}


def _chunk_of(w: Params, m: int, own: Params | None = None) -> int:
    """Cut m clients into equal chunks, as few as keep the stacked parameters within the cache."""
    size = sum(value.numel() * value.element_size() for value in w.values())
    size += sum(value[0].numel() * value.element_size() for value in (own or {}).values())
    most = max(1, CACHE // max(size, 1))
    return math.ceil(m / math.ceil(m / most))


def _check_step(name: str, value: float) -> None:
    if not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive finite number, got {value!r}; try 0.1")
