"""`make colab`: what it lets pass, what it complains of, and one chapter opened as Colab does.

The chapter runs with the packages of this environment, not with Colab's: the fast form. The weekly
workflow installs Colab's own and opens every chapter.
"""

from __future__ import annotations

import sys
import tomllib
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from packaging.requirements import Requirement

from tools import run_colab
from tools.repository import ROOT, notebooks
from tools.run_colab import VIEW, Packages, Visit, complaints, visit

CHAPTER = ROOT / "notebooks" / "08_inverse_scale_space.ipynb"  # the one that runs in half a minute
MANAGER = {VIEW: {"colab": {"custom_widget_manager": {"url": "https://example.org/x.js"}}}}
SLIDERS = '<input type="range">'
MODELS = {
    "core": {"_model_module": "@jupyter-widgets/controls"},
    "hero": {"_model_module": "anywidget"},
    "box": {"_model_module": "@jupyter-widgets/controls", "children": ["IPY_MODEL_hero"]},
}


def setup_cell() -> NotebookNode:
    cell = deepcopy(nbformat.read(CHAPTER, as_version=4).cells[1])
    assert "setup" in cell.metadata.tags
    return cell


def notebook(*cells: NotebookNode) -> NotebookNode:
    return new_notebook(cells=list(cells))


def figure(model: str = "", **kwargs) -> NotebookNode:
    data = {VIEW: {"model_id": model}} if model else {"text/html": SLIDERS}
    return new_code_cell("figure", outputs=[new_output("display_data", data, **kwargs)])


def visited(shown: NotebookNode, **changes) -> Visit:
    packages = {"numpy": "2.1.3", "torch": "2.11.0"}
    clean = Visit(shown, MODELS, packages, packages | {"fedlearn_lib": "0.2.0"}, [])
    return clean._replace(**changes)


STORED = notebook(new_code_cell("1 + 1"), figure())
LIVE = notebook(new_code_cell("1 + 1"), figure("core"))


def test_a_clean_visit_has_no_complaints():
    assert complaints(visited(LIVE), STORED) == []
    named = notebook(new_code_cell("1 + 1"), figure("hero", metadata=MANAGER))
    assert complaints(visited(named), STORED) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"failure": "NameError: name 'x'"}, "a cell failed: NameError"),
        ({"left": ["data/digits.npz"]}, "data/digits.npz was left beside the notebook"),
        ({"after": {"numpy": "2.4.6", "torch": "2.11.0"}}, "numpy 2.1.3 became 2.4.6"),
        ({"after": {"numpy": "2.1.3"}}, "torch 2.11.0 is gone"),
        ({"after": {"numpy": "2.1.3", "torch": "2.11.0", "ray": "2"}}, "ray 2 was installed"),
    ],
)
def test_what_a_reader_would_have_to_live_with_is_named(changes, words):
    (complaint,) = complaints(visited(LIVE, **changes), STORED)
    assert complaint.startswith(words)


@pytest.mark.parametrize("model", ["hero", "box"])
def test_a_widget_of_others_must_name_its_manager(model):
    shown = notebook(new_code_cell("1 + 1"), figure(model))
    (complaint,) = complaints(visited(shown), STORED)
    assert complaint == "the widget of code cell 2 does not name its manager to Colab"


def test_a_figure_that_stays_still_in_colab_is_named():
    (complaint,) = complaints(visited(STORED), STORED)
    assert complaint == "the figure of code cell 2 did not take Colab's live path"


def said(text: str, name: str = "stderr", *tags: str) -> NotebookNode:
    output = new_output("stream", name=name, text=text)
    return new_code_cell("say()", outputs=[output], metadata={"tags": list(tags)})


def test_only_known_words_may_stand_in_red():
    assert complaints(visited(notebook(said("UserWarning: old\n"), figure("core"))), STORED) == [
        "code cell 1 says 'UserWarning: old'"
    ]
    known = "Note: you may need to restart the kernel to use updated packages.\n"
    for ok in (said("Right.\n", "stdout"), said(known, "stdout", "setup"), said(known)):
        assert complaints(visited(notebook(ok, figure("core"))), STORED) == []
    red = said("ERROR: pip's dependency resolver does not\n", "stdout", "setup")
    (complaint,) = complaints(visited(notebook(red, figure("core"))), STORED)
    assert complaint.startswith('code cell 1 says "ERROR: pip')


def test_the_dated_list_holds_all_that_a_chapter_imports():
    pins = run_colab.read_pins(run_colab.PINS.read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["book"]]
    for one in map(Requirement, needed):
        assert pins[run_colab.plain(one.name)] in one.specifier, one
    assert {
        "ipywidgets": "7.7.1",
        "ipython": "7.34.0",
        "ipykernel": "6.17.1",
    }.items() <= pins.items()


def test_chapters_are_found_by_number_name_and_path():
    for one in ("8", "08", CHAPTER.stem, CHAPTER.name, str(CHAPTER)):
        assert notebooks([one], "colab") == [CHAPTER]
    assert len(notebooks([], "colab")) >= 16
    with pytest.raises(SystemExit, match="make run: there is no chapter '99'; say CHAPTER=08"):
        notebooks(["99"], "run")


def test_a_python_that_does_not_run_is_named():
    with pytest.raises(SystemExit, match=r"/no/python runs as Python 3\.11 or newer"):
        run_colab.find_python("/no/python")


# ----- opened as Colab does ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def packages() -> Packages:
    return Packages(sys.executable, [run_colab.site_of(sys.executable)], offline=True)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_colab.make_origin(tmp_path_factory.mktemp("colab") / "origin.git")


SINS = """
import sys, warnings
from pathlib import Path
import google.colab.output
warnings.warn("an old way")
Path("left.csv").write_text("1,2")
inside = Path(sys.prefix, "lib", f"python3.{sys.version_info[1]}", "site-packages")
(inside / "numpy-9.9.dist-info").mkdir()
(inside / "numpy-9.9.dist-info" / "METADATA").write_text("Name: numpy\\nVersion: 9.9\\n")
assert Path(fedlearn_lib.__file__).is_relative_to(inside)
assert "fedlearn_lib" not in [path.name for path in Path.cwd().iterdir()]
"""


@pytest.mark.slow
def test_what_a_notebook_does_wrong_is_seen(packages, origin, tmp_path):
    path = tmp_path / "99_sins.ipynb"
    nbformat.write(notebook(setup_cell(), new_code_cell(SINS), figure()), path)
    stored = nbformat.read(path, as_version=4)
    stored.cells[2].source = "1 + 1"
    nbformat.write(stored, path)
    found = complaints(visit(path, packages, origin, tmp_path / "visit"), stored)
    assert any(one.endswith("became 9.9") for one in found), found
    assert "left.csv was left beside the notebook" in found
    assert "the figure of code cell 3 did not take Colab's live path" in found
    assert any("UserWarning: an old way" in one for one in found)
    assert all("code cell 1 " not in one for one in found), found


@pytest.mark.slow
def test_a_chapter_runs_alone_in_an_empty_folder_and_its_figures_are_live(
    packages, origin, tmp_path
):
    """The set-up cell installs from the repository, every cell runs, and nothing else happens."""
    seen = visit(CHAPTER, packages, origin, tmp_path / "visit")
    assert complaints(seen, nbformat.read(CHAPTER, as_version=4)) == []
    heroes = [state for state in seen.models.values() if state["_model_module"] == "anywidget"]
    assert heroes, "chapter 8 has the figure of paths"
