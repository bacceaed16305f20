"""Shared by the browser tests: contexts without a clock, figures alone, pages of the site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from built import SHIFT, SITE, New, Opened, Quiet, Visit, arrive, listen, served
from pages import html_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

Open = Callable[..., "Page"]


@pytest.fixture
def new_context(browser: Browser) -> Iterator[New]:
    """Make browser contexts whose waits end with what they wait for, or with the test's limit.

    A limit of the browser's own would count seconds on the wall, also those in which a busy
    machine runs something else; that of the test does not (tools/patience.py).
    """
    contexts = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(**options)
        context.set_default_timeout(0)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def open_page(new_context: New, tmp_path: Path) -> Iterator[Open]:
    """Open figures as a page from a file; anything that leaves it, or fails in it, is an error."""
    pages, wrong = [], []

    def build(*figures: str, theme: str = "light", width: int = 1280, **options: Any) -> Page:
        context = new_context(offline=True, viewport={"width": width, "height": 900}, **options)
        tab = context.new_page()
        pages.append(tab)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        tab.on("request", lambda r: wrong.append(r.url) if r.url.startswith("http") else None)
        path = tmp_path / f"{len(pages)}.html"
        path.write_text(html_of(figures, theme), encoding="utf-8")
        tab.goto(path.as_uri())
        return tab

    yield build
    assert wrong == []


@pytest.fixture(scope="session")
def http() -> Iterator[str]:
    """The site served from this machine."""
    yield from served(Quiet)


@pytest.fixture
def visit(new_context: New) -> Iterator[Visit]:
    """Open a page; whatever leaves this machine, fails to load or raises is an error."""
    heard: list[list[str]] = []

    def open_page(
        page: str, base: str | None = None, *, width: int = 1280, dark: bool = False,
        touch: bool = False,
    ):  # fmt: skip
        context = new_context(
            viewport={"width": width, "height": 900}, offline=base is None,
            color_scheme="dark" if dark else "light", has_touch=touch,
        )  # fmt: skip
        tab = context.new_page()
        heard.append(listen(tab))
        path, _, query = page.partition("?")
        address = f"{base}/{path}" if base else (SITE / path).as_uri()
        tab.goto(f"{address}?{query}" if query else address)
        return tab

    yield open_page
    assert [said for tab in heard for said in tab] == []


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, browser: Browser, http: str) -> Iterator[Opened]:
    """Open the page that the parameter names, once for all tests of a module that ask about it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    context.set_default_timeout(0)
    tab = context.new_page()
    wrong = listen(tab)
    tab.add_init_script(SHIFT)
    shifted = arrive(tab, f"{http}/{request.param}")
    loaded = set(tab.evaluate("performance.getEntriesByType('resource').map((one) => one.name)"))
    yield Opened(request.param, tab, loaded, shifted)
    context.close()
    assert wrong == []
