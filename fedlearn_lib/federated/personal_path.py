r"""From one model for all to everybody's own, in rounds: accounts that are never sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_positive, check_unmarked
from fedlearn_lib._explained import explained_call
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.algorithm import Algorithm, Kept, OwnState, State
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.oracles import Oracle
from fedlearn_lib.sparse.parts import penalties_by_name
from fedlearn_lib.sparse.penalties import L1, Penalty
from fedlearn_lib.trees import Params, axpy

DUAL = "dual."  # marks a client's account V, which is no model
Penalties = Penalty | Mapping[str, Penalty | None]


@checked_anywhere
def personal_path(
    oracle: Oracle,
    *,
    kappa: float,
    lr: float,
    penalty: Penalties = L1(),  # noqa: B008, a constant
    server_lr: float = 1.0,
) -> Algorithm[State, Kept]:
    r"""Linearized Bregman iterations on the clients' deviations; the shared model is free.

    Client $i$ uses $w+\delta_i$ with $\delta_i=\kappa\,\mathrm{Prox}_\Omega(V_i)$, and its account
    $V_i$ is never sent. With $g=g_i(w_i+\delta_i;D)$ each of the $\tau$ local steps is
    $$w_i\leftarrow w_i-\kappa\eta g,\qquad V_i\leftarrow V_i-\eta g,\qquad
      \delta_i\leftarrow\kappa\,\mathrm{Prox}_\Omega(V_i).$$
    The server averages the $w_i$. With ``server_lr=1`` and all clients
    $\sum_ip_iV_i=(w-w_0)/\kappa$ in every round, whatever $\tau$; for a cohort of $c$ of $m$
    clients take ``server_lr=c/m``. One round is $\tau\eta$ of path time.

    Parameters
    ----------
    kappa : $\kappa$; the exact path as it grows, plain fine-tuning as it vanishes.
    lr : $\eta$, the step of path time. $\kappa\eta L<1$ is safe for $L$-smooth losses, whatever
        the number of clients and for one local step.
    penalty : $\Omega$, one for all leaves or one by name; ``None`` keeps a leaf shared. A group
        is a row of a leaf. See :class:`fedlearn_lib.L1` and :class:`fedlearn_lib.GroupL2`.

    Names of parameters must not begin with ``dual.``.

    The models in use are :func:`path_models`. Ancestor: Xu et al., TPAMI 2019.

    >>> loss_slope = lambda w, draws: {"w": w["w"] - 4.0}
    >>> method = personal_path(loss_slope, kappa=2.0, lr=0.25)
    >>> x, y = torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)  # one local step
    >>> method.client({"w": torch.zeros(1)}, {"dual.w": torch.tensor([0.5])}, (x, y))
    ({'w': tensor([2.])}, {'dual.w': tensor([1.5000])})
    """
    check_positive(kappa=kappa, lr=lr)
    server = fedavg(oracle, lr=lr, server_lr=server_lr).server

    def client(sent: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        w, V = sent, {k.removeprefix(DUAL): v for k, v in own.items()}
        for t in range(batches[0].shape[0]):
            used = axpy(1.0, _deviation(V, kappa, penalty), w)
            slope = oracle(used, ((batches[0][t, 0], batches[1][t, 0]),))
            w, V = axpy(-kappa * lr, slope, w), axpy(-lr, slope, V)
        return axpy(-1.0, sent, w), {DUAL + k: v for k, v in V.items()}

    def own(w0: Params) -> Params:
        check_unmarked(w0, DUAL)
        penalties_by_name(penalty, w0, None)  # refuses what does not fit
        return {DUAL + k: torch.zeros_like(v) for k, v in w0.items()}

    return Algorithm(State, client, server, own=own)


@explained_call
def path_models(state: OwnState[Any], *, kappa: float, penalty: Penalties = L1()) -> Params:  # noqa: B008
    r"""Return the models in use on the path, $w+\kappa\,\mathrm{Prox}_\Omega(V_i)$: leaves [m …].

    ``kappa`` and ``penalty`` are those of :func:`personal_path`; the state does not hold them.

    >>> own = {"dual.w": torch.tensor([[0.5], [1.5]])}
    >>> path_models(OwnState(State({"w": torch.tensor([1.0])}), own), kappa=2.0)
    {'w': tensor([[1.],
            [2.]])}
    """
    check_positive(kappa=kappa)
    accounts = accounts_of(state)
    if not accounts:
        raise ValueError(
            f"state must come from personal_path, got {type(state).__name__}; models of other "
            "methods are personal_models(state) or state.w"
        )
    if penalty is None:
        raise ValueError("penalty must be that of personal_path, got None; leave it out for L1()")
    penalties_by_name(penalty, state.w, None)
    m = len(next(iter(accounts.values())))
    rows = [_deviation({k: v[i] for k, v in accounts.items()}, kappa, penalty) for i in range(m)]
    return {k: w + torch.stack([row[k] for row in rows]) for k, w in state.w.items()}


def accounts_of(state: OwnState[Any]) -> Params:
    """Return the accounts V by leaf, [m …]; empty for other methods.

    A leaf of the model whose name begins with the mark is no account.
    """
    own = state.own if isinstance(state, OwnState) else {}
    return {
        k.removeprefix(DUAL): v for k, v in own.items() if k.startswith(DUAL) and k not in state.w
    }


def _deviation(V: Params, kappa: float, penalty: Penalties) -> Params:
    """Return δ of one client, zero in leaves that stay shared."""
    by_name = penalty if isinstance(penalty, Mapping) else dict.fromkeys(V, penalty)
    return {
        k: torch.zeros_like(v) if (one := by_name[k]) is None else kappa * one.prox(v)
        for k, v in V.items()
    }
