"""Shared fixtures: a headless browser, and one loud line where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NO_BROWSER = "no Chromium was found"
REMEDY = (
    "install one (Debian, Ubuntu: apt-get install chromium; elsewhere: "
    ".venv/bin/python -m playwright install chromium) or set CHROMIUM to its path"
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """Return the path of a Chromium: from CHROMIUM, from the PATH, or playwright's own."""
    if named := os.environ.get("CHROMIUM"):
        if found := shutil.which(named):
            return found
        pytest.fail(f"CHROMIUM={named!r} is no program; correct it or unset it", pytrace=False)
    for name in NAMES:
        if found := shutil.which(name):
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The path of a Chromium; without one the test skips, or fails if a browser is required."""
    found = find_chromium()
    if found is None and os.environ.get("FEDLEARN_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{NO_BROWSER}, and FEDLEARN_REQUIRE_BROWSER=1: {REMEDY}", pytrace=False)
    if found is None:
        pytest.skip(f"{NO_BROWSER}: {REMEDY}")
    return found


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Browser]:
    """A headless Chromium; a test opens its own context in it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser
        browser.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, and loudly, that browser tests were skipped and how to get a browser."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(NO_BROWSER in str(report.longrepr) for report in skipped)
    if count:
        line = f"BROWSER TESTS DID NOT RUN ({count} skipped): {NO_BROWSER}; {REMEDY}"
        terminalreporter.write_line(line, red=True, bold=True)
