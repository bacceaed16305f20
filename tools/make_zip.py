"""The site and the notebooks as archives (`make zip`), the same bytes for the same files.

    python -m tools.make_zip

writes _build/zip/personal-and-parsimonious-site.zip, which is read from a folder without a network,
and _build/zip/personal-and-parsimonious-notebooks.zip.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

from tools.repository import ROOT

SITE, ZIP = ROOT / "_build" / "html", ROOT / "_build" / "zip"
BOOK = "personal-and-parsimonious"
LIMIT = 40_000_000
TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that the format knows
ABOUT = ("LICENSE", "LICENSE-TEXT", "CITATION.cff")
# What only a server needs, and what the pages never ask for.
SERVED = {"404.html", "robots.txt", "sitemap.xml", ".nojekyll", ".buildinfo", "objects.inv"}


def site_files() -> dict[str, Path]:
    """Return what belongs to the site, by its name in the archive."""
    found = (path for path in SITE.rglob("*") if path.is_file() and path.name not in SERVED)
    return {path.relative_to(SITE).as_posix(): path for path in found}


def notebook_files() -> dict[str, Path]:
    """Return chapters and how-to pages, by their names in the archive."""
    return {path.name: path for path in (ROOT / "notebooks").glob("*.ipynb")}


def write(path: Path, files: dict[str, Path], folder: str) -> None:
    """Write an archive of one folder: names in order, no times, no owners.

    The files of the repository that say what one may do with it come on top.
    """
    files = files | {name: ROOT / name for name in ABOUT}
    part = path.with_name(path.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{folder}/{name}", TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name].read_bytes())
    part.replace(path)


def main() -> int:
    """Write both archives; one that is too large is an error."""
    if not (SITE / "index.html").exists():
        raise SystemExit("make zip: the site is not built; run `make book` first")
    ZIP.mkdir(parents=True, exist_ok=True)
    for kind, files in (("site", site_files()), ("notebooks", notebook_files())):
        path = ZIP / f"{BOOK}-{kind}.zip"
        write(path, files, f"{BOOK}-{kind}")
        size = path.stat().st_size
        print(f"  {path.relative_to(ROOT)}: {len(files)} files, {size / 1e6:.1f} MB")
        if size > LIMIT:
            raise SystemExit(f"make zip: {path.name} has {size} bytes, at most {LIMIT} are allowed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
