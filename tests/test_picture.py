"""Figures that stand still: both widths, both themes, a caption; and the drawn federated round."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from fedlearn_book import round_drawing
from fedlearn_book.widgets import picture, shades
from fedlearn_book.widgets.picture import style
from fedlearn_lib import Clients, fedavg, gradient, run
from fedlearn_lib.data import quadratic_clients, quadratic_loss
from fedlearn_lib.viz import COLORS

CHAPTERS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PHONE = 340  # pixels that a phone leaves a figure


def two_panels(width: float = 7.0) -> Figure:
    figure = Figure(figsize=(width, 2.5))
    for ax in figure.subplots(1, 2):
        ax.plot([0, 1], color="#0072B2")
        ax.set_xlabel("step")
    return figure


def shown(**changes: object) -> str:
    asked = {"alt": "Two lines <rise>.", "caption": "Both rise & rise."} | changes
    return picture(two_panels(), **asked).bundle["text/html"]  # type: ignore[arg-type]


def boxes(html: str) -> dict[str, list[int]]:
    """Width and height of the drawings, in tenths of a point."""
    found = re.findall(r'<svg class="(fl-\w+)" role="img"[^>]*viewBox="0 0 (\d+) (\d+)"', html)
    return {name: [int(wide), int(high)] for name, wide, high in found}


def smallest_type(html: str) -> float:
    """Size of the smallest letters of the narrow drawing, in pixels on a phone."""
    slim = html[html.index('class="fl-slim"') : html.index("<figcaption>")]
    points = min(float(size) for size in re.findall(r'data-size="([\d.]+)"', slim))
    return points * 10 * PHONE / boxes(html)["fl-slim"][0]


def test_a_picture_is_drawn_for_both_widths_and_themes_with_its_words() -> None:
    html = shown()
    assert boxes(html) == {"fl-broad": [5040, 1800], "fl-slim": [2952, 3600]}, "panels stacked"
    assert html.count('aria-label="Two lines &lt;rise&gt;."') == html.count('role="img"') == 2
    assert "<figcaption>Both rise &amp; rise.</figcaption></figure>" in html
    key = re.search(r'id="(f[0-9a-f]{6})"', html)
    assert key
    assert f"html[data-theme=dark] #{key[1]}{{" in html
    assert "@figure@" not in html
    assert not re.search(r"<script|https?://", html)
    assert smallest_type(html) >= 9


def test_below_each_other_every_panel_has_its_own_numbers() -> None:
    figure = Figure(figsize=(7, 2.5))
    panels = figure.subplots(1, 2, sharey=True)
    for ax in panels:
        ax.plot([0, 1])
    assert not panels[1].yaxis.get_tick_params()["labelleft"]
    picture(figure, alt="Two lines.", caption="Both rise.")
    assert panels[1].yaxis.get_tick_params()["labelleft"]


def test_two_runs_give_the_same_bytes_and_two_figures_keep_apart() -> None:
    assert shown() == shown()
    first, other = (re.search(r'id="(\w+)"', shown(alt=alt)) for alt in ("One.", "Other."))
    assert first
    assert other
    assert first[1] != other[1]


def test_the_figure_for_a_phone_may_be_another_one() -> None:
    html = shown(narrow=two_panels(4.0))
    assert boxes(html) == {"fl-broad": [5040, 1800], "fl-slim": [2880, 1800]}


BLUE_DOTS: dict[str, object] = {"color": "#0072B2", "marker": "o", "ls": "", "ms": 6, "mew": 1}


def marked(**look: object) -> str:
    """The drawings of three markers without a line, six points wide with an edge of one."""
    figure = Figure(figsize=(3, 2))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, 3), ylim=(0, 2))
    ax.axis("off")
    ax.plot([0.5, 1, 2], [1, 0.5, 1.5], **BLUE_DOTS | look)
    return picture(figure, alt="Dots.", caption="Dots.").bundle["text/html"]


def test_full_dots_are_the_round_ends_of_a_line_that_goes_nowhere() -> None:
    """A few bytes a dot: figures with thousands of them stay drawings."""
    html = marked()
    (look,) = re.findall(r'<path class="(l\d)"[^>]* d="m360 720h0m360 360h0m720-720h0"/>', html)
    assert f".{look}{{fill:none;stroke:var(--c0);stroke-width:70;" in html
    assert "stroke-linecap:round}" in html
    assert "<use" not in html


def test_the_lines_of_a_collection_are_one_path_if_nothing_shines_through() -> None:
    def html(**look: object) -> str:
        figure = Figure(figsize=(3, 2))
        ax = figure.add_axes((0, 0, 1, 1), xlim=(0, 3), ylim=(0, 2))
        ax.axis("off")
        ax.vlines([1, 1, 2], [0, 0.5, 0], [1, 1.5, 1], **look)
        return picture(figure, alt="Lines.", caption="Lines.").bundle["text/html"]

    assert html(colors="#0072B2").count('d="m720 1440l0-720M720 1080l0-720M1440 1440l0-720"') == 1
    for apart in ({"alpha": 0.5}, {"colors": ["#0072B2", "#D55E00", "#0072B2"]}):
        assert html(**apart).count("<path class") == 2 * 3


@pytest.mark.parametrize(
    "look", [{"mfc": "none"}, {"mec": "white"}, {"alpha": 0.5}, {"marker": "s"}], ids=str
)
def test_other_markers_are_drawn_once_and_used(look: dict[str, object]) -> None:
    html = marked(**look)
    assert "h0" not in html
    assert html.count("<use") == 2 * 3


def test_at_night_a_hue_is_seen_and_the_lighter_of_two_blues_is_the_lighter() -> None:
    colors = {name: shades.to_oklab(shades.at_night(c.lower())) for name, c in COLORS.items()}
    assert min(light for light, *_ in colors.values()) > 0.55
    assert colors["lbi"][0] - colors["shared"][0] > 0.1
    for name, (_, a, b) in colors.items():
        turn = np.angle(complex(a, b) / complex(*shades.to_oklab(COLORS[name].lower())[1:]))
        assert abs(turn) < 0.1, f"{name} is called by its hue"


def test_print_gets_an_image_and_the_words_stand_where_there_is_neither() -> None:
    made = picture(two_panels(), alt="Two lines.", caption="Both rise.")
    assert base64.b64decode(made._repr_mimebundle_()["image/png"]).startswith(b"\x89PNG")
    assert made.bundle["text/plain"] == repr(made) == "Two lines."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alt": " "}, "alt is empty"),
        ({"caption": ""}, "caption is empty"),
        ({"narrow": two_panels(5.0)}, "narrow is 5.0 inches wide, at most 4.1"),
        ({"narrow": two_panels(4.0).axes[0]}, "narrow is Axes, a matplotlib Figure is needed"),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        shown(**changes)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_stored_pictures_were_drawn_by_the_library_as_it_is(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [out.get("data", {}) for cell in cells for out in cell.get("outputs", [])]
    for html in ("".join(data.get("text/html", "")) for data in outputs):
        if "fl-still" in html:
            assert f"<style>{style()}</style>" in html, "run this chapter again"
            assert smallest_type(html) >= 9


def test_the_drawn_round_is_a_round_of_the_library() -> None:
    clients = quadratic_clients(torch.tensor(round_drawing.A), torch.tensor(round_drawing.W))
    clients = Clients(clients.x, clients.y, clients.n, torch.tensor(round_drawing.P))
    start = {"w": torch.tensor(round_drawing.START)}
    state, _ = run(
        fedavg(gradient(quadratic_loss), lr=round_drawing.ETA), start, clients, rounds=1,
        steps=round_drawing.TAU, batch=1, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert np.allclose(round_drawing.average(), state.w["w"], atol=1e-12)
    assert smallest_type(round_drawing.federated_round().bundle["text/html"]) >= 9
