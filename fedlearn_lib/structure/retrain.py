"""Training inside a mask: what is out stays exactly zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_floats, check_model, check_nonnegative, check_scalar
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.oracles import Loss
from fedlearn_lib.structure.masks import Masks, check_masks, inside
from fedlearn_lib.trees import Params


@checked()
def retrain(
    loss: Loss,
    start: Params,
    masks: Masks,
    batches: Iterable[Batch],
    *,
    lr: float | Callable[[int], float],
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Params:
    r"""Return the end of a run of gradient descent that never leaves the mask.

    From $w_0=M\odot w_{\rm start}$ and $u_0=0$, with the batch $B_k$ of step $k$:
    $u_{k+1}=\mu u_k+M\odot(\nabla L(w_k;B_k)+\lambda w_k)$ and $w_{k+1}=w_k-\eta_ku_{k+1}$.

    Parameters
    ----------
    loss : ``loss(w, batch) -> scalar``.
    start : the parameters to begin with, for a ticket those saved before the first step.
    masks : by parameter's name; ``{}`` trains everything.
    batches : one batch for each step.
    lr : $\eta$, or a function of the step's number, from 0.
    momentum, weight_decay : $\mu$ and $\lambda$.

    >>> def loss(w, batch):
    ...     return 0.5 * (w["a"] - batch).square().sum()
    >>> start, mask = {"a": torch.ones(2)}, {"a": torch.tensor([True, False])}
    >>> retrain(loss, start, mask, [torch.tensor([3.0, 3.0])] * 2, lr=0.5)
    {'a': tensor([2.5000, 0.0000])}
    """
    check_model("start", start)
    check_floats("start", start)
    check_masks("masks", masks, "start", start)
    check_nonnegative(weight_decay=weight_decay, lr=0.0 if callable(lr) else lr)
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum!r}; try 0.9")
    w = {name: v.detach().clone() for name, v in inside(start, masks).items()}
    heavy: Params = {name: torch.zeros_like(v) for name, v in w.items()}
    for k, batch in enumerate(batches):
        eta = lr(k) if callable(lr) else lr
        leaves = {name: v.requires_grad_() for name, v in w.items()}
        value = loss(leaves, batch)
        check_scalar("loss", value)
        slopes = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
        g = dict(zip(leaves, slopes, strict=True))
        with torch.no_grad():
            g = inside({name: g[name] + weight_decay * v for name, v in w.items()}, masks)
            heavy = {name: momentum * heavy[name] + g[name] for name in g}
            w = {name: v.detach() - eta * heavy[name] for name, v in w.items()}
    return {name: v.detach() for name, v in w.items()}
