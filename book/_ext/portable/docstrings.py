r"""autodoc for our docstrings, which write mathematics as ``$…$`` and arguments as ``name : text``.

They are reStructuredText otherwise: roles, tables and examples are left to Sphinx.
"""

from __future__ import annotations

import re
from typing import Any, get_origin

from sphinx.application import Sphinx
from sphinx.config import Config

from portable.library import modules

_EXAMPLE = re.compile(r"((?:^ *>>> .*(?:\n *\S.*)*\n?)+)", re.M)
_UNDERLINED = re.compile(r"^(\w+)\n-{3,}$", re.M)
_ARGUMENT = re.compile(r"^(\S.*?) : ", re.M)
_FORMULA = re.compile(r"(``.*?``|\$\$.+?\$\$|\$[^$]+\$)", re.S)
_SIGNATURE = re.compile(r'<dt class="sig .*?</dt>', re.S)
_ROLE = re.compile(r"(:(?:func|class|meth):`)~?(?:[\w.]+\.)?(\w+`)")


def to_rst(docstring: str) -> str:
    r"""Turn a docstring into plain reStructuredText; its examples stay as they are.

    >>> print(to_rst("Of $x^2$.\n\nParameters\n----------\nx, y : [n],\n    numbers."))
    Of \ :math:`x^2`\ .
    <BLANKLINE>
    **Parameters**
    <BLANKLINE>
    - **x, y**: [n],
      numbers.
    """
    parts = _EXAMPLE.split(docstring)  # odd ones are examples
    return "".join(part if at % 2 else _prose(part) for at, part in enumerate(parts))


def _prose(text: str) -> str:
    before, *sections = _UNDERLINED.split(text)
    found = _marked(before)
    for name, body in zip(sections[::2], sections[1::2], strict=True):
        listed = _ARGUMENT.sub(r"- **\1**: ", re.sub(r"^    ", "  ", body, flags=re.M))
        found += f"**{name}**\n{_marked(listed)}"
    return found


def _marked(text: str) -> str:
    r"""Mark formulas, and let a role look for its name in all modules.

    >>> _marked("By :func:`~fedlearn_lib.run`, ``$``:\n$$b.$$\nSo")
    'By :func:`.run`, ``$``:\n\n.. math::\n\n    b.\n\nSo'
    """
    pieces = _FORMULA.split(text)
    for at, piece in enumerate(pieces):
        if piece.startswith("$$"):
            pieces[at] = f"\n.. math::\n\n    {' '.join(piece[2:-2].split())}\n"
        elif piece.startswith("$"):
            pieces[at] = rf"\ :math:`{piece[1:-1]}`\ "
    return _ROLE.sub(r"\1.\2", "".join(pieces))


def process(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Hand autodoc a docstring, below the line that imports its name."""
    head = []
    if what in ("function", "class"):
        where, _, own = name.rpartition(".")
        head = [".. container:: import", "", f"   ``from {where} import {own}``", ""]
    lines[:] = [*head, *to_rst("\n".join(lines)).split("\n")]


def skip(
    app: Sphinx, what: str, name: str, value: object, skipped: bool, options: object
) -> bool | None:
    """Leave out the fields of a named tuple, which Python describes by their numbers."""
    made_up = (getattr(value, "__doc__", None) or "").startswith("Alias for field number")
    return True if made_up else None


def configure(app: Sphinx, config: Config) -> None:
    """Show names, aliases of types and defaults as they are written."""
    config.add_module_names = False
    config.autodoc_inherit_docstrings = False
    config.autodoc_member_order = "bysource"
    config.autodoc_preserve_defaults = True
    config.autodoc_typehints_format = "short"
    config.python_maximum_signature_line_length = 80
    config.autodoc_type_aliases = {
        name: name for one in modules() for name, value in vars(one).items() if get_origin(value)
    }


def plain_signatures(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Set the arguments of a long signature as lines, each a span.

    Sphinx makes a list of definitions without terms, which a screen reader cannot make sense of.
    """
    if context.get("body"):
        context["body"] = _SIGNATURE.sub(_lines, context["body"])


def _lines(signature: re.Match[str]) -> str:
    r"""Replace the list in a signature.

    >>> _lines(re.match(r"(?s).+", "<dl>\n<dd><em>a</em>,</dd>\n</dl>\n"))
    '<span class="lines">\n<span class="line"><em>a</em>,</span>\n</span>\n'
    """
    text = re.sub(r"</d[ld]>", "</span>", signature[0])
    return text.replace("<dl>", '<span class="lines">').replace("<dd>", '<span class="line">')


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("config-inited", configure)
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-skip-member", skip)
    app.connect("html-page-context", plain_signatures)
