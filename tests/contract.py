"""What a chapter must contain: each rule reads a notebook and returns its complaints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

Notebook = dict[str, Any]
RULES: list[Callable[[Notebook], Iterator[str]]] = []
VIEW = "application/vnd.jupyter.widget-view+json"
PLOT = {"image/png", "text/plain"}


def rule(function: Callable[[Notebook], Iterator[str]]) -> Callable[[Notebook], Iterator[str]]:
    RULES.append(function)
    return function


def complaints(notebook: Notebook) -> list[str]:
    return [words for one in RULES for words in one(notebook)]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def cells(notebook: Notebook, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def prose(notebook: Notebook) -> str:
    return "\n\n".join(source(cell) for cell in cells(notebook, "markdown"))


def tags(cell: dict[str, Any]) -> list[str]:
    found: list[str] = cell["metadata"].get("tags", [])
    return found


def printed(cell: dict[str, Any]) -> str:
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


@rule
def head(notebook: Notebook) -> Iterator[str]:
    first = source(notebook["cells"][0])
    if not re.match(r"# [^\n]+\n\n\*[^\n]+\*\n", first):
        yield "the first cell is no title with a one-sentence promise in italics"
    for words in (
        "**Before you start:**",
        "**Time:**",
        "**Level:**",
        "[Open in Colab](",
        "[Download",
    ):
        if words not in first:
            yield f"the first cell lacks {words}"
    goals = re.findall(
        r"^\d+\. \*\*\w+\*\* ", first.partition("After this chapter you can")[2], re.M
    )
    if not 3 <= len(goals) <= 5:
        yield f"{len(goals)} objectives begin with a bold verb; 3 to 5 are asked for"


@rule
def chapter_map(notebook: Notebook) -> Iterator[str]:
    """A map in the first cell lists every section; those of the core have at most 4,000 words."""
    first = source(notebook["cells"][0])
    if "**The map.**" not in first:
        return  # chapters get theirs with their second edition
    places = "\n".join(line for line in first.splitlines() if line[:1] in ("●", "○"))
    marks = {name.strip(): mark for mark, name in re.findall(r"([●○]) ([^·\n]+)", places)}
    text = re.sub(r"<details>.*?</details>", "", prose(notebook), flags=re.S)
    words, mark = 0, ""
    for level, name, body in re.findall(r"^(##+) ([^\n]*)\n(.*?)(?=^##+ |\Z)", text, re.M | re.S):
        if name == "Exercises":
            break
        if level == "##" and name not in marks:
            yield f"the map lacks the section {name!r}"
        mark = marks.pop(name, "" if level == "##" else mark)
        words += len(body.split()) if mark == "●" else 0
    if marks:
        yield f"the map names what is no section: {sorted(marks)}"
    if words > 4000:
        yield f"the core has {words} words; 4,000 are asked for"


@rule
def setup(notebook: Notebook) -> Iterator[str]:
    if [i for i, cell in enumerate(notebook["cells"]) if "setup" in tags(cell)] != [1]:
        yield "the set-up cell must be the second cell, and the only one with its tag"


@rule
def stored_outputs(notebook: Notebook) -> Iterator[str]:
    for number, cell in enumerate(cells(notebook, "code"), start=1):
        if cell["execution_count"] != number:
            yield f"code cell {number} was not run in order"
        if any(output["output_type"] == "error" for output in cell["outputs"]):
            yield f"code cell {number} stores an error"
        if any(VIEW in output.get("data", {}) for output in cell["outputs"]):
            yield f"code cell {number} stores a widget without its kernel"
        if "nbval-check-output" in tags(cell) and not cell["outputs"]:
            yield f"code cell {number} is to be compared and has no output"


@rule
def checks(notebook: Notebook) -> Iterator[str]:
    found = [cell for cell in cells(notebook, "code") if source(cell).startswith("# Check of ")]
    if len(found) < 3:
        yield f"{len(found)} cells check a result"
    for cell in found:
        if "nbval-check-output" not in tags(cell):
            yield f"not compared on each run: {source(cell).splitlines()[0]}"


@rule
def alternatives(notebook: Notebook) -> Iterator[str]:
    for number, cell in enumerate(cells(notebook, "code"), start=1):
        alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data and "text/html" not in data and len(alt) < 40:
                yield f"code cell {number} shows an image without alternative text"
            for image in re.findall(r"<img\b[^>]*>", "".join(data.get("text/html", ""))):
                if not re.search(r'\balt="[^"]{20,}"', image):
                    yield f"code cell {number} has an <img> without alternative text"


@rule
def nights(notebook: Notebook) -> Iterator[str]:
    for number, cell in enumerate(cells(notebook, "code"), start=1):
        image = cell["metadata"].get("mystnb", {}).get("image", {})
        pixels, kept = "imshow(" in source(cell), image.get("classes") == "paper"
        plain = [out for out in cell["outputs"] if {*out.get("data", {})} == PLOT]
        if plain and pixels and not kept:
            yield (
                f"code cell {number} uses imshow, of which a dark page would show a negative: say "
                'so with the metadata mystnb.image.classes "paper"'
            )
        if plain and kept and not pixels:
            yield f'code cell {number} has no imshow: leave mystnb.image.classes "paper" out'


@rule
def interactive(notebook: Notebook) -> Iterator[str]:
    shown = [
        "".join(output.get("data", {}).get("text/html", ""))
        for cell in cells(notebook, "code") for output in cell["outputs"]
    ]  # fmt: skip
    if not any('type="range"' in html or 'type: "range"' in html for html in shown):
        yield "no interactive figure"
    if "**Predict first:**" not in prose(notebook):
        yield "no prediction is asked for before a figure is moved"
    if not re.search(r"^What to see", prose(notebook), re.M):
        yield "no sentence says what to see in the interactive figure"


def exercises(notebook: Notebook) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return number, kind and cells of each exercise."""
    found: list[tuple[str, str, list[dict[str, Any]]]] = []
    for cell in notebook["cells"]:
        text = source(cell)
        begun = cell["cell_type"] == "markdown" and re.search(
            r"^### Exercise (\d+\.\d+) \((think|derive|code)\)\. \S", text, re.M
        )
        if (
            cell["cell_type"] == "markdown"
            and re.search(r"^## (?!Exercises)", text, re.M)
            and found
        ):
            found.append(("end", "", []))
        if begun:
            pieces = re.split(r"^(?=### Exercise)", text, flags=re.M)
            for piece in pieces[1:]:
                match = re.match(r"### Exercise (\d+\.\d+) \((\w+)\)", piece)
                if match:
                    found.append((*match.groups(), [{**cell, "source": piece}]))  # type: ignore[arg-type]
        elif found and found[-1][0] != "end":
            found[-1][2].append(cell)
    return [one for one in found if one[0] != "end"]


@rule
def exercise_set(notebook: Notebook) -> Iterator[str]:
    found = exercises(notebook)
    numbers = [int(number.split(".")[1]) for number, _, _ in found]
    if numbers != list(range(1, len(found) + 1)) or len(found) < 8:
        yield f"exercises must be numbered from 1 and at least 8, got {numbers}"
    if {kind for _, kind, _ in found} != {"think", "derive", "code"}:
        yield "exercises must be of all three kinds"
    for number, kind, own in found:
        text = "\n".join(source(cell) for cell in own if cell["cell_type"] == "markdown")
        solved = [cell for cell in own if "solution" in tags(cell)]
        if "<details><summary>Hint</summary>" not in text:
            yield f"Exercise {number} has no hint"
        if kind != "code" and "<details><summary>Solution</summary>" not in text:
            yield f"Exercise {number} has no folded solution"
        if kind == "code":
            yield from code_exercise(number, own, solved)


def code_exercise(number: str, own: list[Any], solved: list[Any]) -> Iterator[str]:
    if len(solved) != 1 or f"# @title Solution of Exercise {number}\n" not in source(solved[0]):
        yield f"Exercise {number} has no executed solution with its title"
        return
    name = re.search(r'^check\("([^"]+)", \w+\)', source(solved[0]), re.M)
    stub = [cell for cell in own if cell["cell_type"] == "code" and "solution" not in tags(cell)]
    if not name or not any(f'check("{name.group(1)}",' in source(cell) for cell in stub):
        yield f"Exercise {number} has no checker in front of its solution"
    elif f'Right: "{name.group(1)}"' not in " ".join(printed(solved[0]).split()):
        yield f"the solution of Exercise {number} does not pass its checker"
    elif not any("Not yet." in printed(cell) for cell in stub):
        yield f"Exercise {number} is solved before the reader came"


@rule
def quiz(notebook: Notebook) -> Iterator[str]:
    parts = re.split(
        r"^\*\*Question (\d+)\.\*\* ", prose(notebook).partition("## Quiz")[2], flags=re.M
    )
    numbers = [int(number) for number in parts[1::2]]
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < 5:
        yield f"questions must be numbered from 1 and at least 5, got {numbers}"
    for number, text in zip(numbers, parts[2::2], strict=True):
        text = text.partition("\n## ")[0]
        options = re.findall(
            r"<details><summary>([A-E])\. [^<]+</summary>\n\n"
            r"(Right|Not quite|No)\. \S.{20,}?\n\n</details>",
            text, re.S,
        )  # fmt: skip
        if len(options) < 3 or len(options) != text.count("<details>"):
            yield f"question {number} has an option without explanation, or fewer than three"
        if [verdict for _, verdict in options].count("Right") != 1:
            yield f"question {number} must have exactly one right option"


@rule
def portable(notebook: Notebook) -> Iterator[str]:
    text = prose(notebook)
    raw = re.search(r"^(:::|```)\s*\{|\{(cite|ref|eq|prf:ref|numref|term|doc)[^}]*\}`", text, re.M)
    if raw:
        yield f"a raw directive or role: {raw.group(0)!r}"
    for body in re.findall(r"<details>(.*?)</details>", text, re.S):
        if "<details>" in body or re.search(r"^#", body, re.M):
            yield f"a fold holds a heading or another fold: {body[:60]!r}"
    if text.count("<details>") != text.count("</details>"):
        yield "a fold is not closed"
    if re.search(r"\$[^$\n]*\\[,;!{}|][^$\n]*\$", text):
        yield "a formula holds an escape that GitHub's Markdown eats"


@rule
def closing(notebook: Notebook) -> Iterator[str]:
    text = prose(notebook)
    kept = text.partition("## What to remember")[2].partition("\n## ")[0]
    if not 3 <= len(re.findall(r"^- ", kept, re.M)) <= 5:
        yield "What to remember must have 3 to 5 points"
    if "## What would have fooled us" not in text:
        yield "no section What would have fooled us"
    if len(re.findall(r"\]\(https?://", text.partition("## What the literature says next")[2])) < 3:
        yield "What the literature says next cites fewer than three works"


@rule
def breathing(notebook: Notebook) -> Iterator[str]:
    """At most 330 words in a row without a formula, a picture, a table or a cell, first half."""
    half = notebook["cells"][: len(notebook["cells"]) // 2]
    text = "\n\n".join(
        re.sub(r"<details>.*?</details>", "", source(c), flags=re.S)
        if c["cell_type"] == "markdown" else "$$" for c in half
    )  # fmt: skip
    breaks = [0, *(m.start() for m in re.finditer(r"\$\$|^\||^>", text, re.M)), len(text)]
    for start, end in pairwise(breaks):
        words = len(text[start:end].split())
        if words > 330:
            yield f"{words} words without a break after {text[start : start + 60]!r}"


@rule
def numbered(notebook: Notebook) -> Iterator[str]:
    """An item above 1 that follows a line of text without a gap is a part of that line."""
    for cell in cells(notebook, "markdown"):
        for before, line in pairwise(source(cell).split("\n")):
            item = re.match(r"(?:> )?(\d+)\. ", line)
            text = before.strip(" >") and not re.match(r"(?:> )?(\d+\. |\s+\S)", before)
            if item and int(item[1]) > 1 and text:
                yield f"no gap before the item {line[:40]!r}"


def howto_complaints(notebook: Notebook) -> list[str]:
    """What a how-to page must have: of a chapter's rules those below, and a few of its own."""
    kept = (setup, stored_outputs, alternatives, portable, howto)
    return [words for one in kept for words in one(notebook)]


def howto(notebook: Notebook) -> Iterator[str]:
    first = source(notebook["cells"][0])
    if not re.match(r"# How to [^\n]+\n\n\*[^\n]+\*\n", first):
        yield "the first cell is no title with a one-sentence promise in italics"
    for words in ("**Before you start:**", "**Time:**", "[Open in Colab](", "[Download"):
        if words not in first:
            yield f"the first cell lacks {words}"
    goals = re.findall(r"^\d+\. \*\*\w+\*\* ", first.partition("After this page you can")[2], re.M)
    if len(goals) != 3:
        yield f"{len(goals)} objectives begin with a bold verb; 3 are asked for"
    if (count := len(prose(notebook).split())) > 1500:
        yield f"{count} words; at most 1,500 are asked for"
    shown = [output for cell in cells(notebook, "code") for output in cell["outputs"]]
    htmls = ["".join(output.get("data", {}).get("text/html", "")) for output in shown]
    if not any("<figcaption>" in html for html in htmls):
        yield "no figure with a caption"
    texts = ["".join(output.get("text", "")) for output in shown]
    if not any(r"\begin{tabular}" in text for text in texts):
        yield "no table for a paper"
    if not any("text/markdown" in output.get("data", {}) for output in shown):
        yield "no table on the page"
    if not re.search(r"± \d", "\n".join(texts)):
        yield "no difference with its interval"
    if not source(notebook["cells"][-1]).startswith("## What to report"):
        yield "the last cell does not say what to report"
