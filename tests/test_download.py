"""Downloads from a server on this machine: broken connections, wrong content, interruptions."""

import gzip
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tqdm

from fedlearn_lib.data import download, known, load, places
from tests.toy_sets import CLASSES, DIGITS, IMAGES, LABELS, TABLE, WRITERS, idx, make_known

CHUNK = download.CHUNK
CONTENT = np.random.default_rng(1).bytes(1_000_000)


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``drops`` lists after how many bytes the next answers break off."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.ranges = {"data.bin": CONTENT}, True
        self.drops: list[int] = []
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        body = server.files.get(self.path.strip("/"))
        found = re.match(r"bytes=(\d+)-", wanted or "") if server.ranges else None
        start = int(found[1]) if found else 0
        if body is None or (start and start >= len(body)):
            self.send_error(404 if body is None else 416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        size = server.drops.pop(0) if server.drops else len(body)
        self.wfile.write(body[start : start + size])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def right(path):
    if path.read_bytes() != CONTENT:
        raise ValueError("wrong content")


def test_a_whole_file_arrives_under_its_name(server, tmp_path):
    path = download.fetch("data.bin", [server.url], tmp_path / "new", right)
    assert path == tmp_path / "new/data.bin"
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["data.bin"]


def test_a_broken_connection_is_resumed(server, tmp_path):
    server.drops = [6 * CHUNK, 4 * CHUNK]
    download.fetch("data.bin", [server.url], tmp_path, right)
    assert server.asked == [None, f"bytes={6 * CHUNK}-", f"bytes={10 * CHUNK}-"]
    assert [p.name for p in tmp_path.iterdir()] == ["data.bin"]


def test_a_later_session_resumes(server, tmp_path):
    server.drops = [6 * CHUNK, 0]
    with pytest.raises(OSError, match=re.escape(server.url)):
        download.fetch("data.bin", [server.url], tmp_path, right)
    (part,) = tmp_path.iterdir()
    assert part.suffix == ".part"
    assert part.stat().st_size == 6 * CHUNK
    server.asked.clear()
    download.fetch("data.bin", [server.url], tmp_path, right)
    assert server.asked == [f"bytes={6 * CHUNK}-"]


def test_an_interrupt_leaves_nothing_that_looks_whole(server, tmp_path, monkeypatch):
    def impatient(bar, n):
        bar.n += n
        if bar.n >= 3 * CHUNK:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tqdm.tqdm, "update", impatient)
        with pytest.raises(KeyboardInterrupt):
            download.fetch("data.bin", [server.url], tmp_path, right)
    assert [p.suffix for p in tmp_path.iterdir()] == [".part"]
    download.fetch("data.bin", [server.url], tmp_path, right)
    assert re.fullmatch(r"bytes=[1-9]\d*-", server.asked[-1])


def test_a_finished_part_needs_no_more_bytes(server, tmp_path):
    def interrupted(_path):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.fetch("data.bin", [server.url], tmp_path, interrupted)
    download.fetch("data.bin", [server.url], tmp_path, right)
    assert server.asked == [None, "bytes=1000000-"]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.drops, server.ranges = [400_000], False
    assert download.fetch("data.bin", [server.url], tmp_path, right).read_bytes() == CONTENT


def test_wrong_content_is_deleted_and_the_next_mirror_asked(server, tmp_path):
    server.files = {"bad/data.bin": CONTENT[:-1] + b"?", "good/data.bin": CONTENT}
    bad, good = server.url + "bad/", server.url + "good/"
    with pytest.raises(OSError, match="wrong content"):
        download.fetch("data.bin", [bad], tmp_path, right)
    assert list(tmp_path.iterdir()) == []
    path = download.fetch("data.bin", [server.url + "none/", bad, good], tmp_path, right)
    assert path.read_bytes() == CONTENT


def test_every_failed_mirror_is_named(server, tmp_path):
    closed = "http://127.0.0.1:9/"
    with pytest.raises(OSError, match="404") as error:
        download.fetch("none.bin", [server.url, closed], tmp_path, right)
    assert closed in str(error.value)
    assert "root=FOLDER" in str(error.value)


def test_without_pooch_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pooch"):
        download.fetch("data.bin", ["http://127.0.0.1:9/"], tmp_path, right)


@pytest.fixture
def mirror(server, monkeypatch):
    """Make the server a mirror of a toy MNIST with its table of writers."""
    make_known(monkeypatch)
    arrays = {IMAGES: DIGITS["mnist"], LABELS: CLASSES["mnist"], WRITERS: TABLE}
    server.files = {f"{file}.gz": gzip.compress(idx(values)) for file, values in arrays.items()}
    monkeypatch.setitem(known.MIRRORS, "mnist", [server.url])
    monkeypatch.setitem(known.MIRRORS, "qmnist", [server.url])
    monkeypatch.delenv("FEDLEARN_DATA", raising=False)
    return server


def test_load_downloads_once_and_reads_again(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "cache", lambda: tmp_path)
    x, y, client, _ = load("mnist", download=True)
    assert y.tolist() == CLASSES["mnist"].tolist()
    assert client is not None
    assert client.tolist() == TABLE[:6, 2].tolist()
    assert len(mirror.asked) == 3
    assert load("mnist", download=True).x.equal(x)
    assert load("mnist").x.equal(x)
    assert len(mirror.asked) == 3


def test_load_refuses_a_wrong_download(mirror, tmp_path):
    mirror.files[f"{IMAGES}.gz"] = gzip.compress(idx(255 - DIGITS["mnist"]))
    with pytest.raises(OSError, match="nothing known here"):
        load("mnist", root=tmp_path, download=True)
    assert list((tmp_path / "mnist/raw").iterdir()) == []
