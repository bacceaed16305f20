"""The leaderboard's setting: its deals, its epochs, its one step, and a run that can be stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy_clients import seeded

from fedlearn_book.reproductions import pfllib
from fedlearn_book.reproductions.pfllib import (
    METHODS,
    SPLITS,
    batches,
    capped_dirichlet,
    one_round,
    score,
    summarize,
    two_classes,
)
from fedlearn_lib import loss_of, parameters_of
from fedlearn_lib.data import Dataset, FlatClients

LABELS = torch.arange(4000) % 10


@pytest.mark.parametrize("deal", [two_classes, capped_dirichlet])
def test_a_deal_gives_every_image_once(deal) -> None:
    parts = deal(LABELS, seeded(1))
    assert len(parts) == 20
    assert torch.cat(parts).sort().values.tolist() == list(range(4000))
    assert min(len(part) for part in parts) > 1


def test_two_classes_a_client_and_four_clients_a_class() -> None:
    parts = two_classes(LABELS, seeded(2))
    for i, part in enumerate(parts):
        counts = LABELS[part].bincount(minlength=10)
        assert counts.nonzero().flatten().tolist() == [i // 4 * 2, i // 4 * 2 + 1]
        if i % 4 < 3:
            assert all(10 <= n < 100 for n in counts[counts > 0].tolist())
    assert len({len(part) for part in parts}) > 10, "shares are drawn by chance"


def test_a_client_that_has_its_share_gets_no_further_class() -> None:
    """4000 / 20 = 200: whoever has 200 after some class has nothing of the later ones."""
    parts = capped_dirichlet(LABELS, seeded(3))
    for part in parts:
        counts = LABELS[part].bincount(minlength=10).cumsum(0)
        full = (counts >= 200).nonzero().flatten()
        if len(full):
            assert counts[-1] == counts[full[0]]
    assert max(len(part) for part in parts) > 400, "the law is far from even"


@pytest.mark.parametrize(("draws", "n", "steps"), [(1, 47, 4), (2, 47, 4), (2, 20, 2), (1, 9, 0)])
def test_an_epoch_sees_each_image_once_and_with_two_batches_twice(draws, n, steps) -> None:
    own = torch.arange(float(n)), torch.arange(n)
    x, y = batches(own, draws, seeded())
    assert x.shape == y.shape == (steps, draws, 10)
    assert torch.equal(x.long(), y)
    assert y.flatten().bincount(minlength=1).max() <= draws
    half = y.flatten()[: y.numel() // draws]
    assert len(half.unique()) == len(half)


def tiny(monkeypatch) -> None:
    """Four inputs instead of an image, and a linear model."""

    def network() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return nn.Sequential(nn.Flatten(), nn.Linear(4, 10))

    monkeypatch.setattr(pfllib, "network", network)


def toy_sides() -> tuple[FlatClients, FlatClients]:
    g = seeded(5)
    x, y = torch.randn(900, 1, 2, 2, generator=g), torch.randint(10, (900,), generator=g)
    rows = list(torch.arange(800).split([21, 59] * 10))
    return FlatClients.of(x, y, rows), FlatClients.of(x, y, list(torch.arange(800, 900).split(5)))


@pytest.mark.parametrize("method", METHODS)
def test_a_round_is_the_weighted_mean_of_what_clients_do_step_by_step(
    method: str, monkeypatch, tmp_path
) -> None:
    tiny(monkeypatch)
    monkeypatch.setattr(pfllib, "LR", 0.1)
    sides = toy_sides()
    one_round(sides, tmp_path, SPLITS[0], method, 1)
    model = pfllib.network()
    loss, start = loss_of(model), parameters_of(model)
    slope = torch.func.grad(loss)

    def stepped(w: dict[str, Tensor], at: dict[str, Tensor], batch) -> dict[str, Tensor]:
        return {k: w[k] - 0.1 * v for k, v in slope(at, batch).items()}

    g, mean = seeded(1), {k: torch.zeros_like(v) for k, v in start.items()}
    for i in range(20):
        w = start
        x, y = batches(sides[0].data(i), 1 if method == "FedAvg" else 2, g)
        for t in range(len(x)):
            at = w if method == "FedAvg" else stepped(w, w, (x[t, 0], y[t, 0]))
            w = stepped(w, at, (x[t, -1], y[t, -1]))
        mean = {k: mean[k] + sides[0].n[i] / 800 * w[k] for k in w}
    (path,) = tmp_path.glob("*.pt")
    for k, v in torch.load(path, weights_only=True).items():
        assert torch.allclose(v, mean[k], rtol=0, atol=1e-6)


def test_the_score_counts_images_and_the_step_is_taken_on_training_images(monkeypatch) -> None:
    tiny(monkeypatch)
    monkeypatch.setattr(pfllib, "LR", 50.0)  # empty images move the bias alone, one step is enough
    x, y = torch.zeros(40, 1, 2, 2), torch.zeros(40, dtype=torch.long)
    train = FlatClients.of(x, y, list(torch.arange(40).split(2)))
    test = FlatClients.of(x, y, [[0, 1, 2], *([k] for k in range(3, 22))])
    model = pfllib.network()
    w = parameters_of(model)
    w["1.weight"], w["1.bias"] = w["1.weight"] * 0, torch.arange(10.0)  # says 9 to everything
    assert score(model, w, train, test, seeded()) == {"sent": 0.0, "adapted": 1.0}
    w["1.bias"] = torch.where(torch.arange(10) == 0, 1.0, 0.0)
    y[3:] = 1
    test = FlatClients.of(x, y, [[0, 1, 2], *([k] for k in range(3, 22))])
    assert score(model, w, train, test, seeded())["sent"] == round(3 / 22, 4), "not 1 / 20"


def toy_images(part: str) -> Dataset:
    g = seeded(len(part))
    y = torch.arange(2000 if part == "train" else 400) % 10
    return Dataset(torch.randn(len(y), 2, 2, generator=g), y, None, "toy")


def test_a_run_goes_on_where_it_was_and_ends_the_same(monkeypatch, tmp_path) -> None:
    """Stopped in its third round: the same numbers, and no checkpoint is left behind."""
    tiny(monkeypatch)
    monkeypatch.setattr(pfllib, "load", lambda name, root, part: toy_images(part))
    monkeypatch.setattr(pfllib, "ROUNDS", 4)
    calls: list[int] = []
    honest = pfllib.one_round

    def stopping(*given: object) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 11:
            raise KeyboardInterrupt
        return honest(*given)  # type: ignore[arg-type]

    pfllib.main(folder=tmp_path / "whole")
    monkeypatch.setattr(pfllib, "one_round", stopping)
    with pytest.raises(KeyboardInterrupt):
        pfllib.main(folder=tmp_path / "stopped")
    pfllib.main(folder=tmp_path / "stopped")
    assert len(calls) == 4 * 4 + 1
    cells = [read_cells(tmp_path / name) for name in ("whole", "stopped")]
    assert cells[0] == cells[1]
    assert len({str(result) for result in cells[0].values()}) > 8
    assert [p.name for p in (tmp_path / "stopped").iterdir()] == ["pfllib.json"]


def read_cells(folder: Path) -> dict[str, dict]:
    record = json.loads((folder / "pfllib.json").read_text())
    return {str(cell["setting"]): cell["result"] for cell in record["cells"]}


def rounds() -> list[dict]:
    return [
        {"setting": {"split": s, "method": m, "round": k, "seed": 0},
         "result": {"sent": [0.5, 0.75, 0.625][k], "adapted": 0.25 + 0.125 * i}}
        for k in range(3) for s in SPLITS for i, m in enumerate(METHODS)
    ]  # fmt: skip


def test_last_and_best_are_told_apart() -> None:
    rows = summarize(rounds())["rows"]
    assert rows[1] == [
        "two classes", "Per-FedAvg FO", "62.50", "75.00", "37.50", "37.50", "99.18 ± 0.08"
    ]  # fmt: skip
