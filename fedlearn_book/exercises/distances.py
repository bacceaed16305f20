"""Exercises on distances between laws and what they bound."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _to_pool(laws: Tensor, p: Tensor) -> Tensor:
    return 0.5 * (laws - p @ laws).abs().sum(1)


def _gaps(x: Tensor, u: Tensor) -> Tensor:
    gaps: Tensor = torch.linalg.vector_norm(x[:, None] - u[None], dim=-1)
    return gaps


def _differ(y: Tensor, v: Tensor) -> Tensor:
    return (y[:, None] != v[None]).float()


def _cut(x: Tensor, u: Tensor, lipschitz: float, bound: float) -> Tensor:
    return (lipschitz * (x[:, None] - u[None]).abs()).clamp(max=2 * bound)


_LAWS = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.1, 0.2, 0.7]])
_HALF = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
_X, _U = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 1.0], [3.0, 0.0], [1.0, 1.0]])
_Y, _V = torch.tensor([0, 2]), torch.tensor([0, 1, 2])

EXERCISES: dict[str, Exercise] = {
    "distance to the pool": Exercise(
        _to_pool,
        [(_LAWS, torch.tensor([0.5, 0.3, 0.2])), (_HALF, torch.tensor([0.75, 0.25]))],
        [
            (
                "The pool is the mixture with the weights p, yours is the plain mean of the laws. "
                "A large client moves the pool toward itself and is then closer to it.",
                lambda laws, p: _to_pool(laws, torch.full_like(p, 1 / len(p))),
            ),
            (
                "The factor ½ is missing. With it no distance exceeds 1, and the 4 of the theorem "
                "belongs to it.",
                lambda laws, p: 2 * _to_pool(laws, p),
            ),
            (
                "You averaged the distances to the other clients. By convexity that is never less "
                "than the distance to the pool, and usually more.",
                lambda laws, p: 0.5 * (laws[:, None] - laws[None]).abs().sum(-1) @ p,
            ),
            (
                "You compare with equal shares of the classes. The pool has the clients' own "
                "shares, weighted by p.",
                lambda laws, p: 0.5 * (laws - 1 / laws.shape[1]).abs().sum(1),
            ),
        ],
    ),
    "cost of pairs": Exercise(
        lambda x, y, u, v, label_cost: _gaps(x, u) + label_cost * _differ(y, v),
        [(_X, _Y, _U, _V, 0.5), (_X, _Y, _U, _V, 3.0)],
        [
            (
                "You charge λ where the labels agree. It is the price of changing a label: "
                "`!=`, not `==`.",
                lambda x, y, u, v, c: _gaps(x, u) + c * (1 - _differ(y, v)),
            ),
            (
                "You treat the labels as numbers, so that class 0 is closer to 1 than to 2. Class "
                "names have no order: λ if they differ, 0 if not.",
                lambda x, y, u, v, c: _gaps(x, u) + c * (y[:, None] - v[None]).abs(),
            ),
            (
                "You squared the distance of the inputs. W₁ pays the distance itself; the square "
                "belongs to W₂ and is no metric.",
                lambda x, y, u, v, c: _gaps(x, u).square() + c * _differ(y, v),
            ),
            (
                "The label cost λ is missing: a changed label costs λ, not 1.",
                lambda x, y, u, v, c: _gaps(x, u) + _differ(y, v),
            ),
            (
                "You took the larger of the two costs. That is a metric, too, but a sample that "
                "moves and changes its label pays for both here.",
                lambda x, y, u, v, c: torch.maximum(_gaps(x, u), c * _differ(y, v)),
            ),
        ],
    ),
    "lipschitz of pairs": Exercise(
        lambda feature, jump, label_cost: torch.as_tensor(max(feature, jump / label_cost)),
        [(torch.tensor(2.0), 6.0, 1.0), (torch.tensor(2.0), 6.0, 12.0)],
        [
            (
                "You added the two. The gradient changes by at most A‖x−x'‖ + J when both parts "
                "move, and each part of the *distance* pays for its own: the larger ratio decides.",
                lambda a, j, c: torch.as_tensor(a + j / c),
            ),
            (
                "J is a jump for a distance of λ, so its ratio is J/λ, not J times λ.",
                lambda a, j, c: torch.as_tensor(max(a, j * c)),
            ),
            (
                "You took the smaller constant. It fails for the other kind of move; a Lipschitz "
                "constant must hold for all of them.",
                lambda a, j, c: torch.as_tensor(min(a, j / c)),
            ),
            (
                "λ is missing: the dearer a label is, the less the gradient jumps per unit of "
                "distance.",
                lambda a, j, c: torch.as_tensor(max(a, j)),
            ),
        ],
    ),
    "best of both": Exercise(
        _cut,
        [
            (torch.tensor([0.0, 1.0]), torch.tensor([0.1, 4.0, -2.0]), 1.5, 1.0),
            (torch.tensor([0.0, 5.0]), torch.tensor([0.5, 9.0]), 2.0, 3.0),
        ],
        [
            (
                "You cut at B. Two gradients of length at most B can differ by 2B, when they "
                "point in opposite directions.",
                lambda x, u, c, b: (c * (x[:, None] - u[None]).abs()).clamp(max=b),
            ),
            (
                "You took the larger of the two limits. Both hold, so the smaller counts.",
                lambda x, u, c, b: (c * (x[:, None] - u[None]).abs()).clamp(min=2 * b),
            ),
            (
                "You cut the distance before you multiplied it with the Lipschitz constant. The "
                "limit 2B is a length of gradients: multiply first.",
                lambda x, u, c, b: c * (x[:, None] - u[None]).abs().clamp(max=2 * b),
            ),
            (
                "The Lipschitz constant is missing; as it stands you compare a distance of samples "
                "with a length of gradients.",
                lambda x, u, c, b: (x[:, None] - u[None]).abs().clamp(max=2 * b),
            ),
        ],
    ),
}
