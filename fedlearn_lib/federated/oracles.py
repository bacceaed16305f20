r"""Gradient oracles: functions ``(w, draws) -> direction`` that a fixed loop steps along.

``draws`` is a tuple of independent batches. Plain learning needs one of them, a meta-gradient
three: one to adapt with, one to see what the adapted model gets wrong, one for the Hessian.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import torch
from torch import Tensor
from torch.func import grad

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_integers, check_nonnegative, check_positive, check_scalar
from fedlearn_lib._explained import explained_call, explained_result
from fedlearn_lib._shapes import shown
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.trees import Params, axpy

Loss = Callable[[Params, Batch], Tensor]
Oracle = Callable[[Params, tuple[Batch, ...]], Params]
DRAWS = ("D", "D′", "D″")


@checked_anywhere
@explained_result
def gradient(loss: Loss) -> Oracle:
    r"""Return the oracle $(w,(D,))\mapsto\nabla_w f(w;D)$.

    The result can be differentiated again, by ``torch.func`` and, where ``w`` or the batch
    requires grad, by ``torch.autograd``. Where neither does, whatever else the loss holds counts
    as fixed: put into ``w`` or the batch what you want a derivative in.

    >>> loss = lambda w, batch: 0.5 * (w["w"] ** 2).sum()
    >>> gradient(loss)({"w": torch.tensor([3.0])}, (None,))
    {'w': tensor([3.])}
    """

    def oracle(w: Params, draws: tuple[Batch, ...]) -> Params:
        check_draws(draws, "a gradient", 1)
        batch = draws[0]
        if is_watched(w, batch):
            slopes: Params = grad(loss)(w, batch)
            return slopes
        leaves = {name: value.detach().requires_grad_() for name, value in w.items()}
        with torch.enable_grad():
            value = loss(leaves, batch)
        check_scalar("loss", value)
        found = torch.autograd.grad(value, tuple(leaves.values()), materialize_grads=True)
        return dict(zip(leaves, found, strict=True))

    return oracle


@checked_anywhere
@explained_result
def anchored_oracle(oracle: Oracle, anchor: Params, lam: float) -> Oracle:
    r"""Return the oracle $(v,D)\mapsto g(v;D)+\lambda(v-a)$: the same steps, pulled back to $a$.

    With $g=\nabla f_i$ it is the gradient of $f_i(v)+\frac\lambda2\|v-a\|^2$.

    >>> slope = lambda v, draws: {"w": v["w"]}
    >>> oracle = anchored_oracle(slope, {"w": torch.tensor([1.0])}, lam=2.0)
    >>> oracle({"w": torch.tensor([3.0])}, ())
    {'w': tensor([7.])}
    """
    check_nonnegative(lam=lam)
    return lambda v, draws: axpy(lam, axpy(-1.0, anchor, v), oracle(v, draws))


@checked_anywhere
@explained_result
def partial_oracle(oracle: Oracle, names: Collection[str]) -> Oracle:
    """Return the oracle that moves the parameters ``names`` and leaves all others where they are.

    >>> oracle = partial_oracle(lambda w, draws: w, {"head"})
    >>> oracle({"body": torch.tensor(2.0), "head": torch.tensor(3.0)}, ())
    {'body': tensor(0.), 'head': tensor(3.)}
    """
    check_names("names", names)

    def partial(w: Params, draws: tuple[Batch, ...]) -> Params:
        unknown = sorted(set(names) - w.keys())
        if unknown:
            raise ValueError(f"names must be parameters of w, {list(w)}, got {unknown}; correct it")
        slopes = oracle(w, draws)
        return {k: v if k in names else torch.zeros_like(v) for k, v in slopes.items()}

    return partial


@explained_call
def adapt(loss: Loss, w: Params, batch: Batch, alpha: float, steps: int = 1) -> Params:
    r"""Return $w$ after ``steps`` gradient steps of size $\alpha$ on one client's batch.

    $$w^{0}=w,\qquad w^{s+1}=w^{s}-\alpha\nabla f_i(w^{s};D).$$
    With one step this is what Per-FedAvg prepares $w$ for; a client that was never seen does the
    same. ``w`` is not changed, and the result is a differentiable function of it and the batch; a
    tensor that the loss holds besides counts as fixed, unless one of the two requires grad.

    >>> loss = lambda w, batch: 0.5 * ((w["w"] - batch) ** 2).sum()
    >>> adapt(loss, {"w": torch.tensor([0.0])}, torch.tensor([8.0]), alpha=0.5, steps=2)
    {'w': tensor([6.])}
    """
    check_nonnegative(alpha=alpha)
    check_integers(0, steps=steps)
    slope = gradient(loss)
    for _ in range(steps):
        w = axpy(-alpha, slope(w, (batch,)), w)
    return w


@checked_anywhere
@explained_call
def descend(oracle: Oracle, w: Params, batch: Batch, *, lr: float, steps: int) -> Params:
    r"""Return $w$ after ``steps`` steps $w\leftarrow w-\eta\,g(w;D)$ along any oracle, one batch.

    With ``gradient(loss)`` it is :func:`fedlearn_lib.adapt`; with :func:`anchored_oracle` or
    :func:`fedlearn_lib.federated.partial_oracle` it is how a new client joins Ditto, pFedMe or
    FedRep.

    >>> slope = lambda v, draws: {"w": v["w"] - 4.0}
    >>> towards = anchored_oracle(slope, {"w": torch.tensor([0.0])}, lam=1.0)
    >>> batch = torch.zeros(1), torch.zeros(1)
    >>> descend(towards, {"w": torch.tensor([0.0])}, batch, lr=0.5, steps=9)  # (4 + 0) / 2
    {'w': tensor([2.])}
    """
    check_positive(lr=lr)
    check_integers(0, steps=steps)
    for _ in range(steps):
        slope = oracle(w, (batch,))
        if not isinstance(slope, dict):
            raise ValueError(f"oracle must return a dict like w, got {shown(slope)}; correct it")
        w = axpy(-lr, slope, w)
    return w


def is_watched(*trees: object) -> bool:
    """Whether somebody outside maps over these tensors, or may ask for a derivative in them.

    Then ``torch.func.grad`` takes part in it. Otherwise ``torch.autograd.grad`` on detached copies
    gives the same numbers, in half the time for a small model and 0.8 of it for LeNet.
    """
    leaves = (leaf for tree in trees for leaf in _leaves(tree))
    return torch._C._are_functorch_transforms_active() or any(
        getattr(leaf, "requires_grad", False) for leaf in leaves
    )


def _leaves(tree: object) -> Iterable[object]:
    """The values of a dictionary, the parts of a batch, or the one thing that there is."""
    if isinstance(tree, dict):
        return tree.values()
    return tree if isinstance(tree, (tuple, list)) else (tree,)


def check_draws(draws: tuple[Batch, ...], what: str, *counts: int) -> None:
    given = len(draws) if isinstance(draws, (tuple, list)) else repr(draws)
    if given not in counts:
        needed = " or ".join(f"({', '.join(DRAWS[:count])})" for count in counts)
        raise ValueError(
            f"draws must be the batches {needed} for a step of {what}, got {given}; draw as many "
            f"with Clients.draw(draws={counts[-1]})"
        )


def check_names(name: str, names: Collection[str]) -> None:
    if not len(names) or not all(isinstance(one, str) for one in names):
        raise ValueError(
            f"{name} must be a set of at least one parameter's name, got {names!r}; "
            'such a set is {"1.weight"}'
        )
