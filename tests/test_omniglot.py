"""``load("omniglot")``: every drawing under its character and its drawer, or an error."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedlearn_lib.data import known, load, omniglot, places

TOY = {"Greek": 3, "Latin": 2, "Keble": 2}  # two alphabets to train, one to test
FIRST = {"Greek": 1, "Latin": 4, "Keble": 6}


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    """Make three small alphabets the known ones, and let no real folder be searched."""
    monkeypatch.setattr(omniglot, "OMNIGLOT", TOY)
    monkeypatch.setattr(omniglot, "OMNIGLOT_TRAIN", 2)
    monkeypatch.delenv("FEDLEARN_DATA", raising=False)
    monkeypatch.setattr(places, "cache", lambda: tmp_path / "cache")


def drawing(number: int, drawer: int) -> np.ndarray:
    """Draw one black pixel on white paper whose place says who drew what."""
    pixels = np.full((28, 28), 255, np.uint8)
    pixels[number, drawer] = 0
    return pixels


def write(folder: Path, names: list[str], grow: int = 1) -> Path:
    """Write alphabets as they are distributed, each pixel ``grow`` pixels wide."""
    for name in names:
        for c in range(TOY[name]):
            home = folder / name / f"character{c + 1:02d}"
            home.mkdir(parents=True)
            for d in range(1, 21):
                pixels = np.kron(drawing(FIRST[name] + c, d), np.ones((grow, grow), np.uint8))
                Image.fromarray(pixels).save(home / f"{FIRST[name] + c:04d}_{d:02d}.png")
    return folder


@pytest.mark.parametrize("folder", ["omniglot", "omniglot-py", "."])
def test_each_drawing_has_its_character_and_its_drawer(tmp_path, folder):
    write(tmp_path / folder / "images_background", ["Greek", "Latin"])
    write(tmp_path / folder / "images_evaluation", ["Keble"], grow=3)
    x, y, client, title = load("omniglot", root=tmp_path)
    assert client is not None
    assert (tuple(x.shape), title) == ((100, 28, 28), "Omniglot")
    assert y.bincount().tolist() == [40, 40, 20]
    assert client.bincount().tolist() == [3] * 20 + [2] * 20
    for i in range(100):
        first = FIRST["Greek" if client[i] < 20 else "Latin"]
        assert x[i].nonzero().tolist() == [[first + int(y[i]), int(client[i]) % 20 + 1]]
        assert x[i].max() == 1
    x, y, client, _ = load("omniglot", root=tmp_path, part="test")
    assert client is not None
    assert client.unique().tolist() == list(range(40, 60))
    assert x[3].nonzero().tolist() == [[6, 4]], "three times as many pixels are averaged"


def test_one_folder_may_hold_all_alphabets(tmp_path):
    write(tmp_path / "omniglot", list(TOY))
    assert len(load("omniglot", root=tmp_path).x) == 100
    assert len(load("omniglot", root=tmp_path, part="test").x) == 40


def test_gray_is_the_share_of_ink(tmp_path):
    pixels = np.full((56, 56), 255, np.uint8)
    pixels[:2, :1] = 0  # half of the first pixel's area
    Image.fromarray(pixels).save(tmp_path / "half.png")
    drawn = omniglot.read_drawing(tmp_path / "half.png")
    assert drawn[0, 0] == pytest.approx(0.5, abs=0.51 / 255)  # one byte, and float32
    assert drawn.sum() == drawn[0, 0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda home: (home / "character02/0002_07.png").unlink(), r"1 are missing.*0002_07\.png"),
        (
            lambda home: (home / "character02/0002_07.png").rename(
                home / "character02/0004_07.png"
            ),
            "1 do not belong there and 1 are missing",
        ),
        (
            lambda home: (home / "character01/0001_21.png").write_bytes(b""),
            r"1 do not belong.*0001_21\.png",
        ),
        (
            lambda home: (home / "character01/0001_01.png").write_bytes(b"<html>"),
            r"0001_01\.png is no image",
        ),
        (
            lambda home: (home / "character01/0001_01.png").write_bytes(
                (home / "character01/0001_01.png").read_bytes()[:60]
            ),
            r"0001_01\.png is no image",
        ),
    ],
)
def test_a_spoiled_alphabet_is_an_error(tmp_path, spoil, message):
    write(tmp_path, ["Greek", "Latin"])
    spoil(tmp_path / "Greek")
    with pytest.raises(ValueError, match=message):
        load("omniglot", root=tmp_path)


def test_missing_alphabets_list_the_places_and_the_way(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLEARN_DATA", str(tmp_path / "elsewhere"))
    write(tmp_path / "half", ["Greek"])
    with pytest.raises(FileNotFoundError) as error:
        load("omniglot", root=tmp_path / "half")
    for word in ("half", "elsewhere", "images_background.zip", "Latin", "root=", "github.com"):
        assert word in str(error.value)


def test_the_known_alphabets_are_all_1623_characters():
    counts = list(known.OMNIGLOT.values())
    assert (len(counts), sum(counts)) == (50, 1623)
    assert sum(counts[: known.OMNIGLOT_TRAIN]) == 964
    assert (min(counts), max(counts)) == (14, 55)
