"""Exercises on the descent of Split LBI: its safe step, its Lyapunov function, its last rate."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _safe(lip: Tensor, nu: Tensor, kappa: float) -> Tensor:
    return 2 / (kappa * (lip + 2 / nu))


def _sharp(lip: Tensor, nu: Tensor, kappa: float) -> Tensor:
    return 2 / (kappa * _tops(lip, nu)[1])


def _tops(lip: Tensor, nu: Tensor) -> tuple[Tensor, Tensor]:
    """Both eigenvalues of the coupled Hessian for the curvature ``lip``."""
    middle, root = lip / 2 + 1 / nu, (lip**2 / 4 + 1 / nu**2).sqrt()
    return middle - root, middle + root


def _value(
    lbar: Tensor, gamma: Tensor, before: Tensor, v_before: Tensor, kappa: float, lr: float
) -> Tensor:
    g = v_before - before / kappa
    return lr * lbar + gamma.abs().sum() - before.abs().sum() - (g * (gamma - before)).sum()


def _value_wrong_g(lbar, gamma, before, v_before, kappa, lr):  # type: ignore[no-untyped-def]
    return lr * lbar + gamma.abs().sum() - before.abs().sum() - (v_before * (gamma - before)).sum()


def _value_new_g(lbar, gamma, before, v_before, kappa, lr):  # type: ignore[no-untyped-def]
    return lr * lbar + before.abs().sum() - gamma.abs().sum() - (gamma.sign() @ (before - gamma))


def _rate(lip: Tensor, nu: Tensor, kappa: float, lr: float) -> Tensor:
    low, high = _tops(lip, nu)
    return torch.maximum((1 - kappa * lr * low).abs(), (1 - kappa * lr * high).abs())


_LIP = torch.tensor([0.5, 1.0, 8.0], dtype=torch.float64)
_NU = torch.tensor([2.0, 0.25, 4.0], dtype=torch.float64)
_LBAR = torch.tensor(1.5, dtype=torch.float64)
_OLD = torch.tensor([2.0, 0.0, 0.0, -1.0], dtype=torch.float64)
_V = torch.tensor([1.5, 0.5, -0.9, -1.25], dtype=torch.float64)  # kappa = 4
_NEW = torch.tensor([1.5, 0.0, -0.4, -2.0], dtype=torch.float64)
_FLIP = torch.tensor([-0.5, 0.3, 0.0, 1.0], dtype=torch.float64)

EXERCISES: dict[str, Exercise] = {
    "safe step": Exercise(
        _safe,
        [(_LIP, _NU, 1.0), (_LIP, _NU, 5.0)],
        [
            (
                "This is the step for Lip + 1/ν, the curvature that W alone sees. W and Γ move at "
                "the same time, and the coupling's Hessian has norm 2/ν.",
                lambda lip, nu, kappa: 2 / (kappa * (lip + 1 / nu)),
            ),
            (
                "κ is missing: W moves by κα times the gradient, so κα has to be below 2/ℓ.",
                lambda lip, nu, kappa: 2 / (lip + 2 / nu),
            ),
            (
                "This is half of the step. 1/(κℓ) falls fastest in the bound; descent holds up to "
                "2/(κℓ).",
                lambda lip, nu, kappa: 1 / (kappa * (lip + 2 / nu)),
            ),
            (
                "You multiplied by κ; the step has to shrink when κ grows.",
                lambda lip, nu, kappa: 2 * kappa / (lip + 2 / nu),
            ),
            (
                "This is the sharp step. It is correct too, and larger; here the simple constant "
                "Lip + 2/ν was asked for.",
                _sharp,
            ),
        ],
    ),
    "lyapunov value": Exercise(
        _value,
        [(_LBAR, _NEW, _OLD, _V, 4.0, 0.5), (_LBAR, _FLIP, _OLD, _V, 4.0, 0.1)],
        [
            (
                "You took V itself for the subgradient. V is a subgradient of Ω + ‖·‖²/2κ; "
                "subtract Γ/κ.",
                _value_wrong_g,
            ),
            (
                "This is the distance in the other direction, measured from the new Γ. Ours "
                "looks forward from the old one, with the old subgradient.",
                _value_new_g,
            ),
            (
                "The step α in front of the loss is missing.",
                lambda lbar, gamma, before, v, kappa, lr: _value(
                    lbar, gamma, before, v, kappa, 1.0
                ),
            ),
            (
                "The Bregman distance has to be added, not subtracted.",
                lambda lbar, gamma, before, v, kappa, lr: (
                    2 * lr * lbar - _value(lbar, gamma, before, v, kappa, lr)
                ),
            ),
        ],
    ),
    "last rate": Exercise(
        _rate,
        [(_LIP, _NU, 1.0, 0.1), (_LIP, _NU, 2.0, 0.12)],
        [
            (
                "This is the factor of the slow direction alone. With a long step the steep "
                "direction overshoots, and its factor may be the larger one.",
                lambda lip, nu, kappa, lr: (1 - kappa * lr * _tops(lip, nu)[0]).abs(),
            ),
            (
                "This is the factor of the steep direction alone; the slow one decides for short "
                "steps.",
                lambda lip, nu, kappa, lr: (1 - kappa * lr * _tops(lip, nu)[1]).abs(),
            ),
            (
                "This is gradient descent on the loss without the coupling. W and Γ move together: "
                "use the two eigenvalues of the coupled Hessian.",
                lambda lip, nu, kappa, lr: (1 - kappa * lr * lip).abs(),
            ),
            (
                "κ is missing: both copies move by κα times the gradient.",
                lambda lip, nu, kappa, lr: _rate(lip, nu, 1.0, lr),
            ),
        ],
    ),
}
