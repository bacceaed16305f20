"""The built site: where it lies, which pages it has."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page, Request, Route

SITE = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
PAGES = [page for page in PAGES if not page.startswith("_static/")]
CHAPTERS = [page for page in PAGES if re.match(r"notebooks/\d", page)]
# Left out: pages that only send the reader on, and the one that a server shows for a missing page.
READ = [
    page
    for page in PAGES
    if page != "404.html" and 'http-equiv="refresh"' not in (SITE / page).read_text("utf-8").lower()
]
PACKED = {".html", ".css", ".js", ".svg", ".json"}  # what a server compresses


class Opened(NamedTuple):
    """A page, the tab that shows it, what it loaded and how far it moved on a desk meanwhile."""

    page: str
    tab: Page
    loaded: set[str]
    shifted: float


Visit = Callable[..., "Page"]
New = Callable[..., "BrowserContext"]
# A page hears of its new size with the next frame, and colors fade from one theme to the other. A
# busy browser may draw no frame for long: the page is told, and what fades is brought to its end.
RESTS = """() => {
  dispatchEvent(new Event("resize"));
  for (const one of document.getAnimations()) {
    if (one.effect.getComputedTiming().endTime === Infinity) one.cancel();
    else one.finish();
  }
}"""
# Nobody touches a page that opens. A browser takes its first half second, in which the window gets
# its size, for one in which somebody did: those moves count, too.
SHIFT = """
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) window.shifted += one.value;
  }).observe({ type: "layout-shift", buffered: true });
"""


# What moved is reported after the frame in which it did.
MOVED = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
  () => setTimeout(() => done(window.shifted), 50))))"""
PAINTED = "performance.getEntriesByName('first-contentful-paint').length > 0"


def arrive(tab: Page, address: str) -> float:
    """Open an address, pictures and fonts only after the first paint; return how far it moved.

    On this machine they would be there before anything is drawn, and nothing would ever move.
    """
    late: list[Route] = []
    painted = False

    def hold(route: Route) -> None:
        if painted:
            route.continue_()
        else:
            late.append(route)

    tab.route(re.compile(r"\.(png|svg|jpg|woff2)(\?.*)?$"), hold)
    tab.goto(address, wait_until="commit")
    tab.wait_for_function(PAINTED)
    painted = True
    for route in late:
        route.continue_()
    tab.wait_for_selector("html[data-measured=all]", state="attached")
    return float(tab.evaluate(MOVED))


def screen(tab: Page, width: int, *, dark: bool) -> None:
    """Give a page that is open another size and theme; it has come to rest afterwards."""
    theme = "dark" if dark else "light"
    tab.set_viewport_size({"width": width, "height": 900})
    tab.emulate_media(color_scheme=theme)
    tab.wait_for_selector(f"html[data-theme={theme}]", state="attached")
    tab.evaluate(RESTS)
    tab.wait_for_selector("html[data-measured=all]", state="attached")


class Quiet(SimpleHTTPRequestHandler):
    """Sends the files of the site."""

    def log_message(self, *args: object) -> None:
        """Keep the test report free of requests."""


def served(handler: type[Quiet]) -> Iterator[str]:
    """Serve the site from this machine for as long as a fixture lives; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def luminance(one: Locator) -> float:
    """The median over what an element shows, between 0 for black and 1 for white."""
    with Image.open(io.BytesIO(one.screenshot())) as shot:
        values = np.asarray(shot.convert("RGB")) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(np.median(light @ [0.2126, 0.7152, 0.0722]))


def lost(request: Request) -> bool:
    """Say whether a file was not had; leaving a page stops what it still asks for."""
    return request.failure != "net::ERR_ABORTED"


def listen(tab: Page) -> list[str]:
    """Return a list that fills with whatever leaves this machine, fails to load or raises."""
    wrong: list[str] = []

    def failed(request: Request) -> None:
        if lost(request):
            wrong.append(f"failed: {request.url}")

    def watch(request) -> None:
        if not request.url.startswith(("file://", "data:", "blob:", "http://127.0.0.1:")):
            wrong.append(f"leaves the machine: {request.url}")

    tab.on("request", watch)
    tab.on("requestfailed", failed)
    tab.on("response", lambda r: wrong.append(f"{r.status}: {r.url}") if r.status > 399 else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    return wrong
