r"""Baselines of personalization beside the anchored ones: alone, corrected, from a start, a body.

FedAvg with fine-tuning needs nothing here: it is :func:`fedlearn_lib.fedavg`, evaluated with
:func:`fedlearn_lib.adapt`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import torch

from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated import Algorithm, OwnState, State, fedavg
from fedlearn_lib.oracles import Oracle
from fedlearn_lib.proximal import _moved
from fedlearn_lib.trees import Params, axpy

CONTROL = "control."  # marks SCAFFOLD's second vector in a message, which is one flat dictionary


def personal_models(state: Any) -> Params:
    r"""Return one model a client, leaves [m …]: its own leaves, the shared one where it has none.

    For Ditto, pFedMe and local training these are the clients' own models, for FedRep the shared
    body under each client's head. :func:`fedlearn_lib.evaluate` scores them with ``own=True``.

    >>> state = OwnState(State({"a": torch.tensor(1.0)}), {"b": torch.tensor([2.0, 3.0])})
    >>> personal_models(state)
    {'a': tensor([1., 1.]), 'b': tensor([2., 3.])}
    """
    if not isinstance(state, OwnState) or not state.own:
        raise ValueError(
            "state must come from an algorithm whose clients keep something, such as ditto, got "
            f"{type(state).__name__}; a shared model is state.w, and adapt makes it personal"
        )
    m = len(next(iter(state.own.values())))
    shared = {k: v.expand(m, *v.shape) for k, v in state.w.items()}
    return shared | {k: v for k, v in state.own.items() if not k.startswith(CONTROL)}


def local_only(oracle: Oracle, *, lr: float) -> Algorithm:
    r"""Local training: each client takes its steps on a model of its own, and sends nothing.

    It has no shared model; ``state.w`` stays the start. In a simulation it sees the same cohorts
    and batches as the others, so that it pays for the same number of steps.

    >>> method = local_only(lambda w, draws: {"w": w["w"] - 4.0}, lr=0.5)
    >>> method.client({}, {"w": torch.zeros(1)}, (torch.zeros(2, 1, 1), torch.zeros(2, 1, 1)))
    ({}, {'w': tensor([3.])})
    """
    average = fedavg(oracle, lr=lr)

    def client(w: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        return {}, _moved(average, own, batches)

    def server(state: State, message: Params) -> State:
        return state._replace(round=state.round + 1)

    return Algorithm(State, client, server, own=lambda w0: w0, send=lambda state: {})


def reptile(oracle: Oracle, *, lr: float, epsilon: float) -> Algorithm:
    r"""Reptile: move a fraction of the way to where τ local steps end.

    $$w^+=w+\epsilon\sum_ip_i(w_i^\tau-w).$$
    With a cohort of one this is the paper's serial version,
    with more its batched one with stochastic gradient descent inside: both are federated averaging
    with the server step $\epsilon$. So there is no other algorithm here, only another use of its
    result: as a start to adapt from.

    Nichol, Achiam, Schulman, arXiv 1803.02999, Algorithms 1 and 2.

    >>> reptile(lambda w, draws: w, lr=0.1, epsilon=0.5).server(
    ...     State({"w": torch.tensor([1.0])}), {"w": torch.tensor([4.0])})
    State(w={'w': tensor([3.])}, round=1)
    """
    return fedavg(oracle, lr=lr, server_lr=epsilon)


def only(oracle: Oracle, names: Collection[str]) -> Oracle:
    """Return the oracle that moves the parameters ``names`` and leaves all others where they are.

    >>> oracle = only(lambda w, draws: w, {"head"})
    >>> oracle({"body": torch.tensor(2.0), "head": torch.tensor(3.0)}, ())
    {'body': tensor(0.), 'head': tensor(3.)}
    """

    def partial(w: Params, draws: tuple[Batch, ...]) -> Params:
        slopes = oracle(w, draws)
        return {k: v if k in names else torch.zeros_like(v) for k, v in slopes.items()}

    return partial


def fedrep(oracle: Oracle, *, head: Collection[str], lr: float) -> Algorithm:
    r"""FedRep: one body for all, a head for each client.

    A client fits its head to the body it received, τ steps; then it takes τ steps of the body under
    the new head, on the same batches, and sends the body's change. Heads stay at home, and
    ``state.w`` keeps the first head, from which a new client fits its own.

    Parameters
    ----------
    head : names of the parameters that stay with the client, such as ``{"3.weight", "3.bias"}``.

    Collins, Hassani, Mokhtari, Shakkottai, ICML 2021, Algorithm 1.

    >>> method = fedrep(lambda w, draws: w, head={"h"}, lr=0.5)
    >>> one = torch.ones(1)
    >>> method.client({"b": one, "h": one}, {"h": 4 * one}, (torch.zeros(1, 1, 1), ) * 2)
    ({'b': tensor([-0.5000])}, {'h': tensor([2.])})
    """

    def client(w: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        model = _moved(fedavg(only(oracle, head), lr=lr), {**w, **own}, batches)
        body = model.keys() - set(head)
        change = fedavg(only(oracle, body), lr=lr).client(model, batches)
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


class ScaffoldState(NamedTuple):
    """The shared model, the server's control variate, and the number of finished rounds."""

    w: Params
    control: Params
    round: int = 0


def scaffold(oracle: Oracle, *, lr: float, server_lr: float = 1.0, share: float = 1.0) -> Algorithm:
    r"""SCAFFOLD: local steps along $g_i-c_i+c$, which looks like $\nabla f$ from every client.

    $$w_i^{t+1}=w_i^t-\eta\,[g_i(w_i^t;D_t)-c_i+c],\qquad
      c_i^+=c_i-c+\frac{w-w_i^\tau}{\tau\eta},$$
    $$w^+=w+\eta_s\sum_ip_i(w_i^\tau-w),\qquad c^+=c+r\sum_ip_i(c_i^+-c_i).$$
    So $c_i^+$ is the mean gradient along client $i$'s own path (option II of the paper), and $c$
    the mean of the $c_i$. Twice the numbers of FedAvg travel in each direction.

    Parameters
    ----------
    share : $r$, the cohort's share of the clients; the paper's $|S|/N$, with uniform weights.

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

    return Algorithm(
        init=lambda w0: ScaffoldState(w0, {k: torch.zeros_like(v) for k, v in w0.items()}),
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
