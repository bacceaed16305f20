"""The how-to pages keep their part of the contract, which notices when one does not."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
from contract import howto_complaints, source

from fedlearn_book.paper import Table, half_width

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
HOWTO = sorted(NOTEBOOKS.glob("howto_*.ipynb"))


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_there_are_three() -> None:
    assert [path.stem[:7] for path in HOWTO] == ["howto_1", "howto_2", "howto_3"]


@pytest.mark.parametrize("path", HOWTO, ids=lambda path: path.stem)
def test_a_page_keeps_its_part_of_the_contract(path: Path) -> None:
    assert howto_complaints(read(path)) == []


@pytest.mark.parametrize("path", HOWTO, ids=lambda path: path.stem)
def test_the_set_up_cell_is_that_of_the_chapters(path: Path) -> None:
    chapter = read(next(NOTEBOOKS.glob("01_*.ipynb")))
    assert source(read(path)["cells"][1]) == source(chapter["cells"][1])


@pytest.mark.parametrize("path", HOWTO, ids=lambda path: path.stem)
def test_links_of_the_head_name_this_file(path: Path) -> None:
    first = source(read(path)["cells"][0])
    assert len(re.findall(rf"/main/notebooks/{re.escape(path.name)}\)", first)) == 2


def shorten(notebook: dict) -> None:
    notebook["cells"].pop()


def strip(key: str):
    def change(notebook: dict) -> None:
        for cell in notebook["cells"]:
            for output in cell.get("outputs", []):
                output.get("data", {}).pop(key, None)

    return change


def silence(notebook: dict) -> None:
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = ""


def retitle(notebook: dict) -> None:
    notebook["cells"][0]["source"] = "# A page\n"


def talk(notebook: dict) -> None:
    notebook["cells"].insert(2, {"cell_type": "markdown", "metadata": {}, "source": "a " * 1500})


BREAKS = {
    "title": (retitle, "no title"),
    "colab": (retitle, r"lacks \[Open in Colab"),
    "goals": (retitle, "0 objectives"),
    "words": (talk, "at most 1,500"),
    "caption": (strip("text/html"), "no figure with a caption"),
    "table": (strip("text/markdown"), "no table on the page"),
    "latex": (silence, "no table for a paper"),
    "interval": (silence, "no difference with its interval"),
    "report": (shorten, "does not say what to report"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_contract_notices(name: str) -> None:
    change, words = BREAKS[name]
    notebook = copy.deepcopy(read(HOWTO[0]))
    change(notebook)
    assert any(re.search(words, line) for line in howto_complaints(notebook))


def test_the_corrected_interval_covers_where_the_usual_one_does_not() -> None:
    """Differences that share a part, as overlapping splits do: variance 1/J + q/(1 + q)-like.

    With a common part of variance q and own parts of variance 1 the mean has variance q + 1/J,
    and the sample variance estimates 1: the corrected interval is exact, the usual one too short.
    """
    rng, J, q = np.random.default_rng(0), 10, 1 / 3
    gaps = np.sqrt(q) * rng.normal(size=(2000, 1)) + rng.normal(size=(2000, J))
    covered = {
        overlap: np.mean([abs(row.mean()) <= half_width(row, overlap=overlap) for row in gaps])
        for overlap in (0.0, q)
    }
    assert abs(covered[q] - 0.95) < 0.02  # three standard errors are 0.015
    assert covered[0.0] < 0.75


@pytest.mark.parametrize("gaps", [[], [1.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_an_interval_needs_two_numbers(gaps: list) -> None:
    with pytest.raises(ValueError, match=r"gaps must be two or more finite .* pass one for each"):
        half_width(gaps)


@pytest.mark.parametrize("overlap", [-0.1, np.inf, np.nan])
def test_an_overlap_is_a_share(overlap: float) -> None:
    with pytest.raises(ValueError, match="overlap must be a finite number of at least 0"):
        half_width([1.0, 2.0], overlap=overlap)


def test_a_table_escapes_what_latex_would_obey() -> None:
    written = Table(["a_b (%)", "gap"], [["R&D", "-1.0 ± 2.0"], ["C#", "+3"]]).latex()
    assert r"a\_b (\%) & gap \\" in written
    assert r"R\&D & $-1.0 \pm 2.0$ \\" in written
    assert r"C\# & $+3$ \\" in written
