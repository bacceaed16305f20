"""Shared fixtures: a headless browser, a C++ compiler, and one loud line where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("book", deadline=None)  # a busy machine is no mistake
settings.load_profile("book")

NO_COMPILER = "no C++ compiler was found, which torch.compile needs"
COMPILER_REMEDY = "install one (Debian, Ubuntu: apt-get install g++) or set CXX to its path"
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
    return found or _lacks(NO_BROWSER, REMEDY, "FEDLEARN_REQUIRE_BROWSER")


@pytest.fixture(scope="session")
def compiler() -> str:
    """The compiler of torch.compile; without one the test skips, or fails if one is required."""
    usual = "clang++" if sys.platform == "darwin" else "g++"
    found = shutil.which(os.environ.get("CXX") or usual)
    return found or _lacks(NO_COMPILER, COMPILER_REMEDY, "FEDLEARN_REQUIRE_COMPILER")


def _lacks(what: str, remedy: str, switch: str) -> NoReturn:
    """Skip for want of a program, or fail where the environment says that it must be there."""
    if os.environ.get(switch) == "1":
        pytest.fail(f"{what}, and {switch}=1: {remedy}", pytrace=False)
    pytest.skip(f"{what}: {remedy}")


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Browser]:
    """A headless Chromium; a test opens its own context in it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS, timeout=0)
        yield browser
        browser.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, and loudly, that tests were skipped for want of a program, and how to get it."""
    skipped = terminalreporter.stats.get("skipped", [])
    for what, remedy in ((NO_BROWSER, REMEDY), (NO_COMPILER, COMPILER_REMEDY)):
        count = sum(what in str(report.longrepr) for report in skipped)
        if count:
            line = f"TESTS DID NOT RUN ({count} skipped): {what}; {remedy}"
            terminalreporter.write_line(line, red=True, bold=True)
