"""Fetch one file from the first mirror that answers, and keep it only if it is right.

pooch keeps the cache and moves a finished file into its place in one step; what it lacks is
resuming, so this module hands it a downloader that has it. Bytes collect in a ``.part`` file
beside the target, one for each mirror, and a broken transfer goes on where it stopped, also in
a later session. No file under the target's own name is ever half written or unchecked.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fedlearn_lib.data.optional import need

TIMEOUT, CHUNK = 30, 1 << 16  # seconds, bytes
Check = Callable[[Path], object]


def cache() -> Path | None:
    """Where downloads are kept (``~/.cache/fedlearn_lib`` on Linux); None without pooch."""
    if importlib.util.find_spec("pooch") is None:
        return None
    return Path(need("pooch", package="pooch", what="the cache").os_cache("fedlearn_lib"))


def fetch(file: str, mirrors: Sequence[str], folder: Path, check: Check) -> Path:
    """Download ``file`` into ``folder`` and return its path.

    Parameters
    ----------
    mirrors : addresses to which ``file`` is appended, tried in this order.
    check : called with the complete download before it gets its name; raises ``ValueError``
        on wrong content, which is then deleted, and the next mirror is asked.
    """
    pooch = need("pooch", package="pooch", what="download=True")
    failures = []
    for mirror in mirrors:
        url = mirror + file
        store = pooch.create(path=folder, base_url="", registry={file: None}, urls={file: url})
        try:
            return Path(store.fetch(file, downloader=_resuming(folder / file, check)))
        except (OSError, ValueError) as error:  # requests' exceptions are OSErrors
            failures.append(f"  {url}: {error}")
    raise OSError(
        f"{file} could not be downloaded to {folder}:\n" + "\n".join(failures) + "\n"
        "Call again to go on where it stopped, or get the file another way and pass root=FOLDER."
    )


def _resuming(target: Path, check: Check) -> Callable[[str, str, object], None]:
    """Make pooch's kind of downloader: it fills ``output`` with the checked content of ``url``."""

    def downloader(url: str, output: str, _pooch: object) -> None:
        part = target.with_name(
            f"{target.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
        )
        _complete(url, part)
        try:
            check(part)
        except ValueError:
            part.unlink()
            raise
        part.replace(output)

    return downloader


def _complete(url: str, part: Path) -> None:
    """Ask for what is missing of ``part`` again and again, as long as each answer adds to it."""
    errors = need("requests", package="requests", what="download=True").exceptions
    broken = (errors.ConnectionError, errors.ChunkedEncodingError, errors.Timeout)
    while True:
        before = _size(part)
        try:
            return _continue(url, part)
        except broken:
            if _size(part) <= before:
                raise


def _continue(url: str, part: Path) -> None:
    """Send one request for the rest of ``part`` and append what comes."""
    requests = need("requests", package="requests", what="download=True")
    have = _size(part)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if have and answer.status_code == 416:  # nothing is missing; the check will tell
            return
        answer.raise_for_status()
        if answer.status_code != 206:  # a server without ranges sends the whole again
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if have else "wb") as file:
            _copy(answer, file, have, total)
    if total is not None and _size(part) < total:
        raise requests.exceptions.ConnectionError(f"got {_size(part):,} of {total:,} bytes")


def _copy(answer: Any, file: Any, have: int, total: int | None) -> None:
    tqdm = need("tqdm", package="tqdm", what="download=True").tqdm
    name = answer.url.rsplit("/", 1)[-1]
    with tqdm(initial=have, total=total, unit="B", unit_scale=True, desc=name) as bar:
        for chunk in answer.iter_content(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
