"""The repository agrees with itself: addresses, versions, the lock file, what an import loads."""

from __future__ import annotations

import ast
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

import fedlearn_lib
from tools import address, build_book, release, repository
from tools.repository import ROOT, Address

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
APART = {"flower"}  # for an environment of its own, which the lock file does not describe
LINK = re.compile(
    rf"\b(?P<service>{address.SERVICES})/(?P<owner>[\w-]+)/(?P<name>[\w-]+(?:\.(?!git\b)\w[\w-]*)*)"
    r"(?P<rest>(?:\.git\b)?(?:/[\w./%-]+)?)"
)
PAGES = re.compile(r"https://(?P<owner>[\w-]+)\.github\.io(?:/(?P<name>[\w.-]*\w))?")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def texts() -> dict[str, str]:
    """Every text file of the repository but this one, by its path."""
    paths = [path for path in repository.files() if path != Path(__file__).resolve()]
    found = {str(path.relative_to(ROOT)): repository.text(path) for path in paths}
    return {name: content for name, content in found.items() if content is not None}


# ----- the address ------------------------------------------------------------------------------


def strays(content: str, ours: Address) -> list[str]:
    """Return the links in ``content`` that mean this repository and name another one.

    A link means this repository if Colab opens it, if pip installs this library from it, if it
    has the owner of this repository, or if it leads to a file that we have.
    """
    found = []
    for link in LINK.finditer(content):
        inside = re.match(r"/(?:blob|raw|tree|edit)/[^/]+/(.+)", link["rest"])
        raw = re.match(r"/[^/]+/(.+)", link["rest"]) if "raw." in link["service"] else None
        target = (inside or raw or [None, ""])[1]
        installs = content[: link.start()].endswith("git+https://")
        means_us = (
            "colab" in link["service"]
            or installs
            or link["owner"].lower() == ours.owner.lower()
            or (target and (ROOT / target).exists())
        )
        if means_us and (link["owner"], link["name"]) != (ours.owner, ours.name):
            found.append(link[0])
    for site in PAGES.finditer(content):
        own = site["owner"].lower() == ours.owner.lower()
        if own and not f"{site[0]}/".startswith(ours.pages):
            found.append(site[0])
    return found


def test_every_link_to_this_repository_has_the_address_of_config():
    ours = repository.current()
    wrong = {name: found for name, content in texts().items() if (found := strays(content, ours))}
    assert not wrong, f"run `make address URL={ours.url}`, or mend by hand: {wrong}"


@pytest.mark.parametrize(
    "link",
    [
        "https://colab.research.google.com/github/eve/book/blob/main/notebooks/01.ipynb",
        "https://github.com/eve/notes/blob/main/README.md",
        "https://github.com/eve/notes/tree/main/notebooks",
        "https://raw.githubusercontent.com/eve/notes/main/pyproject.toml",
        "git+https://github.com/eve/book.git",
        "https://github.com/ada/other/issues",
        "https://ada.github.io/other/intro.html",
    ],
)
def test_a_stray_link_is_found(link):
    assert strays(f"[text]({link})", Address("ada", "book"))


@pytest.mark.parametrize(
    "link",
    [
        "https://github.com/google/fedjax",
        "https://github.com/google/fedjax/blob/main/no/such/file.py",
        "https://github.com/ada/book/blob/main/README.md",
        "git+https://github.com/ada/book.git",
        "https://ada.github.io/book/intro.html",
        "https://eve.github.io/other/",
    ],
)
def test_a_link_elsewhere_and_our_own_are_left_alone(link):
    assert strays(f"[text]({link}). More.", Address("ada", "book")) == []


def must_have_the_address() -> list[str]:
    chapters = [f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    return ["README.md", "CITATION.cff", "pyproject.toml", "_config.yml", *chapters]


@pytest.mark.parametrize("name", must_have_the_address())
def test_the_address_stands_where_a_reader_looks_for_it(name):
    assert repository.current().url.removeprefix("https://") in read(name)


def test_readme_links_every_chapter_and_only_those_that_exist():
    linked = set(re.findall(r"blob/main/(notebooks/\w+\.ipynb)\)", read("README.md")))
    assert linked == {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}


def copy_of_the_text_files(folder: Path) -> dict[Path, str]:
    copied = {}
    for name, content in texts().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")
        copied[path] = content
    return copied


def test_make_address_changes_every_copy_and_back(tmp_path):
    before, old = copy_of_the_text_files(tmp_path), repository.current()
    address.change("https://github.com/Zed-9/a.b_c", tmp_path)
    for path in before:
        now = path.read_text(encoding="utf-8")
        assert not re.search(rf"{old.owner}/{old.name}\b|{old.owner}\.github\.io", now), path
    assert repository.current(tmp_path).pages == "https://zed-9.github.io/a.b_c/"
    assert read("README.md") != (tmp_path / "README.md").read_text(encoding="utf-8")
    address.change(old.url, tmp_path)
    for path, content in before.items():
        assert path.read_text(encoding="utf-8") == content, path
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ada/book",
        "http://github.com/ada/book",
        "https://github.com/ada",
        "https://github.com/ada/book/",
        "https://github.com/ada/book.git",
        "https://github.com/ada/..",
        "https://github.com/-ada/book",
        "https://github.com/ada/bo ok",
        "https://github.com/ada/book\n",
        "https://gitlab.com/ada/book",
    ],
)
def test_a_malformed_address_is_refused_before_anything_is_written(url, tmp_path):
    before = copy_of_the_text_files(tmp_path)
    with pytest.raises(ValueError, match=r"https://github\.com/OWNER/NAME"):
        address.change(url, tmp_path)
    for path, content in before.items():
        assert path.read_text(encoding="utf-8") == content, path


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "page.md"
    path.write_text("old", encoding="utf-8")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        repository.replace(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


# ----- versions and packages --------------------------------------------------------------------


def test_versions_agree():
    citation = yaml.safe_load(read("CITATION.cff"))
    newest = re.search(r"^## (\S+) \((\S+)\)", read("CHANGELOG.md"), re.MULTILINE)
    assert newest
    assert newest[1] == citation["version"] == fedlearn_lib.__version__
    assert newest[2] == str(citation["date-released"])


def check_tag(tag: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run the check of a tag, in a copy of what it reads and with Python alone."""
    for name in ("tools/__init__.py", "tools/release.py", *release.PLACES):
        (root / name).parent.mkdir(exist_ok=True)
        if not (root / name).exists():
            (root / name).write_text(read(name), encoding="utf-8")
    command = [sys.executable, "-S", "-m", "tools.release", tag]  # -S: without any package
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_a_tag_is_the_version_that_stands_everywhere(tmp_path):
    assert check_tag(f"v{fedlearn_lib.__version__}", tmp_path).returncode == 0
    for tag in (fedlearn_lib.__version__, "v0.0.1", f"v{fedlearn_lib.__version__}.1"):
        done = check_tag(tag, tmp_path)
        assert done.returncode == 1, tag
        assert f"{tag} is no release" in done.stderr


@pytest.mark.parametrize("place", release.PLACES)
def test_a_tag_is_refused_where_one_place_was_forgotten(tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    forgotten = read(place).replace(fedlearn_lib.__version__, "0.0.9")
    (tmp_path / place).write_text(forgotten, encoding="utf-8")
    done = check_tag(f"v{fedlearn_lib.__version__}", tmp_path)
    assert done.returncode == 1
    assert f"{place} names version 0.0.9" in done.stderr


def test_installed_library_is_this_one():
    assert Path(fedlearn_lib.__file__).is_relative_to(ROOT), "run `make setup` again"
    assert version("fedlearn_lib") == fedlearn_lib.__version__, "run `make setup` again"


def locked() -> dict[NormalizedName, Requirement]:
    lines = [line for line in read("requirements.lock").splitlines() if line[:1] not in {"", "#"}]
    found = {canonicalize_name(one.name): one for one in map(Requirement, lines)}
    assert len(found) == len(lines), "a package stands twice in requirements.lock"
    return found


def direct() -> list[Requirement]:
    """What pyproject.toml asks for, the book's extras together, without the library itself."""
    extras = [one for name, extra in EXTRAS.items() if name not in APART for one in extra]
    named = [*PROJECT["dependencies"], *extras]
    return [one for one in map(Requirement, named) if one.name != "fedlearn_lib"]


def applies(one: Requirement, extras: set[str]) -> bool:
    marker = one.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


def closure() -> set[str]:
    """Every package that the direct ones need, read from what is installed here."""
    todo, seen = [(canonicalize_name(one.name), frozenset(one.extras)) for one in direct()], set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            needed = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:
            pytest.fail(f"{name} is not installed: run `make setup` again")
        fitting = [one for one in needed if applies(one, set(extras))]
        todo += [(canonicalize_name(one.name), frozenset(one.extras)) for one in fitting]
    return {name for name, _ in seen}


def test_lock_file_is_complete_and_has_nothing_else():
    lock = locked()
    here = {name for name, one in lock.items() if one.marker is None}
    assert closure() <= set(lock), f"missing: {closure() - set(lock)}; run `make lock`"
    assert here <= closure(), f"needed by nothing: {here - closure()}; run `make lock`"


def test_lock_file_holds_exact_public_pins():
    for one in locked().values():
        assert re.fullmatch(r"==[\w.]+", str(one.specifier)), one
        assert one.url is None, one


def test_lock_file_satisfies_pyproject():
    lock = locked()
    for one in direct():
        pin = str(lock[canonicalize_name(one.name)].specifier).removeprefix("==")
        assert one.specifier.contains(pin), f"{one} excludes the locked {pin}"


def test_library_depends_on_numpy_and_torch_with_lower_bounds_only():
    core = [Requirement(one) for one in PROJECT["dependencies"]]
    assert sorted(one.name for one in core) == ["numpy", "torch"]
    extras = EXTRAS["book"] + EXTRAS["transport"] + EXTRAS["test"]
    for one in [*core, *map(Requirement, extras)]:
        assert [bound.operator for bound in one.specifier] == [">="], one


# Colab in August 2026, its older runtimes, and what these lack or have in older versions.
COLAB = {"numpy": "2.0.2", "torch": "2.9.0", "matplotlib": "3.10.0", "scikit-learn": "1.6.1",
         "ipywidgets": "7.7.1", "anywidget": "0.9.21", "pooch": "1.9.0"}  # fmt: skip


def test_colab_satisfies_every_bound():
    book = [Requirement(one) for one in PROJECT["dependencies"] + EXTRAS["book"]]
    old = [one for one in book if one.name in COLAB and COLAB[one.name] not in one.specifier]
    assert not old
    assert {one.name for one in book} >= set(COLAB)


def test_conda_environment_has_the_bounds_of_pyproject():
    names = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base", "POT": "pot"}
    listed = {one for one in yaml.safe_load(read("environment.yml"))["dependencies"]
              if isinstance(one, str)}  # fmt: skip
    for one in map(Requirement, PROJECT["dependencies"] + EXTRAS["book"] + EXTRAS["transport"]):
        assert f"{names.get(one.name, one.name)}{one.specifier}" in listed
    assert f"python{PROJECT['requires-python']}" in listed


def test_only_who_measures_transport_installs_pot():
    """POT is 180 MB on disk, and three chapters of sixteen need it."""
    for extra, needs in EXTRAS.items():
        assert any(one.startswith("POT") for one in needs) == (extra == "transport"), extra
    assert "fedlearn_lib[book,test,transport]" in EXTRAS["dev"]


def test_jupyter_book_is_version_1():
    assert version("jupyter-book").startswith("1."), "version 2 does not read _config.yml"
    command = [str(Path(sys.executable).with_name("jupyter-book")), "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"Jupyter Book\s*:\s*1\.", shown), shown


# ----- the library ------------------------------------------------------------------------------


def test_import_loads_nothing_heavy():
    heavy = "flwr ray matplotlib ot ipywidgets anywidget sklearn scipy pooch pandas"
    heavy += " fedlearn_lib.engines"
    code = f"import sys, fedlearn_lib; print(*[m for m in {heavy!r}.split() if m in sys.modules])"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


TYPES = {"Params", "Batch", "Loss", "Oracle"}  # an alias cannot carry a docstring


def public() -> list[str]:
    return sorted(set(fedlearn_lib.__all__) - TYPES)


@pytest.mark.parametrize("name", public())
def test_public_name_is_documented(name):
    thing = getattr(fedlearn_lib, name)
    text = inspect.getdoc(thing) or ""
    assert len(text.split()) >= 5, f"{name} needs a docstring"
    assert not text.startswith(f"{name}("), f"{name} has only the docstring that Python made up"


def test_public_names_are_those_that_are_imported():
    assert len(set(fedlearn_lib.__all__)) == len(fedlearn_lib.__all__)
    imported = {name for name, thing in vars(fedlearn_lib).items()
                if not name.startswith("_") and not inspect.ismodule(thing)}  # fmt: skip
    assert imported == set(fedlearn_lib.__all__)


def imports(path: Path) -> set[str]:
    """The packages that a file imports anywhere, also inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_the_library_never_imports_the_shelf():
    files = sorted((ROOT / "fedlearn_lib").rglob("*.py"))
    assert len(files) > 30
    assert [str(path) for path in files if "fedlearn_book" in imports(path)] == []
    shelf = (ROOT / "fedlearn_book").rglob("*.py")
    assert any("fedlearn_lib" in imports(path) for path in shelf)  # the search finds imports


# ----- what the pages say of the repository -----------------------------------------------------


def guides() -> list[str]:
    return [name for name in texts() if name.endswith(".md") and not name.startswith("benchmarks/")]


def places(content: str) -> list[str]:
    """The paths and dotted names of ours that a page sets as code or links to.

    >>> places("`tests/`, `fedlearn_lib.data`, [x](book/data.md), `a/b`, `fedlearn_lib.run(…)`")
    ['tests/', 'fedlearn_lib.data', 'fedlearn_lib.run', 'book/data.md']
    """
    ours = r"(?:fedlearn_lib|fedlearn_book|notebooks|tests|tools|benchmarks|book|\.github|\.ci)"
    coded = re.findall(rf"`(?:from |import |python )?({ours}\b[/.][\w/.-]*?)[`( ]", content)
    return coded + re.findall(rf"\]\(({ours}(?:/[\w/.-]*)?)\)", content)


def exists(place: str) -> bool:
    if "/" in place or not place.startswith("fedlearn_"):
        return (ROOT / place.rstrip(".")).exists()
    try:
        return pkgutil.resolve_name(place) is not None
    except (ImportError, AttributeError):
        return False


@pytest.mark.parametrize("name", guides())
def test_what_a_page_names_is_there(name):
    found = [place for place in places(read(name)) if "…" not in place]
    assert [place for place in found if not exists(place)] == []


def test_the_map_in_the_readme_names_every_room():
    map_ = read("README.md").partition("## What is where")[2].partition("\n## ")[0]
    rooms = [path.parent.name for path in (ROOT / "fedlearn_lib").glob("*/__init__.py")]
    rooms += [path.parent.name for path in (ROOT / "fedlearn_book").glob("*/__init__.py")]
    assert len(rooms) > 6
    assert [room for room in rooms if f"{room}/`" not in map_] == []
    assert places(map_)


# ----- files ------------------------------------------------------------------------------------


def yaml_files() -> list[str]:
    return [name for name in texts() if name.endswith((".yml", ".yaml", ".cff"))]


@pytest.mark.parametrize("name", yaml_files())
def test_yaml_can_be_read(name):
    assert yaml.safe_load(read(name))


def test_workflows_run_commands_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", True, "jobs"} <= set(workflow), path  # YAML 1.1 reads `on` as True
        steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
        for step in steps:
            assert ("uses" in step) != ("run" in step), (path, step)
            pinned = re.compile(r"[\w-]+/[\w-]+@(release/)?v\d+")
            assert pinned.fullmatch(step.get("uses", "a/b@v1")), (path, step)
            called = set(
                re.findall(r"\bmake (?!address)([a-z-]+)$", step.get("run", ""), re.MULTILINE)
            )
            assert called <= targets, (path, called)


def workflow(name: str) -> dict:
    return yaml.safe_load(read(f".github/workflows/{name}.yml"))


def test_the_site_is_published_only_after_the_tests_of_its_commit():
    pages = workflow("pages")
    started = pages[True]  # YAML 1.1 reads `on` as True
    assert set(started) == {"workflow_run"}, "nothing else starts it"
    assert started["workflow_run"]["workflows"] == [workflow("tests")["name"]]
    assert started["workflow_run"]["types"] == ["completed"]
    assert started["workflow_run"]["branches"] == ["main"]
    assert "push" in workflow("tests")[True], "or no run of the tests would start it"
    build, publish = pages["jobs"]["build"], pages["jobs"]["publish"]
    assert "github.event.workflow_run.conclusion == 'success'" in build["if"]
    assert "github.event.workflow_run.event == 'push'" in build["if"]
    assert "||" not in build["if"]
    (checkout,) = (step for step in build["steps"] if "checkout" in step.get("uses", ""))
    assert checkout["with"]["ref"] == "${{ github.event.workflow_run.head_sha }}"
    assert publish["needs"] == "build"


def test_a_tag_that_is_pushed_is_checked():
    release = workflow("release")
    assert release[True] == {"push": {"tags": ["v*"]}}
    runs = [step.get("run", "") for step in release["jobs"]["tag"]["steps"]]
    assert 'python -m tools.release "$GITHUB_REF_NAME"' in runs


def test_what_the_readme_says_of_macos_is_tested_there():
    jobs = workflow("macos")["jobs"].values()
    assert {job["runs-on"] for job in jobs} == {"macos-latest"}
    assert "actions/workflows/macos.yml" in read("README.md")


LACKS = """import shutil
import playwright.sync_api
shutil.which = lambda name: None

def test_it({fixture}):
    pass
"""


@pytest.mark.parametrize(
    ("fixture", "switch"),
    [("chromium_path", "FEDLEARN_REQUIRE_BROWSER"), ("compiler", "FEDLEARN_REQUIRE_COMPILER")],
)
def test_ci_fails_where_a_reader_skips_for_want_of_a_program(tmp_path, fixture, switch):
    (tmp_path / "conftest.py").write_text(read("tests/conftest.py"), encoding="utf-8")
    (tmp_path / "test_it.py").write_text(LACKS.format(fixture=fixture), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    kept = {n: v for n, v in os.environ.items() if n not in {switch, "CHROMIUM", "CXX"}}
    kept["PLAYWRIGHT_BROWSERS_PATH"] = str(tmp_path / "none")
    for value, status in (("0", 0), ("1", 1)):
        done = subprocess.run(
            [*command, f"--rootdir={tmp_path}"], cwd=tmp_path, env=kept | {switch: value},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        assert ("TESTS DID NOT RUN (1 skipped)" in done.stdout) == (status == 0), done.stdout
    exported = re.findall(r"^export (.*)$", read(".ci/run"), re.MULTILINE)[0].split()
    assert f"{switch}=1" in exported


def test_the_daily_loop_is_the_unit_tests_without_the_slow_ones():
    said = subprocess.run(["make", "-n", "-o", ".venv/.installed", "unit", "test-fast"],
                          cwd=ROOT, capture_output=True, text=True, check=True).stdout  # fmt: skip
    everything, quick = (line for line in said.splitlines() if "--ignore=tests/site" in line)
    assert quick == f'{everything} -m "not slow"'
    assert "ruff check" in said
    assert "mypy" in said


def test_help_lists_every_command():
    makefile = read("Makefile")
    commands = set(re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)", makefile, re.M)[0].split())
    described = set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
    assert commands - {"\\"} == described


def test_digest_of_the_book_changes_with_any_file(tmp_path, monkeypatch):
    path = tmp_path / "page.md"
    path.write_text("one", encoding="utf-8")
    monkeypatch.setattr(build_book, "files", lambda: [path])
    monkeypatch.setattr(build_book, "ROOT", tmp_path)
    first = build_book.digest()
    path.write_text("two", encoding="utf-8")
    assert build_book.digest() != first
