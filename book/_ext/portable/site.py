"""The site around the pages: addresses, offline mathematics, drawings, alternative texts."""

from __future__ import annotations

import re
import shutil
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.errors import ConfigError
from sphinx.util.docutils import SphinxDirective

# MathJax draws with SVG: no font file has to be read, which Firefox refuses to do from file://.
_KEPT = ("tex-svg.js", "input")
_PRELOAD = re.compile(r'\s*<link rel="preload" as="font"[^>]*>')


def site_url(repository: str) -> str:
    """Derive the address of the GitHub Pages site from that of the repository.

    >>> site_url("https://github.com/owner/book")
    'https://owner.github.io/book/'
    """
    owner, name = urlsplit(repository).path.strip("/").split("/")[:2]
    return f"https://{owner}.github.io/{name}/"


def addresses(app, config) -> None:
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
    config.mathjax_path = "mathjax/tex-svg.js"


def slim_mathjax(app, exception) -> None:
    """Drop the parts of MathJax that no page asks for: fonts, speech, other inputs."""
    folder = Path(app.outdir) / "_static" / "mathjax"
    if exception is None and folder.is_dir():
        for path in folder.iterdir():
            if path.name not in _KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def drop_font_preloads(app, exception) -> None:
    """Remove the theme's font preloads: from file:// a browser refuses them, loudly."""
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).glob("**/*.html"):
            page = path.read_text(encoding="utf-8")
            lean = _PRELOAD.sub("", page)
            if lean != page:
                path.write_text(lean, encoding="utf-8")


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
        svg = path.read_text(encoding="utf-8")
        svg = svg[svg.index("<svg") :]
        svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
        return [nodes.raw("", f'<div class="drawing {path.stem}">{svg}</div>', format="html")]


def setup(app) -> None:
    app.add_directive("drawing", Drawing)
    app.connect("config-inited", addresses, priority=900)
    app.connect("build-finished", drop_font_preloads, priority=900)
    app.connect("build-finished", slim_mathjax, priority=900)
