"""The meta-gradient landscape: f before a step, F after it, and the directions between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fedlearn_book.widgets import landscape_still
from fedlearn_book.widgets.hero import Hero
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.maml import MODES, maml_gradient
from fedlearn_lib.federated.oracles import adapt, gradient
from fedlearn_lib.trees import Params

ALPHAS = tuple(k / 100 for k in range(61))
DELTAS = (0.001, 0.01, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


def bent_quadratic(w: Params, batch: Batch) -> Tensor:
    r"""Return $\tfrac12u^\top Au+s\sum_k\log\cosh u_k$ with $u=$ ``w["w"]`` $-\,c$, over the batch.

    A bowl with a rounder bottom: its curvature is $A+s\,\mathrm{diag}(1-\tanh^2u_k)$, largest at
    the client's own minimizer $c$. With $s=0$ it is a quadratic.

    Parameters
    ----------
    batch : $A$ [b 2 2], and rows $(c_1,c_2,s)$ [b 3].

    >>> batch = (torch.eye(2)[None], torch.tensor([[0.0, 0.0, 2.0]]))
    >>> bent_quadratic({"w": torch.zeros(2)}, batch)
    tensor(0.)
    """
    A, rest = batch
    u = w["w"] - rest[:, :2]
    round_part = torch.logaddexp(u, -u).sum(-1) - 2 * torch.log(torch.tensor(2.0, dtype=u.dtype))
    return (0.5 * torch.einsum("bi,bij,bj->b", u, A, u) + rest[:, 2] * round_part).mean()


class MetaLandscape(Hero):
    """Show $f$ and $F$ of two to four clients in the plane; make it the last line of a cell.

    The reader drags the point $w$ (or moves it with the arrow keys) and sets α and δ. Two maps show
    the loss before and after one step of each client, arrows the plain gradient and the exact,
    first-order and Hessian-free meta-gradients, a table their angles and errors.

    Parameters
    ----------
    A : [m 2 2], symmetric positive definite curvatures of :func:`bent_quadratic`.
    centers : [m 2], the clients' own minimizers.
    bend : [m], the weight $s$ of the round part; zero gives quadratics.
    p : [m], the clients' weights; uniform by default.
    w, alpha, delta : what is shown first; ``w`` is the minimizer of $f$ by default.
    box : left, right, bottom and top of the maps.
    """

    def __init__(
        self,
        A: Tensor,
        centers: Tensor,
        bend: Tensor,
        p: Tensor | None = None,
        *,
        alpha: float,
        delta: float = 0.3,
        w: Sequence[float] | None = None,
        box: tuple[float, float, float, float] = (-2.5, 2.5, -2.2, 2.8),
    ) -> None:
        weights = torch.full((len(A),), 1 / len(A)) if p is None else p
        _check_clients(A, centers, bend, weights)
        if alpha not in ALPHAS or delta not in DELTAS:
            raise ValueError(f"alpha must be one of 0, 0.01 … 0.6 and delta of {DELTAS}, got "
                             f"{alpha!r} and {delta!r}; choose values of the sliders")  # fmt: skip
        self.batches = [
            (A[i : i + 1].double(), torch.cat([centers[i], bend[i : i + 1]])[None].double())
            for i in range(len(A))
        ]
        self.p = weights.double()
        names = ("A", "center", "bend", "p")
        rows = zip(A.tolist(), centers.tolist(), bend.tolist(), weights.tolist(), strict=True)
        self._state: dict[str, Any] = {
            "clients": [dict(zip(names, row, strict=True)) for row in rows],
            "w": [0.0, 0.0],
            "alpha": float(alpha),
            "delta": float(delta),
            "options": {"box": list(box), "alphas": list(ALPHAS), "deltas": list(DELTAS)},
        }
        first = self.standstill(0.0) if w is None else w
        self._state["w"] = [round(float(v), 4) for v in first]
        super().__init__(
            "landscape",
            self._state,
            still=landscape_still.draw(self, self._state),
            alt=landscape_still.describe(self, self._state),
        )

    def directions(self, w: Sequence[float], alpha: float, delta: float) -> dict[str, Any]:
        """Return f, F, and the four directions at w, from the library's own functions."""
        at = {"w": torch.tensor(w, dtype=torch.float64)}
        moved = [adapt(bent_quadratic, at, D, alpha) for D in self.batches]
        oracles = {m: maml_gradient(bent_quadratic, alpha, m, delta) for m in MODES}
        found = {m: [o(at, (D, D, D))["w"] for D in self.batches] for m, o in oracles.items()}
        found["plain"] = [gradient(bent_quadratic)(at, (D,))["w"] for D in self.batches]
        before = [bent_quadratic(at, D) for D in self.batches]
        after = [bent_quadratic(own, D) for own, D in zip(moved, self.batches, strict=True)]
        values = {"f": self._mean(before).item(), "F": self._mean(after).item()}
        means = {name: self._mean(each).tolist() for name, each in found.items()}
        return values | means | {"steps": [own["w"].tolist() for own in moved]}

    def heights(self, points: Tensor, alpha: float) -> Tensor:
        """Return F (f for α = 0) at points [n 2]: [n]."""

        def height(v: Tensor) -> Tensor:
            own = [adapt(bent_quadratic, {"w": v}, D, alpha) for D in self.batches]
            each = [bent_quadratic(w, D) for w, D in zip(own, self.batches, strict=True)]
            return torch.dot(self.p, torch.stack(each))

        found: Tensor = torch.func.vmap(height)(points.double())
        return found

    def standstill(self, alpha: float, mode: str = "exact") -> list[float]:
        """Return where a direction is zero: the minimizer of F (of f for α = 0), or FO's point.

        Newton's method with the slope of the direction from differences, from the lowest point of
        F on a grid.
        """
        left, right, low, high = self._state["options"]["box"]
        sides = (torch.linspace(a, b, 41) for a, b in ((left, right), (low, high)))
        points = torch.cartesian_prod(*sides).double()
        w = points[self.heights(points, alpha).argmin()]
        oracle, step = maml_gradient(bent_quadratic, alpha, mode), 1e-5

        def slope(v: Tensor) -> Tensor:
            return self._mean([oracle({"w": v}, (D, D, D))["w"] for D in self.batches])

        for _ in range(12):
            ways = step * torch.eye(2, dtype=torch.float64)
            turn = torch.stack([slope(w + e) - slope(w - e) for e in ways], 1) / (2 * step)
            w = w - torch.linalg.solve(turn, slope(w))
        return [float(v) for v in w]

    def _mean(self, values: list[Tensor]) -> Tensor:
        mean: Tensor = torch.tensordot(self.p, torch.stack(values), dims=1)
        return mean


def _check_clients(A: Tensor, centers: Tensor, bend: Tensor, p: Tensor) -> None:
    m = len(A)
    shapes = [tuple(t.shape) for t in (A, centers, bend, p)]
    if not 2 <= m <= 4 or shapes != [(m, 2, 2), (m, 2), (m,), (m,)]:
        raise ValueError(
            "A, centers, bend and p must have the shapes [m 2 2], [m 2], [m] and [m] for two to "
            f"four clients, got {shapes}; show fewer clients, in the plane"
        )
    least = float(torch.linalg.eigvalsh(A).min())
    if not bool(torch.isclose(A, A.mT).all()) or not least > 0 or bool((bend < 0).any()):
        raise ValueError(
            f"A must be symmetric with positive eigenvalues and bend non-negative, got least "
            f"eigenvalue {least:.3g} and bend {bend.tolist()}; a client's loss must have a bottom"
        )
    if bool((p < 0).any()) or abs(float(p.sum()) - 1) > 1e-6:
        raise ValueError(f"p must be weights with sum one, got {p.tolist()}; divide by the sum")
