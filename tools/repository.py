"""The files of this repository, and the one place where its address stands."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
BUILT = {"_build", "__pycache__", "node_modules", "htmlcov", "build", "dist"}


class Address(NamedTuple):
    """A GitHub repository.

    >>> Address("ada", "book").pages, Address("ada", "ada.github.io").pages
    ('https://ada.github.io/book/', 'https://ada.github.io/')
    """

    owner: str
    name: str

    @property
    def url(self) -> str:
        return f"https://github.com/{self.owner}/{self.name}"

    @property
    def pages(self) -> str:
        """Where GitHub Pages publishes the site."""
        host = f"{self.owner.lower()}.github.io"
        return f"https://{host}/" if self.name.lower() == host else f"https://{host}/{self.name}/"


def parse(url: str) -> Address:
    """Return the address in ``url``, or say what is wrong with it.

    >>> parse("https://github.com/ada/book")
    Address(owner='ada', name='book')
    >>> parse("github.com/ada/book")
    Traceback (most recent call last):
    ...
    ValueError: URL must be https://github.com/OWNER/NAME with nothing after it, got ...
    """
    owner, name = r"[A-Za-z\d](?:-?[A-Za-z\d]){0,38}", r"[\w.-]{1,100}"
    found = re.fullmatch(rf"https://github\.com/({owner})/({name})", url, re.ASCII)
    if not found or found[2] in {".", ".."} or found[2].endswith(".git"):
        raise ValueError(
            f"URL must be https://github.com/OWNER/NAME with nothing after it, got {url!r}"
        )
    return Address(found[1], found[2])


def current(root: Path = ROOT) -> Address:
    """Return the repository's address, which stands in _config.yml."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return parse(config["repository"]["url"])


def files(root: Path = ROOT) -> list[Path]:
    """Return the files that git holds or would add; without git, those in no built folder."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = [root / name for name in listed.split("\0") if name]
    else:
        found = []
        for folder, below, names in os.walk(root):
            below[:] = [name for name in below if not _is_built(name)]
            found += [Path(folder, name) for name in names if not name.endswith(".part")]
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def text(path: Path) -> str | None:
    """Return what stands in a text file, None for a binary one."""
    data = path.read_bytes()
    try:
        return None if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def chosen(asked: Sequence[str], known: Sequence[str], command: str) -> list[str]:
    """Return the names that are asked for by a chapter's number, by name or by path.

    The first words of a name are enough.

    >>> chosen(["8", "notebooks/01_a.ipynb", "howto_1"], ["01_a", "08_b", "howto_1_c"], "run")
    ['08_b', '01_a', 'howto_1_c']
    >>> chosen(["99"], ["01_a", "08_b"], "run")
    Traceback (most recent call last):
    ...
    SystemExit: make run: there is no chapter '99'; say CHAPTER=08, or one of 01_a, 08_b
    """
    numbers = {name[:2]: name for name in known if name[:2].isdigit()}
    begun = {one: [name for name in known if name.startswith(f"{one}_")] for one in asked}
    names = [numbers.get(one.zfill(2), [*begun[one], Path(one).stem][0]) for one in asked]
    for one, name in zip(asked, names, strict=True):
        if name not in known:
            raise SystemExit(f"make {command}: there is no chapter {one!r}; say CHAPTER=08, or "
                             f"one of {', '.join(known)}")  # fmt: skip
    return names


def notebooks(asked: Sequence[str], command: str) -> list[Path]:
    """Return the notebooks that are asked for, each by its path or as in ``chosen``; else all."""
    known = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    files = [Path(one).resolve() if one.endswith(".ipynb") else None for one in asked]
    return [
        path if path and path.is_file() else known[chosen([one], list(known), command)[0]]
        for one, path in zip(asked, files, strict=True)
    ] or list(known.values())


def replace(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(content)
        part.chmod(path.stat().st_mode if path.exists() else 0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _is_built(name: str) -> bool:
    """Tell whether a folder's name says that it is built, or hidden and a tool's own."""
    hidden = name.startswith(".") and name not in {".github", ".ci"}
    return hidden or name.endswith(".egg-info") or name in BUILT
