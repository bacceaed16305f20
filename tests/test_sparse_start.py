"""A sparse start in rounds: what commutes with averaging, and what does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toy_clients import assert_close, quadratics, random_quadratics, seeded

import fedlearn_lib as fl
from fedlearn_lib.data import quadratic_clients, quadratic_loss
from fedlearn_lib.federated import SparseState, sparse_start
from fedlearn_lib.structure import mask_counts, project

ZERO = {"w": torch.zeros(4, dtype=torch.float64)}
SETTING = {"kappa": 2.0, "nu": 0.5, "lr": 0.05}


def go(oracle, clients: fl.Clients, *, rounds: int, steps: int, **options) -> SparseState:
    method = sparse_start(oracle, **(SETTING | options))
    how = {"rounds": rounds, "steps": steps, "batch": 1, "generator": seeded()}
    state = fl.run(method, ZERO, clients, **how)[0]
    assert isinstance(state, SparseState)
    return state


@pytest.mark.parametrize("steps", [1, 4])
def test_the_mean_model_takes_the_dual_step(steps: int) -> None:
    """Proposition 14.12, parts 1 and 2: client by client, and then the mean of the directions."""
    A, goals, p = random_quadratics(5, 4)
    kappa, nu, eta = SETTING["kappa"], SETTING["nu"], SETTING["lr"]
    w, V, gamma = torch.zeros(3, 4, dtype=torch.float64)
    paid = torch.zeros(4, dtype=torch.float64)
    for _ in range(30):
        each, mean = w.expand(5, 4), w
        for _ in range(steps):
            g = torch.einsum("ijk,ik->ij", A, each - goals)
            each = each - kappa * eta * (g + (each - gamma) / nu)
            V = V + eta / nu * (mean - gamma)
            mean = mean - kappa * eta * (p @ g + (mean - gamma) / nu)
            paid = paid - eta * (p @ g)
        w, gamma = mean, kappa * fl.L1().prox(V)
    assert 0 < int((gamma != 0).sum()) < 4
    state = go(fl.gradient(quadratic_loss), quadratic_clients(A, goals, p), rounds=30, steps=steps)
    for found, expected in [(state.w, w), (state.dual, V), (state.gamma, gamma)]:
        torch.testing.assert_close(found["w"], expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(V + w / kappa, paid, rtol=0, atol=1e-12)


@pytest.mark.parametrize("meta", [False, True])
def test_with_one_local_step_it_is_split_lbi(meta: bool) -> None:
    """Proposition 14.12, part 1, for FedAvg's loss and for Per-FedAvg's."""
    clients = quadratics(5, 4)

    def mean(w: dict[str, Tensor]) -> Tensor:
        values = []
        for i in range(5):
            batch = clients.data(i)
            if meta:
                slope = torch.func.grad(quadratic_loss)(w, batch)
                values.append(quadratic_loss(fl.axpy(-0.3, slope, w), batch))
            else:
                values.append(quadratic_loss(w, batch))
        return clients.p @ torch.stack(values)

    oracle = fl.maml_gradient(quadratic_loss, 0.3) if meta else fl.gradient(quadratic_loss)
    state = go(oracle, clients, rounds=80, steps=1, draws=3 if meta else 1)
    path = fl.split_lbi_path(mean, ZERO, fl.L1(), steps=80, **SETTING)
    assert 0 < int(state.support["w"].sum()) < 4
    assert_close(state.w, {"w": path.w["w"][-1]}, 1e-12)
    assert_close(state.gamma, {"w": path.gamma["w"][-1]}, 1e-12)


def test_prox_and_mean_differ_by_at_most_half_the_spread() -> None:
    """Proposition 14.12, part 3: the bound, its constant, and the union of supports."""
    prox = fl.L1().prox
    for seed in range(300):
        g = seeded(seed)
        V = 3 * torch.randn(6, 50, generator=g, dtype=torch.float64)
        p = torch.rand(6, generator=g, dtype=torch.float64)
        p = p / p.sum()
        gap = (p @ prox(V) - prox(p @ V)).abs()
        assert bool((gap <= p @ (V - p @ V).abs() / 2 + 1e-14).all())
    V = 4 * torch.eye(4, dtype=torch.float64)  # client i's account is m in number i
    gap = prox(V).mean(0) - prox(V.mean(0))
    assert prox(V.mean(0)).tolist() == [0.0] * 4
    assert gap.tolist() == [0.75] * 4 == ((V - V.mean(0)).abs().mean(0) / 2).tolist()


def test_clients_that_shrink_before_the_mean_send_the_union_of_their_supports() -> None:
    """Proposition 14.12, part 3, in a round of the algorithm: one prox a round, at the server."""
    goals = 10 * torch.eye(4, dtype=torch.float64)
    clients = quadratic_clients(torch.eye(4, dtype=torch.float64).expand(4, 4, 4), goals)
    method = sparse_start(fl.gradient(quadratic_loss), kappa=1.0, nu=1.0, lr=0.1)
    start = method.init(ZERO)
    batches = clients.draw(torch.arange(4), steps=12, draws=1, batch=1, generator=seeded())
    V = fl.map_clients(method.client, method.send(start), batches)["dual.w"]
    assert (fl.L1().prox(V) != 0).sum(1).tolist() == [1] * 4
    assert int((fl.L1().prox(V).mean(0) != 0).sum()) == 4
    end = go(fl.gradient(quadratic_loss), clients, rounds=1, steps=12, kappa=1.0, nu=1.0, lr=0.1)
    assert end.gamma["w"].tolist() == [0.0] * 4
    torch.testing.assert_close(end.dual["w"], V.mean(0))


def test_a_leaf_without_a_penalty_takes_fedavgs_steps_and_groups_come_whole() -> None:
    net = fl.mlp(4, 5, 3).double()
    loss, w0 = fl.loss_of(net), fl.parameters_of(net)
    x = torch.randn(40, 4, generator=seeded(), dtype=torch.float64)
    clients = fl.Clients.of(x, x[:, :3].argmax(1), list(torch.arange(40).split(10)))
    penalty = {k: fl.GroupL2() if v.ndim > 1 else None for k, v in w0.items()}
    how = {"steps": 2, "batch": 5}

    def path(rounds: int) -> SparseState:
        method = sparse_start(fl.gradient(loss), kappa=2.0, nu=2.0, lr=0.2, penalty=penalty)
        state = fl.run(method, w0, clients, rounds=rounds, generator=seeded(), **how)[0]
        assert isinstance(state, SparseState)
        return state

    state = path(60)
    assert state.gamma.keys() == state.dual.keys() == {"1.weight", "3.weight"}
    rows = state.support["1.weight"]
    assert torch.equal(rows.any(1), rows.all(1))
    assert 0 < mask_counts(state.support, "rows")["1.weight"] < 5
    sparse = project(state.w, state.gamma)
    assert torch.equal(sparse["1.bias"], state.w["1.bias"])
    assert torch.equal(sparse["1.weight"] != 0, rows)
    far = sparse_start(fl.gradient(loss), kappa=2.0, nu=1e12, lr=0.2, penalty=penalty)
    loose = fl.run(far, w0, clients, rounds=3, generator=seeded(), **how)[0]
    plain = fl.fedavg(fl.gradient(loss), lr=0.4)
    assert_close(
        loose.w, fl.run(plain, w0, clients, rounds=3, generator=seeded(), **how)[0].w, 1e-9
    )


def test_names_of_penalties_must_be_those_of_the_model() -> None:
    method = sparse_start(fl.gradient(quadratic_loss), penalty={"u": fl.L1()}, **SETTING)
    with pytest.raises(ValueError, match=r"penalty names \['u'\] and w0 names \['w'\]"):
        method.init(ZERO)


@pytest.mark.parametrize("name", ["dual.weight", "gamma.weight"])
def test_a_model_must_not_use_the_marks_of_its_messages(name: str) -> None:
    """A layer called gamma would otherwise be taken for the sparse copy, and get lost."""
    method = sparse_start(fl.gradient(quadratic_loss), **SETTING)
    with pytest.raises(ValueError, match=rf"begin with .*, got \['{name}'\]; rename"):
        method.init({name: torch.zeros(2)})


@pytest.mark.parametrize("name", ["kappa", "nu", "lr"])
def test_numbers_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        sparse_start(fl.gradient(quadratic_loss), **(SETTING | {name: 0.0}))
