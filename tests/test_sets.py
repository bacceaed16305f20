"""``load``: real content or an error, never wrong arrays. Needs no network."""

import gzip
import io
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedlearn_lib.data import known, load, places, shipped
from fedlearn_lib.data.formats import content, sha256
from tests.toy_sets import CLASSES, DIGITS, IMAGES, LABELS, TABLE, idx, make_known, write


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    """Make six random images the known content, and let no real folder be searched."""
    make_known(monkeypatch)
    monkeypatch.delenv("FEDLEARN_DATA", raising=False)
    monkeypatch.setattr(places, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(places, "cache", lambda: tmp_path / "cache")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("folder", ["mnist/raw", "MNIST/raw", "."])
def test_idx_files_become_these_tensors(tmp_path, folder, packed):
    write(tmp_path / folder, packed=packed)
    x, y, client, name = load("mnist", root=tmp_path)
    assert torch.equal(x, torch.from_numpy(DIGITS["mnist"]).float() / 255)
    assert (x.dtype, y.dtype, client, name) == (torch.float32, torch.int64, None, "MNIST")
    assert y.tolist() == CLASSES["mnist"].tolist()
    x.zero_()
    assert load("mnist", root=tmp_path).x.any(), "two loads must not share memory"


def test_places_are_searched_in_order(tmp_path, monkeypatch):
    write(tmp_path / "cache/mnist/raw")
    assert len(load("mnist").x) == 6
    (write(tmp_path / "env") / LABELS).write_bytes(b"damaged, and looked at before the cache")
    monkeypatch.setenv("FEDLEARN_DATA", str(tmp_path / "env"))
    with pytest.raises(ValueError, match="idx file"):
        load("mnist")
    assert len(load("mnist", root=write(tmp_path / "root")).x) == 6
    monkeypatch.delenv("FEDLEARN_DATA")
    write(tmp_path / "debian", "fashion_mnist")
    assert load("fashion_mnist", root=tmp_path / "nothing").name == "Fashion-MNIST"


whole, last = idx(DIGITS["mnist"]), len(idx(DIGITS["mnist"])) - 1
DAMAGE = {
    "truncated": whole[:-1],
    "cut in the header": whole[:9],
    "empty": b"",
    "extra byte": whole + b"\0",
    "one pixel altered": whole[:last] + bytes([whole[last] ^ 1]),
    "wrong magic": b"\1" + whole[1:],
    "another type": whole[:2] + b"\x0d" + whole[3:],
    "other dimensions": whole[:4] + struct.pack(">3I", 6, 56, 14) + whole[16:],
    "truncated gzip": gzip.compress(whole)[:-20],
    "altered gzip": (lambda z: z[:500] + bytes([z[500] ^ 255]) + z[501:])(gzip.compress(whole)),
    "gzip of truncated": gzip.compress(whole[:-1]),
    "not gzip at all": b"<html>Not found</html>",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_an_error(tmp_path, kind):
    (write(tmp_path) / (IMAGES + ".gz")).write_bytes(DAMAGE[kind])
    with pytest.raises(ValueError, match=IMAGES):
        load("mnist", root=tmp_path)


def test_one_set_is_never_taken_for_another(tmp_path):
    write(tmp_path / "mnist/raw", "fashion_mnist")
    with pytest.raises(ValueError, match=r"is not .* of MNIST: .* of Fashion-MNIST"):
        load("mnist", root=tmp_path)
    write(tmp_path / "flat")
    with pytest.raises(ValueError, match=r"is not .* of Fashion-MNIST: .* of MNIST"):
        load("fashion_mnist", root=tmp_path / "flat")


def test_writers_come_from_the_table_beside(tmp_path):
    table = write(tmp_path) / "qmnist-train-labels-idx2-int.gz"
    table.write_bytes(gzip.compress(idx(TABLE)))  # four rows more than images, as in the test part
    client = load("mnist", root=tmp_path).client
    assert client is not None
    assert client.tolist() == TABLE[:6, 2].tolist()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t[::-1], "another digit"),
        (lambda t: t[:5], "QMNIST's table"),
        (lambda t: t[:, :2], "QMNIST's table"),
        (lambda t: t + (np.arange(8) == 2), "is not qmnist"),
    ],
)
def test_a_wrong_table_of_writers_is_an_error(tmp_path, spoil, message):
    (write(tmp_path) / "qmnist-train-labels-idx2-int").write_bytes(idx(spoil(TABLE)))
    with pytest.raises(ValueError, match=message):
        load("mnist", root=tmp_path)


def test_missing_data_list_the_places_and_the_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLEARN_DATA", str(tmp_path / "elsewhere"))
    (write(tmp_path / "half") / (LABELS + ".gz")).unlink()
    with pytest.raises(FileNotFoundError) as error:
        load("fashion_mnist", root=tmp_path / "half", part="train")
    for word in ("half", "elsewhere", "debian", "cache", IMAGES, "root=", "download=True", "apt"):
        assert word in str(error.value)


def test_names_and_parts_are_checked():
    with pytest.raises(ValueError, match=r"digits.*heart_disease.*cifar100, omniglot, got 'minst'"):
        load("minst")
    with pytest.raises(ValueError, match=r"train.*test.*'val'"):
        load("digits", part="val")
    for name in ("digits", "mnist_mini", "heart_disease"):
        with pytest.raises(ValueError, match="split_parts"):
            load(name, part="test")


def cifar(seed: int, n: int = 2) -> NDArray[np.uint8]:
    rows = np.random.default_rng(seed).integers(0, 256, (n, 3073), np.uint8)
    rows[:, 0] %= 10
    return rows


@pytest.fixture
def batches(tmp_path, monkeypatch):
    """Two kinds of CIFAR-10: ``batches("cifar10", i)`` are the known rows of batch i."""
    made = {}
    for k, name in enumerate(("cifar10", "cifar10_jpeg")):
        for i in range(1, 6):
            made[name, i] = cifar(10 * k + i)
            monkeypatch.setitem(known.SHA256[name], f"data_batch_{i}.bin", sha256(made[name, i]))
    return made


def put(folder: Path, rows: list[NDArray[np.uint8]]) -> None:
    folder.mkdir(exist_ok=True)
    for i, batch in enumerate(rows, 1):
        (folder / f"data_batch_{i}.bin").write_bytes(batch.tobytes())


@pytest.mark.parametrize("name", ["cifar10", "cifar10_jpeg"])
def test_cifar_says_which_it_is(tmp_path, batches, name):
    rows = [batches[name, i] for i in range(1, 6)]
    put(tmp_path / "cifar-10-batches-bin", rows)
    x, y, client, title = load("cifar10", root=tmp_path)
    stacked = np.concatenate(rows)
    assert (title, client) == (known.TITLE[name], None)
    assert y.tolist() == stacked[:, 0].tolist()
    pixel = stacked[3, 1 + 2 * 1024 + 5 * 32 + 7]  # image 3, blue, row 5, column 7
    assert x.shape == (10, 3, 32, 32)
    assert x[3, 2, 5, 7] == torch.tensor(pixel).float() / 255


def test_unknown_mixed_and_damaged_cifar_is_refused(tmp_path, batches):
    good = [batches["cifar10", i] for i in range(1, 6)]
    cases = {
        "nothing known here": [*good[:4], cifar(99)],
        "data_batch_5.bin of CIFAR-10 .JPEG": [*good[:4], batches["cifar10_jpeg", 5]],
        "data_batch_1.bin of CIFAR-10": [good[1], good[0], *good[2:]],
        "multiple of 3073": [*good[:4], good[4].ravel()[:-1]],
        "has the label 77": [*good[:4], np.where(np.arange(3073) == 0, 77, good[4])],
    }
    for message, rows in cases.items():
        put(tmp_path, [np.asarray(batch, np.uint8) for batch in rows])
        with pytest.raises(ValueError, match=message):
            load("cifar10", root=tmp_path)


def test_the_archive_of_cifar_is_read_and_guarded(tmp_path, batches, monkeypatch):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for i in range(1, 6):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/data_batch_{i}.bin")
            member.size = batches["cifar10", i].size
            archive.addfile(member, io.BytesIO(batches["cifar10", i].tobytes()))
    with pytest.raises(ValueError, match="nothing known here"):
        load("cifar10", root=tmp_path)
    monkeypatch.setitem(known.SHA256["cifar10"], path.name, sha256(path))
    assert load("cifar10", root=tmp_path).name == "CIFAR-10"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"tar\.gz is not"):
        load("cifar10", root=tmp_path)


@pytest.mark.parametrize(("name", "variant"), [("cifar10",) * 2, ("cifar100", "cifar100_jpeg")])
def test_the_order_of_the_images_does_not_matter_and_their_pixels_do(
    tmp_path, batches, monkeypatch, name, variant
):
    """Another order of known images is that set; one pixel that differs makes it none."""
    labels = 1 if name == "cifar10" else 2
    rows = [batches["cifar10", i] for i in range(1, 6)] if labels == 1 else [hundred(7, 12)]
    whole = np.concatenate(rows)
    monkeypatch.setitem(known.CONTENT[variant], "train", content(whole[:, labels - 1 :]))
    mixed = whole[np.random.default_rng(1).permutation(len(whole))]
    files = [f"data_batch_{i}.bin" for i in range(1, 6)] if labels == 1 else ["train.bin"]

    def put_all(images: NDArray[np.uint8]) -> None:
        for file, piece in zip(files, np.array_split(images, len(files)), strict=True):
            (tmp_path / file).write_bytes(piece.tobytes())

    put_all(mixed)
    x, y, _, title = load(name, root=tmp_path)
    assert title == known.TITLE[variant]
    assert y.tolist() == mixed[:, labels - 1].tolist()
    assert torch.equal((x.flatten(1) * 255).round().byte(), torch.from_numpy(mixed[:, -3072:]))
    mixed[-1, -1] ^= 1
    put_all(mixed)
    with pytest.raises(ValueError, match="not its content, in whatever order"):
        load(name, root=tmp_path)


def hundred(seed: int, n: int = 3) -> NDArray[np.uint8]:
    """Rows of CIFAR-100: a coarse label, a fine label, pixels."""
    rows = np.random.default_rng(seed).integers(0, 256, (n, 3074), np.uint8)
    rows[:, 0] %= 20
    rows[:, 1] %= 100
    return rows


def test_cifar_100_is_known_by_its_file_and_a_jpeg_copy_by_its_images(tmp_path, monkeypatch):
    original, copy = hundred(1), hundred(2)
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    monkeypatch.setitem(known.SHA256["cifar100"], "test.bin", sha256(original))
    monkeypatch.setitem(known.CONTENT["cifar100_jpeg"], "test", content(copy[:, 1:]))
    for rows, title in ((original, "CIFAR-100"), (copy, "CIFAR-100 (JPEG)")):
        (folder / "test.bin").write_bytes(rows.tobytes())
        x, y, client, name = load("cifar100", root=tmp_path, part="test")
        assert (name, client, tuple(x.shape)) == (title, None, (3, 3, 32, 32))
        assert y.tolist() == rows[:, 1].tolist()
        assert x[2, 1, 4, 9] == torch.tensor(rows[2, 2 + 1024 + 4 * 32 + 9]).float() / 255


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: rows.ravel()[:-1], "multiple of 3074"),
        (lambda rows: np.where(np.arange(3074) == 0, 20, rows), "label 20, needed are 0 to 19"),
        (lambda rows: np.where(np.arange(3074) == 1, 100, rows), "label 100, needed are 0 to 99"),
        (lambda rows: rows, "test.bin is nothing known here"),
    ],
)
def test_damaged_and_unknown_cifar_100_is_refused(tmp_path, spoil, message):
    rows = np.asarray(spoil(hundred(3)), np.uint8)
    (tmp_path / "test.bin").write_bytes(rows.tobytes())
    with pytest.raises(ValueError, match=message):
        load("cifar100", root=tmp_path, part="test")


REAL = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not REAL.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
@pytest.mark.parametrize(("part", "size"), [("train", 60000), ("test", 10000)])
def test_debians_fashion_mnist(monkeypatch, part, size):
    monkeypatch.undo()
    monkeypatch.delenv("FEDLEARN_DATA", raising=False)
    x, y, client, name = load("fashion_mnist", part=part)
    assert (tuple(x.shape), client, name) == ((size, 28, 28), None, "Fashion-MNIST")
    assert [float(x.min()), float(x.max())] == [0, 1]
    assert y.bincount().tolist() == [size // 10] * 10


def test_mnist_mini_is_small_and_balanced():
    assert (Path(shipped.__file__).parent / "files/mnist_mini.npz").stat().st_size < 1_000_000
    x, y, client, name = load("mnist_mini")
    assert (tuple(x.shape), x.dtype, client) == ((5000, 28, 28), torch.float32, None)
    assert [float(x.min()), float(x.max()), name] == [0, 1, "MNIST (mini)"]
    assert y.bincount().tolist() == [500] * 10
    assert y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], "MNIST's own order"
    assert len(torch.unique(x.flatten(1), dim=0)) == 5000


def test_digits():
    x, y, client, _ = load("digits")
    assert (tuple(x.shape), x.dtype, y.dtype) == ((1797, 64), torch.float32, torch.int64)
    assert [float(x.min()), float(x.max()), client] == [0, 1, None]
    assert set(y.tolist()) == set(range(10))


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-learn"):
        load("digits")


def test_four_hospitals():
    x, y, client, _ = load("heart_disease")
    assert client is not None
    assert client.bincount().tolist() == [303, 294, 123, 200]
    sick = [int(y[client == i].sum()) for i in range(4)]
    assert sick == [139, 106, 115, 149], "shares .46, .36, .93, .75 (149 of 200 is .745)"
    assert client[303] == 1, "the patient with id 304 belongs to Hungary"
    assert x.shape == (920, len(shipped.HEART_COLUMNS))
    assert torch.isfinite(x).all()
    assert x[:, :4].double().mean(0).abs().max() < 1e-6
    assert (x[:, :4].double().std(0, correction=0) - 1).abs().max() < 1e-6
    assert set(x[:, 4:].flatten().tolist()) == {0, 1}
    assert (x[:, 6:10].sum(1) == 1).all()
    assert (x[:, 10:].sum(1) == 1).all()


def test_gaps_of_the_hospitals_are_filled_with_medians():
    x, _, client, _ = load("heart_disease")
    raw = shipped._heart_table()
    gaps = {c: int(np.isnan(raw[c]).sum()) for c in raw.dtype.names or ()}
    whole = dict.fromkeys(("hospital", "age", "sex", "cp", "num"), 0)
    assert gaps == whole | {"trestbps": 60, "restecg": 2, "thalach": 55, "exang": 55, "oldpeak": 62}
    pressure = np.where(np.isnan(raw["trestbps"]), 130, raw["trestbps"])  # mmHg, the median
    spread = torch.from_numpy((pressure - pressure.mean()) / pressure.std())
    assert torch.allclose(x[:, 1].double(), spread, rtol=0, atol=1e-6)
    assert (x[np.isnan(raw["exang"]), 5] == 0).all()
    assert (x[np.isnan(raw["restecg"]), 10] == 1).all()
    assert client is not None
    assert int((client[np.isnan(raw["thalach"])] == 3).sum()) == 53


def test_import_loads_nothing_heavy():
    code = (
        "import sys; import fedlearn_lib.data; "
        "print(sorted({'pooch', 'sklearn', 'PIL', 'requests'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
