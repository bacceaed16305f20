"""Omniglot: handwritten characters of 50 alphabets, each drawn once by each of 20 people."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fedlearn_lib.data.dataset import Dataset
from fedlearn_lib.data.known import OMNIGLOT, OMNIGLOT_TRAIN, TITLE
from fedlearn_lib.data.optional import need
from fedlearn_lib.data.places import FOLDERS, places

DRAWERS = 20
SIDE = 28  # pixels of a side of x; the original files have 105
PARTS = {"train": "images_background", "test": "images_evaluation"}
SOURCE = "https://github.com/brendenlake/omniglot"


def alphabets() -> dict[str, tuple[int, int]]:
    """Return the number of each alphabet's first file, 1 to 1623, and how many characters it has.

    >>> list(alphabets().items())[:2]
    [('Arcadian', (1, 26)), ('Armenian', (27, 41))]
    """
    ends = accumulate(OMNIGLOT.values())
    return {name: (end - n + 1, n) for (name, n), end in zip(OMNIGLOT.items(), ends, strict=True)}


def load_omniglot(part: str, root: Path | None) -> Dataset:
    """Omniglot from its folders ``ALPHABET/CHARACTER/NNNN_DD.png``: one client a drawer.

    Drawers are numbered within an alphabet, so client is 20 · alphabet + drawer, both from 0 and
    in the order of the file numbers, and y the character within the alphabet.
    """
    where = places("omniglot", root)
    listed = list(alphabets().items())
    wanted = range(OMNIGLOT_TRAIN) if part == "train" else range(OMNIGLOT_TRAIN, len(listed))
    home = _find(part, [listed[k][0] for k in wanted], where)
    rows = []
    for k in wanted:
        name, (first, count) = listed[k]
        files = _files(home / name, first, count)
        rows += [(path, n - first, DRAWERS * k + d - 1) for (n, d), path in sorted(files.items())]
    x = torch.from_numpy(np.stack([read_drawing(path) for path, _, _ in rows]))
    y, client = (torch.tensor(column) for column in list(zip(*rows, strict=True))[1:])
    return Dataset(x, y, client, TITLE["omniglot"])


def read_drawing(path: Path) -> NDArray[np.float32]:
    """Read ink from 0 to 1 as [28 28]: each pixel is the mean of the area that it stands for."""
    pil = need("PIL.Image", package="pillow", what='load("omniglot")')
    try:
        with pil.open(path) as image:
            gray = image.convert("L").resize((SIDE, SIDE), pil.Resampling.BOX)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} is no image that can be read ({error}); get it again") from error
    ink: NDArray[np.float32] = 1 - np.asarray(gray, dtype=np.float32) / np.float32(255)
    return ink


def _find(part: str, names: list[str], where: dict[str, Path]) -> Path:
    """The first folder that holds all these alphabets, by themselves or inside their part."""
    for root in where.values():
        for folder in FOLDERS["omniglot"]:
            for home in (root / folder / PARTS[part], root / folder):
                if all((home / name).is_dir() for name in names):
                    return home
    looked = "\n".join(f"  {label}: {folder}" for label, folder in where.items())
    raise FileNotFoundError(
        f"{TITLE['omniglot']} ({part}) was not found. Needed is a folder {PARTS[part]} with the "
        f"{len(names)} alphabets {names[0]}, …, {names[-1]} (or one folder with all 50), in one "
        f"of: {', '.join(folder or 'the folder itself' for folder in FOLDERS['omniglot'])}; "
        f"looked in\n{looked or '  nowhere: no root= and no FEDLEARN_DATA were given'}\n"
        f"There is no download=True for it: unpack python/{PARTS[part]}.zip of {SOURCE} in a "
        'folder and pass load("omniglot", root=FOLDER), or let FEDLEARN_DATA name it'
    )


def _files(home: Path, first: int, count: int) -> dict[tuple[int, int], Path]:
    """The drawings of an alphabet by (number of the character, drawer): all of them, no other."""
    found = {}
    for path in home.glob("*/*.png"):
        number, _, drawer = path.stem.partition("_")
        if number.isdecimal() and drawer.isdecimal():
            found[int(number), int(drawer)] = path
    needed = {(first + c, d) for c in range(count) for d in range(1, DRAWERS + 1)}
    if found.keys() != needed:
        lacking, strange = sorted(needed - found.keys()), sorted(found.keys() - needed)
        one = (lacking or strange)[0]
        raise ValueError(
            f"{home} must hold {count} characters of {DRAWERS} drawers, the files "
            f"{first:04d}_01.png to {first + count - 1:04d}_{DRAWERS}.png, got {len(found)} of "
            f"which {len(strange)} do not belong there and {len(lacking)} are missing "
            f"({one[0]:04d}_{one[1]:02d}.png is one); get the alphabet again"
        )
    return found
