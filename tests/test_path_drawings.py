"""The schematics of Part III say what the chapters prove, and can be read on a phone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from fedlearn_book import path_drawings as drawn
from fedlearn_book.widgets import Picture

FIGURES = {
    "plan": lambda: drawn._plan(narrow=True),
    "clocks": lambda: drawn._clocks(4.1),
    "spring": lambda: drawn._spring(narrow=True),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_letter_is_legible_on_a_phone_and_inside(name: str) -> None:
    figure: Figure = FIGURES[name]()
    figure.draw_without_rendering()
    box = figure.bbox.padded(1)
    words = [one for ax in figure.axes for one in [*ax.texts, ax.xaxis.label, ax.yaxis.label]]
    for text in filter(Text.get_text, words):
        assert text.get_fontsize() * 340 / figure.bbox.width * figure.dpi / 72 > 9
        ends = text.get_window_extent()
        assert box.contains(ends.x0, ends.y0), text
        assert box.contains(ends.x1, ends.y1), text


@pytest.mark.parametrize("make", [drawn.plan_of_proof, drawn.two_clocks, drawn.spring])
def test_a_drawing_has_a_caption(make: Callable[[], Picture]) -> None:
    assert "<figcaption>" in make().bundle["text/html"]


def test_the_clocks_stand_where_accounts_reach_the_wall() -> None:
    (ax,) = drawn._clocks(7.4).axes
    full: dict[str, list[float]] = {drawn.IN: [], drawn.OUT: []}
    for line in ax.lines[:6]:
        t, account = map(np.asarray, line.get_data())
        full[line.get_color()] += [t[account >= 1].min()] if account.max() >= 1 else []
    first, second = ax.get_xticks()
    assert max(full[drawn.IN]) == first
    assert abs(min(full[drawn.OUT]) - second) < 0.02


def test_bars_are_the_forces_of_the_puzzle() -> None:
    """Before anything enters, β is at rest: C(β* − β) = β/ν, and the force is β/ν."""
    for nu in (drawn.STIFF, drawn.LOOSE):
        force = drawn.seen(nu)
        scale = np.linalg.solve(drawn.C + np.eye(3) / nu, drawn.C @ [1, 1, 0]).max()
        beta = force * scale
        np.testing.assert_allclose(drawn.C @ ([1, 1, 0] - beta), beta / nu, atol=1e-12)
    assert drawn.seen(drawn.STIFF).argmax() == 2
    assert drawn.seen(drawn.LOOSE)[2] < 0.6


def test_the_plan_names_results_of_the_chapter() -> None:
    assert [where for *_, where in drawn.PLAN] == [
        "Theorem 12.5", "Lemma 12.9", "Definition 12.11", "Theorem 12.12", "Prop. 12.10",
    ]  # fmt: skip
