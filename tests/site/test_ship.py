"""The site as it is shipped: an archive, a page for what is missing, cards, citations."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from audit import findings
from built import CHAPTERS, READ, SITE, New, Quiet, Visit, lost, served
from PIL import Image
from pybtex.database import parse_string

from tools import make_zip
from tools.repository import current

BASE = urlsplit(current().pages).path
# The pages that Sphinx makes beside the documents.
DOCUMENTS = [page for page in READ if page.startswith(("book/", "notebooks/"))]


def read(page: str) -> str:
    return (SITE / page).read_text(encoding="utf-8")


# ----- the archive ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a reader gets from the archive."""
    folder = tmp_path_factory.mktemp("reader")
    make_zip.write(folder / "site.zip", make_zip.site_files(), "book")
    assert (folder / "site.zip").stat().st_size < make_zip.LIMIT
    with zipfile.ZipFile(folder / "site.zip") as archive:
        archive.extractall(folder)
    return folder / "book"


def test_the_archive_holds_every_page_and_all_that_they_need(unpacked: Path) -> None:
    for page in READ:
        folder = (unpacked / page).parent
        asked = re.findall(r'(?:src|href)="([^"#?]+)[^"]*"', (unpacked / page).read_text("utf-8"))
        asked = [one for one in asked if not re.match(r"[a-z]+:", one)]
        assert len(asked) > 10
        assert [one for one in asked if not (folder / one).exists()] == [], page
    assert (unpacked / "LICENSE-TEXT").exists()


def test_the_unpacked_site_is_read_and_played_from_its_folder(
    new_context: New, unpacked: Path
) -> None:
    wrong: list[str] = []
    tab = new_context(offline=True).new_page()
    tab.on("requestfailed", lambda request: wrong.append(request.url) if lost(request) else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto((unpacked / "index.html").as_uri())
    tab.wait_for_url("**/book/intro.html")
    tab.goto((unpacked / CHAPTERS[0]).as_uri())
    faces = "document.fonts.ready.then((all) => [...all].map((one) => [one.family, one.status]))"
    assert ["Pagella", "loaded"] in tab.evaluate(faces)
    figure = tab.locator(".cell_output:has(input[type=range])").first
    slider = figure.locator("input[type=range]").first
    slider.focus()
    slider.press("Home")
    first = figure.inner_html()
    slider.press("End")
    assert figure.inner_html() != first
    assert wrong == []


# ----- what is missing --------------------------------------------------------------------------


class Pages(Quiet):
    """The site below its base path, as GitHub Pages serves it."""

    path: str

    def do_GET(self) -> None:
        name = urlsplit(self.path).path.removeprefix(BASE)
        found = (SITE / name).exists() and self.path.startswith(BASE)
        self.path = f"/{name}" if found else "/404.html"
        if found:
            return super().do_GET()
        page = (SITE / "404.html").read_bytes()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
        return None


@pytest.fixture(scope="module")
def published() -> Iterator[str]:
    for address in served(Pages):
        yield f"{address}{BASE}"


def test_a_mistyped_address_shows_a_page_of_the_book_that_leads_on(
    new_context: New, published: str
) -> None:
    tab = new_context().new_page()
    wrong: list[str] = []
    tab.on("response", lambda r: wrong.append(r.url) if r.status > 399 else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    for address in ("no/such/page.html", "notebooks/99_nowhere.html"):
        wrong.clear()
        tab.goto(published + address)
        assert wrong == [published + address], "the page itself, and nothing that it asks for"
        assert tab.locator("article h1").inner_text() == "This page is not here"
        assert "Pagella" in tab.locator("article").evaluate("(n) => getComputedStyle(n).fontFamily")
    assert findings(tab) == []
    wrong.clear()
    tab.get_by_role("link", name="start at the front page").click()
    tab.wait_for_url("**/book/intro.html")
    tab.goto(published + "no/such/page.html?q=drift")
    wrong.clear()
    tab.get_by_role("link", name="search the book").click()
    tab.wait_for_url("**/search.html")
    assert wrong == []


def test_the_sitemap_lists_every_page_and_each_is_there() -> None:
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}loc"
    urls = [one.text or "" for one in ElementTree.parse(SITE / "sitemap.xml").iter(space)]
    assert sorted(urls) == sorted(current().pages + page for page in DOCUMENTS)
    for url in urls:
        page = read(url.removeprefix(current().pages))
        assert f'<link rel="canonical" href="{url}"' in page


# The pages of version 0.3.0; a later release adds its own.
RELEASED = {
    "book": """
    data errata glossary how_to_use index_of_terms intro library notation prerequisites/prox
    prerequisites/pytorch prerequisites/transport references reproductions results teaching/index
    tour
    """,
    "notebooks": """
    01_federated_averaging 02_heterogeneity 03_meta_gradients 04_per_fedavg 05_convergence
    06_distance_between_clients 07_personalization_compared 08_inverse_scale_space
    09_linearized_bregman 10_split_lbi 11_dessilbi 12_global_convergence 13_tickets_and_growth
    14_parsimonious_personalization 15_what_leaves_the_client 16_beyond_one_machine
    howto_1_personalize_your_clients howto_2_take_your_model_along_a_path
    howto_3_a_method_of_your_own
    """,
}


def test_every_address_of_a_release_is_still_a_page_or_leads_to_one() -> None:
    """A page that moves goes into ``redirects`` of _config.yml."""
    pages = [f"{folder}/{name}.html" for folder, some in RELEASED.items() for name in some.split()]
    assert len(pages) == 35
    assert [page for page in pages if not (SITE / page).exists()] == []


# ----- sharing ----------------------------------------------------------------------------------


def meta(page: str, name: str) -> str:
    (found,) = re.findall(rf'<meta (?:property|name)="{name}" content="([^"]*)"', read(page))
    return found


def test_a_link_to_a_page_has_a_card_of_its_own() -> None:
    cards = {}
    for page in DOCUMENTS:
        url = meta(page, "og:image")
        assert meta(page, "twitter:card") == "summary_large_image"
        assert len(meta(page, "og:image:alt")) > 9
        path = SITE / url.removeprefix(current().pages)
        with Image.open(path) as image:
            assert image.size == (1200, 630)
        cards[page] = path.read_bytes()
    assert len(set(cards.values())) == len(DOCUMENTS) > 20
    assert max(len(card) for page, card in cards.items() if page != "book/intro.html") < 40_000


def test_a_page_says_its_name_and_the_width_of_the_screen_once() -> None:
    titles = [re.findall(r"<title>([^<]*)</title>", read(page)) for page in DOCUMENTS]
    assert [title for title in titles if len(title) != 1] == []
    assert len({title[0] for title in titles}) == len(titles)
    assert re.findall(r"<title>([^<]*)<", read("book/intro.html")) == ["Personal and Parsimonious"]
    assert [page for page in READ if read(page).count('name="viewport"') != 1] == []


def test_every_page_can_be_cited_and_the_entry_copied(new_context: New, http: str) -> None:
    tab = new_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
    keys = []
    for page in [*DOCUMENTS]:
        html = read(page)
        (block,) = re.findall(r'<div class="highlight-bibtex.*?</pre>', html, re.S)
        entry = re.sub(r"<[^>]+>", "", block).replace("&#64;", "@").replace("&amp;", "&")
        ((key, cited),) = parse_string(entry, "bibtex").entries.items()
        keys.append(key)
        assert cited.fields["url"] == current().pages + page
        if page in CHAPTERS:
            assert int(cited.fields["chapter"]) == int(page.split("/")[1][:2])
    assert len(set(keys)) == len(DOCUMENTS)

    tab.goto(f"{http}/{CHAPTERS[0]}")
    fold = tab.locator("details.citation")
    assert not fold.locator("pre").is_visible()
    fold.locator("summary").click()
    fold.locator("pre").hover()
    fold.locator("button.copybtn").click()
    tab.wait_for_selector("details.citation button.copybtn.success")
    copied = tab.evaluate("navigator.clipboard.readText()")
    ((key, cited),) = parse_string(copied, "bibtex").entries.items()
    assert cited.fields["url"] == current().pages + CHAPTERS[0]


def test_the_pages_say_where_the_book_can_be_downloaded(visit: Visit) -> None:
    for page in ("book/how_to_use.html", "book/intro.html"):
        tab = visit(page)
        link = tab.locator(f'article a[href="{current().url}/releases/latest"]')
        assert link.count() == 1, page
        said = link.locator("xpath=ancestor::p").inner_text()
        assert "PDF" in said
        assert "zip" in said.lower()
