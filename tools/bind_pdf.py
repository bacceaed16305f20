"""Bind printed pages into one book: contents with page numbers, bookmarks, links inside it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Any, NamedTuple

from pypdf import PdfReader, PdfWriter
from pypdf.constants import PageLabelStyle
from pypdf.generic import (
    ArrayObject,
    Destination,
    Fit,
    FloatObject,
    IndirectObject,
    NameObject,
    NullObject,
)


class Place(NamedTuple):
    """A place in the book: page (counted from 0 where the numbered pages begin), left, top."""

    page: int
    left: float
    top: float


class Section(NamedTuple):
    """A printed page of the site: which one, the part of the book it stands in, its first page."""

    page: str
    caption: str
    title: str
    first: int
    reader: PdfReader

    def place(self, target: Destination) -> Place:
        """Where a destination of this section is in the book."""
        page = self.reader.get_destination_page_number(target)
        return Place(self.first + (page or 0), float(target.left or 0), float(target.top or 0))

    def headings(self) -> Iterator[tuple[int, str, Place]]:
        """Yield level, title and place of every heading; the page's own has level 0."""
        yield from self._below(self.reader.outline, 0)

    def _below(self, items: Any, level: int) -> Iterator[tuple[int, str, Place]]:
        for item in items:
            if isinstance(item, list):
                yield from self._below(item, level + 1)
            else:
                yield level, str(item.title), self.place(item)


def targets(sections: list[Section]) -> dict[str, Place]:
    """Map `page.html` and `page.html#id` to their places; `#heading-3` is the fourth heading."""
    found = {}
    for section in sections:
        found[section.page] = Place(section.first, 0, 842)
        for k, (_, _, place) in enumerate(section.headings()):
            found[f"{section.page}#heading-{k}"] = place
        for name, target in section.reader.named_destinations.items():
            found[f"{section.page}#{name.removeprefix('/')}"] = section.place(target)
    return found


def contents(sections: list[Section], address: str) -> str:
    """Return the table of contents as HTML: parts, pages, and the sections of numbered chapters."""
    lines = []
    for caption, group in groupby(sections, key=lambda section: section.caption):
        lines.append(f"<h2>{escape(caption)}</h2>")
        for section in group:
            for k, (level, title, place) in enumerate(section.headings()):
                if level == 0 or (level == 1 and section.title[:1].isdigit()):
                    link = f"{address}{section.page}#heading-{k}"
                    lines.append(
                        f'<p class="level-{level}"><a href="{link}">{escape(title)}</a>'
                        f"<span>{place.page + 1}</span></p>"
                    )
    return "\n".join(lines)


def bind(front: PdfReader, sections: list[Section], address: str) -> PdfWriter:
    """Join the front matter, numbered in Roman, and the sections, numbered in Arabic figures."""
    writer = PdfWriter()
    for reader in (front, *(section.reader for section in sections)):
        writer.append(reader, import_outline=False)
    start = len(front.pages)
    writer.set_page_label(0, start - 1, style=PageLabelStyle.LOWERCASE_ROMAN)
    writer.set_page_label(start, len(writer.pages) - 1, style=PageLabelStyle.DECIMAL, start=1)
    add_bookmarks(writer, sections, start)
    known = targets(sections)
    owners = [("", start)] + [(section.page, len(section.reader.pages)) for section in sections]
    for page, owner in zip(writer.pages, (p for p, n in owners for _ in range(n)), strict=True):
        for link in page.get("/Annots") or ArrayObject():
            relink(writer, link.get_object(), owner, known, start, address)
    return writer


def add_bookmarks(writer: PdfWriter, sections: list[Section], start: int) -> None:
    """Add a bookmark for every heading, below those of the page and the part."""
    writer.add_outline_item(title="Contents", page_number=1)
    part: IndirectObject | None = None
    caption = ""
    for section in sections:
        if section.caption != caption:
            caption = section.caption
            part = writer.add_outline_item(title=caption, page_number=start + section.first)
        above: list[IndirectObject | None] = [part]
        for level, title, place in section.headings():
            del above[level + 1 :]
            fit = Fit.xyz(left=place.left, top=place.top)
            above.append(
                writer.add_outline_item(
                    title=title,
                    page_number=start + place.page,
                    parent=above[-1],
                    fit=fit,
                    is_open=False,
                )
            )


def relink(
    writer: PdfWriter, link: Any, owner: str, known: dict[str, Place], start: int, address: str
) -> None:
    """Turn a link to a page of the site into one to its place in the book, if it is bound."""
    if "/Dest" in link:
        name = f"{owner}#{str(link['/Dest']).removeprefix('/')}"
    else:
        uri = str(link.get("/A", {}).get("/URI", ""))
        name = uri.removeprefix(address) if uri.startswith(address) else ""
    place = known.get(name) or known.get(name.partition("#")[0])
    if place is None:
        return
    target = writer.pages[start + place.page].indirect_reference
    corner = [FloatObject(place.left), FloatObject(place.top), NullObject()]
    link[NameObject("/Dest")] = ArrayObject([target, NameObject("/XYZ"), *corner])
    link.pop("/A", None)
