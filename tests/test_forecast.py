"""The forecast of entries: exact in the two limits it names, near for a network that trains."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from toy_clients import seeded

from fedlearn_lib import SplitLBI, penalty_groups, record_path
from fedlearn_lib.sparse import entry_forecast

LR = 1e-3  # the forecast is the limit of small steps


def units(entered: torch.Tensor, penalty: str) -> torch.Tensor:
    return entered.flatten(1).min(1).values if penalty == "group" else entered.flatten()


@pytest.mark.parametrize("penalty", ["l1", "group"])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(("form", "momentum"), [("coupled", 0.0), ("coupled", 0.5), ("loss", 0.9)])
def test_entries_come_when_they_were_forecast(penalty, scaled, held, form, momentum) -> None:
    """A loss that holds every weight, or none at all: the recorded times are the forecast ones."""
    scaled = scaled and penalty == "group"
    sizes = torch.tensor([[0.05], [0.3], [0.8], [1.5], [3.0], [6.0]], dtype=torch.float64)
    w = nn.Parameter(sizes * torch.randn(6, 4, generator=seeded(2), dtype=torch.float64))
    start, options = w.detach().clone(), dict(kappa=0.7, nu=0.5, weight_decay=0.3)
    optimizer = SplitLBI(
        [("w", w)], LR, penalty=penalty, scaled=scaled, momentum=momentum, momentum_on=form,
        **options,
    )  # fmt: skip
    forecast = entry_forecast(optimizer)["w"]
    recorder = record_path(optimizer)
    for _ in range(3000):
        w.grad = torch.zeros_like(w)
        optimizer.step()
        if held:
            with torch.no_grad():
                w.copy_(start)
    found = units(recorder.path().entry_times()["w"], penalty)
    wanted = forecast.held if held else forecast.alone
    wanted = wanted.where(wanted < 2.9, math.inf)
    assert 2 <= int(torch.isfinite(wanted).sum()) < len(wanted) + held
    assert torch.equal(torch.isfinite(found), torch.isfinite(wanted))
    gap = (found - wanted)[torch.isfinite(wanted)].abs()
    # half a step for every entry, and some more for the buffer to fill
    assert float(gap.max()) < (0.02 if held or not momentum else 0.03)
    assert bool((torch.isinf(forecast.alone) == (forecast.norms <= forecast.needed)).all())


def test_a_small_network_enters_between_the_two_limits() -> None:
    """The loss holds every filter in part."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(54, 3))
    x = torch.randn(60, 1, 5, 5, generator=seeded(1))
    y = (x.flatten(1)[:, :3]).argmax(1)
    optimizer = SplitLBI(penalty_groups(model), lr=0.05, kappa=0.3, nu=10.0)
    forecast = entry_forecast(optimizer)
    assert set(forecast) == {"0.weight", "3.weight"}
    recorder = record_path(optimizer)
    for _ in range(1500):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    found = units(recorder.path().entry_times()["0.weight"], "group")
    here = forecast["0.weight"]
    assert bool((found < here.alone).all())  # decay alone would have been slower
    assert bool((found > 0.95 * here.held).all())  # norms may grow a little, too
    assert found.argmin() == here.norms.argmax()


def test_names_are_those_of_the_recorder() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    raw = [{"params": [model[0].weight]}, {"params": [model[0].bias], "penalty": None},
           {"params": [model[1].weight]}]  # fmt: skip
    assert set(entry_forecast(SplitLBI(raw, lr=0.1))) == {
        "group 0, parameter 0", "group 2, parameter 0",
    }  # fmt: skip
    assert entry_forecast(SplitLBI([model[0].bias], lr=0.1, penalty=None)) == {}
