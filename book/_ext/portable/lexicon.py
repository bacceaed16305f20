"""The book's words, symbols and names, read from the pages that explain them."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import NamedTuple

from portable import library

GLOSSARY, NOTATION, LIBRARY = "book/glossary", "book/notation", "book/library"
_SCOPE = re.compile(r"^\*Chapters? (\d+)(?: (?:to|and) (\d+))?\.\*$", re.M)
_NOUN = r"\b(?:an?|the|one|each|every|its|their|our|per)\s(?:(?:shared|common|good|better|best)\s)?"
_ALL = range(1, 100)

# Words that mean something else in other chapters; those that a text also uses as verbs.
ONLY: dict[str, Collection[int]] = {
    "Account": (8, 14, 15, 16), "Anchor": (7,), "Certificate (of a path)": (8, 9),
    "Closed mask": (13,), "Coupling": (2, 6), "Departure": (8, 9), "Entry": (11, 14),
    "First order (FO)": (3, 4, 15), "Knot": (8, 9, 10, 14), "Pool": (2, 6, 14), "Residual": (5,),
    "Rewinding": (13,), "Round": (*range(1, 8), 14, 15, 16), "Start": (*range(3, 8), 14),
    "Support": range(8, 17), "Total variation": (*range(1, 8), 16),
}  # fmt: skip
NOUNS = ("Account", "Anchor", "Departure", "Entry", "Pool", "Residual", "Round", "Start", "Support")
# Letters that a chapter uses for something else as well.
OTHERWISE = {5: ("a",), 6: (r"\rho",)}


class Row(NamedTuple):
    """A row of a notation table: its anchor, its symbols as TeX, its words, where it holds."""

    anchor: str
    symbols: tuple[str, ...]
    words: str
    chapters: range


class Term(NamedTuple):
    """An entry of the glossary; the first group of ``pattern`` is the word in a text."""

    head: str
    pattern: re.Pattern[str]
    chapters: Collection[int]


def normal(tex: str) -> str:
    r"""Write a formula in one way.

    >>> normal(r"w_{i} ^\ast"), normal(r"\mathrm{TV}"), normal(r"g_{\max}")
    ('w_i^\\ast', '\\mathrm{TV}', 'g_{\\max}')
    """
    tex = re.sub(r"(?<=[_^])\{(\w|\\(?!max|min)[a-zA-Z]+)\}", r"\1", tex.strip())
    return re.sub(r"\s+(?![a-zA-Z])|(?<![a-zA-Z])\s+", "", tex)


def bare(tex: str) -> str:
    r"""Leave out the argument of a function.

    >>> bare("f_i(w)"), bare(r"\mathrm{Dir}(\alpha)")
    ('f_i', '\\mathrm{Dir}')
    """
    return re.sub(r"\([^()]*\)$", "", tex)


def spoken(tex: str) -> str:
    r"""Say a symbol in words; a link that holds nothing but a formula needs a name.

    >>> spoken(r"\tilde w_i^{t}"), spoken(r"\mathrm{TV}"), spoken("D'")
    ('tilde w sub i sup t', 'TV', 'D prime')
    """
    tex = tex.replace("'", " prime").replace("_", " sub ").replace("^", " sup ")
    return " ".join(re.sub(r"\\mathrm|[\\{}]", " ", tex).split())


def symbols_in(cell: str) -> tuple[str, ...]:
    r"""List the symbols that the first cell of a row explains.

    >>> symbols_in(r"$f(w)=\sum_i p_i f_i(w)$, $D$")
    ('f(w)', 'D', 'f')
    >>> symbols_in(r"$\gamma,\Lambda$, $W_1(p,q)$")
    ('\\gamma', '\\Lambda', 'W_1(p,q)', 'W_1')
    >>> symbols_in(r"$w_{k,t}$")
    ('w_{k,t}',)
    """
    found = []
    for formula in re.findall(r"\$([^$]+)\$", cell):
        for part in re.split(r",(?![^(]*\)|[^{]*\})", formula):
            found.append(normal(re.split(r"=|\\in\b", part)[0]))
    return tuple(dict.fromkeys(tex for tex in [*found, *map(bare, found)] if tex))


def anchor_of(section: str, tex: str) -> str:
    r"""Name a row by its section and its first symbol.

    >>> anchor_of("Clients and data", r"\gamma_G^2(w)")
    'clients-and-data-gamma-g-2-w'
    """
    return re.sub(r"[^a-z0-9]+", "-", f"{section} {tex.replace(chr(39), ' prime')}".lower()).strip(
        "-"
    )


@cache
def rows(path: Path) -> tuple[Row, ...]:
    """Read the tables of the notation page in order; an italic line says where a section holds."""
    found: list[Row] = []
    seen: list[str] = []
    for section in re.split(r"^## ", _read(path), flags=re.M)[1:]:
        scope = _SCOPE.search(section)
        first = int(scope[1]) if scope else 1
        chapters = range(first, int(scope[2] or first) + 1) if scope else _ALL
        for line in re.findall(r"^\|(.*)\|$", section, flags=re.M)[2:]:
            cells = [cell.strip() for cell in line.split(" | ")]
            symbols = symbols_in(cells[0])
            anchor = anchor_of(section.splitlines()[0], (*symbols, cells[0])[0])
            seen.append(anchor)
            again = f"-{seen.count(anchor)}" if seen.count(anchor) > 1 else ""
            own = re.match(r"in Chapter (\d+):", cells[1])
            where = range(int(own[1]), int(own[1]) + 1) if own else chapters
            found.append(Row(anchor + again, symbols, cells[1], where))
    return tuple(found)


def symbols_of(path: Path, chapter: int) -> dict[str, str]:
    """Map each symbol of a chapter to the anchor of its row; the narrowest scope counts."""
    held = [row for row in rows(path) if chapter in row.chapters]
    held.sort(key=lambda row: len(row.chapters), reverse=True)  # a later one takes the place
    other = OTHERWISE.get(chapter, ())
    return {s: row.anchor for row in held for s in row.symbols if s not in other}


@cache
def terms(path: Path) -> tuple[Term, ...]:
    """Read the heads of the glossary, long ones first."""
    heads = re.findall(r"^(\S.*)\n  \S", _read(path), flags=re.M)
    made = [term(head, part) for head in heads for part in head.split(", ")]
    return tuple(sorted((t for t in made if t), key=lambda t: len(t.head), reverse=True))


def term(head: str, name: str) -> Term | None:
    """Make a term that finds ``name`` in a text, also in the plural.

    >>> term("Dead start", "Dead start").pattern.search("from dead\\nstarts")[1]
    'dead\\nstarts'
    >>> [bool(term("Start", "Start").pattern.search(t)) for t in ("We start", "a shared start")]
    [False, True]
    """
    name = re.sub(r" \(.*\)$", "", name)
    if not re.fullmatch(r"[\w\s+-]+", name):
        return None
    first, rest = name[0], name[1:]
    stem = re.escape(rest[:-1]) + r"(?:y|ies)" if rest.endswith("y") else re.escape(rest) + "s?"
    stem = re.sub(r"\\ |\\-", r"(?:\\s+|-)", stem)
    before = _NOUN if head in NOUNS else r"(?<![\w-])"
    pattern = rf"{before}([{first.upper()}{first.lower()}]{stem})(?![\w-])"
    return Term(head, re.compile(pattern), ONLY.get(head, _ALL))


@cache
def names() -> dict[str, str]:
    """Map every public name to where the page of the library explains it."""
    top = library.names("fedlearn_lib")
    found = {name: f"fedlearn_lib.{name}" for name in top}
    for package in library.packages():
        place = f"fedlearn_lib.{package}"
        found |= {name: f"{place}.{name}" for name in library.names(place) if name not in top}
    return found | {name: f"{at}.{name}" for at, some in library.SHELF.items() for name in some}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
