"""A network that arrives: its gradient, its bookkeeping, and what the stored run must show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlearn_book.reproductions import network_arrival as arrival
from fedlearn_book.reproductions import read
from fedlearn_lib import L1, loss_of, mlp, parameters_of
from fedlearn_lib.theory import Run, descent, relative_error, squared_steps

X, Y = (torch.from_numpy(part) for part in arrival.problem())
MODEL = mlp(16, 8, 10, activation="tanh").double()
ENTROPY, NAMES = loss_of(MODEL), parameters_of(MODEL)


def flat_loss(w: torch.Tensor) -> torch.Tensor:
    """The same risk through the library's model and loss, for autograd."""
    pieces = w.split([old.numel() for old in NAMES.values()])
    own = {name: p.view_as(old) for (name, old), p in zip(NAMES.items(), pieces, strict=True)}
    return ENTROPY(own, (X, Y.argmax(1))) + arrival.DECAY / 2 * w @ w


def test_the_written_gradient_is_that_of_autograd() -> None:
    w = arrival.start_of(1)
    value, slope = arrival.risk(w, *arrival.problem())
    assert w.shape == (226,)
    assert value == pytest.approx(float(flat_loss(torch.from_numpy(w))), rel=1e-12)
    right = torch.func.grad(flat_loss)(torch.from_numpy(w))
    np.testing.assert_allclose(slope, right.numpy(), atol=1e-13)


def test_a_short_run_has_the_values_of_the_library() -> None:
    """Lyapunov function, subgradient, length and needed curvature, from the iterates themselves."""
    steps, x, y = 40, *arrival.problem()
    found = arrival.arrive(0, steps)
    w = arrival.start_of(0)
    gamma = v = np.zeros_like(w)
    rows = [(w, gamma, v)]
    for _ in range(steps):
        pull = (w - gamma) / arrival.NU
        w, v = (
            w - arrival.KAPPA * arrival.LR * (arrival.risk(w, x, y)[1] + pull),
            (v + arrival.LR * pull),
        )
        gamma = arrival.KAPPA * (v - v.clip(-arrival.LAMBDA, arrival.LAMBDA))
        rows.append((w, gamma, v))
    run = Run(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))
    now = {"kappa": arrival.KAPPA, "nu": arrival.NU, "lr": arrival.LR}
    whole = descent(flat_loss, run, L1(arrival.LAMBDA), lip=0.0, **now)
    error, _ = relative_error(flat_loss, run, lip=0.0, **now)
    seen = torch.tensor(found["step"])
    assert found["height"] == pytest.approx(whole.value[seen].tolist(), rel=1e-6)
    assert found["error"] == pytest.approx(error[seen - 1].tolist(), rel=1e-6)
    length = squared_steps(run).sqrt().cumsum(0)
    assert found["length"] == pytest.approx(length[seen - 1].tolist(), rel=1e-6)
    gain = whole.value[:-1] - whole.value[1:] - whole.before - whole.back
    needed = 2 / arrival.LR * (1 / arrival.KAPPA - gain / whole.squared_step)
    assert found["needed"] == pytest.approx(float(needed.max()), rel=1e-5)
    assert found["rises"] == 0
    assert found["support"][-1] == int((run.gamma[-1] != 0).sum())


@pytest.mark.parametrize("seed", arrival.SEEDS)
def test_the_stored_run_arrives_as_theorem_12_12_says(seed: int) -> None:
    """W = Γ and a zero slope at the end, a length that has stopped, and F that never rose."""
    (cell,) = [c for c in read("network_arrival")["cells"] if c["setting"]["seed"] == seed]
    found = cell["result"]
    assert found["step"][-1] == arrival.STEPS
    assert found["rises"] == 0
    assert max(found["slope"][-1], found["gap"][-1]) < 1e-4
    half = np.searchsorted(found["step"], arrival.STEPS / 2)
    assert found["length"][-1] - found["length"][half] < 1e-3 * found["length"][-1]
    assert found["needed"] < found["measured"] < 2 / (arrival.KAPPA * arrival.LR)
    assert (np.diff(found["height"]) <= 1e-9).all()
