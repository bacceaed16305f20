"""What flows through ``run`` is known to the type checker: a looser type fails ``make lint``."""

from __future__ import annotations

from typing import assert_type

import pytest
import torch

from fedlearn_lib import Clients, fedavg, gradient, run
from fedlearn_lib.data import quadratic_clients, quadratic_loss
from fedlearn_lib.federated import OwnState, State, ditto, scaffold
from fedlearn_lib.federated.scaffold import ScaffoldState

ORACLE = gradient(quadratic_loss)
START = {"w": torch.zeros(1)}


@pytest.fixture
def clients() -> Clients:
    return quadratic_clients(torch.ones(2, 1, 1), torch.tensor([[0.0], [4.0]]))


def test_a_run_returns_the_state_of_its_algorithm(clients: Clients) -> None:
    """mypy: whose clients keep nothing returns the server's state, others everybody's own, too."""
    g = torch.Generator().manual_seed(0)
    shared, _ = run(fedavg(ORACLE, lr=0.5), START, clients, rounds=1, steps=1, batch=1, generator=g)
    assert_type(shared, State)
    assert isinstance(shared, State)
    with pytest.raises(AttributeError):
        shared.own  # type: ignore[attr-defined]  # noqa: B018
    both, _ = run(
        ditto(ORACLE, lr=0.5, lam=1.0), START, clients, rounds=1, steps=1, batch=1, generator=g
    )
    assert_type(both, OwnState[State])
    assert isinstance(both.server, State)
    assert both.own["w"].shape == (2, 1)
    corrected, _ = run(
        scaffold(ORACLE, lr=0.5), START, clients, rounds=1, steps=1, batch=1, generator=g
    )
    assert_type(corrected, OwnState[ScaffoldState])
    assert isinstance(corrected.server, ScaffoldState)


def test_a_probe_is_given_that_state(clients: Clients) -> None:
    g = torch.Generator().manual_seed(0)
    with pytest.raises(AttributeError, match="own"):
        run(
            fedavg(ORACLE, lr=0.5), START, clients, rounds=1, steps=1, batch=1, generator=g,
            probe=lambda state: {"own": float(state.own["w"][0])},  # type: ignore[attr-defined]
        )  # fmt: skip
    _, history = run(
        ditto(ORACLE, lr=0.5, lam=1.0), START, clients, rounds=1, steps=1, batch=1, generator=g,
        probe=lambda state: {"own": float(state.own["w"][1])},
    )  # fmt: skip
    assert history.values["own"] == [0.0, 2.0]
