"""The score of a model on every client, before and after the client adapts it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_generator, check_how, check_model, naming_the_loop
from fedlearn_lib._explained import explained_as, explained_call
from fedlearn_lib._shapes import shown
from fedlearn_lib.data.clients import Batch, Clients
from fedlearn_lib.data.flat import FlatClients
from fedlearn_lib.federated.algorithm import OwnState
from fedlearn_lib.federated.mapping import map_clients
from fedlearn_lib.federated.personal_path import accounts_of
from fedlearn_lib.federated.scaffold import CONTROL
from fedlearn_lib.trees import Params

Metric = Callable[[Params, Batch], Tensor]
Seen = tuple[Tensor, Batch]  # numbers of clients, and their data stacked
AT_ONCE = 64  # clients that one call of a metric scores; bounds the memory of many large clients


@checked()
def evaluate(
    metric: Metric,
    w: Params,
    train: Clients,
    test: Clients,
    *,
    own: bool = False,
    adapt: Callable[[Params, Batch], Params] | None = None,
    batch: int | None = None,
    generator: torch.Generator | None = None,
    how: str = "vmap",
) -> dict[str, Tensor]:
    r"""Score a model on every client's held-out data, before and after adapting it there.

    Parameters
    ----------
    metric : ``(w, (x, y)) -> [b]``, one score a sample, such as ``accuracy_of(model)``. With
        ``how="vmap"`` it is called once for all clients (up to ``AT_ONCE``), not once for each.
    w : the shared model; with ``own=True`` one model a client, leaves [m …]. Not changed.
    train, test : the same clients' two sides; adaptation sees ``train`` only, scores ``test`` only.
        ``FlatClients`` are scored in one call for each number of samples that a client has.
    own : whether each client has a model of its own, as from
        :func:`fedlearn_lib.federated.personal_models`.
    adapt : ``(w, batch_i) -> w_i``; without it there is no ``"after"``.
    batch : samples of ``train`` that adaptation sees; ``None`` takes all of them,
        from clients of unequal size too.
    generator : draws these samples; needed with ``batch``.
    how : see :func:`fedlearn_lib.map_clients`; ``"loop"`` for convolutional networks, and for a
        metric or a loss that ``torch.vmap`` cannot trace.

    Returns
    -------
    ``{"before": [m], "after": [m]}``, the mean score of each client's test samples; NaN where the
    model holds NaN or infinity, with a warning if the metric gave it a number.

    >>> from fedlearn_lib import Clients
    >>> clients = Clients.of(torch.tensor([1.0, 3.0]), torch.zeros(2), [[0], [1]])
    >>> evaluate(lambda w, batch: batch[0] * w["a"], {"a": torch.tensor(2.0)}, clients, clients)
    {'before': tensor([2., 6.])}
    """
    _check_evaluate(w, train, test, own=own, batch=batch, generator=generator, how=how)
    scores = {"before": _score(metric, w, test, own=own, how=how)}
    if adapt is None:
        return scores
    adapted = _adapt(adapt, w, _seen(train, batch, generator), own=own, how=how)
    return scores | {"after": _score(metric, adapted, test, own=True, how=how)}


@explained_call
def personal_models(state: OwnState[Any]) -> Params:
    r"""Return one model a client, leaves [m …]: its own leaves, the shared one where it has none.

    For Ditto, pFedMe and local training these are the clients' own models, for FedRep the shared
    body under each client's head. :func:`fedlearn_lib.evaluate` scores them with ``own=True``.

    >>> from fedlearn_lib.federated import OwnState, State
    >>> state = OwnState(State({"a": torch.tensor(1.0)}), {"b": torch.tensor([2.0, 3.0])})
    >>> personal_models(state)
    {'a': tensor([1., 1.]), 'b': tensor([2., 3.])}
    """
    if not isinstance(state, OwnState) or not state.own:
        raise ValueError(
            "state must come from an algorithm whose clients keep something, such as ditto, got "
            f"{type(state).__name__}; a shared model is state.w, and adapt makes it personal"
        )
    if accounts_of(state):
        raise ValueError(
            "state must hold models, got the accounts that clients of personal_path keep; "
            "use path_models(state, kappa=...)"
        )
    m = len(next(iter(state.own.values())))
    shared = {k: v.expand(m, *v.shape) for k, v in state.w.items()}
    return shared | {k: v for k, v in state.own.items() if k in shared or not k.startswith(CONTROL)}


def _seen(train: Clients, batch: int | None, generator: torch.Generator | None) -> list[Seen]:
    """What clients adapt on, stacked: a batch of each, or all samples of those of one size."""
    if batch is not None and generator is not None:
        ids = torch.arange(train.m)
        x, y = train.draw(ids, steps=1, batch=batch, generator=generator)
        return [(ids, (x[:, 0, 0], y[:, 0, 0]))]
    return _of_one_size(train)


def _of_one_size(clients: Clients) -> list[Seen]:
    """All samples of those clients that have equally many, stacked."""
    groups = [(clients.n == n).nonzero().flatten() for n in clients.n.unique().tolist()]
    rows = [[clients.data(i) for i in ids.tolist()] for ids in groups]
    return [
        (ids, (torch.stack([x for x, _ in row]), torch.stack([y for _, y in row])))
        for ids, row in zip(groups, rows, strict=True)
    ]


def _adapt(
    adapt: Callable[[Params, Batch], Params], w: Params, seen: list[Seen], *, own: bool, how: str
) -> Params:
    """Every client's adapted model, leaves [m …], in the order of the clients."""

    def client(sent: Params, mine: Params, data: Batch) -> tuple[Params, Params]:
        adapted = adapt({**sent, **mine}, data)
        if not isinstance(adapted, dict) or adapted.keys() != w.keys():
            raise ValueError(f"adapt must return a model like w, got {shown(adapted)}; correct it")
        return {}, adapted

    rows: list[Params] = []
    for ids, data in seen:
        sent, mine = ({}, {k: v[ids] for k, v in w.items()}) if own else (w, {})
        with explained_as(w=w, train=data):
            rows.append(map_clients(client, sent, data, own=mine, how=how)[1])
    if len(rows) == 1:  # all clients in one group, and in order
        return rows[0]
    order = torch.cat([ids for ids, _ in seen]).argsort()
    return {k: torch.cat([row[k] for row in rows])[order] for k in rows[0]}


def _score(metric: Metric, models: Params, test: Clients, *, own: bool, how: str) -> Tensor:
    """The mean score of every client's samples, of one model or of each client's ``own``: [m]."""
    try:
        with explained_as(w=models, test=test):
            if isinstance(test, FlatClients):
                means = _flat_means(metric, models, test, own=own, how=how)
            else:
                means = _means(metric, models, (test.x, test.y), test.n, own=own, how=how)
    except (RuntimeError, ValueError) as error:
        if not own and all(v.shape[:1] == (test.m,) for v in models.values()):
            raise ValueError(
                f"w must be one model, got one row for each of the {test.m} clients in every leaf; "
                "score models of their own with own=True"
            ) from error
        raise
    return _without_diverged(means, models, own=own)


def _flat_means(
    metric: Metric, models: Params, test: FlatClients, *, own: bool, how: str
) -> Tensor:
    """The same from samples without padding: clients of one size are scored together."""
    means, order = [], []
    for ids, data in _of_one_size(test):
        theirs = {k: v[ids] for k, v in models.items()} if own else models
        means.append(_means(metric, theirs, data, test.n[ids], own=own, how=how))
        order.append(ids)
    return torch.cat(means)[torch.cat(order).argsort()]


def _means(
    metric: Metric, models: Params, data: Batch, n: Tensor, *, own: bool, how: str
) -> Tensor:
    """The mean over the first n samples of each row of ``data``: [len(n)]."""
    values = _values(metric, models, data, own=own, how=how)
    n = n.to(values.device)
    inside = torch.arange(data[0].shape[1], device=values.device) < n[:, None]
    if values.shape != inside.shape:
        raise ValueError(
            "metric must return one score for each sample of its batch, got the shape "
            f"{tuple(values.shape[1:])} for {inside.shape[1]} samples; leave out its mean"
        )
    return torch.where(inside, values, 0).sum(1) / n


def _values(metric: Metric, models: Params, data: Batch, *, own: bool, how: str) -> Tensor:
    """The metric of every sample, padding included: [m n]."""

    def scores(w: Params, batch: Batch) -> Tensor:
        found = metric(w, batch)
        if not isinstance(found, Tensor):
            raise ValueError(
                f"metric must return one score for each sample of its batch, got {shown(found)}; "
                "make it a tensor"
            )
        return found

    if how == "vmap":
        score = torch.func.vmap(scores, in_dims=(0 if own else None, 0), chunk_size=AT_ONCE)
        with naming_the_loop():
            values: Tensor = score(models, data)
        return values
    rows = [
        scores({k: v[i] for k, v in models.items()} if own else models, (x, y))
        for i, (x, y) in enumerate(zip(*data, strict=True))
    ]
    return torch.stack(rows)


def _without_diverged(means: Tensor, models: Params, *, own: bool) -> Tensor:
    """Put NaN for the score of a model that holds NaN or infinity; argmax would find it a class.

    It warns of the clients for which the metric had found a number.
    """
    rows = [v.reshape(len(v) if own else 1, -1) for v in models.values()]
    if bool(torch.stack([row.sum(1) for row in rows]).isfinite().all()):
        return means  # a finite sum has only finite terms, and adding is the quickest pass
    sound = torch.stack([row.isfinite().all(1) for row in rows]).all(0).expand(means.shape)
    hidden = int((~sound & means.isfinite()).sum())
    if hidden:
        warnings.warn(
            f"the models of {hidden} of {len(means)} clients hold NaN or infinity, so their score "
            "is NaN; train or adapt with a smaller step",
            stacklevel=4,
        )
    return torch.where(sound, means, torch.nan)


def _check_evaluate(
    w: Params,
    train: Clients,
    test: Clients,
    *,
    own: bool,
    batch: int | None,
    generator: torch.Generator | None,
    how: str,
) -> None:
    if train.m != test.m:
        raise ValueError(
            f"train and test must hold the same clients, got {train.m} and {test.m} of them; "
            "make both from one partition with split_parts"
        )
    check_how(how)
    check_model("w", w, finite=False)  # one that diverged scores NaN
    if own and any(value.shape[:1] != (train.m,) for value in w.values()):
        raise ValueError(
            f"with own=True every leaf of w must have one row for each of the {train.m} clients, "
            f"got { ({k: tuple(v.shape) for k, v in w.items()}) }; pass personal_models(state)"
        )
    if batch is not None or generator is not None:
        check_generator(generator)
