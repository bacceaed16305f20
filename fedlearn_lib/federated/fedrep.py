r"""FedRep: one body for all, a head for each client."""

from __future__ import annotations

from collections.abc import Collection

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_positive
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.algorithm import Algorithm, Kept, State
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.oracles import Oracle, check_names, partial_oracle
from fedlearn_lib.trees import Params, axpy


@checked_anywhere
def fedrep(oracle: Oracle, *, head: Collection[str], lr: float) -> Algorithm[State, Kept]:
    r"""FedRep: one body for all, a head for each client.

    A client fits its head to the body it received, τ steps; then it takes τ steps of the body under
    the new head, on the same batches, and sends the body's change. Heads stay at home, and
    ``state.w`` keeps the first head, from which a new client fits its own.

    Parameters
    ----------
    head : names of the parameters that stay with the client, such as ``{"3.weight", "3.bias"}``.

    Collins, Hassani, Mokhtari, Shakkottai, ICML 2021, Algorithm 1.

    >>> import torch
    >>> method = fedrep(lambda w, draws: w, head={"h"}, lr=0.5)
    >>> one = torch.ones(1)
    >>> method.client({"b": one, "h": one}, {"h": 4 * one}, (torch.zeros(1, 1, 1), ) * 2)
    ({'b': tensor([-0.5000])}, {'h': tensor([2.])})
    """
    check_positive(lr=lr)
    check_names("head", head)

    def client(w: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        model = {**w, **own}
        change = fedavg(partial_oracle(oracle, head), lr=lr).client(model, batches)
        model = axpy(1.0, change, model)
        body = model.keys() - set(head)
        change = fedavg(partial_oracle(oracle, body), lr=lr).client(model, batches)
        return {k: v for k, v in change.items() if k in body}, {k: model[k] for k in own}

    def server(state: State, message: Params) -> State:
        body = {k: state.w[k] for k in message}
        return State({**state.w, **axpy(1.0, message, body)}, state.round + 1)

    def own(w0: Params) -> Params:
        missing = sorted(set(head) - w0.keys())
        if missing or not head or len(set(head)) == len(w0):
            raise ValueError(
                f"head must name some of the parameters {sorted(w0)} and not all, got "
                f"{sorted(head)}; take the last layer's weight and bias"
            )
        return {k: w0[k] for k in w0 if k in head}

    def send(state: State) -> Params:
        return {k: v for k, v in state.w.items() if k not in head}

    return Algorithm(State, client, server, own=own, send=send)
