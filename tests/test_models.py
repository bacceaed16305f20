"""Models: pure losses of their parameters."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from toy_clients import assert_close, seeded

from fedlearn_lib import (
    accuracy_of,
    axpy,
    gradient,
    hvp,
    lenet,
    logistic,
    loss_of,
    maml_gradient,
    mlp,
    norm,
    parameters_of,
)
from fedlearn_lib import resnet as small_resnet

MODELS = {
    "logistic": (lambda seed=0: logistic(6, 3, seed=seed), (6,)),
    "relu": (lambda seed=0: mlp(6, 5, 3, activation="relu", seed=seed), (6,)),
    "elu": (lambda seed=0: mlp(6, 5, 4, 3, activation="elu", seed=seed), (6,)),
    "tanh": (lambda seed=0: mlp(6, 5, 3, activation="tanh", seed=seed), (2, 3)),
    "lenet": (lambda seed=0: lenet(classes=3, seed=seed), (1, 28, 28)),
    "resnet": (lambda seed=0: small_resnet(width=4, classes=3, seed=seed), (3, 8, 8)),
}


def batch_for(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    g = seeded(1)
    return torch.randn(4, *shape, generator=g, dtype=torch.float64), torch.tensor([0, 2, 1, 1])


@pytest.mark.parametrize("name", MODELS)
def test_loss_gradient_and_accuracy_are_torchs_own(name: str) -> None:
    make, shape = MODELS[name]
    model = make().double()
    x, y = batch_for(shape)
    w = parameters_of(model)
    expected = functional.cross_entropy(model(x), y)
    expected.backward()
    torch.testing.assert_close(loss_of(model)(w, (x, y)), expected.detach(), rtol=0, atol=1e-14)
    slopes = {key: value.grad for key, value in model.named_parameters()}
    assert_close(gradient(loss_of(model))(w, ((x, y),)), slopes, 1e-12)
    assert torch.equal(accuracy_of(model)(w, (x, y)), (model(x).argmax(-1) == y).float())


@pytest.mark.parametrize("name", MODELS)
def test_inside_and_outside_vmap_the_gradient_is_the_same(name: str) -> None:
    make, shape = MODELS[name]
    model = make().double()
    x, y = batch_for(shape)
    w, oracle = parameters_of(model), gradient(loss_of(model))
    inside = torch.func.vmap(lambda x, y: oracle(w, ((x, y),)))(x[None], y[None])
    assert_close({key: value[0] for key, value in inside.items()}, oracle(w, ((x, y),)), 1e-12)


def test_a_weight_with_two_names_is_one_parameter() -> None:
    """An encoder and a decoder that share their weight: both must see that of w."""
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    w, x = {"0.weight": torch.eye(3) / 2}, torch.ones(1, 3)
    assert parameters_of(model).keys() == w.keys()
    loss = loss_of(model, lambda outputs, y: outputs.sum())
    assert float(loss(w, (x, x))) == pytest.approx(3 * 0.5 * math.tanh(0.5))


def test_a_parameter_that_the_loss_ignores_has_slope_zero() -> None:
    slopes = gradient(lambda w, batch: (w["a"] ** 2).sum())(
        {"a": torch.ones(2), "b": torch.ones(3)}, (None,)
    )
    assert_close(slopes, {"a": 2 * torch.ones(2), "b": torch.zeros(3)}, 0)


def test_hvp_is_the_hessian_times_the_vector() -> None:
    model = mlp(3, 4, 2, activation="tanh").double()
    g = seeded(2)
    batch = (torch.randn(5, 3, generator=g, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1]))
    w = parameters_of(model)
    v = {key: torch.randn(a.shape, generator=g, dtype=torch.float64) for key, a in w.items()}
    blocks = torch.func.jacrev(torch.func.grad(lambda u: loss_of(model)(u, batch)))(w)
    expected = {a: sum(torch.tensordot(blocks[a][b], v[b], dims=v[b].ndim) for b in w) for a in w}
    assert_close(hvp(loss_of(model), w, batch, v), expected, 1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_seeds_fix_the_start_and_spare_the_global_generator(name: str) -> None:
    make, _ = MODELS[name]
    before = torch.get_rng_state()
    first, again, other = (parameters_of(make(seed=s)) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert_close(first, again, 0)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_parameters_are_a_copy() -> None:
    model = logistic(2, 2)
    w = parameters_of(model)
    w["1.weight"].zero_()
    assert bool((model[1].weight != 0).all())


def test_another_criterion() -> None:
    model = logistic(2, 1)
    loss = loss_of(model, lambda out, y: functional.mse_loss(out[:, 0], y))
    zero = {key: 0 * value for key, value in parameters_of(model).items()}
    assert float(loss(zero, (torch.ones(2, 2), torch.tensor([1.0, 3.0])))) == 5.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp(3), r"sizes must be.*\(3,\)"),
        (lambda: mlp(3, 0, 2), r"sizes must be.*\(3, 0, 2\)"),
        (lambda: mlp(3, 2, activation="gelu"), "activation must be one of.*gelu"),
        (lambda: small_resnet(width=6), "width=6"),
        (lambda: small_resnet(blocks=0), "blocks=0"),
        (lambda: loss_of(nn.Sequential(nn.BatchNorm1d(2))), "layer '0' keeps running statistics"),
        (lambda: accuracy_of(nn.Sequential(nn.Dropout(0.5))), "layer '0' draws random.*eval"),
    ],
)
def test_bad_models(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_layers_that_keep_and_draw_nothing_are_welcome() -> None:
    still = nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False), nn.Dropout(0.0))
    frozen = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5)).eval()
    for model in (still, frozen):
        loss = loss_of(model, lambda out, y: out.square().mean())
        batch = (torch.tensor([[1.0, 2.0], [3.0, 5.0]]), torch.zeros(2))
        w = parameters_of(model)
        assert torch.equal(loss(w, batch), loss(w, batch))


def hessian_free_error(model: nn.Module) -> float:
    """The largest error of the Hessian-free gradient on ten batches, relative to the exact one."""
    loss, g = loss_of(model), seeded(3)
    w = {key: 2 * value for key, value in parameters_of(model).items()}
    errors = []
    for _ in range(10):
        D = (torch.randn(20, 8, generator=g).double(), torch.randint(3, (20,), generator=g))
        exact, hf = (
            maml_gradient(loss, 0.5, mode, delta=1e-2)(w, (D,) * 3) for mode in ("exact", "hf")
        )
        errors.append(float(norm(axpy(-1.0, hf, exact)) / norm(exact)))
    return max(errors)


def test_the_default_activation_suits_the_hessian_free_gradient() -> None:
    """tanh has no kink; ReLU's gradient jumps between w − δg and w + δg (Proposition 3.7)."""
    assert hessian_free_error(mlp(8, 16, 3).double()) < 1e-3
    assert hessian_free_error(mlp(8, 16, 3, activation="relu").double()) > 0.05


# --- what w must hold


def misfits(w):
    weight, bias = w["1.weight"], w["1.bias"]
    return {
        "misspelled": ({"1.wieght": weight, "1.bias": bias}, "no 1.weight, unknown 1.wieght"),
        "missing": ({"1.bias": bias}, "no 1.weight;"),
        "extra": (w | {"2.bias": bias}, "unknown 2.bias;"),
        "shape": (w | {"1.bias": bias[:1]}, r"1.bias.*\(1,\) instead of \(3,\)"),
        "stacked": ({k: v.expand(2, *v.shape) for k, v in w.items()}, r"\(2, 3, 4\)"),
    }


@pytest.mark.parametrize("name", misfits(parameters_of(logistic(4, 3))))
@pytest.mark.parametrize("make", [loss_of, accuracy_of])
def test_w_must_have_the_models_names_and_shapes(make, name: str) -> None:
    """A name that w lacks would be taken from the model itself: nothing would train."""
    model = logistic(4, 3)
    function, batch = make(model), (torch.zeros(5, 4), torch.zeros(5, dtype=torch.long))
    w, message = misfits(parameters_of(model))[name]
    calls = [
        lambda: function(w, batch),
        lambda: torch.func.vmap(function, in_dims=(None, 0))(w, tuple(b[None] for b in batch)),
    ]
    if make is loss_of:
        calls.append(lambda: gradient(function)(w, (batch,)))
    for call in calls:
        with pytest.raises(ValueError, match=f"w must have.*{message}.*parameters_of"):
            call()


def test_a_loss_does_not_look_at_the_models_own_parameters() -> None:
    model = logistic(4, 3)
    loss, w = loss_of(model), parameters_of(model)
    batch = (torch.randn(5, 4, generator=seeded()), torch.zeros(5, dtype=torch.long))
    before = loss(w, batch)
    with torch.no_grad():
        model[1].weight += 1.0
    assert torch.equal(loss(w, batch), before)


def test_weights_that_two_layers_share_have_one_name() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    model[2].weight = model[0].weight
    w, x = parameters_of(model), torch.ones(2, 3).double()
    moved = loss_of(model, lambda out, y: out.sum())(w | {"0.weight": w["0.weight"] + 1}, (x, x))
    with torch.no_grad():
        model.get_parameter("0.weight").add_(1)
    assert "2.weight" not in w
    torch.testing.assert_close(moved, model(x).sum().detach())
