"""Code exercises tried in the page: right, a mistake, neither; and the memory of the quiz."""

from __future__ import annotations

import base64
import json
import re
from html import unescape

import torch
from audit import findings
from built import CHAPTERS, SITE, Visit

from fedlearn_book.exercises import EXERCISES

CHAPTER = "notebooks/02_heterogeneity.html"
QUIZ = "notebooks/01_federated_averaging.html"


def typed(value: object) -> str:
    return ", ".join(f"{x:.8g}" for x in torch.as_tensor(value).double().flatten().tolist())


def test_every_code_exercise_can_be_tried_or_says_why_not() -> None:
    for chapter in CHAPTERS:
        page = (SITE / chapter).read_text(encoding="utf-8")
        codes = len(re.findall(r'<section class="exercise code"', page))
        assert page.count('<div class="try-box">') == codes, chapter
        assert page.count("open the chapter in Colab") >= codes


def test_what_the_page_keeps_tells_nothing_in_clear() -> None:
    """Marks of 32 bits, and words that no explanation can be read in."""
    kept = 0
    for chapter in CHAPTERS:
        page = (SITE / chapter).read_text(encoding="utf-8")
        for found in re.findall(r'data-try="([^"]*)"', page):
            data = json.loads(unescape(found))
            assert set(data) == {"salt", "step", "known"}
            name = data["salt"].rpartition("/")[0]
            for one in data["known"]:
                assert set(one) == {"marks", "words"}
                assert all(isinstance(n, int) and 0 <= n < 2**32 for n in one["marks"])
                bare = base64.b64decode(one["words"])
                assert not any(words.encode() == bare for words, _ in EXERCISES[name].mistakes)
            kept += 1
    assert kept > 60


def test_the_browser_judges_as_the_checker_does(visit: Visit) -> None:
    """For each question of a chapter: the answer, each listed mistake, and another number."""
    tab = visit(CHAPTER)
    seen = {True: 0, False: 0}
    for form in tab.locator("form.try").all():
        salt = form.evaluate("(form) => JSON.parse(form.dataset.try).salt")
        name, _, number = salt.rpartition("/")
        exercise = EXERCISES[name]
        case = exercise.cases[int(number)]
        wanted = torch.as_tensor(exercise.answer(*case)).double()

        def say(value: object, form=form) -> str:
            form.locator("input").fill(typed(value))
            form.locator("input").press("Enter")
            return form.locator("output").inner_text()

        assert say(wanted).startswith("Right.")
        step = form.evaluate("(form) => JSON.parse(form.dataset.try).step")
        assert say(wanted + 0.9 * step).startswith("Right.")
        assert "none of the usual mistakes" in say(wanted * 1.17 + 0.3)
        for words, wrong in exercise.mistakes:
            value = torch.as_tensor(wrong(*case)).double()
            if value.shape == wanted.shape and value.isfinite().all():
                told = say(value) == f"Not yet. {words}"
                seen[told] += 1
    assert seen[True] > 2 * seen[False]
    assert seen[True] >= 12


def test_formulas_and_slips_get_a_sentence(visit: Visit) -> None:
    form = visit(CHAPTER).locator("form.try").first  # total variation: 0.6

    def say(text: str) -> str:
        form.locator("input").fill(text)
        form.get_by_role("button", name="Check").click()
        return form.locator("output").inner_text()

    for right in ("0.6", "3/5", "(0.4+0.2+0.2+0.4)/2", "6e-1", "sqrt(0.36)", ".6", "[0.6]"):
        assert say(right).startswith("Right."), right
    assert say("") == "Type a number first."
    assert "asked for, you gave 2" in say("0.6, 0.4")
    assert "“%” is not understood" in say("60 %")
    assert "bracket" in say("(0.6")
    assert "not a finite number" in say("1/0")
    assert "is not understood" in say("alert(1)")


def test_the_boxes_are_accessible_and_fit_a_phone(visit: Visit) -> None:
    for dark, width in ((False, 1280), (True, 390)):
        tab = visit(CHAPTER, dark=dark, width=width)
        form = tab.locator("form.try").first
        form.locator("input").fill("1.2")
        form.locator("input").press("Enter")
        assert form.get_attribute("data-verdict") == "wrong"
        assert findings(tab, ".try-box, .quiz-memory") == []
        assert "answers:" not in tab.evaluate("Object.keys(localStorage).join()")
