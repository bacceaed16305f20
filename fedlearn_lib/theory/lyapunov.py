r"""The Lyapunov function of Split LBI: its descent, its subgradients, and the steps that are safe.

The iteration with step $\alpha$, damping $\kappa$, coupling $\nu$, all from the old iterates:
$$W_{k+1}=W_k-\kappa\alpha\nabla_W\bar L(W_k,\Gamma_k),\quad
  V_{k+1}=V_k+\tfrac\alpha\nu(W_k-\Gamma_k),\quad
  \Gamma_{k+1}=\kappa\,\mathrm{prox}_\Omega(V_{k+1}),$$
with $\bar L(W,\Gamma)=\hat L(W)+\frac1{2\nu}\|W-\Gamma\|^2$ and a norm $\Omega$. Then
$g_k=V_k-\Gamma_k/\kappa$ is a subgradient of $\Omega$ at $\Gamma_k$; every formula below uses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_nonnegative, check_positive, check_scalar
from fedlearn_lib.sparse.curvature import largest_curvature
from fedlearn_lib.sparse.penalties import Penalty

Loss = Callable[[Tensor], Tensor]
CHUNK = 64  # iterates whose losses are computed together


class Run(NamedTuple):
    r"""All iterates of a run, the start included: row k is $W_k,\Gamma_k,V_k$, each [K+1 …]."""

    w: Tensor
    gamma: Tensor
    v: Tensor


class Descent(NamedTuple):
    r"""One row a step: $F_{k+1}$ is ``value[k+1]``, and the theorem says ``slack`` $\ge0$.

    Attributes
    ----------
    value : [K+1], $F_k=\alpha\bar L(P_k)+B_\Omega^{g_{k-1}}(\Gamma_k,\Gamma_{k-1})$, and
        $F_0=\alpha\bar L(P_0)$.
    squared_step : [K], $\|P_{k+1}-P_k\|^2$ with $P=(W,\Gamma)$.
    before, back : [K], the two Bregman distances $B^{g_{k-1}}(\Gamma_k,\Gamma_{k-1})$ and
        $B^{g_{k+1}}(\Gamma_k,\Gamma_{k+1})$.
    slack : [K], $F_k-F_{k+1}-(\frac1\kappa-\frac{\alpha\ell}2)\|P_{k+1}-P_k\|^2$ minus the two.
    """

    value: Tensor
    squared_step: Tensor
    before: Tensor
    back: Tensor
    slack: Tensor


@checked()
def coupled_lipschitz(lip: float, nu: float, *, sharp: bool = False) -> float:
    r"""Return $\ell=Lip+\frac2\nu$, a constant of $\nabla\bar L$ if $Lip$ is one of $\nabla\hat L$.

    ``sharp=True`` returns $\frac{Lip}2+\frac1\nu+\sqrt{\frac{Lip^2}4+\frac1{\nu^2}}$, the smallest
    constant that serves all such $\hat L$: the largest eigenvalue of $\nabla^2\bar L$ for
    $\hat L(w)=\frac{Lip}2w^2$.

    >>> coupled_lipschitz(1.5, 2.0), round(coupled_lipschitz(1.5, 2.0, sharp=True), 4)
    (2.5, 2.1514)
    """
    check_positive(nu=nu)
    if not (lip >= 0 and math.isfinite(lip)):
        raise ValueError(
            f"lip must be finite and at least 0, got {lip!r}; bound the Hessian's norm"
        )
    return lip / 2 + 1 / nu + math.hypot(lip / 2, 1 / nu) if sharp else lip + 2 / nu


@checked()
def lyapunov_max_lr(lip: float, *, kappa: float, nu: float, sharp: bool = False) -> float:
    r"""Return $\frac2{\kappa\ell}$: below it $F_k$ falls in every step; see ``coupled_lipschitz``.

    >>> lyapunov_max_lr(1.5, kappa=4.0, nu=2.0)
    0.2
    """
    check_positive(kappa=kappa)
    return 2 / (kappa * coupled_lipschitz(lip, nu, sharp=sharp))


@checked(w="K+1 …", gamma="K+1 …")
def dual_of(w: Tensor, gamma: Tensor, *, nu: float, lr: float) -> Run:
    r"""Return the run whose duals are $V_k=\sum_{j<k}\frac\alpha\nu(W_j-\Gamma_j)$, from $V_0=0$.

    For a path that kept every step but not the dual variable.

    Parameters
    ----------
    w, gamma : [K+1 …], every iterate from the start, $\Gamma_0=0$.

    >>> w, gamma = torch.tensor([[4.0], [2.0], [1.0]]), torch.zeros(3, 1)
    >>> dual_of(w, gamma, nu=2.0, lr=0.5).v.flatten()
    tensor([0.0000, 1.0000, 1.5000])
    """
    check_positive(nu=nu, lr=lr)
    moves = lr / nu * (w - gamma)
    return Run(w, gamma, moves.cumsum(0) - moves)


@checked(run="K+1 …")
def subgradients(run: Run, *, kappa: float) -> Tensor:
    r"""Return $g_k=V_k-\Gamma_k/\kappa\in\partial\Omega(\Gamma_k)$, [K+1 …]."""
    check_positive(kappa=kappa)
    return run.v - run.gamma / kappa


@checked(run="K+1 …")
def descent(
    loss: Loss, run: Run, penalty: Penalty, *, lip: float, kappa: float, nu: float, lr: float
) -> Descent:
    r"""Return the Lyapunov function along a run and every term of its descent inequality.

    $$F_{k+1}\le F_k-\Big(\frac1\kappa-\frac{\alpha\ell}2\Big)\|P_{k+1}-P_k\|^2
      -B_\Omega^{g_{k-1}}(\Gamma_k,\Gamma_{k-1})-B_\Omega^{g_{k+1}}(\Gamma_k,\Gamma_{k+1}),$$
    with the sharp $\ell$ of :func:`coupled_lipschitz`.

    Parameters
    ----------
    loss : $\hat L$, maps one $W$ to a scalar; it is called under ``torch.func.vmap``.
    run : every iterate, at least two.
    lip : a Lipschitz constant of $\nabla\hat L$ on the segments of the run.
    lr : the step $\alpha$.

    >>> from fedlearn_lib import L1
    >>> w = torch.tensor([[4.0], [0.0]], dtype=torch.float64)
    >>> run = dual_of(w, 0 * w, nu=1.0, lr=0.5)
    >>> descent(lambda w: 0.5 * (w**2).sum(), run, L1(2.0), lip=1.0, kappa=1.0, nu=1.0, lr=0.5)[0]
    tensor([8., 0.], dtype=torch.float64)
    """
    check_positive(kappa=kappa, nu=nu, lr=lr)
    check_scalar("loss", loss(run.w[0]))
    _check_run(run, penalty, kappa, nu, lr)
    w, gamma, g = run.w, run.gamma, subgradients(run, kappa=kappa)
    omega = torch.stack([penalty.value(x) for x in gamma])
    lbar = torch.func.vmap(loss, chunk_size=CHUNK)(w) + (w - gamma).flatten(1).square().sum(1) / (
        2 * nu
    )
    there = omega[1:] - omega[:-1] - _dots(g[:-1], gamma[1:] - gamma[:-1])  # B^{g_k}(Γ_{k+1}, Γ_k)
    back = omega[:-1] - omega[1:] - _dots(g[1:], gamma[:-1] - gamma[1:])
    since = torch.cat([torch.zeros_like(lbar[:1]), there])  # since[k] = B^{g_{k-1}}(Γ_k, Γ_{k-1})
    value, moved = lr * lbar + since, squared_steps(run)
    rate = 1 / kappa - lr * coupled_lipschitz(lip, nu, sharp=True) / 2
    slack = value[:-1] - value[1:] - rate * moved - since[:-1] - back
    return Descent(value, moved, since[:-1], back, slack)


@checked(run="K+1 …")
def squared_steps(run: Run) -> Tensor:
    r"""Return $\|P_{k+1}-P_k\|^2=\|W_{k+1}-W_k\|^2+\|\Gamma_{k+1}-\Gamma_k\|^2$, [K]."""
    return sum(x.diff(dim=0).flatten(1).square().sum(1) for x in (run.w, run.gamma))  # type: ignore[return-value]


@checked(run="K+1 …")
def relative_error(
    loss: Loss, run: Run, *, lip: float, kappa: float, nu: float, lr: float
) -> tuple[Tensor, Tensor]:
    r"""Return the norm of a subgradient of the Lyapunov function after each step, and its bound.

    The function is $F(P,g)=\alpha\bar L(P)+\Omega(\Gamma)+\Omega^*(g)-\langle g,\Gamma\rangle$, and
    $F_{k+1}=F(P_{k+1},g_k)$. The subgradient has the parts $\alpha\nabla_W\bar L(P_{k+1})$,
    $\alpha\nabla_\Gamma\bar L(P_{k+1})+g_{k+1}-g_k$ and $\Gamma_k-\Gamma_{k+1}$; the bound is
    $\sqrt{(\alpha\ell+1/\kappa)^2+1}\;\|P_{k+1}-P_k\|$ with $\ell=Lip+\frac2\nu$.

    >>> w = torch.tensor([[4.0], [0.0]], dtype=torch.float64)
    >>> run = dual_of(w, 0 * w, nu=1.0, lr=0.5)
    >>> here, bound = relative_error(
    ...     lambda w: 0.5 * (w**2).sum(), run, lip=1.0, kappa=1.0, nu=1.0, lr=0.5)
    >>> round(here.item(), 4), round(bound.item(), 4)
    (2.0, 10.7703)
    """
    check_positive(kappa=kappa, nu=nu, lr=lr)
    check_scalar("loss", loss(run.w[0]))
    slope, g = torch.func.grad(loss), subgradients(run, kappa=kappa)
    pull = (run.w - run.gamma) / nu
    parts = (
        lr * (torch.func.vmap(slope, chunk_size=CHUNK)(run.w[1:]) + pull[1:]),
        g[1:] - g[:-1] - lr * pull[1:],
        run.gamma[:-1] - run.gamma[1:],
    )
    found = torch.stack([part.flatten(1).square().sum(1) for part in parts]).sum(0).sqrt()
    constant = math.hypot(lr * coupled_lipschitz(lip, nu) + 1 / kappa, 1.0)
    return found, constant * squared_steps(run).sqrt()


@checked(X="n p")
def logistic_lipschitz(X: Tensor, l2: float = 0.0) -> float:
    r"""Return $\frac14\lambda_{\max}(X^\top X/n)+\ell_2$ for the mean logistic loss of two classes.

    The penalty is $\frac{\ell_2}2\|\beta\|^2$; a logistic curvature is at most $\frac14$.

    >>> logistic_lipschitz(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), l2=0.1)
    0.6
    """
    check_nonnegative(l2=l2)
    return largest_curvature(X) / 4 + l2


@checked(w="…")
def local_lipschitz(loss: Loss, w: Tensor) -> float:
    r"""Return $\|\nabla^2\hat L(w)\|$ of a small model at one $w$ (a dense Hessian is formed).

    A Lipschitz constant for a region is the supremum over it; the largest of many such values is
    an estimate from below.

    >>> local_lipschitz(lambda w: (w[0] ** 2 - 3 * w[1] ** 2), torch.zeros(2))
    6.0
    """

    check_scalar("loss", loss(w))

    def of_vector(x: Tensor) -> Tensor:
        return loss(x.view_as(w))

    hessian = torch.func.jacrev(torch.func.grad(of_vector))(w.flatten())
    return float(torch.linalg.eigvalsh(hessian).abs().max())


def _dots(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def _check_run(run: Run, penalty: Penalty, kappa: float, nu: float, lr: float) -> None:
    if not (run.w.shape == run.gamma.shape == run.v.shape and len(run.w) > 1):
        shapes = [tuple(x.shape) for x in run]
        raise ValueError(
            f"w, gamma and v must be [K+1 …] with one row an iterate, at least two, got {shapes}; "
            "record the start and every step"
        )
    scale = 1 + float(run.v.abs().max()) * math.sqrt(run.v[0].numel())
    tolerance = 1e4 * torch.finfo(run.v.dtype).eps * scale
    g = subgradients(run, kappa=kappa)
    worst = max(float(penalty.residual(x, s)) for x, s in zip(run.gamma, g, strict=True))
    if not worst <= tolerance:
        raise ValueError(
            "v - gamma / kappa must be a subgradient of the penalty at gamma, is off by "
            f"{worst:.3g}; pass the kappa of the run, got {kappa}, where gamma = kappa * prox(v)"
        )
    gap = float((run.v.diff(dim=0) - lr / nu * (run.w - run.gamma)[:-1]).abs().max())
    if not gap <= tolerance:
        raise ValueError(
            f"v must grow by lr / nu * (w - gamma) of the old iterates, is off by {gap:.3g}; "
            f"record every step, update nothing early, and pass the run's lr and nu, got {lr}, {nu}"
        )
