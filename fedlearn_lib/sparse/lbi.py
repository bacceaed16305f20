r"""Linearized Bregman iterations: add up gradients in a dual variable, shrink it, and stop early.

$$z_{k+1}=z_k-\alpha\nabla f(\beta_k),\qquad\beta_{k+1}=\kappa\,\mathrm{prox}_\Omega(z_{k+1}).$$
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import (
    check_columns,
    check_integers,
    check_memory,
    check_positive,
    check_slope,
)
from fedlearn_lib.sparse.curvature import largest_curvature
from fedlearn_lib.sparse.lbi_squared import Record, Task, run_squared
from fedlearn_lib.sparse.path import Path, warn_of_divergence
from fedlearn_lib.sparse.penalties import L1, Penalty

Losses = Literal["squared", "logistic"]


@checked(beta0="…")
def lbi(
    gradient: Callable[[Tensor], Tensor],
    beta0: Tensor,
    penalty: Penalty | None = None,
    *,
    kappa: float,
    lr: float,
    steps: int,
    every: int = 1,
) -> Path:
    r"""Run linearized Bregman iterations on any smooth loss, given its gradient.

    $$z_0=\beta_0/\kappa,\qquad z_{k+1}=z_k-\alpha\nabla f(\beta_k),\qquad
      \beta_{k+1}=\kappa\,\mathrm{prox}_\Omega(z_{k+1}).$$

    Parameters
    ----------
    gradient : $\nabla f$, a tensor in the shape of ``beta0``.
    beta0 : the start; zero wherever the penalty acts.
    penalty : an object with a ``prox``; ``None`` is :class:`fedlearn_lib.L1`.
    kappa, lr, steps : $\kappa$, $\alpha$ and the number of steps; $\kappa\alpha$ below two over the
        Lipschitz constant of $\nabla f$ makes the loss fall. A warning says if the path diverged.
    every : record each so many steps (and the last); path time is $\sum\alpha$.

    >>> path = lbi(lambda b: b - torch.tensor([3.0, 1.0]), torch.zeros(2),
    ...            kappa=10.0, lr=0.06, steps=40)
    >>> [round(t, 2) for t in path.entry_times().tolist()], path.w[-1].round(decimals=3)
    ([0.36, 1.02], tensor([3., 1.]))
    """
    _check_numbers(kappa, lr, steps, every, len(beta0.flatten()))
    w = beta0.new_zeros(len(recorded(steps, every)), *beta0.shape)
    _loop(gradient, beta0 / kappa, penalty or L1(), kappa, lr, steps, every, w)
    warn_of_divergence(
        [w[-1]],
        f"a step of lr={lr:g} is probably too long for kappa={kappa:g}; below 2/(kappa L), with "
        "the Lipschitz constant L of gradient, it is safe: lower lr or kappa",
    )
    return Path(recorded(steps, every).to(w.dtype) * lr, w, w)


@checked(X="n p", y="n")
def lbi_path(
    X: Tensor,
    y: Tensor,
    *,
    kappa: float,
    steps: int,
    lr: float | None = None,
    loss: Losses = "squared",
    free: Sequence[int] = (),
    every: int = 1,
    check: bool = True,
) -> Path:
    r"""Return the path of linearized Bregman iterations for a linear or a logistic model.

    $$z_{k+1}=z_k+\tfrac\alpha nX^\top(y-\mu(X\beta_k)),\qquad
      \beta_{k+1}=\kappa\,\mathrm{shrink}(z_{k+1},1),\qquad z_0=\beta_0=0,$$
    where $\mu$ is the identity, or the logistic function for ``loss="logistic"``.

    Parameters
    ----------
    X : [n p], the design, used as given: no centering, no scaling. The path is in float64.
    y : [n], the responses; 0 or 1 for a logistic model.
    kappa : $\kappa$, the damping: larger values come closer to the inverse scale space.
    lr : $\alpha$; half of :func:`fedlearn_lib.sparse.lbi_max_lr` if ``None``. Beyond 600 rows and
        columns the bound is a rough one, and the step may be a few percent longer.
    free : columns without a penalty, for instance that of the intercept.
    every : record each so many steps (and the last).
    check : refuse a given step that is unstable; ``False`` lets it run, to NaN if need be, and
        saves computing the bound.

    >>> X, y = 2 * torch.eye(4), torch.tensor([6.0, -4.0, 2.0, 1.0])  # Xᵀy/n = (3, −2, 1, ½)
    >>> path = lbi_path(X, y, kappa=100.0, lr=0.0049, steps=250)
    >>> [round(t, 2) for t in path.entry_times().tolist()]  # 1/3, 1/2, 1, not before 1.2
    [0.34, 0.5, 1.0, inf]

    Osher, Ruan, Xiong, Yao, Yin, *Sparse recovery via differential inclusions* (2016).
    """
    X, y = X.detach().double(), y.detach().double()
    _check_numbers(kappa, 1.0 if lr is None else lr, steps, every, X.shape[1])
    if loss == "logistic" and not bool(((y == 0) | (y == 1)).all()):
        raise ValueError(
            f"y must hold labels 0 and 1, got {sorted(set(y.tolist()))[:5]}; recode them, for a "
            "logistic loss takes no others"
        )
    if lr is None or check:
        lr = _stable(lr, X, kappa, loss)
    thresholds = X.new_ones(X.shape[1])
    thresholds[check_columns("free", free, X.shape[1])] = 0.0
    t = recorded(steps, every).to(X.dtype) * lr
    w = X.new_zeros(len(t), X.shape[1])
    if loss == "squared" and X.device.type == "cpu":
        c = (X.T @ y / len(y)).numpy()
        task = Task(X.numpy(), y.numpy(), c, thresholds.numpy(), kappa, lr)
        run_squared(task, Record(w.numpy(), every, steps))
        return Path(t, w, w)
    mean = torch.sigmoid if loss == "logistic" else torch.Tensor.clone
    gradient = lambda beta: X.T @ (mean(X @ beta) - y) / len(y)  # noqa: E731
    _loop(gradient, X.new_zeros(len(w[0])), L1(weights=thresholds), kappa, lr, steps, every, w)
    return Path(t, w, w)


def _loop(
    gradient: Callable[[Tensor], Tensor],
    z: Tensor,
    penalty: Penalty,
    kappa: float,
    lr: float,
    steps: int,
    every: int,
    out: Tensor,
) -> None:
    """Begin with the dual z and fill the rows of ``out``."""
    beta = kappa * penalty.prox(z)
    for k in range(1, steps + 1):
        check_slope(slope := gradient(beta), z)
        z = z - lr * slope
        beta = kappa * penalty.prox(z)
        if k % every == 0 or k == steps:
            out[-1 if k == steps else k // every - 1] = beta


@checked(X="n p, sparse")
def lbi_max_lr(X: Tensor, kappa: float, *, loss: Losses = "squared", rough: bool = False) -> float:
    r"""Return $2/(\kappa\|X^\top X/n\|)$: the loss falls in each step for every $\alpha$ below it.

    Four times as much for the logistic loss, whose second derivative is at most 1/4. ``rough``
    takes the rough curvature of :func:`fedlearn_lib.sparse.largest_curvature`.

    >>> lbi_max_lr(2 * torch.eye(4), kappa=10.0)
    0.2
    """
    check_positive(kappa=kappa)
    curvature = largest_curvature(X, rough=rough) * (0.25 if loss == "logistic" else 1.0)
    return 2 / (kappa * curvature) if curvature > 0 else float("inf")


def recorded(steps: int, every: int) -> Tensor:
    """Return the numbers of the steps that are recorded.

    >>> recorded(7, 3)
    tensor([3, 6, 7])
    """
    numbers = every * torch.arange(1, steps // every + 1)
    return numbers if steps % every == 0 else torch.cat([numbers, torch.tensor([steps])])


def _stable(lr: float | None, X: Tensor, kappa: float, loss: Losses) -> float:
    """Return a stable step, or refuse the given one; the sharp bound is for the doubtful ones."""
    half = lbi_max_lr(X, kappa, loss=loss, rough=True) / 2
    if lr is None:
        return half if half < float("inf") else 1.0
    if not lr <= half and not lr < (largest := lbi_max_lr(X, kappa, loss=loss)):
        raise ValueError(
            f"lr must be below {largest:.6g}, beyond which the iteration is unstable for this X "
            f"and kappa={kappa:g}, got {lr:.6g}; lower lr or kappa, or pass check=False to see it"
        )
    return lr


def _check_numbers(kappa: float, lr: float, steps: int, every: int, width: int) -> None:
    check_positive(kappa=kappa, lr=lr)
    check_integers(steps=steps, every=every)
    check_memory(2 * width * -(-steps // every), steps=steps, every=every)
