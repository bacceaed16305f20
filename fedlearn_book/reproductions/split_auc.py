r"""The published table of Split LBI: how well the order of entry finds the support, by $\nu$.

Huang, Sun, Xiong, Yao (NIPS 2016; arXiv 1704.04833), with the protocol of the authors' public
code: $n=p=50$, a Gaussian design, three blocks of five coefficients $-2,2,-2$, noise of standard
deviation 1, $\kappa=200$, the step with $c=1$, and a path that ends at twenty times
$t_0=\nu/\|D\hat\beta\|_\infty$. The score of a row of $D$ is its time of entry; rows that never
enter come last, together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import matching, run_cells
from fedlearn_lib.sparse import SplitState, entry_auc, split_lbi_max_lr, split_step
from fedlearn_lib.sparse.penalties import L1

N, P, KAPPA, RATIO, RUNS, SEEDS = 50, 50, 200.0, 20.0, 100, (0, 1, 2)
NUS, DESIGNS = (1.0, 5.0, 10.0), ("identity", "fused")
#: Mean and standard deviation over 100 runs, as published.
PUBLISHED = {
    "identity": {1.0: (0.9844, 0.0187), 5.0: (0.9969, 0.0065), 10.0: (0.9982, 0.0043)},
    "fused": {1.0: (0.9954, 0.0057), 5.0: (0.9995, 0.0014), 10.0: (0.9998, 0.0009)},
}


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all cells and store ``split_auc.json``; ``root`` is not needed."""
    run_cells(
        "split_auc",
        [{"D": d, "nu": nu, "seed": seed} for seed in SEEDS for d in DESIGNS for nu in NUS],
        lambda **cell: block(cell["D"], cell["nu"], cell["seed"]),
        folder=folder,
        constants=constants_of(__name__),
        title="Structure found by splitting",
        question="Does a looser coupling find the support better, as published?",
        command="python -m fedlearn_book.reproductions split_auc",
        setting=f"n = p = {N}, 15 coefficients ±2 in three blocks, σ = 1, κ = {KAPPA:g}, blocks of "
        f"{RUNS} runs; fused: all neighboring differences and all coefficients",
        table=summarize,
        note="AUC of the order of entry, mean (standard deviation) over runs. Difference: ours "
        "minus published, in standard errors of that difference.",
    )


def summarize(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row a design and ν: all runs of all blocks beside the published values."""
    rows = []
    for d in DESIGNS:
        for nu in NUS:
            blocks = [
                torch.tensor(result["auc"], dtype=torch.float64)
                for result in matching(cells, D=d, nu=nu)
            ]
            ours, (mean, sd) = torch.cat(blocks), PUBLISHED[d][nu]
            error = (ours.var() / len(ours) + sd**2 / 100).sqrt()
            means = [float(block.mean()) for block in blocks]
            rows.append(
                [
                    d, f"{nu:g}", f"{mean:.4f} ({sd:.4f})", f"{ours.mean():.4f} ({ours.std():.4f})",
                    f"{min(means):.4f} to {max(means):.4f}", f"{(ours.mean() - mean) / error:+.1f}",
                ]
            )  # fmt: skip
    heads = ["D", "ν", "published", "ours", "means of our blocks", "difference"]
    return {"columns": heads, "rows": rows}


def block(design: str, nu: float, seed: int, runs: int = RUNS) -> dict[str, list[float]]:
    """Return the AUC of every run of a block of independent draws."""
    X, y, beta = draws(runs, seed)
    D = structure(design)
    return {"auc": [round(v, 6) for v in entry_auc(entries(X, y, D, nu), beta @ D.T != 0).tolist()]}


def draws(runs: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return designs [runs n p], responses [runs n] and the true coefficients [p], float64."""
    g = torch.Generator().manual_seed(seed)
    beta = torch.zeros(P, dtype=torch.float64)
    for last, value in ((P // 4, -2.0), (P // 2, 2.0), (3 * P // 4, -2.0)):
        beta[last - 5 : last] = value
    X = torch.randn(runs, N, P, generator=g, dtype=torch.float64)
    return X, X @ beta + torch.randn(runs, N, generator=g, dtype=torch.float64), beta


def structure(design: str) -> Tensor:
    """Return the identity, or all differences of neighbors above the identity."""
    eye = torch.eye(P, dtype=torch.float64)
    return eye if design == "identity" else torch.cat([eye[:-1] - eye[1:], eye])


def entries(X: Tensor, y: Tensor, D: Tensor, nu: float) -> Tensor:
    """Return the time at which each row of D enters, [runs q]; all runs advance side by side."""
    gram, c = X.mT @ X / N, (X.mT @ y[..., None])[..., 0] / N
    steps = [split_lbi_max_lr(one, D, kappa=KAPPA, nu=nu) / 2 for one in X]
    lr = torch.tensor(steps, dtype=X.dtype)[:, None]
    first = torch.linalg.solve(nu * gram + D.T @ D, nu * c) @ D.T  # D times the best β for γ = 0
    end = RATIO * nu / first.abs().amax(1, keepdim=True)
    zero = torch.zeros_like(first)
    state, found = SplitState(torch.zeros_like(c), zero, zero), torch.full_like(zero, torch.inf)
    for k in range(1, int((end / lr).max()) + 1):
        slope = (gram @ state.w[..., None])[..., 0] - c
        state = split_step(state, slope, L1(), kappa=KAPPA, nu=nu, lr=lr, D=D)
        new = (state.gamma != 0) & (found == torch.inf) & (k * lr <= end)
        found = torch.where(new, k * lr, found)
    return found
