"""The built site as a reader meets it: with no network, from a folder and over http."""

from __future__ import annotations

import base64
import html
import io
import re
import string
import unicodedata

import pytest
from built import CHAPTERS, READ, SITE, Visit
from fontTools.ttLib import TTFont


def test_the_site_is_built() -> None:
    assert (SITE / "index.html").exists(), "run `make book` first"
    assert len(CHAPTERS) == len(list((SITE.parents[1] / "notebooks").glob("[0-9]*.ipynb")))


@pytest.mark.parametrize("page", READ)
def test_the_head_of_a_page(page: str) -> None:
    """One title, in which no name stands twice; one viewport, which lets one zoom; a language."""
    head = (SITE / page).read_text(encoding="utf-8").partition("</head>")[0]
    (title,) = re.findall(r"<title>(.*?)</title>", head)
    parts = html.unescape(title).split(" — ")
    assert len(set(parts)) == len(parts) <= 2
    assert parts[-1] == "Personal and Parsimonious"
    (viewport,) = re.findall(r'<meta name="viewport" content="([^"]*)"', head)
    assert viewport == "width=device-width, initial-scale=1.0"
    assert re.search(r'<html [^>]*lang="en"', head)


def test_the_results_page_holds_every_result_with_its_evidence(visit: Visit) -> None:
    tab = visit("book/results.html")
    listed = set(tab.locator("main .result-title").all_text_contents())
    stated = set()
    for chapter in CHAPTERS:
        text = (SITE.parents[1] / chapter.replace(".html", ".ipynb")).read_text(encoding="utf-8")
        stated |= set(re.findall(r"> \*\*((?:\w+) \d+\.\d+) \(", text))
    assert len(stated) >= 16
    assert {label for label in stated if not any(label in line for line in listed)} == set()


def test_hardly_any_output_of_the_results_page_scrolls_on_a_laptop(visit: Visit) -> None:
    tab = visit("book/results.html", width=1440)
    tab.add_style_tag(content="section { content-visibility: visible !important; }")
    sizes = tab.locator(".evidence pre").evaluate_all(
        "(all) => all.map((one) => [one.scrollWidth > one.clientWidth, one.textContent])"
    )
    scrolls = [text for more, text in sizes if more]
    assert len(sizes) > 150
    assert all(max(map(len, text.splitlines())) > 100 for text in scrolls), scrolls
    assert len(scrolls) <= 4


def test_the_theme_switch_turns_the_page_dark_and_light(visit: Visit) -> None:
    tab = visit(CHAPTERS[0])
    switch = tab.locator("button.theme-switch-button:visible").first
    seen = set()
    for _ in range(3):  # it goes round: as the system has it, light, dark
        switch.click()
        mode = tab.evaluate("document.documentElement.dataset.theme")
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in re.findall(r"\d+", paper)[:3]) / 3
        seen.add((mode, "bright" if brightness > 128 else "dark"))
    assert seen == {("light", "bright"), ("dark", "dark")}


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_weighs_at_most_two_megabytes(page: str) -> None:
    html = (SITE / page).read_text(encoding="utf-8")
    images = set(re.findall(r'src="\.\./(_images/[^"]+)"', html))
    weight = len(html.encode()) + sum((SITE / image).stat().st_size for image in images)
    assert 100_000 < weight < 2_000_000


def first_faces() -> dict[str, tuple[set[int], TTFont]]:
    """The fonts that come with the styles, by family: the characters they are for, and the font."""
    found = {}
    for rule in (SITE / "_static/fonts/first.css").read_text("utf-8").split("@font-face")[1:]:
        (family,) = re.findall(r"font-family: [\"']?([^;\"']*)", rule)
        (coded,) = re.findall(r"base64,([^)]*)", rule)
        (ranges,) = re.findall(r"unicode-range: ([^;]*)", rule)
        ends = [part.removeprefix("U+").split("-") for part in ranges.split(",")]
        codes = {c for part in ends for c in range(int(part[0], 16), int(part[-1], 16) + 1)}
        font = TTFont(io.BytesIO(base64.b64decode(coded)))
        assert codes <= set(font.getBestCmap()), family
        found[family] = (codes, font)  # all faces of a family hold the same
    return found


def test_the_fonts_draw_every_character_of_the_formulas() -> None:
    """Those that come with the styles: Pagella Math, and for script letters and primes Temml's."""
    fonts = first_faces()
    drawn = fonts["Pagella Math"][0] | fonts["Temml"][0]
    formulas = [
        formula
        for page in READ
        for formula in re.findall(r"<math.*?</math>", (SITE / page).read_text("utf-8"), re.S)
    ]
    assert len(formulas) > 5000
    shown = set(html.unescape(re.sub(r"<[^>]*>", "", "".join(formulas))))
    letters = {  # one that stands alone is drawn with its italic sister
        unicodedata.lookup(f"MATHEMATICAL ITALIC {'SMALL' if one.islower() else 'CAPITAL'} {one}")
        for one in shown & set(string.ascii_letters) - {"h"}
    }
    invisible = {"\n", "\u2009", "\u2061", "\u2062", "\u2063", "\u200b"}
    assert {char for char in (shown | letters) - invisible if ord(char) not in drawn} == set()
    assert "MATH" in fonts["Pagella Math"][1]


@pytest.mark.parametrize("face", ["Pagella", "Book Sans"])
def test_the_letters_of_the_text_come_with_the_styles(face: str) -> None:
    assert set(map(ord, string.printable.split("\t")[0])) <= first_faces()[face][0]
