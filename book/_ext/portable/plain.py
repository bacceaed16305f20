"""Nodes as plain text, for the search index: words, and formulas as one would type them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from docutils import nodes
from sphinx import addnodes

from portable.mathematics import mathml

LONGEST = 48  # characters of a formula that is still read in a line
_SILENT = (
    nodes.literal_block, nodes.raw, nodes.comment, nodes.image, nodes.system_message,
    nodes.doctest_block, addnodes.toctree, nodes.math_block,
)  # fmt: skip
_LOWER = str.maketrans("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
_UPPER = str.maketrans(
    "0123456789+-−=()abcdefghijklmnoprstuvwxyz\u22a4", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀ"
)
_INVISIBLE = re.compile("[\u200b\u2060-\u2064]")


def plain(node: nodes.Node) -> str:
    """Return the words of a node in one line; code, pictures and displayed formulas are left out.

    >>> plain(nodes.paragraph("", "It is ", nodes.math("x_1", "x_1"), nodes.Text(" at most.")))
    'It is x₁ at most.'
    """
    return " ".join(_words(node).split())


def _words(node: nodes.Node) -> str:
    if isinstance(node, _SILENT):
        return " … " if isinstance(node, nodes.math_block) else " "
    if isinstance(node, nodes.math):
        return formula(node.astext())
    if isinstance(node, nodes.Text):
        return str(node.astext())
    inside = "".join(map(_words, node.children))
    return inside if isinstance(node, nodes.Inline) else f"{inside} "


def formula(tex: str) -> str:
    r"""Return a formula as readable text, or an ellipsis where it is too long for that.

    >>> formula(r"\lVert F_{k+1}\rVert \le \frac{1}{2}"), formula(r"\beta_{S}^2")
    ('‖Fₖ₊₁‖ ≤ 1/2', 'β_S²')
    """
    try:
        text = line(ElementTree.fromstring(mathml(tex)))
    except ValueError:  # the page itself warns
        return "…"
    text = " ".join(_INVISIBLE.sub("", text).split())
    return text if len(text) <= LONGEST else "…"


def line(node: ElementTree.Element) -> str:
    """Return a piece of MathML in one line."""
    tag = node.tag.rsplit("}", 1)[-1]
    if tag == "annotation":
        return ""
    parts = [line(child) for child in node]
    if tag in ("msub", "munder"):
        return parts[0] + _script(parts[1], _LOWER, "_")
    if tag == "msup":
        return parts[0] + _script(parts[1], _UPPER, "^")
    if tag in ("msubsup", "munderover"):
        return parts[0] + _script(parts[1], _LOWER, "_") + _script(parts[2], _UPPER, "^")
    if tag == "mover":
        return parts[0]
    if tag == "mfrac":
        return f" {_grouped(parts[0])}/{_grouped(parts[1])} "
    if tag == "msqrt":
        return f"√{_grouped(''.join(parts))}"
    if tag == "mtr" or node.get("width"):  # a row, a space
        return f"{' '.join(parts)} "
    text = "".join(parts) or (node.text or "")
    return f" {text} " if tag == "mo" and re.fullmatch("[=<>≤≥≈≠∈→↦⊂\u223c+−≪≫∝×]", text) else text


def _script(text: str, small: dict[int, int], sign: str) -> str:
    text = text.replace(" ", "")
    if re.fullmatch("′+", text):
        return text
    changed = all(ord(char) in small for char in text)
    return text.translate(small) if changed else f"{sign}{_grouped(text)}"


def _grouped(text: str) -> str:
    text = text.strip()
    return text if re.fullmatch(r"[\w.]*|.", text) else f"({text})"
