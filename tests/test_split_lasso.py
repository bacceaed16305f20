"""The generalized LASSO beside Split LBI: its solver against two others, and its stored numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from sklearn.linear_model import lars_path

from fedlearn_book.reproductions import read, split_auc, split_lasso


def test_rows_of_the_identity_enter_where_least_angle_regression_says() -> None:
    """Without structure it is the LASSO, whose path is exact; the grid rounds to its next level."""
    X, y, _ = split_auc.draws(3, seed=7)
    found = split_lasso.entries(X, y, torch.eye(50).double(), levels=60)
    assert found.gap < split_lasso.GAP
    step = split_lasso.LAST ** (-1 / 59)
    exact = split_lasso.lasso_entries(X, y).times
    for one, response, times, alone in zip(X, y, found.times, exact, strict=True):
        _, _, path = lars_path(one.numpy(), response.numpy(), method="lasso")
        changes = np.abs(np.diff((path != 0).astype(int), axis=1)).sum(1)
        steady = torch.from_numpy(changes == 1) & (times < torch.inf)  # in once, and for good
        assert steady.sum() > 20
        ratio = times[steady] / alone[steady]
        assert ratio.min() > 1 - 1e-6
        assert ratio.max() < step * 1.02


def test_a_fused_problem_has_the_solution_of_its_dual_in_a_box() -> None:
    """Least squares over |u_j| <= λ by SciPy, another method for another problem."""
    X, y, _ = split_auc.draws(2, seed=8)
    D = split_auc.structure("fused")
    problem = split_lasso._problem(X, y, D)
    for part in (0.3, 0.03):
        weight = part * problem.c.abs().amax(1, keepdim=True)
        zero = torch.zeros(2, 99).double()
        z, _, gap = split_lasso._solve(problem, zero, zero, weight, 1e-10)
        assert gap < 1e-10
        for i in range(2):
            root = torch.linalg.cholesky(problem.inverse[i]).T.numpy()
            size = float(weight[i])
            dual = lsq_linear(root @ D.T.numpy(), root @ problem.c[i].numpy(), (-size, size),
                              tol=1e-14).x  # fmt: skip
            beta = problem.inverse[i] @ (problem.c[i] - D.T @ torch.from_numpy(dual))
            torch.testing.assert_close(D @ beta, z[i], atol=1e-4, rtol=0)


def test_the_gap_is_zero_at_the_solution_only() -> None:
    """One observation 2, D = 1, weight 1/2: the solution is 3/2 with the multiplier 1/2."""
    one = torch.ones(1, 1, dtype=torch.float64)
    problem = split_lasso._problem(one[None], 2 * one, one)
    gap = lambda beta, dual: split_lasso._gap(problem, beta * one, beta * one, dual * one, one / 2)  # noqa: E731
    assert gap(1.5, 0.5) == pytest.approx(0, abs=1e-12)
    assert gap(1.4, 0.5) == pytest.approx((0.18 + 0.7 - 0.875) / 0.88)
    assert gap(1.5, 0.4) > 1e-3


def test_steps_that_do_not_suffice_are_said(monkeypatch) -> None:
    X, y, _ = split_auc.draws(2, seed=8)
    monkeypatch.setattr(split_lasso, "LIMIT", 25)
    with pytest.raises(RuntimeError, match="after 25 steps"):
        split_lasso.entries(X, y, split_auc.structure("fused"), gap=1e-13)


def test_the_stored_grid_begins_with_nothing_and_ends_with_nearly_all() -> None:
    record = read("split_lasso")
    assert len(record["cells"]) == 6
    for cell in record["cells"]:
        assert len(cell["result"]["auc"]) == split_auc.RUNS
        assert cell["result"]["gap"] <= split_lasso.GAP
        rows = len(split_auc.structure(cell["setting"]["D"]))
        assert cell["result"]["never in"] < 0.05 * rows


def test_the_stored_split_is_ahead_in_every_row() -> None:
    for row in read("split_lasso")["table"]["rows"]:
        mean, half = (float(v) for v in row[4].split(" ± "))
        assert mean > half > 0


def test_the_reproduction_runs_end_to_end_on_a_toy(monkeypatch, tmp_path) -> None:
    def toy(name: str) -> dict[str, Any]:
        assert name == "split_auc"
        cells = [{"D": d, "nu": nu} for d in split_auc.DESIGNS for nu in split_auc.NUS]
        return {"cells": [{"setting": c, "result": {"auc": [1.0, 0.5]}} for c in cells]}

    monkeypatch.setattr(split_lasso, "read", toy)
    monkeypatch.setattr(split_lasso, "LEVELS", 8)
    monkeypatch.setattr(split_auc, "SEEDS", (0,))
    monkeypatch.setattr(
        split_lasso, "block", lambda d, seed, run=split_lasso.block: run(d, seed, runs=2)
    )
    split_lasso.main(folder=tmp_path)
    record = json.loads((tmp_path / "split_lasso.json").read_text())
    first = record["cells"][0]["result"]["auc"]
    assert [row[:2] for row in record["table"]["rows"]][2:4] == [["identity", "10"], ["fused", "1"]]
    behind = sum(a > b for a, b in zip(first, (1.0, 0.5), strict=True))
    assert record["table"]["rows"][0][-1] == f"{behind} of 2"
