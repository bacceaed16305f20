"""Packages that only a few calls need are imported by those calls."""

from __future__ import annotations

import importlib
from typing import Any


def need(module: str, *, package: str, what: str) -> Any:
    """Import ``module``, or say what wanted it and how to get it.

    >>> need("math", package="math", what="a root").sqrt(9.0)
    3.0
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{what} needs the package {package}, which is not installed; "
            f"run: python -m pip install {package}"
        ) from error
