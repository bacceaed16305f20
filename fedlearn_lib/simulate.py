"""The loop around an algorithm, its record, and the score of a model on every client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from fedlearn_lib._checks import (
    check_equal_sizes,
    check_generator,
    check_how,
    check_integers,
    check_model,
)
from fedlearn_lib.data.clients import Batch, Clients
from fedlearn_lib.federated import Algorithm, OwnState, map_clients
from fedlearn_lib.trees import Params, weighted_mean

Metric = Callable[[Params, Batch], Tensor]
AT_ONCE = 64  # clients that one call of a metric scores; bounds the memory of many large clients


class Population(Protocol):
    """All that :func:`run` asks of the clients; ``Clients`` is one, a generator can be another."""

    @property
    def m(self) -> int: ...

    def weights(self, ids: Tensor) -> Tensor: ...

    def draw(
        self,
        ids: Tensor,
        *,
        steps: int,
        draws: int,
        batch: int | None,
        generator: torch.Generator,
    ) -> Batch: ...


class History(NamedTuple):
    """What ``probe`` saw: the round numbers and, under each name, one value a round."""

    rounds: list[int]
    values: dict[str, list[float]]


def run(
    algorithm: Algorithm,
    w0: Params,
    clients: Population,
    *,
    rounds: int,
    cohort: int | None = None,
    steps: int,
    batch: int | None,
    generator: torch.Generator,
    probe: Callable[[Any], Mapping[str, float] | None] | None = None,
    how: str = "vmap",
) -> tuple[Any, History]:
    r"""Run ``rounds`` rounds: sample clients, let each take τ steps, average, update.

    Parameters
    ----------
    algorithm : see :class:`fedlearn_lib.Algorithm`.
    w0 : the start; not changed.
    clients : ``Clients``, or anything with ``m``, ``weights(ids)`` and ``draw(ids, …)``.
    rounds : K.
    cohort : clients sampled in each round, uniformly without replacement; all by default.
    steps : τ, local steps a round.
    batch : b, samples a step; ``None``: each client's whole data.
    generator : the only source of randomness.
    probe : ``state -> {name: number}`` with the same names each time, called before the first
        and after every round; ``None`` leaves the round out of the history.
    how : see :func:`fedlearn_lib.map_clients`.

    Returns
    -------
    (state, history). Memory grows with the cohort, not with the population, unless clients keep
    something (``algorithm.own``): then ``state.own`` holds it for all m of them, and clients
    outside the cohort keep theirs unchanged.

    >>> from fedlearn_lib import fedavg, gradient, quadratic_clients, quadratic_loss
    >>> clients = quadratic_clients(torch.ones(2, 1, 1), torch.tensor([[0.0], [4.0]]))
    >>> state, history = run(fedavg(gradient(quadratic_loss), lr=0.5), {"w": torch.zeros(1)},
    ...                      clients, rounds=3, steps=1, batch=1,
    ...                      generator=torch.Generator().manual_seed(0),
    ...                      probe=lambda state: {"w": float(state.w["w"])})
    >>> history.values["w"]
    [0.0, 1.0, 1.5, 1.75]
    """
    cohort = clients.m if cohort is None else cohort
    _check_run(
        w0,
        clients,
        rounds=rounds,
        cohort=cohort,
        steps=steps,
        batch=batch,
        generator=generator,
        how=how,
    )
    state, history = algorithm.init(w0), History([], {})
    _check_fit(algorithm, w0, clients, batch)
    if algorithm.own is not None:
        first = algorithm.own(w0).items()
        state = OwnState(state, {k: v.expand(clients.m, *v.shape).clone() for k, v in first})
    _record(history, state, probe)
    for _ in range(rounds):
        ids = sample_cohort(clients.m, cohort, generator=generator)
        batches = clients.draw(
            ids, steps=steps, draws=algorithm.draws, batch=batch, generator=generator
        )
        state = _round(algorithm, state, ids, batches, clients.weights(ids), how)
        _record(history, state, probe)
    return state, history


def _round(
    algorithm: Algorithm, state: Any, ids: Tensor, batches: Batch, share: Tensor, how: str
) -> Any:
    """Send, let the cohort work, average what comes back; put back what clients keep."""
    if not isinstance(state, OwnState):
        messages = map_clients(algorithm.client, algorithm.send(state), batches, how=how)
        return algorithm.server(state, weighted_mean(messages, share))
    sent, own = algorithm.send(state.server), {k: v[ids] for k, v in state.own.items()}
    messages, own = map_clients(algorithm.client, sent, batches, own=own, how=how)
    kept = {k: v.index_copy(0, ids, own[k]) for k, v in state.own.items()}
    return OwnState(algorithm.server(state.server, weighted_mean(messages, share)), kept)


def sample_cohort(m: int, cohort: int, *, generator: torch.Generator) -> Tensor:
    r"""Sample ``cohort`` of ``m`` clients uniformly without replacement: sorted numbers [cohort].

    Floyd's method: time and memory grow with the cohort only (Bentley and Floyd, 1987).

    >>> sample_cohort(3, 3, generator=torch.Generator().manual_seed(0)).tolist()
    [0, 1, 2]
    """
    if not isinstance(cohort, int) or not 1 <= cohort <= m:
        raise ValueError(
            f"cohort must be an integer from 1 to the population's {m} clients, got {cohort!r}; "
            "choose one in this range"
        )
    if cohort == m:
        return torch.arange(m)
    u = torch.rand(cohort, generator=generator, dtype=torch.float64)
    chosen: set[int] = set()
    for j, v in zip(range(m - cohort, m), u.tolist(), strict=True):
        candidate = int(v * (j + 1))
        chosen.add(j if candidate in chosen else candidate)
    return torch.tensor(sorted(chosen))


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
    own : whether each client has a model of its own, as from
        :func:`fedlearn_lib.personal_models`.
    adapt : ``(w, batch_i) -> w_i``; without it there is no ``"after"``.
    batch : samples of ``train`` that adaptation sees; ``None`` takes all of them.
    generator : draws these samples; needed with ``batch``.
    how : see :func:`fedlearn_lib.map_clients`; ``"loop"`` for convolutional networks.

    Returns
    -------
    ``{"before": [m], "after": [m]}``, the mean score of each client's test samples.

    >>> from fedlearn_lib import Clients
    >>> clients = Clients.of(torch.tensor([1.0, 3.0]), torch.zeros(2), [[0], [1]])
    >>> evaluate(lambda w, batch: batch[0] * w["a"], {"a": torch.tensor(2.0)}, clients, clients)
    {'before': tensor([2., 6.])}
    """
    _check_evaluate(w, train, test, own=own, batch=batch, generator=generator, how=how)
    scores = {"before": _score(metric, w, test, own=own, how=how)}
    if adapt is None:
        return scores
    draw = generator or torch.Generator()  # batch=None draws nothing
    x, y = train.draw(torch.arange(train.m), steps=1, batch=batch, generator=draw)
    seen = (x[:, 0, 0], y[:, 0, 0])
    if own:
        adapted = map_clients(lambda _, v, batch: ({}, adapt(v, batch)), {}, seen, own=w, how=how)[
            1
        ]
    else:
        adapted = map_clients(adapt, w, seen, how=how)
    return scores | {"after": _score(metric, adapted, test, own=True, how=how)}


def _score(metric: Metric, models: Params, test: Clients, *, own: bool, how: str) -> Tensor:
    """The mean score of every client's samples, of one model or of each client's ``own``: [m]."""
    if how == "vmap":
        score = torch.func.vmap(metric, in_dims=(0 if own else None, 0), chunk_size=AT_ONCE)
        values = score(models, (test.x, test.y))
    else:
        rows = [{k: v[i] for k, v in models.items()} if own else models for i in range(test.m)]
        values = torch.stack([metric(w, (test.x[i], test.y[i])) for i, w in enumerate(rows)])
    inside = torch.arange(test.x.shape[1]) < test.n[:, None]
    if values.shape != inside.shape:
        raise ValueError(
            "metric must return one score for each sample of its batch, got the shape "
            f"{tuple(values.shape[1:])} for {inside.shape[1]} samples; leave out its mean"
        )
    return torch.where(inside, values, 0).sum(1) / test.n


def _record(
    history: History, state: Any, probe: Callable[[Any], Mapping[str, float] | None] | None
) -> None:
    seen = probe(state) if probe else None
    if seen is None:
        return
    if history.rounds and seen.keys() != history.values.keys():
        raise ValueError(
            f"probe must return the same names each time, got {sorted(seen)} in round "
            f"{state.round} after {sorted(history.values)}; return None to skip a round"
        )
    history.rounds.append(state.round)
    for name, value in seen.items():
        history.values.setdefault(name, []).append(float(value))


def _check_run(
    w0: Params,
    clients: Population,
    *,
    rounds: int,
    cohort: int,
    steps: int,
    batch: int | None,
    generator: torch.Generator,
    how: str,
) -> None:
    check_integers(0, rounds=rounds)
    check_integers(cohort=cohort, steps=steps, batch=batch)
    if cohort > clients.m:
        raise ValueError(
            f"cohort={cohort} is larger than the population of {clients.m} clients; lower it"
        )
    check_how(how)
    check_generator(generator)
    check_model("w0", w0)
    if batch is None and isinstance(clients, Clients):
        check_equal_sizes(clients.n)
    rehearsal = torch.Generator()  # the first client says whether it can serve such batches
    clients.draw(
        torch.zeros(1, dtype=torch.long), steps=1, draws=1, batch=batch, generator=rehearsal
    )


def _check_fit(algorithm: Algorithm, w0: Params, clients: Population, batch: int | None) -> None:
    """Take one local step at one client, so that a misfit shows before the run begins."""
    sent = algorithm.send(algorithm.init(w0))
    own = () if algorithm.own is None else (algorithm.own(w0),)
    one, generator = torch.tensor([0]), torch.Generator()
    x, y = clients.draw(one, steps=1, draws=algorithm.draws, batch=batch, generator=generator)
    try:
        algorithm.client(sent, *own, (x[0], y[0]))
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"w0 and the loss do not fit the clients' data, samples of shape {tuple(x.shape[4:])} "
            f"({x.dtype}) with targets of shape {tuple(y.shape[4:])} ({y.dtype}): {error}; make "
            "the model for these shapes, and give model and data one dtype"
        ) from error


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
    check_model("w", w, finite=False)  # a diverged model has a score too
    if own and any(value.shape[:1] != (train.m,) for value in w.values()):
        raise ValueError(
            f"with own=True every leaf of w must have one row for each of the {train.m} clients, "
            f"got { ({k: tuple(v.shape) for k, v in w.items()}) }; pass personal_models(state)"
        )
    if batch is not None or generator is not None:
        check_generator(generator)
