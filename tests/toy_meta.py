"""Per-FedAvg written once more, step by step, and the ways in which people get it wrong."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fedlearn_lib import Algorithm, axpy, fedavg, gradient, hvp
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.oracles import Loss
from fedlearn_lib.trees import Params

Step = Callable[[Params, Batch, Batch, Batch], Params]
CURVATURE = {
    "fedavg": lambda A, J: A,
    "exact": lambda A, J: J @ A @ J,
    "hf": lambda A, J: J @ A @ J,
    "fo": lambda A, J: A @ J,
}


def curvature(A: Tensor, alpha: float, mode: str) -> Tensor:
    """C_i with direction C_i (w − w_i): A_i, J_i A_i J_i or A_i J_i, where J_i = I − αA_i."""
    C: Tensor = CURVATURE[mode](A, torch.eye(A.shape[-1], dtype=A.dtype) - alpha * A)
    return C


def meta_step(loss: Loss, alpha: float, beta: float) -> Step:
    """One local step of the algorithm, word by word."""
    slope = gradient(loss)

    def step(w: Params, D: Batch, D1: Batch, D2: Batch) -> Params:
        adapted = axpy(-alpha, slope(w, (D,)), w)
        g = slope(adapted, (D1,))
        return axpy(-beta, axpy(-alpha, hvp(loss, w, D2, g), g), w)

    return step


def two_plain_steps(loss: Loss, alpha: float, beta: float) -> Step:
    slope = gradient(loss)

    def step(w: Params, D: Batch, D1: Batch, D2: Batch) -> Params:
        w = axpy(-alpha, slope(w, (D,)), w)
        return axpy(-beta, slope(w, (D1,)), w)

    return step


def outer_step_from_the_adapted_point(loss: Loss, alpha: float, beta: float) -> Step:
    slope = gradient(loss)

    def step(w: Params, D: Batch, D1: Batch, D2: Batch) -> Params:
        adapted = axpy(-alpha, slope(w, (D,)), w)
        g = slope(adapted, (D1,))
        return axpy(-beta, axpy(-alpha, hvp(loss, w, D2, g), g), adapted)

    return step


def hessian_at_the_adapted_point(loss: Loss, alpha: float, beta: float) -> Step:
    slope = gradient(loss)

    def step(w: Params, D: Batch, D1: Batch, D2: Batch) -> Params:
        adapted = axpy(-alpha, slope(w, (D,)), w)
        g = slope(adapted, (D1,))
        return axpy(-beta, axpy(-alpha, hvp(loss, adapted, D2, g), g), w)

    return step


def one_batch_for_all(loss: Loss, alpha: float, beta: float) -> Step:
    right = meta_step(loss, alpha, beta)
    return lambda w, D, D1, D2: right(w, D, D, D)


def made_of(step: Step) -> Algorithm:
    """An algorithm whose client repeats ``step``, with FedAvg's server."""

    def client(w: Params, batches: Batch) -> Params:
        start, (x, y) = w, batches
        for t in range(len(x)):
            w = step(w, *((x[t, k], y[t, k]) for k in range(3)))
        return axpy(-1.0, start, w)

    return fedavg(gradient(lambda w, batch: w["w"].sum()), lr=1.0)._replace(client=client, draws=3)
