"""FedAvg's client and server, and the two ways to run over clients."""

from __future__ import annotations

import pytest
import torch
from test_models import MODELS
from torch.nn import functional
from toy_clients import assert_close, quadratics, ragged_clients, seeded

from fedlearn_lib import (
    Clients,
    axpy,
    fedavg,
    gradient,
    loss_of,
    maml_gradient,
    map_clients,
    mlp,
    parameters_of,
    run,
)
from fedlearn_lib.data import quadratic_loss
from fedlearn_lib.federated import State
from fedlearn_lib.federated.mapping import chunk_of


def batches_for(shape: tuple[int, ...], m: int = 3, steps: int = 2, draws: int = 1, b: int = 4):
    g = seeded(3)
    x = torch.randn(m, steps, draws, b, *shape, generator=g, dtype=torch.float64)
    return x, torch.randint(3, (m, steps, draws, b), generator=g)


@pytest.mark.parametrize("name", MODELS)
def test_vmap_is_the_loop(name: str) -> None:
    make, shape = MODELS[name]
    model = make().double()
    client = fedavg(gradient(loss_of(model)), lr=0.1).client
    w, batches = parameters_of(model), batches_for(shape)
    loop = map_clients(client, w, batches, how="loop")
    assert all(len(leaf) == 3 for leaf in loop.values())
    assert max(float(leaf.abs().max()) for leaf in loop.values()) > 1e-3
    for chunk in (None, 1, 2, 5):
        assert_close(map_clients(client, w, batches, how="vmap", chunk=chunk), loop, 1e-11)


def test_a_client_is_torchs_sgd() -> None:
    model = mlp(6, 5, 3, activation="tanh").double()
    x, y = batches_for((6,), m=1, steps=5)
    w = parameters_of(model)
    message = fedavg(gradient(loss_of(model)), lr=0.2).client(w, (x[0], y[0]))
    sgd = torch.optim.SGD(model.parameters(), lr=0.2)
    for t in range(5):
        sgd.zero_grad()
        functional.cross_entropy(model(x[0, t, 0]), y[0, t, 0]).backward()
        sgd.step()
    assert_close(message, axpy(-1.0, w, parameters_of(model)), 1e-13)


def test_the_oracle_sees_every_draw_of_its_step() -> None:
    x = torch.arange(12.0, dtype=torch.float64).view(1, 2, 3, 2)  # τ = 2, k = 3, b = 2
    seen = []

    def oracle(w, draws):
        seen.append([(a.tolist(), b.tolist()) for a, b in draws])
        return {"w": w["w"] + draws[0][0].sum() - draws[2][1].sum()}

    message = fedavg(oracle, lr=0.5).client(
        {"w": torch.zeros((), dtype=torch.float64)}, (x[0], -x[0])
    )
    assert seen[1] == [([6, 7], [-6, -7]), ([8, 9], [-8, -9]), ([10, 11], [-10, -11])]
    first = -0.5 * (1 + 9)
    assert float(message["w"]) == first - 0.5 * (first + 13 + 21)


def test_the_server_moves_along_the_mean_message() -> None:
    algorithm = fedavg(gradient(quadratic_loss), lr=0.1, server_lr=0.25)
    state = algorithm.init({"w": torch.tensor([1.0])})
    assert state == State({"w": torch.tensor([1.0])}, 0)
    assert algorithm.server(state, {"w": torch.tensor([8.0])}) == ({"w": torch.tensor([3.0])}, 1)


@pytest.mark.parametrize("how", ["vmap", "loop"])
def test_identical_clients_are_one_client(how: str) -> None:
    model = mlp(4, 5, 3, activation="tanh").double()
    one = ragged_clients([6])
    many = Clients(
        *(leaf.expand(5, *leaf.shape[1:]) for leaf in one[:3]), p=torch.full((5,), 0.2).double()
    )
    algorithm = fedavg(gradient(loss_of(model)), lr=0.3)
    options = {"rounds": 3, "steps": 4, "batch": None, "how": how}
    w0 = parameters_of(model)
    alone, _ = run(algorithm, w0, one, generator=seeded(), **options)
    together, _ = run(algorithm, w0, many, generator=seeded(), **options)
    assert_close(alone.w, together.w, 1e-13)


@pytest.mark.parametrize("how", ["vmap", "loop"])
def test_permuting_clients_changes_nothing(how: str) -> None:
    clients = quadratics(6, 3)
    order = torch.randperm(6, generator=seeded(4))
    shuffled = Clients(*(leaf[order] for leaf in clients))
    algorithm = fedavg(gradient(quadratic_loss), lr=0.3)
    w0 = {"w": torch.ones(3, dtype=torch.float64)}
    options = {"rounds": 3, "steps": 4, "batch": 1, "how": how}
    ends = [run(algorithm, w0, c, generator=seeded(), **options)[0].w for c in (clients, shuffled)]
    assert_close(ends[0], ends[1], 1e-13)


@pytest.mark.parametrize(
    ("numbers", "m", "chunk"),
    [(1, 50, 50), (2**21, 50, 2), (2**23, 5, 1), (79_510, 50, 50), (79_510, 60, 30)],
)
def test_chunks_are_equal_and_fit_the_cache(numbers: int, m: int, chunk: int) -> None:
    assert chunk_of({"w": torch.zeros(numbers)}, m) == chunk


def test_the_hessian_free_step_makes_its_second_point_after_the_first_gradient() -> None:
    """So that only one of the two points w ± δg is in memory."""
    seen = []

    def loss(w, batch):
        seen.append(float(w["w"].detach()))
        return (w["w"] ** 2).sum()  # g = 2 (w − α 2 w) = 1 at w = 1 with α = 1/4

    oracle = maml_gradient(loss, alpha=0.25, mode="hf", delta=0.125)
    oracle({"w": torch.tensor([1.0])}, (None, None, None))
    assert seen == [1.0, 0.5, 1.125, 0.875]


X, Y = torch.ones(2, 1, 1, 1), torch.ones(2, 1, 1, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c, o: fedavg(o, lr=0.0), "lr must be a positive finite number, got 0.0"),
        (lambda c, o: fedavg(o, lr=torch.nan), "lr must be.*nan"),
        (lambda c, o: fedavg(o, lr="0.1"), "lr must be.*'0.1'"),
        (lambda c, o: fedavg(o, lr=torch.tensor(0.1)), "lr must be.*tensor"),
        (lambda c, o: fedavg(o, lr=0.1, server_lr=-1), "server_lr must be.*-1"),
        (lambda c, o: map_clients(c, {}, (X, Y), how="threads"), 'how must be.*"loop".*threads'),
        (lambda c, o: map_clients(c, {}, (X, Y), chunk=0), "chunk must be.*0"),
        (lambda c, o: map_clients(c, {}, (X[:0], Y[:0])), "batches must hold.*'x': 0, 'y': 0"),
        (lambda c, o: map_clients(c, {}, (X, Y[:1])), "batches must hold.*'x': 2, 'y': 1"),
    ],
)
def test_bad_arguments_are_refused_before_any_client_runs(make, message: str) -> None:
    def never(*_):
        raise AssertionError("a client ran")

    with pytest.raises(ValueError, match=message):
        make(never, never)
