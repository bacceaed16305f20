r"""Gradient oracles: functions ``(w, draws) -> direction`` that a fixed loop steps along.

``draws`` is a tuple of independent batches. Plain learning needs one of them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad

from fedlearn_lib.data.clients import Batch
from fedlearn_lib.trees import Params, dot

Loss = Callable[[Params, Batch], Tensor]
Oracle = Callable[[Params, tuple[Batch, ...]], Params]


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
    product: Params = grad(lambda u: dot(grad(loss)(u, batch), v))(w)
    return product
