r"""Gradient oracles: functions ``(w, draws) -> direction`` that a fixed loop steps along.

``draws`` is a tuple of independent batches. Plain learning needs one of them, a meta-gradient
three: one to adapt with, one to see what the adapted model gets wrong, one for the Hessian.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

import torch
from torch import Tensor
from torch.func import grad

from fedlearn_lib._checks import check_integers
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.trees import Params, axpy, dot

Loss = Callable[[Params, Batch], Tensor]
Oracle = Callable[[Params, tuple[Batch, ...]], Params]
MODES = ("exact", "fo", "hf")


def gradient(loss: Loss) -> Oracle:
    r"""Return the oracle $(w,(D,))\mapsto\nabla_w f(w;D)$.

    Inside ``vmap`` the derivative is ``torch.func.grad``. Outside it is the ordinary
    ``torch.autograd.grad``: the same numbers, in about half the time for a small model.

    >>> loss = lambda w, batch: 0.5 * (w["w"] ** 2).sum()
    >>> gradient(loss)({"w": torch.tensor([3.0])}, (None,))
    {'w': tensor([3.])}
    """

    def oracle(w: Params, draws: tuple[Batch, ...]) -> Params:
        (batch,) = draws
        if torch._C._are_functorch_transforms_active():
            slopes: Params = grad(loss)(w, batch)
            return slopes
        leaves = {name: value.detach().requires_grad_() for name, value in w.items()}
        with torch.enable_grad():
            value = loss(leaves, batch)
        found = torch.autograd.grad(value, tuple(leaves.values()), materialize_grads=True)
        return dict(zip(leaves, found, strict=True))

    return oracle


def hvp(loss: Loss, w: Params, batch: Batch, v: Params) -> Params:
    r"""Return $\nabla^2 f(w;D)\,v$ without forming the Hessian (Pearlmutter, 1994).

    The gradient of $w\mapsto\langle\nabla f(w;D),v\rangle$: two passes back, $v$ held fixed.

    >>> loss = lambda w, batch: (w["w"] ** 3).sum()
    >>> hvp(loss, {"w": torch.tensor([2.0])}, None, {"w": torch.tensor([1.0])})
    {'w': tensor([12.])}
    """
    if torch._C._are_functorch_transforms_active():
        product: Params = grad(lambda u: dot(grad(loss)(u, batch), v))(w)
        return product
    leaves = {name: value.detach().requires_grad_() for name, value in w.items()}
    with torch.enable_grad():
        value = loss(leaves, batch)
        slopes = torch.autograd.grad(
            value, tuple(leaves.values()), create_graph=True, materialize_grads=True
        )
        along = dot(dict(zip(leaves, slopes, strict=True)), v)
    if not along.requires_grad:  # a loss that is linear in w
        return {name: torch.zeros_like(value) for name, value in w.items()}
    found = torch.autograd.grad(along, tuple(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, found, strict=True))


def adapt(loss: Loss, w: Params, batch: Batch, alpha: float, steps: int = 1) -> Params:
    r"""Return $w$ after ``steps`` gradient steps of size $\alpha$ on one client's batch.

    $$w^{0}=w,\qquad w^{s+1}=w^{s}-\alpha\nabla f_i(w^{s};D).$$
    With one step this is what Per-FedAvg prepares $w$ for; a client that was never seen does the
    same. ``w`` is not changed.

    >>> loss = lambda w, batch: 0.5 * ((w["w"] - batch) ** 2).sum()
    >>> adapt(loss, {"w": torch.tensor([0.0])}, torch.tensor([8.0]), alpha=0.5, steps=2)
    {'w': tensor([6.])}
    """
    _check_rate("alpha", alpha)
    check_integers(0, steps=steps)
    slope = gradient(loss)
    for _ in range(steps):
        w = axpy(-alpha, slope(w, (batch,)), w)
    return w


def maml_gradient(loss: Loss, alpha: float, mode: str = "exact", delta: float = 1e-3) -> Oracle:
    r"""Return the oracle $(w,(D,D',D''))\mapsto\nabla F(w)$ for $F(w)=f(w-\alpha\nabla f(w))$.

    With $\tilde w=w-\alpha\nabla f(w;D)$ and $g=\nabla f(\tilde w;D')$,
    $$\tilde\nabla F(w)=g-\alpha\,h,\qquad
      h=\begin{cases}\nabla^2f(w;D'')\,g&\text{exact}\\0&\text{fo}\\
      \frac{1}{2\delta}\big[\nabla f(w+\delta g;D'')-\nabla f(w-\delta g;D'')\big]&\text{hf}
      \end{cases}$$
    The Hessian is taken at $w$, not at $\tilde w$, and nothing here moves $w$.

    Parameters
    ----------
    alpha : $\alpha\ge0$, the step with which a client adapts; 0 gives $\nabla f(w;D')$.
    mode : ``"exact"`` (Hessian-vector product), ``"fo"`` (first order, needs only $D,D'$) or
        ``"hf"`` (Hessian-free: two more gradients).
    delta : $\delta$ of ``"hf"``. Its truncation error grows as $\delta^2$ for a smooth loss, its
        round-off as $1/\delta$: in float32 values near 1e-3 suit losses of order one.

    Fallah, Mokhtari, Ozdaglar, NeurIPS 2020, equations (6) to (8); Hessian-free: AISTATS 2020.

    >>> loss = lambda w, batch: 0.5 * ((w["w"] - batch) ** 2).sum()   # f'' = 1
    >>> D = torch.tensor([1.0])
    >>> for mode in ("exact", "fo", "hf"):
    ...     oracle = maml_gradient(loss, alpha=0.5, mode=mode, delta=0.25)
    ...     print(mode, oracle({"w": torch.tensor([3.0])}, (D, D, D))["w"].item())
    exact 0.5
    fo 1.0
    hf 0.5
    """
    _check_rate("alpha", alpha)
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, got {mode!r}; choose one of them")
    if not isinstance(delta, Real) or not 0 < delta < math.inf:
        raise ValueError(f"delta must be a positive finite number, got {delta!r}; try 1e-3")
    slope = gradient(loss)

    def oracle(w: Params, draws: tuple[Batch, ...]) -> Params:
        _check_draws(mode, draws)
        inner, outer, third = draws[0], draws[1], draws[-1]
        adapted = axpy(-alpha, slope(w, (inner,)), w)
        g = slope(adapted, (outer,))
        if mode == "fo":
            return g
        if mode == "exact":
            return axpy(-alpha, hvp(loss, w, third, g), g)
        up, down = axpy(delta, g, w), axpy(-delta, g, w)
        gap = axpy(-1.0, slope(down, (third,)), slope(up, (third,)))
        return axpy(-alpha / (2 * delta), gap, g)

    return oracle


def _check_draws(mode: str, draws: tuple[Batch, ...]) -> None:
    if len(draws) != 3 and not (mode == "fo" and len(draws) == 2):
        needed = "2 or 3 batches (D, D′)" if mode == "fo" else "3 batches (D, D′, D″)"
        raise ValueError(
            f'mode "{mode}" needs {needed} a step, got {len(draws)}; draw as many with '
            "Clients.draw(draws=3)"
        )


def _check_rate(name: str, value: float) -> None:
    if not isinstance(value, Real) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}; try 0.01")
