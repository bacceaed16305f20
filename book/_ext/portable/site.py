"""The site around the pages: addresses, lean pages, drawings, alternative texts."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx.util.docutils import SphinxDirective

# What the theme puts into every page and no page needs: font preloads, which a browser refuses from
# file://, loudly; a script of 1.5 MB that would draw the icons which a font draws already; a second
# and third word on the width of the screen; on the front page, the book's name a second time.
_NEEDLESS = re.compile(
    r'\s*<link rel="preload" as="font"[^>]*>|\s*<script src="[^"]*fontawesome[^"]*"></script>'
    r'|\s*<meta name="viewport" content="width=device-width, initial-scale=1" ?/>'
    r"|(?<=<title>Personal and Parsimonious) &#8212; Personal and Parsimonious(?=</title>)"
)

_NOTEBOOK = re.compile(r'href="(?:\.\./)*(notebooks/\w+)\.ipynb"')


def site_url(repository: str) -> str:
    """Derive the address of the GitHub Pages site from that of the repository.

    >>> site_url("https://github.com/owner/book")
    'https://owner.github.io/book/'
    """
    owner, name = urlsplit(repository).path.strip("/").split("/")[:2]
    return f"https://{owner}.github.io/{name}/"


def addresses(app: Sphinx, config: Config) -> None:
    """Set every address that follows from ``repository.url`` in _config.yml."""
    repository = config.html_theme_options.get("repository_url")
    if not repository:
        raise ConfigError("_config.yml has no repository.url; set the address of the repository")
    url = site_url(repository)
    config.html_baseurl = url
    config.ogp_site_url = url
    config.ogp_site_name = config.html_title
    config.ogp_image = f"{url}_static/social-card.png"
    config.ogp_image_alt = "Personal and Parsimonious: many clients around one shared start"


def drop_the_needless(app: Sphinx, exception: Exception | None) -> None:
    """Remove from every page what the theme adds and nothing needs."""
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).glob("**/*.html"):
            page = path.read_text(encoding="utf-8")
            lean = _NEEDLESS.sub("", page)
            lean = lean.replace('data-theme="auto"', 'data-theme="light"', 1)  # without scripts
            if lean != page:
                path.write_text(lean, encoding="utf-8")


def inline(path: Path, alt: str) -> str:
    """Return a stored drawing as part of a page, with its description."""
    svg = path.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    role = "group" if "<a " in svg else "img"  # what stands in an image cannot be reached
    return svg.replace("<svg", f'<svg role="{role}" aria-label="{escape(alt)}"', 1)


class Drawing(SphinxDirective):
    """`{drawing} file` with a description as content: an SVG that follows light and dark."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir) / "book" / "images" / self.arguments[0]
        self.env.note_dependency(str(path))
        alt = " ".join(self.content).strip()
        if not alt:
            raise self.error(f"the drawing {path.name} needs a description as its content")
        svg = inline(path, alt)
        svg = _NOTEBOOK.sub(self._page, svg)
        return [nodes.raw("", f'<div class="drawing {path.stem}">{svg}</div>', format="html")]

    def _page(self, link: re.Match[str]) -> str:
        """Let a link to a notebook lead to its page."""
        return f'href="{self.env.app.builder.get_relative_uri(self.env.docname, link[1])}"'


def setup(app: Sphinx) -> None:
    app.add_directive("drawing", Drawing)
    app.connect("config-inited", addresses, priority=900)
    app.connect("build-finished", drop_the_needless, priority=900)
