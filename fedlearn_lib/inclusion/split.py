r"""Split linearized Bregman iteration: dense weights fit the data, a sparse copy follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from fedlearn_lib._checks import check_integers, check_positive
from fedlearn_lib.inclusion.path import Leaves, Path
from fedlearn_lib.penalties import Penalty

W = TypeVar("W", Tensor, dict[str, Tensor])
Pair = tuple[Tensor | None, Tensor | None]


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
    ahead, back = _pair(D)
    gap = (_times(ahead, state.w) - state.gamma) / nu
    v = state.v + lr * gap
    w = state.w - kappa * lr * (slope + _times(back, gap))
    return SplitState(w, v, kappa * penalty.prox(v))


def split_lbi_path(
    loss: Callable[[W], Tensor],
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
    :func:`split_lbi_lr` computes one for a linear model.

    Parameters
    ----------
    loss : $\hat L$, a function of ``w0``'s kind that returns a scalar; data closed over.
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
    leaves, penalties = _check(w0, penalty, D, kappa, nu, lr, steps, every)
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
    return _path(kept, is_dict=isinstance(w0, dict))


def split_lbi_lr(
    X: Tensor, D: Tensor | None = None, *, kappa: float, nu: float, c: float = 1.0
) -> float:
    r"""Return $\alpha=c\,\nu/\big(\kappa(1+\nu\|X\|^2/n+\|D\|^2)\big)$ for a linear model.

    For the loss $\frac1{2n}\|y-X\beta\|^2$ it is safe for every $c<2$; the authors use 1.

    >>> round(split_lbi_lr(torch.eye(2) * 2**0.5, kappa=10.0, nu=2.0), 6)
    0.05
    """
    if not 0 < c < 2:
        raise ValueError(f"c must lie between 0 and 2, got {c!r}; the authors use 1")
    check_positive(kappa=kappa, nu=nu)
    X = torch.as_tensor(X)
    dense = None if D is None else D.to_dense() if D.is_sparse else D
    size = float(torch.linalg.matrix_norm(X, 2)) ** 2 / len(X)
    width = 1.0 if dense is None else float(torch.linalg.matrix_norm(dense, 2)) ** 2
    return c * nu / (kappa * (1 + nu * size + width))


def _advance(
    state: SplitState, slope: Tensor, penalty: Penalty | None,
    kappa: float, nu: float, lr: float, D: Pair,
) -> SplitState:  # fmt: skip
    if penalty is not None:
        return split_step(state, slope, penalty, kappa=kappa, nu=nu, lr=lr, D=D)
    w = state.w - kappa * lr * slope
    return SplitState(w, state.v, w)


def _start(w: Tensor, penalty: Penalty | None, D: Tensor | None) -> SplitState:
    w = w.detach().clone()
    zero = torch.zeros_like(_times(D, w))
    return SplitState(w, zero, w if penalty is None else zero)


def _pair(D: Tensor | Pair | None) -> Pair:
    """Return D and its transpose; a sparse transpose is put in order once, not at each product."""
    if D is None or isinstance(D, tuple):
        return D or (None, None)
    return (D.coalesce(), D.T.coalesce()) if D.is_sparse else (D, D.T)


def _times(D: Tensor | None, w: Tensor) -> Tensor:
    return w if D is None else (D @ w.reshape(-1, w.shape[-1]).T).T.reshape(*w.shape[:-1], len(D))


def _slopes(
    loss: Callable[[W], Tensor], gradient: Callable[[W], W] | None, w0: W
) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """Return the gradient as a function from a dictionary to a dictionary, whatever ``w0`` is."""
    function = gradient or torch.func.grad(loss)
    if isinstance(w0, dict):
        return function
    return lambda w: {"": function(w[""])}


def _path(kept: list[tuple[float, dict[str, SplitState]]], *, is_dict: bool) -> Path:
    first = next(iter(kept[0][1].values())).w
    t = torch.tensor([time for time, _ in kept], dtype=torch.float64, device=first.device)
    w, gamma = (
        {name: torch.stack([getattr(s[name], of) for _, s in kept]) for name in kept[0][1]}
        for of in ("w", "gamma")
    )
    both: tuple[Leaves, Leaves] = (w, gamma) if is_dict else (w[""], gamma[""])
    return Path(t, *both)


def _check(
    w0: W, penalty: Penalty | Mapping[str, Penalty | None], D: Tensor | None,
    kappa: float, nu: float, lr: float, steps: int, every: int,
) -> tuple[dict[str, Tensor], Mapping[str, Penalty | None]]:  # fmt: skip
    """Refuse what cannot be split, and return leaves and penalties by name."""
    check_positive(kappa=kappa, nu=nu, lr=lr)
    check_integers(steps=steps, every=every)
    leaves: dict[str, Tensor] = w0 if isinstance(w0, dict) else {"": w0}
    wrong = [name for name, leaf in leaves.items() if not isinstance(leaf, Tensor)]
    if not leaves or wrong or not all(v.is_floating_point() for v in leaves.values()):
        raise ValueError(
            f"w0 must be a tensor of floats or a dict of them, got {type(w0).__name__} {wrong}; "
            "pass torch.zeros(p, dtype=torch.float64) or parameters_of(model)"
        )
    if D is not None and (isinstance(w0, dict) or D.ndim != 2 or D.shape[1:] != w0.shape[-1:]):
        shape = "a dict" if isinstance(w0, dict) else tuple(w0.shape)
        raise ValueError(
            f"D must be a matrix [q p] for a tensor w0 [… p], got {tuple(D.shape)} for {shape}; "
            "leave D out for the identity"
        )
    penalties = penalty if isinstance(penalty, Mapping) else dict.fromkeys(leaves, penalty)
    if penalties.keys() != leaves.keys():
        raise ValueError(
            f"penalty names {sorted(penalties)} and w0 names {sorted(leaves)} must be the same; "
            "write None for a tensor that is not split"
        )
    for name, leaf in leaves.items():  # a penalty that does not fit says so now
        if (one := penalties[name]) is not None:
            one.prox(torch.zeros_like(_times(D, leaf)))
    return leaves, penalties
