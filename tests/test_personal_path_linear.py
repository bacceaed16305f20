"""The linear worlds of the path of personalization: every baseline solves the problem it names."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor
from toy_clients import seeded

from fedlearn_book.reproductions import personal_path
from fedlearn_book.reproductions import personal_path_linear as linear
from fedlearn_book.reproductions.personal_path_linear import Fits, Side


def clients(m: int = 4, n: int = 12, d: int = 5, seed: int = 0) -> Side:
    g = seeded(seed)
    x = torch.randn(m, n, d, generator=g, dtype=torch.float64)
    u = 1 + torch.randn(m, d, generator=g, dtype=torch.float64)
    noise = torch.randn(m, n, generator=g, dtype=torch.float64)
    return Side(x, (x @ u[..., None])[..., 0] + noise)


def slopes(side: Side, u: Tensor) -> Tensor:
    """The gradients of the clients' losses at u [m d], by autograd."""
    u = u.clone().requires_grad_()
    loss = ((side.x @ u[..., None])[..., 0] - side.y).square().mean(1).sum() / 2
    return torch.autograd.grad(loss, u)[0]


def test_fine_tuning_is_so_many_gradient_steps() -> None:
    side = clients()
    fits = linear.METHODS["FedAvg + ft"](side)
    w = linear.pooled(side)
    assert slopes(side, w.expand(4, 5)).mean(0).abs().max() < 1e-12
    u = w.expand(4, 5)
    for k in range(4):
        torch.testing.assert_close(fits.u[k], u, rtol=0, atol=1e-12)
        assert fits.setting[k] == k
        u = u - linear.STEP * slopes(side, u)


def test_fine_tuning_knows_directions_that_a_client_has_no_data_of() -> None:
    side, w = clients(n=3), torch.ones(5, dtype=torch.float64)
    u = w.expand(4, 5)
    for _ in range(2):
        u = u - linear.STEP * slopes(side, u)
    fits = linear.filtered(side, w, linear.descent, (2,))
    torch.testing.assert_close(fits.u[0], u, rtol=0, atol=1e-12)


def test_the_springs_are_at_rest() -> None:
    """Ditto around the pooled model; the joint ridge around a model that is at rest as well."""
    side = clients()
    ditto, joint = linear.METHODS["Ditto"](side), linear.joint_ridge(side)
    for fits in (ditto, joint):
        pull = fits.setting[:, None, None] * (fits.u - fits.w[:, None])
        slope = torch.stack([slopes(side, u) for u in fits.u])
        assert (slope + pull).abs().max() < 1e-9
    assert slope.mean(1).abs().max() < 1e-9  # of the joint ridge: w is free
    assert torch.equal(ditto.w[0], linear.pooled(side))
    torch.testing.assert_close(joint.w[-1], ditto.w[-1], rtol=0, atol=1e-2)  # λ → ∞
    home = linear.METHODS["local"](side).u[0]
    assert slopes(side, home).abs().max() < 1e-9


def test_the_lasso_is_optimal_and_its_refit_fits() -> None:
    side = clients()
    fits, again = linear.lasso(side), linear.lasso(side, refit=True)
    for k in range(10, len(linear.LAMBDAS), 5):
        lam, delta = fits.setting[k], fits.u[k] - fits.w[k]
        slope = slopes(side, fits.u[k])
        inside = delta.abs() > 1e-10
        assert slope.mean(0).abs().max() < 1e-9
        assert slope.abs().max() <= lam * (1 + 1e-3)
        assert ((slope + lam * delta.sign())[inside].abs() < 1e-2 * lam).all()
        refit = slopes(side, again.u[k])
        assert refit.mean(0).abs().max() < 1e-9
        assert (refit[inside].abs() < 1e-9).all()
        assert ((again.u[k] - again.w[k])[~inside].abs() < 1e-9).all()
    assert inside.sum() == 0, "the largest λ leaves nobody a number of its own"
    assert fits.u[10].sub(fits.w[10]).abs().gt(1e-10).sum() > 5


def test_the_path_goes_from_the_pooled_model_to_everybodys_own() -> None:
    side = clients(m=5)
    fits = linear.path(side)
    torch.testing.assert_close(fits.u[0], linear.pooled(side).expand(5, 5), rtol=0, atol=1e-9)
    assert slopes(side, fits.u[-1]).abs().max() < 1e-9


@pytest.mark.parametrize("adapt", [linear.own_path, linear.own_lasso])
@pytest.mark.parametrize("n", [3, 12])
def test_a_new_client_goes_from_the_start_to_its_own_data(adapt, n: int) -> None:
    side, w = clients(n=n), torch.ones(5, dtype=torch.float64)
    fits = adapt(side, w)
    ends = (fits.u[0], fits.u[-1]) if adapt is linear.own_path else (fits.u[-1], fits.u[0])
    assert torch.equal(ends[0], w.expand(4, 5))
    tolerance = 1e-9 if adapt is linear.own_path else 5 * linear.LAMBDAS[0]
    assert slopes(side, ends[1]).abs().max() < tolerance
    assert torch.equal(fits.w, w.expand(len(fits.setting), 5))


def test_a_choice_is_made_on_held_samples_and_never_of_a_model_that_died() -> None:
    side = clients()
    home, other = linear.METHODS["local"](side).u[0], torch.zeros(4, 5, dtype=torch.float64)
    u = torch.stack([other * torch.nan, other, home])
    fits = Fits(torch.arange(3.0), u[:, 0], u)
    assert linear.choose(fits, side) == 2
    assert linear.edge("a", 2, fits) == ["a: 2"]
    assert linear.edge("a", 0, Fits(fits.setting[:1], fits.w[:1], fits.u[:1])) == []


def test_new_clients_choose_by_others_and_nobodys_truth_is_seen() -> None:
    """The same draw with another truth for the score alone: same choices, other scores."""
    g, w = seeded(1), torch.zeros(linear.FEATURES, dtype=torch.float64)
    drawn = linear.draw("few", w, 6, 4, 3, g)
    assert drawn.learn.x.shape == (6, 4, linear.FEATURES)
    assert drawn.held.y.shape == (6, 3)
    rest = drawn.learn.y - (drawn.learn.x @ drawn.u[..., None])[..., 0]
    assert 0.5 < rest.std() < 1.6
    for world in linear.WORLDS:
        many = linear.deviations(world, 4000, seeded(2)).square().sum(1).mean()
        assert float(many) == pytest.approx(8, rel=0.1), world


def test_first_numbers_are_counted() -> None:
    """Three clients without noise, one number of the second apart: it is found first."""
    x = torch.randn(3, 40, 4, generator=seeded(3), dtype=torch.float64)
    u = torch.zeros(3, 4, dtype=torch.float64)
    u[1, 1] = 3.0
    side = Side(x, (x @ u[..., None])[..., 0])
    assert linear.found_first(side, u != 0)["found"] == 1
    assert linear.found_first(side, u == 3)["of"] == 1
    assert linear.found_first(side, (u == 0) & (torch.arange(4) != 1))["before false"] == 0


def test_the_run_end_to_end_on_a_toy(monkeypatch, tmp_path) -> None:
    for name, value in {
        "CLIENTS": 5, "FEATURES": 4, "SAMPLES": 8, "HELD": 4, "ARRIVE": 3, "SIZES": (3, 5),
        "LAMBDAS": linear.LAMBDAS[10::10], "TIMES": linear.TIMES[10::10], "STEPS": (0, 3, 30),
    }.items():  # fmt: skip
        monkeypatch.setattr(linear, name, value)
    plan = personal_path.PLANS["personal_path_linear"]
    plan = plan._replace(cells=personal_path.crossed(tuple(linear.WORLDS), 2))
    monkeypatch.setitem(personal_path.PLANS, "personal_path_linear", plan)
    personal_path.main("personal_path_linear", folder=tmp_path)
    record = json.loads((tmp_path / "personal_path_linear.json").read_text())
    assert len(record["cells"]) == 6
    rows = {(row[0], row[1]): row[2:] for row in record["table"]["rows"]}
    assert len(rows) == 3 * len(linear.METHODS | linear.NEW)
    one = [cell["result"] for cell in record["cells"] if cell["setting"]["world"] == "few"]
    mean = sum(cell["known"]["Ditto"]["excess"] for cell in one) / 2
    gap = mean - sum(cell["known"]["path"]["excess"] for cell in one) / 2
    row = rows[linear.WORLDS["few"], "Ditto"]
    assert row[0].startswith(f"{mean:.3f} ± ")
    assert row[1].startswith(f"{gap:+.3f} ± ")
    late = sum(cell["new"]["Ditto"][1] for cell in one) / 2
    assert row[5].startswith(f"{late:.2f} ± ")
    assert rows[linear.WORLDS["few"], "path, then LASSO"][:4] == ["–"] * 4


def test_the_servers_median_stands_where_the_middle_gradient_is_zero() -> None:
    side = clients(m=6, n=40)
    w = linear.median_of_slopes(side)
    middle = slopes(side, w.expand(6, 5)).quantile(0.5, dim=0)
    assert middle.abs().max() < 2e-3
    assert (w - linear.pooled(side)).norm() > 0.02, "and that is not where their mean is zero"


def test_only_the_first_clients_are_wrong() -> None:
    side = clients()
    for sign in (0.0, -1.0):
        spoiled = linear.spoiled(side, 2, sign, seeded())
        assert torch.equal(spoiled.y[2:], side.y[2:])
        assert torch.equal(spoiled.x, side.x)
        assert not torch.equal(spoiled.y[:2], side.y[:2])
        assert torch.equal(spoiled.y[:2].abs().sort(1).values, side.y[:2].abs().sort(1).values)
    assert torch.equal(spoiled.y[:2], -side.y[:2])


def test_wrong_clients_end_to_end_on_a_toy(monkeypatch, tmp_path) -> None:
    for name, value in {
        "CLIENTS": 5, "FEATURES": 4, "SAMPLES": 30, "HELD": 6,
        "LAMBDAS": linear.LAMBDAS[10::10], "TIMES": linear.TIMES[10::10],
    }.items():  # fmt: skip
        monkeypatch.setattr(linear, name, value)
    name = "personal_path_corrupted_linear"
    plan = personal_path.PLANS[name]
    cells = personal_path.crossed(tuple(linear.WRONG), 2)
    monkeypatch.setitem(personal_path.PLANS, name, plan._replace(cells=cells))
    personal_path.main(name, folder=tmp_path)
    record = json.loads((tmp_path / f"{name}.json").read_text())
    rows = {(row[0], row[1]): row[2:] for row in record["table"]["rows"]}
    assert len(rows) == len(linear.WRONG) * (1 + len(linear.SHARED))
    one = [c["result"]["w"] for c in record["cells"] if c["setting"]["world"] == "opposite, 40 %"]
    mean = sum(cell["FedAvg"] for cell in one) / 2
    assert rows["opposite, 40 %", "FedAvg"][0].startswith(f"{mean:.3f} ± ")
    assert mean > 10 * sum(cell["FedAvg, honest clients"] for cell in one) / 2
