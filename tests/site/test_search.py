"""The search: what it finds and in which order, where its results lead, how one works with it."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

import pytest
from audit import violations
from built import CHAPTERS, READ, SITE, Visit

if TYPE_CHECKING:
    from playwright.sync_api import Page

FIRST = "#search-results li a"
DIALOG = ".search-button__wrapper"
WHERE = pytest.mark.parametrize("where", ["folder", "http"])


class Place(NamedTuple):
    page: str
    anchor: str
    title: str
    kind: str
    text: str


@cache
def index() -> list[Place]:
    """The entries that the build wrote, with the addresses of their pages."""
    script = (SITE / "_static" / "search-index.js").read_text(encoding="utf-8")
    data = json.loads(script.removeprefix("window.searchIndex=").rstrip(";\n"))
    return [Place(data["pages"][number][0], *rest) for number, *rest in data["places"]]


def search(visit: Visit, query: str, base: str | None = None, **options: object) -> Page:
    tab = visit(f"search.html?q={quote(query)}", base, **options)
    tab.wait_for_selector(FIRST)
    return tab


def found(tab: Page) -> list[str]:
    """Where the results lead: page and anchor."""
    links = tab.locator(FIRST).evaluate_all("(all) => all.map((one) => one.href)")
    return [re.sub(r".*/(\w+/[\w/]+\.html)\?[^#]*", r"\1", unquote(link)) for link in links]


def marks(tab: Page) -> list[str]:
    return tab.locator("article span.highlighted").all_text_contents()


@pytest.mark.parametrize("page", READ)
def test_every_entry_leads_to_a_place_that_is_there(page: str) -> None:
    ids = set(re.findall(r'\sid="([^"]+)"', (SITE / page).read_text(encoding="utf-8")))
    anchors = [place.anchor for place in index() if place.page == page and place.anchor]
    assert [anchor for anchor in anchors if anchor not in ids] == []
    assert [anchor for anchor, often in Counter(anchors).items() if often > 1] == []


def test_all_pages_results_exercises_and_terms_are_in_the_index() -> None:
    assert {place.page for place in index()} == set(READ) - {
        "search.html", "genindex.html", "py-modindex.html",
    }  # fmt: skip
    have = {place.title.partition(" (")[0] for place in index() if place.page in CHAPTERS}
    stated: set[str] = set()
    for chapter in CHAPTERS:
        text = (SITE.parents[1] / chapter.replace(".html", ".ipynb")).read_text(encoding="utf-8")
        stated |= set(re.findall(r"> \*\*(\w+ \d+\.\d+) \(", text))
        stated |= set(re.findall(r'"### (Exercise \d+\.\d+) \(', text))
    labels = {title for label in have for title in re.findall(r"^[A-Z]\w+ \d+\.\d+", label)}
    assert len(stated) > 200
    assert stated - labels == set()
    glossary = (SITE.parents[1] / "book" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"(?m)^(\w.*)\n  \S", glossary)
    assert len(terms) > 50
    titles = {place.title for place in index() if place.kind == "term"}
    assert {term for term in terms if "$" not in term} - titles == set()


def test_the_texts_are_words_without_markup_code_or_contents() -> None:
    texts = "\n".join(f"{place.title}\n{place.text}" for place in index())
    assert len(texts) > 300_000
    raw = (
        r"\\[a-zA-Z(\[]|\$[^$\n]+\$|</?\w+>|```|>>>|import torch|\.py::|nbval|\{(?:ref|cite|doc)\}"
    )
    assert sorted({match[0] for match in re.finditer(raw, texts)}) == []
    assert "Download the notebook" not in texts
    exercises = [place for place in index() if place.page in CHAPTERS and place.kind == "page"]
    assert [place.title for place in exercises if place.text.count("Exercise ") > 3] == []


@WHERE
def test_a_numbered_result_comes_first_and_its_words_are_marked(
    visit: Visit, http: str, where: str
) -> None:
    tab = search(visit, "Theorem 5.9", http if where == "http" else None)
    assert found(tab)[0] == "notebooks/05_convergence.html#theorem-5-9"
    assert "assumptions" in (tab.locator("#search-results li p").first.text_content() or "")
    tab.locator(FIRST).first.click()
    tab.wait_for_selector("#theorem-5-9 span.highlighted")
    tab.wait_for_selector("html[data-measured=all]", state="attached")
    top = tab.evaluate("document.getElementById('theorem-5-9').getBoundingClientRect().top")
    assert 0 <= top < 200
    assert marks(tab)[0] == "Theorem 5.9"
    outside = tab.locator("article span.highlighted:not(#theorem-5-9 *)").count()
    assert outside == 0
    tab.keyboard.press("Escape")
    assert marks(tab) == []
    assert "highlight" not in tab.url
    assert tab.url.endswith("#theorem-5-9")


def test_the_three_spellings_of_a_name_find_the_same(visit: Visit) -> None:
    spelled = [found(search(visit, query)) for query in ("SplitLBI", "split_lbi", "Split LBI")]
    assert spelled[0] == spelled[1] == spelled[2]
    assert spelled[0][0] == "notebooks/10_split_lbi.html#algorithm-10-2"
    assert "book/library.html#fedlearn_lib.SplitLBI" in spelled[0][:6]
    joined = found(search(visit, "splitlbi"))
    assert "notebooks/10_split_lbi.html#algorithm-10-2" in joined[:3]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("client drift", "book/glossary.html#term-Client-drift"),
        ("federated averaging", "notebooks/01_federated_averaging.html"),
        ("Exercise 8.3", "notebooks/08_inverse_scale_space.html#exercise-8-3"),
        ("proof of theorem 6.3", "notebooks/06_distance_between_clients.html#proof-of-theorem-6-3"),
        ("partition_dirichlet", "book/library.html#fedlearn_lib.partition_dirichlet"),
        ("four hospitals", "notebooks/02_heterogeneity.html#four-hospitals"),
    ],
)
def test_titles_and_terms_come_first(visit: Visit, query: str, first: str) -> None:
    assert found(search(visit, query))[0] == first


@pytest.mark.parametrize("query", ["Lyapunov", "drift", "federated averaging", "split path"])
def test_places_named_by_all_words_come_before_those_that_use_them(
    visit: Visit, query: str
) -> None:
    tab = search(visit, query)
    named = tab.evaluate(
        """(query) => bookSearch.find(query).found.map((place) =>
             bookSearch.wanted(query).every((word) => place.head.includes(` ${word}`)))""",
        query,
    )
    assert 0 < sum(named) < len(named)
    assert named == sorted(named, reverse=True)


def test_chapters_come_before_what_the_build_repeats(visit: Visit) -> None:
    places = found(search(visit, "Split LBI"))
    generated = ("book/library", "book/reproductions", "book/results", "book/references")
    repeated = [at for at, place in enumerate(places) if place.startswith(generated)]
    algorithms = [place for place in places[: repeated[0]] if "#algorithm-" in place]
    assert len(algorithms) == 3


def test_words_without_a_common_place_find_those_of_some(visit: Visit) -> None:
    tab = search(visit, "hospital lasso zebra")
    said = tab.locator(".said").text_content() or ""
    assert said.startswith("No place has all of these words; ")
    assert found(tab)
    tab.locator(".book-search input").fill("qqqq")
    assert (tab.locator(".said").text_content() or "").startswith("Nothing found.")
    assert found(tab) == []


def test_a_search_by_keyboard_says_what_it_found(visit: Visit) -> None:
    tab = visit("search.html")
    tab.wait_for_selector(".said", state="attached")
    assert tab.evaluate("document.activeElement.name") == "q"
    tab.keyboard.type("wasserstein")
    status = tab.get_by_role("status")
    count = int((status.text_content() or "").split()[0])
    assert count == tab.evaluate("bookSearch.find('Wasserstein').found.length") > 20
    assert len(found(tab)) == 20
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    second = tab.locator(FIRST).nth(1)
    assert second.evaluate("(link) => link === document.activeElement")
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowUp")
    assert tab.evaluate("document.activeElement.name") == "q"
    tab.get_by_role("button", name="more").click()
    assert len(found(tab)) == min(count, 40)
    assert tab.locator(FIRST).nth(20).evaluate("(link) => link === document.activeElement")
    assert tab.url.endswith("?q=wasserstein")


@WHERE
def test_the_dialog_shows_results_as_one_types(visit: Visit, http: str, where: str) -> None:
    tab = visit(CHAPTERS[1], http if where == "http" else None)
    assert tab.evaluate("window.searchIndex === undefined")  # nobody pays who does not search
    tab.keyboard.press("Control+k")
    tab.keyboard.type("theorem 5.9")
    link = tab.locator(f"{DIALOG} li a").first
    link.wait_for()
    assert "Theorem 5.9" in (link.text_content() or "")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Escape")
    assert not tab.locator(f"{DIALOG} input").is_visible()
    tab.keyboard.press("Control+k")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#theorem-5-9 span.highlighted")


@pytest.mark.parametrize("query", ["test_theory_lyapunov one_step", "client drift", "Jacobian"])
def test_results_fit_a_phone(visit: Visit, query: str) -> None:
    tab = search(visit, query, width=390)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    wide = "(all) => all.filter((one) => one.getBoundingClientRect().right > 390).length"
    assert tab.locator("#search-results *").evaluate_all(wide) == 0
    long = "fedlearn_book.reproductions.results.fashion_tickets_and_growth_of_networks"
    tab.locator("#search-results li p").first.evaluate(
        "(p, long) => { p.textContent = long; }", long
    )
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_results_dialog_and_marks_are_for_everybody(visit: Visit, width: int, dark: bool) -> None:
    tab = search(visit, "client drift", width=width, dark=dark)
    assert violations(tab) == []
    tab.locator(FIRST).first.click()  # to the glossary
    tab.wait_for_selector(".marks-note")
    assert marks(tab) == ["Client drift"]
    assert violations(tab) == []
    tab.keyboard.press("Control+k")
    tab.keyboard.type("drift")
    tab.locator(f"{DIALOG} li a").first.wait_for()
    assert violations(tab) == []


def test_a_button_removes_the_marks_where_there_is_no_escape_key(visit: Visit) -> None:
    tab = visit(f"{CHAPTERS[0]}?highlight=clients%20drift")
    number = len(marks(tab))
    note = tab.locator(".marks-note")
    assert number > 1
    assert note.text_content() == f"Remove {number} marks (Esc)"
    before = tab.locator("article").inner_text()
    note.click()
    assert marks(tab) == []
    assert before.replace(f"Remove {number} marks (Esc)", "").strip() == (
        tab.locator("article").inner_text().strip()
    )


def test_the_search_of_the_theme_is_gone() -> None:
    scripts = {name for name in ("searchtools", "language_data", "doctools", "sphinx_highlight")
               if (SITE / "_static" / f"{name}.js").exists()}  # fmt: skip
    assert scripts == set()
    assert not (SITE / "searchindex.js").exists()
    named = re.compile("searchtools|language_data|doctools|sphinx_highlight|searchindex")
    pages = [page for page in READ if named.search((SITE / page).read_text(encoding="utf-8"))]
    assert pages == []
