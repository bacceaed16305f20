"""Which words and letters the build links, read from the pages that explain them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from portable import lexicon, links  # noqa: E402

GLOSSARY, NOTATION = ROOT / "book" / "glossary.md", ROOT / "book" / "notation.md"


def found(text: str, chapter: int) -> list[str]:
    """The heads of the terms in a text of a chapter."""
    held = [term for term in lexicon.terms(GLOSSARY) if chapter in term.chapters]
    return [head for _, _, head in links.matches(text, held)]


@pytest.mark.parametrize(
    ("text", "chapter", "heads"),
    [
        ("Client drift of two clients", 1, ["Client drift", "Client"]),
        ("the fixed-point test at a fixed point", 4, ["Fixed-point test", "Fixed point"]),
        ("Lyapunov\nfunctions and a deaf unit", 12, ["Lyapunov function", "Deaf unit, mute unit"]),
        ("FedAvg + update beats FedAvg", 4, ["FedAvg + update", "FedAvg"]),
        ("it starts at zero, we round and they support it", 5, []),
        ("a shared start, in each round", 5, ["Start", "Round"]),
        ("an entry of the matrix", 12, []),
        ("an entry", 11, ["Entry"]),
        ("to first order in the step", 7, []),
        ("clientele, subclient", 1, []),
        ("each household keeps an account", 14, ["Account"]),
        ("Rényi's account, and a longer account", 15, []),
        ("a knot, the pool and a start, in one round", 14, ["Knot", "Pool", "Start", "Round"]),
        (
            "with first order, on a support, in a round",
            15,
            ["First order (FO)", "Support", "Round"],
        ),
        (
            "the accounts, by total variation, of one round",
            16,
            ["Account", "Total variation", "Round"],
        ),
        ("a certificate and its start", 16, []),
    ],
)
def test_a_term_is_found_as_a_noun_and_where_it_means_what_the_glossary_says(
    text: str, chapter: int, heads: list[str]
) -> None:
    assert found(text, chapter) == heads


def test_every_head_of_the_glossary_can_be_found_but_the_one_that_is_a_formula() -> None:
    heads = {term.head for term in lexicon.terms(GLOSSARY)}
    entries = GLOSSARY.read_text(encoding="utf-8").split("```{glossary}\n")[1].split("\n\n")
    assert {entry.split("\n")[0] for entry in entries} - heads == {"IRR(ν)"}


def test_every_section_of_the_notation_says_where_it_holds() -> None:
    rows = lexicon.rows(NOTATION)
    assert len({row.anchor for row in rows}) == len(rows) > 80
    assert all(len(row.chapters) <= 7 for row in rows)
    assert all(row.symbols for row in rows)


def test_no_exception_is_left_over() -> None:
    """Each names an entry, or a letter that the chapter would link without it."""
    heads = {term.head for term in lexicon.terms(GLOSSARY)}
    assert lexicon.ONLY.keys() <= heads
    assert set(lexicon.NOUNS) <= heads
    for chapter, letters in lexicon.OTHERWISE.items():
        held = {s for row in lexicon.rows(NOTATION) if chapter in row.chapters for s in row.symbols}
        assert set(letters) <= held
        assert not set(letters) & lexicon.symbols_of(NOTATION, chapter).keys()
