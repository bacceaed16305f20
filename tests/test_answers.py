"""Every answer agrees with something that does not know it: see the ties beside this file."""

from __future__ import annotations

import pytest
import ties_federated  # noqa: F401  (registers its ties)
import ties_sparse  # noqa: F401
import torch
from ties import TIES
from toy_clients import seeded

from fedlearn_book.exercises import EXERCISES

FRESH = 5  # random cases beside those of the checker


def as_numbers(value) -> torch.Tensor:
    values = [torch.as_tensor(v) for v in value] if isinstance(value, list) else value
    stacked = torch.stack(values) if isinstance(values, list) else torch.as_tensor(values)
    return stacked.detach().double()


def assert_tied(name: str, case: tuple) -> None:
    tie = TIES[name]
    left, right = tie.equal(torch.as_tensor(EXERCISES[name].answer(*case)), *case)
    left, right = as_numbers(left), as_numbers(right)
    torch.testing.assert_close(left, right, rtol=tie.tolerance, atol=tie.tolerance)


def test_every_answer_is_tied_and_every_tie_has_its_answer() -> None:
    assert set(TIES) == set(EXERCISES)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_answer_is_right_on_the_cases_of_its_checker(name: str) -> None:
    for case in EXERCISES[name].cases:
        assert_tied(name, case)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_answer_is_right_on_problems_that_nobody_chose(name: str) -> None:
    generator = seeded(13)
    for _ in range(FRESH):
        assert_tied(name, TIES[name].fresh(generator))
