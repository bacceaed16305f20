"""Hold a tag against the version that it names (`python -m tools.release v0.2.0`).

The version stands in fedlearn_lib/__init__.py, in CITATION.cff and, as the newest heading with a
date, in CHANGELOG.md. Nothing but Python is needed to run this.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = {
    "fedlearn_lib/__init__.py": r'^__version__ = "(\S+)"$',
    "CITATION.cff": r"^version: (\S+)$",
    "CHANGELOG.md": r"^## (\d\S*) \(",
}


def versions(root: Path = ROOT) -> dict[str, str]:
    """Return the version that each place names."""
    found = {}
    for place, pattern in PLACES.items():
        match = re.search(pattern, (root / place).read_text(encoding="utf-8"), re.MULTILINE)
        found[place] = match[1] if match else "none"
    return found


def complaints(tag: str, found: dict[str, str]) -> list[str]:
    """Say which places do not name the version of ``tag``.

    >>> complaints("v0.2.0", {"CITATION.cff": "0.2.0"})
    []
    >>> complaints("0.3.0", {"CITATION.cff": "0.2.0"})
    ["the tag must be v and the version, got '0.3.0'", 'CITATION.cff names version 0.2.0']
    """
    wrong = [] if tag.startswith("v") else [f"the tag must be v and the version, got {tag!r}"]
    version = tag.removeprefix("v")
    return wrong + [f"{p} names version {named}" for p, named in found.items() if named != version]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    said = complaints(sys.argv[1], versions())
    sys.exit(f"{sys.argv[1]} is no release: {'; '.join(said)}" if said else 0)
