"""The four assignments under nbgrader: who hands in what, and the marks that it gets."""

from __future__ import annotations

import ast
import builtins
import json
import re
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from submissions import CALLS, HALF

from fedlearn_book.exercises import EXERCISES
from tools.assignments import HIDDEN, LATER, NAMES, build, cells, nbgrader, source_text
from tools.cells import read
from tools.editions import dumps
from tools.repository import ROOT

SEEN = {"averaging": [1, 1, 1, 1], "per_fedavg": [1, 1, 1, 1],
        "exact_path": [1, 1, 1, 1], "split_lbi": [1, 1, 1, 1]}  # fmt: skip
FULL = {"averaging": [4, 4, 4, 4], "per_fedavg": [4, 4, 4, 4],
        "exact_path": [4, 4, 5, 3], "split_lbi": [4, 4, 4, 4]}  # fmt: skip
HALVES = {"averaging": [4, 4, 1, 1], "per_fedavg": [1, 4, 1, 4],
          "exact_path": [4, 1, 1, 3], "split_lbi": [4, 0, 1, 4]}  # fmt: skip
# Who hands in under nbgrader, where each takes seconds; all of them are marked without it, too.
HANDED_IN = [(name, student) for name in NAMES for student in ("perfect", "blank", "half", "crash")]
HANDED_IN += [(NAMES[0], "calls")]


def code(name: str) -> list[tuple[dict[str, str], str]]:
    return [one for one in cells(source_text(name)) if "markdown" not in one[0]]


def answers(name: str) -> dict[str, str]:
    """The solutions of the functions, as a student would write them."""
    found = {options["answer"]: body for options, body in code(name) if "answer" in options}
    return {key: re.sub(r"\n *### \w+ SOLUTION", "", body) for key, body in found.items()}


def crashed(name: str) -> dict[str, str]:
    """All answers, but the cell of the second ends before its function is there."""
    second = list(answers(name))[1]
    return answers(name) | {second: f"1 / 0\n{answers(name)[second]}"}


# ----- without nbgrader -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_assignment_has_tasks_with_both_kinds_of_tests_and_questions(name: str) -> None:
    tasks = list(answers(name))
    tests = {o["tests"]: (int(o["points"]), body) for o, body in code(name) if "tests" in o}
    assert 3 <= len(tasks) <= 5
    assert list(tests) == [test for task in tasks for test in (f"{task}_seen", task)]
    assert [tests[f"{task}_seen"][0] for task in tasks] == SEEN[name]
    assert [tests[task][0] + tests[f"{task}_seen"][0] for task in tasks] == FULL[name]
    for task in tasks:
        assert "HIDDEN" not in tests[f"{task}_seen"][1]
        assert tests[task][1].count("### BEGIN HIDDEN TESTS") == 1
        assert tests[task][1].endswith("### END HIDDEN TESTS")
        for _, body in (tests[task], tests[f"{task}_seen"]):
            assert f"alone({task})" in body  # no marks for a call of the library
            # nbgrader would take the value of a last line for a part of the marks, and warn.
            assert isinstance(ast.parse(body).body[-1], ast.Assert | ast.For)
    questions = [o for o, _ in cells(source_text(name)) if "markdown" in o and "answer" in o]
    assert 1 <= len(questions) <= 2
    assert sum(int(question["points"]) for question in questions) == 8


@pytest.mark.parametrize("name", NAMES)
def test_the_marks_of_a_question_add_up(name: str) -> None:
    listed = cells(source_text(name))
    for (_, question), (options, model) in pairwise(listed):
        if "markdown" in options and "answer" in options:
            points = int(options["points"])
            assert f"({points} marks)" in question
            rubric = question.partition("*Marks:*")[2]
            assert sum(int(mark) for mark in re.findall(r", (\d)(?=[,;.\s])", rubric)) == points
            assert sum(int(mark) for mark in re.findall(r"\*\((\d)\)\*", model)) == points


@pytest.mark.parametrize("name", NAMES)
def test_tests_leave_the_names_of_students_alone(name: str) -> None:
    """A test that bound `A` or `rest` would change what a later answer of the student sees."""
    for options, body in code(name):
        if "tests" in options:
            bound = {
                node.id for node in ast.walk(ast.parse(body))
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            } | {
                node.name for node in ast.parse(body).body if isinstance(node, ast.FunctionDef)
            }  # fmt: skip
            inside = {
                node.id
                for function in ast.walk(ast.parse(body))
                if isinstance(function, ast.FunctionDef | ast.GeneratorExp | ast.ListComp
                              | ast.SetComp | ast.DictComp)
                for node in ast.walk(function)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }  # fmt: skip
            assert {one for one in bound - inside if not one.startswith("_")} == set()


def namespace() -> dict[str, Any]:
    import numpy as np
    import torch

    return {"__builtins__": builtins, "__name__": "__main__", "np": np, "torch": torch}


def marks(name: str, handed_in: dict[str, str]) -> list[int]:
    """What the test cells give to answers, without a kernel."""
    names, total, before = namespace(), [0] * len(FULL[name]), dict(EXERCISES)
    tasks = list(answers(name))
    for options, body in code(name):
        if "setup" in options:
            continue
        if "answer" in options:
            body = handed_in.get(options["answer"], "")
        try:
            exec(body, names)
        except Exception:  # noqa: BLE001, S112
            continue
        if "tests" in options:
            total[tasks.index(options["tests"].removesuffix("_seen"))] += int(options["points"])
    for key in set(EXERCISES) - set(before):
        del EXERCISES[key]
    return total


@pytest.mark.parametrize("name", NAMES)
def test_the_answers_of_the_teacher_get_all_marks(name: str) -> None:
    assert marks(name, answers(name)) == FULL[name]


@pytest.mark.parametrize("name", NAMES)
def test_half_of_the_answers_get_their_marks(name: str) -> None:
    assert marks(name, answers(name) | HALF[name]) == HALVES[name]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_gets_nothing_and_a_crash_costs_one_task(name: str) -> None:
    full = FULL[name]
    assert marks(name, {}) == [0] * len(full)
    assert marks(name, crashed(name)) == [full[0], 0, *full[2:]]


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_calls_the_library_would_be_right_and_gets_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [full if task in CALLS[name] else 0
             for task, full in zip(answers(name), FULL[name], strict=True)]  # fmt: skip
    assert sum(1 for one in given if one) >= 3
    assert marks(name, CALLS[name]) == [0] * len(given)
    monkeypatch.setattr("fedlearn_book.exercises.alone", lambda attempt: attempt)
    found = marks(name, CALLS[name])
    assert [task for task, a, b in zip(answers(name), found, given, strict=True) if a < b] == (
        ["positive_path"] if name == "exact_path" else []  # the library has no path with one wall
    )


# ----- with nbgrader ----------------------------------------------------------------------------


def hand_in(course: Path, student: str, name: str, given: dict[str, str]) -> None:
    """Fill in the notebook that students got, as they do, and put it where it is collected."""
    notebook = read(course / "release" / name / f"{name}.ipynb")
    for cell in notebook["cells"]:
        answer = cell["id"].removeprefix("answer-")
        if cell["id"].startswith("answer-") and answer in given:
            cell["source"] = given[answer]
    path = course / "submitted" / student / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(dumps(notebook), encoding="utf-8")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course of which everything that is handed in has been marked, without a network."""
    course = tmp_path_factory.mktemp("course")
    subprocess.run(
        [sys.executable, "-m", "tools.assignments", "--folder", str(course)], check=True, cwd=ROOT
    )
    words = {"whose_minimum": "The plain mean's."}  # an answer of the first assignment
    for name, student in HANDED_IN:
        given = {
            "perfect": answers(name),
            "blank": {},
            "half": answers(name) | HALF[name] | words,
            "crash": crashed(name),
            "calls": CALLS[name],
        }
        hand_in(course, student, name, given[student])
    for name in NAMES:
        nbgrader(course, "autograde", name)
    return course


def graded(course: Path, name: str, student: str) -> dict[str, tuple[float | None, int]]:
    """What nbgrader has written down for each cell: marks, and whether a person has to look."""
    with sqlite3.connect(course / "gradebook.db") as book:
        rows = book.execute(
            """select base_cell.name, grade.auto_score, grade.needs_manual_grade from grade
            join base_cell on base_cell.id = grade.cell_id
            join submitted_notebook on submitted_notebook.id = grade.notebook_id
            join submitted_assignment
                on submitted_assignment.id = submitted_notebook.assignment_id
            join notebook on notebook.id = submitted_notebook.notebook_id
            where notebook.name = ? and submitted_assignment.student_id = ?""",
            (name, student),
        )
        return {cell: (score, manual) for cell, score, manual in rows}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "student"), HANDED_IN)
def test_nbgrader_gives_the_marks(course: Path, name: str, student: str) -> None:
    full = FULL[name]
    expected = {
        "perfect": full,
        "blank": [0] * len(full),
        "half": HALVES[name],
        "crash": [full[0], 0, *full[2:]],
        "calls": [0] * len(full),
    }
    found = graded(course, name, student)
    tests = [[found[f"tests-{task}_seen"], found[f"tests-{task}"]] for task in answers(name)]
    assert [sum(score for score, _ in pair) for pair in tests] == expected[student]
    words = {cell: one for cell, one in found.items() if cell.startswith("answer-")}
    waiting = set(words) & {"answer-whose_minimum"} if student == "half" else set()
    assert {cell for cell, (_, manual) in words.items() if manual} == waiting
    assert {score for cell, (score, _) in words.items() if cell not in waiting} == {0}
    path = course / "autograded" / student / name / f"{name}.ipynb"
    assert ("Your function calls fedlearn" in path.read_text("utf-8")) == (student == "calls")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_students_get_neither_solutions_nor_hidden_tests(course: Path) -> None:
    for name in NAMES:
        text = (course / "release" / name / f"{name}.ipynb").read_text("utf-8")
        for _, body in cells(source_text(name)):
            for region in re.findall(r"### BEGIN ([A-Z ]+)\n(.*?)### END \1", body, re.S):
                lines = [one.strip() for one in region[1].splitlines() if len(one.strip()) > 20]
                assert lines
                assert [one for one in lines if json.dumps(one)[1:-1] in text] == []
        assert "Model answer" not in text
        assert text.count("raise NotImplementedError()") == len(FULL[name])


def test_a_cell_of_hidden_tests_says_that_they_come_later() -> None:
    """A student who runs it in the handout would take silence for marks."""
    for name in NAMES:
        text = source_text(name)
        made = build(text, "")["cells"]
        hidden = [cell["source"] for cell in made if HIDDEN in cell["source"]]
        assert len(hidden) == text.count(HIDDEN) > 0
        assert all(f"{LATER}\n{HIDDEN}" in source for source in hidden)
        assert f"`{name}.ipynb`" in made[0]["source"]
