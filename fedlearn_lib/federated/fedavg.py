r"""FedAvg: local steps along an oracle, then the mean of what changed."""

from __future__ import annotations

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_positive
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated._compiled import Step
from fedlearn_lib.federated.algorithm import Algorithm, State
from fedlearn_lib.federated.oracles import Oracle
from fedlearn_lib.trees import Params, axpy


@checked_anywhere
def fedavg(oracle: Oracle, *, lr: float, server_lr: float = 1.0) -> Algorithm[State, Params]:
    r"""Federated averaging: $\tau$ local steps, then the mean of what changed.

    $$w_i^{0}=w,\qquad w_i^{t+1}=w_i^{t}-\eta\,g_i(w_i^{t};D_t),\qquad
      w^+=w+\eta_s\sum_i p_i\,(w_i^{\tau}-w).$$

    Parameters
    ----------
    oracle : $(w,(D,))\mapsto g$, the direction of one local step.
    lr : $\eta$, the clients' step size.
    server_lr : $\eta_s$; with 1 the new model is the mean of the clients' models.

    McMahan, Moore, Ramage, Hampson, Agüera y Arcas, AISTATS 2017, Algorithm 1.

    >>> import torch
    >>> from fedlearn_lib.federated.oracles import gradient
    >>> loss = lambda w, batch: 0.5 * ((w["w"] - batch[0]) ** 2).sum(-1).mean()
    >>> algorithm = fedavg(gradient(loss), lr=0.5)
    >>> x, y = torch.tensor([4.0]).view(1, 1, 1, 1), torch.zeros(1, 1, 1)   # τ = k = b = 1
    >>> algorithm.client({"w": torch.zeros(1)}, (x, y))
    {'w': tensor([2.])}
    """
    check_positive(lr=lr)
    check_positive(server_lr=server_lr)

    def client_step(w: Params, draws: tuple[Batch, ...]) -> Params:
        return axpy(-lr, oracle(w, draws), w)

    def client(w: Params, batches: Batch, step: Step = client_step) -> Params:
        start, (steps, draws) = w, batches[0].shape[:2]
        for t in range(steps):
            w = step(w, tuple((batches[0][t, k], batches[1][t, k]) for k in range(draws)))
        return axpy(-1.0, start, w)

    def server(state: State, message: Params) -> State:
        return State(axpy(server_lr, message, state.w), state.round + 1)

    return Algorithm(State, client, server)
