"""What a release consists of: archives, wheel, and the workflow that makes and sends them."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import fedlearn_lib
from tools import make_zip, repository
from tools.repository import ROOT

# ----- the workflow -----------------------------------------------------------------------------


def jobs() -> dict:
    path = ROOT / ".github" / "workflows" / "release.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]


def commands(job: dict) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_a_release_is_made_only_after_the_tag_was_checked_and_the_tests_passed():
    found = jobs()
    assert commands(found["tag"]) == ['python -m tools.release "$GITHUB_REF_NAME"']
    needs = {name: job.get("needs") for name, job in found.items()}
    assert needs == {"tag": None, "build": "tag", "attach": "build", "publish": "attach"}
    made = commands(found["build"])
    assert made[0] == "bash .ci/run", "the tests come first, and one that fails ends the job"
    assert made[1:] == ["make pdf", "make zip", "make slides", "make wheel"]
    for job in found.values():
        assert not {"if", "continue-on-error"} & set(job)
        assert not any({"if", "continue-on-error"} & set(step) for step in job["steps"])


def test_what_is_built_is_attached_and_nothing_else():
    found = jobs()
    (kept,) = (step["with"] for step in found["build"]["steps"] if "upload" in step.get("uses", ""))
    built = kept["path"].split()
    kinds = ("pdf/*.pdf", "zip/*.zip", "slides/*.html", "wheel/*.whl")
    assert built == [f"_build/{kind}" for kind in kinds]
    assert kept["if-no-files-found"] == "error"
    sent = commands(found["attach"])[0].split("--clobber ")[1].split()
    assert sent == [path.removeprefix("_build/") for path in built]


def test_each_job_may_do_what_it_does_and_no_more():
    found = jobs()
    given = {name: job.get("permissions") for name, job in found.items()}
    assert given == {
        "tag": None,
        "build": None,
        "attach": {"contents": "write"},
        "publish": {"id-token": "write"},
    }
    publish = found["publish"]
    assert publish["environment"]["name"] == "pypi"
    last = publish["steps"][-1]
    assert last["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert last["with"] == {"packages-dir": "wheel"}, "no password, no token"


# ----- the wheel --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of a fresh copy of the repository."""
    root = tmp_path_factory.mktemp("fresh")
    for path in repository.files():
        copy = root / path.relative_to(ROOT)
        if copy.parts[len(root.parts)] in {"notebooks", "benchmarks"}:
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    pip = [sys.executable, "-m", "pip", "wheel", ".", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--no-build-isolation", "--no-index", "-w", "made"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = (root / "made").iterdir()
    assert made.name == f"fedlearn_lib-{fedlearn_lib.__version__}-py3-none-any.whl"
    return zipfile.ZipFile(made)


def test_the_wheel_holds_both_packages_with_their_files_and_nothing_else(wheel):
    own = {
        path.relative_to(ROOT).as_posix()
        for path in repository.files()
        if path.relative_to(ROOT).parts[0] in {"fedlearn_lib", "fedlearn_book"}
    }
    assert any(name.endswith(".json") for name in own)
    assert any(name.startswith("fedlearn_lib/data/files/") for name in own)
    info = f"fedlearn_lib-{fedlearn_lib.__version__}.dist-info/"
    assert {name for name in wheel.namelist() if not name.startswith(info)} == own


def test_the_wheel_says_what_pypi_shows(wheel):
    info = f"fedlearn_lib-{fedlearn_lib.__version__}.dist-info"
    said = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert said["Name"] == "fedlearn_lib"
    assert said["Version"] == fedlearn_lib.__version__
    assert said["License-Expression"] == "MIT"
    assert said["Description-Content-Type"] == "text/markdown"
    needed = [one for one in said.get_all("Requires-Dist") if "extra" not in one]
    assert sorted(needed) == ["numpy>=1.26", "torch>=2.6"]
    assert f"{info}/licenses/LICENSE" in wheel.namelist()


# ----- the archives -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, Path]:
    files = {"b.txt": "bee", "a/c.txt": "sea"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return {name: tmp_path / name for name in files}


def test_the_same_files_make_the_same_archive(tmp_path, folder):
    make_zip.write(tmp_path / "one.zip", folder, "book")
    for path in folder.values():
        path.touch()
        path.chmod(0o600)
    make_zip.write(tmp_path / "two.zip", dict(reversed(folder.items())), "book")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    held = zipfile.ZipFile(tmp_path / "one.zip")
    about = [f"book/{name}" for name in make_zip.ABOUT]
    assert held.namelist() == sorted(["book/a/c.txt", "book/b.txt", *about])
    assert held.read("book/b.txt") == b"bee"
    assert {one.external_attr >> 16 for one in held.infolist()} == {0o644}


def test_the_archive_of_notebooks_holds_every_chapter():
    names = set(make_zip.notebook_files())
    assert names == {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert len(names) >= 13


def test_an_archive_that_is_too_large_ends_the_command(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(make_zip, "ROOT", tmp_path)
    monkeypatch.setattr(make_zip, "SITE", tmp_path / "a")
    monkeypatch.setattr(make_zip, "ZIP", tmp_path / "zip")
    monkeypatch.setattr(make_zip, "ABOUT", ())
    with pytest.raises(SystemExit, match="run `make book` first"):
        make_zip.main()
    (tmp_path / "a" / "index.html").write_text("book", encoding="utf-8")
    assert make_zip.main() == 0
    monkeypatch.setattr(make_zip, "LIMIT", 10)
    with pytest.raises(SystemExit, match="at most 10 are allowed"):
        make_zip.main()
