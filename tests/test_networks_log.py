"""What the page says about the long runs of chapters 11 and 13 is what their result files say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedlearn_book import networks_drawing
from fedlearn_book.reproductions import networks_log as log
from fedlearn_book.reproductions import read, table
from fedlearn_book.reproductions.record import interval, matching

PAGE = (Path(__file__).parents[1] / "book/reproductions.md").read_text(encoding="utf-8")
TABLES: dict[str, Callable[[], log.Table]] = {
    one.__name__: one for one in (log.by_seed, log.arrivals, log.leads, log.thin, log.grown)
}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_prints_the_tables(name: str) -> None:
    assert table(TABLES[name]()) in PAGE, f"print table(networks_log.{name}()) into the page"


def test_a_lead_is_taken_within_a_seed_and_without_the_dead() -> None:
    """By hand from the cells of MNIST, 40 percent: one uniform lot learned nothing."""
    of = {
        (c["setting"]["method"], c["setting"]["seed"]): c["result"]["accuracy"]
        for c in read("tickets_mnist")["cells"] if c["setting"]["share"] == 0.4
    }  # fmt: skip
    pairs = [(of["early", seed], of["random", seed]) for seed in range(3)]
    alive = [100 * (a - b) for a, b in pairs if min(a, b) > 0.2]
    assert len(alive) == 2
    assert log.lead("tickets_mnist", "random", 0.4) == f"{np.mean(alive):.2f} (1 dead)"
    rewound = [100 * (of["early", seed] - of["rewound", seed]) for seed in range(3)]
    told = "{:.2f} ± {:.2f}".format(*interval(rewound))
    assert log.lead("tickets_mnist", "rewound", 0.4) == told


def test_the_page_counts_the_intervals_that_hold_zero() -> None:
    clear = [
        (name, rival, share)
        for name in log.DATA for share in log.shares(name) for rival in log.RIVALS[:4]
        if np.diff(np.abs(interval(log.gaps(name, rival, share).tolist())))[0] < 0
    ]  # fmt: skip
    assert clear == [("tickets_mnist", "rewound", 0.2), ("tickets_fashion", "kept", 0.4),
                     ("tickets_fashion", "kept", 0.7)]  # fmt: skip
    assert "of the twenty-four intervals against the first four rivals three do not" in PAGE


def test_the_page_tells_how_far_networks_came() -> None:
    momentum = matching(read("lenet_mnist")["cells"], method="SplitLBI, momentum")
    alive = [run for run in momentum if run["dense"][-1] > 0.2]
    ends = [100 * np.mean([run[what][-1] for run in alive]) for what in ("projected", "dense")]
    assert len(alive) == 4
    assert "four that learned is {:.2f} %, and {:.2f} % dense".format(*ends) in PAGE
    runs = matching(read("resnet_cifar10")["cells"], method=networks_drawing.FORM)
    fourth = [100 * run["projected"][3] for run in runs]
    assert f"at {min(fourth):.0f} to {max(fourth):.0f} percent after the fourth" in PAGE
    assert [run["projected"][1] for run in runs] == [0.1] * 3
    grown = matching(read("growth")["cells"], method="grown")
    sizes = np.array([[sum(run["widths"][k]) for k in (0, 4, 8, 12)] for run in grown])
    ends = [f"{low} and {high}" for low, high in zip(sizes.min(0), sizes.max(0), strict=True)]
    assert (sizes[:, 0] == 21).all()
    assert (
        re.findall(r"between (\d+ and \d+)", PAGE.split("## Growing at full size")[1])[:3]
        == (ends[1:])
    )
    assert f"{100 * np.mean([run['accuracy'] for run in grown]):.2f} %" in PAGE


@pytest.mark.parametrize("name", ["arrival", "tickets"])
def test_the_drawings_say_their_numbers(name: str) -> None:
    picture = getattr(networks_drawing, name)()
    numbers = re.findall(r"-?\d+\.\d+ ± \d+\.\d+|\d+, \d+ and \d+", picture.alt)
    assert len(numbers) >= 3
    told = " ".join(cell for row in log.leads()["rows"] for cell in row)
    assert name == "arrival" or all(n in told for n in numbers)


def five(name: str, family: str) -> np.ndarray:
    """Test accuracy of the five members of a family, in percent."""
    cells = matching(read(name)["cells"], family=family)
    return np.array([100 * m["test"] for m in cells[0]["members"]])


def test_the_page_says_what_families_on_photographs_show() -> None:
    part = PAGE.split("## Families on photographs")[1].split("## Every run")[0]
    order = {n: five(n, "level order, retrained") for n in networks_drawing.PHOTOGRAPHS}
    size = {n: five(n, "size, retrained") for n in order}
    first, long, second, third = (order[n] - size[n] for n in order)
    assert f"{long[0]:.1f} points ahead at the smallest size" in part
    assert f"{-long[1:].max():.1f} to {-long[1:].min():.1f} behind at the four others" in part
    assert (first[:3] > 5).all()
    assert (first[3:] < -4).all()
    assert (abs(second[:3]) < 1.5).all()
    assert (second[3:] > -4.5).all()
    assert (second[3:] < -4).all()
    assert f"{third[:4].min():.1f} to {third[:4].max():.1f} points ahead" in part
    assert f"{-third[4]:.1f} behind at the largest" in part
    held = np.concatenate([order[n] - five(n, "decayed size, retrained") for n in list(order)[2:]])
    assert (held > 0).sum() == 5
    ahead, behind = held[held > 0], -held.min()
    assert f"five of ten comparisons, by {ahead.min():.1f} to {ahead.max():.1f} points" in part
    assert f"behind in five, by up to {behind:.1f}." in part
    end = [five(n, "end size, retrained") - order[n] for n in list(order)[2:]]
    assert (np.concatenate(end) > 0).sum() == 8
    long = order["family_cifar10_long"] - five("family_cifar10_long", "end size, retrained")
    assert f"at two sizes, by {long[1]:.1f} and {long[2]:.1f} points" in part
    assert (long > 0.1).sum() == 2
    assert f"in eight of ten comparisons, by up to {np.concatenate(end).max():.1f} points" in part
    whole = {n: read(n)["cells"][0]["result"]["members"][0] for n in order}
    for name, words in zip(
        order,
        (
            "{:.1f} percent on CIFAR-10; forty", "take it to {:.1f},",
            "reach {:.1f} percent, on Tiny", "sixty reach {:.1f}.",
        ), strict=True,
    ):  # fmt: skip
        assert words.format(100 * whole[name]["test"]) in part
    work = whole["family_cifar10"]["multiply_adds"]
    for family, k, told in (("prox", 1, "81.6"), ("prox", 2, "78.5"), ("bregman", 2, "76.45")):
        member = matching(read("family_cifar10")["cells"], family=family)[0]["members"][k]
        assert abs(float(told) - 100 * member["test"]) < 0.051
        assert told in part
        assert f" {100 * member['multiply_adds'] / work:.0f}" in part
    member = matching(read("family_cifar10_long")["cells"], family="prox")[0]["members"][0]
    largest = five("family_cifar10_long", "size, retrained")[-1]
    told = f"{100 * member['test']:.1f} with {100 * member['multiply_adds'] / work:.0f}, where "
    assert f"after forty {told}magnitude has {largest:.1f} with 71" in part
