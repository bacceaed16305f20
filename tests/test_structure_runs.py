"""The reproductions on structure, end to end on toys: tickets, growth, a folder of images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from toy_clients import seeded

from fedlearn_book.reproductions import growth, images, tickets
from fedlearn_lib import parameters_of, resnet
from fedlearn_lib.data import Dataset
from fedlearn_lib.structure import he_start, mask_counts


def toy(n: int, seed: int, *shape: int) -> Dataset:
    """Ten classes, each a pattern with noise."""
    y = torch.arange(n) % 10
    pattern = torch.randn(10, *shape, generator=seeded(0))
    return Dataset(
        pattern[y] + 0.5 * torch.randn(n, *shape, generator=seeded(seed)), y, None, "toy"
    )


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(tickets, "BATCH", 20)
    monkeypatch.setattr(
        tickets, "load", lambda *_, part, **__: toy(200 if part == "train" else 50, 1, 28, 28)
    )


def test_tickets_run_end_to_end_on_a_toy(monkeypatch, small, tmp_path) -> None:
    """Equal numbers of units for all methods, equal layers for all but the uniform lot."""
    plan = tickets.Plan("toy", tickets.small_lenet, 1.0, 1, (0.3, 0.6), 2)
    monkeypatch.setitem(tickets.PLANS, "tickets_mnist", plan)
    tickets.main("tickets_mnist", folder=tmp_path)
    record = json.loads((tmp_path / "tickets_mnist.json").read_text())
    assert [cell["setting"] for cell in record["cells"]] == list(tickets.cells(plan))
    assert record["table"]["rows"] == tickets.summarize(plan, record["cells"])["rows"]
    assert [row[0] for row in record["table"]["rows"]] == ["30 %", "60 %", "100 %"]
    units = 6 + 16 + 120 + 84
    for seed in range(2):
        for share in plan.shares:
            own = [
                cell["result"]["layers"] for cell in record["cells"]
                if (cell["setting"]["share"], cell["setting"]["seed"]) == (share, seed)
            ]  # fmt: skip
            assert {sum(layers) for layers in own} == {round(share * units)}
            assert all(layers == own[0] for layers in own[:5])
            assert own[5] != own[0]


def test_each_method_chooses_by_its_own_rule() -> None:
    """Entry times, dense weights and start weights that contradict each other."""
    start = {"a": torch.diag(torch.tensor([1.0, 2, 3, 4])), "last": torch.ones(2, 4)}
    dense = {"a": torch.diag(torch.tensor([4.0, 1, 3, 2])), "last": torch.ones(2, 4)}
    p = tickets.Prepared(nn.Sequential(), start, {"a": torch.tensor([9.0, 1, 2, 8])}, dense,
                         tickets.PLANS["tickets_mnist"])  # fmt: skip

    def rows(method: str) -> list[int]:
        return tickets.choose(p, method, 0.5, 0)["a"].all(1).nonzero().flatten().tolist()

    assert rows("early") == [1, 2]
    assert rows("rewound") == rows("kept") == [0, 2]
    assert rows("large at start") == [2, 3]
    assert tickets.overlap(p, 0.5) == [1, 1.0, 0.58]
    for method in ("random", "random by layer"):
        assert len(rows(method)) == 2


def test_lots_are_drawn_from_numbers_of_their_own() -> None:
    """Two lots of half of 2,000 units share about 500, whatever their method, share and seed."""
    units, last = {"a": torch.zeros(2000, 1)}, {"last": torch.ones(2, 2000)}
    p = tickets.Prepared(nn.Sequential(), units | last, {"a": torch.arange(2000.0)}, units | last,
                         tickets.PLANS["tickets_mnist"])  # fmt: skip
    lots = [
        tickets.choose(p, method, 0.5, seed)["a"]
        for method in ("random", "random by layer") for seed in (0, 1)
    ]  # fmt: skip
    both = [int((lots[i] & lots[j]).sum()) for i in range(4) for j in range(i)]
    assert all(abs(shared - 500) < 60 for shared in both), both  # five deviations by chance
    small = tickets.choose(p, "random", 0.25, 0)["a"]
    assert abs(int((small & lots[0]).sum()) - 250) < 60  # a smaller lot is not part of a larger


def test_a_network_that_cannot_be_cut_trains_inside_its_mask() -> None:
    """The residual sum keeps its channels: what the mask excludes is zero at the end."""
    model = he_start(resnet(width=4, channels=1, seed=0), 0)
    start = parameters_of(model)
    masks = {name: torch.zeros_like(start[name]) for name in tickets.units_of(model)}
    for mask in masks.values():
        mask[:2] = 1
    net, w, left = tickets.shrink(model, start, masks)
    end = tickets.fit(net, w, left, toy(40, 0, 1, 8, 8), 1, 0)
    assert net is model
    assert all(float(end[name][2:].abs().max()) == 0 for name in masks)
    assert set(mask_counts(left, "rows").values()) >= {2}


def test_growth_runs_end_to_end_on_a_toy(monkeypatch, small, tmp_path) -> None:
    """Layers only widen, the twin of the same size has the same size, work adds up."""
    for name, value in {"GROWING": 3, "POLISH": 1, "SEEDS": 2, "NU": 0.5}.items():
        monkeypatch.setattr(growth, name, value)
    growth.main(folder=tmp_path)
    record = json.loads((tmp_path / "growth.json").read_text())
    results = {c["setting"]["method"]: c["result"] for c in record["cells"][:5]}
    widths = torch.tensor(results["grown"]["widths"])
    assert widths[0].tolist() == list(growth.START)
    assert bool((widths.diff(dim=0) >= 0).all())
    assert widths[-1].sum() > widths[0].sum()
    assert results["grown"]["parameters"] == results["same size"]["parameters"]
    assert results["small"]["parameters"] < results["grown"]["parameters"]
    assert results["grown"]["work"] < results["same size"]["work"]
    assert results["same work"]["parameters"] == results["grown"]["parameters"]
    one_epoch = results["same work"]["multiply_adds"]
    assert abs(results["same work"]["work"] - results["grown"]["work"]) <= one_epoch / 2
    assert len(record["table"]["rows"]) == 5


# ----- a folder of images -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of drawn images of unequal sizes, one of them gray, one of them a JPEG."""
    from PIL import Image

    for part in ("train", "val"):
        for label, color in (("red", (200, 20, 20)), ("teal", (10, 150, 150))):
            home = tmp_path / "drawn" / part / label
            home.mkdir(parents=True)
            for i in range(6):
                Image.new("RGB", (20 + 3 * i, 30 - i), color).save(home / f"{i}.png")
            Image.new("RGB", (40, 25), color).save(home / "x.JPEG")
            (home / "notes.txt").write_text("not an image")
    return tmp_path / "drawn"


PLAN = images.Plan(epochs=3, side=16, batch=4, width=4, blocks=1)


def test_the_folder_command_runs_end_to_end(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    images.main(root=str(folder), folder=out, plan=PLAN)
    record = json.loads((out / "images.json").read_text())
    assert [row[0] for row in record["table"]["rows"]] == [1, 2, 3]
    assert record["cells"][-1]["result"]["dense"] == 1.0  # red from teal is easy
    assert sorted(path.name for path in out.iterdir()) == ["images.json"]


def test_a_stopped_run_on_images_goes_on_to_the_same_end(folder, tmp_path, monkeypatch) -> None:
    outs = [tmp_path / name for name in ("whole", "stopped")]
    for out in outs:
        out.mkdir()
    images.main(root=str(folder), folder=outs[0], plan=PLAN)
    honest, calls = images.scores, []

    def stop_once(*args):
        calls.append(1)
        if len(calls) == 2:  # the second epoch is saved, its score is not
            raise KeyboardInterrupt
        return honest(*args)

    monkeypatch.setattr(images, "scores", stop_once)
    with pytest.raises(KeyboardInterrupt):
        images.main(root=str(folder), folder=outs[1], plan=PLAN)
    images.main(root=str(folder), folder=outs[1], plan=PLAN)
    ends = [json.loads((out / "images.json").read_text()) for out in outs]
    assert [cell["result"] for cell in ends[0]["cells"]] == [c["result"] for c in ends[1]["cells"]]
    assert ends[0]["table"] == ends[1]["table"]


def test_an_image_is_cut_from_the_middle(tmp_path: Path) -> None:
    """Shorter side to 8/7 of the side, then the middle; values between −1 and 1."""
    from PIL import Image

    image = Image.new("RGB", (96, 32), (0, 0, 0))
    image.paste((255, 255, 255), (32, 0, 64, 32))  # the middle third
    image.save(tmp_path / "wide.png")
    x = images.read_image(tmp_path / "wide.png", 28)
    assert tuple(x.shape) == (3, 28, 28)
    assert float(x[:, :, 4:-4].min()) == 1.0
    gray = tmp_path / "gray.png"
    Image.new("L", (30, 60), 0).save(gray)
    assert images.read_image(gray, 8).unique().tolist() == [-1.0]


def test_a_folder_that_is_not_one_says_what_is_needed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pass --root"):
        images.main(folder=tmp_path)
    with pytest.raises(ValueError, match="two or more folders"):
        images.main(root=str(folder / "train"), folder=tmp_path)
    (folder / "val" / "red").rename(folder / "val" / "rot")
    with pytest.raises(ValueError, match="same classes"):
        images.main(root=str(folder), folder=tmp_path)
