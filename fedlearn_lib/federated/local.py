r"""Local training: every client alone."""

from __future__ import annotations

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.algorithm import Algorithm, Kept, State
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.oracles import Oracle
from fedlearn_lib.trees import Params, axpy


@checked_anywhere
def local_only(oracle: Oracle, *, lr: float) -> Algorithm[State, Kept]:
    r"""Local training: each client takes its steps on a model of its own, and sends nothing.

    It has no shared model; ``state.w`` stays the start. In a simulation it sees the same cohorts
    and batches as the others, so that it pays for the same number of steps.

    >>> import torch
    >>> method = local_only(lambda w, draws: {"w": w["w"] - 4.0}, lr=0.5)
    >>> method.client({}, {"w": torch.zeros(1)}, (torch.zeros(2, 1, 1), torch.zeros(2, 1, 1)))
    ({}, {'w': tensor([3.])})
    """
    average = fedavg(oracle, lr=lr)

    def client(w: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        return {}, axpy(1.0, average.client(own, batches), own)

    def server(state: State, message: Params) -> State:
        return state._replace(round=state.round + 1)

    return Algorithm(State, client, server, own=lambda w0: w0, send=lambda state: {})
