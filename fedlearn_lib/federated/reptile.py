r"""Reptile: federated averaging that moves a fraction of the way."""

from __future__ import annotations

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_positive
from fedlearn_lib.federated.algorithm import Algorithm, State
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.oracles import Oracle
from fedlearn_lib.trees import Params


@checked_anywhere
def reptile(oracle: Oracle, *, lr: float, epsilon: float) -> Algorithm[State, Params]:
    r"""Reptile: move a fraction of the way to where τ local steps end.

    $$w^+=w+\epsilon\sum_ip_i(w_i^\tau-w).$$
    With a cohort of one this is the paper's serial version,
    with more its batched one with stochastic gradient descent inside: both are federated averaging
    with the server step $\epsilon$. So there is no other algorithm here, only another use of its
    result: as a start to adapt from.

    Nichol, Achiam, Schulman, arXiv 1803.02999, Algorithms 1 and 2.

    >>> import torch
    >>> reptile(lambda w, draws: w, lr=0.1, epsilon=0.5).server(
    ...     State({"w": torch.tensor([1.0])}), {"w": torch.tensor([4.0])})
    State(w={'w': tensor([3.])}, round=1)
    """
    check_positive(epsilon=epsilon)
    return fedavg(oracle, lr=lr, server_lr=epsilon)
