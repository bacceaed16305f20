"""The audit of the pages finds what is wrong, also where it judges one text for all of its look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from audit import findings

if TYPE_CHECKING:
    from built import New

FAINT = '<p><span style="color:#bbb">faint</span></p>'
WRONG = {
    "a faint word": ("color-contrast", FAINT),
    "a faint token": ("color-contrast", '<pre tabindex="0"><b style="color:#aaa">import</b></pre>'),
    "a faint formula": ("color-contrast", '<math><mi style="color:#ccc">sin</mi></math>'),
    "ink of the page at night": ("color-contrast", '<p style="background:#222">like all</p>'),
    "a faded part": ("color-contrast", '<div style="opacity:.3"><p>like all</p></div>'),
    "an image without a text": ("image-alt", '<img src="data:,">'),
    "a nameless button": ("button-name", '<button type="button"></button>'),
    "a box that scrolls for the mouse alone": (
        "scrollable-region-focusable",
        '<pre style="width:50px;height:30px;overflow:auto"><b>first line</b><b>second</b></pre>',
    ),
    "cells that no heading names": (
        "td-has-header",
        "<table><tr><td></td><th>here</th><th>there</th></tr>"
        + "<tr><td>bias</td><td>1</td><td>2</td></tr>" * 2
        + "</table>",
    ),
    "a name that one cannot say": (
        "label-content-name-mismatch",
        '<button type="button" aria-label="Other">Search</button>',
    ),
}


@pytest.fixture
def judge(new_context: New):
    def judged(body: str, parts: str | None = None) -> set[str]:
        tab = new_context(offline=True).new_page()
        same = "<p>A text.</p>" * 5
        tab.set_content(
            f'<!doctype html><html lang="en"><title>Page</title><body style="background:#fff">'
            f"<main><h1>Page</h1>{same}<div id=part>{body}</div>{same}</main></body></html>"
        )
        return {rule for rule, _ in findings(tab, parts)}

    return judged


@pytest.mark.parametrize("name", WRONG)
def test_the_audit_finds(judge, name: str) -> None:
    rule, body = WRONG[name]
    assert judge(body) == judge(body, "#part") == {rule}


def test_the_audit_finds_nothing_where_nothing_is_wrong(judge) -> None:
    assert judge("<p>A text.</p>") == judge(FAINT, "h1") == set()
