r"""The generalized LASSO on the draws of the published table of Split LBI, beside its AUC.

It minimizes $\frac1{2n}\|y-X\beta\|^2+\lambda\|D\beta\|_1$, and a row of $D$ enters at $1/\lambda$
for the largest $\lambda$ at which $D\beta$ is not zero there. For $D=I$ it is the LASSO, whose path
is exact. Else $\lambda$ runs over a grid that falls by a constant factor from
$\|X^\top y\|_\infty/n$, where nothing is in. Each problem is solved by the alternating direction
method of multipliers from the solution before it, until the duality gap certifies that the value
is within ``GAP`` of the smallest, as a part of it. Draws, designs and score are those of
``split_auc``, run by run, so differences are paired.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fedlearn_book.reproductions import read, split_auc
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import interval, matching, run_cells
from fedlearn_lib.sparse import entry_auc

LEVELS, LAST, GAP, SPRING, RELAX, EVERY, LIMIT = 60, 1e-3, 1e-6, 0.3, 1.6, 25, 100_000
#: A row of $D\beta$ below this is zero, at true values of 2 and 4: what a gap may leave.
ZERO = 1e-4
#: Runs that are solved side by side; the slowest of them decides how many steps all take.
TOGETHER = 10


class Entries(NamedTuple):
    """Path times of entry [runs q], and the largest relative duality gap of any problem."""

    times: Tensor
    gap: float


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells and store ``split_lasso.json``; ``root`` is not needed."""
    run_cells(
        "split_lasso",
        [{"D": d, "seed": seed} for seed in split_auc.SEEDS for d in split_auc.DESIGNS],
        lambda **cell: block(cell["D"], cell["seed"]),
        folder=folder,
        constants=constants_of(__name__, split_auc.__name__),
        title="Splitting against the generalized LASSO",
        question="On the same draws, does the order of entry of Split LBI find the support better?",
        command="python -m fedlearn_book.reproductions split_lasso",
        setting=f"n = p = {split_auc.N}, the draws of split_auc, {split_auc.RUNS} runs a block; "
        f"{LEVELS} weights from where nothing is in down to {LAST:g} of it, each solved to a "
        f"duality gap of {GAP:g}; identity: the exact path of the LASSO",
        table=summarize,
        note="AUC of the order of entry, mean (standard deviation) over runs. Difference: Split "
        "LBI minus generalized LASSO on the same run, mean ± half of its 95 % interval, and in "
        "how many runs Split LBI is behind.",
    )


def summarize(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Pair the runs with those of the stored ``split_auc``: one row a design and ν."""
    splits, rows = read("split_auc")["cells"], []
    for d in split_auc.DESIGNS:
        lasso = torch.tensor([v for result in matching(cells, D=d) for v in result["auc"]])
        for nu in split_auc.NUS:
            split = torch.tensor([v for r in matching(splits, D=d, nu=nu) for v in r["auc"]])
            gain = split - lasso
            mean, half = interval(gain.tolist())
            rows.append(
                [
                    d, f"{nu:g}", f"{lasso.mean():.4f} ({lasso.std():.4f})",
                    f"{split.mean():.4f} ({split.std():.4f})", f"{mean:+.4f} ± {half:.4f}",
                    f"{int((gain < 0).sum())} of {len(gain)}",
                ]
            )  # fmt: skip
    heads = ["D", "ν", "generalized LASSO", "Split LBI", "difference", "behind"]
    return {"columns": heads, "rows": rows}


def block(design: str, seed: int, runs: int | None = None) -> dict[str, Any]:
    """Return the AUC of every run of a block, the gap, and how many rows the grid's ends hold."""
    X, y, beta = split_auc.draws(split_auc.RUNS if runs is None else runs, seed)
    D = split_auc.structure(design)
    parts = zip(X.split(TOGETHER), y.split(TOGETHER), strict=True)
    pieces = [lasso_entries(*p) if design == "identity" else entries(*p, D) for p in parts]
    found = Entries(torch.cat([p.times for p in pieces]), max(p.gap for p in pieces))
    auc = entry_auc(found.times, beta @ D.T != 0)
    never = torch.isinf(found.times).sum(1).double().mean()
    return {
        "auc": [round(v, 6) for v in auc.tolist()],
        "gap": float(f"{found.gap:.2g}"),
        "never in": round(float(never), 2),
    }


def entries(X: Tensor, y: Tensor, D: Tensor, *, levels: int = LEVELS, gap: float = GAP) -> Entries:
    """Walk down the grid, all runs side by side: X [runs n p], y [runs n], D [q p]."""
    problem = _problem(X, y, D)
    top = problem.c.abs().amax(1, keepdim=True)
    z = v = torch.zeros(len(X), len(D), dtype=X.dtype)
    times, worst = torch.full_like(z, torch.inf), 0.0
    for part in torch.logspace(0, torch.log10(torch.tensor(LAST)).item(), levels).tolist():
        weight = part * top
        z, v, left = _solve(problem, z, v, weight, gap)
        times = torch.where((z.abs() > ZERO) & times.isinf(), 1 / weight, times)
        worst = max(worst, left)
    return Entries(times, worst)


def lasso_entries(X: Tensor, y: Tensor) -> Entries:
    """Return the entries of the LASSO, from the exact path of least angle regression."""
    from sklearn.linear_model import lars_path

    rows = []
    for one, response in zip(X, y, strict=True):
        weights, _, path = lars_path(one.numpy(), response.numpy(), method="lasso")
        inside = torch.from_numpy(path != 0)  # [p knots]
        before = (inside.int().argmax(1) - 1).clamp(min=0)  # it leaves zero at the knot before
        rows.append(torch.where(inside.any(1), 1 / torch.from_numpy(weights)[before], torch.inf))
    return Entries(torch.stack(rows), 0.0)


class _Problem(NamedTuple):
    X: Tensor
    y: Tensor
    D: Tensor
    c: Tensor  # Xᵀy/n
    inverse: Tensor  # of XᵀX/n
    base: Tensor  # the dense copy for z − v = 0
    turn: Tensor  # and what z − v adds to it


def _problem(X: Tensor, y: Tensor, D: Tensor) -> _Problem:
    n = X.shape[1]
    gram, c = X.mT @ X / n, _times(X.mT, y) / n
    inner = torch.linalg.inv(gram + SPRING * (D.T @ D))
    return _Problem(X, y, D, c, torch.linalg.inv(gram), _times(inner, c), SPRING * inner @ D.T)


def _solve(
    problem: _Problem, z: Tensor, v: Tensor, weight: Tensor, goal: float
) -> tuple[Tensor, Tensor, float]:
    """Return the sparse copy of Dβ, the scaled multipliers, and the relative duality gap."""
    for k in range(1, LIMIT + 1):
        beta = problem.base + _times(problem.turn, z - v)
        rows = beta @ problem.D.T
        moved = RELAX * rows + (1 - RELAX) * z + v
        v = moved.clamp(-weight / SPRING, weight / SPRING)
        z = moved - v
        if k % EVERY == 0:
            left = _gap(problem, beta, rows, SPRING * v, weight)
            if left < goal:
                return z, v, left
    raise RuntimeError(
        f"the duality gap is {left:.2g} after {LIMIT} steps, {goal:g} was asked for; allow more "
        "steps or a larger gap"
    )


def _gap(problem: _Problem, beta: Tensor, rows: Tensor, dual: Tensor, weight: Tensor) -> float:
    r"""Return the largest gap between the value and the dual function at the multipliers $u$.

    The latter is $\frac1{2n}\|y\|^2-\frac12(c-D^\top u)^\top C^{-1}(c-D^\top u)$ with
    $C=X^\top X/n$, $c=X^\top y/n$, at most the smallest value for every $|u_j|\le\lambda$.
    """
    n = problem.X.shape[1]
    rest = (problem.y - _times(problem.X, beta)).square().sum(1) / (2 * n)
    value = rest + (weight * rows.abs()).sum(1)
    pull = problem.c - dual @ problem.D
    below = problem.y.square().sum(1) / (2 * n) - (pull * _times(problem.inverse, pull)).sum(1) / 2
    return float(((value - below) / value).max())


def _times(A: Tensor, x: Tensor) -> Tensor:
    """Multiply a matrix for each run, [runs a b], by its vector, [runs b]."""
    return (A @ x[..., None])[..., 0]
