"""The figure of the first page: four hospitals around one start, and a path that fills a model.

Both halves show the heart disease data of :func:`fedlearn_lib.load`. On the left a model is two
risks, of patients without and with pain on exertion, written as log odds; on the right it is a
linear model of all measurements. The page's script computes from what stands in the states.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from fedlearn_lib import Params, adapt, iss_path, load
from fedlearn_lib.data import Batch, Clients, partition_natural
from fedlearn_lib.data.shipped import HEART_COLUMNS, HOSPITALS

ALPHA = 6.0  # a hospital's step: most of the way from the shared model to its own
TIME = 7.2  # four measurements are in
SPAN = (3.3, 25.0)  # seven enter; the other four come after t = 50 and explain 0.3 % more
WORDS = {
    "cp=asymptomatic": "no chest pain", "exang": "pain on exertion", "thalach": "top heart rate",
    "oldpeak": "ST depression", "cp=atypical": "atypical pain", "sex": "male", "age": "age",
    "restecg=ST-T": "ST-T wave", "cp=non-anginal": "other pain", "trestbps": "blood pressure",
    "restecg=hypertrophy": "hypertrophy",
}  # fmt: skip


class Filling(NamedTuple):
    """The exact path of a linear model of heart disease.

    Attributes
    ----------
    names : of the 11 measurements, in words.
    t, w : the knots [K], and the coefficients from each on [K 11].
    explained : [K], the share of what all measurements explain; 1 is the least-squares fit.
    """

    names: tuple[str, ...]
    t: Tensor
    w: Tensor
    explained: Tensor


def risk_loss(w: Params, batch: Batch) -> Tensor:
    """Return the mean log loss of two log odds ``w["w"]`` [2] on groups and outcomes [b], [b].

    >>> batch = (torch.tensor([0, 1]), torch.tensor([0.0, 1.0]))
    >>> risk_loss({"w": torch.zeros(2)}, batch)
    tensor(0.6931)
    """
    group, sick = batch
    return torch.nn.functional.binary_cross_entropy_with_logits(w["w"][group], sick)


def hospitals() -> Clients:
    """Return the four hospitals: x is 1 where exertion gives pain, y is 1 where the heart is sick.

    >>> hospitals().n.tolist()
    [303, 294, 123, 200]
    """
    heart = load("heart_disease")
    assert heart.client is not None
    pain = heart.x[:, HEART_COLUMNS.index("exang")].long()
    return Clients.of(pain, heart.y.double(), partition_natural(heart.client))


def table(clients: Clients) -> list[list[list[int]]]:
    """Count the patients [hospital][group][outcome]; all that the losses depend on."""
    return [
        [[int(((group == g) & (sick == s)).sum()) for s in (0, 1)] for g in (0, 1)]
        for group, sick in map(clients.data, range(clients.m))
    ]


def best_average(counts: Tensor) -> Tensor:
    """Return the minimizer [2] of the hospitals' mean loss, each hospital counting the same.

    >>> best_average(torch.tensor([[[3.0, 1.0], [1.0, 3.0]]])).sigmoid()
    tensor([0.2500, 0.7500])
    """
    share = counts / counts.sum((1, 2), keepdim=True)
    healthy, sick = share.mean(0).T
    return torch.logit(sick / (healthy + sick))


def moved(clients: Clients, w: Tensor, alpha: float) -> Tensor:
    """Return where one gradient step leads each hospital from w: [m 2]."""
    steps = [adapt(risk_loss, {"w": w}, clients.data(i), alpha)["w"] for i in range(clients.m)]
    return torch.stack(steps)


def mean_loss(clients: Clients, own: Tensor) -> float:
    """Return the mean of the hospitals' losses at a model each: [m 2]."""
    losses = [risk_loss({"w": w}, clients.data(i)) for i, w in enumerate(own)]
    return float(torch.stack(losses).mean())


def filling(t_max: float | None = None) -> Filling:
    """Return the path of the pooled patients, measurements standardized, least squares.

    Of the kinds of chest pain "typical" is left out and of the resting curves "normal", because
    the others tell them.
    """
    heart = load("heart_disease")
    columns = [HEART_COLUMNS.index(name) for name in WORDS]
    X, y = heart.x[:, columns].double(), heart.y.double()
    X, y = (X - X.mean(0)) / X.std(0, correction=0), y - y.mean()
    path = iss_path(X, y)
    w = torch.as_tensor(path.w)
    fit = 1 - (y - w @ X.T).square().sum(1) / y.square().sum()
    shown = path.t <= (t_max or float("inf"))
    return Filling(tuple(WORDS.values()), path.t[shown], w[shown], (fit / fit[-1])[shown])


def start_state(alpha: float = ALPHA) -> dict[str, Any]:
    """Return what the page needs of the hospitals."""
    counts = table(hospitals())
    start = best_average(torch.tensor(counts, dtype=torch.float64))
    return {"counts": counts, "names": list(HOSPITALS), "w": _digits(start), "alpha": alpha}


def path_state() -> dict[str, Any]:
    """Return what the page needs of the path: knots, coefficients, and where it begins."""
    path = filling(SPAN[1])
    return {
        "t": _digits(path.t), "rows": [_digits(row) for row in path.w],
        "explained": _digits(path.explained), "span": list(SPAN), "now": TIME,
    }  # fmt: skip


def _digits(values: Tensor) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
