"""The book's Sphinx extension: portable Markdown in, boxes, folds, links and warnings out."""

from __future__ import annotations

import base64
import doctest
import importlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
EXTENSION = ROOT / "book" / "_ext"
sys.path.insert(0, str(EXTENSION))

from portable import catalog, folds, labels, library, night, works  # noqa: E402

import fedlearn_lib  # noqa: E402

MODULES = sorted(path.stem for path in (EXTENSION / "portable").glob("[!_]*.py"))


def proof(label: str, text: str = "Clear.") -> str:
    return f"<details><summary>Proof of {label}</summary>\n\n{text}\n\n</details>"


GOOD = [
    "# Means\n\nSee Theorem 1.2, `Theorem 1.9`, and Definitions 1.1 and 1.1; then Exercise 1.1."
    "\n\n**The map.** ● is the core; ○ is depth.\n● What it is · ○ The $m$ of it",
    "## What it is\n\nIt is a number.\n\n### The $m$ of it\n\n" + 260 * "word ",
    "## What holds",
    "> **Definition 1.1 (Mean).** A number.\n\n> **Theorem 1.2 (The mean of $x$).** It holds\n>\n"
    "> $$m=1.$$\n>\n> Always.\n\n" + proof("Theorem 1.2") + "\n\n> An ordinary quotation.",
    ("# Check of Theorem 1.2: by hand\nprint(1)", "measured 1.0000\n", []),
    ("# Check of Theorem 1.2, continued: again\nprint(3)", "bound 3.0000\n", []),
    "## Exercises\n\n### Exercise 1.1 (code). Add\n\nAdd.",
    ("# @title Solution of Exercise 1.1\nprint(2)  # Theorem 1.2", "two\n", ["solution"]),
    "It is two, as one sees.\n\n"
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
    "22_formula": ([r"A formula: $\nonsense$."], r"Unsupported function name: \nonsense"),
    "23_figure": (
        ["```{live} nowhere\n```"],
        "there is no figure 'nowhere'; the names are",
    ),
    "24_cell": (["```{live} notebooks/01_means.ipynb c9\n```"], "has no cell c9 that shows HTML"),
    "19_exercise": (["### Exercise 19.1. Title"], "as 'Exercise 1.3 (think|derive|code). Title'"),
    "25_second": (
        [("# Check of Lemma 25.1: a", "1", []), ("# Check of Lemma 25.1: b", "2", [])],
        "a second cell is called '# Check of Lemma 25.1'",
    ),
    "20_image": ([("show()", None, [])], "the image of this cell needs a text"),
    "21_bare": (
        ["> **Theorem 21.1 (Bare).** One."],
        "Theorem 21.1 has no proof and no check and no",
    ),
}


def dot() -> str:
    """A plot of two pixels of the book's blue, half as opaque as ink, as it is stored."""
    buffer = io.BytesIO()
    Image.new("RGBA", (2, 1), (0, 114, 178, 128)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


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
            "data": {"image/png": dot()},
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
        f"# Book\n\n```{{toctree}}\n{toc}\nresults\nworks\nlibrary\n```\n", encoding="utf-8"
    )
    (root / "results.md").write_text("# Results\n\n```{results}\n```\n", encoding="utf-8")
    (root / "works.md").write_text("# Works\n\n```{bibliography-list}\n```\n", encoding="utf-8")
    page = (ROOT / "book" / "library.md").read_text(encoding="utf-8")
    (root / "library.md").write_text(page, encoding="utf-8")
    test = 'def test_mean():\n    """Theorem 1.2, but not Theorem 1.23."""\n'
    (root / "tests" / "test_mean.py").write_text(test, encoding="utf-8")
    options = {
        "extensions": ["myst_nb", "sphinx_book_theme", "portable"],
        "html_theme": "sphinx_book_theme",
        "nb_execution_mode": "off",
        "myst_enable_extensions": ["dollarmath"],
        "html_math_renderer": "mathml",
        "html_static_path": [str(EXTENSION.parent / "_assets")],
        "html_css_files": ["book.css"],
        "html_theme_options": {"repository_url": "https://github.com/owner/name"},
    }
    conf = "\n".join(f"{name} = {value!r}" for name, value in options.items())
    (root / "conf.py").write_text(conf, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", ".", "_build"]
    environment = os.environ | {"PYTHONPATH": f"{EXTENSION}:{ROOT}", "NO_COLOR": "1"}
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
    assert not [line for line in built[1].splitlines() if re.match(r"\S*01_means", line)]


def test_result_becomes_a_box_with_anchor_and_name(chapter: str) -> None:
    box = re.search(
        r'<div class="[^"]*result theorem[^"]*" id="theorem-1-2">.*?</p>', chapter, re.S
    )
    assert box
    assert "<strong>Theorem 1.2</strong>" in box.group()
    assert re.search(
        r'class="name">The mean of <span class="math[^>]*><math><mi>x</mi>', box.group()
    )
    assert chapter.count("<blockquote>") == 1


def test_the_map_leads_to_its_sections_and_each_says_how_long_it_takes(chapter: str) -> None:
    listed = re.search(r'<ul class="chapter-map[^"]*">(.*?)</ul>', chapter, re.S)
    assert listed
    one, other = re.findall(r"<li>(.*?)</li>", listed[1], re.S)
    assert re.search(r'● <a [^>]*href="#what-it-is">What it is</a>.*>1 min<', one)
    assert re.search(r'○ <a [^>]*href="#the-m-of-it">The .*<mi>m</mi>.*of it</a>.*>3 min<', other)
    marks = [
        f'<p class="read-mark" data-section="{name}">' for name in ("what-it-is", "the-m-of-it")
    ]
    at = [chapter.index(mark) for mark in marks]
    assert chapter.index("It is a number.") < at[0] < chapter.index('id="the-m-of-it"') < at[1]
    assert at[1] < chapter.index('id="what-holds"')
    assert chapter.count('class="read-place"') == 1


def test_a_proof_and_a_check_lead_back_to_their_result(chapter: str) -> None:
    back = re.findall(r'<p class="held-by back">Back to <a [^>]*href="(#[^"]*)"', chapter)
    assert back == ["#theorem-1-2", "#theorem-1-2"]


def test_mentions_are_links_and_code_is_not(chapter: str) -> None:
    for anchor, text in [("theorem-1-2", "Theorem 1.2"), ("definition-1-1", "Definitions 1.1"),
                         ("definition-1-1", "1.1"), ("exercise-1-1", "Exercise 1.1")]:  # fmt: skip
        link = rf'<a [^>]*href="#{anchor}"[^>]*><span>{re.escape(text)}</span></a>'
        assert re.search(link, chapter), text
    assert ">Theorem 1.9<" in re.sub(r"</?span[^>]*>", "", chapter)


def test_punctuation_stays_with_its_formula(chapter: str) -> None:
    formula = r"<math><mi>x</mi></math>"
    assert re.findall(
        rf'<span class="unbroken"><span class="math">{formula}</span>(.)', chapter
    ) == ["?"]


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
    assert chapter.count("as one sees") == cell.group().count("as one sees") == 1


def test_a_plot_has_a_twin_in_the_colors_of_the_night(built: tuple[Path, str]) -> None:
    """Only the one that the theme asks for is seen; both say how large they will be."""
    page = (built[0] / "notebooks" / "20_image.html").read_text(encoding="utf-8")
    day, night = re.findall(r"<img [^>]*_images/[^>]*>", page)
    assert 'class="only-light"' in day
    assert 'class="only-dark"' in night
    assert 'loading="lazy"' in night, "nobody waits for what is not seen"
    for image, color in ((day, (0, 114, 178, 128)), (night, (50, 143, 209, 128))):
        assert 'width="2" height="1"' in image
        (path,) = re.findall(r'src="\.\./(_images/[^"]*)"', image)
        with Image.open(built[0] / path) as shown:
            assert shown.getpixel((1, 0)) == color


def test_an_image_with_a_class_stays_as_it_is(tmp_path: Path) -> None:
    photograph = f'<img alt="A digit." class="paper" src="../_images/{"0" * 64}.png" />'
    assert night.twins(photograph, {}, tmp_path) == photograph
    assert list(tmp_path.iterdir()) == []


def test_results_page_joins_statement_proof_check_and_test(built: tuple[Path, str]) -> None:
    page = (built[0] / "results.html").read_text(encoding="utf-8")
    for wanted in ['href="notebooks/01_means.html#theorem-1-2"', "Chapter 1: Means",
                   'href="notebooks/01_means.html#proof-of-theorem-1-2"', "1.0000\nbound 3.0",
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


def test_every_entry_of_the_bibliography_says_whether_it_was_verified(
    built: tuple[Path, str],
) -> None:
    """The mark is refused where it is missing, doubled, malformed, or about a field not there."""
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    assert works.unmarked(text) == []
    mark = "  verified = {2026-11}\n"
    for wrong in ("", "  verified = {lately}\n", mark[:-1] + ",\n  unverified = {title}\n"):
        (complaint,) = works.unmarked(text.replace(mark, wrong, 1))
        assert complaint.startswith("mcmahan2017communication: "), wrong
    page = (built[0] / "works.html").read_text(encoding="utf-8")
    doubts = re.findall(r'<span class="doubt">† ([^<]*)\.</span>', page)
    assert len(doubts) == text.count("  unverified = {") > 0
    assert "Published as Best Subset, Forward Stepwise or Lasso?" in page


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


# ----- the page of the library --------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(built: tuple[Path, str]) -> str:
    """The page "All of fedlearn_lib" without what stands around it."""
    page = (built[0] / "library.html").read_text(encoding="utf-8")
    return page[page.index("<article") : page.index("</article>")]


def entry(reference: str, name: str) -> str:
    """What the page says about one name, up to the next one."""
    start = reference.index(f'id="{name}"')
    after = reference.find('<dl class="py', start)
    return reference[start : after if after > 0 else None]


def test_every_public_name_is_on_the_page_once_with_its_import(reference: str) -> None:
    top = [name for name in fedlearn_lib.__all__ if library.is_code(getattr(fedlearn_lib, name))]
    wanted = {f"from fedlearn_lib import {name}" for name in top}
    for package in library.packages():
        offered = library.names(f"fedlearn_lib.{package}")
        wanted |= {f"from fedlearn_lib.{package} import {n}" for n in offered if n not in top}
    wanted |= {f"from {place} import {n}" for place, own in library.SHELF.items() for n in own}
    text = re.sub(r"<[^>]+>", "", reference)
    said = re.findall(r"^from fedlearn_\S+ import \w+$", text, re.MULTILINE)
    assert sorted(said) == sorted(wanted)
    assert len(top) > 45
    page = (ROOT / "book" / "library.md").read_text(encoding="utf-8")
    assert [
        name for name in fedlearn_lib.__all__ if name not in top and f"`{name}`" not in page
    ] == []


def test_the_page_begins_with_what_most_readers_need_and_goes_in_reading_order(
    reference: str,
) -> None:
    parts = re.findall(r"<h2>([\w.]+)<", reference)
    packages = [f"fedlearn_lib.{name}" for name in library.packages()]
    assert parts == ["fedlearn_lib", *packages, *library.SHELF]
    assert packages.index("fedlearn_lib.data") < packages.index("fedlearn_lib.federated")
    order = ["axpy", "lenet", "load", "gradient", "fedavg", "run", "iss_path", "SplitLBI", "grow"]
    places = [reference.index(f'id="fedlearn_lib.{name}"') for name in order]
    assert places == sorted(places)
    assert reference.index('"fedlearn_lib.sparse.lbi"') < reference.index(
        '"fedlearn_lib.sparse.Curve"'
    )


@pytest.mark.parametrize("gone", ["viz", "sparse.lbi", "federated.ditto"])
def test_a_module_that_is_missing_from_the_order_is_named(
    monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    listed = lambda: [library.names(f"fedlearn_lib.{name}") for name in library.packages()]  # noqa: E731
    assert len(listed()) >= 8
    monkeypatch.setattr(library, "ORDER", tuple(one for one in library.ORDER if one != gone))
    with pytest.raises(ValueError, match=rf"ORDER lacks .*{re.escape(gone)}\b.*; say when"):
        listed()


def test_every_module_of_the_order_defines_a_public_name() -> None:
    homes = {
        getattr(importlib.import_module(f"fedlearn_lib.{package}"), name).__module__
        for package in library.packages()
        for name in library.names(f"fedlearn_lib.{package}")
    }
    assert homes == {module.__name__ for module in library.modules()}


def test_docstrings_are_shown_as_they_are_meant(built: tuple[Path, str], reference: str) -> None:
    assert not [line for line in built[1].splitlines() if "docstring of" in line]
    optimizer = entry(reference, "fedlearn_lib.SplitLBI")
    assert re.search(r'<div class="math[^>]*>\s*<math display="block".*?Prox', optimizer, re.S)
    assert 'href="#fedlearn_lib.penalty_groups"' in optimizer
    assert "<strong>momentum_on</strong>" in optimizer
    loader = entry(reference, "fedlearn_lib.load")
    assert loader.count("<tr") == 9
    assert "=====" not in loader
    code = re.sub(r"<(code|pre|script).*?</\1>", "", reference, flags=re.S)
    prose = re.sub(r"<math.*?</math>|<[^>]+>", "", code, flags=re.S)
    assert re.findall(r"\$|``|:\w+:`|\.\. \w+::", prose) == []


def test_signatures_hold_what_was_written_and_methods_what_we_wrote(reference: str) -> None:
    folds = re.sub(r"<[^>]+>", "", entry(reference, "fedlearn_lib.sparse.cross_validation"))
    assert "score: Score = squared_error" in folds
    meta = re.sub(r"<[^>]+>", "", entry(reference, "fedlearn_lib.maml_gradient"))
    assert "loss: Loss,\n" in meta
    assert "delta: float = 1e-3,\n" in meta
    assert "Callable" not in meta
    assert re.findall(r"0x[0-9a-f]{6,}", reference) == []
    block = entry(reference, "fedlearn_lib.models.ResidualBlock")
    assert "Define the computation" not in reference
    assert "group normalization" in block
    assert "Alias for field number" not in reference
    assert 'id="fedlearn_lib.Clients.draw"' in reference


def test_no_signature_is_a_list_of_definitions_without_terms(reference: str) -> None:
    signatures = re.findall(r'<dt class="sig .*?</dt>', reference, re.S)
    assert len(signatures) > 100
    assert [one for one in signatures if re.search(r"<d[ld]\b", one)] == []
    assert sum('<span class="line"><em class="sig-param">' in one for one in signatures) > 30


def test_every_mention_of_a_name_on_the_page_is_a_link(reference: str) -> None:
    own = reference[: reference.index('id="fedlearn_book')]
    lost = re.findall(r'(?<!">)<code class="xref py[^>]*>(.*?)</code>', own)
    assert lost == []
    assert own.count('<code class="xref py') > 40


def test_formulas_are_typeset_when_the_book_is_built(chapter: str) -> None:
    assert "<math>" in chapter
    assert r"\(" not in chapter
    assert r"\[" not in chapter
