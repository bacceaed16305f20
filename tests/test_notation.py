"""The chapters write what the notation page lists, and the page lists what they write."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from portable import lexicon  # noqa: E402

NOTATION = ROOT / "book" / "notation.md"
CHAPTERS = {
    int(path.name[:2]): path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
}
GREEK = re.compile(
    r"\\(alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|vartheta|iota|kappa|lambda|mu|nu"
    r"|xi|pi|rho|sigma|tau|phi|varphi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi"
    r"|Omega|ell)(?![a-zA-Z])"
)
FIXED = set("EIOde")  # expectation, identity, Landau's order, differentials, Euler's number
RUNNING = set("ijklst")  # what counts in a sum
TWO_FORMS = ((r"\epsilon", r"\varepsilon"), (r"\phi", r"\varphi"), (r"\theta", r"\vartheta"))
# Chapter 5: a path, and an example's function; chapter 12: an exponent, and an angle.
BOTH = {5: r"\phi", 12: r"\theta"}


@cache
def formulas(chapter: int) -> tuple[list[str], list[str]]:
    """The displayed and the other formulas of a chapter, without what is folded."""
    cells = json.loads(CHAPTERS[chapter].read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    text = re.sub(r"<details>.*?</details>", " ", text.replace("\n>", "\n"), flags=re.S)
    shown = re.findall(r"\$\$(.+?)\$\$", text, re.S)
    return shown, re.findall(r"\$([^$]+)\$", re.sub(r"\$\$.+?\$\$", " ", text, flags=re.S))


def letters(tex: str) -> set[str]:
    r"""The letters of a formula, without words, operators and blackboard letters."""
    tex = re.sub(r"\\(text|operatorname|mathrm|mathbb|begin|end|tag)\*?\{[^}]*\}", " ", tex)
    tex = re.sub(r"\\mathbb [A-Z]", " ", tex)
    greek = {f"\\{name}" for name in GREEK.findall(tex)}
    plain = re.sub(r"\\[a-zA-Z]+|TV|FO|HF|IRR|Lip", " ", tex)
    return greek | set(re.findall(r"[a-zA-Z]", plain))


def listed(chapter: int) -> set[str]:
    """The letters of all symbols that the page explains for a chapter."""
    return set().union(*map(letters, lexicon.symbols_of(NOTATION, chapter)))


def unknown(chapter: int) -> set[str]:
    """Letters of displayed formulas that the page does not explain for the chapter."""
    shown, _ = formulas(chapter)
    return set().union(*map(letters, shown)) - listed(chapter) - FIXED - RUNNING


def test_letters_are_read_from_tex() -> None:
    assert letters(r"\frac{\eta\tau}2A_i^{t+1}\text{of } TV(\mu_i)\in\mathbb R") == {
        r"\eta", r"\tau", r"\mu", "A", "i", "t",
    }  # fmt: skip


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_letter_of_a_displayed_formula_is_explained(chapter: int) -> None:
    assert not unknown(chapter), "add a row to book/notation.md"


@pytest.mark.parametrize("row", lexicon.rows(NOTATION), ids=lambda row: row.anchor)
def test_a_row_of_the_page_is_written_as_one_of_its_chapters_writes_it(row: lexicon.Row) -> None:
    pairs = [formulas(chapter) for chapter in row.chapters if chapter in CHAPTERS]
    text = " ; ".join(lexicon.normal(tex) for pair in pairs for part in pair for tex in part)
    assert any(lexicon.normal(symbol) in text for symbol in row.symbols)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_chapter_uses_two_forms_of_one_letter(chapter: int) -> None:
    shown, spoken = formulas(chapter)
    used = set().union(*map(letters, shown + spoken))
    for pair in TWO_FORMS:
        assert pair[0] == BOTH.get(chapter) or not set(pair) <= used, f"two forms: {pair}"
