r"""Per-FedAvg: federated averaging along meta-gradients."""

from __future__ import annotations

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_integers, check_positive
from fedlearn_lib.federated.algorithm import Algorithm, State
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.maml import maml_gradient
from fedlearn_lib.federated.oracles import Loss
from fedlearn_lib.trees import Params


@checked_anywhere
def perfedavg(
    loss: Loss,
    *,
    alpha: float,
    beta: float,
    mode: str = "exact",
    delta: float = 1e-3,
    inner_steps: int = 1,
) -> Algorithm[State, Params]:
    r"""Personalized federated averaging: FedAvg along meta-gradients.

    $$w_i^{t+1}=w_i^{t}-\beta\,\tilde\nabla F_i(w_i^{t};D_t,D_t',D_t''),\qquad
      F_i(w)=f_i(w-\alpha\nabla f_i(w)).$$
    The result is a start, not an answer: each client takes its own step from it with
    :func:`fedlearn_lib.adapt`. The paper counts all clients alike: make ``Clients`` with
    ``p=[1] * m``.

    Parameters
    ----------
    loss : ``loss(w, batch) -> scalar``.
    alpha : $\alpha$, the step of a client's adaptation.
    beta : $\beta$, the step along the meta-gradient.
    mode, delta : see :func:`fedlearn_lib.maml_gradient`. ``"fo"`` draws two batches a step, the
        others three; ``"hf"`` wants a smooth activation, not ReLU.
    inner_steps : $\nu$, the steps of a client's adaptation that the start is trained for.

    Fallah, Mokhtari, Ozdaglar, NeurIPS 2020, Algorithm 1.

    >>> import torch
    >>> loss = lambda w, batch: 0.5 * ((w["w"] - batch[0]) ** 2).sum(-1).mean()
    >>> algorithm = perfedavg(loss, alpha=0.5, beta=0.5)
    >>> x, y = torch.tensor([4.0]).expand(1, 3, 1, 1), torch.zeros(1, 3, 1)   # τ = 1, k = 3
    >>> algorithm.draws, algorithm.client({"w": torch.zeros(1)}, (x, y))
    (3, {'w': tensor([0.5000])})
    """
    check_positive(beta=beta)
    check_integers(inner_steps=inner_steps)
    oracle = maml_gradient(loss, alpha, mode, delta, inner_steps)
    return fedavg(oracle, lr=beta)._replace(draws=2 if mode == "fo" else 3)
