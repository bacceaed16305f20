"""Quizzes: a question and its answers in one box; an answer says at once whether it is right."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from portable.folds import bold_start, fold

logger = logging.getLogger(__name__)

_QUESTION = re.compile(r"^Question \d+\.")
_VERDICTS = {"Right.": "right", "Not quite.": "wrong", "No.": "wrong"}


class Quizzes(SphinxTransform):
    """Mark the options as right or wrong and gather them under their questions."""

    default_priority = 205

    def apply(self, **kwargs: Any) -> None:
        for option in self.document.findall(fold):
            if "option" in option["classes"]:
                self._judge(option)
        for paragraph in list(self.document.findall(_is_question)):
            self._gather(paragraph)

    def _judge(self, node: fold) -> None:
        text = " ".join(child.astext() for child in node[1:]).strip()
        verdict = next((kind for word, kind in _VERDICTS.items() if text.startswith(word)), None)
        if verdict is None:
            _warn(
                f"the explanation of option {node[0].astext()[:40]!r} must begin with "
                "'Right.', 'Not quite.' or 'No.'",
                node,
            )
        else:
            node["classes"].append(verdict)

    def _gather(self, paragraph: nodes.paragraph) -> None:
        """Put a question and the options that follow it into one box; one must be right."""
        parent = paragraph.parent
        start = end = parent.index(paragraph) + 1
        while end < len(parent) and not _is_option(parent[end]) and not _ends(parent[end]):
            end += 1
        while end < len(parent) and _is_option(parent[end]):
            end += 1
        members = parent.children[start - 1 : end]
        options = [member for member in members if _is_option(member)]
        if not any("right" in option["classes"] for option in options):
            name = " ".join(paragraph.astext().split()[:2])
            _warn(f"{name} has {len(options)} options and none that is 'Right.'", paragraph)
        box = nodes.container(classes=["quiz"])
        parent[start - 1 : end] = [box]
        box += members


def _is_option(node: nodes.Node) -> bool:
    return isinstance(node, fold) and "option" in node["classes"]


def _ends(node: nodes.Node) -> bool:
    return isinstance(node, nodes.section) or _is_question(node)


def _is_question(node: nodes.Node) -> bool:
    strong = bold_start(node)
    return strong is not None and bool(_QUESTION.match(strong.astext()))


def _warn(message: str, node: nodes.Node) -> None:
    logger.warning(message, location=node, type="portable", subtype="quiz")


def setup(app: Sphinx) -> None:
    app.add_transform(Quizzes)
