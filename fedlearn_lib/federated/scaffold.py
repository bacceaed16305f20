r"""SCAFFOLD: local steps that look like steps along the mean gradient."""

from __future__ import annotations

from typing import NamedTuple

import torch

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_unmarked
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.algorithm import Algorithm, Kept, State
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.oracles import Oracle
from fedlearn_lib.trees import Params, axpy

CONTROL = "control."  # marks the second vector in a message, which is one flat dictionary


class ScaffoldState(NamedTuple):
    """The shared model, the server's control variate, and the number of finished rounds."""

    w: Params
    control: Params
    round: int = 0


@checked_anywhere
def scaffold(
    oracle: Oracle, *, lr: float, server_lr: float = 1.0, share: float = 1.0
) -> Algorithm[ScaffoldState, Kept]:
    r"""SCAFFOLD: local steps along $g_i-c_i+c$, which looks like $\nabla f$ from every client.

    $$w_i^{t+1}=w_i^t-\eta\,[g_i(w_i^t;D_t)-c_i+c],\qquad
      c_i^+=c_i-c+\frac{w-w_i^\tau}{\tau\eta},$$
    $$w^+=w+\eta_s\sum_ip_i(w_i^\tau-w),\qquad c^+=c+r\sum_ip_i(c_i^+-c_i).$$
    So $c_i^+$ is the mean gradient along client $i$'s own path (option II of the paper), and $c$
    the mean of the $c_i$. Twice the numbers of FedAvg travel in each direction.

    Parameters
    ----------
    share : $r$, the cohort's share of the clients; the paper's $|S|/N$, with uniform weights.

    Names of parameters must not begin with ``control.``.

    Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, ICML 2020, Algorithm 1.

    >>> oracle = lambda w, draws: {"w": w["w"] - 4.0}
    >>> w, c, own = torch.zeros(1), torch.tensor([1.0]), torch.tensor([2.0])
    >>> scaffold(oracle, lr=0.5).client({"w": w, "control.w": c}, {"control.w": own},
    ...                                 (torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)))
    ({'w': tensor([2.5000]), 'control.w': tensor([-6.])}, {'control.w': tensor([-4.])})
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share!r}; pass cohort / m")
    average = fedavg(oracle, lr=lr, server_lr=server_lr)

    def client(sent: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        w, c = _split(sent)
        shift = axpy(-1.0, _split(own)[1], c)  # c − c_i
        corrected = fedavg(lambda v, draws: axpy(1.0, shift, oracle(v, draws)), lr=lr)
        change: Params = corrected.client(w, batches)
        slope = 1 / (len(batches[0]) * lr)
        gap = _marked({k: -c[k] - slope * change[k] for k in c})  # c_i⁺ − c_i
        return change | gap, axpy(1.0, gap, own)

    def server(state: ScaffoldState, message: Params) -> ScaffoldState:
        change, gap = _split(message)
        moved = average.server(State(state.w, state.round), change)
        return ScaffoldState(moved.w, axpy(share, gap, state.control), moved.round)

    def init(w0: Params) -> ScaffoldState:
        check_unmarked(w0, CONTROL)
        return ScaffoldState(w0, {k: torch.zeros_like(v) for k, v in w0.items()})

    return Algorithm(
        init=init,
        client=client,
        server=server,
        own=lambda w0: _marked({k: torch.zeros_like(v) for k, v in w0.items()}),
        send=lambda state: state.w | _marked(state.control),
    )


def _marked(control: Params) -> Params:
    return {CONTROL + k: v for k, v in control.items()}


def _split(both: Params) -> tuple[Params, Params]:
    """Take a dictionary apart into the model and, without their mark, the control variates."""
    control = {k.removeprefix(CONTROL): v for k, v in both.items() if k.startswith(CONTROL)}
    return {k: v for k, v in both.items() if not k.startswith(CONTROL)}, control
