"""The book's Sphinx extension: portable Markdown in, boxes, folds, links and warnings out."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXTENSION = ROOT / "book" / "_ext"
sys.path.insert(0, str(EXTENSION))

from portable import catalog, folds, labels, library, works  # noqa: E402

MODULES = sorted(path.stem for path in (EXTENSION / "portable").glob("[!_]*.py"))


def proof(label: str, text: str = "Clear.") -> str:
    return f"<details><summary>Proof of {label}</summary>\n\n{text}\n\n</details>"


GOOD = [
    "# Means\n\nSee Theorem 1.2, `Theorem 1.9`, and Definitions 1.1 and 1.1; then Exercise 1.1.",
    "> **Definition 1.1 (Mean).** A number.\n\n> **Theorem 1.2 (The mean of $x$).** It holds\n>\n"
    "> $$m=1.$$\n>\n> Always.\n\n" + proof("Theorem 1.2") + "\n\n> An ordinary quotation.",
    ("# Check of Theorem 1.2: by hand\nprint(1)", "measured 1.0000\n", []),
    "## Exercises\n\n### Exercise 1.1 (code). Add\n\nAdd.",
    ("# @title Solution of Exercise 1.1\nprint(2)  # Theorem 1.2", "two\n", ["solution"]),
    "**Question 1.** Why $x$?\n\n<details><summary>A. Since `y`</summary>\n\nRight. So it is.\n\n"
    "</details>\n<details><summary>B. Not $y$</summary>\n\nNo. It is not.\n\n</details>\n\n"
    "As [Fallah et al. (2020)](https://arxiv.org/abs/2002.07948) say.",
]
# name: (chapter's cells after the heading, what the build must say about it)
BAD = {
    "03_gap": (
        ["> **Lemma 3.2 (Gap).** One.\n\n" + proof("Lemma 3.2")],
        "Lemma 3.2 is out of order",
    ),
    "04_foreign": (["> **Lemma 5.1 (Foreign).** One."], "its number must begin with 4."),
    "06_twice": (
        ["> **Lemma 6.1 (One).** One.", "> **Lemma 6.1 (Two).** Two."],
        "Lemma 6.1 is stated twice",
    ),
    "07_mention": (["By Theorem 7.9 it holds."], "Theorem 7.9 is mentioned, but no chapter"),
    "08_claim": ([proof("Theorem 8.9")], "a summary names Theorem 8.9"),
    "09_style": (["> **Theorem 9.1** (Name). Text."], "write 'Theorem 9.1' as"),
    "10_open": (["<details><summary>Hint</summary>\n\nText."], "<details> is not closed"),
    "11_stray": (["Text.\n\n</details>"], "</details> without <details>"),
    "12_split": (
        ["<details><summary>Hint</summary>\n\nText.", "More.\n\n</details>"],
        "cell 2: <details> must open and close in the same cell",
    ),
    "13_glued": (
        ["<details><summary>Hint</summary>\nText.\n\n</details>"],
        "leave an empty line after <summary>",
    ),
    "14_quiz": (
        ["**Question 1.** Why?\n\n<details><summary>A. So</summary>\n\nNo. Not so.\n\n</details>"],
        "none that is 'Right.'",
    ),
    "15_verdict": (
        ["**Question 1.** Why?\n\n<details><summary>A. So</summary>\n\nPerhaps.\n\n</details>"],
        "must begin with 'Right.'",
    ),
    "16_unknown": (["[A (2020)](https://arxiv.org/abs/2099.00001)"], "has no entry in"),
    "17_year": (["[Fallah et al. (2019)](https://arxiv.org/abs/2002.07948)"], "the year is 2020"),
    "18_author": (["[Nobody et al. (2020)](https://arxiv.org/abs/2002.07948)"], "first author is"),
    "19_exercise": (["### Exercise 19.1. Title"], "as 'Exercise 1.3 (think|derive|code). Title'"),
    "20_image": ([("show()", None, [])], "the image of this cell needs a text"),
    "21_bare": (
        ["> **Theorem 21.1 (Bare).** One."],
        "Theorem 21.1 has no proof and no check and no",
    ),
}


def notebook(cells: list) -> str:
    """A notebook of Markdown cells and code cells (source, printed or None for an image, tags)."""
    made = []
    for number, cell in enumerate(cells):
        if isinstance(cell, str):
            made.append(
                {"cell_type": "markdown", "id": f"c{number}", "metadata": {}, "source": cell}
            )
            continue
        source, printed, tags = cell
        pixel = {
            "output_type": "display_data",
            "data": {"image/png": "iVBORw0KGgo="},
            "metadata": {},
        }
        text = {"output_type": "stream", "name": "stdout", "text": printed}
        made.append({
            "cell_type": "code", "id": f"c{number}", "metadata": {"tags": tags}, "source": source,
            "execution_count": 1, "outputs": [text if printed else pixel],
        })  # fmt: skip
    metadata = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    return json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small book with one good chapter and many bad ones: html folder, what the build said."""
    root = tmp_path_factory.mktemp("book")
    for folder in ("notebooks", "book", "tests"):
        (root / folder).mkdir()
    bib = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    (root / "book" / "references.bib").write_text(bib, encoding="utf-8")
    pages = {"01_means": (GOOD, "")} | {
        name: ([f"# Chapter {name}", *cells], message) for name, (cells, message) in BAD.items()
    }
    for name, (cells, _) in pages.items():
        (root / "notebooks" / f"{name}.ipynb").write_text(notebook(cells), encoding="utf-8")
    toc = "\n".join(f"notebooks/{name}" for name in pages)
    (root / "index.md").write_text(
        f"# Book\n\n```{{toctree}}\n{toc}\nresults\nworks\n```\n", encoding="utf-8"
    )
    (root / "results.md").write_text("# Results\n\n```{results}\n```\n", encoding="utf-8")
    (root / "works.md").write_text("# Works\n\n```{bibliography-list}\n```\n", encoding="utf-8")
    test = 'def test_mean():\n    """Theorem 1.2, but not Theorem 1.23."""\n'
    (root / "tests" / "test_mean.py").write_text(test, encoding="utf-8")
    options = {
        "extensions": ["myst_nb", "sphinx_book_theme", "portable"],
        "html_theme": "sphinx_book_theme",
        "nb_execution_mode": "off",
        "myst_enable_extensions": ["dollarmath"],
        "html_theme_options": {"repository_url": "https://github.com/owner/name"},
    }
    conf = "\n".join(f"{name} = {value!r}" for name, value in options.items())
    (root / "conf.py").write_text(conf, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", ".", "_build"]
    environment = os.environ | {"PYTHONPATH": str(EXTENSION), "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root / "_build", done.stderr


@pytest.fixture(scope="module")
def chapter(built: tuple[Path, str]) -> str:
    page = (built[0] / "notebooks" / "01_means.html").read_text(encoding="utf-8")
    return page[page.index("<article") : page.index("</article>")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"portable.{name}")).failed == 0


@pytest.mark.parametrize("name", BAD)
def test_build_warns(built: tuple[Path, str], name: str) -> None:
    lines = [line for line in built[1].splitlines() if f"notebooks/{name}" in line]
    assert any(BAD[name][1] in line for line in lines), "\n".join(lines) or "no warning at all"


def test_good_chapter_is_silent(built: tuple[Path, str]) -> None:
    assert not [line for line in built[1].splitlines() if "01_means" in line]


def test_result_becomes_a_box_with_anchor_and_name(chapter: str) -> None:
    box = re.search(
        r'<div class="[^"]*result theorem[^"]*" id="theorem-1-2">.*?</p>', chapter, re.S
    )
    assert box
    assert "<strong>Theorem 1.2</strong>" in box.group()
    assert re.search(r'class="name">The mean of <span class="math[^>]*>\\\(x\\\)', box.group())
    assert chapter.count("<blockquote>") == 1


def test_mentions_are_links_and_code_is_not(chapter: str) -> None:
    for anchor, text in [("theorem-1-2", "Theorem 1.2"), ("definition-1-1", "Definitions 1.1"),
                         ("definition-1-1", "1.1"), ("exercise-1-1", "Exercise 1.1")]:  # fmt: skip
        link = rf'<a [^>]*href="#{anchor}"[^>]*><span>{re.escape(text)}</span></a>'
        assert re.search(link, chapter), text
    assert ">Theorem 1.9<" in re.sub(r"</?span[^>]*>", "", chapter)


def test_punctuation_stays_with_its_formula(chapter: str) -> None:
    kept = re.findall(r'<span class="unbroken"><span class="math[^>]*>([^<]+)</span>(.)', chapter)
    assert kept == [(r"\(x\)", "?")]


def test_folds_have_kind_anchor_and_parsed_summary(chapter: str) -> None:
    assert '<details class="fold proof" id="proof-of-theorem-1-2">' in chapter
    assert re.search(r'<details class="fold option right">\s*<summary>A. Since <code', chapter)
    assert re.search(
        r'<details class="fold option wrong">\s*<summary>B. Not <span class="math', chapter
    )
    assert chapter.count("<details") == chapter.count("</details>")


def test_solution_is_folded_with_its_output(chapter: str) -> None:
    cell = re.search(r"tag_solution.*?<details.*?</details>", chapter, re.S)
    assert cell
    assert "Solution of Exercise 1.1" in cell.group()
    assert "@title" not in cell.group()
    assert "two" in cell.group()


def test_results_page_joins_statement_proof_check_and_test(built: tuple[Path, str]) -> None:
    page = (built[0] / "results.html").read_text(encoding="utf-8")
    for wanted in ['href="notebooks/01_means.html#theorem-1-2"', "Chapter 1: Means",
                   'href="notebooks/01_means.html#proof-of-theorem-1-2"', "measured 1.0000",
                   'href="notebooks/01_means.html#check-of-theorem-1-2"',
                   "https://github.com/owner/name/blob/main/tests/test_mean.py#L1"]:  # fmt: skip
        assert wanted in page, wanted
    assert 'id="check-of-theorem-1-2"' in (built[0] / "notebooks/01_means.html").read_text()


def test_bibliography_says_who_cites(built: tuple[Path, str]) -> None:
    page = (built[0] / "works.html").read_text(encoding="utf-8")
    entry = re.search(r'id="ref-fallah2020personalized".*?</li>', page, re.S)
    assert entry
    assert 'href="notebooks/01_means.html"' in entry.group()


def test_label_is_not_found_in_a_longer_number() -> None:
    assert [label for *_, label in labels.mentions("Theorem 1.23")] == ["Theorem 1.23"]
    assert labels.mentions("Version 1.2.3 of Theorem 1.2.3") == []


def test_every_entry_of_the_bibliography_can_be_found_by_its_link() -> None:
    listed = works.read_works(ROOT / "book" / "references.bib")
    assert len(listed) > 25
    for work in listed:
        assert works.disagreement(work, work.short) is None
        if work.link:
            assert works.find(listed, work.link) == work


def test_definitions_need_no_evidence_and_theorems_need_all() -> None:
    bare = catalog.Result("Theorem 1.1", None, "notebooks/01_a", "", False, None, ())
    assert bare.gaps == ["proof", "check", "test"]
    assert bare._replace(label="Definition 1.1").gaps == []


def test_details_inside_code_do_not_count() -> None:
    assert not folds.unbalanced("```html\n<details>\n```\nand `</details>`")


def test_library_page_knows_every_public_name() -> None:
    import fedlearn_lib

    shown = {name for module in library.modules(fedlearn_lib) for name, _ in library.public(module)}
    code = {name for name in fedlearn_lib.__all__ if callable(getattr(fedlearn_lib, name))}
    assert code - shown == set()
