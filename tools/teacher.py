"""The teacher's edition of a chapter: solutions open, and notes where they are needed.

The notes come from the page for teachers (plans, what students believe), from the chapter itself
(length, kinds of exercises) and from the checkers (the mistakes that they know).
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from functools import cache
from typing import NamedTuple

import yaml

from fedlearn_book.exercises import EXERCISES
from tools.cells import Cell, Notebook, markdown, source, tags
from tools.repository import ROOT

TEACHING = ROOT / "book" / "teaching"
SPEED = 100  # words a minute, with the time that a formula takes: the rule of the syllabi
PARTS = {"I": 1, "II": 3, "III": 8, "IV": 14}  # where each part begins
NOTE = "> **For the teacher.** "


class Belief(NamedTuple):
    """What students believe, how to meet it, and where: a chapter, and a section or nothing."""

    words: str
    chapter: int
    section: str


def teacher(notebook: Notebook) -> Notebook:
    """Return a chapter with its solutions open and with notes for the teacher."""
    number = chapter_of(notebook)
    beliefs = [belief for belief in believed() if belief.chapter == number]
    kept: list[Cell] = []
    for position, cell in enumerate(copy.deepcopy(notebook["cells"])):
        kept.append(cell)
        text = source(cell)
        notes = []
        if position == 0:
            notes = [*overview(notebook), *(b.words for b in beliefs if not b.section)]
        elif "solution" in tags(cell):
            cell["metadata"] = {"tags": ["solution"]}  # neither folded nor hidden
            notes = known_mistakes(text)
        elif cell["cell_type"] == "markdown":
            cell["source"] = text.replace(
                "<details><summary>Solution", "<details open><summary>Solution"
            )
            sections = re.findall(r"^## ([^\n]*)", text, re.M)
            notes = [b.words for b in beliefs if b.section in sections]
        if notes:
            quoted = NOTE + "\n>\n> ".join(notes)
            kept.append(markdown(f"teacher-{number:02d}-{len(kept)}", quoted, "teacher"))
    return {**notebook, "cells": kept}


def chapter_of(notebook: Notebook) -> int:
    """Return the number of a chapter, which its links name."""
    found = re.search(r"/notebooks/(\d\d)_", source(notebook["cells"][0]))
    if not found:
        raise ValueError("the first cell must link to the chapter's file, notebooks/NN_name.ipynb")
    return int(found[1])


def overview(notebook: Notebook) -> list[str]:
    """Return how long a chapter is, section by section, and the lectures that are planned."""
    head = source(notebook["cells"][0])
    stated = re.findall(r"\*\*Time:\*\* ([^*]*?)\.? \*\*", head)
    stated += re.findall(r"core, (about \d+ minutes[^;.\n]*)", head)
    kinds = Counter(re.findall(r"^### Exercise \d+\.\d+ \((\w+)\)", prose(notebook), re.M))
    minutes = reading_minutes(notebook)
    depth = re.findall(r"○ ([^·\n]+?)(?: ·|$)", head.partition("**The map.**")[2], re.M)
    marks = {name: "○ " * (name in depth) for name in minutes}
    listed = " · ".join(f"{marks[name]}{name} {count}" for name, count in minutes.items())
    core = sum(count for name, count in minutes.items() if name not in depth)
    return [
        f"This edition has all solutions open. Stated on top: {'; '.join(stated)}.",
        f"Minutes of reading by the rule of the syllabi, {SPEED} words a minute without folds and "
        f"code (○ is depth): {listed}. Together {sum(minutes.values())}, the core {core}.",
        "Exercises: " + ", ".join(f"{n} *{kind}*" for kind, n in sorted(kinds.items())) + ".",
        *planned(chapter_of(notebook)),
    ]


def prose(notebook: Notebook) -> str:
    return "\n\n".join(source(c) for c in notebook["cells"] if c["cell_type"] == "markdown")


def reading_minutes(notebook: Notebook) -> dict[str, int]:
    """Return the minutes for each section up to the exercises, at least one."""
    text = re.sub(r"<details>.*?</details>", "", prose(notebook), flags=re.S)
    found = {}
    for name, body in re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", text, re.M | re.S):
        if name == "Exercises":
            break
        found[name] = max(1, round(len(body.split()) / SPEED))
    return found


def planned(chapter: int) -> list[str]:
    """Return the rows of the plans on the page for teachers that are about one chapter.

    >>> planned(4)[0][:40]
    '*Lecture 1:* Three programs. Algorithm 4'
    """
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", page(), re.M):
        head, _, *rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
        ]
        for row in rows:
            if re.search(rf"\bchapter {chapter}\b", " ".join(row[:2])):
                named = zip(head, row, strict=True)
                words = [f"*{name}:* {cell}." for name, cell in named if name != "Week" and cell]
                found.append(" ".join(words))
    return found


def known_mistakes(solution: str) -> list[str]:
    """Return what the checker of a code exercise answers to the mistakes that it knows."""
    name = re.search(r'^check\("([^"]+)"', solution, re.M)
    if not name:
        return []
    explained = [f"- {words}" for words, _ in EXERCISES[name[1]].mistakes]
    lead = "Mistakes that the checker knows, with its answers; each is a question for the room."
    return [lead, "\n> ".join(explained)]


@cache
def page() -> str:
    return (TEACHING / "index.md").read_text(encoding="utf-8")


@cache
def believed() -> list[Belief]:
    """Return what students believe, from the page for teachers, with its places.

    A belief without a place in beliefs.yml is put in front of the first chapter of its part.

    >>> believed()[0].chapter, believed()[0].section
    (1, 'One local step is gradient descent')
    """
    listed = yaml.safe_load((TEACHING / "beliefs.yml").read_text(encoding="utf-8"))
    places = {
        belief: (chapter, section)
        for chapter, sections in listed.items()
        for section, beliefs in sections.items()
        for belief in beliefs
    }
    found = []
    for part, text in re.findall(
        r"^## What students believe, Part (\w+)\n(.*?)(?=^## |\Z)", page(), re.M | re.S
    ):
        for words, belief in re.findall(r"^- (\*\*[\"“](.*?)[\"”]\*\*.*)$", text, re.M):
            chapter, section = places.get(belief, (PARTS[part], ""))
            found.append(Belief(f"Students believe: {words}", chapter, section))
    return found
