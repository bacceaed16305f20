"""The slides of every chapter, as a browser shows them: all of a slide is on the screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from built import CHAPTERS, SITE, New, listen

from tools import make_slides
from tools.slides.rules import Slide

LEAST = 0.65  # the smallest type: 19 of the slide's 720 pixels
CODE = 18  # and of code
# Goes to every slide and says what of it lies outside the screen, or is smaller than one can read.
# A live figure draws itself a frame after it has come on.
SHOWN = """async ([least, code]) => {
  const found = [], at = (node) => node.getBoundingClientRect();
  const frame = () => new Promise(requestAnimationFrame);
  for (const slide of document.querySelectorAll("section.slide")) {
    const { h, v } = Reveal.getIndices(slide);
    Reveal.slide(h, v, 99);
    if (slide.dataset.kind === "live") await frame().then(frame);
    const article = slide.querySelector("article"), size = Number(article.style.zoom);
    const say = (words) => found.push(`${h}/${v ?? 0} (${slide.dataset.kind}) ${words}`);
    if (at(slide).width !== 1280 || at(slide).height !== 720) say("is not shown");
    if (at(article).top < 20 || at(article).bottom > 700) say("is higher than the screen");
    if (!(size >= least)) say(`is shrunk to ${size}`);
    for (const node of article.querySelectorAll("pre, table, math, .fl-broad, .fl-wide, img")) {
      if (!node.checkVisibility()) continue; // the twin of a plot for the other theme
      const { left, right } = at(node), cut = node.scrollWidth > node.clientWidth + 1;
      if (right > 1262 || left < 18) say(`cuts ${node.localName} at the side`);
      if (node.localName !== "pre") continue;
      if (cut) say("hides a part of a line");
      if (!(parseFloat(getComputedStyle(node).fontSize) * size >= code)) say("has small code");
    }
    if (!article.innerText.trim() && !article.querySelector("img[alt]")) say("says nothing");
  }
  return found;
}"""


def open_deck(new_context: New, path: Path):
    tab = new_context(offline=True, viewport={"width": 1280, "height": 720}).new_page()
    wrong = listen(tab)
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-ready]", state="attached")
    return tab, wrong


def written(chapter: str, folder: Path) -> tuple[Path, list[Slide]]:
    html, made = make_slides.make(SITE / chapter)
    path = folder / "deck.html"
    path.write_text(html, encoding="utf-8")
    return path, made


def lost(chapter: str, made: list[Slide]) -> list[str]:
    """What of a page is on no slide: numbered results, figures, questions."""
    page = (SITE / chapter).read_text(encoding="utf-8")
    told = "".join(one.body for top in made for one in [top, *top.below])
    wanted = re.findall(r'class="result-title">\s*(<strong>[^<]+</strong>)', page)
    wanted += re.findall(r'class="fl-(?:figure|still)[^"]*" (id="[^"]+")', page)
    assert len(wanted) > 5
    wanted += re.findall(r'<div class="quiz[^>]*>\s*<p>(<strong>[^<]+</strong>)', page)
    return [words for words in wanted if words not in told]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_slide_of_a_chapter_is_on_the_screen(
    new_context: New, tmp_path: Path, chapter: str
) -> None:
    path, made = written(chapter, tmp_path)
    assert 25 <= len(made) <= 48
    tab, wrong = open_deck(new_context, path)
    assert tab.evaluate(SHOWN, [LEAST, CODE]) == []
    assert wrong == []
    assert lost(chapter, made) == []
    kinds = [one.kind for one in made]
    assert kinds[0] == "title"
    assert {"section", "result", "list", "predict", "quiz"} <= set(kinds)
    assert any(one.kind == "live" for top in made for one in [top, *top.below])  # perhaps in depth


def test_the_next_step_gives_the_answer_and_a_figure_moves(
    new_context: New, tmp_path: Path
) -> None:
    path, _ = written("notebooks/02_heterogeneity.html", tmp_path)
    tab, wrong = open_deck(new_context, path)
    quiz = tab.locator("section.quiz").first
    h = quiz.evaluate("(slide) => Reveal.getIndices(slide).h")
    tab.evaluate("(h) => Reveal.slide(h, 0, -1)", h)
    assert quiz.locator(".verdict").evaluate("(node) => getComputedStyle(node).opacity") == "0"
    tab.keyboard.press("Space")
    assert quiz.locator(".verdict.visible").count() == 1
    assert (quiz.locator(".verdict").text_content() or "").startswith("Right.")
    assert quiz.locator(".option.right").count() == 1

    live = tab.locator("section.live", has=tab.locator(".fl-hero"))
    tab.evaluate("({ h, v }) => Reveal.slide(h, v)", live.evaluate("(s) => Reveal.getIndices(s)"))
    before = live.locator(".fl-say").inner_text()
    live.locator("input[type=range]").first.press("End")
    assert live.locator(".fl-say").inner_text() != before
    assert tab.evaluate("Reveal.getIndices().h") == live.evaluate("(s) => Reveal.getIndices(s).h")
    assert wrong == []


def test_the_title_leads_to_a_figure_in_depth_and_a_clicker_goes_on_from_there(
    new_context: New, tmp_path: Path
) -> None:
    path, _ = written("notebooks/09_linearized_bregman.html", tmp_path)
    tab, wrong = open_deck(new_context, path)

    def place() -> tuple[int, int]:
        at = tab.evaluate("Reveal.getIndices()")
        return at["h"], at["v"]

    tab.locator("section.title .of a").click()
    tab.locator("section.live.present").wait_for()
    figure, slider = place(), tab.locator("section.live input[type=range]").first
    assert figure[1] > 0
    for key in ("PageDown", "ArrowRight"):
        tab.evaluate("([h, v]) => Reveal.slide(h, v)", figure)
        slider.click()
        moved = slider.input_value()
        tab.keyboard.press(key)
        assert (place(), slider.input_value()) == ((figure[0] + 1, 0), moved)
    tab.evaluate("([h, v]) => Reveal.slide(h, v)", figure)
    slider.focus()
    tab.keyboard.press("ArrowLeft")
    assert place() == figure
    assert slider.input_value() != moved
    tab.keyboard.press("PageDown")
    assert place() == (figure[0] + 1, 0)
    assert wrong == []


def test_a_live_figure_is_measured_after_it_has_drawn_itself(
    new_context: New, tmp_path: Path
) -> None:
    path, _ = written("notebooks/14_parsimonious_personalization.html", tmp_path)
    tab, wrong = open_deck(new_context, path)
    (size,) = tab.evaluate(
        """[...document.querySelectorAll("section.live")].map((slide) => slide.dataset.size)"""
    )
    assert float(size) > 1  # measured by the drawing of another room, it would be 0.885
    assert wrong == []


def test_the_steps_of_an_algorithm_keep_their_numbers(tmp_path: Path) -> None:
    _, made = written("notebooks/04_per_fedavg.html", tmp_path)
    (algorithm,) = [one for one in made if "Algorithm 4.1</strong>" in one.body]
    assert re.findall(r'<ol[^>]* start="(\d+)"', algorithm.body) == ["1", "3"]


def test_the_notes_open_without_a_network(new_context: New, tmp_path: Path) -> None:
    path, made = written("notebooks/01_federated_averaging.html", tmp_path)
    tab, wrong = open_deck(new_context, path)
    with tab.context.expect_page() as opening:
        tab.keyboard.press("s")
    notes = opening.value.locator(".speaker-controls-notes .value")
    notes.filter(has_text="About").wait_for()
    tab.evaluate("Reveal.slide(2)")
    first = BeautifulSoup(made[2].notes[0], "html.parser").get_text()[:40]
    notes.filter(has_text=first).wait_for()
    assert notes.inner_text().startswith("About")
    assert wrong == []
