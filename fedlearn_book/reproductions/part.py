"""The part file of a run: its finished cells, and what they depend on beside their settings."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

Cell = dict[str, Any]
INNERMOST = r"[\[{]\n[^\[\]{}]*\n\s*[\]}]"  # a list or object of plain values goes on one line


def resume(path: Path, protocol: Mapping[str, Any]) -> list[Cell]:
    """Return the finished cells of a part file, none if there is no file.

    A file that is damaged, whose cells were altered, or that was begun under another protocol
    (another version, another constant) is an error: its cells must not be mixed with new ones.
    """
    if not path.exists():
        return []
    stored = _read(path)
    if differences := list(_differences(stored["protocol"], plain(protocol))):
        raise ValueError(
            f"{path} was begun under another protocol and cannot go on: {'; '.join(differences)}. "
            "Go back to the first, or delete the file to start again"
        )
    for cell in stored["cells"]:
        if cell.pop("check") != _check(cell):
            raise ValueError(
                f"{path} is not as it was written: the cell {cell['setting']} has been altered. "
                "Delete the cell or the file, and it is computed again"
            )
    cells: list[Cell] = stored["cells"]
    return cells


def keep(path: Path, protocol: Mapping[str, Any], cells: list[Cell]) -> None:
    """Write the part file, each cell with a check that tells when a value of it is altered."""
    checked = [{**cell, "check": _check(cell)} for cell in cells]
    write(path, {"protocol": plain(protocol), "cells": checked})


def write(path: Path, content: Any) -> None:
    """Write JSON so that the file is whole or absent, whoever else may be writing it."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
    text = json.dumps(content, indent=1, ensure_ascii=False)
    flat = re.sub(INNERMOST, lambda match: re.sub(r"\n\s*", " ", match.group()), text)
    try:
        scratch.write_text(flat + "\n", encoding="utf-8")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)  # after a full disk


def constants_of(*modules: str) -> dict[str, Any]:
    """Return the values of all names in capitals of these modules, as JSON has them.

    >>> constants_of("fedlearn_book.reproductions.split_auc")["split_auc.RUNS"]
    100
    """
    return {
        f"{module.rpartition('.')[2]}.{name}": plain(value)
        for module in modules
        for name, value in vars(sys.modules[module]).items()
        if name.isupper() and not isinstance(value, Path | TypeVar)
    }


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back; a function is its name.

    >>> plain({1: (2.5, None), "f": len})
    {'1': [2.5, None], 'f': 'builtins.len'}
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, partial):
        return [plain(value.func), plain(value.args), plain(value.keywords)]
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(f"a constant must be a plain value or a function, got {value!r}; name it else")


def _read(path: Path) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        whole = isinstance(stored["protocol"], dict) and all(
            {"setting", "result", "seconds", "check"} <= cell.keys() for cell in stored["cells"]
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(_damaged(path, f"{type(error).__name__}: {error}")) from error
    if not whole:
        raise ValueError(_damaged(path, "a cell is not complete"))
    return stored


def _damaged(path: Path, why: str) -> str:
    return f"{path} is no part file of a run ({why}); delete it to start again, or restore it"


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Say in words where two protocols differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{name} {key}".strip()
            yield from _differences(old.get(key, "absent"), new.get(key, "absent"), inner)
    elif old != new:
        yield f"{name} was {_short(old)}, is {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 100 else text[:97] + "..."


def _check(cell: Mapping[str, Any]) -> str:
    text = json.dumps(plain(cell), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
