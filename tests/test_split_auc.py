"""The reproduction of the published AUC table: its protocol, its score and its stored numbers."""

from __future__ import annotations

import json

import pytest
import torch

import fedlearn_lib as fl
from fedlearn_book.reproductions import read, split_auc
from fedlearn_lib.sparse import entry_auc


def test_the_truth_has_the_counts_of_the_published_protocol() -> None:
    """15 coefficients of ±2 in three blocks; stacked with the differences, 21 true rows of 99."""
    X, y, beta = split_auc.draws(3, seed=0)
    assert beta.nonzero().flatten().tolist() == [*range(7, 12), *range(20, 25), *range(32, 37)]
    assert beta[[7, 20, 32]].tolist() == [-2, 2, -2]
    rows = split_auc.structure("fused") @ beta != 0
    assert (len(rows), int(rows.sum())) == (99, 21)
    assert torch.equal(split_auc.structure("identity") @ beta, beta)
    assert X.shape == (3, 50, 50)
    noise = (y - X @ beta).flatten()
    assert 0.8 < noise.std() < 1.2  # σ = 1 from 150 samples: four standard errors are 0.23
    assert not torch.equal(X, split_auc.draws(3, seed=1)[0])


@pytest.mark.parametrize("design", split_auc.DESIGNS)
def test_runs_side_by_side_enter_when_each_does_alone(design: str) -> None:
    """Entry times against ``split_lbi_path``, and nothing after twenty times the first entry."""
    X, y, _ = split_auc.draws(2, seed=3)
    D, nu = split_auc.structure(design), 1.0
    found = split_auc.entries(X, y, D, nu)
    for one, response, times in zip(X, y, found, strict=True):
        gram, c = one.T @ one / 50, one.T @ response / 50
        lr = fl.sparse.split_lbi_max_lr(one, D, kappa=200.0, nu=nu) / 2
        path = fl.split_lbi_path(
            lambda w: w.sum(), torch.zeros(50).double(), fl.L1(), kappa=200.0, nu=nu, lr=lr,
            steps=3000, D=D, gradient=lambda w, gram=gram, c=c: gram @ w - c,
        )  # fmt: skip
        alone, early = path.entry_times(), times <= 3000 * lr
        assert early.sum() >= 3
        torch.testing.assert_close(alone[early], times[early], rtol=0, atol=1e-9)
        assert torch.isinf(alone[~early]).all()
        rest = torch.linalg.solve(nu * gram + D.T @ D, nu * c)
        assert times[torch.isfinite(times)].max() <= 20 * nu / (D @ rest).abs().max()
        assert torch.isinf(times).any()


def test_auc_counts_pairs_and_halves_ties() -> None:
    true = torch.tensor([True, True, False, False, False])
    inf = float("inf")
    time = torch.tensor([[1.0, 2, 3, 4, 5], [5, 4, 3, 2, 1], [inf] * 5, [1, inf, 1, 2, inf]])
    # last row: 1 ties with 1 and beats two; inf loses to two and ties with one
    assert entry_auc(time, true).tolist() == pytest.approx([1, 0, 0.5, (0.5 + 2 + 0.5) / 6])


@pytest.mark.parametrize(
    ("time", "true", "words"),
    [
        (torch.ones(4), torch.tensor([True, False, True, True]), "time must have 2 axes"),
        (torch.ones(1, 3), torch.tensor([True, False]), "mask of the 3 columns of time"),
        (torch.ones(1, 2), torch.tensor([1, 0]), "true must be a mask"),
        (torch.ones(1, 2), torch.tensor([True, True]), "with true and false rows"),
        (torch.full((1, 2), torch.nan), torch.tensor([True, False]), "time must not hold NaN"),
        ([[1.0, 2.0]], torch.tensor([True, False]), "time must be a dense tensor"),
    ],
)
def test_a_score_that_means_nothing_is_refused(time, true, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        entry_auc(time, true)


def test_the_stored_table_is_within_two_standard_errors() -> None:
    record = read("split_auc")
    assert all(len(cell["result"]["auc"]) == split_auc.RUNS for cell in record["cells"])
    assert len(record["table"]["rows"]) == 6
    assert all(abs(float(row[-1])) < 2 for row in record["table"]["rows"])


def test_the_reproduction_runs_end_to_end_on_a_toy(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(split_auc, "NUS", (1.0,))
    monkeypatch.setattr(split_auc, "SEEDS", (0, 1))
    monkeypatch.setattr(split_auc, "RATIO", 6.0)
    monkeypatch.setattr(
        split_auc, "block", lambda d, nu, seed, run=split_auc.block: run(d, nu, seed, runs=3)
    )
    split_auc.main(folder=tmp_path)
    record = json.loads((tmp_path / "split_auc.json").read_text())
    assert [row[:2] for row in record["table"]["rows"]] == [["identity", "1"], ["fused", "1"]]
    values = [v for cell in record["cells"] for v in cell["result"]["auc"]]
    assert len(values) == 12
    assert 0.8 < sum(values) / 12 <= 1
