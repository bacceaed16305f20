"""From one model for all to everybody's own, and the LASSO of the same model, by their knots."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from fedlearn_book.widgets.knots import paths_of
from fedlearn_lib import Clients
from fedlearn_lib.federated import PersonalPath

#: A pull that moves an account by less than this in the whole time is rounding.
NOTHING = 1e-7


class Personal(NamedTuple):
    r"""The path of one problem, and what the LASSO with $\lambda=1/t$ on $\delta$ shares.

    Attributes
    ----------
    path : shared models and deviations; client $i$ uses $u_i=w+\delta_i$ on $[t_k,t_{k+1})$.
    pull : [K m d], $-\nabla f_i(u_i)$ there, the slope of the account $V_i$; 0 where personal.
    square : [m d], the mean squares of each client's columns, the second derivatives of $f_i$.
    error : [K m], each client's mean squared error on its test rows.
    lam : [L], decreasing weights $\lambda$.
    lasso : [L d], the LASSO's shared model there; between two weights it is linear in $\lambda$.
    """

    path: PersonalPath
    pull: Tensor
    square: Tensor
    error: Tensor
    lam: Tensor
    lasso: Tensor

    def at(self, t: float) -> dict[str, Tensor]:
        """Return w [d], delta, V, wish [m d] and error [m] at time t.

        ``wish`` is what a client would choose for a number if its other numbers stayed as they
        are: where it shares, $w_j$ is the mean of these wishes, with weights $p_i$ times
        ``square``.
        """
        k = int((self.path.t <= t).sum()) - 1
        ends = torch.cat([self.path.t[1 : k + 1], self.path.t.new_tensor([t])])
        V = ((ends - self.path.t[: k + 1])[:, None, None] * self.pull[: k + 1]).sum(0)
        w, delta = self.path.w[k], self.path.delta[k]
        step = torch.where(self.square > 0, self.pull[k] / self.square.clamp(min=1e-300), 0)
        wish = w + delta + step
        return {"w": w, "delta": delta, "V": V, "wish": wish, "error": self.error[k]}

    def lasso_at(self, t: float) -> Tensor:
        r"""Return the LASSO's shared model at $\lambda=1/t$: [d]; the pooled one at 0."""
        lam = 1 / t if t else float("inf")
        lam = min(max(lam, float(self.lam[-1])), float(self.lam[0]))
        k = min(int((self.lam > lam).sum()), len(self.lam) - 1)
        if k == 0:
            return self.lasso[0]
        share = (self.lam[k - 1] - lam) / (self.lam[k - 1] - self.lam[k])
        between: Tensor = torch.lerp(self.lasso[k - 1], self.lasso[k], share)
        return between

    def packed(self) -> dict[str, Any]:
        """Return the knots for the page: rows are index, value, index, value, …, over m·d."""
        return {
            "t": _digits(self.path.t),
            "w": [_digits(row) for row in self.path.w],
            "delta": [_sparse(row) for row in self.path.delta.flatten(1)],
            "pull": [_sparse(row) for row in self.pull.flatten(1)],
            "square": _digits(self.square.flatten()),
            "error": [_digits(row) for row in self.error],
            "lam": _digits(self.lam),
            "lasso": [_digits(row) for row in self.lasso],
        }


def personal_of(path: PersonalPath, train: Clients, test: Clients, t_max: float) -> Personal:
    """Put beside the path of ``train`` its errors on ``test`` and the LASSO up to ``t_max``.

    >>> from fedlearn_lib.federated import personalization_path
    >>> y = torch.tensor([0.0, 1.0, 2.0, 4.0, 8.0])  # five clients, a number each
    >>> numbers = Clients.of(torch.ones(5, 1), y, [[i] for i in range(5)])
    >>> shown = personal_of(personalization_path(numbers), numbers, numbers, 10.0)
    >>> [round(float(shown.at(t)["w"]), 2) for t in (0, 0.3, 10)]  # mean, trimmed mean, median
    [3.0, 1.75, 2.0]
    >>> [round(float(shown.lasso_at(t)), 2) for t in (0, 0.3)]  # the mean; clipped, Huber's
    [3.0, 2.58]
    """
    used = path.w[:, None] + path.delta  # [K m d]
    pulls, errors, squares = [], [], []
    for i in range(train.m):
        x, y = (part.double() for part in train.data(i))
        pull = (y - used[:, i] @ x.T) @ x / len(y)
        pulls.append(torch.where(path.delta[:, i] != 0, 0, pull))  # rounding, where personal
        squares.append(x.square().mean(0))
        x, y = (part.double() for part in test.data(i))
        errors.append((y - used[:, i] @ x.T).square().mean(1))
    pull = torch.stack(pulls, 1)
    pull[pull.abs() * t_max < NOTHING] = 0  # rounding, as where only one shares a number
    lam, lasso = _lasso(train, path, t_max)
    return Personal(path, pull, torch.stack(squares), torch.stack(errors, 1), lam, lasso)


def _lasso(clients: Clients, path: PersonalPath, t_max: float) -> tuple[Tensor, Tensor]:
    r"""Return the weights [L] and the shared models [L d] of the LASSO.

    It minimizes $\sum_ip_if_i(w+\delta_i)+\lambda\sum_ip_i\|\delta_i\|_1$, with $w$ free: LARS on
    the deviations $p_i\delta_i$ after $w$ is projected out.
    """
    if len(path.t) == 1:  # nobody disagrees: all share at every weight
        return path.t.new_ones(1), path.w[:1]
    N, rows, targets = int(clients.n.sum()), [], []
    p = clients.p.double()
    for i in range(clients.m):
        x, y = (part.double() for part in clients.data(i))
        root = (p[i] * N / len(y)).sqrt()
        rows.append(root * x)
        targets.append(root * y)
    A, y = torch.cat(rows), torch.cat(targets)
    B = torch.block_diag(*(row / weight for row, weight in zip(rows, p, strict=True)))
    without = torch.cat([B, y[:, None]], 1)
    without = without - A @ torch.linalg.lstsq(A, without, driver="gelsd").solution
    try:
        both = paths_of(without[:, :-1], without[:, -1], y.new_zeros(B.shape[1]), t_max)
    except ValueError as lost:
        raise ValueError(
            "LARS lost the LASSO beside the path: two numbers leave at the same time, as where "
            "data repeat or half of the weight is on each side of a shared number; change the data "
            "a little, give the clients unequal weights p, or pass a smaller t_max"
        ) from lost
    left = y[:, None] - B @ both.lasso.T
    return both.lam, torch.linalg.lstsq(A, left, driver="gelsd").solution.T.contiguous()


def _digits(values: Tensor) -> list[float]:
    return [float(f"{value:.9g}") for value in values.tolist()]


def _sparse(row: Tensor) -> list[float]:
    inside = row.nonzero()[:, 0].tolist()
    return [number for j in inside for number in (j, float(f"{row[j]:.9g}"))]
