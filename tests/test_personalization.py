"""The path from one model for all to everybody's own: the exact one, and the one in rounds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from toy_clients import quadratics, random_quadratics, seeded

import fedlearn_lib as fl
from fedlearn_lib import Clients, federated
from fedlearn_lib.data import quadratic_clients, quadratic_loss
from fedlearn_lib.federated import (
    PersonalPath,
    path_models,
    personal_models,
    personal_path,
    personalization_path,
)


def linear_clients(
    sizes: list[int], d: int, *, p: list[float] | None = None, seed: int = 0
) -> Clients:
    """Clients of unequal size whose linear models differ a little in every number."""
    g, N = seeded(seed), sum(sizes)
    x = torch.randn(N, d, generator=g, dtype=torch.float64)
    parts = list(torch.arange(N).split(sizes))
    y = 0.3 * torch.randn(N, generator=g, dtype=torch.float64)
    for part in parts:
        y[part] += x[part] @ (1 + torch.randn(d, generator=g, dtype=torch.float64))
    return Clients.of(x, y, parts, p)


def slopes(clients: Clients, used: Tensor) -> Tensor:
    """The gradients of the clients' losses at the models in use, [m d]."""
    rows = []
    for i in range(clients.m):
        x, y = clients.data(i)
        rows.append(x.T @ (x @ used[i] - y) / len(y))
    return torch.stack(rows)


def check_path(path: PersonalPath, clients: Clients, tolerance: float = 1e-9) -> Tensor:
    """Integrate the accounts from times and models alone; return them at the last knot."""
    V = torch.zeros_like(path.delta[0])
    for k in range(len(path.t)):
        w, delta = path.w[k], path.delta[k]
        g = slopes(clients, w + delta)
        assert (clients.p @ g).abs().max() < tolerance  # w is free
        assert V.abs().max() <= 1 + tolerance
        inside = delta != 0
        assert bool(((V - delta.sign()).abs() < tolerance)[inside].all())
        assert bool((g[inside].abs() < tolerance).all())  # a personal number fits
        tight = ~inside & (V.abs() > 1 - tolerance)
        assert bool(((V * -g)[tight] < tolerance).all())  # and who is full moves no further out
        assert (clients.p @ V).abs().max() < tolerance  # the balance of accounts
        if k + 1 < len(path.t):
            V = V - (path.t[k + 1] - path.t[k]) * g
    return V


@pytest.mark.parametrize("p", [None, [0.2, 0.5, 0.3], [0.5, 0.25, 0.25]])
def test_the_exact_path_solves_the_flow(p: list[float] | None) -> None:
    clients = linear_clients([9, 12, 7], 3, p=p)
    path = personalization_path(clients)
    check_path(path, clients)
    assert len(path.t) >= 6
    used = path.w[-1] + path.delta[-1]
    assert slopes(clients, used).abs().max() < 1e-10  # everybody's own at the end


def test_it_starts_at_the_pooled_model_and_at_the_largest_disagreement() -> None:
    clients = linear_clients([9, 12, 7, 20], 4)
    path = personalization_path(clients)
    w, delta = path.at(0.0)
    assert not delta.any()
    assert (clients.p @ slopes(clients, w.expand(4, -1))).abs().max() < 1e-12
    g = slopes(clients, w.expand(4, -1)).abs()
    assert math.isclose(float(path.t[1]), 1 / float(g.max()), rel_tol=1e-10)
    entry = path.entry_times()
    assert entry.shape == (4, 4)
    assert int(entry.argmin()) == int(g.argmax())


def test_the_shared_model_is_the_weighted_median_of_those_in_use() -> None:
    clients = linear_clients([9, 12, 7, 20, 8], 3, p=[0.1, 0.15, 0.3, 0.25, 0.2])
    path = personalization_path(clients)
    for w, delta in zip(path.w, path.delta, strict=True):
        used = w + delta
        for j in range(3):
            costs = [float(clients.p @ (used[:, j] - u).abs()) for u in used[:, j].tolist()]
            assert float(clients.p @ (used[:, j] - w[j]).abs()) <= min(costs) + 1e-12
            assert float(clients.p[delta[:, j] > 0].sum()) <= 0.5
            assert float(clients.p[delta[:, j] < 0].sum()) <= 0.5


def test_an_outlier_is_rejected_however_far() -> None:
    y = torch.tensor([0.0, 0.1, 0.2, 0.3, 1.0], dtype=torch.float64)
    ends = []
    for far in (3.0, 100.0):
        numbers = torch.cat([y[:4], torch.tensor([far], dtype=torch.float64)])
        clients = Clients.of(torch.ones(5, 1), numbers, [[i] for i in range(5)])
        path = personalization_path(clients, max_knots=1)
        ends.append(float(path.w[-1]))
        assert path.delta[-1].nonzero().tolist() == [[4, 0]]
    assert ends == pytest.approx([0.15, 0.15], abs=1e-12)  # the mean of those who share


def test_dependent_columns_do_not_spoil_the_shared_model() -> None:
    g = seeded(3)
    kind = torch.arange(40) % 3
    x = torch.cat([torch.ones(40, 1), torch.nn.functional.one_hot(kind)], 1).double()
    y = torch.randn(40, generator=g, dtype=torch.float64)
    clients = Clients.of(x, y, list(torch.arange(40).split([11, 9, 20])))
    with pytest.warns(UserWarning, match="one choice of several"):
        path = personalization_path(clients)
    check_path(path, clients)


def test_a_feature_of_one_client_alone_is_shared_for_ever() -> None:
    clients = linear_clients([9, 12, 7], 3)
    x = clients.x.clone()
    x[1:, :, 2] = 0
    lonely = clients._replace(x=x)
    path = personalization_path(lonely)
    assert bool(path.entry_times()[:, 2].isinf().all())
    check_path(path, lonely)


def test_clients_that_agree_never_part() -> None:
    x = torch.randn(6, 2, generator=seeded(), dtype=torch.float64)
    y = torch.randn(6, generator=seeded(1), dtype=torch.float64)
    twins = Clients.of(torch.cat([x, x]), torch.cat([y, y]), [range(6), range(6, 12)])
    path = personalization_path(twins)
    assert path.t.tolist() == [0.0]
    assert bool(path.entry_times().isinf().all())
    consistent = Clients.of(x, x @ torch.ones(2, dtype=torch.float64), [range(3), range(3, 6)])
    assert personalization_path(consistent).t.tolist() == [0.0]


def test_two_clients_of_equal_weight_have_one_choice_of_several_at_the_end() -> None:
    clients = Clients.of(torch.ones(2, 1), torch.tensor([0.0, 2.0]), [[0], [1]])
    with pytest.warns(UserWarning, match="half of the weight"):
        path = personalization_path(clients)
    assert (path.w[-1] + path.delta[-1]).flatten().tolist() == pytest.approx([0.0, 2.0])


def test_the_path_stops_where_told() -> None:
    clients = linear_clients([9, 12, 7], 3)
    whole = personalization_path(clients)
    assert torch.equal(personalization_path(clients, max_knots=3).t, whole.t[:4])
    middle = float(whole.t[2] + whole.t[3]) / 2
    assert torch.equal(personalization_path(clients, t_max=middle).delta, whole.delta[:3])
    early = personalization_path(clients, t_max=float(whole.t[1]) / 2)
    assert early.t.tolist() == [0.0]
    torch.testing.assert_close(early.w, whole.w[:1], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"clients": c._replace(x=c.x[..., None])}, "flatten the inputs"),
        (lambda c: {"clients": c._replace(p=torch.tensor([0.5, 0.5, 0.0]))}, "positive weight"),
        (lambda c: {"clients": c._replace(y=c.y / 0)}, "finite"),
        (lambda c: {"clients": c, "max_knots": 0}, "at least 1"),
        (lambda c: {"clients": c, "t_max": -1.0}, "t_max must be positive"),
        (lambda c: {"clients": [c.data(0)]}, "clients"),
    ],
)
def test_bad_input_is_named(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        personalization_path(**change(linear_clients([9, 12, 7], 3)))


def test_times_must_begin_at_zero() -> None:
    one = torch.ones(1)
    with pytest.raises(ValueError, match="begin with 0"):
        PersonalPath(one, one[None], one[None, None])


# --- in rounds ---------------------------------------------------------------------------------


def centers(m: int, d: int, seed: int = 0) -> Clients:
    """Clients that are quadratics with the identity for curvature."""
    goals = torch.randn(m, d, generator=seeded(seed), dtype=torch.float64)
    return quadratic_clients(torch.eye(d, dtype=torch.float64).expand(m, d, d), goals)


def run_path(clients: Clients, *, rounds: int, steps: int, kappa: float, lr: float, **options):
    w0 = {"w": torch.zeros(clients.y.shape[-1], dtype=torch.float64)}
    method = personal_path(
        fl.gradient(quadratic_loss), kappa=kappa, lr=lr,
        server_lr=options.pop("server_lr", 1.0), penalty=options.pop("penalty", fl.L1()),
    )  # fmt: skip
    return fl.run(
        method, w0, clients, rounds=rounds, steps=steps, batch=1, generator=seeded(), **options
    )[0]


def accounts(state) -> Tensor:
    return state.own["dual.w"]


@pytest.mark.parametrize("steps", [1, 4])
def test_accounts_balance_whatever_the_local_steps(steps: int) -> None:
    clients = quadratics(5, 3)
    state = run_path(clients, rounds=40, steps=steps, kappa=3.0, lr=0.05)
    balance = torch.einsum("i,ij->j", clients.p, accounts(state))
    torch.testing.assert_close(balance, state.w["w"] / 3.0, rtol=0, atol=1e-13)
    assert accounts(state).abs().max() > 1  # somebody has left


def test_a_cohort_keeps_the_balance_with_its_share_as_the_servers_step() -> None:
    clients = centers(6, 2)
    kept, lost = (
        run_path(clients, rounds=30, steps=2, kappa=3.0, lr=0.05, cohort=2, server_lr=rate)
        for rate in (2 / 6, 1.0)
    )
    assert (accounts(kept).mean(0) - kept.w["w"] / 3.0).abs().max() < 1e-13
    assert (accounts(lost).mean(0) - lost.w["w"] / 3.0).abs().max() > 1e-3


def test_the_drift_is_gone_at_the_end() -> None:
    A, goals, p = random_quadratics(5, 3)
    clients = quadratic_clients(A, goals, p)
    state = run_path(clients, rounds=1500, steps=5, kappa=20.0, lr=0.02)
    order = goals.argsort(0)
    passed = p[order].cumsum(0) >= 0.5
    median = goals.gather(0, order).gather(0, passed.int().argmax(0)[None])[0]
    torch.testing.assert_close(state.w["w"], median, rtol=0, atol=1e-9)
    used = path_models(state, kappa=20.0)["w"]
    torch.testing.assert_close(used, goals, rtol=0, atol=1e-9)
    average = fl.run(
        fl.fedavg(fl.gradient(quadratic_loss), lr=0.4), {"w": torch.zeros(3).double()}, clients,
        rounds=300, steps=5, batch=1, generator=seeded(),
    )[0].w["w"]  # fmt: skip
    pooled = torch.linalg.solve(
        torch.einsum("i,ijk->jk", p, A), torch.einsum("i,ijk,ik->j", p, A, goals)
    )
    assert (average - pooled).norm() > 0.05  # with the same local step FedAvg's drift is not


def test_until_somebody_leaves_it_is_fedavg() -> None:
    clients = quadratics(4, 3)
    state = run_path(clients, rounds=5, steps=3, kappa=2.0, lr=0.01)
    assert accounts(state).abs().max() < 1
    plain = fl.run(
        fl.fedavg(fl.gradient(quadratic_loss), lr=0.02), {"w": torch.zeros(3).double()}, clients,
        rounds=5, steps=3, batch=1, generator=seeded(),
    )[0]  # fmt: skip
    torch.testing.assert_close(state.w["w"], plain.w["w"], rtol=0, atol=1e-15)


def test_with_a_large_kappa_it_is_the_exact_path() -> None:
    clients = linear_clients([8, 8, 8], 3)
    exact = personalization_path(clients, max_knots=8)

    def loss(w, batch):
        return 0.5 * (batch[0] @ w["w"] - batch[1]).square().mean()

    kappa, lr = 400.0, 0.0004
    method = personal_path(fl.gradient(loss), kappa=kappa, lr=lr)
    steps = int(float(exact.t[6]) / lr)
    _, history = fl.run(
        method, {"w": exact.w[0]}, clients, rounds=steps, steps=1, batch=None, generator=seeded(),
        probe=lambda s: {f"{i}": float((s.own["dual.w"].abs() > 1).flatten()[i]) for i in range(9)},
    )  # fmt: skip
    seen = torch.tensor([history.values[f"{i}"] for i in range(9)])
    first = torch.where(seen.any(1), seen.argmax(1) * lr, torch.inf)
    entry = exact.entry_times().flatten()
    entry[entry >= exact.t[6]] = torch.inf
    assert first.isfinite().sum() >= 4
    torch.testing.assert_close(first, entry.to(first.dtype), rtol=0.02, atol=2 * lr)


def test_steps_up_to_the_bound_descend_and_beyond_it_need_not() -> None:
    """Two clients, one number, both personal: the curvature in the p-metric is 2L (L = 1)."""
    far = quadratic_clients(torch.ones(2, 1, 1), torch.tensor([[-5.0], [9.0]]))

    def losses(share: float) -> Tensor:
        w, V, kappa = torch.zeros(2, 1).double(), torch.tensor([[-3.0], [3.0]]).double(), 1.0
        sent, seen = {"w": w[0]}, []
        method = personal_path(fl.gradient(quadratic_loss), kappa=kappa, lr=share)
        for _ in range(60):
            used = sent["w"] + kappa * fl.L1().prox(V)
            seen.append(float((used - torch.tensor([[-5.0], [9.0]])).square().mean() / 2))
            answers = [
                method.client(sent, {"dual.w": V[i]}, (far.x[i][None, None], far.y[i][None, None]))
                for i in range(2)
            ]
            sent = {"w": sent["w"] + torch.stack([a["w"] for a, _ in answers]).mean(0)}
            V = torch.stack([o["dual.w"] for _, o in answers])
        return torch.tensor(seen)

    assert bool((losses(0.999).diff() <= 1e-12).all())
    assert bool((losses(1.1).diff() > 1e-3).any())


def test_a_leaf_without_a_penalty_stays_shared_and_groups_leave_together() -> None:
    body = {"b": torch.zeros(2, 3).double(), "h": torch.zeros(2).double()}

    def loss(w, batch):
        return 0.5 * ((w["b"] - batch[0]).square().sum() + (w["h"] - batch[1]).square().sum())

    goals = torch.randn(3, 1, 2, 3, generator=seeded(), dtype=torch.float64)
    heads = torch.randn(3, 1, 2, generator=seeded(1), dtype=torch.float64)
    clients = Clients(
        goals, heads, torch.ones(3, dtype=torch.long), torch.full((3,), 1 / 3).double()
    )
    penalty = {"b": fl.GroupL2(), "h": None}
    method = personal_path(fl.gradient(loss), kappa=5.0, lr=0.05, penalty=penalty)
    state = fl.run(method, body, clients, rounds=30, steps=1, batch=1, generator=seeded())[0]
    used = path_models(state, kappa=5.0, penalty=penalty)
    deviates = used["b"] != state.w["b"]
    assert torch.equal(deviates.any(2), deviates.all(2))  # a row leaves whole
    assert 0 < int(deviates.any(2).sum()) < 6
    assert torch.equal(used["h"], state.w["h"].expand(3, -1))
    with pytest.raises(ValueError, match="must be the same"):
        fl.run(
            personal_path(fl.gradient(loss), kappa=5.0, lr=0.05, penalty={"b": fl.L1()}), body,
            clients, rounds=1, steps=1, batch=1, generator=seeded(),
        )  # fmt: skip


def test_models_of_a_path_are_asked_for_by_their_own_function() -> None:
    clients = centers(3, 2)
    state = run_path(clients, rounds=2, steps=1, kappa=3.0, lr=0.1)
    with pytest.raises(ValueError, match="use path_models"):
        personal_models(state)
    own = fl.run(
        federated.ditto(fl.gradient(quadratic_loss), lr=0.1, lam=1.0),
        {"w": torch.zeros(2).double()}, clients, rounds=1, steps=1, batch=1, generator=seeded(),
    )[0]  # fmt: skip
    for other in (own, federated.State({"w": torch.zeros(2)})):
        with pytest.raises(ValueError, match=r"personal_path|OwnState"):
            path_models(other, kappa=3.0)
    with pytest.raises(ValueError, match="kappa must be"):
        path_models(state, kappa=-1.0)
    with pytest.raises(ValueError, match="lr must be"):
        personal_path(fl.gradient(quadratic_loss), kappa=1.0, lr=0.0)
