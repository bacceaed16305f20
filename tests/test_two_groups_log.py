"""What page and chapter say about the runs with two groups is what their result files say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedlearn_book import two_groups_drawing
from fedlearn_book.reproductions import read, table
from fedlearn_book.reproductions.two_groups import PLANS
from fedlearn_book.reproductions.two_groups_log import (
    HEADS,
    SETTINGS,
    WORDS,
    after,
    alpha_of,
    before,
    best_step,
    differences,
    gain,
    overview,
)

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book/reproductions.md").read_text(encoding="utf-8")
CHAPTER = json.loads((ROOT / "notebooks/04_per_fedavg.ipynb").read_text(encoding="utf-8"))
SAID = " ".join("".join(cell["source"]) for cell in CHAPTER["cells"])
MNIST, SMALL, TANH = "two_groups_mnist", "two_groups_mnist_small_step", "two_groups_tanh"
CIFAR, CIFAR_SMALL = "two_groups_cifar10", "two_groups_cifar10_small_step"


def sentences(part: str) -> str:
    """The text of a part of the page that begins in bold."""
    return PAGE.split(f"**{part}.**")[1].split("\n\n**")[0].split("\n\n## ")[0]


def test_the_page_prints_the_table_of_differences() -> None:
    assert table(differences()) in PAGE, "print table(differences()) into book/reproductions.md"


def test_accuracies_are_those_of_the_result_files() -> None:
    rows = read(MNIST)["table"]["rows"]
    for row in overview()["rows"][:2]:
        stored = next(r for r in rows if r[0] == row[2])
        assert [cell.split(" (")[0] for cell in stored[2:5]] == row[3:6]
    assert [row[:3] for row in overview()["rows"]] == [
        [WORDS[name], f"{alpha_of(name):g}", f"{tau}"] for name, tau in SETTINGS
    ]


def test_a_gain_is_taken_within_a_seed() -> None:
    own = [cell for cell in read(MNIST)["cells"] if cell["setting"]["tau"] == 10]
    at = {m: [c["result"]["after"]["0.01"][0] for c in own if c["setting"]["method"] == m]
          for m in ("hf", "fedavg")}  # fmt: skip
    gaps = 100 * (np.array(at["hf"]) - np.array(at["fedavg"]))
    middle, half = gain(MNIST, 10, "hf", "fedavg")
    assert middle == pytest.approx(gaps.mean())
    assert half == pytest.approx(2.776 * gaps.std(ddof=1) / 5**0.5, rel=1e-3)
    assert gain(MNIST, 10, "hf", "fedavg", best=True)[0] < middle


def test_the_page_says_what_holds_on_mnist() -> None:
    clear = {pair: gain(MNIST, 10, *pair) for pair in (("fo", "fedavg"), ("hf", "fo"))}
    assert all(middle > half for middle, half in clear.values())
    middle, half = gain(MNIST, 4, "fo", "fedavg")
    assert 0 < middle < half
    drop = {m: before(MNIST, 10, m).mean() - before(MNIST, 10, "hf").mean()
            for m in ("fo", "fedavg")}  # fmt: skip
    told = "{:.0f} points below FO's and {:.0f} below FedAvg's".format(*drop.values())
    assert told in sentences("The two traps of the chapter, at full scale")
    assert before(MNIST, 4, "hf").mean() > before(MNIST, 4, "fedavg").mean()
    middle, half = gain(MNIST, 10, "hf", "fedavg", best=True)
    assert 0 < middle < half
    assert round(gain(MNIST, 4, "hf", "fedavg", best=True)[0]) == 3
    assert best_step(MNIST, 10, "fedavg") == best_step(MNIST, 10, "fo") == 0.03
    assert {best_step(MNIST, 4, m) for m in ("fedavg", "fo", "hf")} == {0.1}
    three = {m: max(after(MNIST, 10, m, a).mean() for a in (0.001, 0.01, 0.1))
             for m in ("fedavg", "fo", "hf")}  # fmt: skip
    assert three["fo"] < three["fedavg"] < three["hf"] - 1


def test_the_page_says_what_a_smaller_step_does() -> None:
    for tau in (10, 4):
        for pair in (("fo", "fedavg"), ("hf", "fo"), ("hf", "fedavg")):
            middle, half = gain(SMALL, tau, *pair)
            assert abs(middle) < min(half, 1)
        grown = {m: (after(MNIST, tau, m) - after(SMALL, tau, m)).mean() for m in HEADS}
        assert grown["hf"] > 7
        assert grown["fo"] > 4
        assert round(grown["fedavg"]) == 3
        longer = (after(SMALL, tau, "hf", 0.01) - after(SMALL, tau, "hf")).mean()
        assert 0.4 < longer / grown["hf"] < 0.6


def test_the_page_says_what_tanh_changes() -> None:
    leads = [gain(TANH, tau, "hf", "fedavg")[0] for tau in (10, 4)]
    assert [round(v) for v in leads] == [1, 2]
    ends = [after(TANH, 10, m, 0.1).mean() for m in ("fedavg", "fo", "hf")]
    assert max(ends) - min(ends) < 0.25
    assert before(TANH, 10, "hf").mean() > before(TANH, 10, "fedavg").mean()


def test_the_page_says_what_cifar_does() -> None:
    best = after(CIFAR, 10, "fedavg", 0.001).mean()
    assert f"{best:.1f} with $\\alpha=0.001$" in PAGE
    others = [after(CIFAR, 10, m, a).mean() for m in ("fo", "hf") for a in (0.001, 0.01, 0.1)]
    assert best > max(others)
    for name, tau, first in [(CIFAR, 10, "hf"), (CIFAR, 4, "fedavg"), (CIFAR_SMALL, 10, "fedavg"),
                             (CIFAR_SMALL, 4, "hf")]:  # fmt: skip
        means = {m: after(name, tau, m).mean() for m in ("fedavg", "fo", "hf")}
        assert max(means, key=means.__getitem__) == first
    for method in ("fo", "hf"):
        grown = (after(CIFAR, 4, method) - after(CIFAR_SMALL, 4, method)).mean()
        assert 17 < grown < 23
    assert round(before(CIFAR, 10, "fo").mean()) == 12
    far = [after(name, tau, m, 0.1).mean() for name, tau in SETTINGS[6:]
           for m in ("fedavg", "fo", "hf")]  # fmt: skip
    assert max(far) < 55
    gaps = after(CIFAR_SMALL, 10, "exact") - after(CIFAR_SMALL, 10, "hf")
    assert -0.85 < gaps.min() < 0 < gaps.max() < 0.85


def test_the_chapter_says_it_in_five_sentences() -> None:
    behind = [gain(MNIST, tau, "hf", "fedavg", best=True)[0] for tau in (10, 4)]
    told = "{:.2f} points behind HF with ten local steps and {:.2f} with four".format(*behind)
    middle, half = gain(MNIST, 10, "hf", "fedavg", best=True)
    assert middle < half  # "the first interval contains zero"
    assert told in SAID
    leads = [gain(name, 10, "hf", "fedavg")[0] for name in (MNIST, TANH)]
    assert "it is {:.1f} points, {:.1f} with tanh".format(*leads) in SAID
    recalled = PLANS[MNIST].recalled[10, 0.01]
    above = [after(MNIST, 10, m).mean() - v
             for m, v in zip(("fedavg", "fo", "hf"), recalled, strict=True)]  # fmt: skip
    assert all(11 < gap < 13 for gap in above)
    search = read("two_groups_search")["cells"]
    for method in ("fedavg", "fo", "hf"):
        base, half, small = (
            np.mean([100 * c["result"]["40"][0] for c in search
                     if (c["setting"]["change"], c["setting"]["method"]) == (change, method)])
            for change in ("none", "β = 0.0005", "training batches of 20")
        )  # fmt: skip
        assert base - half > 15
        assert abs(base - small) < 0.5
    for best, count in ((False, 2), (True, 0)):
        ahead = [gain(*setting, "hf", "fedavg", best=best)[0] > 0 for setting in SETTINGS[6:]]
        assert sum(ahead) == count


def test_the_drawing_s_message_holds() -> None:
    for name, tau in SETTINGS:
        lead = gain(name, tau, "hf", "fedavg", best=True)[0]
        assert lead < (0 if "cifar10" in name else 4)
    assert all(gain(MNIST, tau, "hf", m)[0] > 0 for tau in (10, 4) for m in ("fedavg", "fo"))
    html = two_groups_drawing.figure_html()
    assert "MNIST, step 0.01, 10 local steps: FedAvg + update 88, FO 90, HF 92" in html
    assert f"<figcaption>{two_groups_drawing.CAPTION}".replace("'", "&#x27;") in html


def test_the_page_says_what_one_seed_of_cifar100_does() -> None:
    name, said = "two_groups_cifar100", sentences("CIFAR-100")
    ten = {m: float(after(name, 10, m).item()) for m in ("fedavg", "fo", "hf")}
    assert (
        "FedAvg + update reaches {:.1f} %, FO {:.1f} % and HF {:.1f} %".format(*ten.values())
        in said
    )
    assert f"at test time {after(name, 10, 'fedavg', 0.1).item():.1f} %" in said
    four = [after(name, 4, m).item() for m in HEADS]
    assert {f"{value:.1f}" for value in four} == {"3.4", "3.5"}
