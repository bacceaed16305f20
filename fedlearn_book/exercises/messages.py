"""Exercises on what messages reveal, hide, cost and weigh."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _shares(change: Tensor, eta: float) -> Tensor:
    return 1 / len(change) + change / eta


def _read_sum(sent: Tensor, bits: int) -> Tensor:
    half = 1 << (bits - 1)
    return (sent.sum(0) + half) % (2 * half) - half


def _secret(x: Tensor, y: Tensor, q: int) -> int:
    xs, total = x.tolist(), 0
    for j, value in enumerate(y.tolist()):
        for k, other in enumerate(xs):
            if k != j:
                value = value * other * pow(other - xs[j], -1, q) % q
        total += value
    return int(total % q)


def _noise_for(epsilon: Tensor, rounds: int, delta: float) -> Tensor:
    log = math.log(1 / delta)
    return math.sqrt(rounds) / ((2 * log + 2 * epsilon).sqrt() - math.sqrt(2 * log))


def _rounding_error(x: Tensor, levels: int) -> Tensor:
    width = x.abs().max() / levels
    u = (x / width) % 1
    return (width**2 * u * (1 - u)).sum()


def _wide_rounding(x: Tensor, levels: int) -> Tensor:
    return len(x) * (x.abs().max() / levels) ** 2 / 4


_CHANGE = torch.tensor([0.2, -0.05, -0.1, -0.05], dtype=torch.float64)
_CLOCK = torch.tensor([[150, 250], [150, 1], [7, 1]])
_X = torch.tensor([1.0, -0.4, 0.15, 0.7, -0.05], dtype=torch.float64)
_EPS = torch.tensor([0.5, 2.0, 8.0], dtype=torch.float64)

EXERCISES: dict[str, Exercise] = {
    "shares from a message": Exercise(
        _shares,
        [(_CHANGE, 0.5), (2 * _CHANGE, 2.0)],
        [
            (
                "The sign is wrong: a message points down the gradient, so a class that the batch "
                "has much of rises.",
                lambda change, eta: 1 / len(change) - change / eta,
            ),
            (
                "You forgot the step: the message is η times what the batch has too much of.",
                lambda change, eta: 1 / len(change) + change,
            ),
            (
                "This is the excess over equal shares. Add 1/G.",
                lambda change, eta: change / eta,
            ),
        ],
    ),
    "read a masked sum": Exercise(
        _read_sum,
        [(_CLOCK, 8), (_CLOCK % 16, 4)],
        [
            (
                "This is the sum on the clock, from 0 to 2^bits − 1. The upper half of the clock "
                "stands for negative numbers.",
                lambda sent, bits: sent.sum(0) % 2**bits,
            ),
            (
                "You added without going round the clock. The masks cancel only modulo 2^bits.",
                lambda sent, bits: sent.sum(0),
            ),
            (
                "You made each message a signed number and added them. The sum has to be taken on "
                "the clock, and its sign read at the end.",
                lambda sent, bits: ((sent + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)).sum(0),
            ),
        ],
    ),
    "secret from shares": Exercise(
        _secret,
        [
            (torch.tensor([1, 2]), torch.tensor([5, 1]), 7),
            (torch.tensor([2, 3, 5]), torch.tensor([4, 0, 9]), 11),
        ],
        [
            (
                "You divided real numbers. Modulo a prime, dividing is multiplying by the inverse, "
                "pow(a, -1, q).",
                lambda x, y, q: sum(
                    float(y[j])
                    * math.prod(float(x[k]) / float(x[k] - x[j]) for k in range(len(x)) if k != j)
                    for j in range(len(x))
                ),
            ),
            (
                "The sign of the denominators is wrong: each factor is x_k/(x_k − x_j). With an "
                "even number of shares this gives minus the secret.",
                lambda x, y, q: -_secret(x, y, q) % q if len(x) % 2 == 0 else _secret(x, y, q),
            ),
            (
                "This is the sum of the shares. The secret is the value at 0 of the polynomial "
                "through them.",
                lambda x, y, q: int(y.sum()) % q,
            ),
        ],
    ),
    "noise for a budget": Exercise(
        _noise_for,
        [(_EPS, 20, 1e-4), (_EPS, 1, 1e-6)],
        [
            (
                "This drops the first term, K/2σ². It is right for small ε only.",
                lambda eps, rounds, delta: math.sqrt(2 * rounds * math.log(1 / delta)) / eps,
            ),
            (
                "This is the noise for one round. The squares of 1/σ add up over rounds.",
                lambda eps, rounds, delta: _noise_for(eps, 1, delta),
            ),
            (
                "You multiplied by K; the noise grows with the square root of the rounds.",
                lambda eps, rounds, delta: _noise_for(eps, 1, delta) * rounds,
            ),
        ],
    ),
    "rounding error": Exercise(
        _rounding_error,
        [(_X, 1), (_X, 3)],
        [
            (
                "This is the bound dω²/4. The exact error depends on where the entries lie between "
                "two multiples.",
                _wide_rounding,
            ),
            (
                "This is the variance in units of ω². Multiply by ω².",
                lambda x, levels: _rounding_error(x, levels) * (levels / x.abs().max()) ** 2,
            ),
            (
                "This is the error of rounding to the nearest multiple: smaller, and biased.",
                lambda x, levels: (
                    (x - (x * levels / x.abs().max()).round() * x.abs().max() / levels).square()
                ).sum(),
            ),
        ],
    ),
}
