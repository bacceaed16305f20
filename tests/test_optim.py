"""SplitLBI keeps the contract of torch.optim, and its steps are the recursion of the book."""

from __future__ import annotations

import copy
import inspect
import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from toy_clients import seeded

from fedlearn_lib import SplitLBI, lenet, penalty_groups, project, record_path
from fedlearn_lib.sparse import optim, split_lbi
from fedlearn_lib.sparse.groups import named
from fedlearn_lib.sparse.optim import PIECE
from fedlearn_lib.sparse.options import DEFAULTS, PENALTIES

KAPPA, NU, LR = 1.7, 0.6, 0.3
FORMS = ["coupled", "loss"]


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """A convolution and a linear layer, deterministic, small enough to follow by hand."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3)).to(dtype)


def batch(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(8, 1, 5, 5, generator=seeded(1), dtype=dtype)
    return x, torch.arange(8) % 3


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    x, y = batch(next(model.parameters()).dtype)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def largest_gap(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


# What it computes


@pytest.mark.parametrize(
    ("form", "momentum", "decay"),
    [("coupled", 0.0, 0.1), ("coupled", 0.9, 0.0), ("coupled", 0.8, 0.05),
     ("loss", 0.0, 0.1), ("loss", 0.9, 0.0)],
)  # fmt: skip
def test_without_a_penalty_it_is_sgd_with_step_kappa_lr(form, momentum, decay) -> None:
    ours, theirs = network(), network()
    options = dict(momentum=momentum, weight_decay=decay)
    train(ours, SplitLBI(ours.parameters(), LR, kappa=KAPPA, penalty=None, momentum_on=form,
                         **options), 12)  # fmt: skip
    train(theirs, torch.optim.SGD(theirs.parameters(), lr=KAPPA * LR, **options), 12)
    assert largest_gap(ours, theirs) < 1e-14  # the same operations up to their order


def soft(v: np.ndarray, penalty: str, scaled: bool) -> np.ndarray:
    """The prox in NumPy, entry by entry or row by row, from its case distinction."""
    if penalty == "l1":
        return np.where(v > 1, v - 1, np.where(v < -1, v + 1, 0.0))
    out = np.zeros_like(v)
    threshold = np.sqrt(v[0].size) if scaled else 1.0
    for g in range(len(v)):
        norm = np.sqrt((v[g] ** 2).sum())
        if norm > threshold:
            out[g] = (norm - threshold) / norm * v[g]
    return out


def by_numpy(w, grads, penalty, scaled, momentum, form, decay, lrs):
    """The recursion as the book writes it: new names for new iterates, old ones stay old."""
    v, gamma, b = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for g, lr in zip(grads, lrs, strict=True):
        spring = (w - gamma) / NU + decay * w
        if form == "coupled":
            b = momentum * b + (g + spring)
            direction = b
        else:
            b = momentum * b + g
            direction = b + spring
        w_new = w - KAPPA * lr * direction
        v_new = v + lr / NU * (w - gamma)
        w, v, gamma = w_new, v_new, KAPPA * soft(v_new, penalty, scaled)
    return w, v, gamma


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("penalty", ["l1", "group"])
@settings(deadline=None)  # a busy machine is no mistake
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.9]), st.sampled_from(FORMS),
       st.sampled_from([0.0, 0.2]))  # fmt: skip
def test_it_is_the_recursion_written_in_numpy(penalty, scaled, seed, momentum, form, decay) -> None:
    """Both updates use the old iterates, the copy is κ Prox(V), and the time is the sum of lr."""
    rng = np.random.default_rng(seed)
    w0, lrs = 4 * rng.normal(size=(5, 2, 3)), [LR, LR / 2] * 6
    grads = [2 * rng.normal(size=w0.shape) for _ in lrs]
    w, v, gamma = by_numpy(w0, grads, penalty, scaled, momentum, form, decay, lrs)
    p = nn.Parameter(torch.tensor(w0))
    optimizer = SplitLBI(
        [p], LR, kappa=KAPPA, nu=NU, penalty=penalty, scaled=scaled, momentum=momentum,
        momentum_on=form, weight_decay=decay,
    )  # fmt: skip
    for g, lr in zip(grads, lrs, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        p.grad = torch.tensor(g)
        optimizer.step()
    tight = dict(rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(p.detach().numpy(), w, **tight)
    np.testing.assert_allclose(optimizer.state[p]["dual"].numpy(), v, **tight)
    np.testing.assert_allclose(optimizer.gamma(p).numpy(), gamma, **tight)
    rows = (gamma != 0).reshape(5, -1).any(1)
    inside = gamma != 0 if penalty == "l1" else np.broadcast_to(rows[:, None, None], w.shape)
    assert (optimizer.support(p).numpy() == inside).all()
    assert float(optimizer.param_groups[0]["time"]) == pytest.approx(sum(lrs), rel=1e-14)


def test_the_support_is_that_of_the_copy_and_not_of_the_weights() -> None:
    p = nn.Parameter(torch.tensor([5.0, -5.0, 0.0]))
    optimizer = SplitLBI([p], 1.0, nu=1.0)
    assert not optimizer.support(p).any()  # before the first step nothing is in
    p.grad = torch.zeros(3)
    optimizer.step()
    assert optimizer.support(p).tolist() == [True, True, False]
    with torch.no_grad():
        p.zero_()  # the weights vanish, the copy remains
    assert optimizer.support(p).tolist() == [True, True, False]
    assert optimizer.gamma(p).tolist() == [4.0, -4.0, 0.0]


def test_large_tensors_are_cut_without_a_trace() -> None:
    """A tensor of several pieces, one whose rows are longer than a piece, and strange strides."""
    shapes = [(70, PIECE // 64), (3, PIECE + 5), (2 * PIECE + 7,), (40, 64, 5, 5)]
    for shape in shapes:
        for penalty in ("l1", "group")[: 2 if len(shape) > 1 else 1]:
            big = 2 * torch.randn(shape, generator=seeded(2), dtype=torch.float64)
            slope = torch.randn(shape, generator=seeded(3), dtype=torch.float64)
            form = torch.channels_last if len(shape) == 4 else torch.contiguous_format
            whole = nn.Parameter(
                big.clone(memory_format=torch.contiguous_format).to(memory_format=form)
            )
            rows = [nn.Parameter(row.clone()[None]) for row in big]
            rows = rows if len(shape) > 1 else [nn.Parameter(big[:50].clone())]
            slopes = [row[None] for row in slope] if len(shape) > 1 else [slope[:50]]
            options = dict(kappa=KAPPA, nu=NU, penalty=penalty, momentum=0.5)
            one, many = SplitLBI([whole], 1.0, **options), SplitLBI(rows, 1.0, **options)
            for _ in range(3):
                whole.grad = slope.to(memory_format=form)
                for p, g in zip(rows, slopes, strict=True):
                    p.grad = g.clone()
                one.step()
                many.step()
            again = torch.cat(list(rows)).detach()
            assert float((whole.detach()[: len(again)] - again).abs().max()) < 1e-12
            assert bool(one.support(whole).any())


#: "meta" is a device without numbers: it shows that nothing is tied to the CPU, on any machine.
DEVICES = ["meta"] + [
    pytest.param(name, marks=pytest.mark.skipif(not there, reason=f"no {name} here"))
    for name, there in (
        ("cuda", torch.cuda.is_available()),
        ("mps", torch.backends.mps.is_available()),
    )
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_it_works_where_the_parameters_are(monkeypatch, device, form, penalty) -> None:
    """State, copies and records are made there, and only a processor's tensors are cut."""
    seen = []
    whole = optim.shrink

    def watched(v, *options):
        seen.append(len(v))
        return whole(v, *options)

    monkeypatch.setattr(optim, "shrink", watched)
    w = nn.Parameter(torch.ones(70, PIECE // 64, device=device))
    options = dict(momentum=0.9, momentum_on=form, weight_decay=0.1)
    optimizer = SplitLBI([("w", w)], 0.5, nu=0.1, penalty=penalty, **options)
    recorder = record_path(optimizer) if penalty else None
    for _ in range(3):
        w.grad = torch.zeros_like(w)
        optimizer.step()
    assert {value.device.type for value in optimizer.state[w].values()} == {device}
    assert float(optimizer.param_groups[0]["time"]) == 1.5
    assert optimizer.support(w).device.type == device
    if penalty:
        assert set(seen) == {70}
        assert optimizer.gamma(w).device.type == device
        path = recorder.path()
        assert path.gamma["w"].shape == (3, *w.shape)
        assert path.gamma["w"].device.type == device
        assert path.t.tolist() == [0.5, 1.0, 1.5]
        if device != "meta":
            assert path.entry_times()["w"].min() == 0.5


# How it behaves as an optimizer


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_saved_state_continues_the_same_run(momentum) -> None:
    straight, first = network(), network()
    options = dict(lr=LR, kappa=KAPPA, nu=NU, momentum=momentum)
    train(straight, SplitLBI(penalty_groups(straight), **options), 10)
    optimizer = SplitLBI(penalty_groups(first), **options)
    train(first, optimizer, 4)
    file = io.BytesIO()
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    stored = torch.load(file, weights_only=True)
    second = network()
    restored = SplitLBI(penalty_groups(second), lr=99.0)
    second.load_state_dict(stored["model"])
    restored.load_state_dict(stored["optimizer"])
    train(second, restored, 6)
    assert largest_gap(straight, second) == 0.0
    assert float(restored.param_groups[0]["time"]) == pytest.approx(10 * LR, rel=1e-14)


def test_state_is_made_when_it_is_needed_and_gradients_are_left_alone() -> None:
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = SplitLBI([a, b], LR, momentum=0.9, weight_decay=0.1)
    assert not optimizer.state
    a.grad = torch.tensor([1.0, 2.0])
    optimizer.step()
    assert set(optimizer.state[a]) == {"dual", "momentum_buffer"}
    assert b not in optimizer.state
    assert b.tolist() == [1.0, 1.0]
    assert a.grad.tolist() == [1.0, 2.0]


def test_a_scheduler_sets_the_steps_and_the_time_is_their_sum() -> None:
    model = network()
    optimizer = SplitLBI(penalty_groups(model), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    for _ in range(5):
        train(model, optimizer, 1)
        schedule.step()
    times = [float(group["time"]) for group in optimizer.param_groups]
    assert times == [1 + 1 + 0.5 + 0.5 + 0.25] * 3


def test_a_closure_is_called_once_with_gradients_and_its_loss_is_returned(capsys) -> None:
    model, calls = network(), []
    x, y = batch()
    optimizer = SplitLBI(model.parameters(), LR)

    def closure():
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    before = copy.deepcopy(model)
    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert float(loss.detach()) == float(nn.functional.cross_entropy(before(x), y).detach())
    assert optimizer.step() is None
    assert capsys.readouterr().out == ""


def test_groups_may_differ_in_everything() -> None:
    a, b = (nn.Parameter(torch.full((1, 4), 3.0, dtype=torch.float64)) for _ in range(2))
    groups = [
        {"params": [a], "penalty": "group", "nu": 1.0, "kappa": 2.0},
        {"params": [b], "penalty": None, "lr": 0.25},
    ]
    optimizer = SplitLBI(groups, lr=0.5, weight_decay=1.0)
    a.grad, b.grad = torch.zeros_like(a), torch.zeros_like(b)
    optimizer.step()
    assert torch.equal(a.detach(), torch.full_like(a, 3 - 2 * 0.5 * (3 + 3)))
    assert torch.equal(b.detach(), torch.full_like(b, 3 - 0.25 * 3))
    assert [float(group["time"]) for group in optimizer.param_groups] == [0.5, 0.25]
    assert optimizer.support(b).all()
    assert optimizer.gamma(a).norm() == pytest.approx(2 * (3 - 1))  # V has norm 3: κ (3 - 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(lr=-1.0), "lr must be a finite number of at least 0, got -1.0"),
        (dict(lr=float("inf")), "lr must be a finite number of at least 0, got inf"),
        (dict(kappa=0.0), "kappa must be a positive finite number, got 0.0"),
        (dict(nu=float("nan")), "nu must be a positive finite number, got nan"),
        (dict(penalty="L1"), "penalty must be one of .* got 'L1'"),
        (dict(momentum=1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (dict(momentum_on="all"), "momentum_on must be one of .* got 'all'"),
        (dict(weight_decay=-0.1), "weight_decay must be a finite number of at least 0, got -0.1"),
        (dict(penalty="group"), r"two or more dimensions.*'0.bias'.*shape \(4,\)"),
    ],
)
def test_what_cannot_be_is_refused_at_construction(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        SplitLBI(network().named_parameters(), **{"lr": 0.1, **options})


def test_a_misfit_names_its_tensor_also_in_a_group_that_is_added_later() -> None:
    model = network()
    optimizer = SplitLBI([{"params": [model[0].weight], "penalty": "group"}], lr=0.1)
    with pytest.raises(ValueError, match="parameter 1"):
        optimizer.add_param_group({"params": [model[3].weight, model[3].bias], "penalty": "group"})
    with pytest.raises(ValueError, match="nu must be"):
        optimizer.add_param_group({"params": [model[3].weight], "nu": -1.0})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match="real floats"):
        SplitLBI([nn.Parameter(torch.ones(2, dtype=torch.complex64))], lr=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": []}, "params must be a list of tensors"),
        ({"grads": []}, "grads must be a list of tensors, one for each of params"),
        ({"grads": [torch.ones(3)]}, r"grads\[0\] must be .* in the shape of params\[0\]"),
        ({"duals": [None]}, r"duals\[0\] must be a dense tensor"),
        ({"buffers": [None], "momentum": 0.5}, r"buffers\[0\] must be a dense tensor"),
        ({"kappa": float("nan")}, "kappa must be a number, got nan"),
        ({"penalty": "L1"}, "penalty must be one of"),
        ({"scaled": 1}, "scaled must be True or False, got 1"),
        ({"penalty": "group"}, r"two or more dimensions.*'params\[0\]'"),
    ],
)
def test_a_step_on_lists_is_refused_before_anything_moves(change, message) -> None:
    w, v = torch.ones(2), torch.ones(2)
    good = {"params": [w], "grads": [torch.ones(2)], "duals": [v], "buffers": [None],
            "lr": 0.1, "kappa": 1.0, "nu": 1.0, "penalty": "l1"}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        split_lbi(**(good | change))
    assert w.tolist() == v.tolist() == [1.0, 1.0]


def test_what_makes_no_optimizer_names_the_argument() -> None:
    optimizer = SplitLBI([nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(ValueError, match=r"params do not make .* empty parameter list"):
        SplitLBI([], lr=0.1)
    for params in (None, ["word"], [torch.ones(2, requires_grad=True) * 2]):
        with pytest.raises(ValueError, match="params do not make groups of parameters: "):
            SplitLBI(params, lr=0.1)
        with pytest.raises(ValueError, match="param_group makes no group of parameters: "):
            optimizer.add_param_group({"params": params})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match="closure must be a function, got 3"):
        optimizer.step(3)
    with pytest.raises(ValueError, match="optimizer must be a SplitLBI, got SGD"):
        record_path(torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1))


def test_questions_about_foreign_parameters_are_refused() -> None:
    model = network()
    optimizer = SplitLBI(penalty_groups(model), lr=0.1)
    with pytest.raises(ValueError, match="a parameter of this optimizer"):
        optimizer.support(model[0].weight.detach().clone())


def test_a_parameter_without_a_penalty_is_its_own_copy() -> None:
    """So the copies of all parameters project a network, and do not share its memory."""
    model = network()
    optimizer = SplitLBI(penalty_groups(model), lr=1.0, nu=1.0)
    train(model, optimizer, 6)
    copies = {name: optimizer.gamma(p) for name, p in model.named_parameters()}
    assert torch.equal(copies["0.bias"], model[0].bias.detach())
    copies["0.bias"].zero_()
    assert model[0].bias.detach().abs().min() > 0
    w = {name: p.detach() for name, p in model.named_parameters()}
    supports = {name: optimizer.support(p) for name, p in model.named_parameters()}
    projected, wanted = project(w, copies | {"0.bias": w["0.bias"]}), project(w, supports)
    assert all(torch.equal(projected[name], wanted[name]) for name in w)


def test_a_state_from_before_an_option_was_added_gets_its_default() -> None:
    straight, broken = network(), network()
    options = dict(lr=LR, nu=NU, momentum=0.5)
    whole, first = (SplitLBI(penalty_groups(m), **options) for m in (straight, broken))
    train(straight, whole, 6)
    train(broken, first, 3)
    stored = first.state_dict()
    for group in stored["param_groups"]:
        del group["scaled"], group["momentum_on"], group["weight_decay"]
    second = SplitLBI(penalty_groups(broken), lr=9.0, scaled=True, weight_decay=0.3)
    second.load_state_dict(stored)
    train(broken, second, 3)
    assert largest_gap(straight, broken) == 0.0
    given = inspect.signature(SplitLBI).parameters
    assert {name: given[name].default for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nu", -1.0),
        ("kappa", 0.0),
        ("momentum", 1.5),
        ("weight_decay", -0.1),
        ("lr", -0.1),
        ("lr", float("nan")),
        ("penalty", "nope"),
    ],
)
def test_an_option_set_out_of_range_later_is_refused_before_anything_moves(name, value) -> None:
    model = network()
    optimizer = SplitLBI(penalty_groups(model), lr=LR)
    train(model, optimizer, 1)
    before = copy.deepcopy(model)
    optimizer.param_groups[0][name] = value
    with pytest.raises(ValueError, match=f"{name} must be .*got {value!r}"):
        optimizer.step()
    assert largest_gap(before, model) == 0.0


def test_path_time_stands_still_where_nothing_has_a_gradient() -> None:
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = SplitLBI([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25)
    optimizer.step()
    a.grad = torch.zeros(2)
    optimizer.step()
    assert [float(group["time"]) for group in optimizer.param_groups] == [0.25, 0.0]


def test_clipped_gradients_are_the_gradients() -> None:
    """Clipping acts on p.grad before the step: the same as a loss with these gradients."""
    clipped, scaled = network(), network()
    one, other = (SplitLBI(penalty_groups(m), lr=LR, nu=NU) for m in (clipped, scaled))
    x, y = batch()
    for _ in range(5):
        for model, optimizer in ((clipped, one), (scaled, other)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            if model is clipped:
                assert nn.utils.clip_grad_norm_(model.parameters(), 0.05) > 0.06
            else:
                norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
                for p in model.parameters():
                    p.grad *= 0.05 / (norm + 1e-6)  # as torch does
            optimizer.step()
    assert largest_gap(clipped, scaled) < 1e-14


def test_mixed_precision_trains_the_same_network_up_to_its_rounding() -> None:
    """bfloat16 inside the loss; weights, duals and buffers stay in single precision."""
    plain, mixed = network(torch.float32), network(torch.float32)
    options = dict(lr=1.0, kappa=0.1, nu=0.3, momentum=0.5)
    one, other = (SplitLBI(penalty_groups(m), **options) for m in (plain, mixed))
    x, y = batch(torch.float32)
    for _ in range(10):
        for model, optimizer in ((plain, one), (mixed, other)):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=model is mixed):
                loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
    assert 0 < largest_gap(plain, mixed) < 0.05  # bfloat16 has three digits
    assert {v.dtype for s in other.state.values() for v in s.values()} == {torch.float32}
    assert one.support(plain[0].weight).any()


def test_a_network_in_half_precision_keeps_its_state_in_it() -> None:
    model = network(torch.bfloat16)
    optimizer = SplitLBI(penalty_groups(model), lr=1.0, kappa=0.1, nu=0.3, momentum=0.5)
    train(model, optimizer, 6)
    assert {v.dtype for s in optimizer.state.values() for v in s.values()} == {torch.bfloat16}
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert optimizer.gamma(model[0].weight).dtype == torch.bfloat16
    assert optimizer.support(model[0].weight).any()


def test_a_processor_updates_large_tensors_piece_by_piece(monkeypatch) -> None:
    """No more than PIECE numbers at once, unless one row is longer; small tensors stay whole."""
    seen: list[int] = []
    whole = optim.shrink

    def counted(v: Tensor, *rest: Any) -> Tensor:
        seen.append(v.numel())
        return whole(v, *rest)

    monkeypatch.setattr(optim, "shrink", counted)
    for shape, pieces in [((70, PIECE // 64), 2), ((3, PIECE + 5), 3), ((4, PIECE // 4), 1)]:
        w = nn.Parameter(torch.ones(shape))
        w.grad = torch.zeros_like(w)
        SplitLBI([w], 0.5).step()
        assert len(seen) == pieces
        assert sum(seen) == w.numel()
        assert max(seen) <= max(PIECE, w[0].numel())
        seen.clear()


def test_sparse_gradients_are_refused() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="dense gradients"):
        SplitLBI(table.parameters(), lr=0.1).step()


def test_a_network_falls_into_filters_weights_and_the_rest() -> None:
    model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(8, 2))
    found = {g["penalty"]: [name for name, _ in g["params"]] for g in penalty_groups(model)}
    assert found == {"group": ["0.weight"], "l1": ["3.weight"],
                     None: ["0.bias", "1.weight", "1.bias", "3.bias"]}  # fmt: skip
    assert set(found) == set(PENALTIES)
    assert {g["nu"] for g in penalty_groups(lenet(), nu=3.0)} == {3.0}
    transposed = penalty_groups(nn.ConvTranspose2d(2, 5, 3))  # p[g] is an input channel
    assert [(g["penalty"], [name for name, _ in g["params"]]) for g in transposed] == [
        (None, ["weight", "bias"])
    ]
    assert [name for name, _ in named(penalty_groups(model)[0])] == ["0.weight"]  # before a step


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step:UserWarning")  # it cannot see the calls
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
@pytest.mark.filterwarnings("ignore:Skipping serialization:UserWarning")  # of PyTorch 2.6
@pytest.mark.parametrize(
    ("lr", "more"),
    [(1.0, {}), (torch.tensor(1.0, dtype=torch.float64), {"momentum_on": "loss", "scaled": True})],
)
def test_a_compiled_step_is_the_same_step(lr, more) -> None:
    torch.compiler.reset()
    eager, compiled = network(), network()
    options = dict(kappa=0.1, nu=0.3, momentum=0.5, weight_decay=0.01) | more
    one = SplitLBI(penalty_groups(eager), lr=1.0, **options)
    other = SplitLBI(penalty_groups(compiled), lr=lr, **options)
    step = torch.compile(other.step)
    schedules = [torch.optim.lr_scheduler.ExponentialLR(o, 0.9) for o in (one, other)]
    x, y = batch()
    for _ in range(8):
        for model, optimizer, take in ((eager, one, one.step), (compiled, other, step)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            take()
        for schedule in schedules:
            schedule.step()
    assert largest_gap(eager, compiled) < 1e-12
    assert float(other.param_groups[0]["time"]) == pytest.approx(10 * (1 - 0.9**8), rel=1e-12)
    assert 0 < int(one.support(eager[3].weight).sum()) < 108
    for p, q in zip(eager.parameters(), compiled.parameters(), strict=True):
        assert torch.equal(one.support(p), other.support(q))


def one_of_two(rank: int, store: str, out: str) -> None:
    """Train on every other image in one of two processes that average their gradients."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    model = network()
    twin = nn.parallel.DistributedDataParallel(model)
    optimizer = SplitLBI(penalty_groups(model), lr=1.0, nu=1.0, momentum=0.5)
    x, y = batch()
    for _ in range(6):
        optimizer.zero_grad()
        nn.functional.cross_entropy(twin(x[rank::2]), y[rank::2]).backward()
        optimizer.step()
    supports = {name: optimizer.support(p).clone() for name, p in model.named_parameters()}
    torch.save({"model": model.state_dict(), "support": supports}, f"{out}{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_the_model_of_one(tmp_path) -> None:
    torch.multiprocessing.spawn(  # type: ignore[attr-defined]
        one_of_two, (str(tmp_path / "store"), str(tmp_path / "out")), nprocs=2
    )
    alone = network()
    optimizer = SplitLBI(penalty_groups(alone), lr=1.0, nu=1.0, momentum=0.5)
    train(alone, optimizer, 6)
    for rank in range(2):
        found = torch.load(tmp_path / f"out{rank}", weights_only=True)
        for name, p in alone.named_parameters():
            assert float((found["model"][name] - p.detach()).abs().max()) < 1e-13
            assert torch.equal(found["support"][name], optimizer.support(p))
    assert optimizer.support(alone[0].weight).any()


# The recorder


def test_the_recorder_writes_time_weights_and_copies_down() -> None:
    model = network()
    optimizer = SplitLBI(penalty_groups(model), lr=1.0, nu=1.0)
    full, norms, masks = (
        record_path(optimizer, every=2, keep=keep) for keep in ("all", "norms", "support")
    )
    train(model, optimizer, 5)
    full.remove()
    train(model, optimizer, 1)
    path = full.path()
    assert path.t.tolist() == [2.0, 4.0]
    assert norms.path().t.tolist() == [2.0, 4.0, 6.0]
    assert set(path.w) == {"0.weight", "3.weight"}
    assert path.w["0.weight"].shape == (2, 4, 1, 3, 3)
    last = norms.path().gamma["0.weight"][2]
    assert torch.equal(last, optimizer.gamma(model[0].weight).flatten(1).norm(dim=1))
    assert torch.equal(masks.path().gamma["3.weight"][2], optimizer.support(model[3].weight))
    assert masks.path().w["3.weight"].shape == (3, 3)
    with torch.no_grad():
        model[0].weight[:, 0, 0, 0] = 0.0  # a zero inside a filter that is in stays in the mask
        optimizer.state[model[0].weight]["dual"][:, 0, 0, 0] = 0.0
    model[0].weight.grad.zero_()
    optimizer.step()
    train(model, optimizer, 1)
    entered = masks.path().entry_times()["0.weight"].flatten(1)
    assert (entered == entered[:, :1]).all()  # a filter enters as a whole


@pytest.mark.parametrize(
    ("options", "penalty", "message"),
    [
        (dict(every=0), "l1", "every must be"),
        (dict(keep="some"), "l1", "keep must be"),
        ({}, None, "no path without one"),
    ],
)
def test_a_recorder_that_cannot_be_is_refused(options, penalty, message) -> None:
    optimizer = SplitLBI([nn.Parameter(torch.ones(2))], 0.1, penalty=penalty)
    with pytest.raises(ValueError, match=message):
        record_path(optimizer, **options)
