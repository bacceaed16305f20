"""A run that is killed goes on as if nothing had happened, and refuses another run's file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_clients import ragged_clients, seeded

from fedlearn_lib import fedavg, gradient, logistic, loss_of, parameters_of, run
from fedlearn_lib.federated import ditto, personal_path, run_saved, scaffold, sparse_start

MODEL = logistic(4, 3).double()
ORACLE = gradient(loss_of(MODEL))
METHODS: dict[str, Any] = {
    "FedAvg": fedavg(ORACLE, lr=0.2),
    "SCAFFOLD": scaffold(ORACLE, lr=0.2, share=0.4),
    "path": personal_path(ORACLE, kappa=2.0, lr=0.3),
    "Ditto": ditto(ORACLE, lr=0.2, lam=1.0),
    "sparse start": sparse_start(ORACLE, kappa=2.0, nu=1.0, lr=0.3),
}
SETTING: dict[str, Any] = {"cohort": 2, "steps": 2, "batch": 3}


def arguments(name: str, rounds: int, **other: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    rest = dict(SETTING, rounds=rounds, generator=seeded(5), probe=size) | other
    return (METHODS[name], parameters_of(MODEL), ragged_clients([5, 3, 8, 2, 6])), rest


def size(state: Any) -> dict[str, float] | None:
    return {"size": float(state.w["1.weight"].norm())} if state.round % 2 == 0 else None


def leaves(tree: Any) -> list[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, tuple) else []
    return [leaf for part in parts for leaf in leaves(part)]


def same(a: Any, b: Any) -> None:
    assert type(a[0]) is type(b[0])
    assert a[0].round == b[0].round
    assert len(leaves(a[0])) == len(leaves(b[0])) > 1
    for one, other in zip(leaves(a[0]), leaves(b[0]), strict=True):
        assert torch.equal(one, other)
    assert a[1] == b[1]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("every", [1, 3])
def test_a_run_in_pieces_is_the_run(name: str, every: int, tmp_path: Path) -> None:
    """Proposition 16.2, cut at every round and at every third."""
    given, options = arguments(name, 7)
    whole = run(*given, **options)
    for rounds in (2, 5, 7, 7):
        given, options = arguments(name, rounds)
        found = run_saved(tmp_path / "run.pt", *given, every=every, **options)
    same(found, whole)
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def long_run(folder: str) -> None:
    """What the process does that will be killed."""
    torch.set_num_threads(1)
    given, options = arguments("path", 400)
    run_saved(Path(folder) / "run.pt", *given, **options)


@pytest.mark.slow
def test_a_run_goes_on_after_kill_9_at_a_random_moment(tmp_path: Path) -> None:
    """Proposition 16.2: the process is killed several times, mostly inside of a round."""
    given, options = arguments("path", 400)
    whole = run(*given, **options)
    code = f"import test_run_saved; test_run_saved.long_run({str(tmp_path)!r})"
    dice, kills = random.Random(), 0
    home = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": f"{home}{os.pathsep}{Path(home).parent}"}
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code], env=environment)
        until = time.monotonic() + 120
        before = rounds_in(tmp_path)
        while rounds_in(tmp_path) == before and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    assert 0 < rounds_in(tmp_path) < 400, "all kills came too late"
    given, options = arguments("path", 400)
    same(run_saved(tmp_path / "run.pt", *given, **options), whole)


def rounds_in(folder: Path) -> int:
    file = folder / "run.pt"
    return torch.load(file)["state"]["server"]["round"] if file.exists() else 0


def test_a_process_that_dies_while_it_writes_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    file = tmp_path / "run.pt"
    given, options = arguments("FedAvg", 2)
    run_saved(file, *given, **options)
    before = file.read_bytes()

    def torn(content: Any, stream: Any) -> None:
        stream.write(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", torn)
    given, options = arguments("FedAvg", 3)
    with pytest.raises(KeyboardInterrupt):
        run_saved(file, *given, **options)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"generator": seeded(6)}, "generator"),
        ({"steps": 3}, "steps"),
        ({"cohort": 3}, "cohort"),
        ({"rounds": 1}, "rounds must be at least the 3"),
    ],
)
def test_another_run_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    given, options = arguments("FedAvg", 3)
    run_saved(file, *given, **options)
    before = file.read_bytes()
    with pytest.raises(ValueError, match=words):
        run_saved(file, *given, **(options | {"generator": seeded(5)} | change))
    assert file.read_bytes() == before


def test_another_start_is_refused(tmp_path: Path) -> None:
    given, options = arguments("FedAvg", 3)
    run_saved(tmp_path / "run.pt", *given, **options)
    other = {k: v + 1 for k, v in given[1].items()}
    with pytest.raises(ValueError, match=r"differs in ..w0"):
        run_saved(tmp_path / "run.pt", given[0], other, given[2], **arguments("FedAvg", 3)[1])


@pytest.mark.parametrize("content", [b"", b"no run", b"PK\x03\x04"])
def test_a_file_of_something_else_is_refused_and_kept(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    file.write_bytes(content)
    given, options = arguments("FedAvg", 3)
    with pytest.raises(ValueError, match="path must name a file that run_saved wrote"):
        run_saved(file, *given, **options)
    assert file.read_bytes() == content


def test_a_state_of_another_method_or_model_is_refused() -> None:
    state, _ = run(*arguments("FedAvg", 1)[0], **arguments("FedAvg", 1)[1])
    for name in ("SCAFFOLD", "path"):
        given, options = arguments(name, 1)
        with pytest.raises(ValueError, match="state must be what a run of the same algorithm"):
            run(*given, **options, state=state)
