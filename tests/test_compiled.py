"""``how="compile"``: the same messages as by ``vmap``, and a clear word where it cannot be."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn
from torch.nn import functional
from toy_clients import assert_close, ragged_clients, seeded

from fedlearn_lib import (
    Algorithm,
    fedavg,
    gradient,
    lenet,
    loss_of,
    map_clients,
    mlp,
    parameters_of,
    perfedavg,
    run,
)
from fedlearn_lib.federated import _compiled, _pooling, fedprox

MODEL = mlp(4, 5, 3, activation="tanh").double()
LOSS, W = loss_of(MODEL), parameters_of(MODEL)
METHODS = {
    "fedavg": lambda: fedavg(gradient(LOSS), lr=0.1),
    **{
        mode: lambda mode=mode: perfedavg(LOSS, alpha=0.1, beta=0.1, mode=mode)
        for mode in ("fo", "hf", "exact")
    },
}
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture
def uncompiled(monkeypatch) -> None:
    """The traced graph as it is: all but the C++ compiler."""
    monkeypatch.setattr(torch, "compile", lambda graph, **options: graph)
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(_compiled, "CODE", {})


def batches_of(algorithm: Algorithm, m: int = 7):
    clients = ragged_clients([5] * m)
    return clients.draw(
        torch.arange(m), steps=3, draws=algorithm.draws, batch=4, generator=seeded()
    )


@pytest.mark.parametrize("chunk", [None, 1, 3, 7, 20])
@pytest.mark.parametrize("name", METHODS)
def test_stacked_models_take_the_steps_of_each(name: str, chunk, uncompiled) -> None:
    algorithm = METHODS[name]()
    batches = batches_of(algorithm)
    ours = map_clients(algorithm.client, W, batches, how="compile", chunk=chunk)
    assert_close(ours, map_clients(algorithm.client, W, batches, how="loop"), 1e-10)
    assert len(_compiled.CODE) == 1
    (code,) = _compiled.CODE.values()
    assert len(code) == 1  # the last chunk has the shape of the others


def test_a_run_is_the_same_run(uncompiled) -> None:
    algorithm, clients = METHODS["exact"](), ragged_clients([5, 3, 8, 2])
    ends = [
        run(algorithm, W, clients, rounds=3, cohort=3, steps=2, batch=4, generator=seeded(),
            how=how)[0].w
        for how in ("vmap", "compile")
    ]  # fmt: skip
    assert_close(*ends, 1e-12)


@needs_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
@pytest.mark.parametrize("name", METHODS)
def test_compiled_is_vmap(name: str) -> None:
    algorithm = METHODS[name]()
    batches = batches_of(algorithm)
    calls = [map_clients(algorithm.client, W, batches, how="compile", chunk=3) for _ in range(2)]
    assert_close(*calls, 0)
    assert_close(calls[0], map_clients(algorithm.client, W, batches), 1e-11)
    half = {k: v.float() for k, v in W.items()}, (batches[0].float(), batches[1])
    ours = map_clients(algorithm.client, *half, how="compile", chunk=3)
    tolerance = 1e-4 if name == "hf" else 1e-6  # a difference of two gradients over 2δ = 0.002
    assert_close(ours, map_clients(algorithm.client, *half), tolerance)


def test_code_lives_as_long_as_its_algorithm(monkeypatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda graph, **options: graph)
    monkeypatch.setattr("shutil.which", lambda name: name)
    before = len(_compiled.CODE)
    algorithm = METHODS["fedavg"]()
    map_clients(algorithm.client, W, batches_of(algorithm), how="compile")
    assert len(_compiled.CODE) == before + 1
    del algorithm
    assert len(_compiled.CODE) == before


def test_no_compiler(monkeypatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    algorithm = METHODS["fedavg"]()
    with pytest.raises(
        ValueError, match=r"needs a C\+\+ compiler, and 'no-such-comp.*how=\"vmap\""
    ):
        map_clients(algorithm.client, W, batches_of(algorithm), how="compile")


def test_a_client_without_a_step(uncompiled) -> None:
    algorithm = fedprox(gradient(LOSS), lr=0.1, mu=1.0)
    with pytest.raises(ValueError, match=r"argument with a default.*fedprox.*how=\"vmap\""):
        map_clients(algorithm.client, W, batches_of(algorithm), how="compile")


def test_a_run_refuses_such_a_client_before_any_work(uncompiled) -> None:
    def never(*_):
        raise AssertionError("work was done")

    algorithm = fedprox(never, lr=0.1, mu=1.0)
    with pytest.raises(ValueError, match=r"argument with a default"):
        run(algorithm, W, ragged_clients([5]), rounds=1, steps=1, batch=1, generator=seeded(),
            how="compile", probe=never)  # fmt: skip


def test_a_step_that_cannot_be_traced(uncompiled) -> None:
    def oracle(w, draws):
        return w if float(draws[0][0].sum()) > 0 else {}

    algorithm = fedavg(oracle, lr=0.1)
    with pytest.raises(RuntimeError) as caught:
        map_clients(algorithm.client, W, batches_of(algorithm), how="compile")
    assert any("could not trace" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(("size", "shape"), [(2, (2, 3, 8, 6)), (3, (3, 9, 6)), (1, (1, 2, 3))])
def test_pooling_spelled_out_is_pooling(size: int, shape: tuple[int, ...]) -> None:
    """Also where several numbers of a window are the largest, and where one is no number."""
    x = torch.randint(-2, 3, shape, generator=seeded()).double()
    x[..., 0, 0], x[..., -1, -1] = torch.inf, torch.nan
    largest, places = functional.max_pool2d(x, size, return_indices=True)
    ours, first = _pooling.pooled(x, [size, size], [size, size])
    torch.testing.assert_close(ours, largest, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(first[~largest.isnan()], places[~largest.isnan()])
    grad = torch.randn(largest.shape, generator=seeded()).double()
    given = (grad, x, [size, size], [size, size], [0, 0], [1, 1], False, places)
    there = torch.ops.aten.max_pool2d_with_indices_backward(*given)
    assert torch.equal(_pooling.spread(*given), there)


POOLS = {  # and whether it is spelled out
    "tiles": (nn.MaxPool2d(2), True),
    "overlap": (nn.MaxPool2d(3, 1), False),
    "rest": (nn.MaxPool2d(4), False),
    "border": (nn.MaxPool2d(2, padding=1), False),
    "holes": (nn.MaxPool2d(2, dilation=2), False),
    "oblong": (nn.MaxPool2d((2, 1)), False),
}


@pytest.mark.parametrize(
    ("pool", "mode"),
    [*((pool, "fedavg") for pool in POOLS), *(("tiles", m) for m in ("fo", "hf", "exact"))],
)
def test_pooling_of_any_kind(pool: str, mode: str, uncompiled) -> None:
    module, spelled_out = POOLS[pool]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), module, nn.Flatten(),
                              nn.LazyLinear(3)).double()  # fmt: skip
        model(torch.zeros(1, 1, 8, 8).double())
    loss, w, g = loss_of(model), parameters_of(model), seeded()
    algorithm = (
        fedavg(gradient(loss), lr=0.1)
        if mode == "fedavg"
        else perfedavg(loss, alpha=0.1, beta=0.1, mode=mode)
    )
    shape = (3, 2, algorithm.draws, 4)  # m τ k b
    batches = (
        torch.randn(*shape, 1, 8, 8, generator=g).double(),
        torch.randint(3, shape, generator=g),
    )
    ours = map_clients(algorithm.client, w, batches, how="compile")
    assert_close(ours, map_clients(algorithm.client, w, batches, how="loop"), 1e-10)
    ((graph,),) = (code.values() for code in _compiled.CODE.values())
    assert isinstance(graph, torch.fx.GraphModule)
    assert ("max_pool2d_with_indices" not in graph.code) == spelled_out


@needs_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
def test_a_compiled_network_of_convolutions_is_the_loop() -> None:
    model, shape = lenet(), (2, 3, 1, 4)
    w, client = parameters_of(model), fedavg(gradient(loss_of(model)), lr=0.1).client
    batches = (
        torch.rand(*shape, 1, 28, 28, generator=seeded()),
        torch.randint(10, shape, generator=seeded()),
    )
    ours = map_clients(client, w, batches, how="compile")
    assert_close(ours, map_clients(client, w, batches, how="loop"), 1e-6)
