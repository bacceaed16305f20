"""Fonts: what a page shows comes with its styles, the rest when somebody asks for it."""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Set
from html import unescape
from pathlib import Path
from typing import NamedTuple

from fontTools import subset
from sphinx.application import Sphinx

# Letters, digits and the marks of a text.
LETTERS = frozenset(
    [*range(0x20, 0x7F), *range(0x2018, 0x201E), *map(ord, "\u00a0©§±·×\u2013—…→\u2212●○✓")]
)
# A letter that stands alone in a formula is drawn with its italic sister.
ITALIC = frozenset([*range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C), 0x210E])
ALL = frozenset(range(0x110000))

_FACE = re.compile(r"@font-face \{[^}]*\}")
_FILE = re.compile(r"url\([\"']?([^)\"']*)[\"']?\)")
_FORMULA = re.compile(r"<math\b.*?</math>", re.S)
_ICON = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{content:"\\([0-9a-f]+)"\}')


class Face(NamedTuple):
    """A font face of a style sheet: its rule, and the file that it names."""

    rule: str
    path: Path

    def holding(self, font: bytes, characters: Set[int]) -> str:
        """Return the rule for some characters, with a font inside instead of the file's name."""
        coded = base64.b64encode(font).decode()
        rule = _FILE.sub(f"url(data:font/woff2;base64,{coded})", self.rule, count=1)
        rule = rule.replace("font-display: swap", "font-display: block").rstrip("}; \n")
        return f"{rule}; unicode-range: {ranges(characters)}; }}"


def faces(sheet: Path) -> list[Face]:
    """List the font faces of a style sheet."""
    rules = _FACE.findall(_text(sheet))
    return [Face(rule, sheet.parent / _FILE.findall(rule)[0]) for rule in rules]


def ranges(characters: Set[int]) -> str:
    """Write characters as a style sheet does.

    >>> ranges({0x20, 0x21, 0x22, 0xD7})
    'U+20-22,U+D7'
    """
    runs: list[list[int]] = []
    for code in sorted(characters):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return ",".join(f"U+{a:X}" if a == b else f"U+{a:X}-{b:X}" for a, b in runs)


def in_formulas(pages: list[str]) -> set[int]:
    """Collect the characters that stand in the formulas of pages.

    >>> sorted(map(chr, in_formulas(["<p>a</p><math><mi>b</mi><mo>&lt;</mo></math>"])))
    ['<', 'b']
    """
    formulas = "".join(found for page in pages for found in _FORMULA.findall(page))
    return set(map(ord, unescape(re.sub(r"<[^>]*>", "", formulas))))


def write_faces(app: Sphinx, exception: Exception | None) -> None:
    """Write first.css, which every page has: the letters of the text, and of the formulas whatever
    a page shows, so that a page has its fonts with its first paint and does not move. Another
    character is looked for in the files that book.css names, and on a page that was opened from a
    folder in inline.css, where the whole fonts are.
    """
    if exception is not None or app.builder.format != "html":
        return
    out, static = Path(app.outdir), Path(app.outdir) / "_static"
    formulas = in_formulas([_text(page) for page in out.glob("**/*.html")])
    first, whole = [], []
    book, temml = faces(static / "book.css"), faces(static / "temml" / "Temml-Local.css")
    for face in book + temml:
        wanted = {"Temml": formulas, "pagella-math": formulas | ITALIC | LETTERS}
        font, held = cut(face.path, set(wanted.get(face.path.stem, LETTERS)))
        if held:
            first.append(face.holding(font, held))
        if face in book:
            whole.append(face.holding(face.path.read_bytes(), ALL - held))
    (static / "fonts" / "first.css").write_text("\n".join(first), encoding="utf-8")
    (static / "fonts" / "inline.css").write_text("\n".join(whole), encoding="utf-8")


def cut_icons(app: Sphinx, exception: Exception | None) -> None:
    """Leave in the theme's icon fonts, and in their style sheet, only the icons that pages show."""
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    sources = [*out.glob("**/*.html"), *out.glob("_static/scripts/*.js")]
    shown = set(re.findall(r"\bfa-[\w-]+", "".join(map(_text, sources))))
    for folder in out.glob("_static/vendor/fontawesome/*"):
        sheet = folder / "css" / "all.min.css"
        rules, icons = icons_of(_text(sheet), shown)
        sheet.write_text(rules, encoding="utf-8")
        for path in (folder / "webfonts").glob("*.woff2"):
            path.write_bytes(cut(path, icons)[0])


def icons_of(sheet: str, shown: set[str]) -> tuple[str, set[int]]:
    r"""Drop the rules of icons that are not shown; return the rest, and the characters they name.

    >>> icons_of(r'.fa{x:y}.fa-a:before,.fa-b:before{content:"\f1"}.fa-c:before{content:"\f2"}',
    ...          {"fa-b"})
    ('.fa{x:y}.fa-a:before,.fa-b:before{content:"\\f1"}', {241})
    """
    icons = set()

    def keep(rule: re.Match[str]) -> str:
        if not shown & set(re.findall(r"fa-[\w-]+", rule[1])):
            return ""
        icons.add(int(rule[2], 16))
        return rule[0]

    return _ICON.sub(keep, sheet), icons


def cut(path: Path, characters: set[int]) -> tuple[bytes, set[int]]:
    """Return a font with only these characters, and those of them that it has."""
    logging.getLogger("fontTools.subset").setLevel(logging.WARNING)  # it tells every glyph it keeps
    options = subset.Options(flavor="woff2", layout_features=["kern", "liga", "lnum"])
    font = subset.load_font(str(path), options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=characters)
    cutter.subset(font)
    written = io.BytesIO()
    subset.save_font(font, written, options)
    return written.getvalue(), set(font.getBestCmap() or ()) & characters


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("build-finished", write_faces, priority=940)  # all pages are there
    app.connect("build-finished", cut_icons, priority=950)
