"""What the editions of the chapters share: reading one, telling its exercises apart, writing it.

python -m tools.editions student    # into _build/student
python -m tools.editions teacher    # into _build/teacher
"""

from __future__ import annotations

import argparse
import copy
import json
import re
from collections.abc import Callable
from pathlib import Path

from tools import teacher
from tools.cells import Cell, Notebook, read, source, tags
from tools.repository import ROOT, replace

BUILD = ROOT / "_build"
SOLUTION = re.compile(r"<details><summary>Solution</summary>.*?</details>\n*", re.S)
HEADING = re.compile(r"^#{2,} ", re.M)
LINKS = re.compile(r"^\[Open in Colab\]\([^\n]*\n", re.M)  # they open the chapter with solutions
STUDENT = (
    "*Student edition: the exercises come without their solutions. The checkers say whether an "
    "attempt is right, and which thought leads to a mistake.*\n"
)


def chapters() -> list[Path]:
    """Return the paths of the chapters, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def student(notebook: Notebook) -> Notebook:
    """Return a chapter without its solutions; stubs, hints, checks and quiz stay.

    Taken out are the cells tagged ``solution``, the folds called Solution, and the words between
    a solution and the next heading, which discuss it. The cells that check a numbered result stay
    as they are: they are evidence, not exercises, and later cells use what they define. What the
    exercises print is taken out, too.
    """
    kept: list[Cell] = []
    solved = within = False  # after a solution, before the next heading; among the exercises
    for cell in copy.deepcopy(notebook["cells"]):
        if "solution" in tags(cell):
            solved = True
            continue
        if cell["cell_type"] == "markdown":
            text, solved = _without_solutions(source(cell), solved)
            for section in re.findall(r"^## ([^\n]*)", text, re.M):
                within = section == "Exercises"
            if not text.strip():
                continue
            cell["source"] = text
        elif solved:
            continue
        elif within:
            cell.update(outputs=[], execution_count=None)
        kept.append(cell)
    kept[0]["source"] = LINKS.sub(STUDENT, source(kept[0]), count=1)
    return {**notebook, "cells": kept}


def _without_solutions(text: str, solved: bool) -> tuple[str, bool]:
    """Return the text without solutions, and whether it ends behind one."""
    pieces = HEADING.split(text)
    marks = ["", *HEADING.findall(text)]
    left = []
    for number, (mark, piece) in enumerate(zip(marks, pieces, strict=True)):
        solved = solved and number == 0  # a heading ends what discusses a solution
        before = "" if solved else piece
        found = SOLUTION.search(before)
        if found:
            before, solved = before[: found.start()], True
        left.append(mark + before)
    return "".join(left).strip("\n"), solved


EDITIONS: dict[str, Callable[[Notebook], Notebook]] = {
    "student": student,
    "teacher": teacher.teacher,
}


def dumps(notebook: Notebook) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def write(edition: str, folder: Path) -> list[Path]:
    """Write an edition of all chapters into a folder and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in chapters():
        replace(folder / path.name, dumps(EDITIONS[edition](read(path))))
        written.append(folder / path.name)
    return written


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("edition", choices=sorted(EDITIONS))
    edition: str = parser.parse_args(arguments).edition
    folder = BUILD / edition
    written = write(edition, folder)
    print(f"{len(written)} notebooks of the {edition}'s edition are in {folder}")


if __name__ == "__main__":
    main()
