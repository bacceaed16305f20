"""Each check of an inequality shows how sharp it is, or the chapter says why it cannot be."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sharpness import complaints, results

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("0[1-7]_*.ipynb"))

# Results with a ≤ whose checks measure nothing against a bound, and why.
UNMEASURED = {
    "Proposition 1.5": "an equality; its rate is measured by the check of Lemma 1.4",
    "Proposition 1.7": "an expansion, whose error is printed; the bound is Cauchy and Schwarz's",
    "Proposition 1.9": "equalities; the ≥ is a hypothesis",
    "Proposition 2.6": "an equality; the ≤ sorts the samples",
    "Proposition 2.7": "an equality; both sides of the inequality stand in the check",
    "Proposition 3.3": "equalities; the ≤ is when a quadratic is convex",
    "Proposition 3.5": "an equality; the multiples of the work are printed, C has no value",
    "Proposition 3.8": "the formula is checked exactly; its two bounds are those of Lemma 5.4",
    "Proposition 4.4": "an equality; rate and measured rate stand in the check",
    "Corollary 4.5": "equalities; the ≤ is a hypothesis",
    "Lemma 5.7": "an equality; the ≥ is a hypothesis",
    "Proposition 5.10": "an equality; what follows for small steps is printed as multiples",
    "Lemma 7.2": "equalities; the ≥ is a hypothesis",
}
# Results whose checks stay below a third of the bound, and the chapter's sentence on why.
LOOSE = {
    "Proposition 1.8": "A hill makes it tight",
    "Theorem 6.12": "parabolas cannot come much closer: their level is about",
}


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def of(path: Path, reasons: dict[str, str]) -> dict[str, str]:
    """The reasons that concern a chapter."""
    chapter = int(path.name[:2])
    return {
        name: why for name, why in reasons.items() if int(name.split()[1].split(".")[0]) == chapter
    }


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_checks_of_inequalities_are_sharp_somewhere(path: Path) -> None:
    assert complaints(read(path), of(path, UNMEASURED), of(path, LOOSE)) == []


def test_every_excuse_is_of_a_result_that_exists() -> None:
    known = {name for path in CHAPTERS for name in results(read(path))}
    assert set(UNMEASURED) | set(LOOSE) <= known


def chapter(printed: str, statement: str = "Then $a\\le b$.") -> dict[str, Any]:
    """A chapter with one result, its check, and what the check printed."""
    text = f"> **Lemma 9.1 (A bound).** {statement}\n\nNo closer case exists."
    check = {"cell_type": "code", "source": "# Check of Lemma 9.1: it\n",
             "outputs": [{"text": printed}]}  # fmt: skip
    return {"cells": [{"cell_type": "markdown", "source": text}, check]}


def doubled(notebook: dict[str, Any]) -> dict[str, Any]:
    """The same with a second check of the same result, which is sharp."""
    more = copy.deepcopy(notebook["cells"][1])
    more["outputs"] = [{"text": "sharp: measured 1.0, bound 1.0\n"}]
    return {"cells": [*notebook["cells"], more]}


GOOD = "measured 0.2, bound 0.4"
CASES: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str], str]] = {
    "good": (chapter(GOOD), {}, {}, ""),
    "loose": (chapter("measured 0.1, bound 0.4"), {}, {}, "never above 0.25"),
    "loose twice": (chapter("x 0.01, bound 1\nx 0.02, bound 1"), {}, {}, "never above 0.02"),
    "second is sharp": (doubled(chapter("measured 0.1, bound 0.4")), {}, {}, ""),
    "violated": (chapter("measured 5e-01, bound 4e-01"), {}, {}, "is violated"),
    "smallest bound": (chapter("error 0.2, bound 1: 0.9, bound 2: 0.4"), {}, {}, ""),
    "no pair": (chapter("holds: True"), {}, {}, "no check prints"),
    "at most": (chapter("holds: True", "It is at most 3."), {}, {}, "no check prints"),
    "an equality": (chapter("holds: True", "Then $a=b$."), {}, {}, ""),
    "excused": (chapter("holds: True"), {"Lemma 9.1": "a hypothesis"}, {}, ""),
    "needless": (chapter(GOOD), {"Lemma 9.1": "a hypothesis"}, {}, "drop its excuse"),
    "said": (chapter("0.1, bound 1"), {}, {"Lemma 9.1": "No closer case exists"}, ""),
    "unsaid": (chapter("0.1, bound 1"), {}, {"Lemma 9.1": "It cannot"}, "does not say"),
    "no longer": (chapter(GOOD), {}, {"Lemma 9.1": "No closer"}, "no longer loose"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_reader_of_checks(name: str) -> None:
    notebook, unmeasured, loose, words = CASES[name]
    found = complaints(notebook, unmeasured, loose)
    assert bool(found) == bool(words)
    assert all(words in line for line in found), found


def blunted(change: Callable[[str], str]) -> list[str]:
    """Complaints about chapter 5 after a change of what its checks printed."""
    path = CHAPTERS[4]
    notebook = read(path)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = change("".join(output["text"]))
    return complaints(notebook, of(path, UNMEASURED), of(path, LOOSE))


def test_a_chapter_that_lost_its_sharp_cases_is_found_out() -> None:
    assert blunted(lambda text: text) == []
    assert any(
        "Theorem 5.9" in line for line in blunted(lambda text: text.replace("0.04571", "0.01"))
    )
    assert (
        len(blunted(lambda text: text.replace("measured", "found").replace("bound", "limit"))) > 8
    )
