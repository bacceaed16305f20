r"""Split linearized Bregman iteration: dense weights fit the data, a sparse copy follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from fedlearn_lib._checked import checked, explained
from fedlearn_lib._checks import (
    check_integers,
    check_memory,
    check_positive,
    check_slope,
)
from fedlearn_lib.sparse.curvature import largest_curvature, squared_norm
from fedlearn_lib.sparse.parts import check_leaves, matching, penalties_by_name, times
from fedlearn_lib.sparse.path import Leaves, Path, warn_of_divergence
from fedlearn_lib.sparse.penalties import Penalty

W = TypeVar("W", Tensor, dict[str, Tensor])
Pair = tuple[Any, Any]  # D and its transpose, dense or sparse, or None and None


class SplitState(NamedTuple):
    r"""One tensor of a split model: $W$, its dual variable $V$ and the sparse copy $\Gamma$."""

    w: Tensor
    v: Tensor
    gamma: Tensor


def split_step(
    state: SplitState,
    slope: Tensor,
    penalty: Penalty,
    *,
    kappa: float,
    nu: float,
    lr: float | Tensor,
    D: Tensor | Pair | None = None,
) -> SplitState:
    r"""Return the next state; every term on the right belongs to the old one.

    $$W^+=W-\kappa\alpha\big(\nabla\hat L(W)+\tfrac1\nu D^\top(DW-\Gamma)\big),\quad
      V^+=V+\tfrac\alpha\nu(DW-\Gamma),\quad\Gamma^+=\kappa\,\mathrm{Prox}_\Omega(V^+).$$

    Parameters
    ----------
    slope : $\nabla\hat L(W)$, in the shape of ``state.w``.
    lr : $\alpha$, a number, or a tensor that multiplies the rows of ``state.w``.
    D : [q p], or the pair of $D$ and $D^\top$, which saves transposing a sparse one at each step.

    Huang, Sun, Xiong, Yao, NIPS 2016.

    >>> from fedlearn_lib import L1
    >>> start = SplitState(torch.tensor([4.0]), torch.zeros(1), torch.zeros(1))
    >>> split_step(start, torch.tensor([2.0]), L1(), kappa=2.0, nu=1.0, lr=0.5)
    SplitState(w=tensor([-2.]), v=tensor([2.]), gamma=tensor([2.]))
    """
    if not hasattr(penalty, "prox"):
        raise ValueError(f"penalty must have a prox, got {penalty!r}; pass L1() or GroupL2()")
    w, v = _moved(state, slope, kappa, nu, lr, D)
    return SplitState(w, v, kappa * penalty.prox(v))


@explained
def _moved(
    state: SplitState, slope: Tensor,
    kappa: float, nu: float, lr: float | Tensor, D: Tensor | Pair | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the next W and V; nothing may broadcast."""
    w, v = _move(state, slope, kappa, nu, lr, _pair(D))
    old = w.shape == state.w.shape == slope.shape and v.shape == state.v.shape == state.gamma.shape
    if not old or not v.is_floating_point():
        raise TypeError("w and slope must have one shape, Dw, v and gamma another, all of floats")
    return w, v


def _move(
    state: SplitState, slope: Tensor, kappa: float, nu: float, lr: float | Tensor, D: Pair
) -> tuple[Tensor, Tensor]:
    ahead, back = D
    gap = torch.div(times(ahead, state.w) - state.gamma, nu)
    return state.w - kappa * lr * (slope + times(back, gap)), state.v + lr * gap


@checked(D="q p, sparse")
def split_lbi_path(
    loss: Callable[[W], Tensor] | None,
    w0: W,
    penalty: Penalty | Mapping[str, Penalty | None],
    *,
    kappa: float,
    nu: float,
    lr: float,
    steps: int,
    D: Tensor | None = None,
    every: int = 1,
    gradient: Callable[[W], W] | None = None,
) -> Path:
    r"""Descend $\hat L(W)+\frac1{2\nu}\|DW-\Gamma\|^2$ from $W_0$, $V_0=\Gamma_0=0$; keep the path.

    Each step is :func:`split_step`. A step $\alpha<2/(\kappa\|\nabla^2\bar L\|)$ is safe;
    :func:`split_lbi_max_lr` computes this bound for a linear model. A warning says if the path
    diverged.

    Parameters
    ----------
    loss : $\hat L$, a function of ``w0``'s kind that returns a scalar; data closed over. May be
        ``None`` if ``gradient`` is given.
    w0 : $W_0$, a tensor, or a dictionary of tensors.
    penalty : $\Omega$; for a dictionary also one by name, ``None`` where a tensor is not split.
        Such a tensor takes plain gradient steps of $\kappa\alpha$, and its ``gamma`` is itself.
    kappa, nu, lr : damping $\kappa$, looseness of the coupling $\nu$, step $\alpha$ of path time.
    steps : number of steps; the path ends at the time ``steps * lr``.
    D : [q p], dense or sparse, for a tensor ``w0`` of shape [… p]; ``None`` for the identity.
    every : record the start, each multiple of ``every``, and the end.
    gradient : $\nabla\hat L$ in closed form, instead of autograd on ``loss``.

    Huang, Sun, Xiong, Yao, NIPS 2016; for networks Fu et al., ICML 2020.

    >>> from fedlearn_lib import L1
    >>> y = torch.tensor([3.0, 0.5])
    >>> path = split_lbi_path(lambda w: 0.5 * (w - y).square().sum(), torch.zeros(2), L1(),
    ...                       kappa=50.0, nu=1.0, lr=0.01, steps=300)
    >>> path.at(1.5, of="gamma").round(decimals=1)
    tensor([3., 0.])
    """
    leaves = check_leaves(w0)
    check_positive(kappa=kappa, nu=nu, lr=lr)
    check_integers(steps=steps, every=every)
    size = sum(leaf.numel() for leaf in leaves.values())
    check_memory(2 * size * -(-steps // every), steps=steps, every=every)
    D = matching(D, w0)
    penalties = penalties_by_name(penalty, leaves, D)
    slopes = _slopes(loss, gradient, w0)
    states = {name: _start(leaf, penalties[name], D) for name, leaf in leaves.items()}
    pair = _pair(D)
    kept: list[tuple[float, dict[str, SplitState]]] = [(0.0, states)]
    for k in range(1, steps + 1):
        slope = slopes({name: state.w for name, state in states.items()})
        states = {
            name: _advance(state, slope[name], penalties[name], kappa, nu, lr, pair)
            for name, state in states.items()
        }
        if k % every == 0 or k == steps:
            kept.append((k * lr, states))
    coupling = 2 * nu / (kappa * (1 + (1.0 if D is None else squared_norm(D))))
    warn_of_divergence(
        [x for state in states.values() for x in state],
        f"a step of lr={lr:g} is probably too long; for kappa={kappa:g} and nu={nu:g} it must be "
        f"below {coupling:.3g}, and the more below it the more curved the loss is: lower lr or "
        "kappa, or raise nu",
    )
    return _path(kept, is_dict=isinstance(w0, dict))


@checked(X="n p, sparse", D="q p, sparse")
def split_lbi_max_lr(X: Tensor, D: Tensor | None = None, *, kappa: float, nu: float) -> float:
    r"""Return $2\nu/\big(\kappa(1+\nu\|X\|^2/n+\|D\|^2)\big)$: every $\alpha$ below it is safe.

    For the loss $\frac1{2n}\|y-X\beta\|^2$ of a linear model; X is [n p], D [q p] or ``None`` for
    the identity. The authors take half of it.

    >>> round(split_lbi_max_lr(torch.eye(2) * 2**0.5, kappa=10.0, nu=2.0), 6)
    0.1
    """
    check_positive(kappa=kappa, nu=nu)
    width = 1.0 if D is None else squared_norm(D)
    return 2 * nu / (kappa * (1 + nu * largest_curvature(X) + width))


def _advance(
    state: SplitState, slope: Tensor, penalty: Penalty | None,
    kappa: float, nu: float, lr: float, D: Pair,
) -> SplitState:  # fmt: skip
    if penalty is not None:
        w, v = _move(state, slope, kappa, nu, lr, D)
        return SplitState(w, v, kappa * penalty.prox(v))
    w = state.w - kappa * lr * slope
    return SplitState(w, state.v, w)


def _start(w: Tensor, penalty: Penalty | None, D: Tensor | None) -> SplitState:
    w = w.detach().clone()
    zero = torch.zeros_like(times(D, w))
    return SplitState(w, zero, w if penalty is None else zero)


def _pair(D: Tensor | Pair | None) -> Pair:
    """Return D and its transpose; a sparse transpose is put in order once, not at each product."""
    if D is None or isinstance(D, tuple):
        return D or (None, None)
    return (D.coalesce(), D.T.coalesce()) if D.is_sparse else (D, D.T)


def _slopes(
    loss: Callable[[W], Tensor] | None, gradient: Callable[[W], W] | None, w0: W
) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """Return the gradient as a function from a dictionary to a dictionary, whatever ``w0`` is."""
    if gradient is None:
        if loss is None:
            raise ValueError("loss and gradient must not both be None; pass one of them")
        slope: Callable[[Any], Any] = torch.func.grad(loss)
        return slope if isinstance(w0, dict) else lambda w: {"": slope(w[""])}
    if isinstance(w0, dict):
        return lambda w: _fitting(gradient(w), w)

    def slopes(w: dict[str, Tensor]) -> dict[str, Tensor]:
        check_slope(found := gradient(w[""]), w[""])
        return {"": found}

    return slopes


def _fitting(found: Any, w: dict[str, Tensor]) -> dict[str, Tensor]:
    if not isinstance(found, dict) or found.keys() != w.keys():
        raise ValueError(
            f"gradient must return a dict with the names of w0, {list(w)[:6]}, got "
            f"{list(found)[:6] if isinstance(found, dict) else type(found).__name__}"
        )
    for name, leaf in w.items():
        check_slope(found[name], leaf, name)
    return found


def _path(kept: list[tuple[float, dict[str, SplitState]]], *, is_dict: bool) -> Path:
    first = next(iter(kept[0][1].values())).w
    t = torch.tensor([time for time, _ in kept], dtype=torch.float64, device=first.device)
    w, gamma = (
        {name: torch.stack([getattr(s[name], of) for _, s in kept]) for name in kept[0][1]}
        for of in ("w", "gamma")
    )
    both: tuple[Leaves, Leaves] = (w, gamma) if is_dict else (w[""], gamma[""])
    return Path(t, *both)
