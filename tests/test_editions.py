"""The student's edition has no solution left, the teacher's has all of them, and notes."""

from __future__ import annotations

import builtins
import contextlib
import copy
import io
import json
import re
from typing import Any

import nbformat
import pytest
import torch
import yaml
from nbclient import NotebookClient

from tools import editions, teacher
from tools.cells import Cell, Notebook, read, source, tags

CHAPTERS = {path.stem: read(path) for path in editions.chapters()}
STUDENTS = {name: editions.student(notebook) for name, notebook in CHAPTERS.items()}
TEACHERS = {name: teacher.teacher(notebook) for name, notebook in CHAPTERS.items()}
MANY = pytest.mark.parametrize("name", CHAPTERS)
HEADING = r"(?=^#{2,} )|\Z"


def stream(notebook: Notebook) -> str:
    """A chapter as one text, in which solutions in code stand between ⟦ and ⟧."""
    pieces = [f"⟦{source(c)}⟧" if "solution" in tags(c) else source(c) for c in notebook["cells"]]
    return "\n\n".join(pieces)


def solutions(notebook: Notebook) -> dict[str, list[str]]:
    """Everything that gives an exercise away: code, folds, and the words behind either."""
    text = stream(notebook)
    fold = r"<details><summary>Solution</summary>(.*?)</details>"
    behind = (
        rf"(?:⟧|<summary>Solution</summary>(?:(?!</details>).)*</details>)\n*(.*?)(?:{HEADING})"
    )
    return {
        "code": re.findall(r"⟦(.*?)⟧", text, re.S),
        "folds": re.findall(fold, text, re.S),
        "words": re.findall(behind, text, re.S | re.M),
    }


def lines(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if len(line.strip()) > 15}


def leaks(notebook: Notebook, edition: Notebook) -> list[str]:
    """The lines of solutions that stand in an edition and nowhere else in the chapter."""
    given_away = {
        line for kind in solutions(notebook).values() for text in kind for line in lines(text)
    }
    elsewhere = stream(notebook)
    for kind in solutions(notebook).values():
        for text in kind:
            elsewhere = elsewhere.replace(text, "")
    left = lines("\n".join(source(cell) for cell in edition["cells"]))
    found = sorted(given_away & left - lines(elsewhere))
    printed = "".join(
        "".join(output.get("text", "")) for c in edition["cells"] for output in c.get("outputs", [])
    )
    return found + re.findall(r'Right: "[^"]*" agrees', printed)


# ----- students -----------------------------------------------------------------------------------


@MANY
def test_no_solution_is_left(name: str) -> None:
    found = solutions(CHAPTERS[name])
    assert len(found["code"]) >= 3
    assert len(found["folds"]) >= 4
    text = "\n\n".join(source(cell) for cell in STUDENTS[name]["cells"])
    for kind in found.values():
        assert [one for one in kind if one.strip() and one.strip() in text] == []
    assert leaks(CHAPTERS[name], STUDENTS[name]) == []
    assert not any("solution" in tags(cell) for cell in STUDENTS[name]["cells"])
    assert "<summary>Solution</summary>" not in text


@pytest.mark.parametrize("name", ["01_federated_averaging", "04_per_fedavg"])
def test_what_is_left_would_be_noticed(name: str) -> None:
    whole = copy.deepcopy(CHAPTERS[name])
    assert {len(kind) > 0 for kind in solutions(whole).values()} == {True}
    for kind, texts in solutions(whole).items():
        text = max(texts, key=len)
        forgotten = copy.deepcopy(STUDENTS[name])
        forgotten["cells"].append({"cell_type": "markdown", "metadata": {}, "source": text})
        assert leaks(whole, forgotten), kind
    assert any("agrees" in line for line in leaks(whole, whole))


@MANY
def test_everything_else_is_there(name: str) -> None:
    before, after = (
        {cell["id"]: cell for cell in one["cells"]} for one in (CHAPTERS[name], STUDENTS[name])
    )
    text = "\n\n".join(source(cell) for cell in after.values())
    whole = "\n\n".join(source(cell) for cell in before.values())
    for mark in (
        r"^#{2,} .*",
        "<summary>(?!Solution).*?</summary>",
        r"^\*\*Question \d+",
        "^# Che.*",
    ):
        assert re.findall(mark, text, re.M) == re.findall(mark, whole, re.M)
    gone = [cell for key, cell in before.items() if key not in after]
    behind = [cell for cell in gone if "solution" not in tags(cell)]
    assert all(cell["cell_type"] == "markdown" and "#" not in source(cell)[:1] for cell in behind)
    assert sum("check(" in source(c) for c in after.values()) >= len(
        solutions(CHAPTERS[name])["code"]
    )
    nbformat.validate(nbformat.from_dict(STUDENTS[name]))


@MANY
def test_a_student_does_not_follow_a_link_to_the_solutions(name: str) -> None:
    first = source(STUDENTS[name]["cells"][0])
    assert "Student edition" in first
    assert "[Open in Colab]" not in first
    assert "[Download" not in first


def exercises(notebook: Notebook) -> list[Cell]:
    """The code cells between the headings Exercises and Quiz."""
    found, within = [], False
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            found += [cell] if within else []
        else:
            for section in re.findall(r"^## ([^\n]*)", source(cell), re.M):
                within = section == "Exercises"
    return found


@MANY
def test_stubs_run_and_are_not_solved(name: str) -> None:
    names: dict[str, Any] = {"__builtins__": builtins, "torch": torch}
    stubs = exercises(STUDENTS[name])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for cell in stubs:
            assert cell["outputs"] == []
            exec(source(cell), names)
    torch.set_default_dtype(torch.float32)  # some exercises ask for double precision
    asked = sum(source(cell).count("\ncheck(") for cell in stubs)
    assert asked >= 3
    assert said.getvalue().count("Not yet. Your function returns nothing") == asked


@pytest.mark.slow
def test_a_handout_of_exercises_runs_in_a_kernel() -> None:
    text = json.dumps(STUDENTS["04_per_fedavg"])
    notebook = nbformat.reads(text, as_version=4)  # joins the lines of a cell
    keep = {cell["id"] for cell in exercises(STUDENTS["04_per_fedavg"])}
    notebook.cells = [notebook.cells[1], *(c for c in notebook.cells if c["id"] in keep)]
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    printed = "".join(o.get("text", "") for c in notebook.cells for o in c.outputs)
    assert printed.count("Not yet.") == 4


# ----- teachers -----------------------------------------------------------------------------------


def notes(name: str) -> list[Cell]:
    return [cell for cell in TEACHERS[name]["cells"] if "teacher" in tags(cell)]


@MANY
def test_the_teacher_has_all_of_the_chapter_and_notes(name: str) -> None:
    chapter, edition = CHAPTERS[name], TEACHERS[name]
    kept = [cell for cell in edition["cells"] if "teacher" not in tags(cell)]
    assert [cell["id"] for cell in kept] == [cell["id"] for cell in chapter["cells"]]
    text = "\n\n".join(source(cell) for cell in kept)
    assert text.replace("<details open>", "<details>") == "\n\n".join(
        source(cell) for cell in chapter["cells"]
    )
    assert text.count("<details open><summary>Solution") == len(solutions(chapter)["folds"])
    for cell in kept:
        if "solution" in tags(cell):
            assert cell["metadata"] == {"tags": ["solution"]}
    nbformat.validate(nbformat.from_dict(edition))


@MANY
def test_the_first_note_says_how_long_it_takes_and_what_is_planned(name: str) -> None:
    first = source(notes(name)[0])
    assert TEACHERS[name]["cells"][1] == notes(name)[0]
    assert "on two CPU cores" in first
    whole, core = map(int, re.findall(r"Together (\d+), the core (\d+)\.", first)[0])
    assert core < whole == sum(map(int, re.findall(r" (\d+)(?= ·|\. Together)", first)))
    assert abs(core - 40) < 14  # the map and the syllabi say about 40
    assert re.search(r"\d \*code\*, \d \*derive\*, \d \*think\*", first)
    assert first.count("*Lecture") + first.count("*In class") >= 1


@MANY
def test_each_code_exercise_has_the_mistakes_of_its_checker(name: str) -> None:
    cells = TEACHERS[name]["cells"]
    after = [cells[i + 1] for i, cell in enumerate(cells) if "solution" in tags(cell)]
    assert after
    for cell in after:
        assert "Mistakes that the checker knows" in source(cell)
        assert source(cell).count("\n> - ") >= 2


def test_each_belief_stands_once_in_its_section() -> None:
    page = teacher.page().partition("## What students believe")[2]
    beliefs = re.findall(r'^- (\*\*".*)$', page, re.M)
    placed = {
        belief.words.removeprefix("Students believe: "): belief for belief in teacher.believed()
    }
    assert list(placed) == beliefs
    everywhere = {name: "\n".join(source(cell) for cell in notes(name)) for name in CHAPTERS}
    for words, belief in placed.items():
        assert [int(name[:2]) for name, text in everywhere.items() if words in text] == [
            belief.chapter
        ]
        (name,) = (name for name in CHAPTERS if int(name[:2]) == belief.chapter)
        cells = TEACHERS[name]["cells"]
        (at,) = (i for i, cell in enumerate(cells) if words in source(cell))
        if belief.section:
            assert f"## {belief.section}\n" in f"{source(cells[at - 1])}\n"
        else:  # of its part only the page says where it belongs
            assert at == 1


def test_beliefs_yml_names_no_belief_that_the_page_lacks() -> None:
    listed = yaml.safe_load((teacher.TEACHING / "beliefs.yml").read_text(encoding="utf-8"))
    named = [
        one for sections in listed.values() for beliefs in sections.values() for one in beliefs
    ]
    assert len(named) == len(set(named))
    assert {one for one in named if f'**"{one}"**' not in teacher.page()} == set()


# ----- the commands -------------------------------------------------------------------------------


@pytest.mark.parametrize("edition", ["student", "teacher"])
def test_the_command_writes_every_chapter(edition: str, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(editions, "BUILD", tmp_path)
    editions.main([edition])
    written = sorted(path.name for path in (tmp_path / edition).iterdir())
    assert written == [path.name for path in editions.chapters()]
    assert str(tmp_path / edition) in capsys.readouterr().out
    name = editions.chapters()[0].stem
    expected = {"student": STUDENTS, "teacher": TEACHERS}[edition][name]
    assert read(tmp_path / edition / f"{name}.ipynb") == expected
