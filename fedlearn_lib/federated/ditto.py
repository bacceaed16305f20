r"""Ditto: FedAvg, and beside it a model of one's own near the shared one."""

from __future__ import annotations

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_nonnegative, check_positive
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.algorithm import Algorithm, Kept, State
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.oracles import Oracle, anchored_oracle
from fedlearn_lib.trees import Params, axpy


@checked_anywhere
def ditto(
    oracle: Oracle, *, lr: float, lam: float, own_lr: float | None = None
) -> Algorithm[State, Kept]:
    r"""Ditto: FedAvg for the shared model, and beside it a model of one's own near the shared one.

    $$v_i\leftarrow v_i-\eta_v\big[g_i(v_i;D_t)+\lambda(v_i-w)\big],\quad t=1,\dots,\tau,$$
    with $w$ as received; then $\tau$ steps of FedAvg from $w$ on the same batches. The own models
    never leave the clients, so the shared model is FedAvg's, number by number.

    Parameters
    ----------
    lam : $\lambda\ge0$; 0 is local training, a large one the shared model.
    own_lr : $\eta_v$, ``lr`` by default; steps with $\eta_v(L+\lambda)\ge2$ explode.

    Li, Hu, Beirami, Smith, ICML 2021, Algorithm 1.

    >>> import torch
    >>> oracle = lambda w, draws: {"w": w["w"] - 4.0}
    >>> x, y = torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)
    >>> zero = {"w": torch.zeros(1)}
    >>> ditto(oracle, lr=0.5, lam=1.0).client(zero, zero, (x, y))
    ({'w': tensor([2.])}, {'w': tensor([2.])})
    """
    check_nonnegative(lam=lam)
    if own_lr is not None:
        check_positive(own_lr=own_lr)
    average = fedavg(oracle, lr=lr)
    step = lr if own_lr is None else own_lr

    def client(w: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        change = fedavg(anchored_oracle(oracle, w, lam), lr=step).client(own, batches)
        return average.client(w, batches), axpy(1.0, change, own)

    return Algorithm(State, client, average.server, own=lambda w0: w0)
