"""Assignments in nbgrader's format, from their plain sources (`make assignments`).

A source in book/teaching/assignments is a Python file in cells, as editors know them:

    # %% [markdown]                        words, as comments
    # %% setup                             the chapters' set-up cell is put here
    # %% answer=rest                       a function to write, with BEGIN SOLUTION and END SOLUTION
    # %% tests=rest points=3               marks; between BEGIN HIDDEN TESTS and END HIDDEN TESTS
                                           stands what students do not see; the last line asserts,
                                           for a value there would be taken for a part of the marks
    # %% [markdown] answer=why points=4    an answer in words, marked by a person; the cell holds
                                           a model answer

The course that is written into _build/assignments is nbgrader's: source/ for the teacher, release/
for the students.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.cells import Cell, Notebook, read, source
from tools.editions import dumps
from tools.repository import ROOT, replace

SOURCES = ROOT / "book" / "teaching" / "assignments"
COURSE = ROOT / "_build" / "assignments"
CONFIG = """\
# What nbgrader asks in this folder; `nbgrader --help-all` lists the rest.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "personal-and-parsimonious"
c.ExecutePreprocessor.timeout = 120  # seconds a cell, then it counts as failed
c.ExecutePreprocessor.interrupt_on_timeout = True
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError()  # your code here"}
c.ClearSolutions.text_stub = "*Your answer.*"
"""
NAMES = ("averaging", "per_fedavg", "exact_path", "split_lbi")  # in the order of the book
HIDDEN = "### BEGIN HIDDEN TESTS"
LATER = "# More tests are added here when your work is marked."
HEAD = re.compile(r"^# %%(.*)\n", re.M)


def source_text(name: str) -> str:
    return (SOURCES / f"{name}.py").read_text(encoding="utf-8")


def cells(text: str) -> list[tuple[dict[str, str], str]]:
    """Return the head of each cell as a dictionary, and its body.

    >>> cells("# %% [markdown]\\n# # A title\\n# %% answer=f\\ndef f(): ...\\n")
    [({'markdown': ''}, '# A title'), ({'answer': 'f'}, 'def f(): ...')]
    """
    pieces = HEAD.split(text)[1:]
    found = []
    for head, body in zip(pieces[::2], pieces[1::2], strict=True):
        words = [word.strip("[]").partition("=") for word in head.split()]
        options = {key: value for key, _, value in words}
        unknown = set(options) - {"markdown", "setup", "answer", "tests", "points"}
        if unknown:
            raise ValueError(f"a cell's head has unknown words {sorted(unknown)}: # %%{head}")
        if "markdown" in options:
            body = re.sub(r"^# ?", "", body, flags=re.M)
        found.append((options, body.strip("\n")))
    return found


def build(text: str, setup: str) -> Notebook:
    """Return the teacher's notebook of an assignment, solutions and hidden tests included."""
    made = [_cell(number, *one, setup) for number, one in enumerate(cells(text))]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": made,
        "metadata": {
            "kernelspec": kernel,
            "language_info": {"file_extension": ".py", "name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(number: int, options: dict[str, str], body: str, setup: str) -> Cell:
    answer, tests = options.get("answer"), options.get("tests")
    identity = f"answer-{answer}" if answer else f"tests-{tests}" if tests else f"text-{number}"
    nbgrader: dict[str, Any] = {
        "grade": "points" in options,
        "grade_id": identity,
        "locked": not answer,
        "schema_version": 3,
        "solution": bool(answer),
        "task": False,
    }
    if "points" in options:
        nbgrader["points"] = int(options["points"])
    cell: Cell = {"cell_type": "markdown", "id": identity, "metadata": {"nbgrader": nbgrader}}
    cell["source"] = setup if "setup" in options else body.replace(HIDDEN, f"{LATER}\n{HIDDEN}")
    if "markdown" not in options:
        cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
    return cell


def setup_cell() -> str:
    """Return the set-up cell of the chapters, which installs the library in Colab."""
    return source(read(ROOT / "notebooks" / "01_federated_averaging.ipynb")["cells"][1])


def write(course: Path) -> list[Path]:
    """Write the sources of all assignments into a course; what is collected there stays."""
    course.mkdir(parents=True, exist_ok=True)
    replace(course / "nbgrader_config.py", CONFIG)
    written = []
    for name in NAMES:
        path = course / "source" / name / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, dumps(build(source_text(name), setup_cell())))
        written.append(path)
    return written


def nbgrader(course: Path, *words: str) -> str:
    """Run an nbgrader command in a course folder and return what it says.

    It looks for a program of its own, alembic, beside this interpreter.
    """
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *words],
        cwd=course, capture_output=True, text=True, check=False,
        env=os.environ | {"PATH": programs},
    )  # fmt: skip
    said = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(f"nbgrader {' '.join(words)} failed in {course}:\n{said}")
    return said


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=COURSE, help="the course's folder")
    course: Path = parser.parse_args(arguments).folder
    write(course)
    for name in NAMES:
        nbgrader(course, "generate_assignment", name, "--create", "--force")
    print(f"{len(NAMES)} assignments are in {course}")
    print("  release/   what students get     source/   with solutions and hidden tests")
    print("  what comes next: book/teaching/index.md, Monday's assignment, step by step")


if __name__ == "__main__":
    main()
