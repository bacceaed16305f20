"""Errors where a caller's function is in between: whose they are, and what they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from toy_clients import ragged_clients, seeded

from fedlearn_lib import (
    accuracy_of,
    adapt,
    evaluate,
    fedavg,
    gradient,
    hvp,
    logistic,
    loss_of,
    maml_gradient,
    map_clients,
    mlp,
    parameters_of,
    run,
)
from fedlearn_lib._explained import explained_as, explained_call, explained_result
from fedlearn_lib.data import FlatClients
from fedlearn_lib.federated import descend, ditto

MODEL = mlp(4, 5, 3).double()
LOSS, W = loss_of(MODEL), parameters_of(MODEL)
BATCH = torch.ones(6, 4).double(), torch.arange(6) % 3
THIN = BATCH[0][:, :3], BATCH[1]  # a column is missing


class Mine(RuntimeError):
    """A caller's own error."""


def raises(error: BaseException) -> Callable[..., Any]:
    def own(*_: Any) -> Any:
        raise error

    return own


CALLS: dict[str, Callable[[Any], Any]] = {
    "loss_of()": lambda f: loss_of(MODEL, f)(W, BATCH),
    "gradient()": lambda f: gradient(f)(W, (BATCH,)),
    "maml_gradient()": lambda f: maml_gradient(f, 0.1)(W, (BATCH,) * 3),
    "hvp": lambda f: hvp(f, W, BATCH, W),
    "adapt": lambda f: adapt(f, W, BATCH, 0.1),
    "descend": lambda f: descend(f, W, BATCH, lr=0.1, steps=1),
    "map_clients": lambda f: map_clients(f, W, (torch.ones(2, 1), torch.ones(2, 1))),
    "evaluate": lambda f: evaluate(f, W, ragged_clients([2, 2]), ragged_clients([2, 2])),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "error", [RuntimeError("mine"), ValueError("mine"), KeyError("mine"), IndexError(), Mine()],
    ids=repr,
)  # fmt: skip
def test_a_callers_own_error_comes_out_as_it_is(call: str, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        CALLS[call](raises(error))
    assert caught.value is error


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: LOSS(W, THIN), "w and batch"),
        (lambda: accuracy_of(MODEL)(W, THIN), "w and batch"),
        (lambda: gradient(LOSS)(W, (THIN,)), "w and draws"),
        (lambda: maml_gradient(LOSS, 0.1)(W, (BATCH, BATCH, THIN)), "w and draws"),
        (lambda: hvp(LOSS, W, THIN, W), "w and batch"),
        (lambda: adapt(LOSS, W, THIN, 0.1), "w and batch"),
        (
            lambda: map_clients(
                ditto(gradient(LOSS), lr=0.1, lam=1.0).client, W,
                tuple(part[None, None, None] for part in THIN),
                own={name: value[None] for name, value in W.items()},
            ),
            "w and batches and own",
        ),
        (
            lambda: run(
                fedavg(gradient(loss_of(logistic(5, 3).double())), lr=0.1),
                parameters_of(logistic(5, 3).double()), ragged_clients([3, 3]),
                rounds=1, steps=1, batch=2, generator=seeded(),
            ),
            "w0 and clients",
        ),
        (
            lambda: evaluate(
                accuracy_of(logistic(5, 3).double()), parameters_of(logistic(5, 3).double()),
                ragged_clients([3, 3]), ragged_clients([3, 3]),
            ),
            "w and test",
        ),
    ],
)  # fmt: skip
def test_data_that_do_not_fit_have_the_names_of_the_function_called(call, named: str) -> None:
    with pytest.raises(ValueError, match=rf"^{named} do not fit together: .*(multipl|size)"):
        call()


def test_what_each_argument_must_be_is_said_in_the_names_of_the_function_called() -> None:
    with pytest.raises(ValueError, match=r"^w must be a dict of dense tensors.*got None"):
        LOSS(None, BATCH)
    with pytest.raises(ValueError, match=r"^batch must be a pair \(x, y\) of dense tensors.*got 3"):
        LOSS(W, 3)
    with pytest.raises(ValueError, match=r"^w must hold real floats.*int64"):
        gradient(LOSS)({name: value.long() for name, value in W.items()}, (BATCH,))
    with pytest.raises(ValueError, match=r"^loss must return a scalar tensor.*take the mean"):
        gradient(lambda w, batch: w["1.bias"])(W, (BATCH,))
    nothing: Any = lambda w, draws: None  # noqa: E731
    with pytest.raises(ValueError, match=r"^oracle must return a dict like w, got None"):
        descend(nothing, W, BATCH, lr=0.1, steps=1)
    with pytest.raises(ValueError, match=r"^adapt must return a model like w"):
        evaluate(accuracy_of(logistic(4, 3).double()), parameters_of(logistic(4, 3).double()),
                 ragged_clients([3, 3]), ragged_clients([3, 3]), adapt=lambda u, b: {})  # fmt: skip


def test_a_call_with_a_wrong_number_of_arguments_is_left_alone() -> None:
    loss: Any = LOSS
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        loss(W)


def test_what_no_argument_explains_comes_out_as_it_is() -> None:
    used_up = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError) as caught, explained_as(w=W):
        raise used_up
    assert caught.value is used_up


def test_the_wrapped_function_works_under_torch_func_and_torch_compile() -> None:
    @explained_result
    def scaled(by: float) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, y: by * functional.mse_loss(x, y)

    loss, x, y = scaled(3.0), torch.ones(4, 2), torch.zeros(4, 2)
    assert torch.func.vmap(loss)(x, y).tolist() == [3.0] * 4
    assert torch.func.grad(loss)(x, y).tolist() == [[0.75, 0.75]] * 4
    compiled = torch.compile(explained_call(loss), backend="eager", fullgraph=True)
    assert float(compiled(x, y)) == 3.0


def test_clients_without_padding_have_the_scores_of_padded_ones() -> None:
    padded = ragged_clients([5, 2, 5, 3])
    rows = [padded.data(i) for i in range(padded.m)]
    flat = FlatClients(
        torch.cat([x for x, _ in rows]), torch.cat([y for _, y in rows]), padded.n, padded.p
    )
    model = logistic(4, 3).double()
    loss, w = loss_of(model), parameters_of(model)
    own = {name: torch.stack([value * k for k in range(4)]) for name, value in w.items()}
    for how in ("vmap", "loop"):
        for models, options in ((w, {}), (own, {"own": True})):
            seen = [
                evaluate(accuracy_of(model), models, clients, clients, how=how,
                         adapt=lambda u, b: adapt(loss, u, b, 1.0), **options)
                for clients in (padded, flat)
            ]  # fmt: skip
            assert seen[0]["before"].tolist() == seen[1]["before"].tolist()
            assert seen[0]["after"].tolist() == seen[1]["after"].tolist()
            assert len(set(seen[0]["after"].tolist())) > 1
