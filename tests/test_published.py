"""What surrounds the pages of a site, on a book of two pages: redirects, 404, sitemap, citation."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from pybtex.database import parse_string

ROOT = Path(__file__).parents[1]
EXTENSION = ROOT / "book" / "_ext"
sys.path.insert(0, str(EXTENSION))

from portable import card, published, sharing  # noqa: E402

SITE = "https://owner.github.io/name/"
REDIRECTS = {
    "old/start.html": "notebooks/03_ends.html",
    "index.html": "notebooks/03_ends.html",  # is still a page
    "gone.html": "nowhere.html",  # leads to none
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a small site, and what its build said."""
    root = tmp_path_factory.mktemp("book")
    (root / "notebooks").mkdir()
    (root / "book").mkdir()
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    shutil.copytree(ROOT / "book" / "_assets", root / "book" / "_assets")
    shutil.copy(ROOT / "CITATION.cff", root)
    toc = "```{toctree}\nnotebooks/03_ends\n```"
    (root / "index.md").write_text(f"# Book\n\n{toc}\n", encoding="utf-8")
    (root / "notebooks" / "03_ends.md").write_text("# R&D in fedlearn_lib\n", encoding="utf-8")
    options = {
        "project": "Book",
        "html_title": "Book",
        "extensions": ["myst_nb", "sphinx_book_theme", "sphinxext.opengraph", "portable"],
        "html_theme": "sphinx_book_theme",
        "nb_execution_mode": "off",
        "html_math_renderer": "mathml",
        "html_static_path": ["book/_assets"],
        "html_css_files": ["book.css"],
        "html_theme_options": {"repository_url": "https://github.com/owner/name"},
        "ogp_social_cards": {"enable": False},
        "redirects": REDIRECTS,
    }
    conf = "\n".join(f"{name} = {value!r}" for name, value in options.items())
    (root / "conf.py").write_text(conf, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", ".", "_build/html"]
    environment = os.environ | {"PYTHONPATH": f"{EXTENSION}:{ROOT}", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root / "_build" / "html", done.stderr


def read(built: tuple[Path, str], name: str) -> str:
    return (built[0] / name).read_text(encoding="utf-8")


def test_an_old_address_leads_to_the_new_one_and_keeps_the_fragment(built):
    page = read(built, "old/start.html")
    assert '<meta http-equiv="refresh" content="0; url=../notebooks/03_ends.html">' in page
    assert 'location.replace("../notebooks/03_ends.html" + location.hash)' in page
    assert f'<link rel="canonical" href="{SITE}notebooks/03_ends.html">' in page


def test_a_redirect_from_a_page_that_is_there_or_to_none_is_a_warning(built):
    said = built[1]
    assert "redirects: index.html is still a page" in said
    assert "redirects: gone.html leads to nowhere.html, which is none" in said
    assert "refresh" not in read(built, "index.html")
    assert not (built[0] / "gone.html").exists()


def test_the_page_for_what_is_missing_works_at_any_depth(built):
    page = read(built, "404.html")
    links = re.findall(r'\b(?:href|src|action|data-content_root)="([^"]*)"', page)
    assert len(links) > 20
    assert [one for one in links if not re.match(r"/name/|#|https?:|data:", one)] == []
    ours = [one.removeprefix("/name/").split("?")[0] for one in links if one.startswith("/name/")]
    assert [one for one in ours if one and not (built[0] / one).exists()] == []
    assert '<meta name="robots" content="noindex" />' in page


def test_the_sitemap_lists_the_pages_and_nothing_else(built):
    space = {"map": "http://www.sitemaps.org/schemas/sitemap/0.9"}
    found = ElementTree.fromstring(read(built, "sitemap.xml")).findall("map:url/map:loc", space)
    assert [one.text for one in found] == [f"{SITE}index.html", f"{SITE}notebooks/03_ends.html"]
    assert f"Sitemap: {SITE}sitemap.xml" in read(built, "robots.txt").splitlines()
    assert published.sitemap(["https://a.org/?b&c"]).count("?b&amp;c</loc>") == 1


def entry(page: str) -> str:
    (block,) = re.findall(r'<div class="highlight-bibtex.*?</pre>', page, re.S)
    return re.sub(r"<[^>]+>", "", block).replace("&amp;", "&").replace("&#64;", "@")


def test_a_page_says_how_to_cite_it(built):
    found = parse_string(entry(read(built, "notebooks/03_ends.html")), "bibtex").entries
    ((key, cited),) = found.items()
    assert key == "personal-and-parsimonious2026-r-d-in-fedlearn-lib"
    assert cited.type == "incollection"
    assert cited.fields["title"] == r"{R\&D in fedlearn\_lib}"
    assert cited.fields["chapter"] == "3"
    assert cited.fields["url"] == f"{SITE}notebooks/03_ends.html"
    assert cited.fields["booktitle"].startswith("{Personal and Parsimonious: ")
    (author,) = cited.persons["author"]
    assert str(author) == "{The authors of Personal and Parsimonious}"


def test_the_front_page_says_how_to_cite_the_book(built):
    (cited,) = parse_string(entry(read(built, "index.html")), "bibtex").entries.values()
    assert cited.type == "book"
    assert "booktitle" not in cited.fields
    assert cited.fields["title"].startswith("{Personal and Parsimonious: ")


def test_every_page_but_the_front_has_a_picture_of_its_own(built):
    page = read(built, "notebooks/03_ends.html")
    (url,) = re.findall(r'<meta property="og:image" content="([^"]*)"', page)
    assert url == f"{SITE}_static/social/r-d-in-fedlearn-lib.png"
    with Image.open(built[0] / url.removeprefix(SITE)) as image:
        assert image.size == (1200, 630)
    front = read(built, "index.html")
    assert f'content="{SITE}_static/social-card.png"' in front


def test_a_picture_that_was_drawn_is_kept(built, monkeypatch):
    kept = list((built[0].parent / "social").iterdir())
    assert len(kept) == 1

    class App:
        outdir = built[0]
        srcdir = built[0].parents[1]

    def fail(*_):
        raise AssertionError("it was drawn again")

    monkeypatch.setattr(card, "draw", fail)
    assert sharing.picture_of(App, "R&D in fedlearn_lib", 3).endswith("r-d-in-fedlearn-lib.png")
    with pytest.raises(AssertionError, match="drawn again"):
        sharing.picture_of(App, "R&D in fedlearn_lib", 4)


TITLES = ["Drift", "Personalized federated averaging", "A sparse copy that grows while one trains"]


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("chapter", [None, 2, 11])
def test_a_card_is_small_and_its_title_stays_clear_of_the_drawing(title, chapter):
    made = card.draw(title, chapter, ROOT / "book" / "_assets" / "fonts")
    assert len(made) < 40_000
    above = Image.open(io.BytesIO(made)).convert("L").crop((0, 0, 1200, 510))
    dark = above.point(lambda shade: 255 * (shade < 60))  # the title's ink
    left, top, right, bottom = dark.getbbox()
    assert left >= 70
    assert right < 820
    assert 100 < top < bottom < 480
