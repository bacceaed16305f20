"""`make run` that is stopped: one line, the chapter as it was, and no kernel's last words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools.repository import ROOT


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=lambda stop: stop.name)
def test_who_stops_a_run_reads_one_line(tmp_path: Path, stop: signal.Signals) -> None:
    chapter, begun = tmp_path / "01_long.ipynb", tmp_path / "begun"
    code = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(300)"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), chapter)
    before = chapter.read_bytes()
    run = subprocess.Popen(
        [sys.executable, "-m", "tools.run_notebooks", str(chapter)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        while not begun.exists() and run.poll() is None:
            time.sleep(0.1)
        os.killpg(run.pid, stop)  # as a terminal does
        said, _ = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 130
    assert said.strip() == f"make run: interrupted; {chapter} stays as it was"
    assert chapter.read_bytes() == before
