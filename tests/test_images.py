"""The stored drawings are what their programs draw."""

from __future__ import annotations

import pytest

from tools import draw_covers, draw_images, draw_openings


@pytest.mark.parametrize("program", [draw_covers, draw_images, draw_openings])
def test_the_stored_drawings_are_up_to_date(program) -> None:
    assert program.main(check=True) == 0


def test_the_lasso_bends_between_its_knots() -> None:
    """Linear in 1/t: halfway between weights 1 and 1/3 is weight 2/3, time 1.5."""
    assert draw_covers._between([(1.0, 0.0), (3.0, 2.0)], 1.5) == pytest.approx(1.0)
    assert draw_covers._between([(1.0, 0.0), (3.0, 2.0)], 0.5) == 0
    assert draw_covers._between([(1.0, 0.0), (3.0, 2.0)], 9.0) == 2
