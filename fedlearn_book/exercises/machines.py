"""Exercises on more than one machine: a mean over processes, waiting, and who is left out."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _mean(means: Tensor, weights: Tensor) -> Tensor:
    return weights @ means / weights.sum()


def _harmonic(n: int) -> float:
    return sum(1 / k for k in range(1, n + 1))


def _wait(mean: Tensor, cohort: int, answers: int) -> Tensor:
    return mean * (_harmonic(cohort) - _harmonic(cohort - answers))


def _honest(x: Tensor, kept: Tensor, q: Tensor) -> Tensor:
    return (kept / q) @ x / len(x)


_ONE = torch.tensor(1.0, dtype=torch.float64)
_MEANS = torch.tensor([[1.0, -2.0], [4.0, 0.5], [0.0, 8.0]], dtype=torch.float64)
_SHARES = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
_X = torch.tensor([[2.0, 0.0], [-1.0, 3.0], [5.0, 1.0], [0.5, -4.0]], dtype=torch.float64)
_KEPT = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
_Q = torch.tensor([0.9, 0.5, 0.4, 0.8], dtype=torch.float64)

EXERCISES: dict[str, Exercise] = {
    "mean over processes": Exercise(
        _mean,
        [(_MEANS, _SHARES), (_MEANS, 10 * _SHARES.flip(0))],
        [
            (
                "This is the plain mean of the means: a process with one small client would count "
                "as much as one with all the others.",
                lambda means, weights: means.mean(0),
            ),
            (
                "The weights of the processes need not sum to one; divide by their sum.",
                lambda means, weights: weights @ means,
            ),
            (
                "You divided by the number of processes; divide by the sum of their weights.",
                lambda means, weights: weights @ means / len(weights),
            ),
        ],
    ),
    "waiting time": Exercise(
        _wait,
        [(_ONE, 10, 10), (2 * _ONE, 12, 9), (3 * _ONE, 40, 1)],
        [
            (
                "This is the time of the last of all clients; the round ends when enough of them "
                "have answered. Add up only the first `answers` gaps.",
                lambda mean, cohort, answers: mean * _harmonic(cohort),
            ),
            (
                "This adds up 1 + 1/2 + …, the gaps at the end. The first gap is the shortest: all "
                "the clients of the cohort are still running, and it is mean / cohort.",
                lambda mean, cohort, answers: mean * _harmonic(answers),
            ),
            (
                "This waits for one client after the other. They run at the same time.",
                lambda mean, cohort, answers: mean * answers,
            ),
        ],
    ),
    "honest mean": Exercise(
        _honest,
        [(_X, _KEPT, _Q), (_X.flip(0), 1 - _KEPT, _Q)],
        [
            (
                "This is the mean of those who answered. Who answers often counts too much in it.",
                lambda x, kept, q: kept @ x / kept.sum(),
            ),
            (
                "You divided by the number of answers. Divide by the number of clients that were "
                "asked: the weights 1/q already make up for those who are missing.",
                lambda x, kept, q: (kept / q) @ x / kept.sum(),
            ),
            (
                "You divided by the sum of the weights. That ratio is close for many clients, and "
                "its expectation is not the mean: a ratio of two random numbers.",
                lambda x, kept, q: (kept / q) @ x / (kept / q).sum(),
            ),
            (
                "You multiplied by q, which counts those who often answer even more.",
                lambda x, kept, q: (kept * q) @ x / len(x),
            ),
        ],
    ),
}
