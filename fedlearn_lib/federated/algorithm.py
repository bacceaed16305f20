r"""What a federated algorithm is: what a client does, what the server does, what each remembers."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Generic, NamedTuple, Protocol, TypeVar

from fedlearn_lib._checked import checked_record
from fedlearn_lib._checks import check_integers
from fedlearn_lib.trees import Params

Kept = tuple[Params, Params]  # (message, own)
M = TypeVar("M", bound=Params | Kept)  # what a client returns


class Remembers(Protocol):
    """At least this is in the state of a server."""

    @property
    def w(self) -> Params: ...

    @property
    def round(self) -> int: ...


S = TypeVar("S", bound=Remembers)  # what the server remembers, such as State


class State(NamedTuple):
    """What the server remembers: the shared model ``w`` and the number of finished rounds."""

    w: Params
    round: int = 0


class OwnState(NamedTuple, Generic[S]):
    """What a simulation sees and no server does: the server's state and every client's own.

    ``own`` has leaves [m …], one row for each client, whether it was ever sampled or not.
    """

    server: S
    own: Params

    @property
    def w(self) -> Params:
        """The shared model."""
        return self.server.w

    @property
    def round(self) -> int:
        """The number of finished rounds."""
        return self.server.round


@checked_record()
class Algorithm(NamedTuple, Generic[S, M]):
    """A few pure functions and a number; :func:`fedlearn_lib.run` is the loop around them.

    ``Algorithm[S, M]``: the server remembers an S and a client returns an M. FedAvg is an
    ``Algorithm[State, Params]``; Ditto, whose clients keep something, ``Algorithm[State, Kept]``.

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

    init: Callable[[Params], S]
    client: Callable[..., M]
    server: Callable[[S, Params], S]
    draws: int = 1
    own: Callable[[Params], Params] | None = None
    send: Callable[[S], Params] = attrgetter("w")

    def _check(self) -> None:
        check_integers(draws=self.draws)
