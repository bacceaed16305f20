"""Is somebody looking who can talk back to this kernel?"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Mapping

#: Environment variables that a front end with widgets sets for its kernels:
#: JupyterLab and Notebook 7, Colab, VS Code.
MARKS = ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "VSCODE_PID")


def is_live(
    environ: Mapping[str, str] | None = None, modules: Container[str] | None = None
) -> bool:
    """Return whether a figure should talk to the kernel instead of carrying its frames.

    ``FEDLEARN_FIGURES=live`` or ``=static`` decides; without it JupyterLab, Colab and VS Code are
    recognized by what they leave in the environment. The book's build, nbclient and nbval leave
    nothing there.

    >>> is_live({}, ()), is_live({"JPY_SESSION_NAME": "a.ipynb"}, ())
    (False, True)
    >>> is_live({"JPY_SESSION_NAME": "a.ipynb", "FEDLEARN_FIGURES": "static"}, ())
    False
    """
    environ = os.environ if environ is None else environ
    modules = sys.modules if modules is None else modules
    wish = environ.get("FEDLEARN_FIGURES", "")
    if wish not in ("", "live", "static"):
        raise ValueError(
            f'FEDLEARN_FIGURES must be "live", "static" or unset, got {wish!r}; '
            "unset it to let the figure decide"
        )
    if wish:
        return wish == "live"
    return "google.colab" in modules or any(environ.get(mark) for mark in MARKS)
