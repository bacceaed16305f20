"""The limits of tests: a hang is ended, a test that waits for its turn is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOAD = """import os
pytest_plugins = ["tools.patience"]
os.getloadavg = lambda: ({load}, 0.0, 0.0)
"""
BUSY = "while True:\n        pass"
WAIT = "time.sleep(60)"
SHORT = "time.sleep(2)"


def run(folder: Path, body: str, load: float) -> subprocess.CompletedProcess[str]:
    """Run a test with a limit of half a second on a machine that reports ``load``."""
    (folder / "conftest.py").write_text(LOAD.format(load=load), encoding="utf-8")
    (folder / "test_it.py").write_text(f"import time\n\ndef test_it():\n    {body}\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=0.5", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, f"--rootdir={folder}", str(folder)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip


@pytest.mark.parametrize("body", [BUSY, WAIT])
def test_a_hang_is_ended(tmp_path: Path, body: str) -> None:
    done = run(tmp_path, body, load=0.0)
    assert done.returncode == 1, done.stdout
    assert "Timeout" in done.stdout


def test_on_a_busy_machine_a_test_gets_its_time(tmp_path: Path) -> None:
    processors = os.cpu_count() or 1
    done = run(tmp_path, SHORT, load=20.0 * processors)
    assert done.returncode == 0, done.stdout


def test_even_on_a_busy_machine_a_hang_is_ended(tmp_path: Path) -> None:
    processors = os.cpu_count() or 1
    done = run(tmp_path, WAIT, load=4.0 * processors)
    assert done.returncode == 1, done.stdout
