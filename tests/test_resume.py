"""Stopping a reproduction and going on: nothing is lost, nothing is mixed, nobody's file is hit."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import toy_run

import fedlearn_book
from fedlearn_book.reproductions import __main__ as command
from fedlearn_book.reproductions import part, read, record, split_auc
from fedlearn_book.reproductions.part import constants_of

HERE = Path(__file__).parent


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The part file of a run that was stopped just before its end, with constants of its own."""

    def table(done: list[dict]) -> dict:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_run, "table", table)
        with pytest.raises(KeyboardInterrupt):
            toy_run.run(tmp_path, constants={"toy.RUNS": 4, "toy.PLAN": {"a": [1, 2]}})
    return tmp_path / "toy.json.part"


def go_on(file: Path, runs: int = 4, **options: object) -> Path:
    return toy_run.run(
        file.parent, constants={"toy.RUNS": runs, "toy.PLAN": {"a": [1, 2]}}, **options
    )


def without_times(path: Path) -> dict:
    result = json.loads(path.read_text())
    for item in [result, *result["cells"]]:
        del item["seconds"]
    return result


# ----- under the same protocol only --------------------------------------------------------------


def test_the_same_protocol_goes_on_and_new_words_do_not_matter(stopped: Path) -> None:
    result = json.loads(go_on(stopped, y=99.0, title="better words").read_text())
    assert [cell["result"]["y"] for cell in result["cells"]][:3] == [10, 11, 12], (
        "not computed again"
    )
    assert result["title"] == "better words"
    assert "check" not in result["cells"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: go_on(file, runs=2), r"constants toy\.RUNS was 4, is 2"),
        (lambda file: toy_run.run(file.parent), r'constants toy\.RUNS was 4, is "absent"'),
        (lambda file: go_on(file, setting="three"), 'about setting was "two lines", is "three"'),
    ],
)
def test_changed_constants_are_refused_and_named(
    stopped: Path, change: Callable, words: str
) -> None:
    before = stopped.read_bytes()
    with pytest.raises(ValueError, match=words) as refused:
        change(stopped)
    assert str(stopped) in str(refused.value)
    assert stopped.read_bytes() == before


@pytest.mark.parametrize("package", ["fedlearn_lib", "torch", "numpy"])
def test_changed_versions_are_refused_and_named(stopped: Path, package: str, monkeypatch) -> None:
    honest = record._versions()
    monkeypatch.setattr(record, "_versions", lambda: honest | {package: "9.9"})
    with pytest.raises(ValueError, match=rf'versions {package} was ".*", is "9\.9"'):
        go_on(stopped)


def test_a_real_run_stores_its_constants(tmp_path, monkeypatch) -> None:
    """The case that mixed protocols: RUNS changed between stop and resume."""
    for name, value in {"NUS": (1.0,), "SEEDS": (0, 1), "RUNS": 4, "RATIO": 3.0}.items():
        monkeypatch.setattr(split_auc, name, value)
    calls = []

    def block(design: str, nu: float, seed: int) -> dict:
        calls.append(design)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return {"auc": [0.5] * split_auc.RUNS}

    monkeypatch.setattr(split_auc, "block", block)
    with pytest.raises(KeyboardInterrupt):
        split_auc.main(folder=tmp_path)
    monkeypatch.setattr(split_auc, "RUNS", 2)
    with pytest.raises(ValueError, match=r"split_auc\.RUNS was 4, is 2"):
        split_auc.main(folder=tmp_path)


def test_the_constants_of_every_reproduction_can_be_stored() -> None:
    modules = {run.func.__module__ if hasattr(run, "func") else run.__module__
               for run in command.RUNS.values()}  # fmt: skip
    for module in modules:
        found = constants_of(module)
        assert found, module
        assert json.loads(json.dumps(found)) == found
        assert " at 0x" not in json.dumps(found), "an address is another one in the next process"


# ----- damaged and altered files -----------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "{}",
        lambda text: "[]",
        lambda text: "null",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"result"', '"resul"', 1),
        lambda text: text.replace('"setting": {', '"settin": {', 1),
        lambda text: text.replace('"cells"', '"cell"', 1),
        lambda text: "\0" * 100,
    ],
)
def test_a_damaged_part_file_is_named_and_kept(stopped: Path, damage: Callable) -> None:
    text = damage(stopped.read_text())
    stopped.write_text(text)
    with pytest.raises(ValueError, match=r"toy\.json\.part is no part file.*; delete it"):
        go_on(stopped)
    assert stopped.read_text() == text


@pytest.mark.parametrize("key", ["result", "seconds", "setting"])
def test_an_altered_value_is_found(stopped: Path, key: str) -> None:
    content = json.loads(stopped.read_text())
    changed = {"result": {"y": 12.5}, "seconds": 1e9, "setting": {"x": 2, "seed": 0}}
    content["cells"][2][key] = changed[key]
    stopped.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="has been altered"):
        go_on(stopped)


def test_a_cell_that_was_taken_out_is_computed_again(stopped: Path) -> None:
    content = json.loads(stopped.read_text())
    del content["cells"][2]
    stopped.write_text(json.dumps(content))
    result = json.loads(go_on(stopped, y=99.0).read_text())
    assert result["cells"][2]["result"]["y"] == 99 + 2
    assert result["cells"][3]["result"]["y"] == 20


# ----- where the files go ------------------------------------------------------------------------


def test_by_default_results_go_to_the_checkout_and_never_beside_installed_code(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = Path(fedlearn_book.__file__).parent / "reproductions"
    assert record.folder_of() == mine / "results"
    installed = tmp_path / "site-packages" / "fedlearn_book" / "reproductions"
    installed.mkdir(parents=True)
    (tmp_path / "site-packages" / "pyproject.toml").touch()  # as a careless package leaves one
    assert record.folder_of(package=installed).resolve() == tmp_path / "results"
    assert (tmp_path / "results").is_dir()
    assert record.folder_of("mine/deep", package=installed).resolve() == tmp_path / "mine" / "deep"


def test_the_command_takes_a_folder_and_says_where_the_result_is(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setitem(command.RUNS, "writers", lambda root, folder: toy_run.run(folder))
    monkeypatch.setattr(sys, "argv", ["x", "writers", "--folder", str(tmp_path / "mine")])
    command.main()
    assert (tmp_path / "mine" / "toy.json").exists()
    assert capsys.readouterr().out.endswith(f"wrote {tmp_path / 'mine' / 'writers.json'}\n")


def test_your_own_result_can_be_read(tmp_path) -> None:
    toy_run.run(tmp_path).rename(tmp_path / "writers.json")
    assert read("writers", tmp_path)["title"] == "t"
    assert read("writers")["title"] != "t"


@pytest.mark.parametrize("call", [record.folder_of, toy_run.run])
def test_a_folder_that_cannot_be_is_refused_before_the_first_cell(tmp_path, call, capsys) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot be written to the folder .*file.*pass --folder"):
        call(tmp_path / "file" / "below")
    assert "cell" not in capsys.readouterr().out


def test_a_folder_that_is_read_only_is_refused_before_the_first_cell(
    tmp_path, monkeypatch, capsys
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(OSError, match=r"Permission denied.*pass --folder"):
        toy_run.run(tmp_path)
    assert "cell" not in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


# ----- killed, and twice at once -----------------------------------------------------------------


def start(folder: Path, seconds: float) -> subprocess.Popen:
    line = [sys.executable, str(HERE / "toy_run.py"), str(folder), str(seconds)]
    return subprocess.Popen(
        line, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(HERE.parent), "PATH": ""},
    )  # fmt: skip


def test_killed_at_random_moments_the_file_ends_the_same(tmp_path) -> None:
    """SIGKILL, which no program can catch, up to four cells after the first one began."""
    moments, cells, seconds = random.Random(7), 0, 0.15
    for _ in range(3):
        process = start(tmp_path / "killed", seconds)
        assert process.stdout is not None
        process.stdout.readline()  # the first cell has begun
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=moments.uniform(0.5, 3.5) * seconds)
        process.kill()
        process.communicate()
        kept = len(json.loads((tmp_path / "killed" / "toy.json.part").read_text())["cells"])
        assert kept >= cells, "a finished cell was lost"
        cells = kept
    assert 0 < cells < len(toy_run.CELLS)
    toy_run.run(tmp_path / "killed")
    toy_run.run(tmp_path / "whole")
    ends = [tmp_path / name / "toy.json" for name in ("killed", "whole")]
    assert without_times(ends[0]) == without_times(ends[1])
    assert [path.name for path in ends[0].parent.glob("*.json*") if path.suffix != ".new"] == [
        "toy.json"
    ]


def test_two_processes_at_once_do_not_hurt_each_other(tmp_path) -> None:
    both = [start(tmp_path / "two", 0.01) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    toy_run.run(tmp_path / "one")
    ends = [tmp_path / name / "toy.json" for name in ("two", "one")]
    assert without_times(ends[0]) == without_times(ends[1])
    assert [path.name for path in ends[0].parent.iterdir()] == ["toy.json"]


def test_two_writers_of_one_file_have_scratch_files_of_their_own(tmp_path, monkeypatch) -> None:
    """The other process writes between our writing and our renaming; ours is whole all the same."""
    ours, honest = tmp_path / "toy.json", Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", honest)
        with monkeypatch.context() as other:
            other.setattr("os.getpid", lambda: 1)
            part.write(ours, {"other": [1, 2]})
            (tmp_path / "toy.json.1.new").write_text('{"other": [1')  # and begins again
        return honest(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    part.write(ours, {"ours": 3})
    assert json.loads(ours.read_text()) == {"ours": 3}
