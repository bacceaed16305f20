"""Every chapter keeps the contract, and the contract notices when one does not."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
from contract import complaints, source

from fedlearn_book.widgets import page

CHAPTERS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_there_are_chapters() -> None:
    assert [path.name[:2] for path in CHAPTERS] == [f"{i:02d}" for i in range(1, len(CHAPTERS) + 1)]
    assert CHAPTERS


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_chapter_keeps_the_contract(path: Path) -> None:
    assert complaints(read(path)) == []


def programs() -> dict[str, tuple[str, str]]:
    """The style and the program of each kind of interactive figure, as the library has them now."""
    kinds = {
        "drawings": (page.vector_style(), page.asset("vector.js").strip()),
        "pixels": (page.asset("explore.css"), page.asset("explore.js").strip()),
    }
    shim = page.asset("shim.js").strip()
    for name in ("filters", "heterogeneity", "landscape", "paths", "personal"):
        source = page.module_source(f"{name}.js")
        kinds[name] = (page.hero_style(f"{name}.css"), f"{source}\n({shim})(")
    return kinds


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_interactive_figures_were_drawn_by_the_library_as_it_is(path: Path) -> None:
    """A stored figure holds a copy of its program; after a change the chapter must run again."""
    htmls = [
        "".join(output.get("data", {}).get("text/html", ""))
        for cell in read(path)["cells"] if cell["cell_type"] == "code"
        for output in cell["outputs"]
    ]  # fmt: skip
    figures = [html for html in htmls if "fl-figure" in html]
    assert figures
    for html in figures:
        assert any(
            f"<style>{style}</style>" in html and program in html
            for style, program in programs().values()
        ), "run this chapter again: the widgets have changed since its figure was made"


def transports(path: Path) -> bool:
    """Whether a chapter calls a function that needs POT, the largest package of all to install."""
    code = "\n".join(source(c) for c in read(path)["cells"][2:] if c["cell_type"] == "code")
    return re.search(r"\b(\w*wasserstein(_to_pool)?\(|(import|from) ot\b)", code) is not None


def test_the_set_up_cell_is_the_same_everywhere_but_where_pot_is_needed() -> None:
    cells = {path: source(read(path)["cells"][1]) for path in CHAPTERS}
    with_pot = {path for path in CHAPTERS if transports(path)}
    assert {path.name[:2] for path in with_pot} == {"02", "06", "14"}
    plain = {cell for path, cell in cells.items() if path not in with_pot}
    assert len(plain) == 1
    (cell,) = plain
    cell = cell.replace("[book]", "[book,transport]")
    cell = cell.replace("import fedlearn_lib\nexcept", "import fedlearn_lib\n    import ot\nexcept")
    assert {cells[path].replace("  # noqa: F401", "") for path in with_pot} == {cell}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_links_of_the_head_name_this_file(path: Path) -> None:
    first = source(read(path)["cells"][0])
    assert len(re.findall(rf"/main/notebooks/{re.escape(path.name)}\)", first)) == 2


def edit(old: str, new: str, kind: str = "markdown"):
    def change(notebook: dict) -> None:
        for cell in notebook["cells"]:
            if cell["cell_type"] == kind and old in source(cell):
                cell["source"] = source(cell).replace(old, new, 1)
                return
        raise AssertionError(f"{old!r} is not in the chapter")

    return change


def first_code(**changes):
    def change(notebook: dict) -> None:
        cell = next(c for c in notebook["cells"][2:] if c["cell_type"] == "code")
        cell.update(changes)

    return change


def drop_tag(tag: str):
    def change(notebook: dict) -> None:
        cell = next(c for c in notebook["cells"] if tag in c["metadata"].get("tags", []))
        cell["metadata"]["tags"].remove(tag)

    return change


def drop_alt(notebook: dict) -> None:
    drop_html(notebook)  # a drawing carries its own
    for cell in notebook["cells"]:
        cell["metadata"].pop("mystnb", None)


def drop_html(notebook: dict) -> None:
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("text/html", None)


def fail_solution(notebook: dict) -> None:
    cell = next(c for c in notebook["cells"] if "solution" in c["metadata"].get("tags", []))
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "Not yet. No."}]


ERROR = [{"output_type": "error", "ename": "E", "evalue": "", "traceback": []}]
WIDGET = [{"output_type": "display_data", "metadata": {},
           "data": {"application/vnd.jupyter.widget-view+json": {}}}]  # fmt: skip
PLOT = [{"output_type": "display_data", "metadata": {},
         "data": {"image/png": "", "text/plain": ""}}]  # fmt: skip
PAPER = {"mystnb": {"image": {"classes": "paper"}}}

BREAKS = {
    "promise": (edit("\n\n*", "\n\n"), "promise"),
    "time": (edit("**Time:**", "Time:"), "lacks **Time:**"),
    "objectives": (edit("After this chapter you can", "You can"), "objectives"),
    "colab": (edit("[Open in Colab](", "[Open]("), "Colab"),
    "set-up": (drop_tag("setup"), "set-up cell"),
    "not run": (first_code(execution_count=None), "not run in order"),
    "error": (first_code(outputs=ERROR), "stores an error"),
    "widget": (first_code(outputs=WIDGET), "without its kernel"),
    "alt": (drop_alt, "alternative text"),
    "negative": (first_code(source="plt.imshow(x)", outputs=PLOT), "show a negative"),
    "bright": (first_code(source="plt.plot(x)", outputs=PLOT, metadata=PAPER), "has no imshow"),
    "slider": (drop_html, "no interactive figure"),
    "predict": (edit("**Predict first:**", "Predict:"), "prediction"),
    "see": (edit("What to see", "Observe"), "what to see"),
    "numbering": (edit("### Exercise 1.3 ", "### Exercise 1.4 "), "numbered from 1"),
    "kind": (edit("### Exercise 1.3 (derive)", "### Exercise 1.3 (prove)"), "all three kinds"),
    "hint": (
        edit("<details><summary>Hint</summary>", "<details><summary>Help</summary>"),
        "no hint",
    ),
    "solution": (edit("<summary>Solution</summary>", "<summary>Answer</summary>"), "no folded"),
    "title": (edit("Solution of Exercise 1.2", "Solution", "code"), "no executed solution"),
    "failing": (fail_solution, "does not pass its checker"),
    "question": (edit("**Question 2.**", "**Question 3.**"), "questions must be"),
    "unexplained": (edit("\n\nRight. ", "\n\n"), "without explanation"),
    "two right": (edit("\n\nNo. ", "\n\nRight. "), "exactly one right"),
    "map": (edit("○ Beyond quadratics · ", ""), "the map lacks"),
    "core": (edit("## The question\n", "## The question\n" + "$x$ word " * 2000), "the core has"),
    "directive": (edit("## Quiz", ":::{note}\n:::\n\n## Quiz"), "raw directive"),
    "role": (edit("## Quiz", "{cite}`a`\n\n## Quiz"), "raw directive"),
    "open fold": (edit("</details>", ""), "fold"),
    "heading": (edit("<summary>Hint</summary>\n", "<summary>Hint</summary>\n\n### H\n"), "heading"),
    "escape": (edit("$\\tau$", "$\\tau\\,$"), "eats"),
    "points": (edit("## What to remember", "## Keep"), "What to remember"),
    "fooled": (edit("## What would have fooled us", "## Traps"), "fooled"),
    "literature": (edit("## What the literature says next", "## Next"), "literature"),
    "swallowed": (edit("\n2. ", "\nthat is\n2. "), "no gap before the item"),
    "long": (edit("## The question", "word " * 400 + "\n\n## The question"), "words without"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_contract_notices(name: str) -> None:
    change, words = BREAKS[name]
    notebook = copy.deepcopy(read(CHAPTERS[0]))
    before = complaints(notebook)
    change(notebook)
    new = [line for line in complaints(notebook) if line not in before]
    assert any(words in line for line in new), new
