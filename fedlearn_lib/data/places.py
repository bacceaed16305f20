"""Where files of the big data sets may lie, and what to say when they are nowhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fedlearn_lib.data.download import cache
from fedlearn_lib.data.known import SHA256, TITLE, whose

FOLDERS = {
    "mnist": ("mnist/raw", "MNIST/raw", "mnist", "MNIST", ""),
    "fashion_mnist": ("fashion_mnist/raw", "FashionMNIST/raw", "fashion-mnist", ""),
    "cifar10": ("cifar-10-batches-bin", ""),
    "cifar100": ("cifar-100-binary", ""),
    "omniglot": ("omniglot", "omniglot-py", ""),
}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def places(name: str, root: Path | None) -> dict[str, Path]:
    """Every place to look in, first come first served: what it is called, the folder."""
    variable, downloads = os.environ.get("FEDLEARN_DATA"), cache()
    listed = {
        "root": root,
        "FEDLEARN_DATA": Path(variable).expanduser() if variable else None,
        "Debian's package": DEBIAN if name == "fashion_mnist" else None,
        "the download cache": downloads,
    }
    return {label: folder for label, folder in listed.items() if folder is not None}


def find(
    name: str, alternatives: Sequence[Sequence[str]], where: dict[str, Path]
) -> list[Path] | None:
    """Paths of the first of ``alternatives`` that some folder holds completely, else None.

    Each alternative is a list of files that belong together; idx files may end in ``.gz``.
    """
    for root in where.values():
        for folder in FOLDERS[name]:
            for files in alternatives:
                paths = [_plain_or_packed(root / folder / file) for file in files]
                found = [path for path in paths if path is not None]
                if len(found) == len(files):
                    return found
    return None


def missing(name: str, part: str, files: Sequence[str], where: dict[str, Path]) -> str:
    """Say what was looked for, where, and every way to get it."""
    looked = [f"  {label}: {folder}" for label, folder in where.items()]
    inside = ", ".join(folder or "the folder itself" for folder in FOLDERS[name])
    call = f'load("{name}", part="{part}"'
    ways = [
        f"  {call}, download=True)   needs pooch and tqdm",
        f"  {call}, root=FOLDER)     FOLDER/{FOLDERS[name][0]} holds the files",
        "  set the environment variable FEDLEARN_DATA to such a FOLDER",
    ]
    if name == "fashion_mnist":
        ways.append("  on Debian or Ubuntu: apt install dataset-fashion-mnist")
    return "\n".join(
        [
            f"{TITLE[name]} ({part}) was not found. Needed are the files",
            f"  {', '.join(files)}",
            f"(idx files may end in .gz), in one of: {inside}; looked in",
            *(looked or ["  nowhere: no root= and no FEDLEARN_DATA were given"]),
            "Ways to get it:",
            *ways,
        ]
    )


def target(root: Path | None) -> Path:
    """Where downloads go; without pooch there is no cache, and ``fetch`` will say so."""
    return root or cache() or Path()


def same(name: str, file: str, path: Path, digest: str) -> None:
    """Refuse a file of which the SHA-256 ``digest`` is not the known one of ``file``."""
    if digest != SHA256[name][file]:
        raise ValueError(
            f"{path} is not {file} of {TITLE[name]}: by its checksum it is "
            f"{whose(digest)} (SHA-256 of the values {digest[:16]}…, needed "
            f"{SHA256[name][file][:16]}…); remove it and get it again, or pass a root "
            f"whose {FOLDERS[name][0]} holds {TITLE[name]}"
        )


def _plain_or_packed(path: Path) -> Path | None:
    if path.is_file():
        return path
    packed = path.with_name(path.name + ".gz")
    return packed if "-idx" in path.name and packed.is_file() else None
