"""Exercises on personalized federated averaging."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.averaging import fixed_point
from fedlearn_book.exercises.exercise import Exercise
from fedlearn_book.exercises.quadratics import A, P, W, quadratics


def _after(A: Tensor, alpha: float, power: int = 2) -> Tensor:
    """A_i (I − αA_i)^power for every client: [m d d]."""
    J = torch.eye(A.shape[-1], dtype=A.dtype) - alpha * A
    C: Tensor = A @ torch.linalg.matrix_power(J, power)
    return C


def _say(a: Tensor, alpha: float, power: int = 2) -> Tensor:
    weights = a * (1 - alpha * a) ** power
    return weights / weights.sum()


def _personal(
    A: Tensor, w: Tensor, p: Tensor, alpha: float, beta: float, tau: int, power: int = 2
) -> Tensor:
    return fixed_point(_after(A, alpha, power), w, p, beta, tau)


def _meta_step(A: Tensor, c: Tensor, w: Tensor, alpha: float, beta: float) -> Tensor:
    """One local step on ½(w−c)ᵀA(w−c); row 0 of A [3 d d] and c [3 d] is D, row 1 D', row 2 D''."""
    adapted = w - alpha * A[0] @ (w - c[0])
    g = A[1] @ (adapted - c[1])
    return w - beta * (g - alpha * A[2] @ g)


def _two_plain_steps(A: Tensor, c: Tensor, w: Tensor, alpha: float, beta: float) -> Tensor:
    adapted = w - alpha * A[0] @ (w - c[0])
    return adapted - beta * A[1] @ (adapted - c[1])


def _first_order(A: Tensor, c: Tensor, w: Tensor, alpha: float, beta: float) -> Tensor:
    adapted = w - alpha * A[0] @ (w - c[0])
    return w - beta * A[1] @ (adapted - c[1])


def _from_adapted(A: Tensor, c: Tensor, w: Tensor, alpha: float, beta: float) -> Tensor:
    adapted = w - alpha * A[0] @ (w - c[0])
    return adapted + _meta_step(A, c, w, alpha, beta) - w


def _one_batch(A: Tensor, c: Tensor, w: Tensor, alpha: float, beta: float) -> Tensor:
    return _meta_step(A[:1].expand_as(A), c[:1].expand_as(c), w, alpha, beta)


def _tuned(validation: Tensor, test: Tensor) -> Tensor:
    """The test accuracy of each method at the step that its validation prefers: [methods]."""
    return test[torch.arange(len(test)), validation.argmax(1)]


_A, _W, _P = quadratics(3, m=3, d=2)
_A2, _W2, _P2 = quadratics(4, m=3, d=3)
_V = torch.tensor([[0.70, 0.90, 0.80], [0.88, 0.86, 0.50]])
_T = torch.tensor([[0.72, 0.85, 0.87], [0.84, 0.86, 0.40]])

EXERCISES: dict[str, Exercise] = {
    "say": Exercise(
        _say,
        [
            (torch.tensor([1.6, 0.4], dtype=torch.float64), 0.5),
            (torch.tensor([1.0, 0.3, 2.0], dtype=torch.float64), 0.4),
        ],
        [
            (
                "These are the weights of FedAvg: they do not know that every client will take a "
                "step of its own. Multiply by the square of what the step leaves, (1 − αa)².",
                lambda a, alpha: _say(a, alpha, 0),
            ),
            (
                "These are the weights of first order, a(1 − αa). The exact meta-gradient carries "
                "the factor twice: once from the place of the gradient, once from the chain rule.",
                lambda a, alpha: _say(a, alpha, 1),
            ),
            (
                "The proportions are right, but they are not shares: divide by their sum.",
                lambda a, alpha: a * (1 - alpha * a) ** 2,
            ),
            (
                "You left out the curvature itself: (1 − αa)² is how much of the gap remains, a "
                "is how much the client minds.",
                lambda a, alpha: (1 - alpha * a) ** 2 / ((1 - alpha * a) ** 2).sum(),
            ),
        ],
    ),
    "meta step": Exercise(
        _meta_step,
        [
            (_A, _W, torch.tensor([1.0, -2.0], dtype=torch.float64), 0.3, 0.5),
            (_A2, _W2, torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64), 0.1, 1.0),
        ],
        [
            (
                "These are two plain gradient steps, one of size α and one of size β. The outer "
                "step starts from the old w, and its gradient is multiplied by I − αA''.",
                _two_plain_steps,
            ),
            (
                "This is first order: the factor I − αA'' of the chain rule is missing.",
                _first_order,
            ),
            (
                "The direction is right, but the step starts from w̃. Adapting is a thought "
                "experiment: it is w that moves.",
                _from_adapted,
            ),
            (
                "You used the batch D for everything; the gradient belongs to D', the Hessian to "
                "D''.",
                _one_batch,
            ),
        ],
    ),
    "personal fixed point": Exercise(
        _personal,
        [(A / 2, W, P, 0.3, 0.4, 5), (*quadratics(5, m=4, d=3), 0.1, 0.2, 3)],
        [
            (
                "This is where FedAvg with the step β ends: the curvatures A_i are to be replaced "
                "by J_i A_i J_i.",
                lambda A, w, p, alpha, beta, tau: _personal(A, w, p, alpha, beta, tau, 0),
            ),
            (
                "This is where first order ends, with A_i J_i. The exact meta-gradient has the "
                "factor J_i on both sides.",
                lambda A, w, p, alpha, beta, tau: _personal(A, w, p, alpha, beta, tau, 1),
            ),
            (
                "This is the minimizer of F, where τ = 1 ends. With more local steps the pulls are "
                "I − (I − βC_i)^τ, and the algorithm drifts.",
                lambda A, w, p, alpha, beta, tau: _personal(A, w, p, alpha, beta, 1),
            ),
            (
                "The clients' weights p_i are missing in both sums.",
                lambda A, w, p, alpha, beta, tau: _personal(
                    A, w, torch.ones_like(p), alpha, beta, tau
                ),
            ),
        ],
    ),
    "fair comparison": Exercise(
        _tuned,
        [(_V, _T), (_V.flip(1) ** 2, _T.flip(0))],
        [
            (
                "You took the best entry of each row of the test table. That chooses the step with "
                "the data that are to judge it: choose on validation, read off on test.",
                lambda validation, test: test.max(1).values,
            ),
            (
                "You report the validation accuracy of the chosen step. It was chosen because it "
                "is large there, so it is too good: read off the test table.",
                lambda validation, test: validation.max(1).values,
            ),
            (
                "You chose one step for all methods. A step that suits one method can ruin "
                "another: choose row by row.",
                lambda validation, test: test[:, validation.mean(0).argmax()],
            ),
            (
                "This is the mean over the steps. Nobody deploys the mean of a bad step and a good "
                "one: choose one for each method.",
                lambda validation, test: test.mean(1),
            ),
        ],
    ),
}  # fmt: skip
