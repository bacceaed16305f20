"""Shared by the browser tests of figures: a page from a file, with the network off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pages import html_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open figures as a page from a file; anything that leaves it, or fails in it, is an error."""
    contexts, wrong = [], []

    def build(*figures: str, theme: str = "light", width: int = 1280, **options: object) -> Page:
        context = browser.new_context(
            offline=True, viewport={"width": width, "height": 900}, **options
        )
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        tab.on("request", lambda r: wrong.append(r.url) if r.url.startswith("http") else None)
        path = tmp_path / f"{len(contexts)}.html"
        path.write_text(html_of(figures, theme), encoding="utf-8")
        tab.goto(path.as_uri())
        return tab

    yield build
    for context in contexts:
        context.close()
    assert wrong == []
