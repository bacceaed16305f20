r"""Linearized Bregman iterations: add up gradients in a dual variable, shrink it, and stop early.

$$z_{k+1}=z_k-\alpha\nabla f(\beta_k),\qquad\beta_{k+1}=\kappa\,\mathrm{prox}_\Omega(z_{k+1}).$$
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from fedlearn_lib._checks import check_finite, check_integers, check_positive, check_regression
from fedlearn_lib.inclusion.entered import Entered
from fedlearn_lib.inclusion.path import Path
from fedlearn_lib.penalties import L1, Penalty

Losses = Literal["squared", "logistic"]
EXACT = 600  # up to this many rows or columns the largest eigenvalue is computed, not iterated


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
        Lipschitz constant of $\nabla f$ makes the loss fall.
    every : record each so many steps (and the last); path time is $\sum\alpha$.

    >>> path = lbi(lambda b: b - torch.tensor([3.0, 1.0]), torch.zeros(2),
    ...            kappa=10.0, lr=0.06, steps=40)
    >>> [round(t, 2) for t in path.entry_times().tolist()], path.w[-1].round(decimals=3)
    ([0.36, 1.02], tensor([3., 1.]))
    """
    _check_numbers(kappa, lr, steps, every)
    w = beta0.new_zeros(len(recorded(steps, every)), *beta0.shape)
    _loop(gradient, beta0 / kappa, penalty or L1(), kappa, lr, 0, steps, every, w)
    return Path(recorded(steps, every).to(w.dtype) * lr, w, w)


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
    lr : $\alpha$; half of the largest stable value if ``None``.
    free : columns without a penalty, for instance that of the intercept.
    every : record each so many steps (and the last).
    check : refuse an unstable step; ``False`` lets it run, and saves computing the bound.

    >>> X, y = 2 * torch.eye(4), torch.tensor([6.0, -4.0, 2.0, 1.0])  # Xᵀy/n = (3, −2, 1, ½)
    >>> path = lbi_path(X, y, kappa=100.0, lr=0.0049, steps=250)
    >>> [round(t, 2) for t in path.entry_times().tolist()]  # 1/3, 1/2, 1, not before 1.2
    [0.34, 0.5, 1.0, inf]

    Osher, Ruan, Xiong, Yao, Yin, *Sparse recovery via differential inclusions* (2016).
    """
    X, y = _data(X, y, loss, free)
    _check_numbers(kappa, 1.0 if lr is None else lr, steps, every)
    if lr is None or check:
        lr = _stable(lr, largest_step(X, kappa, loss=loss), kappa, check)
    thresholds = X.new_ones(X.shape[1])
    thresholds[list(free)] = 0.0
    t = recorded(steps, every).to(X.dtype) * lr
    w, k, z = X.new_zeros(len(t), X.shape[1]), 0, X.new_zeros(X.shape[1])
    if loss == "squared":
        state = Entered(X, y, thresholds, kappa=kappa, lr=lr, every=every)
        state.run(steps, w)
        k, z = state.k, state.z
    mean = torch.sigmoid if loss == "logistic" else torch.Tensor.clone
    gradient = lambda beta: X.T @ (mean(X @ beta) - y) / len(y)  # noqa: E731
    _loop(gradient, z, L1(thresholds), kappa, lr, k, steps, every, w)  # type: ignore[arg-type]
    return Path(t, w, w)


def _loop(
    gradient: Callable[[Tensor], Tensor],
    z: Tensor,
    penalty: Penalty,
    kappa: float,
    lr: float,
    k: int,
    steps: int,
    every: int,
    out: Tensor,
) -> None:
    """Go on from the dual z after k steps, and fill the rows of ``out`` that come later."""
    beta = kappa * penalty.prox(z)
    while k < steps:
        z = z - lr * gradient(beta)
        beta = kappa * penalty.prox(z)
        k += 1
        if k % every == 0 or k == steps:
            out[-1 if k == steps else k // every - 1] = beta


def largest_step(X: Tensor, kappa: float, *, loss: Losses = "squared") -> float:
    r"""Return $2/(\kappa\|X^\top X/n\|)$: the loss falls in each step for every $\alpha$ below it.

    Four times as much for the logistic loss, whose second derivative is at most 1/4.

    >>> largest_step(2 * torch.eye(4), kappa=10.0)
    0.2
    """
    curvature = largest_curvature(X) * (0.25 if loss == "logistic" else 1.0)
    return 2 / (kappa * curvature) if curvature > 0 else float("inf")


def largest_curvature(X: Tensor) -> float:
    r"""Return $\|X^\top X/n\|$, the largest eigenvalue.

    Up to 600 rows or columns by a decomposition, beyond by Lanczos steps until they agree to
    seven digits.

    >>> largest_curvature(torch.diag(torch.tensor([2.0, 1.0])))
    2.0
    """
    X = torch.as_tensor(X).double()
    n, p = X.shape
    if min(n, p) <= EXACT:
        small = X.T @ X if p <= n else X @ X.T
        return float(torch.linalg.eigvalsh(small)[-1]) / n
    return _lanczos(X if p <= n else X.T) / n


def recorded(steps: int, every: int) -> Tensor:
    """Return the numbers of the steps that are recorded.

    >>> recorded(7, 3)
    tensor([3, 6, 7])
    """
    numbers = every * torch.arange(1, steps // every + 1)
    return numbers if steps % every == 0 else torch.cat([numbers, torch.tensor([steps])])


def _lanczos(A: Tensor, most: int = 300) -> float:
    """The largest eigenvalue of AᵀA by Lanczos steps with full reorthogonalization."""
    g = torch.Generator().manual_seed(0)
    q = torch.randn(A.shape[1], generator=g, dtype=torch.float64).to(A)
    basis, rows, top = [q / q.norm()], [], 0.0
    for k in range(1, most + 1):
        image = A.T @ (A @ basis[-1])
        Q = torch.stack(basis)
        coefficients = Q @ image
        rows.append(coefficients)
        T = A.new_zeros(k, k)
        for i, row in enumerate(rows):
            T[: len(row), i] = row
            T[i, : len(row)] = row
        last, top = top, float(torch.linalg.eigvalsh(T)[-1])
        rest = image - Q.T @ coefficients
        rest = rest - Q.T @ (Q @ rest)
        if top - last <= 1e-8 * top or float(rest.norm()) <= 1e-12 * top:
            return top
        basis.append(rest / rest.norm())
    return top


def _stable(lr: float | None, largest: float, kappa: float, check: bool) -> float:
    lr = (largest / 2 if largest < float("inf") else 1.0) if lr is None else lr
    if check and not lr < largest:
        raise ValueError(
            f"lr must be below {largest:.6g}, beyond which the iteration is unstable for this X "
            f"and kappa={kappa:g}, got {lr:.6g}; lower lr or kappa, or pass check=False to see it"
        )
    return lr


def _data(X: Tensor, y: Tensor, loss: str, free: Sequence[int]) -> tuple[Tensor, Tensor]:
    X, y = check_regression(X, y)
    if not bool(torch.isfinite(X.sum() + y.sum())):  # one pass; the check itself takes three
        check_finite("X", X)
        check_finite("y", y)
    if loss not in ("squared", "logistic"):
        raise ValueError(f'loss must be "squared" or "logistic", got {loss!r}; choose one')
    if any(not 0 <= j < X.shape[1] for j in free):
        raise ValueError(
            f"free must be numbers of columns from 0 to {X.shape[1] - 1}, got {list(free)}; "
            "count from zero"
        )
    if loss == "logistic" and not bool(((y == 0) | (y == 1)).all()):
        raise ValueError(
            f"a logistic loss needs labels 0 and 1, got {sorted(set(y.tolist()))[:5]}; recode them"
        )
    return X, y


def _check_numbers(kappa: float, lr: float, steps: int, every: int) -> None:
    check_positive(kappa=kappa, lr=lr)
    check_integers(steps=steps, every=every)
