r"""Methods with an anchor: a client minimizes $f_i(v)+\frac\lambda2\|v-a\|^2$ instead of $f_i$.

FedProx, pFedMe and Ditto take the same local steps. They differ in what the anchor $a$ is, in
what a client sends, and in whether it keeps a model for itself.
"""

from __future__ import annotations

import math
from numbers import Real

from fedlearn_lib._checks import check_integers
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated import Algorithm, State, fedavg
from fedlearn_lib.oracles import Oracle
from fedlearn_lib.trees import Params, axpy


def near(oracle: Oracle, anchor: Params, lam: float) -> Oracle:
    r"""Return the oracle $(v,D)\mapsto g(v;D)+\lambda(v-a)$: the same steps, pulled back to $a$.

    With $g=\nabla f_i$ it is the gradient of $f_i(v)+\frac\lambda2\|v-a\|^2$.

    >>> import torch
    >>> oracle = near(lambda v, draws: {"w": v["w"]}, {"w": torch.tensor([1.0])}, lam=2.0)
    >>> oracle({"w": torch.tensor([3.0])}, ())
    {'w': tensor([7.])}
    """
    _check_pull("lam", lam)
    return lambda v, draws: axpy(lam, axpy(-1.0, anchor, v), oracle(v, draws))


def descend(oracle: Oracle, w: Params, batch: Batch, *, lr: float, steps: int) -> Params:
    r"""Return $w$ after ``steps`` steps $w\leftarrow w-\eta\,g(w;D)$ along any oracle, one batch.

    With ``gradient(loss)`` it is :func:`fedlearn_lib.adapt`; with :func:`near` or
    :func:`fedlearn_lib.only` it is how a new client joins Ditto, pFedMe or FedRep.

    >>> import torch
    >>> towards = near(lambda v, draws: {"w": v["w"] - 4.0}, {"w": torch.tensor([0.0])}, lam=1.0)
    >>> batch = torch.zeros(1), torch.zeros(1)
    >>> descend(towards, {"w": torch.tensor([0.0])}, batch, lr=0.5, steps=9)  # (4 + 0) / 2
    {'w': tensor([2.])}
    """
    check_integers(0, steps=steps)
    if steps == 0:
        return w
    every = tuple(leaf.expand(steps, 1, *leaf.shape) for leaf in batch)
    return _moved(fedavg(oracle, lr=lr), w, (every[0], every[1]))


def fedprox(oracle: Oracle, *, lr: float, mu: float, server_lr: float = 1.0) -> Algorithm:
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
    _check_pull("mu", mu)

    def client(w: Params, batches: Batch) -> Params:
        message: Params = fedavg(near(oracle, w, mu), lr=lr).client(w, batches)
        return message

    return fedavg(oracle, lr=lr, server_lr=server_lr)._replace(client=client)


def ditto(oracle: Oracle, *, lr: float, lam: float, own_lr: float | None = None) -> Algorithm:
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
    _check_pull("lam", lam)
    average = fedavg(oracle, lr=lr)
    step = lr if own_lr is None else own_lr

    def client(w: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        own = _moved(fedavg(near(oracle, w, lam), lr=step), own, batches)
        return average.client(w, batches), own

    return average._replace(client=client, own=lambda w0: w0)


def pfedme(
    oracle: Oracle, *, lr: float, lam: float, inner_lr: float, inner: int, server_lr: float = 1.0
) -> Algorithm:
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
    _check_pull("lam", lam)
    check_integers(inner=inner)

    def client(w: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        start = w
        for t in range(batches[0].shape[0]):
            batch = batches[0][t, 0], batches[1][t, 0]
            own = descend(near(oracle, w, lam), own, batch, lr=inner_lr, steps=inner)
            w = axpy(-lr * lam, axpy(-1.0, own, w), w)
        return axpy(-1.0, start, w), own

    server = fedavg(oracle, lr=lr, server_lr=server_lr).server
    return Algorithm(State, client, server, own=lambda w0: w0)


def _moved(average: Algorithm, w: Params, batches: Batch) -> Params:
    """Where a client of ``fedavg`` ends, rather than how far it went."""
    return axpy(1.0, average.client(w, batches), w)


def _check_pull(name: str, value: float) -> None:
    if not isinstance(value, Real) or not 0 <= value < math.inf:
        raise ValueError(
            f"{name} must be a finite number of at least 0, got {value!r}; 0 is no pull at all"
        )
