r"""A shared model that is sparse: its sparse copy is made once a round, at the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_integers, check_positive, check_unmarked
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.algorithm import Algorithm
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.oracles import Oracle
from fedlearn_lib.sparse.parts import penalties_by_name
from fedlearn_lib.sparse.penalties import L1, Penalty
from fedlearn_lib.trees import Params, axpy

DUAL, GAMMA = "dual.", "gamma."  # mark what travels beside the model


class SparseState(NamedTuple):
    r"""The shared model $W$, its dual $V$, its sparse copy $\Gamma$, and the finished rounds.

    ``dual`` and ``gamma`` have a leaf for each parameter that is split.
    :func:`fedlearn_lib.structure.project` (``w, gamma``) is the model on the support of the copy.
    """

    w: Params
    dual: Params
    gamma: Params
    round: int = 0

    @property
    def support(self) -> dict[str, Tensor]:
        r"""The masks $\Gamma\ne0$, for :func:`fedlearn_lib.structure.retrain` and its neighbors."""
        return {k: v != 0 for k, v in self.gamma.items()}


@checked_anywhere
def sparse_start(
    oracle: Oracle,
    *,
    kappa: float,
    nu: float,
    lr: float,
    penalty: Penalty | Mapping[str, Penalty | None] = L1(),  # noqa: B008, a constant
    draws: int = 1,
) -> Algorithm[SparseState, Params]:
    r"""Split linearized Bregman iterations on the shared model, in rounds.

    In a round the server's $\Gamma$ is frozen. From $w_i=w$, $V_i=V$ each client takes $\tau$ steps
    $$w_i\leftarrow w_i-\kappa\eta\big(g_i(w_i;D)+\tfrac1\nu(w_i-\Gamma)\big),\qquad
      V_i\leftarrow V_i+\tfrac\eta\nu(w_i-\Gamma),$$
    with the old $w_i$ on the right. Then $w=\sum_ip_iw_i$, $V=\sum_ip_iV_i$ and
    $\Gamma=\kappa\,\mathrm{Prox}_\Omega(V)$. With one step a round it is
    :func:`fedlearn_lib.split_lbi_path` on the mean loss. One round is $\tau\eta$ of path time.
    For each leaf that is split, what $V$ gains travels up beside the model and $\Gamma$ down.

    Parameters
    ----------
    oracle : $(w,D)\mapsto g$: :func:`fedlearn_lib.gradient`, or a meta-gradient, for a sparse start
        of Per-FedAvg (then ``draws=3``).
    kappa, nu : damping $\kappa$; looseness of the coupling $\nu$.
    lr : $\eta$, the step of path time. $\kappa\eta(L+\frac2\nu)<2$ is safe for $L$-smooth losses
        and one local step.
    penalty : $\Omega$, one for all leaves or one by name; a leaf with ``None`` is not split and
        takes FedAvg's steps of $\kappa\eta$. Names must not begin with ``dual.`` or ``gamma.``.
    draws : independent batches for each step, as many as the oracle asks for.

    >>> slope = lambda w, draws: {"w": w["w"] - 4.0}
    >>> method = sparse_start(slope, kappa=2.0, nu=1.0, lr=0.25)
    >>> state = method.init({"w": torch.tensor([8.0])})
    >>> message = method.client(method.send(state), (torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)))
    >>> method.server(state, message)
    SparseState(w={'w': tensor([2.])}, dual={'w': tensor([2.])}, gamma={'w': tensor([2.])}, round=1)
    """
    check_positive(kappa=kappa, nu=nu, lr=lr)
    check_integers(draws=draws)

    def split_of(w: Params) -> dict[str, Penalty]:
        by_name = penalties_by_name(penalty, w, None)  # refuses what does not fit
        return {k: one for k, one in by_name.items() if one is not None}

    def init(w0: Params) -> SparseState:
        check_unmarked(w0, DUAL, GAMMA)
        zero, copy = ({k: torch.zeros_like(w0[k]) for k in split_of(w0)} for _ in range(2))
        return SparseState(w0, zero, copy)

    def client(sent: Params, batches: Batch) -> Params:
        w, gamma = {k: v for k, v in sent.items() if not k.startswith(GAMMA)}, _cut(sent, GAMMA)

        def both(pair: Params, draws: tuple[Batch, ...]) -> Params:
            """The direction in which w and the dual move together."""
            now = {k: pair[k] for k in w}
            gap = {
                k: (v - gamma[k]) / nu if k in gamma else torch.zeros_like(v)
                for k, v in now.items()
            }
            return axpy(1.0, gap, oracle(now, draws)) | {DUAL + k: -gap[k] / kappa for k in gamma}

        moved = {DUAL + k: torch.zeros_like(v) for k, v in gamma.items()}
        change: Params = fedavg(both, lr=kappa * lr).client(w | moved, batches)
        return change

    def server(state: SparseState, message: Params) -> SparseState:
        V = axpy(1.0, _cut(message, DUAL), state.dual)
        w = axpy(1.0, {k: message[k] for k in state.w}, state.w)
        gamma = {k: kappa * one.prox(V[k]) for k, one in split_of(w).items()}
        return SparseState(w, V, gamma, state.round + 1)

    def send(state: SparseState) -> Params:
        return state.w | {GAMMA + k: v for k, v in state.gamma.items()}

    return Algorithm(init, client, server, draws, send=send)


def _cut(tree: Params, mark: str) -> Params:
    """Return the leaves with this mark, without it."""
    return {k.removeprefix(mark): v for k, v in tree.items() if k.startswith(mark)}
