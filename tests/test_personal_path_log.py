"""The page's tables of the path of personalization are those of the result files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fedlearn_book.reproductions import personal_path_log as log
from fedlearn_book.reproductions import read, table
from fedlearn_book.reproductions.personal_path_log import Table, results

PAGE = (Path(__file__).parents[1] / "book/reproductions.md").read_text(encoding="utf-8")
TABLES: dict[str, Callable[[], Table]] = {
    'linear_clients("few")': lambda: log.linear_clients("few"),
    'linear_clients("dense")': lambda: log.linear_clients("dense"),
    "hospitals()": log.hospitals,
    "first_at_the_hospitals()": log.first_at_the_hospitals,
    'networks("swaps", ["swaps"], "path, last rows")': lambda: log.networks(
        "swaps", ["swaps"], "path, last rows"
    ),
    "found_rows()": log.found_rows,
    "wrong_linear()": log.wrong_linear,
    "wrong_networks()": log.wrong_networks,
    'networks("images", […], "FedAvg + ft")': lambda: log.networks(
        "images", ["two groups", "dirichlet 0.3"], "FedAvg + ft"
    ),
    "first_leaves()": log.first_leaves,
    "writers()": log.writers,
    "few()": log.few,
    "drawers()": log.drawers,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_prints_the_tables(name: str) -> None:
    assert table(TABLES[name]()) in PAGE, f"print table(personal_path_log.{name}) into the page"


def test_a_difference_is_taken_within_a_seed() -> None:
    """By hand, from the file: path against Ditto, known clients that differ in two numbers."""
    cells = [c["result"] for c in read("personal_path_linear")["cells"]
             if c["setting"]["world"] == "few"]  # fmt: skip
    gaps = [c["known"]["Ditto"]["excess"] - c["known"]["path"]["excess"] for c in cells]
    row = next(row for row in log.linear_clients("few")["rows"] if row[0] == "Ditto")
    assert row[2].startswith(f"{sum(gaps) / len(gaps):+.2f} ± ")
    late = [c["new"]["Ditto"][2] for c in cells]
    assert row[-1].startswith(f"{sum(late) / len(late):.2f} ± ")


def test_the_hospitals_losses_are_positive_and_against_the_right_method() -> None:
    own = [one["scores"] for one in results("hospitals", "hospitals")]
    rows = {row[0]: row for row in log.hospitals()["rows"]}
    gap = sum(b["FedAvg + ft"]["log likelihood"] - b["local"]["log likelihood"] for b in own)
    assert rows["local"][2].startswith(f"{gap / len(own):+.3f} ± ")
    assert rows["FedAvg + ft"][2] == rows["own intercepts"][3] == ""
    assert all(0 < float(row[1].split()[0]) < 0.6931 for row in rows.values())


def test_no_run_died() -> None:
    """The page says so."""
    for name in ("hospitals", "swaps", "corrupted", "images"):
        for cell in read(f"personal_path_{name}")["cells"]:
            chosen = cell["result"]["scores"].values()
            assert not any(one["died"] for one in chosen)
            assert cell["result"]["died at the start"] == 0
