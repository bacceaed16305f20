"""Exercises on meta-gradients: the best start, the chain rule, difference quotients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad

from fedlearn_book.exercises.exercise import Exercise
from fedlearn_book.exercises.quadratics import A, P, W, quadratics, weighted_solve

Function = Callable[[Tensor], Tensor]


def _left(A: Tensor, alpha: float) -> Tensor:
    """J_i = I − αA_i."""
    return torch.eye(A.shape[-1], dtype=A.dtype) - alpha * A


def _best_start(A: Tensor, w: Tensor, p: Tensor, alpha: float) -> Tensor:
    J = _left(A, alpha)
    return weighted_solve(J @ A @ J, w, p)


def _slope(w: Tensor, f: Function) -> Tensor:
    found: Tensor = grad(f)(w)
    return found


def _times_hessian(w: Tensor, f: Function, v: Tensor) -> Tensor:
    found: Tensor = grad(lambda u: torch.dot(grad(f)(u), v))(w)
    return found


def _meta_gradient(w: Tensor, f: Function, alpha: float) -> Tensor:
    g = _slope(w - alpha * _slope(w, f), f)
    return g - alpha * _times_hessian(w, f, g)


def _hessian_at_the_adapted(w: Tensor, f: Function, alpha: float) -> Tensor:
    moved = w - alpha * _slope(w, f)
    g = _slope(moved, f)
    return g - alpha * _times_hessian(moved, f, g)


def _hessian_of_the_old_slope(w: Tensor, f: Function, alpha: float) -> Tensor:
    old = _slope(w, f)
    return _slope(w - alpha * old, f) - alpha * _times_hessian(w, f, old)


def _two_steps(w: Tensor, f: Function, alpha: float) -> Tensor:
    return _slope(w, f) + _slope(w - alpha * _slope(w, f), f)


def _quotient(w: Tensor, f: Function, v: Tensor, delta: float) -> Tensor:
    return (_slope(w + delta * v, f) - _slope(w - delta * v, f)) / (2 * delta)


def _bowl(w: Tensor) -> Tensor:
    return (w**4).sum() / 4 + w[0] * w[1] + (w**3).sum() / 3


def _wave(w: Tensor) -> Tensor:
    return torch.cos(w).sum() + torch.log(torch.cosh(w.sum())) + (w**2).sum()


_AT = torch.tensor([0.7, -0.4], dtype=torch.float64)
_TO = torch.tensor([1.5, 0.8], dtype=torch.float64)
_HERE = torch.tensor([-0.3, 1.1, 0.5], dtype=torch.float64)
_THERE = torch.tensor([0.4, -1.0, 2.0], dtype=torch.float64)

EXERCISES: dict[str, Exercise] = {
    "best start": Exercise(
        _best_start,
        [(A, W, P, 0.2), (*quadratics(1, m=4, d=3), 0.3)],
        [
            (
                "This is the minimizer of f, the best start for clients who do nothing. One step "
                "multiplies the gap by J_i = I − αA_i before the loss is taken, on both sides: "
                "weigh with J_i A_i J_i.",
                lambda A, w, p, alpha: weighted_solve(A, w, p),
            ),
            (
                "These are the weights A_i J_i, where the first-order direction stands still. The "
                "gap enters the loss twice, so J_i must too.",
                lambda A, w, p, alpha: weighted_solve(A @ _left(A, alpha), w, p),
            ),
            (
                "You weigh with J_i J_i: the squared distance to w_i after the step. The client's "
                "loss counts that distance with its curvature A_i.",
                lambda A, w, p, alpha: weighted_solve(_left(A, alpha) @ _left(A, alpha), w, p),
            ),
            (
                "The clients' weights p_i are missing in both sums.",
                lambda A, w, p, alpha: _best_start(A, w, torch.ones_like(p), alpha),
            ),
        ],
    ),
    "meta gradient": Exercise(
        _meta_gradient,
        [(_AT, _bowl, 0.3), (_HERE, _wave, 0.2)],
        [
            (
                "This is ∇f(w̃), the first-order direction: the dependence of w̃ on w is missing. "
                "Subtract α∇²f(w) times it.",
                lambda w, f, alpha: _slope(w - alpha * _slope(w, f), f),
            ),
            (
                "This is ∇f(w), the gradient of the loss before the step.",
                lambda w, f, alpha: _slope(w, f),
            ),
            (
                "You took the Hessian at w̃. It comes from differentiating ∇f(w) inside the step, "
                "so it belongs to the old w.",
                _hessian_at_the_adapted,
            ),
            (
                "You multiply the Hessian with ∇f(w). The chain rule multiplies it with the outer "
                "gradient, ∇f(w̃).",
                _hessian_of_the_old_slope,
            ),
            (
                "This is the sum of two ordinary gradients, the direction of two plain steps. No "
                "derivative of the first step appears in it.",
                _two_steps,
            ),
        ],
    ),
    "hessian free": Exercise(
        _quotient,
        [(_AT, _bowl, _TO, 0.1), (_HERE, _wave, _THERE, 0.2)],
        [
            (
                "This is the one-sided quotient. Its error is of order δ; stepping to both sides "
                "cancels that term.",
                lambda w, f, v, delta: (_slope(w + delta * v, f) - _slope(w, f)) / delta,
            ),
            (
                "Twice too large: the two points are 2δ apart, not δ.",
                lambda w, f, v, delta: 2 * _quotient(w, f, v, delta),
            ),
            (
                "You made v a unit vector for the step and did not multiply its length back: the "
                "product must grow with v.",
                lambda w, f, v, delta: _quotient(w, f, v / v.norm(), delta),
            ),
            (
                "This is the exact product ∇²f(w)v. Here we want the quotient of two gradients, "
                "which needs no second derivative.",
                lambda w, f, v, delta: _times_hessian(w, f, v),
            ),
        ],
    ),
    "best delta": Exercise(
        lambda eps, M, size: (3 * eps / (M * size**3)) ** (1 / 3),
        [(torch.tensor(6e-8), 2.0, 1.5), (torch.tensor(1.1e-16).double(), 0.7, 4.0)],
        [
            (
                "This balances Mδ²‖v‖³/6 against ε/δ by setting them equal. At the minimum of the "
                "sum their derivatives are equal, which gives 3 in the place of 6.",
                lambda eps, M, size: (6 * eps / (M * size**3)) ** (1 / 3),
            ),
            (
                "The square root belongs to the one-sided quotient, whose truncation is of order "
                "δ. Here it is of order δ²: differentiate and solve for δ³.",
                lambda eps, M, size: (3 * eps / (M * size**3)) ** 0.5,
            ),
            (
                "The step in parameter space is δ‖v‖, so a long v needs a smaller δ: ‖v‖³ belongs "
                "in the denominator.",
                lambda eps, M, size: (3 * eps / M) ** (1 / 3),
            ),
        ],
    ),
}
