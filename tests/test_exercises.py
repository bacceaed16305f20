"""Every checker accepts the answer and takes each listed mistake apart."""

from __future__ import annotations

import pytest
import torch

from fedlearn_lib.exercises import EXERCISES, check

MISTAKES = [
    (name, words, wrong)
    for name, exercise in EXERCISES.items()
    for words, wrong in exercise.mistakes
]


@pytest.mark.parametrize("name", EXERCISES)
def test_the_answer_is_accepted(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(name, EXERCISES[name].answer)
    assert capsys.readouterr().out.startswith(f'Right: "{name}"')


@pytest.mark.parametrize(("name", "words", "wrong"), MISTAKES)
def test_a_listed_mistake_gets_its_own_explanation(name: str, words: str, wrong, capsys) -> None:
    check(name, wrong)
    assert capsys.readouterr().out.split() == f"Not yet. {words}".split()


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda *args: ..., "returns nothing"),
        (lambda *args: None, "returns nothing"),
        (lambda *args: torch.zeros(7, 7), "shape"),
        (lambda first, *rest: first.mul_(0), "in place"),
    ],
)
def test_slips_that_are_not_about_the_exercise(name: str, attempt, words: str, capsys) -> None:
    check(name, attempt)
    out = capsys.readouterr().out
    assert out.startswith("Not yet.")
    assert words in out


@pytest.mark.parametrize("name", EXERCISES)
def test_an_unlisted_mistake_shows_both_numbers(name: str, capsys) -> None:
    check(name, lambda *args: EXERCISES[name].answer(*args) * 1.01 + 0.1)
    assert "the answer is" in capsys.readouterr().out


def test_an_unknown_exercise_is_refused() -> None:
    with pytest.raises(ValueError, match="client weights"):
        check("no such exercise", lambda: 0)
