r"""FedProx: federated averaging whose clients are pulled back to the model they received."""

from __future__ import annotations

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_nonnegative
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.algorithm import Algorithm, State
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.oracles import Oracle, anchored_oracle
from fedlearn_lib.trees import Params


@checked_anywhere
def fedprox(
    oracle: Oracle, *, lr: float, mu: float, server_lr: float = 1.0
) -> Algorithm[State, Params]:
    r"""FedProx: federated averaging whose clients are pulled back to the model they received.

    $$w_i^{t+1}=w_i^t-\eta\big[g_i(w_i^t;D_t)+\mu(w_i^t-w)\big],\qquad w_i^0=w.$$

    Parameters
    ----------
    mu : $\mu\ge0$; 0 is :func:`fedlearn_lib.fedavg`.

    Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, MLSys 2020, equation (2), with τ gradient steps as
    the inexact local solver.

    >>> import torch
    >>> oracle = lambda w, draws: {"w": w["w"] - 4.0}
    >>> x, y = torch.zeros(2, 1, 1), torch.zeros(2, 1, 1)   # τ = 2
    >>> fedprox(oracle, lr=0.5, mu=1.0).client({"w": torch.zeros(1)}, (x, y))
    {'w': tensor([2.])}
    """
    check_nonnegative(mu=mu)

    def client(w: Params, batches: Batch) -> Params:
        message: Params = fedavg(anchored_oracle(oracle, w, mu), lr=lr).client(w, batches)
        return message

    return fedavg(oracle, lr=lr, server_lr=server_lr)._replace(client=client)
