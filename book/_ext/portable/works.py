"""The works that the book cites: references.bib read, searched by link, held against citations."""

from __future__ import annotations

import codecs
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import latexcodec  # noqa: F401  registers "ulatex"
from pybtex.database import Entry, parse_file, parse_string

_HOSTS = re.compile(
    r"(^|\.)(arxiv\.org|doi\.org|mlr\.press|jmlr\.org|neurips\.cc|nips\.cc|openreview\.net|"
    r"projecteuclid\.org|springer\.com|acm\.org|siam\.org|sciencedirect\.com|ieee\.org|"
    r"aclanthology\.org|wiley\.com|nowpublishers\.com|aps\.org|cambridge\.org)$"
)
_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5}|[a-z-]+/\d{7})", re.I)
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_BARE_NAME = re.compile(r"[^\W\d_][\w'’-]+")


class Work(NamedTuple):
    """One entry of the bibliography."""

    key: str
    authors: tuple[str, ...]
    year: str
    title: str
    venue: str
    eprint: str
    doi: str
    url: str
    remark: str = ""  # where it was published later, and under which title
    unverified: str = ""  # the fields that no source confirmed

    @property
    def link(self) -> str:
        """Where to read it: the address given, or arXiv, or the publisher; empty where nowhere."""
        arxiv = f"https://arxiv.org/abs/{self.eprint}" if self.eprint else ""
        return self.url or arxiv or (f"https://doi.org/{self.doi}" if self.doi else "")

    @property
    def short(self) -> str:
        """Authors and year as a text would cite them.

        >>> Work("k", ("Fu", "Liu", "Li"), "2020", "", "", "", "", "").short
        'Fu et al. (2020)'
        """
        names = self.authors
        who = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
        return f"{who} ({self.year})"


def is_scholarly(url: str) -> bool:
    """Say whether a link leads to a paper and so must be in the bibliography.

    >>> is_scholarly("https://arxiv.org/abs/2002.07948"), is_scholarly("https://pytorch.org")
    (True, False)
    """
    return bool(_HOSTS.search(urlsplit(url).netloc.lower()))


def plain(text: str) -> str:
    r"""Turn BibTeX's accents into letters, and drop its braces and escapes.

    >>> plain(r"{\c S}im{\c s}ekli~\& Co, 1--2")
    'Şimşekli & Co, 1–2'
    """
    text = text.replace("~", " ").replace("--", "–")
    letters = codecs.decode(text, "ulatex")  # type: ignore[call-overload]
    return re.sub(r"[{}]", "", letters)


def work_of(key: str, entry: Entry) -> Work:
    """Read one entry."""
    field = {name.lower(): plain(value) for name, value in entry.fields.items()}
    people = entry.persons.get("author", [])
    named = [p for p in people if str(p) != "others"]
    authors = tuple(plain(" ".join(p.prelast_names + p.last_names)) for p in named)
    authors += ("others",) if len(named) < len(people) else ()
    venue = field.get("booktitle") or field.get("journal") or field.get("publisher") or "arXiv"
    detail = {"volume": " {}", "number": "({})", "pages": ", {}"}
    venue += "".join(form.format(field[name]) for name, form in detail.items() if name in field)
    return Work(key, authors, field["year"], field["title"], venue, field.get("eprint", ""),
                field.get("doi", ""), field.get("url", ""), field.get("remark", ""),
                field.get("unverified", ""))  # fmt: skip


def unmarked(bibliography: str) -> list[str]:
    """Say what is wrong with the marks of the entries of a .bib text: `verified`, `unverified`.

    >>> unmarked("@misc{a, title = {T}} @misc{b, title = {T}, verified = {2026-11}}")
    ['a: verified = {year-month}, or unverified = {the fields that no source confirmed}']
    >>> unmarked("@misc{c, title = {T}, unverified = {pages}}")
    ['c: unverified names pages, which it does not have']
    """
    found = []
    for key, entry in parse_string(bibliography, "bibtex").entries.items():
        month, doubted = entry.fields.get("verified"), entry.fields.get("unverified")
        if (month is None) == (doubted is None) or not re.fullmatch(
            r"20\d\d-(0[1-9]|1[0-2])", month or "2026-11"
        ):
            found.append(
                f"{key}: verified = {{year-month}}, or "
                "unverified = {the fields that no source confirmed}"
            )
        names = re.split(r",\s*", doubted) if doubted is not None else []
        missing = [name for name in names if name not in entry.fields and name != "author"]
        if missing:
            found.append(f"{key}: unverified names {', '.join(missing)}, which it does not have")
    return found


@cache
def read_works(path: Path) -> list[Work]:
    """Read a .bib file, sorted by authors and year."""
    entries = parse_file(str(path)).entries
    works = [work_of(key, entry) for key, entry in entries.items()]
    return sorted(works, key=lambda work: ([name.lower() for name in work.authors], work.year))


def find(works: list[Work], url: str) -> Work | None:
    """Find the work that a link leads to: by arXiv number, DOI or address."""
    arxiv = _ARXIV.search(url)
    bare = url.rstrip("/").removesuffix(".pdf").lower()
    for work in works:
        same_eprint = arxiv and work.eprint and arxiv.group(1) == work.eprint
        same_doi = work.doi and bare.endswith(f"doi.org/{work.doi.lower()}")
        same_url = work.url and work.url.rstrip("/").removesuffix(".pdf").lower() == bare
        if same_eprint or same_doi or same_url:
            return work
    return None


def disagreement(work: Work, text: str) -> str | None:
    """Say how the words of a citation contradict the entry, or return None.

    >>> work = Work("k", ("Fu", "Liu", "Li"), "2020", "", "", "", "", "")
    >>> disagreement(work, "Fu et al. (2020)"), disagreement(work, "the paper")
    (None, None)
    >>> disagreement(work, "Fu et al. (2019)")
    'the year is 2020'
    """
    years = _YEAR.findall(text)
    if years and work.year not in years:
        return f"the year is {work.year}"
    names_nobody = not re.search(r"[^\W\d_]", text)
    if names_nobody or (not years and "et al." not in text):
        return None
    if not work.authors or work.authors[0].split()[-1].lower() not in text.lower():
        return f"the first author is {work.authors[0] if work.authors else 'missing'}"
    if "et al." in text and len(work.authors) < 3:
        return f"it has only {len(work.authors)} author(s), so no 'et al.'"
    names = re.match(r"^(.*?)\(?\b(?:19|20)\d\d", text)
    said = re.split(r",\s*(?:and\s+)?|\s+and\s+|\s*&\s*", names.group(1)) if names else []
    said = [name for name in (s.strip(" (.") for s in said) if name and "et al" not in name]
    wrong = [n for n in said if len(said) > 1 and not _is_author(n, work.authors)]
    return f"{wrong[0]} is not among the authors" if wrong else None


def _is_author(said: str, authors: tuple[str, ...]) -> bool:
    words = {word.lower() for author in authors for word in _BARE_NAME.findall(author)}
    return all(word.lower() in words for word in _BARE_NAME.findall(said))
