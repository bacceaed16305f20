"""The loop around an algorithm, and its record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast, overload

import torch
from torch import Tensor

from fedlearn_lib._checked import checked, checked_anywhere
from fedlearn_lib._shapes import shown
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated._population import (
    Population,
    check_not_diverged,
    check_run,
    check_same_kind,
    check_state,
    draw_from,
    try_one_step,
    weights_from,
)
from fedlearn_lib.federated.algorithm import Algorithm, Kept, M, OwnState, Remembers, S
from fedlearn_lib.federated.mapping import chunk_of, map_clients
from fedlearn_lib.trees import Params, axpy, weighted_sum

Probe = Callable[[S], Mapping[str, float] | None]  # what looks at a state between two rounds


class History(NamedTuple):
    """What ``probe`` saw: the round numbers and, under each name, one value a round."""

    rounds: list[int]
    values: dict[str, list[float]]


# Whose clients keep nothing ends with the server's state, another one with everybody's own beside.
@overload
def run(
    algorithm: Algorithm[S, Params],
    w0: Params,
    clients: Population,
    *,
    rounds: int,
    cohort: int | None = ...,
    steps: int,
    batch: int | None,
    generator: torch.Generator,
    probe: Probe[S] | None = ...,
    how: str = ...,
    state: S | None = ...,
) -> tuple[S, History]: ...
@overload
def run(
    algorithm: Algorithm[S, Kept], w0: Params, clients: Population, *, rounds: int,
    cohort: int | None = ..., steps: int, batch: int | None, generator: torch.Generator,
    probe: Probe[OwnState[S]] | None = ..., how: str = ..., state: OwnState[S] | None = ...,
) -> tuple[OwnState[S], History]: ...  # fmt: skip
@checked_anywhere
def run(
    algorithm: Algorithm[S, M],
    w0: Params,
    clients: Population,
    *,
    rounds: int,
    cohort: int | None = None,
    steps: int,
    batch: int | None,
    generator: torch.Generator,
    probe: Probe[Any] | None = None,
    how: str = "vmap",
    state: Remembers | None = None,
) -> tuple[Remembers, History]:
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
    state : to go on where an earlier run of the same algorithm ended, the state it returned, with
        the generator as that run left it: the rounds are those of one long run. ``probe`` is then
        called after each new round only.

    Returns
    -------
    (state, history). Memory grows neither with the population nor with the cohort, which is drawn
    and averaged part by part, unless clients keep something (``algorithm.own``): then
    ``state.own`` holds it for all m of them, and clients outside the cohort keep theirs unchanged.

    >>> from fedlearn_lib import fedavg, gradient
    >>> from fedlearn_lib.data import quadratic_clients, quadratic_loss
    >>> clients = quadratic_clients(torch.ones(2, 1, 1), torch.tensor([[0.0], [4.0]]))
    >>> state, history = run(fedavg(gradient(quadratic_loss), lr=0.5), {"w": torch.zeros(1)},
    ...                      clients, rounds=3, steps=1, batch=1,
    ...                      generator=torch.Generator().manual_seed(0),
    ...                      probe=lambda state: {"w": float(state.w["w"])})
    >>> history.values["w"]
    [0.0, 1.0, 1.5, 1.75]
    """
    cohort = check_run(
        algorithm,
        w0,
        clients,
        rounds=rounds,
        cohort=cohort,
        steps=steps,
        batch=batch,
        generator=generator,
        how=how,
    )
    w0 = {name: value.detach().clone() for name, value in w0.items()}
    server, history = algorithm.init(w0), History([], {})
    drawn = try_one_step(algorithm, w0, clients, steps=steps, batch=batch) if rounds else 0
    first = None if algorithm.own is None else algorithm.own(w0)
    own = first and {k: v.expand(clients.m, *v.shape).clone() for k, v in first.items()}
    if state is not None:
        check_same_kind(state, _state(server, own))
        check_not_diverged(state)
        before, own = (state.server, state.own) if isinstance(state, OwnState) else (state, own)
        server = cast(S, before)
    size = chunk_of(w0, cohort, own, drawn)
    draw = partial(
        draw_from, clients, steps=steps, draws=algorithm.draws, batch=batch, generator=generator
    )
    if state is None:
        _record(history, _state(server, own), probe)
    for _ in range(rounds):
        ids = sample_cohort(clients.m, cohort, generator=generator)
        shares = weights_from(clients, ids)
        parts = zip(ids.split(size), shares.split(size), strict=True)
        server, own = _round(algorithm, server, own, parts, draw, how)
        check_state("server", server)
        _record(history, _state(server, own), probe)
    return _state(server, own), history


def _round(
    algorithm: Algorithm[S, M],
    server: S,
    own: Params | None,
    parts: Iterable[tuple[Tensor, Tensor]],
    draw: Callable[[Tensor], Batch],
    how: str,
) -> tuple[S, Params | None]:
    """Send, let the cohort work part by part, add up what comes back; put back what clients keep.

    ``parts`` are numbers and weights of clients. One part's batches and messages are in memory.
    If a loss holds a tensor that requires grad, its graph ends here and does not grow over rounds.
    """
    sent, mean = algorithm.send(server), Params()
    own = own and {k: v.clone() for k, v in own.items()}
    for ids, share in parts:
        rows = own and {k: v[ids.to(v.device)] for k, v in own.items()}
        answer: Params | Kept = map_clients(algorithm.client, sent, draw(ids), own=rows, how=how)
        messages, kept = answer if isinstance(answer, tuple) else (answer, {})
        for k, v in (own or {}).items():
            v.index_copy_(0, ids.to(v.device), kept[k].detach())
        some = {k: v.detach() for k, v in weighted_sum(messages, share).items()}
        mean = axpy(1.0, some, mean) if mean else some
    return algorithm.server(server, mean), own


def _state(server: Remembers, own: Params | None) -> Remembers:
    return server if own is None else OwnState(server, own)


@checked()
def sample_cohort(m: int, cohort: int, *, generator: torch.Generator) -> Tensor:
    r"""Sample ``cohort`` of ``m`` clients uniformly without replacement: sorted numbers [cohort].

    Floyd's method: time and memory grow with the cohort only (Bentley and Floyd, 1987).

    >>> sample_cohort(3, 3, generator=torch.Generator().manual_seed(0)).tolist()
    [0, 1, 2]
    """
    if not 1 <= cohort <= m:
        raise ValueError(
            f"cohort must be an integer from 1 to the population's m={m} clients, got {cohort!r}; "
            "choose one in this range"
        )
    if cohort == m:
        return torch.arange(m)
    u = torch.rand(cohort, generator=generator, dtype=torch.float64, device=generator.device)
    chosen: set[int] = set()
    for j, v in zip(range(m - cohort, m), u.tolist(), strict=True):
        candidate = int(v * (j + 1))
        chosen.add(j if candidate in chosen else candidate)
    return torch.tensor(sorted(chosen))


def _record(history: History, state: Remembers, probe: Probe[Any] | None) -> None:
    seen = None if probe is None else probe(state)
    if seen is None:
        return
    if not isinstance(seen, Mapping):
        raise ValueError(
            f"probe must return a dict of numbers by name, or None, got {shown(seen)}; correct it"
        )
    if history.rounds and seen.keys() != history.values.keys():
        raise ValueError(
            f"probe must return the same names each time, got {sorted(seen)} in round "
            f"{state.round} after {sorted(history.values)}; return None to skip a round"
        )
    history.rounds.append(state.round)
    for name, value in seen.items():
        history.values.setdefault(name, []).append(float(value))
