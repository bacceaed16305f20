"""Exercises on the path of personalization: who leaves first, the shared value, a round."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.exercises.exercise import Exercise


def _first(g: Tensor) -> Tensor:
    k = int(g.abs().argmax())
    return torch.tensor([1 / float(g.abs().max()), k // g.shape[1], k % g.shape[1]])


def _by_norm(g: Tensor) -> Tensor:
    i = int(g.norm(dim=1).argmax())
    return torch.tensor([1 / float(g.norm(dim=1).max()), i, int(g[i].abs().argmax())])


def _shared(c: Tensor, t: float, *, all_pay: bool = False) -> Tensor:
    now, V, shares = 0.0, torch.zeros_like(c), torch.ones_like(c, dtype=torch.bool)
    while True:
        w = c[shares].mean()
        income = torch.where(shares, c - (c.mean() if all_pay else w), 0.0)
        wait = torch.where(income != 0, (income.sign() - V) / income, torch.inf).min()
        now = now + float(wait)
        if now > t:
            return w
        V = V + wait * income
        shares = shares & (V.abs() < 1 - 1e-9)


def _clipped(c: Tensor, lam: float) -> Tensor:
    low, high = c.min(), c.max()
    for _ in range(100):  # the force falls with w
        w = (low + high) / 2
        low, high = (w, high) if (c - w).clamp(-lam, lam).sum() > 0 else (low, w)
    return (low + high) / 2


def _near_the_median(c: Tensor, lam: float) -> Tensor:
    return c[(c - c.median()).abs() <= lam].mean()


def _round(
    w: Tensor, V: Tensor, c: Tensor, kappa: float, eta: float, tau: int,
    *, pay: float = 1.0, scale: float | None = None, used: bool = False,
) -> Tensor:  # fmt: skip
    sent = []
    for Vi, goal in zip(V, c, strict=True):
        wi, scaled = w, kappa if scale is None else scale
        for _ in range(tau):
            g = wi + scaled * (Vi - Vi.clamp(-1, 1)) - goal
            wi, Vi = wi - kappa * eta * g, Vi - pay * eta * g
        sent.append(wi + scaled * (Vi - Vi.clamp(-1, 1)) if used else wi)
    return torch.stack(sent).mean(0)


_G = torch.tensor([[0.5, -1.0, 0.3], [-2.0, 0.4, 0.1], [1.5, 1.6, 1.7]], dtype=torch.float64)
_C = torch.tensor([18.0, 19.0, 20.0, 22.0, 26.0], dtype=torch.float64)
_D = torch.tensor([-3.0, 0.5, 1.0, 1.2, 2.5, 4.0, 40.0], dtype=torch.float64)
_V = torch.tensor([[1.4, 0.2], [-0.5, -1.7], [-0.9, 0.3]], dtype=torch.float64)
_W = torch.tensor([0.5, -0.2], dtype=torch.float64)
_GOALS = torch.tensor([[4.0, -1.0], [-2.0, -3.0], [0.3, 1.0]], dtype=torch.float64)

EXERCISES: dict[str, Exercise] = {
    "first to leave": Exercise(
        _first,
        [(_G,), (-2 * _G[:, :2],)],
        [
            (
                "This is the client with the longest gradient. Each number has an account of its "
                "own, and the first full one belongs to the largest single entry.",
                _by_norm,
            ),
            (
                "The time is the inverse of the largest entry: an account that collects a per unit "
                "of time is full at 1/a.",
                lambda g: torch.cat([1 / _first(g)[:1], _first(g)[1:]]),
            ),
            (
                "Accounts fill to both sides; compare absolute values.",
                lambda g: torch.tensor(
                    [
                        1 / float(g.max()),
                        int(g.argmax()) // g.shape[1],
                        int(g.argmax()) % g.shape[1],
                    ]
                ),
            ),
        ],
    ),
    "shared value": Exercise(
        _shared,
        [(_D, 0.3), (_D, 0.9), (_C, 0.7)],
        [
            (
                "This is the mean of everybody at all times. Who has left no longer counts.",
                lambda c, t: c.mean(),
            ),
            (
                "This is the median, where the path ends. Before that it is the mean of those who "
                "still share.",
                lambda c, t: c.median(),
            ),
            (
                "This is the LASSO's value at λ = 1/t: it clips the pull of those who are far, and "
                "the path rejects them.",
                lambda c, t: _clipped(c, 1 / t),
            ),
            (
                "Your accounts collect the distance from the mean of everybody. What is paid in is "
                "the distance from the value in use, the mean of those who share.",
                lambda c, t: _shared(c, t, all_pay=True),
            ),
        ],
    ),
    "clipped mean": Exercise(
        _clipped,
        [(_C, 1.0), (_C, 2.0), (_D, 1.5)],
        [
            ("This is the mean, the answer for a very large λ.", lambda c, lam: c.mean()),
            (
                "This is the median, the answer for λ → 0.",
                lambda c, lam: c.median(),
            ),
            (
                "You drop those who are farther than λ from the median. The LASSO does not drop "
                "them; they go on pulling with the force λ.",
                _near_the_median,
            ),
            (
                "You clip around the median once and take the mean. The clipping must be around "
                "the answer itself: repeat until nothing moves.",
                lambda c, lam: c.median() + (c - c.median()).clamp(-lam, lam).mean(),
            ),
        ],
    ),
    "path round": Exercise(
        _round,
        [(_W, _V, _GOALS, 2.0, 0.1, 1), (_W, _V, _GOALS, 0.5, 0.3, 4)],
        [
            (
                "The server averages the clients' copies of the shared model. You average the "
                "models in use; the deviations stay at home.",
                lambda w, V, c, kappa, eta, tau: _round(w, V, c, kappa, eta, tau, used=True),
            ),
            (
                "The deviation is κ shrink(V, 1); yours lacks κ.",
                lambda w, V, c, kappa, eta, tau: _round(w, V, c, kappa, eta, tau, scale=1.0),
            ),
            (
                "The account moves by η times the gradient, the shared model by κη times.",
                lambda w, V, c, kappa, eta, tau: _round(w, V, c, kappa, eta, tau, pay=kappa),
            ),
            (
                "Your accounts stand still during the round; each local step pays into them.",
                lambda w, V, c, kappa, eta, tau: _round(w, V, c, kappa, eta, tau, pay=0.0),
            ),
            (
                "This is plain FedAvg on the shared model. The gradient is taken at the model in "
                "use, w + δ.",
                lambda w, V, c, kappa, eta, tau: _round(w, 0 * V, c, kappa, eta, tau, pay=0.0),
            ),
        ],
    ),
}
