"""Open each chapter as Colab does (`make colab`): alone, in an empty folder, with Colab's packages.

Three layers lie under `_build/colab`. The *environment* is frozen to what Colab ships, one dated
list in `tools/colab`; it is made once, and again when that list or the Python changed. A *room* is
new for each chapter: a virtual environment in which the environment's packages can be imported and
nothing else is installed, so that whatever the set-up cell installs lands there and is seen. The
*folder* holds the notebook and nothing else. `git` answers the set-up cell's address with a
repository that has one commit, the tracked files as they are here.

`--here` takes the packages of the running interpreter instead of Colab's and installs without an
index: the fast form, for the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tools.repository import ROOT, current, notebooks

BUILD = ROOT / "_build" / "colab"
HERE = ROOT / "tools" / "colab"
PINS = HERE / "2026-08-19.txt"
PYTHONS = ("python3.13", "python3.12", "python3.11")  # Colab's, the one before, the oldest of ours
VIEW = "application/vnd.jupyter.widget-view+json"
# What a set-up cell may add: the library, POT for the chapters that measure transport, and what pip
# brings with the first package that needs ipywidgets: jedi, which IPython asks for and Colab leaves
# out, and overrides, which jupyter_server asks for before Python 3.12, that is, before Colab's.
ADDED = {"fedlearn_lib", "pot", "jedi", "overrides"}
LIMIT = 600  # seconds for one cell: the machine may be busy

# What Colab or IPython itself says, whatever the notebook does, and why it stays.
KNOWN = {
    r"Note: you may need to restart the kernel to use updated packages\.":
        "IPython says it after every %pip; nothing that was imported has changed",
    r"fedlearn_lib \S+, torch \S+, numpy \S+, matplotlib \S+":
        "the set-up cell's own line",
    r"Matplotlib is building the font cache; this may take a moment\.":
        "Matplotlib, once on each new machine",
    r"\[notice\] .*":
        "pip, of a newer pip",
    r"\S*/torch/export/pt2_archive/\S+ UserWarning: The given buffer is not writable, .*":
        "torch 2.11 reads back its own exported program; later ones do not say it",
    r"tensor = torch\.frombuffer\(":
        "the line that the warning above points at",
}  # fmt: skip


class Packages(NamedTuple):
    """Where a chapter finds what Colab has installed."""

    python: str  # the interpreter
    folders: list[Path]  # where its packages lie
    offline: bool  # whether the set-up cell installs without an index

    @property
    def label(self) -> str:
        """Which interpreter this is, in words."""
        return said(self.python, "import sys; print('Python', sys.version.split()[0])")


class Visit(NamedTuple):
    """What one chapter did."""

    notebook: NotebookNode
    models: dict[str, dict[str, Any]]  # the widgets' states, by identifier
    before: dict[str, str]  # package: version
    after: dict[str, str]
    left: list[str]  # files that lie beside the notebook
    failure: str = ""


# ----- the three layers -------------------------------------------------------------------------


def said(python: str | Path, code: str) -> str:
    """Return what a line of Python prints."""
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def find_python(wanted: str = "") -> str:
    """Return the interpreter nearest to Colab's, or the one that is asked for."""
    for name in [wanted] if wanted else [*PYTHONS, sys.executable]:
        path = shutil.which(name)
        try:
            if path and said(path, "import sys; print(sys.version_info >= (3, 11))") == "True":
                return path
        except subprocess.CalledProcessError:
            continue  # a shim of a version manager, without the version behind it
    raise SystemExit(
        f"make colab: {wanted or 'none of ' + ', '.join(PYTHONS)} runs as Python 3.11 or newer; "
        "install one or name it: make colab PYTHON=/path/to/python3"
    )


def read_pins(text: str) -> dict[str, str]:
    """Return name and version of each line, and refuse what is no exact pin.

    >>> read_pins("# Colab\\nnumpy==2.1.3\\nPyYAML==6.0.3\\n")
    {'numpy': '2.1.3', 'pyyaml': '6.0.3'}
    >>> read_pins("numpy>=2")
    Traceback (most recent call last):
    ...
    ValueError: every line must be name==version, got 'numpy>=2'
    """
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            pin = re.fullmatch(r"([\w.-]+)==([\w.]+)", line)
            if not pin:
                raise ValueError(f"every line must be name==version, got {line!r}")
            found[plain(pin[1])] = pin[2]
    return found


def plain(name: str) -> str:
    """Spell a package's name as `freeze` below does.

    >>> plain("Jupyter-Client"), plain("ruamel.yaml")
    ('jupyter_client', 'ruamel_yaml')
    """
    return re.sub(r"[-_.]+", "_", name).lower()


def make_environment(python: str, folder: Path = BUILD / "environment") -> Packages:
    """Install the pins into ``folder`` unless they are there."""
    version = said(python, "import sys; print(sys.version)")
    mark = hashlib.sha256(f"{version}\n{PINS.read_text(encoding='utf-8')}".encode()).hexdigest()
    stamp, inside = folder / "installed", folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != mark:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"make colab: installing {PINS.name} for Python {version.split()[0]}", flush=True)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        pins = read_pins(PINS.read_text(encoding="utf-8"))
        pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # Torch with what it needs, for its build on PyPI brings packages that Colab has not; then
        # every pin alone, so that the result is the list and not a resolver's opinion of it.
        first = [f"{name}=={pins[name]}" for name in ("pip", "torch")]
        subprocess.run([*pip, "--constraint", str(PINS), *first], check=True)
        subprocess.run([*pip, "--no-deps", "--requirement", str(PINS)], check=True)
        stamp.write_text(mark, encoding="utf-8")
    return Packages(str(inside), [site_of(inside)], offline=False)


def site_of(python: str | Path) -> Path:
    """Return the folder in which an interpreter's packages lie."""
    return Path(said(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))


def make_origin(folder: Path = BUILD / "origin.git") -> Path:
    """Make a bare repository whose only commit has the tracked files as they are here."""
    who = {f"GIT_{one}_{what}": "colab" for one in ("AUTHOR", "COMMITTER")
           for what in ("NAME", "EMAIL")}  # fmt: skip

    def git(*words: str, at: Path = ROOT) -> str:
        done = subprocess.run(["git", "-C", str(at), *words], check=True, capture_output=True,
                              text=True, env=os.environ | who)  # fmt: skip
        return done.stdout.strip()

    state = git("stash", "create") or "HEAD"
    commit = git("commit-tree", f"{state}^{{tree}}", "-m", "As it is here")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    git("init", "--quiet", "--bare", "--initial-branch=main", at=folder)
    git("config", "uploadpack.allowFilter", "true", at=folder)
    git("push", "--quiet", str(folder), f"{commit}:refs/heads/main")
    return folder


def make_room(packages: Packages, folder: Path) -> Path:
    """Make an empty environment that sees ``packages`` and the stand-in; return its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([packages.python, "-m", "venv", "--without-pip", str(folder)], check=True)
    inside = folder / "bin" / "python"
    seen = [*packages.folders, HERE / "standin"]
    lines = "".join(f"{path}\n" for path in seen)
    (site_of(inside) / "colab.pth").write_text(lines, encoding="utf-8")
    return inside


def surroundings(python: Path, home: Path, origin: Path, *, offline: bool) -> dict[str, str]:
    """Return the variables of a kernel in Colab, with ``origin`` behind the book's address."""
    keep = re.compile(r"PIP_|SSL_|OMP_|LANG$|TMPDIR$|\w+_proxy$", re.IGNORECASE)
    kept = {name: value for name, value in os.environ.items() if keep.match(name)}
    return (
        kept
        | {
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "MPLCONFIGDIR": str(BUILD / "matplotlib"),  # the font cache, which Colab has too
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "COLAB_RELEASE_TAG": f"release-colab_{PINS.stem}",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{origin.resolve().as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": current().url,
        }
        | ({"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"} if offline else {})
    )


# ----- one chapter ------------------------------------------------------------------------------


def freeze(python: Path) -> dict[str, str]:
    """Return the packages that can be imported, by name; the first on the path counts."""
    code = ("import json; from importlib.metadata import distributions as d; "
            "print(json.dumps([(one.name, one.version) for one in d()]))")  # fmt: skip
    found: dict[str, str] = {}
    for name, version in json.loads(said(python, code)):
        found.setdefault(plain(name), version)
    return found


def visit(chapter: Path, packages: Packages, origin: Path, folder: Path) -> Visit:
    """Open ``chapter`` in an empty folder and run it from its first cell to its last."""
    shutil.rmtree(folder, ignore_errors=True)
    work, home = folder / "content", folder / "home"
    for path in (work, home):
        path.mkdir(parents=True)
    shutil.copy(chapter, work)
    python = make_room(packages, folder / "room")
    before = freeze(python)
    if "fedlearn_lib" in before and not packages.offline:
        raise SystemExit("make colab: the frozen environment holds fedlearn_lib; make clean first")
    notebook: NotebookNode = nbformat.read(chapter, as_version=4)
    spec = folder / "kernels" / "colab"
    spec.mkdir(parents=True)
    argv = [str(python), "-m", "colab_kernel_launcher", "-f", "{connection_file}"]
    card = {"argv": argv, "display_name": "Colab", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(card), encoding="utf-8")
    manager = AsyncKernelManager(
        kernel_name="colab",
        kernel_spec_manager=KernelSpecManager(
            kernel_dirs=[str(spec.parent)], ensure_native_kernel=False
        ),
    )
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=LIMIT,
        startup_timeout=LIMIT,
        resources={"metadata": {"path": str(work)}},
        record_timing=False,
        on_notebook_start=let_signals_through,
    )
    failure = ""
    try:
        with (folder / "kernel.log").open("w", encoding="utf-8") as log:
            env = surroundings(python, home, origin, offline=packages.offline)
            client.execute(env=env, stderr=log, cleanup_kc=True)  # or the kernel would stay
    except CellExecutionError as error:
        failure = f"{error.ename}: {error.evalue}"
    except (CellTimeoutError, DeadKernelError) as error:
        failure = str(error)
    left = [str(path.relative_to(work)) for path in sorted(work.rglob("*")) if path.is_file()]
    left.remove(chapter.name)
    return Visit(notebook, client.widget_state, before, freeze(python), left, failure)


def let_signals_through(notebook: NotebookNode) -> None:
    """Take away nbclient's own handlers, after which a stopped run would go on to the next."""
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(one)


# ----- what may not happen ----------------------------------------------------------------------


def complaints(visited: Visit, stored: NotebookNode) -> list[str]:
    """Return everything that a reader in Colab would have to live with."""
    if visited.failure:
        return [f"a cell failed: {visited.failure}"]
    return [
        *packages_changed(visited.before, visited.after),
        *(f"{name} was left beside the notebook" for name in visited.left),
        *warnings(visited.notebook),
        *not_live(visited.notebook, stored),
        *without_manager(visited.notebook, visited.models),
    ]


def packages_changed(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Name each package that was there and is not as it was, and each that nobody asked for.

    >>> list(packages_changed({"numpy": "2.1.3", "six": "1"}, {"numpy": "2.4.0", "dask": "1"}))
    ['numpy 2.1.3 became 2.4.0', 'six 1 is gone', 'dask 1 was installed, which no chapter needs']
    """
    for name, version in before.items():
        if name == "fedlearn_lib":
            continue
        if name not in after:
            yield f"{name} {version} is gone"
        elif after[name] != version:
            yield f"{name} {version} became {after[name]}"
    for name in after.keys() - before.keys() - ADDED:
        yield f"{name} {after[name]} was installed, which no chapter needs"


def warnings(notebook: NotebookNode) -> Iterator[str]:
    """Name each line on standard error, and any of the set-up cell, that is not in ``KNOWN``."""
    known = re.compile("|".join(KNOWN))
    for number, cell in enumerate(code_cells(notebook), start=1):
        whole = "setup" in cell.metadata.get("tags", [])
        for output in cell.outputs:
            if output.output_type == "stream" and (whole or output.name == "stderr"):
                for line in map(str.strip, output.text.splitlines()):
                    if line and not known.fullmatch(line):
                        yield f"code cell {number} says {line!r}"


def not_live(notebook: NotebookNode, stored: NotebookNode) -> Iterator[str]:
    """Name each cell that stores a figure to move and shows no widget in Colab."""
    pairs = zip(code_cells(notebook), code_cells(stored), strict=True)
    for number, (cell, old) in enumerate(pairs, start=1):
        if has_sliders(old) and not any(VIEW in one.get("data", {}) for one in cell.outputs):
            yield f"the figure of code cell {number} did not take Colab's live path"


def has_sliders(cell: NotebookNode) -> bool:
    """Say whether a cell stores a page with something to move."""
    pages = ("".join(output.get("data", {}).get("text/html", "")) for output in cell.outputs)
    return any('type="range"' in page or 'type: "range"' in page for page in pages)


def without_manager(
    notebook: NotebookNode, models: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Name each widget from outside ipywidgets whose output does not say who can draw it."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.outputs:
            view = output.get("data", {}).get(VIEW)
            if view is None or not is_foreign(view["model_id"], models):
                continue
            note = output.get("metadata", {}).get(VIEW, {}).get("colab", {})
            if not note.get("custom_widget_manager", {}).get("url"):
                yield f"the widget of code cell {number} does not name its manager to Colab"


def is_foreign(model: str, models: Mapping[str, Mapping[str, Any]]) -> bool:
    """Say whether a widget or one inside it comes from outside ipywidgets.

    >>> box = {"_model_module": "@jupyter-widgets/controls", "children": ["IPY_MODEL_b"]}
    >>> is_foreign("a", {"a": box, "b": {"_model_module": "anywidget"}})
    True
    >>> is_foreign("a", {"a": box, "b": {"_model_module": "@jupyter-widgets/base"}})
    False
    """
    todo, seen = {model}, set[str]()
    while todo:
        one = todo.pop()
        seen.add(one)
        state = models.get(one, {})
        if not state.get("_model_module", "").startswith("@jupyter-widgets/"):
            return True
        todo |= set(re.findall(r"IPY_MODEL_(\w+)", json.dumps(state, default=str))) - seen
    return False


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# ----- the command ------------------------------------------------------------------------------


def report(chapter: Path, packages: Packages, origin: Path) -> list[str]:
    """Visit a chapter, store what it showed, print one line, and return its complaints."""
    start = time.perf_counter()
    visited = visit(chapter, packages, origin, BUILD / chapter.stem)
    seconds = time.perf_counter() - start
    found = complaints(visited, nbformat.read(chapter, as_version=4))
    (BUILD / "executed").mkdir(exist_ok=True)
    nbformat.write(visited.notebook, BUILD / "executed" / chapter.name)
    outputs = [one for cell in code_cells(visited.notebook) for one in cell.outputs]
    live = sum(VIEW in one.get("data", {}) for one in outputs)
    added = ", ".join(sorted(visited.after.keys() - visited.before.keys())) or "nothing"
    print(
        f"{chapter.name:<40} {seconds:6.1f} s, {live} live figures, installed {added}", flush=True
    )
    for line in found:
        print(f"    {line}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="make colab", description=__doc__)
    parser.add_argument("chapters", nargs="*", help="numbers or notebooks; all where none is named")
    parser.add_argument("--python", default="", help="the interpreter of the environment")
    parser.add_argument("--here", action="store_true", help="the fast form: the packages of .venv")
    options = parser.parse_args()
    wanted = notebooks(options.chapters, "colab")
    BUILD.mkdir(parents=True, exist_ok=True)
    if options.here:
        packages = Packages(sys.executable, [site_of(sys.executable)], offline=True)
    else:
        packages = make_environment(find_python(options.python))
    print(f"make colab: {packages.label}, packages of "
          f"{'.venv' if options.here else PINS.stem}", flush=True)  # fmt: skip
    origin = make_origin()
    try:
        failed = [chapter.name for chapter in wanted if report(chapter, packages, origin)]
    except KeyboardInterrupt:
        print("\nmake colab: interrupted", file=sys.stderr)
        return 130
    print(f"make colab: {len(wanted) - len(failed)} of {len(wanted)} chapters run as they are; "
          f"see {(BUILD / 'executed').relative_to(ROOT)}")  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
