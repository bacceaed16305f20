"""The interactive figures in JupyterLab: a kernel redraws, and hears what the reader moved."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
CELLS = [
    f"""import sys
sys.path.insert(0, {str(ROOT)!r})
import torch
from matplotlib.figure import Figure
from fedlearn_book.widgets import (
    FiltersEntering, HeterogeneityExplorer, MetaLandscape, PathExplorer, PersonalExplorer, Setting,
    explore, mean_label_tv
)
from fedlearn_lib import Clients

def draw(tau):
    fig = Figure(figsize=(4, 2))
    fig.subplots().plot([0, 1 / (tau - 3)])
    return fig

def setting(kind, value, counts):
    tv = mean_label_tv(counts)
    return Setting(kind, value, counts, ["no", "yes"], tv, tv, tv, 0.9 - 0.2 * tv)""",
    'explore(draw, tau=[1, 2, 4, 5], start={"tau": 1}, alt="A line.")',
    """hero = HeterogeneityExplorer([setting("iid", None, [[5, 5], [5, 5]]),
                              setting("dirichlet", 0.1, [[9, 1], [1, 9]]),
                              setting("dirichlet", 1.0, [[7, 3], [3, 7]])])
hero""",
    'hero.index = 2\nprint("moved from", hero.index)',
    'print("moved to", hero.index)',
    """land = MetaLandscape(A=torch.stack([2 * torch.eye(2), torch.eye(2)]), bend=torch.ones(2),
                     centers=torch.tensor([[0.0, 0.0], [1.0, 1.0]]), alpha=0.3, w=[0.5, 0.5])
land""",
    "land.widget.alpha = 0.1",
    'print("point at", land.widget.w)',
    """X, e = 2 * torch.eye(4).double(), torch.tensor([1.0, -1, 1, 0.5]).double()
truth = torch.tensor([2.0, 1.0, 0, 0]).double()
paths = PathExplorer(lambda noise: (X, X @ truth + noise * e), truth, noise=[0.1, 0.5], t=1.0)
paths""",
    "paths.widget.t = 5.0",
    'print("paths at", paths.widget.where, paths.widget.t)',
    """S = torch.tensor([[0, 0], [0, 1], [1, 1]])
run = FiltersEntering([0, 1, 2], filters={"conv": torch.ones(3, 2, 1, 2, 2)}, label="epoch",
                      support={"conv": S}, curves={"dense": [0.1, 0.5, 0.9]}, start=0)
run""",
    "run.widget.index = 1",
    'print("run at", run.widget.index)',
    """def numbers(s):
    y = s * torch.tensor([0.0, 1.0, 2.0, 4.0, 8.0])
    clients = Clients.of(torch.ones(5, 1), y, [[i] for i in range(5)])
    return clients, clients

own = PersonalExplorer(numbers, names=list("ABCDE"), numbers=["number"], s=[0.5, 1], t=0.0,
                       start={"s": 1})
own""",
    "own.widget.t = 0.3",
    'print("own at", own.widget.setting, round(own.widget.t, 4))',
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The address of a notebook in a JupyterLab of our own, with settings of its own."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book.metadata.kernelspec = kernel
    nbformat.write(book, tmp_path / "figures.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    own = {name: str(tmp_path / name.lower()) for name in folders}
    kept = {name: text for name, text in os.environ.items() if name != "FEDLEARN_FIGURES"}
    options = {
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": tmp_path,
        "IdentityProvider.token": "figures",
        "LabApp.news_url": "",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *arguments]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=kept | own, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/api", server, tmp_path / "log")
        yield f"http://127.0.0.1:{port}/lab/tree/figures.ipynb?token=figures"
    finally:
        server.terminate()
        server.wait()


def _wait(address: str, server: subprocess.Popen, log: Path) -> None:
    while server.poll() is None:
        try:
            urllib.request.urlopen(address).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


def _run_all(tab: Page) -> None:
    """Run all cells as soon as there is a kernel: before, JupyterLab would ask for one."""
    tab.get_by_text("| Idle").wait_for()
    tab.get_by_role("menuitem", name="Run", exact=True).click()
    tab.get_by_role("menuitem", name="Run All Cells").first.click()


def _run_until(tab: Page, cell: int, text: str) -> None:
    """Run a cell until it prints ``text``, or until the limit of the test is over.

    Of two quick changes the front end holds the second back until the kernel has heard the first,
    and a run that is asked for in between overtakes it.
    """
    while not tab.get_by_text(text).count():
        tab.locator(".jp-CodeCell").nth(cell).locator(".cm-content").click()
        tab.keyboard.press("Shift+Enter")
        tab.wait_for_timeout(1000)


@pytest.mark.slow
def test_figures_are_live_in_jupyterlab(lab: str, new_context):
    tab = new_context(viewport={"width": 1200, "height": 6400}).new_page()
    tab.goto(lab)
    tab.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    _run_all(tab)
    tab.get_by_text("moved from 2").wait_for()

    handle = tab.locator(".jp-OutputArea .noUi-handle")
    handle.focus()
    tab.keyboard.press("ArrowRight")
    tab.locator("p[role=status]", has_text="A line. (τ = 2)").wait_for(state="attached")
    tab.keyboard.press("ArrowRight")  # between the values of the grid, where draw divides by zero
    tab.locator("pre[role=alert]", has_text="ZeroDivisionError").wait_for()
    tab.keyboard.press("ArrowRight")
    tab.locator("p[role=status]", has_text="A line. (τ = 4)").wait_for(state="attached")
    assert tab.locator("pre[role=alert]").count() == 0

    tab.locator(".fl-say", has_text="Dirichlet, α = 1:").wait_for()  # set by the kernel
    tab.locator(".fl-handle").focus()
    tab.keyboard.press("End")
    tab.locator(".fl-say", has_text="Dirichlet, α = 0.1:").wait_for()
    assert tab.evaluate("document.activeElement.classList.contains('fl-handle')")
    _run_until(tab, 4, "moved to 1")  # heard by the kernel

    tab.locator(".fl-say", has_text="At w = (0.50, 0.50) with α = 0.10").wait_for()
    tab.locator(".fl-point[role=slider]").focus()
    tab.keyboard.press("ArrowUp")
    tab.locator(".fl-say", has_text="At w = (0.50, 0.55)").wait_for()
    _run_until(tab, 7, "point at [0.5, 0.55]")

    tab.locator(".fl-paths .fl-say", has_text="t = 5.00:").wait_for()
    tab.get_by_role("slider", name="noise σ").focus()
    tab.keyboard.press("Home")
    tab.get_by_role("slider", name="time t", exact=True).focus()
    tab.keyboard.press("PageDown")  # to the last knot before: the second coefficient enters at 1.05
    tab.locator(".fl-paths .fl-say", has_text="t = 1.05:").wait_for()
    _run_until(tab, 10, "paths at [0] 1.0526")

    tab.locator(".fl-filters .fl-say", has_text="epoch 1: 1 of 2 filters").wait_for()
    tab.get_by_role("slider", name="epoch").focus()
    tab.keyboard.press("ArrowRight")
    tab.locator(".fl-filters .fl-say", has_text="epoch 2: 2 of 2 filters").wait_for()
    _run_until(tab, 13, "run at 2")

    tab.locator(".fl-personal .fl-say", has_text="t = 0.300: 1 of 5 numbers").wait_for()
    tab.get_by_role("slider", name="s", exact=True).focus()
    tab.keyboard.press("Home")  # half the differences: the first leaves at 0.4 instead of 0.2
    tab.locator(".fl-personal .fl-say", has_text="Next: E’s number at t = 0.400").wait_for()
    tab.get_by_role("slider", name="path time t").focus()
    tab.keyboard.press("PageUp")
    tab.locator(".fl-personal .fl-say", has_text="t = 0.400: 1 of 5 numbers").wait_for()
    _run_until(tab, 16, "own at 0 0.4")
