"""What a published site has around its pages: sitemap, robots.txt, a page for what is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

logger = logging.getLogger(__name__)

NOT_FOUND = """<section id="not-found"><h1>This page is not here</h1>
<p>The address may be mistyped, or the page may have moved. You can <a href="{front}">start at the
front page</a>, look it up in <a href="genindex.html">the index</a>, or
<a href="search.html">search the book</a>.</p></section>"""
MOVED = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>This page has moved</title>
<link rel="canonical" href="{absolute}"><meta http-equiv="refresh" content="0; url={new}">
<script>location.replace("{new}" + location.hash)</script></head>
<body><p>This page has moved to <a href="{new}">{absolute}</a>.</p></body></html>
"""
_RELATIVE = re.compile(r'\b(href|src|action|data-content_root)="(?![a-z]+:|[/#])(?:\./)?([^"]*)"')


def not_found(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Make 404.html, which a server shows in the place of any page that it does not have."""
    front = app.builder.get_relative_uri("404", app.config.root_doc)
    body = NOT_FOUND.format(front=front)
    yield "404", {"title": "Page not found", "body": body}, "page.html"


def rooted(page: str, base: str) -> str:
    """Let the links of a page at the top of the site begin at the site's root.

    >>> rooted('<a href="search.html"><a href="#top"><html data-content_root="./">', "/book/")
    '<a href="/book/search.html"><a href="#top"><html data-content_root="/book/">'
    """
    return _RELATIVE.sub(lambda found: f'{found[1]}="{base}{found[2]}"', page)


def sitemap(urls: list[str]) -> str:
    """List addresses for search engines."""
    rows = "".join(f"<url><loc>{escape(url)}</loc></url>\n" for url in urls)
    space = "http://www.sitemaps.org/schemas/sitemap/0.9"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="{space}">\n{rows}</urlset>\n'


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """Write sitemap and robots.txt, and mend the links of 404.html."""
    if exception is not None or app.builder.name != "html":
        return
    out, url = Path(app.outdir), app.config.html_baseurl
    urls = [url + app.builder.get_target_uri(name) for name in sorted(app.env.found_docs)]
    (out / "sitemap.xml").write_text(sitemap(urls), encoding="utf-8")
    robots = f"User-agent: *\nAllow: /\nSitemap: {url}sitemap.xml\n"
    (out / "robots.txt").write_text(robots, encoding="utf-8")
    page = out / "404.html"
    content = rooted(page.read_text(encoding="utf-8"), urlsplit(url).path)
    content = content.replace("<head>", '<head>\n    <meta name="robots" content="noindex" />', 1)
    page.write_text(content, encoding="utf-8")


def write_redirects(app: Sphinx, exception: Exception | None) -> None:
    """Write a page at each old address that leads to the new one, its fragment kept."""
    if exception is not None or app.builder.name != "html":
        return
    out = Path(app.outdir)
    for old, new in app.config.redirects.items():
        if (out / old).exists() or not (out / new).exists():
            state = "is still a page" if (out / old).exists() else f"leads to {new}, which is none"
            logger.warning(f"redirects: {old} {state}; mend _config.yml", type="portable")
            continue
        (out / old).parent.mkdir(parents=True, exist_ok=True)
        absolute = escape(app.config.html_baseurl + new)
        page = MOVED.format(absolute=absolute, new=escape(relative_uri(old, new)))
        (out / old).write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.add_config_value("redirects", {}, "html")
    app.connect("html-collect-pages", not_found)
    app.connect("build-finished", write_files, priority=800)
    app.connect("build-finished", write_redirects, priority=990)  # after all that reads pages
