r"""SplitLBI: an optimizer that grows a sparse copy of the weights while it trains them.

Next to each weight tensor $W$ there is a sparse copy $\Gamma$, tied to it by a spring of strength
$1/\nu$. The copy starts at zero, and filters and weights enter it one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fedlearn_lib._checks import check_positive

PENALTIES = ("l1", "group", None)
FORMS = ("coupled", "loss")
PIECE = 1 << 15  # entries that a processor updates together, so that they stay in its cache


def shrink(v: Tensor, penalty: str, scaled: bool = False) -> Tensor:
    r"""Return $\mathrm{Prox}_\Omega(V)$ for ``"l1"`` (each entry) or ``"group"`` (each ``v[g]``).

    ``scaled`` weighs a group by the square root of its size.

    >>> shrink(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), "group")
    tensor([[2.4000, 3.2000],
            [0.0000, 0.0000]])
    """
    if penalty == "l1":
        return nn.functional.softshrink(v, 1.0)
    threshold = v[0].numel() ** 0.5 if scaled else 1.0
    norms = _opaque_norms(v) if torch.compiler.is_compiling() else _row_norms(v)
    shrunk: Tensor = v * (1 - threshold / norms).clamp(min=0)
    return shrunk


def _row_norms(v: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(v, dim=tuple(range(1, v.ndim)), keepdim=True)
    return norms


# torch 2.13's compiler fails (KeyError in outer-loop fusion) when it fuses these norms with the
# update that follows them, so it is not shown what is inside.
_opaque_norms = torch.library.custom_op(
    "fedlearn_lib::row_norms", _row_norms, mutates_args=(), schema="(Tensor v) -> Tensor"
)
_opaque_norms.register_fake(lambda v: v.new_empty(len(v), *[1] * (v.ndim - 1)))


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

    ``duals`` holds ``None`` without a penalty, ``buffers`` without momentum. See
    :class:`SplitLBI` for the formulas.

    >>> w, v = torch.tensor([2.0]), torch.tensor([3.0])
    >>> split_lbi([w], [torch.zeros(1)], [v], [None], lr=0.1, kappa=1.0, nu=1.0, penalty="l1")
    >>> w, v  # the copy is 3 - 1 = 2 = w: the spring is slack
    (tensor([2.]), tensor([3.]))
    """
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
        W_{k+1} = W_k - \kappa\alpha\nabla_W\bar L(W_k,\Gamma_k),\quad
        V_{k+1} = V_k + \tfrac\alpha\nu(W_k-\Gamma_k),\quad
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

    >>> model = nn.Linear(2, 1)
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
        _check_options(options)
        super().__init__(params, options)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters with its own options; its path time starts at zero."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check_options(group)
            for name, p in named(group):
                _check_fit(name, p, group["penalty"])
        except ValueError:
            self.param_groups.pop()
            raise
        group["time"] = torch.zeros((), dtype=torch.float64)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with the gradients in ``p.grad``; return the closure's loss if any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lists = self._gather(group)
            options = {name: group[name] for name in OPTIONS}
            if torch.compiler.is_compiling() and not isinstance(group["lr"], Tensor):
                # A float that a scheduler changes would keep an old value in the compiled step.
                options["lr"] = torch.full((), group["lr"], dtype=torch.float64)
            split_lbi(*lists, **options)
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
        r"""Return $\Gamma=\kappa\,\mathrm{Prox}_\Omega(V)$, the sparse copy of ``p``."""
        group = self._group_of(p)
        if group["penalty"] is None:
            raise ValueError(
                "p must have a penalty, got a parameter with penalty=None, which has no sparse "
                'copy; put it in a group with penalty="l1" or "group"'
            )
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
            f"p must be a parameter of this optimizer, got a tensor of shape {tuple(p.shape)} that "
            "is not; pass the parameter itself, not a copy"
        )


OPTIONS = (
    "lr", "kappa", "nu", "penalty", "scaled", "momentum", "momentum_on", "weight_decay",
)  # fmt: skip


def penalty_groups(
    model: nn.Module, *, conv: str | None = "group", linear: str | None = "l1", **options: Any
) -> list[dict[str, Any]]:
    """Return the parameter groups of a network: filters, fully connected weights, all the rest.

    Biases and the parameters of normalization layers have no penalty.

    >>> from fedlearn_lib import lenet
    >>> [(g["penalty"], len(g["params"])) for g in penalty_groups(lenet())]
    [('group', 3), ('l1', 2), (None, 5)]
    """
    kinds: dict[str, list[tuple[str, Tensor]]] = {"conv": [], "linear": [], "rest": []}
    layers = dict(model.named_modules())
    for name, p in model.named_parameters():
        owner, _, kind = name.rpartition(".")
        layer = layers[owner]
        if kind == "weight" and isinstance(layer, nn.modules.conv._ConvNd):
            kinds["conv"].append((name, p))
        elif kind == "weight" and isinstance(layer, nn.Linear):
            kinds["linear"].append((name, p))
        else:
            kinds["rest"].append((name, p))
    penalties = {"conv": conv, "linear": linear, "rest": None}
    return [
        {"params": params, "penalty": penalties[kind], **options}
        for kind, params in kinds.items() if params
    ]  # fmt: skip


def named(group: dict[str, Any]) -> Iterable[tuple[str, Tensor]]:
    """Return names and tensors of a parameter group; numbers stand in for missing names."""
    names = group.get("param_names") or [f"parameter {i}" for i in range(len(group["params"]))]
    return zip(names, group["params"], strict=True)


def _check_options(options: dict[str, Any]) -> None:
    if options["penalty"] not in PENALTIES:
        raise ValueError(
            f"penalty must be one of {PENALTIES}, got {options['penalty']!r}; choose one"
        )
    if options["momentum_on"] not in FORMS:
        raise ValueError(
            f"momentum_on must be one of {FORMS}, got {options['momentum_on']!r}; choose one"
        )
    check_positive(kappa=options["kappa"], nu=options["nu"])
    for name in ("lr", "weight_decay"):
        if not 0 <= options[name] < float("inf"):
            raise ValueError(f"{name} must be zero or positive, got {options[name]!r}; try 0.0")
    if not 0 <= options["momentum"] < 1:
        raise ValueError(f"momentum must be in [0, 1), got {options['momentum']!r}; try 0.9")


def _check_fit(name: str, p: Tensor, penalty: str | None) -> None:
    if not p.is_floating_point():
        raise ValueError(f"{name!r} must hold real floats, got {p.dtype}; leave it out")
    if penalty == "group" and (p.ndim < 2 or p.numel() == 0):
        raise ValueError(
            f'penalty="group" needs two or more dimensions, one group a row, got {name!r} of '
            f'shape {tuple(p.shape)}; put it in a group with penalty="l1" or None'
        )
