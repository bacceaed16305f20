"""What a run asks of the clients, and what it says where they do not answer."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from fedlearn_lib._checks import (
    check_equal_sizes,
    check_how,
    check_integers,
    check_model,
)
from fedlearn_lib._explained import explained_as
from fedlearn_lib._kinds import SIMPLE
from fedlearn_lib._shapes import shown
from fedlearn_lib.data.clients import Batch, Clients
from fedlearn_lib.federated._compiled import step_of
from fedlearn_lib.federated.algorithm import Algorithm, M, Remembers, S
from fedlearn_lib.federated.mapping import HOW, check_message
from fedlearn_lib.trees import Params


class Population(Protocol):
    """All that :func:`fedlearn_lib.run` asks of the clients; ``Clients`` is one of many.

    A cohort is drawn part by part, a few clients in each call. Draw for one client after the
    other, as the library's own populations do, and no number depends on how it was cut.
    """

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


def check_run(
    algorithm: Algorithm[S, M],
    w0: Params,
    clients: Population,
    *,
    rounds: int,
    cohort: int | None,
    steps: int,
    batch: int | None,
    generator: torch.Generator,
    how: str,
) -> int:
    """Refuse what cannot run, and return the size of the cohort."""
    missing = [name for name in ("m", "weights", "draw") if not hasattr(clients, name)]
    if missing:
        raise ValueError(
            "clients must have m, weights(ids) and draw(ids, …), got "
            f"{type(clients).__name__} with no {', '.join(missing)}; make it with Clients.of"
        )
    check_integers(0, rounds=rounds)
    cohort = clients.m if cohort is None else cohort
    check_integers(cohort=cohort, steps=steps, batch=batch)
    if cohort > clients.m:
        raise ValueError(
            f"cohort={cohort} is larger than the population of {clients.m} clients; lower it"
        )
    check_how(how, HOW)
    if how == "compile":
        step_of(algorithm.client)
    check_model("w0", w0)
    if batch is None and isinstance(clients, Clients):
        check_equal_sizes(clients.n)
    return cohort


def draw_from(
    clients: Population,
    ids: Tensor,
    *,
    steps: int,
    draws: int,
    batch: int | None,
    generator: torch.Generator,
) -> Batch:
    """Draw batches, and name the population where it breaks its promise."""
    batches = clients.draw(ids, steps=steps, draws=draws, batch=batch, generator=generator)
    if not isinstance(batches, tuple) or len(batches) != 2:
        raise ValueError(
            f"clients.draw must return a pair (x, y) of tensors, got {type(batches).__name__}; "
            "see Clients.draw"
        )
    for name, leaf in zip("xy", batches, strict=True):
        if leaf.shape[:3] != (len(ids), steps, draws) or leaf.ndim < 4:
            raise ValueError(
                f"clients.draw must return leaves [c τ k b …], here [{len(ids)} {steps} {draws} "
                f"b …], got {name} of shape {tuple(leaf.shape)}; see Clients.draw"
            )
    return batches


def weights_from(clients: Population, ids: Tensor) -> Tensor:
    """Return the shares of a cohort in its mean, and name the population where they are none."""
    share = clients.weights(ids)
    if share.shape != ids.shape:
        raise ValueError(
            f"clients.weights must return one weight for each of the {len(ids)} ids, got the shape "
            f"{tuple(share.shape)}; see Clients.weights"
        )
    if bool((share < 0).any()) or not abs(float(share.sum()) - 1) <= 1e-5:
        raise ValueError(
            "clients.weights must be non-negative with the sum 1, got the sum "
            f"{float(share.sum()):.6g}; divide by it"
        )
    return share


def check_state(function: str, state: object) -> None:
    if not hasattr(state, "w") or not hasattr(state, "round"):
        raise ValueError(
            f"algorithm.{function} must return a state with w and round, got {shown(state)}; "
            "see fedlearn_lib.federated.State"
        )


def check_same_kind(state: object, fresh: object) -> None:
    """Refuse a state that the algorithm would not have returned for this w0 and these clients."""
    given, needed = outline(state), outline(fresh)
    if given != needed:
        raise ValueError(
            "state must be what a run of the same algorithm, model and clients returned, "
            f"{needed}, got {given}; leave it out to begin at w0"
        )


def check_not_diverged(state: Remembers) -> None:
    """Refuse to go on from a model that is no model any more."""
    bad = [name for name, leaf in state.w.items() if not bool(leaf.isfinite().all())]
    if bad:
        raise ValueError(
            f"state must hold finite numbers, got NaN or infinity in {bad[0]!r} after round "
            f"{state.round}: the run has diverged; begin again with smaller steps"
        )


def outline(tree: object) -> object:
    """Return names, shapes and kinds of what is in a state: dictionaries and named tuples."""
    if isinstance(tree, Tensor):
        return tuple(tree.shape), str(tree.dtype), tree.device.type, str(tree.layout)
    if isinstance(tree, tuple) and hasattr(tree, "_asdict"):
        return type(tree).__name__, outline(tree._asdict())
    if isinstance(tree, dict):
        return {name: outline(leaf) for name, leaf in tree.items()}
    return type(tree).__name__


def try_one_step(
    algorithm: Algorithm[S, M], w0: Params, clients: Population, *, steps: int, batch: int | None
) -> int:
    """Take one local step at one client, so that a misfit shows before the run begins.

    Returns the number of bytes of one client's batches in a round.
    """
    start = algorithm.init(w0)
    check_state("init", start)
    sent = algorithm.send(start)
    if not SIMPLE[dict[str, Tensor]].fits(sent):
        raise ValueError(f"algorithm.send must return a dict of tensors, got {shown(sent)}")
    own = () if algorithm.own is None else (algorithm.own(w0),)
    one, generator = torch.tensor([0]), torch.Generator()  # not the user's: nothing is used up
    x, y = draw_from(clients, one, steps=1, draws=algorithm.draws, batch=batch, generator=generator)
    try:
        with explained_as(w0=w0, clients=clients):
            answer = algorithm.client(sent, *own, (x[0], y[0]))
    except Exception as error:
        error.add_note(
            "This was one local step of the first client, tried before the run, with samples of "
            f"shape {tuple(x.shape[4:])} ({x.dtype}) and targets of shape {tuple(y.shape[4:])} "
            f"({y.dtype}). Model, loss and data must fit in shape and dtype."
        )
        raise
    check_message("algorithm.client", answer)
    if isinstance(answer, Tensor):
        raise ValueError("algorithm.client must return a dict of tensors by name, got one tensor")
    if isinstance(answer, tuple) != bool(own):
        raise ValueError(
            "the client must return (message, own) if algorithm.own is given, and a message alone "
            f"if not, got {type(answer).__name__} with own={algorithm.own}; add one or leave it out"
        )
    return (x.nbytes + y.nbytes) * (1 if batch is None else steps)  # whole data are no copies
