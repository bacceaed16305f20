"""Ways to find something: the filter of the results, the drawing of the chapters, the index."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import TYPE_CHECKING

import pytest
from built import CHAPTERS, SITE, Visit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

ROOT = SITE.parents[1]
RESULTS, INDEX, GRAPH = "book/results.html", "book/index_of_terms.html", "book/how_to_use.html"


def stated(chapter: str) -> list[str]:
    """The kinds of the numbered results of a chapter."""
    text = (ROOT / chapter.replace(".html", ".ipynb")).read_text(encoding="utf-8")
    return re.findall(r"> \*\*(\w+) \d+\.\d+ \(", text)


def test_the_table_of_results_counts_what_the_chapters_state(visit: Visit) -> None:
    tab = visit(RESULTS)
    rows = tab.locator("table.status tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"
    )
    numbers = [[int(cell) for cell in row[1:]] for row in rows]
    assert len(rows) == len(CHAPTERS) + 1
    for chapter, row, (other, *held) in zip(CHAPTERS, rows, numbers, strict=False):
        kinds = stated(chapter)
        assert row[0].startswith(f"{int(chapter.split('/')[1][:2])} ")
        assert other == sum(kind in ("Definition", "Algorithm") for kind in kinds)
        assert held == [len(kinds) - other] * 4  # stated, proved, checked, tested
    assert numbers[-1] == [sum(column) for column in zip(*numbers[:-1], strict=True)]
    tab.locator("table.status a").nth(4).click()
    assert tab.url.endswith("#chapter-5")


def shown(tab: Page) -> list[str]:
    """The titles of the results that are shown."""
    titles = tab.locator("main .entry:visible .result-title")
    return [" ".join(title.split()) for title in titles.all_text_contents()]


@pytest.mark.parametrize("where", ["folder", "http"])
def test_results_are_filtered_by_keyboard_and_the_count_is_said(
    visit: Visit, http: str, where: str
) -> None:
    tab = visit(RESULTS, http if where == "http" else None)
    total = sum(len(stated(chapter)) for chapter in CHAPTERS)
    said = tab.locator(".filter").get_by_role("status")
    assert len(shown(tab)) == total > 100
    assert said.inner_text() == f"{total} of {total} results are shown."
    tab.get_by_label("Chapter", exact=True).focus()
    for _ in range(5):
        tab.keyboard.press("ArrowDown")
    fifth = stated(next(chapter for chapter in CHAPTERS if "/05_" in chapter))
    assert len(shown(tab)) == len(fifth)
    assert all(re.match(r"\w+ 5\.", title) for title in shown(tab))
    assert said.inner_text() == f"{len(fifth)} of {total} results are shown."
    tab.keyboard.press("Tab")
    tab.keyboard.type("Lem")
    assert len(shown(tab)) == fifth.count("Lemma") > 2
    assert tab.locator("main section section:visible").count() == 1
    tab.keyboard.press("Tab")
    tab.keyboard.type("VARIANCE lemma 5.5")
    assert [title[:9] for title in shown(tab)] == ["Lemma 5.5"]
    tab.keyboard.type(" nowhere")
    assert shown(tab) == []
    assert said.inner_text() == "No result fits."
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert len(shown(tab)) == total


def test_a_link_to_a_result_that_the_filter_hides_shows_it(visit: Visit) -> None:
    tab = visit(RESULTS)
    tab.get_by_label("Kind").select_option("Corollary")
    assert not any(title.startswith("Theorem") for title in shown(tab))
    tab.evaluate("location.hash = 'evidence-for-theorem-5-9'")
    tab.wait_for_selector("#evidence-for-theorem-5-9", state="visible")
    assert tab.get_by_label("Kind").input_value() == ""


def test_without_scripts_all_results_are_shown(new_context: Callable[..., BrowserContext]) -> None:
    tab = new_context(java_script_enabled=False).new_page()
    tab.goto((SITE / RESULTS).as_uri())
    assert tab.locator(".filter").count() == 0
    assert len(shown(tab)) == sum(len(stated(chapter)) for chapter in CHAPTERS)


def chapter_links(tab: Page) -> list[Locator]:
    return tab.locator(".drawing.chapters").get_by_role("link").all()


def test_the_drawing_of_the_chapters_leads_to_them(visit: Visit) -> None:
    tab = visit(GRAPH)
    links = chapter_links(tab)
    pages = [link.evaluate("(node) => node.href.baseVal") for link in links]
    assert pages == [f"../{chapter}" for chapter in CHAPTERS]
    said = tab.locator(".drawing.chapters").aria_snapshot()
    for words in ("1 Federated averaging", "5 Convergence", "13 Tickets and growth"):
        assert f'link "{words}"' in said
    links[0].focus()
    for number in range(1, len(links)):
        tab.keyboard.press("Tab")
        assert links[number].evaluate("(node) => node === document.activeElement")
        width = "(node) => getComputedStyle(node.querySelector('rect')).strokeWidth"
        assert links[number].evaluate(width) == "4px"  # one sees where one is
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**/{CHAPTERS[-1]}")


def ids(page: str) -> set[str]:
    text = (SITE / page).read_text(encoding="utf-8")
    return {unescape(one) for one in re.findall(r'\bid="([^"]+)"', text)}


def test_the_index_has_every_term_letter_name_and_author_and_its_links_lead_there() -> None:
    text = (SITE / INDEX).read_text(encoding="utf-8")
    article = text[text.index("<article") : text.index("</article>")]
    links = re.findall(r'<a class="[^"]*reference internal[^"]*" href="([^"#]+)#([^"]+)"', article)
    targets: dict[str, set[str]] = {}
    for page, anchor in links:
        targets.setdefault(page, set()).add(unescape(anchor))
    terms = {one for one in ids("book/glossary.html") if one.startswith("term-")}
    assert targets["glossary.html"] == terms
    names = {one for one in ids("book/library.html") if re.fullmatch(r"fedlearn_\w+(\.\w+)+", one)}
    functions = {one for one in names if one.rpartition(".")[0] not in names}
    assert targets["library.html"] == functions
    assert len(targets["notation.html"]) > 60
    works = {one for one in ids("book/references.html") if one.startswith("ref-")}
    assert targets["references.html"] == works
    for chapter in CHAPTERS:
        assert len(targets[f"../{chapter}"]) >= 8
    for page, anchors in targets.items():
        path = page.removeprefix("../") if page.startswith("../") else f"book/{page}"
        assert anchors - ids(path) == set()


def test_the_index_says_where_something_comes_first(visit: Visit) -> None:
    tab = visit(INDEX)
    item = tab.locator(".index li", has=tab.locator('a[href*="term-Client-drift"]'))
    assert item.inner_text().startswith("Client drift: 1 ")
    name = tab.locator(".index li", has=tab.locator('a[href$="#fedlearn_lib.SplitLBI"]'))
    assert re.match(r"SplitLBI: 11 ", name.inner_text())
    person = tab.locator(".index li", has_text=re.compile(r"^Mokhtari"))
    assert "Fallah et al. (2020)" in person.inner_text()
    assert tab.locator(".bd-sidebar-primary").get_by_role("link", name="Index").count() == 1
