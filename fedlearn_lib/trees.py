"""Arithmetic on parameters: ``dict[str, Tensor]`` treated as one long vector.

A model's parameters are a dictionary from names to tensors. The formulas of the book
need only four operations on it, and each is one line.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_lib._checked import explained
from fedlearn_lib._checks import is_number

Params = dict[str, Tensor]


@explained
def axpy(a: float | Tensor, x: Params, y: Params) -> Params:
    r"""Return $a\,x + y$, the only update rule that this library needs.

    ``x`` and ``y`` have the same names and shapes: nothing is broadcast.

    >>> axpy(-0.5, {"w": torch.tensor([2.0])}, {"w": torch.tensor([3.0])})
    {'w': tensor([2.])}
    """
    _check_alike(x, y)
    if not isinstance(a, Tensor) and not is_number(a):
        raise ValueError(f"a must be a number, got {a!r}; correct a")
    if isinstance(a, Tensor):
        return {name: a * x[name] + y[name] for name in y}
    return {name: torch.add(y[name], x[name], alpha=a) for name in y}  # one pass over memory


@explained
def dot(x: Params, y: Params) -> Tensor:
    r"""Return the inner product $\langle x, y\rangle$, a scalar.

    >>> dot({"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 4.0])})
    tensor(11.)
    """
    _check_alike(x, y)
    return torch.stack([(x[name] * y[name]).sum() for name in y]).sum()


@explained
def norm(x: Params) -> Tensor:
    r"""Return the Euclidean norm $\|x\|$, a scalar.

    >>> norm({"w": torch.tensor([3.0]), "b": torch.tensor([4.0])})
    tensor(5.)
    """
    return dot(x, x).sqrt()


@explained
def weighted_mean(messages: Params, p: Tensor) -> Params:
    r"""Return $\sum_i p_i\,x_i$, where client $i$'s message $x_i$ is row $i$ of every leaf.

    Parameters
    ----------
    messages : leaves [m …], one row a client.
    p : [m], non-negative weights that sum to one.

    >>> weighted_mean({"w": torch.tensor([[0.0], [4.0]])}, torch.tensor([0.25, 0.75]))
    {'w': tensor([3.])}
    """
    if p.ndim != 1 or bool((p < 0).any()) or not abs(float(p.sum()) - 1) <= 1e-5:
        raise ValueError(
            f"p must be a vector of non-negative weights with sum 1, got {p.tolist()[:5]} "
            f"(sum {float(p.sum()):.6g}); divide it by its sum"
        )
    return weighted_sum(messages, p)


def weighted_sum(messages: Params, p: Tensor) -> Params:
    r"""Return $\sum_i p_i\,x_i$ for some of the clients: a mean that is added up part by part.

    >>> weighted_sum({"w": torch.tensor([[0.0], [4.0]])}, torch.tensor([0.25, 0.25]))
    {'w': tensor([1.])}
    """
    wrong = {
        name: (tuple(x.shape), x.dtype)
        for name, x in messages.items()
        if x.shape[:1] != p.shape or not x.is_floating_point()
    }
    if wrong:
        raise ValueError(
            f"every leaf of messages must hold floats, one row for each of the {len(p)} weights p, "
            f"got {wrong}; stack the clients' messages along a new first axis"
        )
    return {name: torch.tensordot(p.to(x), x, dims=1) for name, x in messages.items()}


def _check_alike(x: Params, y: Params) -> None:
    if x.keys() != y.keys() or any(x[name].shape != y[name].shape for name in y):
        shapes = [{name: tuple(v.shape) for name, v in tree.items()} for tree in (x, y)]
        raise ValueError(
            f"x and y must have the same names and shapes, got {shapes[0]} and {shapes[1]}; "
            "take both from the same model"
        )
