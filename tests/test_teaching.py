"""What the pages for teachers name is there: chapters, exercises, minutes, baselines."""

from __future__ import annotations

import json
import re
from functools import cache

import pytest
from contract import exercises, source

from fedlearn_book.reproductions import read
from tools.repository import ROOT

MINUTES = {"think": 15, "code": 25, "derive": 35}
SYLLABI = (ROOT / "book" / "teaching" / "syllabi.md").read_text(encoding="utf-8")
PROJECTS = (ROOT / "book" / "teaching" / "projects.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| (\d+) \| ([^|]+) \|$", re.M)
NUMBER = re.compile(r"\d+\.\d+ ± \d+\.\d+|\d\.\d{4} \(\d\.\d{4}\)")


@cache
def chapter(number: str) -> dict:
    (path,) = (ROOT / "notebooks").glob(f"{int(number):02}_*.ipynb")
    found: dict = json.loads(path.read_text(encoding="utf-8"))
    return found


@cache
def kinds(number: str) -> dict[str, str]:
    """Each exercise of a chapter and what it asks for."""
    return {name: kind for name, kind, _ in exercises(chapter(number))}


def sections(number: str) -> dict[str, int]:
    """The words of each section outside folds; exercises and what follows are no reading."""
    cells = (source(c) for c in chapter(number)["cells"][1:] if c["cell_type"] == "markdown")
    text = re.sub(r"<details>.*?</details>", "", "\n".join(cells), flags=re.S)
    text = re.split(r"^## Exercises$", text, flags=re.M)[0]
    parts = re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return {name: len(body.split()) for name, body in parts}


def weeks(page: str = SYLLABI) -> dict[str, list[tuple[str, ...]]]:
    """The rows of the table under each heading."""
    parts = re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    return {name: rows for name, body in parts if (rows := ROW.findall(body))}


def wrong_rows(page: str) -> list[str]:
    """Say which week names what is not there, or counts its minutes wrongly."""
    found = []
    for title, rows in weeks(page).items():
        for week, before, lecture, sheet, reading, minutes in rows:
            where = f"{title}, week {week}"
            named = re.match(r"chapter (\d+)(, core)?$", before)
            if named:
                core = "**The map.**" in source(chapter(named[1])["cells"][0])
                if core != bool(named[2]):
                    found.append(f"{where}: chapter {named[1]} {'has a' if core else 'has no'} map")
                counted = sum(sections(named[1]).values()) / 100
                if int(reading) != 40 if core else abs(int(reading) - counted) > 10:
                    found.append(f"{where}: reading takes {40 if core else round(counted)}")
            if not re.fullmatch(r"[\d., ]+", sheet):
                continue
            numbers = sheet.split(", ")
            asked = [kinds(one.split(".")[0]).get(one) for one in numbers]
            if None in asked:
                found.append(f"{where}: no Exercise {numbers[asked.index(None)]}")
            elif sum(MINUTES[kind] for kind in asked if kind) != int(minutes):
                found.append(f"{where}: its sheet takes {sum(MINUTES[k] for k in asked if k)}")
            if named and {one.split(".")[0] for one in numbers} != {named[1]}:
                found.append(f"{where}: the sheet is of another chapter than {named[1]}")
            if named and lecture != f"[chapter {named[1]}](#chapter-{named[1]})":
                found.append(f"{where}: the lecture is of another chapter than {named[1]}")
    return found


def test_the_courses_have_six_ten_and_fourteen_weeks():
    assert [len(rows) for rows in weeks().values()] == [6, 10, 14]
    for rows in weeks().values():
        assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))


def test_every_week_names_what_is_there_and_counts_its_minutes():
    assert wrong_rows(SYLLABI) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("8.1, 8.2,", "8.1, 8.99,", "no Exercise 8.99"),
        ("| 40 | 125 |", "| 40 | 120 |", "its sheet takes 125"),
        ("| 40 | 125 |", "| 30 | 125 |", "reading takes 40"),
        ("chapter 11, core |", "chapter 11 |", "has a map"),
        ("8.1, 8.2,", "9.1, 8.2,", "of another chapter"),
        ("[chapter 8](#chapter-8)", "[chapter 9](#chapter-9)", "of another chapter"),
    ],
)
def test_a_wrong_week_is_found(old, new, words):
    assert old in SYLLABI
    assert any(words in one for one in wrong_rows(SYLLABI.replace(old, new, 1)))


def test_every_chapter_has_a_board_plan_of_two_lectures_of_ninety_minutes():
    plans = re.findall(r"^### Chapter (\d+)\n(.*?)(?=^### |\Z)", SYLLABI, re.M | re.S)
    every = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    assert [int(number) for number, _ in plans] == list(range(1, len(every) + 1))
    for number, plan in plans:
        first, second = plan.split("**Second lecture.**")
        for lecture in (first, second):
            minutes = [int(one) for one in re.findall(r"\((\d+)\) ", lecture)]
            assert sum(minutes) == 90, f"chapter {number}: {sum(minutes)} minutes"
            assert 4 <= len(minutes) <= 6, number
        assert "on the board" in plan.lower(), number
        for name in re.findall(r"Exercise (\d+\.\d+)", plan):
            assert name in kinds(number)


def baselines() -> list[tuple[str, str, str]]:
    """Each project's title, the result file that it names, and its text."""
    parts = re.findall(r"^## (\d+\. [^\n]*)\n(.*?)(?=^## |\Z)", PROJECTS, re.M | re.S)
    return [(title, name[1], body) for title, body in parts
            if (name := re.search(r"\*Baseline\* `(\w+)`", body))]  # fmt: skip


@pytest.mark.parametrize(("title", "name", "body"), baselines(), ids=lambda text: text[:12])
def test_a_baseline_stands_in_its_result_file(title, name, body):
    content = read(name)
    stored = {cell for row in content["table"]["rows"] for cell in map(str, row)}
    numbers = NUMBER.findall(body)
    assert len(numbers) >= 2, title
    assert [one for one in numbers if one not in stored] == []
    assert abs(int(re.findall(r"(\d+) minutes\.", body)[0]) - content["seconds"] / 60) < 1


def test_most_projects_have_a_baseline_and_every_chapter_named_exists():
    assert len(baselines()) >= 8
    for number in re.findall(r"chapters? (\d+)", PROJECTS):
        assert chapter(number)


def test_misconceptions_cover_part_four():
    page = (ROOT / "book" / "teaching" / "index.md").read_text(encoding="utf-8")
    part = page.partition("## What students believe, Part IV")[2].partition("\n## ")[0]
    assert part.count('- **"') >= 8
    assert {"(chapter 15)", "(chapter 16)"} <= set(re.findall(r"\(chapter \d+\)", part))
