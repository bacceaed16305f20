"""What the chapters and the tests say, read from notebooks/*.ipynb and tests/*.py as they stand."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from portable.labels import BOX_TITLE, UNPROVED

_CHECK = re.compile(r"^# Check of (\w+ \d+\.\d+)\b")
_PROOF = re.compile(r"<summary>\s*Proof of (\w+ \d+\.\d+)\b")


Cell = dict[str, Any]


class Test(NamedTuple):
    """A test function that names a result."""

    path: str
    name: str
    line: int


class Result(NamedTuple):
    """A numbered result: where it stands, what it says, and what holds it up."""

    label: str
    name: str | None
    docname: str
    statement: str
    proved: bool
    check: str | None
    tests: tuple[Test, ...]

    @property
    def gaps(self) -> list[str]:
        """What the result lacks; a Definition or an Algorithm needs nothing."""
        if self.label.split()[0] in UNPROVED:
            return []
        check = "check" if self.check is None else "output of its check (run the chapter)"
        held = {"proof": self.proved, check: self.check, "test": self.tests}
        return [name for name, value in held.items() if not value]


def read_cells(path: Path) -> list[Cell]:
    """Read a notebook's cells, each with ``source`` as one string."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def statements(markdown: str) -> list[tuple[str, str | None, str]]:
    r"""Find the results stated in a Markdown cell: (label, name, statement).

    >>> statements("> **Lemma 1.2 (Mean).** It is\n> $0$.\n\nText")
    [('Lemma 1.2', 'Mean', 'It is\n$0$.')]
    """
    found = []
    for block in re.findall(r"(?:^>.*(?:\n|\Z))+", markdown, flags=re.M):
        text = re.sub(r"^> ?", "", block, flags=re.M).strip()
        bold = re.match(r"\*\*(.+?)\*\*", text, flags=re.S)
        match = BOX_TITLE.match(bold.group(1)) if bold else None
        if bold and match:
            kind, chapter, number, name = match.groups()
            found.append((f"{kind} {chapter}.{number}", name, text[bold.end() :].strip()))
    return found


def output_text(cell: Cell) -> str:
    """Join what a code cell printed and returned as text."""
    parts = []
    for output in cell.get("outputs", []):
        text = output.get("text") if output["output_type"] == "stream" else None
        if output["output_type"] in ("execute_result", "display_data"):
            text = output["data"].get("text/plain")
        parts.append("".join(text or ""))
    return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts if part).rstrip()


def checks(cells: list[Cell]) -> dict[str, str]:
    """Map labels to the output of the cell that begins "# Check of <label>".

    What a cell "# Check of <label>, continued" printed is added.
    """
    found: dict[str, str] = {}
    for cell in cells:
        match = _CHECK.match(cell["source"]) if cell["cell_type"] == "code" else None
        if match:
            before = found.get(match.group(1), "")
            found[match.group(1)] = f"{before}\n{output_text(cell)}".lstrip("\n")
    return found


def tests_of(root: Path, labels: list[str]) -> dict[str, tuple[Test, ...]]:
    """Map labels to the test functions whose docstring names them."""
    found: dict[str, list[Test]] = {label: [] for label in labels}
    patterns = {label: re.compile(rf"\b{re.escape(label)}(?!\d)") for label in labels}
    for path in sorted((root / "tests").glob("**/test_*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                text = ast.get_docstring(node) or ""
                test = Test(path.relative_to(root).as_posix(), node.name, node.lineno)
                for label in labels:
                    if patterns[label].search(text):
                        found[label].append(test)
    return {label: tuple(tests) for label, tests in found.items()}


def read_results(root: Path, docnames: list[str]) -> list[Result]:
    """Collect every numbered result of the chapters ``docnames``, in order."""
    rows = []
    for docname in docnames:
        cells = read_cells(root / f"{docname}.ipynb")
        texts = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
        proofs = {label for text in texts for label in _PROOF.findall(text)}
        printed = checks(cells)
        for text in texts:
            for label, name, statement in statements(text):
                rows.append((label, name, docname, statement, label in proofs, printed.get(label)))
    tests = tests_of(root, [row[0] for row in rows])
    return [Result(*row, tests[row[0]]) for row in rows]


def title_of(cells: list[Cell]) -> str:
    """Return the first heading of a notebook."""
    for cell in cells:
        match = re.search(r"^# (.+)$", cell["source"], flags=re.M)
        if cell["cell_type"] == "markdown" and match:
            return match.group(1).strip()
    raise ValueError("the notebook has no heading '# Title'; its first Markdown cell needs one")
