"""Punctuation stays with the formula it follows: no line begins with a lonely full stop."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_PUNCTUATION = re.compile(r"[.,;:!?)\]’”]+|-\w+")


class KeepPunctuation(SphinxTransform):
    """Set an inline formula and the punctuation after it in one box that does not break."""

    default_priority = 800

    def apply(self, **kwargs: Any) -> None:
        for formula in list(self.document.findall(nodes.math)):
            follower = formula.next_node(descend=False, siblings=True)
            if not isinstance(follower, nodes.Text):
                continue
            mark = _PUNCTUATION.match(follower.astext())
            if mark is None:
                continue
            parent = formula.parent
            rest = nodes.Text(follower.astext()[mark.end() :])
            parent.replace(follower, rest)
            box = nodes.inline("", "", classes=["unbroken"])
            parent.replace(formula, box)
            box += [formula, nodes.Text(mark.group())]


def setup(app: Sphinx) -> None:
    app.add_transform(KeepPunctuation)
