"""The drawing of a meta-step shows what the library computes, wide and on a phone."""

from __future__ import annotations

import re
from html import escape

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from fedlearn_book import meta_step_drawing as meta_step
from fedlearn_lib import adapt, maml_gradient

A = torch.tensor(meta_step.CURVATURE)
W = {"w": torch.tensor(meta_step.START)}


def loss(w: dict, batch: object) -> torch.Tensor:
    return 0.5 * w["w"] @ A @ w["w"]


@pytest.mark.parametrize("mode", ["exact", "fo"])
def test_the_arrows_are_the_library_s_steps(mode: str) -> None:
    step = maml_gradient(loss, meta_step.ALPHA, mode)(W, (None,) * 3)["w"]
    shown = meta_step.arrows()[mode]
    np.testing.assert_allclose(shown, W["w"] - meta_step.BETA * step, atol=1e-12)


def test_the_hollow_point_is_the_adapted_model() -> None:
    adapted = adapt(loss, W, None, meta_step.ALPHA)["w"]
    np.testing.assert_allclose(meta_step.arrows()["adapted"], adapted, atol=1e-12)


@pytest.mark.parametrize("narrow", [False, True])
def test_every_letter_is_legible_and_inside(narrow: bool) -> None:
    figure = meta_step.draw(narrow=narrow)
    figure.canvas.draw()
    box = figure.bbox.padded(1)
    pixels = 340 if narrow else 520  # what a phone, or the narrowest page with the wide one, leaves
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_text():
            assert text.get_fontsize() * pixels / figure.bbox.width * figure.dpi / 72 > 9
            ends = text.get_window_extent()
            assert box.contains(ends.x0, ends.y0), text
            assert box.contains(ends.x1, ends.y1), text


def test_the_page_gets_two_drawings_with_a_name_and_a_caption() -> None:
    bundle = meta_step.meta_step().bundle
    html = bundle["text/html"]
    assert re.findall(r'<svg class="fl-(\w+)" role="img"', html) == ["broad", "slim"]
    assert html.count(f'aria-label="{escape(meta_step.ALT)}"') == 2
    assert f"<figcaption>{meta_step.CAPTION}</figcaption>" in html
    assert html == meta_step.meta_step().bundle["text/html"]
    assert bundle["image/png"]
