"""Code cells: folded set-up and solutions, anchors for checks, alternative text for images."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from portable.catalog import read_cells
from portable.folds import unbalanced
from portable.labels import slug

logger = logging.getLogger(__name__)

# tag: (what is folded, what the fold is called unless the cell begins "# @title …")
_FOLDED = {
    "solution": ("all", "Solution"),
    "setup": ("all", "Set-up: install what is missing, import, fix the seed"),
    "hide-input": ("input", "Show the code"),
}
_COMMENT = (nodes.paragraph, nodes.math_block, nodes.bullet_list, nodes.enumerated_list)
_TITLE = re.compile(r"^#\s?@title (.+?)(?: \{.*\})?\n")
_CHECK = re.compile(r"^# (Check of \w+ \d+\.\d+)\b(?!, continued)")


class Cells(SphinxTransform):
    """Give code cells what their tags and first lines ask for."""

    default_priority = 210

    def apply(self, **kwargs: Any) -> None:
        for cell in list(self.document.findall(_is_cell)):
            source = next(iter(cell.findall(nodes.literal_block)), None)
            if source is not None:
                self._fold(cell, source)
                self._anchor(cell, source.astext())
            self._images(cell)
            self._comment(cell)
        path = Path(self.env.doc2path(self.env.docname))
        if path.suffix == ".ipynb":
            self._balance(path)

    def _fold(self, cell: nodes.container, source: nodes.literal_block) -> None:
        tags = cell["cell_metadata"].get("tags", [])
        tag = next((tag for tag in _FOLDED if tag in tags), None)
        text = source.astext()
        title = _TITLE.match(text)
        if title:
            source[:] = [nodes.Text(text[title.end() :])]
            source.rawsource = text[title.end() :]
        if tag:
            mode, name = _FOLDED[tag]
            prompt = title.group(1) if title else name
            cell["hide_mode"], cell["prompt_show"], cell["prompt_hide"] = mode, prompt, prompt

    def _comment(self, cell: nodes.container) -> None:
        """Move what is said about a solution into its fold, where it tells nobody the answer."""
        if "solution" in cell["cell_metadata"].get("tags", []):
            rest = cell.parent[cell.parent.index(cell) + 1 :]
            for node in takewhile(lambda node: isinstance(node, _COMMENT), rest):
                cell.parent.remove(node)
                cell.append(node)

    def _anchor(self, cell: nodes.container, text: str) -> None:
        check = _CHECK.match(text)
        if check:
            anchor = slug(check.group(1))
            if anchor in self.document.ids:
                _warn(f"a second cell is called '# {check.group(1)}'", cell)
            cell["ids"].append(anchor)
            anchors = self.env.get_domain("portable").data["anchors"]
            anchors.setdefault(self.env.docname, []).append(anchor)
            self.document.ids[anchor] = cell

    def _images(self, cell: nodes.container) -> None:
        bundles = list(cell.findall(lambda node: node.get("mime_type", "").startswith("image/")
                                    if isinstance(node, nodes.container) else False))  # fmt: skip
        alt = cell["cell_metadata"].get("mystnb", {}).get("image", {}).get("alt")
        if bundles and not alt:
            _warn("the image of this cell needs a text: metadata mystnb.image.alt", cell)

    def _balance(self, path: Path) -> None:
        for number, cell in enumerate(read_cells(path), 1):
            if cell["cell_type"] == "markdown" and unbalanced(cell["source"]):
                logger.warning(
                    f"cell {number}: <details> must open and close in the same cell",
                    location=self.env.docname, type="portable", subtype="details",
                )  # fmt: skip


def _is_cell(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def _warn(message: str, node: nodes.Node) -> None:
    logger.warning(message, location=node, type="portable", subtype="cell")


def setup(app: Sphinx) -> None:
    app.add_transform(Cells)
