"""Every checker accepts the answer and takes each listed mistake apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_prerequisites import failures

from fedlearn_book.exercises import EXERCISES, check

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


@pytest.mark.parametrize(
    ("name", "offered"),
    [("qqq", r"\['absorbed bias', .*'client weights'"), (["client weights"], "'client weights'"),
     ("client weigths", r"of \['client weights'\]$")],
)  # fmt: skip
def test_an_unknown_exercise_is_refused(name, offered: str) -> None:
    with pytest.raises(ValueError, match=rf"name must be that of an exercise, got .*{offered}"):
        check(name, lambda: 0)


# ----- answers of another kind -------------------------------------------------------------------

KINDS = [
    ({"w": 1.0}, "a dict"),
    ((torch.ones(2), torch.ones(3)), "a tuple"),
    ([[1.0, 2.0], [3.0]], "a list"),
    (NotImplemented, "NotImplemented"),
    ("Right", "a str"),
    (object(), "an object"),
    (torch.nn.Linear(1, 1), "a Linear"),
    (len, "a builtin_function_or_method"),
    ({0.2, 0.8}, "a set"),
    (torch.ones(2, dtype=torch.complex64), "complex numbers"),
    (1j, "complex numbers"),
    (np.array(["a", "b"]), "a ndarray"),
    (torch.ones(2).to_sparse(), "a sparse tensor"),
]


@pytest.mark.parametrize(("found", "words"), KINDS, ids=[words for _, words in KINDS])
@pytest.mark.parametrize("name", ["client weights", "best delta", "meta gradient"])
def test_an_answer_of_another_kind_gets_a_sentence(name: str, found, words: str, capsys) -> None:
    check(name, lambda *args: found)
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith(f"Not yet. Your function returns {words}; ")
    assert "a tensor of shape" in out or "one number" in out


@pytest.mark.parametrize(
    "convert",
    [lambda t: t, lambda t: t.tolist(), lambda t: tuple(t.tolist()), lambda t: t.numpy(),
     lambda t: t.double(), lambda t: list(t), lambda t: t.clone().requires_grad_()],
)  # fmt: skip
def test_right_numbers_are_right_in_any_container(convert, capsys) -> None:
    check("client weights", lambda n: convert(n / n.sum()))
    assert capsys.readouterr().out.startswith("Right")


def test_an_exception_of_the_attempt_is_its_own() -> None:
    def forgot(n):
        raise NotImplementedError("to do")

    with pytest.raises(NotImplementedError, match="to do"):
        check("client weights", forgot)


@pytest.mark.parametrize("attempt", [None, 3.0, torch.ones(2)])
def test_what_is_no_function_is_refused(attempt) -> None:
    with pytest.raises(ValueError, match="attempt must be your function"):
        check("client weights", attempt)


# ----- for a grader ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXERCISES)
def test_a_grader_gets_true_for_the_answer(name: str, capsys) -> None:
    assert check(name, EXERCISES[name].answer, strict=True) is True
    assert capsys.readouterr().out.startswith(f'Right: "{name}"')


@pytest.mark.parametrize(("name", "words", "wrong"), MISTAKES)
def test_a_grader_gets_an_error_with_the_explanation(name: str, words: str, wrong) -> None:
    with pytest.raises(AssertionError) as refused:
        check(name, wrong, strict=True)
    assert str(refused.value).split() == f"Not yet. {words}".split()


@pytest.mark.parametrize("attempt", [lambda *args: ..., lambda *args: {}, lambda *args: 1e9])
def test_a_grader_gives_no_points_for_anything_else(attempt) -> None:
    for name in EXERCISES:
        with pytest.raises(AssertionError, match="Not yet"):
            check(name, attempt, strict=True)


def test_in_a_notebook_nothing_trails_behind_the_words(capsys) -> None:
    for attempt in (EXERCISES["client weights"].answer, lambda n: n):
        assert check("client weights", attempt) is None


def test_the_example_for_teachers_is_right() -> None:
    page = Path(__file__).parents[1] / "book" / "teaching" / "index.md"
    before = set(EXERCISES)
    failed, tried = failures(page.read_text(encoding="utf-8"))
    for name in set(EXERCISES) - before:
        del EXERCISES[name]
    assert tried >= 5
    assert failed == 0
