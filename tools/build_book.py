"""Build the site (`make book`): from nothing where anything changed, not at all where nothing did.

A partial build keeps pages that should be gone and forgets the warnings of pages it does not read
again. So a digest of all files of the repository decides, and a build that fails leaves none.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from tools.repository import ROOT, files

BUILD = ROOT / "_build"
DIGEST = BUILD / "html.sha256"
INDEX = BUILD / "html" / "index.html"


def digest() -> str:
    """Return a digest of the names and contents of all files that a page may come from."""
    found = hashlib.sha256()
    for path in files():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(ROOT)}\0{content}\n".encode())
    return found.hexdigest()


def build() -> int:
    """Build the whole site with warnings as errors; return the exit status."""
    if not version("jupyter-book").startswith("1."):
        raise SystemExit("make book: version 1 of jupyter-book is needed; run `make setup` again")
    for old in (BUILD / "html", BUILD / ".doctrees"):
        shutil.rmtree(old, ignore_errors=True)
    program = str(Path(sys.executable).with_name("jupyter-book"))
    command = [program, "build", ".", "--all", "-W", "--keep-going"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    start, now = time.perf_counter(), digest()
    if DIGEST.exists() and DIGEST.read_text(encoding="ascii") == now and INDEX.exists():
        print("Nothing has changed since the last build.")
    else:
        DIGEST.unlink(missing_ok=True)
        status = build()
        if status or not INDEX.exists():
            print("make book: the build failed; its warnings stand above.", file=sys.stderr)
            return status or 1
        DIGEST.write_text(now, encoding="ascii")
        print(f"Built in {time.perf_counter() - start:.0f} s.")
    print(f"Open {INDEX.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
