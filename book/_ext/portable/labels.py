"""Labels such as "Theorem 5.2": what counts as one, and the anchors made from them."""

from __future__ import annotations

import re

KINDS = ("Definition", "Lemma", "Proposition", "Theorem", "Corollary", "Algorithm")
UNPROVED = ("Definition", "Algorithm")

_PLURALS = {f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s": kind for kind in KINDS}
_PLURALS["Lemmata"] = "Lemma"
_PLURALS["Exercises"] = "Exercise"
_WORDS = "|".join(sorted([*KINDS, "Exercise", *_PLURALS], key=len, reverse=True))
_NUMBER = r"\d+\.\d+(?![\d.]*\d)"

BOX_TITLE = re.compile(rf"^({'|'.join(KINDS)}) (\d+)\.(\d+)(?: \((.+)\))?\.$")
LOOKS_LIKE_BOX = re.compile(rf"^({'|'.join(KINDS)})\s+\d")
EXERCISE_TITLE = re.compile(r"^Exercise (\d+)\.(\d+) \((think|derive|code)\)\. \S")
MENTION = re.compile(
    rf"\b({_WORDS})[ \u00a0\n]({_NUMBER}(?:(?:, and |, | and | or | to |–){_NUMBER})*)"
)
NUMBER = re.compile(_NUMBER)
CHAPTER = re.compile(r"(?:^|/)notebooks/(\d\d)_")


def slug(text: str) -> str:
    """Turn a label or a summary into an id.

    >>> slug("Proof of Theorem 5.2")
    'proof-of-theorem-5-2'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def chapter_of(docname: str) -> int | None:
    """Return the chapter's number of a page, or None for a page that is no chapter.

    >>> chapter_of("notebooks/05_convergence"), chapter_of("book/intro")
    (5, None)
    """
    match = CHAPTER.search(docname)
    return int(match.group(1)) if match else None


def mentions(text: str) -> list[tuple[int, int, str]]:
    """Find the mentions of results and exercises in a text: (start, end, label) of each.

    >>> mentions("By Lemma 1.2 and Theorems 1.3 and 1.4, but not Lemma 2")
    [(3, 12, 'Lemma 1.2'), (17, 29, 'Theorem 1.3'), (34, 37, 'Theorem 1.4')]
    """
    found = []
    for match in MENTION.finditer(text):
        kind = _PLURALS.get(match.group(1), match.group(1))
        for number in NUMBER.finditer(text, match.start(2), match.end(2)):
            first = number.start() == match.start(2)
            start = match.start() if first else number.start()
            found.append((start, number.end(), f"{kind} {number.group()}"))
    return found
