"""Execute chapters and store their fresh outputs (`make run`).

A chapter is replaced whole, and only after all its cells ran: an error or Ctrl-C leaves the file
as it was. What is stored shows without a kernel and changes only where an output changed.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tools.repository import notebooks, replace

LIMIT = 180  # seconds a chapter, on two cores
KEPT = {"tags", "mystnb", "jupyter", "cellView"}  # cell metadata that an author writes
VIEW = "application/vnd.jupyter.widget-view+json"


def execute(path: Path) -> NotebookNode:
    """Return the chapter at ``path`` with the outputs of a fresh kernel."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=2 * LIMIT,
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--log-level=CRITICAL"],  # errors of cells come back with their outputs
        on_notebook_start=_let_ctrl_c_through,
    )
    client.execute()
    return notebook


def _let_ctrl_c_through(notebook: NotebookNode) -> None:
    """Take away nbclient's own handlers, after which a run ends in an unrelated error."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(stop)
        signal.signal(stop, signal.default_int_handler)


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Drop, in place, what differs from one run or editor to the next; return the notebook."""
    metadata = notebook.metadata
    metadata.pop("widgets", None)
    metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata.language_info = {"name": "python", "file_extension": ".py"}
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in sorted(KEPT & set(cell.metadata))}
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(VIEW, None)
    clean: NotebookNode = nbformat.from_dict(notebook)
    return clean


def run(path: Path) -> float:
    """Execute and store one chapter; return the seconds that its cells took."""
    start = time.perf_counter()
    notebook = execute(path)
    seconds = time.perf_counter() - start
    nbformat.validate(notebook := tidy(notebook))
    replace(path, nbformat.writes(notebook) + "\n")
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chapters", nargs="+", help="numbers or notebooks")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds a chapter may take")
    options = parser.parse_args()
    slow = []
    for path in notebooks(options.chapters, "run"):
        try:
            seconds = run(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(error, f"make run: {path} failed and stays as it was", sep="\n", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"\nmake run: interrupted; {path} stays as it was", file=sys.stderr)
            return 130
        print(f"{path.name:<40} {seconds:6.1f} s", flush=True)
        if seconds > options.limit:
            slow.append(f"{path.name} takes {seconds:.0f} s, more than {options.limit:.0f} s")
    for line in slow:
        print(f"make run: {line}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
