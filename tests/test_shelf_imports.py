"""The shelf's modules can be read from the bottom up: no circle, no private name of a neighbor."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fedlearn_book

HOME = Path(fedlearn_book.__file__).parent
MODULES = {
    ".".join(("fedlearn_book", *path.relative_to(HOME).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(HOME.rglob("*.py"))
}


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of every import that runs, also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in only_for_types:
            yield from ((node.module or "", alias.name) for alias in node.names)


def needs() -> dict[str, set[str]]:
    """The modules of the shelf that each of them needs to run."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        names = {whole for m, name in imported(path) for whole in (f"{m}.{name}", m)}
        found[module] = {name for name in names if name in MODULES} - {module}
        if path.name == "__init__.py":  # a package needs its modules, and they may ask for it
            found[module] = set()
    return found


def test_no_module_needs_itself_through_others() -> None:
    arrows = needs()
    assert arrows["fedlearn_book.widgets.filters"], "the search finds imports"
    while free := {module for module, below in arrows.items() if not below}:
        arrows = {m: below - free for m, below in arrows.items() if m not in free}
    assert arrows == {}, f"these need each other: {sorted(arrows)}"


@pytest.mark.parametrize("module", MODULES)
def test_a_private_name_stays_in_its_module(module: str) -> None:
    private = [f"{m}.{name}" for m, name in imported(MODULES[module]) if name.startswith("_")]
    assert [name for name in private if not name.endswith(".__version__")] == []
