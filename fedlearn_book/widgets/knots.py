"""Two paths of one least-squares problem by their knots: inverse scale space and LASSO."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from fedlearn_lib.sparse.iss import iss_path
from fedlearn_lib.sparse.path import Path

#: The same support: so far along the last piece of the LASSO's path that has it.
ALMOST = 0.999


class Paths(NamedTuple):
    r"""Both paths of one problem; LASSO minimizes $\frac1{2n}\|y-X\beta\|^2+\lambda\|\beta\|_1$.

    Attributes
    ----------
    X : [n p], the design, in float64.
    truth : [p], the true coefficients.
    iss : piecewise constant in time $t$.
    lam : [L], decreasing weights $\lambda$; the last one is $1/t_{\max}$.
    lasso : [L p], the LASSO's coefficients there; between two weights it is linear in $\lambda$.
    """

    X: Tensor
    truth: Tensor
    iss: Path
    lam: Tensor
    lasso: Tensor

    def iss_at(self, t: float) -> Tensor:
        """Return the coefficients of the inverse scale space at time t: [p]."""
        return cast(Tensor, self.iss.at(t))

    def lasso_at(self, lam: float) -> Tensor:
        """Return the LASSO's coefficients at a weight: [p]; zero above the first knot."""
        lam = max(lam, float(self.lam[-1]))
        if lam >= self.lam[0]:
            return torch.zeros_like(self.truth)
        k = int((self.lam > lam).sum())
        share = (self.lam[k - 1] - lam) / (self.lam[k - 1] - self.lam[k])
        between: Tensor = torch.lerp(self.lasso[k - 1], self.lasso[k], share)
        return between

    def same_support(self, t: float) -> float | None:
        """Return the smallest weight (but ``ALMOST``) whose LASSO has the support of ISS at t."""
        wanted = self.iss_at(t) != 0
        if not bool(wanted.any()):
            return float(self.lam[0])
        inside = self.lasso != 0
        pieces = inside[:-1] | inside[1:]  # who is in between two knots
        found = (pieces == wanted).all(1).nonzero()
        if not len(found):
            return None
        k = int(found[-1])
        return float(torch.lerp(self.lam[k], self.lam[k + 1], ALMOST))

    def error(self, beta: Tensor) -> float:
        r"""Return the prediction error $\|X(\beta-\beta^*)\|^2/n$."""
        return float((self.X @ (beta - self.truth)).square().mean())

    def packed(self) -> dict[str, Any]:
        """Return the knots for the page: rows are index, value, index, value, …

        A quadratic between two knots is known from its ends and ``bend``, its value for the
        difference of the two: $(1-s)e_k+se_{k+1}-s(1-s)b_k$.
        """
        steps = cast(Tensor, self.iss.w)
        jumps = torch.diff(self.lasso, dim=0)
        return {
            "t": _digits(self.iss.t),
            "iss": [_sparse(row) for row in steps],
            "issError": [round(self.error(row), 8) for row in steps],
            "lam": _digits(self.lam),
            "lasso": [_sparse(row) for row in self.lasso],
            "lassoError": [round(self.error(row), 8) for row in self.lasso],
            "bend": [round(self.error(row + self.truth), 8) for row in jumps],
        }


def paths_of(X: Tensor, y: Tensor, truth: Tensor, t_max: float) -> Paths:
    """Compute both paths up to time ``t_max``, the LASSO's by LARS (scikit-learn).

    >>> shown = paths_of(2 * torch.eye(4), 2 * torch.tensor([3.0, -2, 1, 0.5]), torch.ones(4), 10)
    >>> shown.iss_at(0.6), shown.lasso_at(1 / 0.6)
    (tensor([ 3., -2.,  0.,  0.], dtype=torch.float64), tensor([ 1.3333, -0.3333,  0.0000,  0.0000], dtype=torch.float64))
    """  # noqa: E501
    from sklearn.linear_model import lars_path

    X, y, truth = (torch.as_tensor(a).detach().to(torch.float64) for a in (X, y, truth))
    iss = iss_path(X, y, t_max=t_max)
    lam, _, rows = lars_path(X.numpy(), y.numpy(), method="lasso", alpha_min=1 / t_max)
    lasso = torch.from_numpy(rows.T.copy())
    lasso[lasso.abs() < 1e-10 * lasso.abs().max()] = 0  # what LARS leaves of a coordinate that left
    both = Paths(X, truth, iss, torch.from_numpy(lam.copy()), lasso)
    _check_lasso(both, y)
    return both


def _check_lasso(both: Paths, y: Tensor) -> None:
    """Hold the LASSO against its optimality conditions in the middle of every piece."""
    for before, after in zip(both.lam, both.lam[1:], strict=False):
        lam = float(before + after) / 2
        beta = both.lasso_at(lam)
        pull = both.X.T @ (y - both.X @ beta) / len(y)
        gap = torch.where(beta != 0, pull - lam * beta.sign(), (pull.abs() - lam).clamp(min=0))
        if float(gap.abs().max()) > 1e-6 * float(both.lam[0]):
            raise ValueError(
                f"LARS lost the LASSO's path before lambda = {lam:.3g}: two coefficients enter at "
                "the same time, or columns repeat each other; change the data a little"
            )


def _digits(values: Tensor) -> list[float]:
    return [float(f"{value:.9g}") for value in values.tolist()]


def _sparse(row: Tensor) -> list[float]:
    inside = row.nonzero()[:, 0].tolist()
    return [number for j in inside for number in (j, round(float(row[j]), 8))]
