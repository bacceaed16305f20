"""The pages on prerequisites print what their examples print."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "book" / "prerequisites").glob("*.md"))


def failures(text: str) -> tuple[int, int]:
    """Run the examples of a page: how many failed, how many there were."""
    text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)  # a fence ends an output
    test = doctest.DocTestParser().get_doctest(text, {}, "page", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    return tuple(runner.run(test))[:2]  # type: ignore[return-value]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_of_a_page_is_right(page: Path) -> None:
    failed, tried = failures(page.read_text(encoding="utf-8"))
    assert tried >= 5
    assert failed == 0


def test_a_wrong_example_is_noticed() -> None:
    assert failures("```python\n>>> 1 + 1\n3\n```\n") == (1, 1)
