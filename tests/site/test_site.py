"""The built site as a reader meets it: with no network, from a folder and over http."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

SITE = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
PAGES = [page for page in PAGES if not page.startswith("_static/")]
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]
READ = [page for page in PAGES if page != "index.html"]  # it only sends the reader on


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Keep the test report free of requests."""


@pytest.fixture(scope="session")
def http() -> Iterator[str]:
    """The site served from this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


Visit = Callable[..., "Page"]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open a page; whatever leaves this machine, fails to load or raises is an error."""
    contexts, wrong = [], []

    def watch(request) -> None:
        if not request.url.startswith(("file://", "data:", "blob:", "http://127.0.0.1:")):
            wrong.append(f"leaves the machine: {request.url}")

    def open_page(page: str, base: str | None = None, *, width: int = 1280, dark: bool = False):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, offline=base is None,
            color_scheme="dark" if dark else "light",
        )  # fmt: skip
        contexts.append(context)
        tab = context.new_page()
        tab.on("request", watch)
        tab.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
        tab.on(
            "response", lambda r: wrong.append(f"{r.status}: {r.url}") if r.status > 399 else None
        )
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        path, _, query = page.partition("?")
        address = f"{base}/{path}" if base else (SITE / path).as_uri()
        tab.goto(f"{address}?{query}" if query else address)
        tab.wait_for_function("window.MathJax?.startup?.promise?.then(() => true) ?? true")
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def test_the_site_is_built() -> None:
    assert (SITE / "index.html").exists(), "run `make book` first"
    assert len(CHAPTERS) == len(list((SITE.parents[1] / "notebooks").glob("[0-9]*.ipynb")))


def violations(tab: Page) -> list[tuple[str, list[str]]]:
    """Serious and critical findings of axe, with every fold open."""
    tab.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    tab.wait_for_timeout(300)  # the page looks in the next frame for what scrolls now
    return [
        (found["id"], [node["html"][:120] for node in found["nodes"][:3]])
        for found in Axe().run(tab, options={"preload": False}).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("page", READ)
def test_a_page_on_a_desk_in_light(visit: Visit, http: str, page: str) -> None:
    tab = visit(page, http)
    assert tab.evaluate("document.documentElement.dataset.theme") == "light"
    for image in tab.locator("main img").all():
        alt = image.get_attribute("alt") or ""
        assert len(alt) > 9, image.evaluate("(node) => node.outerHTML.slice(0, 200)")
        assert not re.fullmatch(r"[\w./-]*[0-9a-f]{12,}[\w.]*", alt), alt
    assert tab.locator("mjx-merror").count() == 0
    assert tab.locator("main .math:not(:has(mjx-container))").count() == 0
    text = tab.locator("main").evaluate(
        """(main) => {
          const copy = main.cloneNode(true);
          const skipped = copy.querySelectorAll("pre, code, script, style, mjx-container");
          skipped.forEach((node) => node.remove());
          return copy.textContent;
        }"""
    )
    assert not re.search(r"\$\S[^$]{0,80}\S\$|\\frac|:::|\{(cite|ref|eq|doc)\}", text)
    assert violations(tab) == []


@pytest.mark.parametrize("page", READ)
def test_a_page_on_a_phone_in_the_dark(visit: Visit, http: str, page: str) -> None:
    tab = visit(page, http, width=390, dark=True)
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    assert violations(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("page", CHAPTERS)
def test_folds_and_boxes(visit: Visit, page: str) -> None:
    tab = visit(page)
    source = SITE.parents[1] / page.replace(".html", ".ipynb")
    stated = re.findall(r"> \*\*\w+ \d+\.\d+ \(", source.read_text(encoding="utf-8"))
    assert tab.locator("main .result").count() == len(stated) >= 5
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert sorted(set(ids)) == sorted(ids), "an id stands twice"
    broken = tab.evaluate(
        """[...document.querySelectorAll('main a[href^="#"]')]
             .map((a) => a.getAttribute("href").slice(1))
             .filter((id) => id && !document.getElementById(decodeURIComponent(id)))"""
    )
    assert broken == []
    proof = tab.locator("details", has_text="Proof of").first
    body = proof.locator("p").first
    assert not body.is_visible()
    proof.locator("summary").click()
    assert body.is_visible()


def figures(tab: Page) -> list[Locator]:
    """All figures with controls: the nearest block that holds a slider, its picture, its words."""
    holders = "main .cell_output:has(input[type=range])"
    return tab.locator(holders).all()


def shown(figure: Locator) -> str:
    return figure.evaluate(
        """(node) => [...node.querySelectorAll("img, svg")]
             .map((one) => one.src || one.innerHTML).join("|")"""
    )


@pytest.mark.parametrize("where", ["folder", "http"])
@pytest.mark.parametrize("page", CHAPTERS)
def test_every_interactive_figure_moves(visit: Visit, http: str, page: str, where: str) -> None:
    tab = visit(page, http if where == "http" else None)
    found = figures(tab)
    assert found
    for figure in found:
        for slider in figure.locator("input[type=range]").all():
            if not slider.is_visible() or slider.is_disabled():
                continue
            label = slider.evaluate("(node) => node.labels[0]?.textContent ?? node.ariaLabel")
            assert label
            assert label.strip()
            start = slider.input_value()
            slider.focus()
            slider.press("Home")
            first, words = shown(figure), slider.get_attribute("aria-valuetext")
            assert words
            slider.press("End")
            assert shown(figure) != first, f"{label}: the picture does not follow the slider"
            assert slider.get_attribute("aria-valuetext") != words
            output = figure.locator("output, [aria-live]").all()
            said = " ".join(one.text_content() or "" for one in output)
            assert (slider.get_attribute("aria-valuetext") or "") in said
            slider.press("Home")
            assert shown(figure) == first
            assert slider.get_attribute("aria-valuetext") == words
            slider.fill(start)  # at its lowest value it may leave another without effect


def test_search_works_from_a_folder(visit: Visit) -> None:
    tab = visit("search.html?q=drift")
    tab.wait_for_selector("#search-results li a")
    titles = tab.locator("#search-results li a").all_text_contents()
    assert any("Federated averaging" in title for title in titles)


def test_the_results_page_holds_every_result_with_its_evidence(visit: Visit) -> None:
    tab = visit("book/results.html")
    listed = set(tab.locator("main .result-title").all_text_contents())
    stated = set()
    for chapter in CHAPTERS:
        text = (SITE.parents[1] / chapter.replace(".html", ".ipynb")).read_text(encoding="utf-8")
        stated |= set(re.findall(r"> \*\*((?:\w+) \d+\.\d+) \(", text))
    assert len(stated) >= 16
    assert {label for label in stated if not any(label in line for line in listed)} == set()


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
