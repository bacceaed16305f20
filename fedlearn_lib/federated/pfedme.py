r"""pFedMe: gradient steps on the Moreau envelopes of the clients' losses."""

from __future__ import annotations

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_integers, check_nonnegative, check_positive
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.algorithm import Algorithm, Kept, State
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.oracles import Oracle, anchored_oracle, descend
from fedlearn_lib.trees import Params, axpy


@checked_anywhere
def pfedme(
    oracle: Oracle, *, lr: float, lam: float, inner_lr: float, inner: int, server_lr: float = 1.0
) -> Algorithm[State, Kept]:
    r"""pFedMe: gradient steps on the Moreau envelopes of the clients' losses.

    $$F_i(w)=\min_\theta f_i(\theta)+\tfrac\lambda2\|\theta-w\|^2,\qquad
      \nabla F_i(w)=\lambda(w-\theta_i(w)),$$
    with the minimizer $\theta_i(w)$, client $i$'s own model. For each batch the client takes
    ``inner`` steps towards $\theta_i(w_i^t)$, from where it stood, and then
    $w_i^{t+1}=w_i^t-\eta\lambda(w_i^t-\theta_i)$. The server moves by ``server_lr`` (the
    paper's $\beta$).

    Parameters
    ----------
    lr : $\eta$; a step with $\eta\lambda=1$ goes all the way to $\theta_i$.
    lam : $\lambda>0$; the own models are the shared one as it grows, local ones as it vanishes.
    inner_lr, inner : size and number of the gradient steps on $f_i+\frac\lambda2\|\cdot-w\|^2$;
        the paper asks for a given accuracy instead, and this many gradients are the price.

    Dinh, Tran, Nguyen, NeurIPS 2020, Algorithm 1.

    >>> import torch
    >>> oracle = lambda w, draws: {"w": w["w"] - 4.0}
    >>> x, y = torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)
    >>> zero = {"w": torch.zeros(1)}
    >>> method = pfedme(oracle, lr=0.5, lam=1.0, inner_lr=0.5, inner=1)
    >>> method.client(zero, zero, (x, y))
    ({'w': tensor([1.])}, {'w': tensor([2.])})
    """
    check_nonnegative(lam=lam)
    check_positive(inner_lr=inner_lr)
    check_integers(inner=inner)

    def client(w: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        start = w
        for t in range(batches[0].shape[0]):
            batch = batches[0][t, 0], batches[1][t, 0]
            own = descend(anchored_oracle(oracle, w, lam), own, batch, lr=inner_lr, steps=inner)
            w = axpy(-lr * lam, axpy(-1.0, own, w), w)
        return axpy(-1.0, start, w), own

    server = fedavg(oracle, lr=lr, server_lr=server_lr).server
    return Algorithm(State, client, server, own=lambda w0: w0)
