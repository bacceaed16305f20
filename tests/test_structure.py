"""Structure: pruned networks answer as before, masks stay closed, growth changes nothing."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toy_clients import seeded

from fedlearn_lib import grow, lenet, loss_of, mlp, parameters_of, project, prune, resnet
from fedlearn_lib.structure import (
    close_masks,
    cost,
    kept_share,
    magnitude_masks,
    mask_counts,
    overlap_by_chance,
    random_masks,
    ready_to_grow,
    retrain,
)

ROUND = 1e-10  # outputs are sums of a few hundred products of order one, in float64


def randomized(model: nn.Module, seed: int) -> nn.Module:
    """The model in float64 with biases and norms that are nowhere zero or one."""
    model.double()
    g = seeded(seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 1:
                p.copy_(torch.randn(p.shape, generator=g))
    return model


def padded(seed: int, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    """Three convolutions that all pad with zeros, a pool and a linear layer."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1), activation(), nn.Conv2d(5, 6, 3, padding=1), activation(),
        nn.Conv2d(6, 4, 3, padding=1), activation(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 3),
    )  # fmt: skip


MODELS = {
    "mlp": (lambda s: mlp(12, 7, 6, 3, seed=s), (12,)),
    "mlp tanh": (lambda s: mlp(12, 7, 6, 3, activation="tanh", seed=s), (12,)),
    "lenet": (lambda s: lenet(seed=s), (1, 28, 28)),
    "padded": (padded, (1, 8, 8)),
    "padded tanh": (lambda s: padded(s, nn.Tanh), (1, 8, 8)),
    "resnet": (lambda s: resnet(width=8, seed=s), (3, 8, 8)),
    "narrow resnet": (lambda s: resnet(width=4, seed=s), (3, 8, 8)),
}


def kill_rows(model: nn.Module, probability: float, seed: int) -> dict[str, int]:
    """Zero rows of all weights but the last; one row at least stays. Returns rows left."""
    g, left = seeded(seed), {}
    weights = [(n, p) for n, p in model.named_parameters() if p.ndim > 1]
    with torch.no_grad():
        for name, p in weights[:-1]:
            dead = torch.rand(len(p), generator=g) < probability
            dead[int(torch.randint(len(p), (), generator=g))] = False
            p[dead] = 0
            left[name] = int((~dead).sum())
    return left


def gap(model: nn.Module, small: nn.Module, shape: tuple[int, ...], seed: int = 0) -> float:
    x = torch.randn(4, *shape, generator=seeded(seed), dtype=torch.float64)
    with torch.no_grad():
        return float((model(x) - small(x)).abs().max())


# ----- pruning ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(4))
def test_a_pruned_network_answers_as_before(name: str, seed: int) -> None:
    """Proposition 13.2: equal outputs on random inputs, for random dead rows in every layer."""
    make, shape = MODELS[name]
    model = randomized(make(seed), seed)
    kill_rows(model, 0.5, seed)
    before = parameters_of(model)
    small = prune(model)
    assert gap(model, small, shape, seed) < ROUND
    assert all(torch.equal(v, parameters_of(model)[k]) for k, v in before.items())
    if name in ("mlp", "mlp tanh", "lenet"):
        assert cost(small, *shape).parameters < cost(model, *shape).parameters


@pytest.mark.parametrize("seed", range(3))
def test_no_dead_filter_of_lenet_stays(seed: int) -> None:
    """Proposition 13.2: without padding behind the first layer, every dead filter can go."""
    model = randomized(lenet(seed=seed), seed)
    left = kill_rows(model, 0.5, seed)
    small = prune(model)
    assert {n: len(p) for n, p in small.named_parameters() if n in left} == left
    assert small[9].in_features == left["6.weight"]


def test_units_are_multiplied_at_the_flatten() -> None:
    """Proposition 13.2: one channel of 4 × 4 pixels is sixteen features of the linear layer."""
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).double()
    with torch.no_grad():
        model[0].weight[1] = 0
    small = prune(model)
    assert small[3].weight.shape == (2, 32)
    assert gap(model, small, (1, 6, 6)) < ROUND


@pytest.mark.parametrize(("bias", "goes"), [(-0.3, True), (0.0, True), (0.3, False)])
def test_zero_padding_keeps_a_constant_that_it_would_cut_off(bias: float, goes: bool) -> None:
    """Proposition 13.2: before a padded layer a dead filter goes exactly if φ(b) = 0."""
    model = padded(0).double()
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = 0, bias
    small = prune(model)
    assert len(small[0].weight) == (4 if goes else 5)
    assert gap(model, small, (1, 8, 8)) < ROUND
    if not goes:  # the constant in the bias: right inside, wrong at the border
        silent = parameters_of(model)
        silent["0.bias"][2] = 0
        wrong = prune(model, silent)
        with torch.no_grad():
            wrong[2].bias += bias * model[2].weight[:, 2].sum((1, 2))
        assert gap(model[:3], wrong[:3], (1, 8, 8)) > 1e-3
        x = torch.randn(1, 1, 8, 8, generator=seeded(), dtype=torch.float64)
        inside = (model[:3](x) - wrong[:3](x))[..., 1:-1, 1:-1].detach().abs().max()
        assert float(inside) < ROUND


def test_pruned_weights_lie_in_one_piece() -> None:
    """A cut and turned view would be copied with its strides, and torch.export warns of it."""
    model = lenet()
    w = parameters_of(model)
    for filters in (v for v in w.values() if v.ndim == 4):
        filters[1:4] = 0
    assert all(p.is_contiguous() for p in prune(model, w).parameters())


def test_other_paddings_lose_nothing() -> None:
    """Proposition 13.2: a border that repeats the map keeps a constant map constant."""
    model = padded(1).double()
    model[2].padding_mode = "reflect"
    model[2]._reversed_padding_repeated_twice = [1, 1, 1, 1]
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = 0, 0.3
    small = prune(model)
    assert len(small[0].weight) == 4
    assert gap(model, small, (1, 8, 8)) < ROUND


def test_a_filter_that_nobody_hears_goes_with_those_that_only_it_heard() -> None:
    """Proposition 13.2: mute units go from the last layer back, also before padding."""
    model = randomized(padded(2), 2)
    with torch.no_grad():
        model[4].weight[:, 1] = 0  # nobody hears filter 1 of the second layer
        model[2].weight[:, 3] = 0
        model[2].weight[1, 3] = 1  # and only it hears filter 3 of the first
    small = prune(model)
    assert [len(small[i].weight) for i in (0, 2)] == [4, 5]
    assert gap(model, small, (1, 8, 8)) < ROUND


def test_a_norm_gives_whole_groups_only() -> None:
    """Proposition 13.2: GroupNorm mixes the channels of a group, so they go together."""
    model = randomized(resnet(width=8, seed=0), 0)
    body = model[3].body
    with torch.no_grad():
        body[0].weight[:3] = 0  # one whole group of two, and half of the next
        body[1].bias[:3] = -0.5
    small = prune(model)
    inner = small[3].body
    assert (len(inner[0].weight), inner[1].num_groups, inner[3].in_channels) == (6, 3, 6)
    assert gap(model, small, (3, 8, 8)) < ROUND
    with torch.no_grad():
        body[1].bias[0] = 0.5  # now the group sends a constant into a padded layer
    assert len(prune(model)[3].body[0].weight) == 8


def test_a_block_without_an_inner_channel_keeps_one_group() -> None:
    """Proposition 13.2: the short cut goes on, and the block's constant stays what it was."""
    model = randomized(resnet(width=8, seed=0), 0)
    with torch.no_grad():
        model[3].body[0].weight.zero_()
        model[3].body[1].bias.fill_(-1.0)
    small = prune(model)
    assert len(small[3].body[0].weight) == 2
    assert gap(model, small, (3, 8, 8)) < ROUND


def test_a_layer_without_units_is_an_error() -> None:
    """Proposition 13.2 needs one unit in each layer: without any the network is a constant."""
    model = lenet().double()
    with torch.no_grad():
        model[3].weight.zero_()
    with pytest.raises(ValueError, match="answers the same to every input"):
        prune(model)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(0.5),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.AvgPool2d(2, padding=1),
        nn.AvgPool2d(2, divisor_override=1),
        nn.Softmax(1),
    ],
)
def test_a_layer_without_an_exact_rule_is_named(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), layer, nn.Conv2d(4, 2, 3))
    with pytest.raises(ValueError, match=f"no exact rule for {type(layer).__name__}"):
        prune(model)
    with pytest.raises(ValueError, match=r"nn\.Sequential"):
        prune(layer)


# ----- masks ------------------------------------------------------------------------------------


def test_masks_keep_what_they_are_asked_to() -> None:
    w = parameters_of(lenet())
    keep = {"0.weight": 3, "3.weight": 5, "9.weight": 700}
    largest, drawn = magnitude_masks(w, keep), random_masks(w, keep, generator=seeded())
    assert mask_counts(largest) == mask_counts(drawn) == keep
    norms = w["3.weight"].flatten(1).norm(dim=1)
    kept = largest["3.weight"].flatten(1).all(1)
    assert norms[kept].min() > norms[~kept].max()
    entries = w["9.weight"].abs()
    assert entries[largest["9.weight"]].min() >= entries[~largest["9.weight"]].max()
    assert not torch.equal(
        drawn["9.weight"], random_masks(w, keep, generator=seeded(1))["9.weight"]
    )


@pytest.mark.parametrize("keep", [0.02, 0.1, 0.5, 1.0])
def test_one_share_for_all_layers_is_not_exceeded(keep: float) -> None:
    w = parameters_of(lenet())
    for masks in (magnitude_masks(w, keep), random_masks(w, keep, generator=seeded())):
        assert keep - 0.01 < kept_share(masks) <= keep  # a filter has less than one percent
    top = magnitude_masks({"a": torch.tensor([[3.0], [1.0]]), "b": torch.ones(2, 1) * 2}, 0.5)
    assert [m.flatten().tolist() for m in top.values()] == [[True, False], [True, False]]


def test_a_projection_is_the_support() -> None:
    w, gamma = {"a": torch.randn(3, 2), "b": torch.ones(2)}, {"a": torch.zeros(3, 2)}
    gamma["a"][1] = torch.tensor([1e-30, -2.0])
    out = project(w, gamma)
    assert torch.equal(out["a"][1], w["a"][1])
    assert int((out["a"] != 0).sum()) == 2
    assert torch.equal(out["b"], w["b"])
    for wrong in ({"a": torch.ones(2, 2)}, {"c": torch.ones(2)}):
        with pytest.raises(ValueError, match="name and shape"):
            project(w, wrong)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), *2 * [st.integers(0, n)])))
def test_the_overlap_of_a_random_mask(sizes: tuple[int, int, int]) -> None:
    """Proposition 13.5: mean and variance over all subsets of k of n, counted one by one."""
    n, k, other = sizes
    overlaps = [len(set(s) & set(range(other))) for s in combinations(range(n), k)]
    mean = sum(overlaps) / len(overlaps)
    variance = sum((o - mean) ** 2 for o in overlaps) / len(overlaps)
    found = overlap_by_chance(n, k, other)
    assert found == pytest.approx((mean, math.sqrt(variance)), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_unequal_layers_overlap_more(seed: int) -> None:
    """Proposition 13.5: layer by layer the mean is larger by Σ n_l (p_l − p)(q_l − q)."""
    g = seeded(seed)
    n = torch.randint(5, 40, (4,), generator=g)
    k, other = ((torch.rand(4, generator=g) * (n + 1)).long() for _ in range(2))
    by_layer = sum(overlap_by_chance(*map(int, row))[0] for row in zip(n, k, other, strict=True))
    pooled = overlap_by_chance(int(n.sum()), int(k.sum()), int(other.sum()))[0]
    p, q = k / n - k.sum() / n.sum(), other / n - other.sum() / n.sum()
    assert by_layer - pooled == pytest.approx(float((n * p * q).sum()), abs=1e-4)


def test_bad_requests_say_what_fits() -> None:
    w = parameters_of(lenet())
    for keep in ({"0.weight": 7}, {"0.weight": -1}, {"nowhere": 1}, 0.0, 1.5):
        with pytest.raises(ValueError, match="keep"):
            magnitude_masks(w, keep)
    with pytest.raises(ValueError, match=r"unit must be.*'nope'"):
        mask_counts({"a": torch.ones(4, 2)}, "nope")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unit must be"):
        magnitude_masks(w, 0.5, unit="filter")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="generator"):
        random_masks(w, 0.5, generator=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k and other"):
        overlap_by_chance(5, 6, 1)


# ----- retraining -------------------------------------------------------------------------------


def batches(shape: tuple[int, ...], classes: int, steps: int, seed: int = 0):
    g = seeded(seed)
    x = torch.randn(steps, 8, *shape, generator=g, dtype=torch.float64)
    return list(zip(x, torch.randint(classes, (steps, 8), generator=g), strict=True))


@pytest.mark.parametrize("name", ["mlp tanh", "lenet", "padded"])
@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.0), (0.9, 0.1)])
def test_training_and_pruning_commute(name: str, momentum: float, decay: float) -> None:
    """Proposition 13.4: masked training, then pruning = pruning, then training."""
    make, shape = MODELS[name]
    model = make(3).double()
    start = parameters_of(model)
    first = {k: len(v) // 2 for k, v in start.items() if v.ndim > 1}
    first.popitem()  # all classes stay
    masks = close_masks(model, random_masks(start, first, generator=seeded(1), unit="rows"))
    data = batches(shape, 3, 6)
    settings_ = {"lr": 0.05, "momentum": momentum, "weight_decay": decay}
    large = retrain(loss_of(model), start, masks, data, **settings_)
    small = prune(model, project(start, masks))
    own = retrain(loss_of(small), parameters_of(small), {}, data, **settings_)
    cut = parameters_of(prune(model, large))
    assert {k: v.shape for k, v in cut.items()} == {k: v.shape for k, v in own.items()}
    assert max(float((cut[k] - own[k]).abs().max()) for k in own) < ROUND
    assert sum(v.numel() for v in own.values()) < sum(v.numel() for v in start.values())
    moved = max(float((own[k] - parameters_of(small)[k]).abs().max()) for k in own)
    assert moved > 1e-3


def test_a_closed_mask_takes_bias_and_outgoing_weights() -> None:
    """Definition 13.1: also through a flatten, and nothing of a live unit."""
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).double()
    mask = torch.ones(3, 1, 3, 3)
    mask[1] = 0
    closed = close_masks(model, {"0.weight": mask})
    assert closed["0.bias"].tolist() == [True, False, True]
    assert (~closed["3.weight"]).nonzero()[:, 1].unique().tolist() == list(range(16, 32))


def test_an_open_mask_does_not_commute() -> None:
    """Proposition 13.4 needs closed masks: a dead unit's bias is a second bias that trains."""
    model = mlp(6, 5, 3, activation="tanh").double()
    start, data = parameters_of(model), batches((6,), 3, 6)
    masks = random_masks(start, {"1.weight": 2}, generator=seeded(), unit="rows")
    large = retrain(loss_of(model), start, masks, data, lr=0.1)
    small = prune(model, project(start, masks))
    own = retrain(loss_of(small), parameters_of(small), {}, data, lr=0.1)
    assert gap(_with(model, large), _with(small, own), (6,)) > 1e-3


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.RMSprop])
def test_elementwise_optimizers_commute_too(optimizer: type[torch.optim.Optimizer]) -> None:
    """Proposition 13.4: with masked gradients any optimizer that works entry by entry."""
    model = mlp(6, 5, 4, 3, activation="tanh").double()
    start, data = parameters_of(model), batches((6,), 3, 8)
    masks = close_masks(model, random_masks(start, {"1.weight": 3, "3.weight": 2}, unit="rows",
                                      generator=seeded()))  # fmt: skip
    small = prune(model, project(start, masks))
    ends = []
    for net, w, kept in ((model, project(start, masks), masks), (small, parameters_of(small), {})):
        net.load_state_dict(w)
        steps = optimizer(net.parameters(), lr=0.01, weight_decay=0.1)  # type: ignore[call-arg]
        for x, y in data:
            steps.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            for name, p in net.named_parameters():
                p.grad.mul_(kept.get(name, torch.ones(1)))
            steps.step()
        ends.append(parameters_of(net))
    cut = parameters_of(prune(model, ends[0]))
    assert max(float((cut[k] - ends[1][k]).abs().max()) for k in cut) < ROUND


def test_retraining_is_sgd_and_changes_nothing_else() -> None:
    model = mlp(6, 5, 3).double()
    start, data = parameters_of(model), batches((6,), 3, 5)
    rates = [0.1, 0.2, 0.1, 0.05, 0.3]
    found = retrain(loss_of(model), start, {}, data, lr=rates.__getitem__, momentum=0.8,
                    weight_decay=0.01)  # fmt: skip
    assert all(torch.equal(v, parameters_of(model)[k]) for k, v in start.items())
    steps = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.8, weight_decay=0.01)
    for (x, y), lr in zip(data, rates, strict=True):
        steps.param_groups[0]["lr"] = lr
        steps.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        steps.step()
    assert max(float((found[k] - v).abs().max()) for k, v in parameters_of(model).items()) < 1e-12
    with pytest.raises(ValueError, match="momentum"):
        retrain(loss_of(model), start, {}, data, lr=0.1, momentum=1.0)


def _with(model: nn.Module, w: dict) -> nn.Module:
    model.load_state_dict(w)
    return model


# ----- cost and growth --------------------------------------------------------------------------


def test_the_cost_of_lenet_by_hand() -> None:
    """Proposition 13.3: hw k² c c' for a convolution, c c' for a linear layer."""
    by_hand = 784 * 25 * 6 + 100 * 25 * 6 * 16 + 25 * 16 * 120 + 120 * 84 + 840
    assert cost(lenet(), 1, 28, 28).multiply_adds == by_hand


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_multiply_adds_go_with_the_product_of_the_kept_shares(kept: int) -> None:
    """Proposition 13.3: p_{l-1} p_l of each layer's multiply-adds remain."""
    sizes = [10, 8, 8, 3]
    model = mlp(*sizes).double()
    with torch.no_grad():
        model[1].weight[kept:], model[3].weight[kept:] = 0, 0
    shares = [1, kept / 8, kept / 8, 1]
    predicted = sum(
        a * b * p * q for a, b, p, q in zip(sizes, sizes[1:], shares, shares[1:], strict=False)
    )
    assert cost(prune(model), 10).multiply_adds == predicted


@pytest.mark.parametrize(
    ("name", "layer", "extra"),
    [("mlp", 1, 3), ("lenet", 0, 2), ("lenet", 6, 5), ("padded tanh", 2, 1)],
)
def test_growing_changes_no_output(name: str, layer: int, extra: int) -> None:
    """Proposition 13.6: new units without a voice leave the function as it was."""
    make, shape = MODELS[name]
    model = randomized(make(0), 0)
    wide = grow(model, layer, extra, generator=seeded())
    assert gap(model, wide, shape) < ROUND
    assert len(wide[layer].weight) == len(model[layer].weight) + extra
    loud = grow(model, layer, extra, generator=seeded(), outgoing=1.0)
    assert gap(model, loud, shape) > 1e-3
    added = wide[layer].weight[-extra:].detach()
    assert float(added.std()) == pytest.approx((2 / added[0].numel()) ** 0.5, rel=0.35)
    with pytest.raises(ValueError, match="another one follows"):
        grow(model, len(model) - 1, 1, generator=seeded())


def test_a_new_map_is_many_features() -> None:
    """Proposition 13.6 through a flatten: one new channel of 4 × 4 pixels brings 16 columns."""
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).double()
    wide = grow(model, 0, 2, generator=seeded())
    assert wide[3].weight.shape == (2, 80)
    assert gap(model, wide, (1, 6, 6)) < ROUND


def test_a_norm_grows_by_whole_groups() -> None:
    """Proposition 13.6 with a GroupNorm: a new group, or the old outputs change."""
    body = randomized(resnet(width=8, seed=0), 0)[3].body
    wide = grow(body, 0, 4, generator=seeded())
    assert wide[1].num_groups == 6
    assert gap(body, wide, (8, 6, 6)) < ROUND
    with pytest.raises(ValueError, match="multiple of 2"):
        grow(body, 0, 3, generator=seeded())


@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_new_units_first_learn_to_speak(name: str) -> None:
    """Proposition 13.6: gradient zero for the incoming weights, not zero for the outgoing."""
    make, shape = MODELS[name]
    model, layer = randomized(make(0), 0), {"mlp": 1, "lenet": 3}[name]
    wide = grow(model, layer, 3, generator=seeded())
    heard = layer + (2 if name == "mlp" else 3)
    x, y = batches(shape, 3, 1)[0]
    slopes = torch.func.grad(loss_of(wide))(parameters_of(wide), (x, y))
    old = len(model[layer].weight)
    assert float(slopes[f"{layer}.weight"][old:].abs().max()) == 0
    assert float(slopes[f"{layer}.bias"][old:].abs().max()) == 0
    assert float(slopes[f"{heard}.weight"][:, old:].abs().max()) > 1e-4


def test_units_that_neither_hear_nor_speak_never_will() -> None:
    """Proposition 13.6: zero on both sides stays zero, and the Hessian has both signs there."""
    model = mlp(6, 4, 3, activation="tanh").double()
    wide = grow(model, 1, 1, generator=seeded())
    with torch.no_grad():
        wide[1].weight[-1] = 0
    start, data = parameters_of(wide), batches((6,), 3, 30)
    end = retrain(loss_of(wide), start, {}, data, lr=0.1, momentum=0.9)
    assert float(end["1.weight"][-1].abs().max()) == 0
    assert float(end["3.weight"][:, -1].abs().max()) == 0
    assert float((end["1.weight"][:-1] - start["1.weight"][:-1]).abs().max()) > 1e-3

    def of_new(z: torch.Tensor) -> torch.Tensor:
        w = dict(start)
        w["1.weight"] = torch.cat([start["1.weight"][:-1], z[None, :6]])
        w["3.weight"] = torch.cat([start["3.weight"][:, :-1], z[6:, None]], 1)
        return loss_of(wide)(w, data[0])

    curves = torch.func.jacrev(torch.func.grad(of_new))(torch.zeros(9, dtype=torch.float64))
    eigenvalues = torch.linalg.eigvalsh(curves)
    assert float(curves[:6, :6].abs().max()) < ROUND
    assert torch.allclose(eigenvalues, -eigenvalues.flip(0), atol=ROUND, rtol=0)
    assert float(eigenvalues[-1]) > 1e-3


@pytest.mark.parametrize("voice", [0.0, 0.3])
def test_twins_stay_twins(voice: float) -> None:
    """Proposition 13.6: two new units with equal weights get equal gradients, for ever."""
    wide = grow(mlp(6, 4, 3, activation="tanh").double(), 1, 2, generator=seeded(), outgoing=voice)
    with torch.no_grad():
        wide[1].weight[-1], wide[3].weight[:, -1] = wide[1].weight[-2], wide[3].weight[:, -2]
    start = parameters_of(wide)
    end = retrain(loss_of(wide), start, {}, batches((6,), 3, 30), lr=0.1)
    assert float((end["1.weight"][-1] - end["1.weight"][-2]).abs().max()) < ROUND
    assert float((end["1.weight"][-1] - start["1.weight"][-1]).abs().max()) > 1e-4


def test_four_of_five_filters_are_ready_to_grow() -> None:
    masks = {"a": torch.ones(5, 1, 3, 3), "b": torch.ones(10, 4), "c": torch.ones(10, 4)}
    masks["a"][0] = 0
    masks["b"][:3] = 0
    masks["c"][:, 1:] = 0  # every row is in use by one weight
    assert ready_to_grow(masks) == ["a", "c"]
    assert ready_to_grow(masks, share=0.7) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="share"):
        ready_to_grow(masks, share=0)


def test_two_norms_between_two_layers_are_refused() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.GroupNorm(3, 6), nn.GroupNorm(2, 6), nn.Conv2d(6, 2, 3)
    )
    with pytest.raises(ValueError, match="two norms between two layers"):
        prune(model)
