"""The reproduction on LeNet runs on a tiny budget, and its table is that of its cells."""

from __future__ import annotations

import json

import pytest
import torch

from fedlearn_lib import load
from fedlearn_lib.data import Dataset
from fedlearn_lib.reproductions import lenet_mnist


@pytest.fixture
def few() -> Dataset:
    mini = load("mnist_mini")
    rows = torch.arange(0, 5000, 25)
    return Dataset(mini.x[rows], mini.y[rows], None, "few")


@pytest.mark.parametrize("method", lenet_mnist.METHODS)
def test_every_method_learns_something_and_is_repeatable(method, few) -> None:
    one, two = (lenet_mnist.train_one(method, 3, few, few, epochs=3) for _ in range(2))
    assert one == two
    assert [len(values) for values in one.values()][:3] == [3, 3, 3]
    assert one["loss"][-1] < one["loss"][0]
    has_copy = method.startswith("SplitLBI")
    assert (one["projected"][-1] is not None) == has_copy
    assert len(one["filters"]) == len(one["weights"]) == (3 if has_copy else 0)


def test_the_run_stores_intervals_of_its_cells(tmp_path, few, monkeypatch) -> None:
    monkeypatch.setattr(lenet_mnist, "load", lambda *a, **k: few)
    monkeypatch.setattr(lenet_mnist, "SEEDS", (0, 1))
    learn = lenet_mnist.train_one
    monkeypatch.setattr(lenet_mnist, "train_one", lambda *a: learn(*a, epochs=1))
    lenet_mnist.main(folder=tmp_path)
    record = json.loads((tmp_path / "lenet_mnist.json").read_text())
    assert len(record["cells"]) == 2 * len(lenet_mnist.METHODS)
    assert record["table"] == lenet_mnist.summarize(record["cells"])
    row = next(r for r in record["table"]["rows"] if r[0] == "SGD")
    own = [c["result"]["dense"][-1] for c in record["cells"] if c["setting"]["method"] == "SGD"]
    assert row[1].startswith(f"{100 * sum(own) / 2:.2f} ± ")
