r"""SplitLBI: an optimizer that grows a sparse copy of the weights while it trains them.

Next to each weight tensor $W$ there is a sparse copy $\Gamma$, tied to it by a spring of strength
$1/\nu$. The copy starts at zero, and filters and weights enter it one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from fedlearn_lib._checked import checked
from fedlearn_lib._shapes import shown
from fedlearn_lib.sparse.groups import named
from fedlearn_lib.sparse.options import (
    DEFAULTS,
    check_changed,
    check_fit,
    check_lists,
    check_options,
)
from fedlearn_lib.sparse.penalties import group_threshold, soft_threshold

#: What torch raises for parameters that are none.
CONFUSED = (AttributeError, IndexError, KeyError, TypeError, ValueError)
PIECE = 1 << 15  # entries that a processor updates together, so that they stay in its cache


def shrink(v: Tensor, penalty: str, scaled: bool = False) -> Tensor:
    r"""Return $\mathrm{Prox}_\Omega(V)$ for ``"l1"`` (each entry) or ``"group"`` (each ``v[g]``).

    ``scaled`` weighs a group by the square root of its size.

    >>> shrink(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), "group")
    tensor([[2.4000, 3.2000],
            [0.0000, 0.0000]])
    """
    if penalty == "l1":
        return soft_threshold(v, 1.0)
    return group_threshold(v, v[0].numel() ** 0.5 if scaled else 1.0)


@checked()
@torch.no_grad()
def split_lbi(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    duals: Sequence[Tensor | None],
    buffers: Sequence[Tensor | None],
    *,
    lr: float | Tensor,
    kappa: float,
    nu: float,
    penalty: str | None,
    scaled: bool = False,
    momentum: float = 0.0,
    momentum_on: str = "coupled",
    weight_decay: float = 0.0,
) -> None:
    r"""Take one step in place on lists of tensors: $W$, $\nabla\hat L(W)$, $V$, momentum.

    Four lists of one length; ``duals`` may hold ``None`` without a penalty, ``buffers`` without
    momentum. See :class:`SplitLBI` for the formulas.

    >>> w, v = torch.tensor([2.0]), torch.tensor([3.0])
    >>> split_lbi([w], [torch.zeros(1)], [v], [None], lr=0.1, kappa=1.0, nu=1.0, penalty="l1")
    >>> w, v  # the copy is 3 - 1 = 2 = w: the spring is slack
    (tensor([2.]), tensor([3.]))
    """
    needed = {"params": True, "grads": True, "duals": penalty is not None, "buffers": momentum != 0}
    check_lists(needed, params=params, grads=grads, duals=duals, buffers=buffers)
    options: dict[str, Any] = dict(
        lr=lr, kappa=kappa, nu=nu, penalty=penalty, scaled=scaled, momentum=momentum,
        momentum_on=momentum_on, weight_decay=weight_decay,
    )  # fmt: skip
    check_options(options)
    for i, p in enumerate(params):
        check_fit(f"params[{i}]", p, penalty)
    _step(params, grads, duals, buffers, **options)


def _step(
    params: Sequence[Tensor], grads: Sequence[Tensor],
    duals: Sequence[Tensor | None], buffers: Sequence[Tensor | None], *,
    lr: float | Tensor, kappa: float, nu: float, penalty: str | None, scaled: bool,
    momentum: float, momentum_on: str, weight_decay: float,
) -> None:  # fmt: skip
    """:func:`split_lbi` on what the optimizer has checked."""
    for w, g, v, b in _pieces(params, grads, duals, buffers):
        pulls = [(w, weight_decay)] if weight_decay else []
        if v is not None and penalty is not None:
            # the old W minus the old copy
            gap = torch.add(w, shrink(v, penalty, scaled), alpha=-kappa)
            v.add_(gap, alpha=lr / nu)
            pulls.append((gap, 1 / nu))
        d = g if b is None else torch.add(g, b, alpha=momentum, out=b)
        for x, strength in pulls:
            if b is None or momentum_on == "loss":
                w.add_(x, alpha=-kappa * lr * strength)  # beside the buffer
            else:
                d.add_(x, alpha=strength)  # into the buffer
        w.add_(d, alpha=-kappa * lr)


def _pieces(*lists: Sequence[Tensor | None]) -> Iterator[tuple[Any, ...]]:
    """Yield matching tensors, large ones cut along their first axis if they lie on the CPU."""
    for tensors in zip(*lists, strict=True):
        first = tensors[0]
        whole = first is None or first.numel() <= PIECE or first.device.type != "cpu"
        if whole or torch.compiler.is_compiling():
            yield tensors
            continue
        rows = -(-len(first) // -(-first.numel() // PIECE))  # pieces of equal size
        cut = [[None] * -(-len(first) // rows) if t is None else t.split(rows) for t in tensors]
        yield from zip(*cut, strict=True)


class SplitLBI(Optimizer):
    r"""Split linearized Bregman iteration, the discretized inclusion of DessiLBI.

    With $\bar L(W,\Gamma)=\hat L(W)+\frac1{2\nu}\|W-\Gamma\|^2$ a step of size $\alpha$ is

    .. math::
        W_{k+1} &= W_k - \kappa\alpha\nabla_W\bar L(W_k,\Gamma_k),\\
        V_{k+1} &= V_k + \tfrac\alpha\nu(W_k-\Gamma_k),\qquad
        \Gamma_{k+1} = \kappa\,\mathrm{Prox}_\Omega(V_{k+1}),

    from $V_0=\Gamma_0=0$. All options may be given for a parameter group.

    Parameters
    ----------
    params : tensors, dictionaries of options, or ``model.named_parameters()``;
        :func:`penalty_groups` makes the groups of a network.
    lr : $\alpha$, the step of the path, whose time is the sum of all ``lr``; a tensor spares a
        compiled step its recompilations when a schedule changes it.
    kappa : $\kappa$, the damping; $W$ moves with step $\kappa\alpha$.
    nu : $\nu$; a large one ties the copy loosely.
    penalty : ``"l1"`` (entries), ``"group"`` (a group is ``p[g]``: an output filter, a row), or
        ``None`` (no copy: stochastic gradient descent with step $\kappa\alpha$).
    scaled : weigh each group by the square root of its size.
    momentum : $\mu$ of the buffer $B\leftarrow\mu B+G$, which takes the gradient's place.
    momentum_on : $G$ is the whole gradient of $\bar L$ (``"coupled"``) or that of the loss
        (``"loss"``; the spring and the decay are then added to $B$).
    weight_decay : $\lambda$, adds $\lambda W$ to the gradient of $W$.

    What enters, and when: as long as $\Gamma^g=0$, the spring pulls $W^g$ to zero and $V^g$ adds up
    $W^g/\nu$; the group enters when $\|V^g\|$ exceeds its threshold $\omega$ (1, or the root of its
    size). If the loss holds $W^g$ at the norm $c$, that is at the path time $\nu\omega/c$, after
    $\nu\omega/(\alpha c)$ steps. If the loss lets it go, it falls like $e^{-\kappa t/\nu}$ and
    $V^g$ stays below $W^g_0/\kappa$: with $\|W^g_0\|\le\kappa\omega$ it never enters. So start
    with norms above $\kappa$, or take a smaller $\kappa$, and train for a path time $\sum\alpha$
    of several $\nu/\|W^g\|$; a small $\nu$ can pull a network to zero before anything enters.
    :func:`fedlearn_lib.sparse.entry_forecast` says all of it in numbers before training.

    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = SplitLBI(model.named_parameters(), lr=0.1, nu=1.0)
    >>> model(torch.ones(4, 2)).square().mean().backward()
    >>> optimizer.step()
    >>> optimizer.support(model.weight)  # nothing has entered yet
    tensor([[False, False]])

    Fu et al., *DessiLBI*, ICML 2020, arXiv 2007.02010.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor,
        *,
        kappa: float = 1.0,
        nu: float = 10.0,
        penalty: str | None = "l1",
        scaled: bool = False,
        momentum: float = 0.0,
        momentum_on: str = "coupled",
        weight_decay: float = 0.0,
    ) -> None:
        options = dict(
            lr=lr, kappa=kappa, nu=nu, penalty=penalty, scaled=scaled, momentum=momentum,
            momentum_on=momentum_on, weight_decay=weight_decay,
        )  # fmt: skip
        check_options(options)
        try:
            super().__init__(params, options)
        except CONFUSED as error:
            raise ValueError(
                f"params do not make groups of parameters: {error}; pass model.named_parameters() "
                "or penalty_groups(model)"
            ) from error

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters with its own options; its path time starts at zero."""
        before = len(self.param_groups)
        try:
            super().add_param_group(param_group)
            group = self.param_groups[-1]
            check_options(group)
            for name, p in named(group):
                check_fit(name, p, group["penalty"])
        except CONFUSED as error:
            del self.param_groups[before:]
            raise ValueError(f"param_group makes no group of parameters: {error}") from error
        group["time"] = torch.zeros((), dtype=torch.float64)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a stored state; an option that it lacks gets its default."""
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in {**DEFAULTS, "time": torch.zeros((), dtype=torch.float64)}.items():
                group.setdefault(name, value)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with the gradients in ``p.grad``; return the closure's loss if any."""
        loss = None
        if closure is not None:
            if not callable(closure):
                raise ValueError(f"closure must be a function, got {closure!r}; leave it out")
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            check_changed(group)
            lists = self._gather(group)
            if not lists[0]:  # nothing moves here, path time neither
                continue
            options = {name: group[name] for name in ("lr", *DEFAULTS)}
            if torch.compiler.is_compiling() and not isinstance(group["lr"], Tensor):
                # A float that a scheduler changes would keep an old value in the compiled step.
                options["lr"] = torch.full((), group["lr"], dtype=torch.float64)
            _step(*lists, **options)
            lr = options["lr"]
            group["time"] += lr.to(group["time"]) if isinstance(lr, Tensor) else lr
        return loss

    def _gather(self, group: dict[str, Any]) -> tuple[list[Any], ...]:
        """Return parameters, gradients, duals and buffers of a group; make what is missing."""
        params = [p for p in group["params"] if p.grad is not None]
        if any(p.grad.is_sparse for p in params):
            raise ValueError("SplitLBI needs dense gradients, got a sparse one; use sparse=False")
        for p in params:
            state = self.state[p]
            if group["penalty"] is not None and "dual" not in state:
                state["dual"] = torch.zeros_like(p, memory_format=torch.preserve_format)
            if group["momentum"] and "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        duals = [self.state[p]["dual"] if group["penalty"] is not None else None for p in params]
        buffers = [self.state[p]["momentum_buffer"] if group["momentum"] else None for p in params]
        return params, [p.grad for p in params], duals, buffers

    @torch.no_grad()
    def gamma(self, p: Tensor) -> Tensor:
        r"""Return $\Gamma=\kappa\,\mathrm{Prox}_\Omega(V)$, the sparse copy of ``p``.

        A parameter without a penalty is its own copy, as in :func:`fedlearn_lib.split_lbi_path`.
        """
        group = self._group_of(p)
        if group["penalty"] is None:
            return p.detach().clone()
        if "dual" not in self.state.get(p, {}):
            return torch.zeros_like(p)
        dual, kappa = self.state[p]["dual"], float(group["kappa"])
        return kappa * shrink(dual, group["penalty"], group["scaled"])

    def support(self, p: Tensor) -> Tensor:
        r"""Return the mask $\Gamma\neq0$ of ``p``; all ``True`` where ``p`` has no penalty."""
        group = self._group_of(p)
        if group["penalty"] is None:
            return torch.ones_like(p, dtype=torch.bool)
        mask = self.gamma(p) != 0
        if group["penalty"] == "group":
            return mask.flatten(1).any(1).view(-1, *[1] * (p.ndim - 1)).expand_as(p)
        return mask

    def _group_of(self, p: Tensor) -> dict[str, Any]:
        for group in self.param_groups:
            if any(p is q for q in group["params"]):
                return group
        raise ValueError(
            f"p must be a parameter of this optimizer, got {shown(p)} that is not; pass the "
            "parameter itself, not a copy"
        )
