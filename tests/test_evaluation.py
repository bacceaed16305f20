"""Scores of clients of unequal size, of models that have diverged, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional
from toy_clients import quadratics, ragged_clients, seeded

from fedlearn_lib import (
    accuracy_of,
    adapt,
    evaluate,
    fedavg,
    gradient,
    logistic,
    loss_of,
    mlp,
    parameters_of,
    run,
)
from fedlearn_lib.data import quadratic_loss
from fedlearn_lib.trees import Params

MODEL = mlp(4, 5, 3, activation="tanh", seed=1).double()
W, LOSS, METRIC = parameters_of(MODEL), loss_of(MODEL), accuracy_of(MODEL)
CLOSE = loss_of(MODEL, lambda outputs, y: outputs.log_softmax(-1)[:, 0] * (y + 2))
SIZES = [5, 9, 5, 1, 7, 9]
TRAIN, TEST = ragged_clients(SIZES, seed=1), ragged_clients([4, 7, 2, 3, 3, 8], seed=2)


def step(w: Params, batch: tuple[torch.Tensor, torch.Tensor]) -> Params:
    return adapt(LOSS, w, batch, 0.7, steps=2)


def own_models(m: int) -> Params:
    noise = {k: torch.randn(m, *v.shape, generator=seeded(3)).double() for k, v in W.items()}
    return {k: W[k] + 0.3 * noise[k] for k in W}


@pytest.mark.parametrize("how", ["vmap", "loop"])
@pytest.mark.parametrize("own", [False, True])
def test_each_client_adapts_on_all_it_has(own: bool, how: str) -> None:
    """As by hand, client by client; the padding rows hold NaN and the label -1."""
    models = own_models(6) if own else W
    found = evaluate(CLOSE, models, TRAIN, TEST, own=own, adapt=step, how=how)
    for i in range(6):
        mine = {k: v[i] for k, v in models.items()} if own else W
        by_hand = CLOSE(step(mine, TRAIN.data(i)), TEST.data(i)).mean()
        assert float(found["after"][i]) == pytest.approx(float(by_hand), rel=1e-12)
        assert found["before"][i] == pytest.approx(float(CLOSE(mine, TEST.data(i)).mean()))


def test_clients_of_one_size_adapt_in_one_call() -> None:
    calls = []

    def counted(w: Params, batch: Any) -> Params:
        calls.append(batch[0].shape)
        return w

    evaluate(METRIC, W, TRAIN, TEST, adapt=counted)
    assert sorted(calls) == [(1, 4), (5, 4), (7, 4), (9, 4)]


def test_equal_sizes_give_the_numbers_of_one_batch_for_all() -> None:
    """What one ``draw`` of whole clients gives, also where padding is left, up to rounding."""
    wide, few = ragged_clients([8] * 5, seed=4), ragged_clients([4, 7, 2, 3, 3], seed=2)
    narrow = wide._replace(n=torch.full((5,), 6))
    for train in (wide, narrow):
        found = evaluate(CLOSE, W, train, few, adapt=step)
        x, y = train.draw(torch.arange(5), steps=1, batch=None, generator=seeded())
        moved = torch.func.vmap(step, in_dims=(None, 0))(W, (x[:, 0, 0], y[:, 0, 0]))
        expected = evaluate(CLOSE, moved, train, few, own=True)["before"]
        torch.testing.assert_close(found["after"], expected, rtol=1e-13, atol=0)


# --- models that hold NaN or infinity


@pytest.mark.parametrize("how", ["vmap", "loop"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_diverged_model_has_no_accuracy(bad: float, how: str) -> None:
    """argmax of NaN is class 0, so the accuracy would be that of a constant answer."""
    w = W | {"3.bias": torch.tensor([0.0, bad, 0.0]).double()}
    assert bool(torch.isfinite(METRIC(w, TEST.data(0))).all())
    with pytest.warns(UserWarning, match="6 of 6 clients.*NaN or infinity.*smaller step"):
        found = evaluate(METRIC, w, TRAIN, TEST, how=how)
    assert bool(found["before"].isnan().all())


@pytest.mark.parametrize("how", ["vmap", "loop"])
def test_only_the_client_that_diverged_loses_its_score(how: str) -> None:
    def explode(w: Params, batch: Any) -> Params:
        many = torch.where(torch.tensor(batch[0].shape[0] == 7), torch.nan, 0.0)
        return {k: v + many for k, v in w.items()}

    with pytest.warns(UserWarning, match="1 of 6 clients") as seen:
        found = evaluate(METRIC, W, TRAIN, TEST, adapt=explode, how=how)
    assert len(seen) == 1
    assert found["after"].isnan().tolist() == [False] * 4 + [True, False]
    finite = ~found["after"].isnan()
    assert torch.equal(found["after"][finite], found["before"][finite])


@pytest.mark.parametrize("how", ["vmap", "loop"])
def test_a_model_may_be_a_single_number(how: str) -> None:
    """Then one row a client is a leaf [m], which has no second axis."""
    numbers, g = torch.arange(6.0).double(), lambda w, batch: w["a"] + 0 * batch[1]
    found = evaluate(g, {"a": numbers}, TRAIN, TEST, own=True, how=how)
    assert torch.allclose(found["before"], numbers)


def test_a_metric_that_says_nan_itself_needs_no_warning() -> None:
    clients, w = quadratics(3, 2), {"w": torch.tensor([torch.nan, 0.0]).double()}
    apart = lambda u, batch: (u["w"] - batch[1]).norm(dim=-1)  # noqa: E731
    found = evaluate(
        apart, w, clients, clients, adapt=lambda u, b: adapt(quadratic_loss, u, b, 0.1)
    )
    assert bool(found["before"].isnan().all())
    assert bool(found["after"].isnan().all())


# --- what is refused


def test_models_of_their_own_are_to_be_announced() -> None:
    models = own_models(6)
    for metric in (METRIC, lambda w, batch: functional.linear(batch[0], w["1.weight"])[:, 0]):
        with pytest.raises(ValueError, match=r"one row for each of the 6 clients.*own=True"):
            evaluate(metric, models, TRAIN, TEST)


def test_a_model_that_looks_like_many_is_no_mistake() -> None:
    """Six classes and six clients: every leaf of logistic regression has six rows."""
    model = logistic(4, 6).double()
    found = evaluate(accuracy_of(model), parameters_of(model), TRAIN, TEST)
    assert found["before"].shape == (6,)


def test_what_vmap_cannot_do_points_to_the_loop() -> None:
    def asks(w: Params, batch: Any) -> torch.Tensor:
        return functional.one_hot(batch[1])[:, 0].double()  # looks for the largest label

    model = logistic(4, 3).double()
    w, whole = parameters_of(model), ragged_clients([5, 5])
    with pytest.raises(RuntimeError, match='how="loop"'):
        evaluate(asks, w, whole, whole)
    assert evaluate(asks, w, whole, whole, how="loop")["before"].shape == (2,)
    loss = loss_of(model, lambda out, y: (out - functional.one_hot(y, 3)).square().mean())
    options: dict[str, Any] = {"rounds": 1, "steps": 1, "batch": 2, "generator": seeded()}
    with pytest.raises(RuntimeError, match='how="loop"'):
        run(fedavg(gradient(loss), lr=0.1), w, whole, **options)
    with pytest.raises(RuntimeError, match='how="loop"'):
        evaluate(accuracy_of(model), w, whole, whole, adapt=lambda u, b: adapt(loss, u, b, 0.1))
    assert run(fedavg(gradient(loss), lr=0.1), w, whole, how="loop", **options)[0].round == 1
