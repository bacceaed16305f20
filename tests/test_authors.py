"""The authors' own network: what their file must hold, and which filters and weights stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_clients import seeded

from fedlearn_book.reproductions import authors, read
from fedlearn_lib.data import Dataset
from fedlearn_lib.sparse import L1, GroupL2


def made_up(folder: Path, spoil: str = "") -> Path:
    """A file of their shape with random numbers; ``spoil`` names what is wrong with it."""
    g = seeded(0)
    model: dict[str, torch.Tensor] = {}
    state: dict[int, dict[str, object]] = {}
    for k, (name, shape) in enumerate(authors.SHAPES.items()):
        w, v = torch.randn(shape, generator=g), 2 * torch.randn(shape, generator=g)
        gamma = (GroupL2() if len(shape) == 4 else L1()).prox(v)
        if spoil == "gamma" and name == "fc1.weight":
            gamma = 1.5 * gamma
        entered = torch.where(gamma != 0, float(k), float(authors.NEVER))
        state[k] = {"name": name, "z_buffer": v, "gamma_buffer": gamma, "epoch_record": entered,
                    "w_star": w * (gamma != 0)}  # fmt: skip
        model |= {name: w, name.replace("weight", "bias"): torch.zeros(shape[0])}
    state[99] = {"name": "conv1.bias"}
    if spoil == "state":
        del state[2]["gamma_buffer"]
    if spoil == "shape":
        del state[4]
    path = folder / "lenet.pth"
    torch.save({"model": model, "optimizer": {"state": state}}, path)
    return path


def test_a_copy_of_theirs_is_ours_to_rounding(tmp_path) -> None:
    _, layers = authors.network_of(made_up(tmp_path))
    found = {name: authors.copies(layer) for name, layer in layers.items()}
    assert all(one["copy"] == one["projection"] == 0 for one in found.values())
    assert all(one["in"] == one["entered"] for one in found.values())
    assert 0 < found["fc1.weight"]["in"] < found["fc1.weight"]["of"]
    _, layers = authors.network_of(made_up(tmp_path, "gamma"))
    assert authors.copies(layers["fc1.weight"])["copy"] > 0.1


@pytest.mark.parametrize(
    ("spoil", "words"), [("state", "lacks 'gamma_buffer'"), ("shape", "must hold the layers")]
)
def test_another_file_is_refused(tmp_path, spoil: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        authors.network_of(made_up(tmp_path, spoil))


def test_without_the_file_one_is_told_where_it_is() -> None:
    with pytest.raises(ValueError, match=r"DessiLBI2020/DessiLBI and pass it by --file"):
        authors.main()


def test_the_orders_keep_whom_they_promise() -> None:
    """Weights 1, 5, 2, 4 that entered in the epochs 3, never, 0, 3."""
    w = torch.tensor([[1.0, -5.0, 2.0, -4.0]])
    entered = torch.tensor([[3.0, 2000, 0, 3]])
    layer = authors.Layer(w, w, w, w, entered)
    assert authors.copies(layer)["first"] == 1
    assert authors.chosen(layer, 2, "size", 0).tolist() == [[0, 1, 0, 1]]
    assert authors.chosen(layer, 1, "path", 0).tolist() == [[0, 0, 1, 0]]
    assert authors.chosen(layer, 2, "path", 0).tolist() == [[0, 0, 1, 1]]  # the larger of two
    lots = torch.stack([authors.chosen(layer, 2, "lot", k) for k in range(40)])
    assert set(lots.sum((1, 2)).tolist()) == {2.0}
    assert (lots.sum((0, 1)) > 0).all()
    filters = torch.randn(3, 2, 5, 5, generator=seeded(1)) * torch.tensor([1.0, 3, 2]).view(
        3, 1, 1, 1
    )
    layer = authors.Layer(filters, filters, filters, filters, torch.zeros(3, 2, 5, 5))
    assert authors.chosen(layer, 2, "size", 0).flatten().tolist() == [0, 1, 1]
    assert authors.copies(layer)["first"] == 3  # filters, not weights


def test_the_network_counts_right_answers(tmp_path) -> None:
    model, layers = authors.network_of(made_up(tmp_path))
    x = torch.rand(30, 28, 28, generator=seeded(2))
    with torch.no_grad():
        y = authors.outputs(model, x.view(-1, 1, 28, 28)).argmax(1)
    wrong = torch.where(torch.arange(30) < 6, (y + 1) % 10, y)
    assert authors.accuracy(model, Dataset(x, wrong)) == pytest.approx(0.8)
    assert authors.with_layers(model, layers, "gamma")["fc1.weight"] is layers["fc1.weight"].gamma


def test_the_stored_run_found_our_copy() -> None:
    cells = read("authors_lenet")["cells"]
    assert all(one["copy"] < 1e-6 and one["projection"] == 0 for one in cells[0]["result"].values())
