"""What the runs with two groups of users say together: accuracies, and differences within a seed.

Everything is read from the stored results of :mod:`fedlearn_book.reproductions.two_groups`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn_book.reproductions import read
from fedlearn_book.reproductions.record import interval, matching
from fedlearn_book.reproductions.two_groups import PLANS

WORDS = {
    "two_groups_mnist": "MNIST",
    "two_groups_mnist_small_step": "MNIST",
    "two_groups_tanh": "MNIST, tanh",
    "two_groups_cifar10": "CIFAR-10",
    "two_groups_cifar10_small_step": "CIFAR-10",
}
SETTINGS = tuple((name, tau) for name in WORDS for tau in (10, 4))
HEADS = {"fedavg": "FedAvg + update", "fo": "FO", "hf": "HF", "exact": "exact"}
PAIRS = (("fo", "fedavg"), ("hf", "fo"), ("hf", "fedavg"), ("hf", "exact"))


def alpha_of(name: str) -> float:
    """Return the step of adaptation that a run trained for.

    >>> alpha_of("two_groups_tanh")
    0.01
    """
    return PLANS[name].settings[0][1]


def after(name: str, tau: int, method: str, alpha: float | None = None) -> np.ndarray:
    """Return accuracies in percent after one step, one a seed; by default the step trained for."""
    at = f"{alpha_of(name) if alpha is None else alpha:g}"
    own = matching(read(name)["cells"], method=method, tau=tau)
    return np.array([100 * result["after"][at][0] for result in own])


def before(name: str, tau: int, method: str) -> np.ndarray:
    """Return accuracies in percent before the step, one a seed."""
    own = matching(read(name)["cells"], method=method, tau=tau)
    return np.array([100 * result["before"][0] for result in own])


def best_step(name: str, tau: int, method: str) -> float:
    """Return which of the steps at test time gives a method its best mean accuracy.

    >>> best_step("two_groups_tanh", 10, "fedavg")
    0.1
    """
    tried = map(float, matching(read(name)["cells"], method=method, tau=tau)[0]["after"])
    return max(tried, key=lambda alpha: after(name, tau, method, alpha).mean())


def gain(name: str, tau: int, a: str, b: str, *, best: bool = False) -> tuple[float, float]:
    """Return how much method a is ahead of b within a seed: mean and half-width, in points.

    With ``best`` each method takes its own best step at test time.
    """
    steps = [best_step(name, tau, method) if best else None for method in (a, b)]
    one, other = (after(name, tau, m, s) for m, s in zip((a, b), steps, strict=True))
    return interval((one - other).tolist())


def overview() -> dict[str, Any]:
    """Return one row a setting: three methods, FedAvg with its best step, the paper as recalled."""
    rows = []
    for name, tau in SETTINGS:
        alpha, own = alpha_of(name), best_step(name, tau, "fedavg")
        recalled = PLANS[name].recalled.get((tau, alpha))
        rows.append(
            [WORDS[name], f"{alpha:g}", f"{tau}"]
            + [_spread(after(name, tau, method)) for method in ("fedavg", "fo", "hf")]
            + [f"{after(name, tau, 'fedavg', own).mean():.1f} (α = {own:g})"]
            + [" / ".join(f"{value:.2f}" for value in recalled) if recalled else ""]
        )
    methods = [HEADS[method] for method in ("fedavg", "fo", "hf")]
    paper = "paper, **as we recall it**"
    return {"columns": ["data", "α", "τ", *methods, "the first, best step", paper], "rows": rows}


def differences() -> dict[str, Any]:
    """Return one row a setting: how far a method is ahead of another within a seed, in points."""
    rows = [
        [WORDS[name], f"{alpha_of(name):g}", f"{tau}"]
        + ["{:.2f} ± {:.2f}".format(*gain(name, tau, a, b)) for a, b in PAIRS]
        + ["{:.2f} ± {:.2f}".format(*gain(name, tau, "hf", "fedavg", best=True))]
        for name, tau in SETTINGS
    ]
    heads = [f"{HEADS[a]} over {HEADS[b]}" for a, b in PAIRS]
    return {"columns": ["data", "α", "τ", *heads, "HF over the first, best steps"], "rows": rows}


def _spread(values: np.ndarray) -> str:
    return "{:.1f} ± {:.1f}".format(*interval(values.tolist()))
