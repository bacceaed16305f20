"""Growing goes on with the path: the optimizer's state is carried over to a wider network."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_clients import seeded

from fedlearn_lib import SplitLBI, grow, lenet, penalty_groups, resnet
from fedlearn_lib.structure import carry_state, he_start

OPTIMIZERS = {
    "SplitLBI": lambda model: SplitLBI(
        penalty_groups(model, linear="group"), 0.1, nu=0.7, momentum=0.5, momentum_on="loss"
    ),
    "momentum": lambda model: torch.optim.SGD(model.parameters(), 0.05, momentum=0.9),
    "Adam": lambda model: torch.optim.Adam(model.named_parameters(), 0.01, betas=(0.8, 0.9)),
    "AdamW": lambda model: torch.optim.AdamW([{"params": list(model.parameters()), "lr": 0.3}]),
}


def small() -> nn.Sequential:
    return lenet(widths=(2, 3, 4, 5), seed=0)


def wider(model: nn.Sequential) -> nn.Sequential:
    return grow(grow(model, 3, 2, generator=seeded(1)), 9, 1, generator=seeded(2))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, number: int = 3) -> None:
    x = torch.randn(3, 1, 28, 28, generator=seeded())
    for _ in range(number):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_old_entries_keep_their_state_and_new_ones_start_at_zero(name: str) -> None:
    """Algorithm 13.7, and the same for the optimizers of torch."""
    model = small()
    optimizer = OPTIMIZERS[name](model)
    steps(model, optimizer)
    wide = wider(model)
    new = carry_state(optimizer, model, wide)
    assert type(new) is type(optimizer)
    compared = 0
    for old, p in zip(model.parameters(), wide.parameters(), strict=True):
        assert new.state[p].keys() == optimizer.state[old].keys()
        for key, value in optimizer.state[old].items():
            found = new.state[p][key]
            assert found is not value
            compared += value.ndim > 0
            if value.ndim == 0:  # Adam's number of steps
                assert torch.equal(found, value)
                continue
            assert found.shape == p.shape
            assert torch.equal(found[tuple(slice(n) for n in value.shape)], value)
            assert found.count_nonzero() == value.count_nonzero()
    assert compared >= len(list(model.parameters()))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_are_carried_and_no_step_is_lost(name: str) -> None:
    """A network that does not grow goes on as if nothing had been carried."""
    alone, other = small(), small()
    optimizers = [OPTIMIZERS[name](model) for model in (alone, other)]
    for model, optimizer in zip((alone, other), optimizers, strict=True):
        steps(model, optimizer)
    copy = small()
    copy.load_state_dict(other.state_dict())
    new = carry_state(optimizers[1], other, copy)
    for old, fresh in zip(optimizers[1].param_groups, new.param_groups, strict=True):
        assert {k: v for k, v in old.items() if k != "params"} == {
            k: v for k, v in fresh.items() if k != "params"
        }
    steps(alone, optimizers[0])
    steps(copy, new)
    for a, b in zip(alone.parameters(), copy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_neither_network_nor_optimizer_is_changed() -> None:
    model = small()
    optimizer = OPTIMIZERS["SplitLBI"](model)
    steps(model, optimizer)
    kept = {key: {k: v.clone() for k, v in state.items()} for key, state in optimizer.state.items()}
    wide = wider(model)
    steps(wide, carry_state(optimizer, model, wide))
    for key, state in kept.items():
        for k, v in state.items():
            assert torch.equal(optimizer.state[key][k], v)


def test_an_optimizer_that_has_not_stepped_is_carried_too() -> None:
    model = small()
    new = carry_state(OPTIMIZERS["momentum"](model), model, wider(model))
    assert new.param_groups[0]["momentum"] == 0.9
    assert not new.state


@pytest.mark.parametrize(
    ("model", "wide", "words"),
    [
        (small, lambda model: resnet(width=4), "wide must have the parameters of model"),
        (lambda: wider(small()), lambda model: small(), "wide must be as large as model"),
    ],
)
def test_networks_that_do_not_fit_are_named(model, wide, words: str) -> None:
    model = model()
    with pytest.raises(ValueError, match=words):
        carry_state(OPTIMIZERS["momentum"](model), model, wide(model))


def test_the_optimizer_of_another_network_is_named() -> None:
    model = small()
    with pytest.raises(ValueError, match="optimizer must hold parameters of model"):
        carry_state(OPTIMIZERS["momentum"](small()), model, wider(model))


# ----- a start in which every row begins alike ---------------------------------------------------


def test_a_he_start_has_the_variance_of_he_and_no_biases() -> None:
    """Variance 2/fan in: the mean of n squares is within five deviations, √(2/n) each."""
    model = lenet(seed=3)
    start = he_start(model, seed=1)
    for name, p in start.named_parameters():
        if p.ndim == 1:
            assert p.count_nonzero() == 0
        elif p.numel() > 1000:
            ratio = float(p.detach().square().mean()) * p[0].numel() / 2
            assert abs(ratio - 1) < 5 * (2 / p.numel()) ** 0.5, name


def test_a_he_start_is_a_copy_that_depends_on_the_seed_alone() -> None:
    model, before = lenet(seed=3), lenet(seed=3)
    state = torch.random.get_rng_state()
    one, same, other = he_start(model, 1), he_start(lenet(seed=8), 1), he_start(model, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    for (name, a), b, c, d, e in zip(
        one.named_parameters(), same.parameters(), other.parameters(), model.parameters(),
        before.parameters(), strict=True,
    ):  # fmt: skip
        assert torch.equal(a, b)
        assert torch.equal(d, e), "the argument is changed"
        assert name.endswith("bias") or not torch.equal(a, c)


def test_a_norm_keeps_its_ones() -> None:
    assert bool((he_start(resnet(width=4), 0)[1].weight == 1).all())


def test_lenet_with_other_widths() -> None:
    shapes = [tuple(p.shape) for p in lenet(widths=(2, 3, 4, 5), classes=7).parameters()]
    assert shapes[::2] == [(2, 1, 5, 5), (3, 2, 5, 5), (4, 3, 5, 5), (5, 4), (7, 5)]
    for a, b in zip(lenet().parameters(), lenet(widths=(6, 16, 120, 84)).parameters(), strict=True):
        assert torch.equal(a, b)
    for wrong in ((6, 16, 120), (6, 16, 0, 84), (6.0, 16, 120, 84)):
        with pytest.raises(ValueError, match=r"widths must be four .*, got \("):
            lenet(widths=wrong)


def test_what_is_no_network_and_no_optimizer_is_named() -> None:
    model = small()
    optimizer = OPTIMIZERS["momentum"](model)
    with pytest.raises(ValueError, match="optimizer must be"):
        carry_state({}, model, model)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="model must be an nn"):
        carry_state(optimizer, None, model)
    with pytest.raises(ValueError, match="wide must be an nn"):
        carry_state(optimizer, model, None)
    with pytest.raises(ValueError, match="model must be an nn"):
        he_start({}, 0)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="seed must be an integer"):
        he_start(model, 0.5)
