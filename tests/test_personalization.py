"""The path from one model for all to everybody's own: the exact one, and the one in rounds."""

from __future__ import annotations

import math
import sys
import warnings

import pytest
import torch
from scipy import optimize
from torch import Tensor
from toy_clients import quadratics, random_quadratics, seeded

import fedlearn_lib as fl
from fedlearn_lib import Clients, federated, iss_path
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
    """Proposition 14.3 and Theorem 14.2, part 3: conditions and end from times and models."""
    clients = linear_clients([9, 12, 7], 3, p=p)
    path = personalization_path(clients)
    check_path(path, clients)
    assert len(path.t) >= 6
    used = path.w[-1] + path.delta[-1]
    assert slopes(clients, used).abs().max() < 1e-10  # everybody's own at the end


def test_it_starts_at_the_pooled_model_and_at_the_largest_disagreement() -> None:
    """Theorem 14.4: the time of the first entry and its name."""
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
    """Theorem 14.5: no other value in use costs less, and no side has more than half."""
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
    """Proposition 14.6: the mean of those who share."""
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


def test_what_another_thread_says_meanwhile_is_not_taken_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In Colab the kernel's thread says that a clock is deprecated, between two knots."""
    module = sys.modules["fedlearn_lib.federated.personalization_path"]

    def disturbed(*args, **kwargs):
        warnings.warn("utcnow() is deprecated", DeprecationWarning, stacklevel=1)
        return iss_path(*args, **kwargs)

    monkeypatch.setattr(module, "iss_path", disturbed)
    with pytest.warns() as said:
        personalization_path(linear_clients([9, 12, 7], 3))
    assert [one.category for one in said] == [DeprecationWarning]


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


def minimum_on_cone(losses, p: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
    """SciPy minimizes the mean loss over w and the deviations that the accounts allow."""
    m, d = V.shape
    signs = torch.where(V.abs() > 1 - 1e-7, V.sign(), 0.0).flatten().tolist()
    cone = [{0: (0, 0), 1: (0, None), -1: (None, 0)}[int(sign)] for sign in signs]

    def total(z):
        z = torch.tensor(z, requires_grad=True)
        value = sum(q * f(z[:d] + v) for q, f, v in zip(p, losses, z[d:].view(m, d), strict=True))
        return value.item(), torch.autograd.grad(value, z)[0].numpy()

    found = optimize.minimize(
        total, torch.zeros(d + m * d).double().numpy(), jac=True, method="L-BFGS-B",
        bounds=[(None, None)] * d + cone, options={"maxiter": 9000, "ftol": 1e-16, "gtol": 1e-11},
    )  # fmt: skip
    z = torch.tensor(found.x)
    return z[:d], z[d:].view(m, d)


def test_a_logistic_path_jumps_where_a_small_step_of_rounds_sees_it_jump() -> None:
    """Theorem 14.2: knots by minima over cones, against Algorithm 14.7 with a large κ."""
    g = seeded(4)
    x = torch.randn(3, 12, 2, generator=g, dtype=torch.float64)
    slant = torch.tensor([[1.0, -1.0], [0.5, 2.0], [-1.5, 0.5]]).double()
    chance = torch.sigmoid(torch.einsum("ind,id->in", x, slant))
    y = (torch.rand(3, 12, generator=g, dtype=torch.float64) < chance).double()
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    ridge = 0.05  # bounded level sets, also where the classes can be separated

    def risk(i: int):
        return lambda u: loss(x[i] @ u, y[i]) + ridge * u.square().sum() / 2

    risks, p = [risk(i) for i in range(3)], torch.full((3,), 1 / 3).double()
    t, V, entered, start = 0.0, torch.zeros(3, 2).double(), torch.full((3, 2), torch.inf), None
    for _ in range(5):
        w, delta = minimum_on_cone(risks, p, V)
        start = w if start is None else start
        entered = torch.where((delta != 0) & entered.isinf(), t, entered)
        used = (w + delta).requires_grad_()
        income = -torch.autograd.grad(sum(f(u) for f, u in zip(risks, used, strict=True)), used)[0]
        income[income.abs() < 1e-7] = 0
        wait = torch.where(income != 0, (income.sign() - V) / income, torch.inf)
        step = float(wait[wait > 1e-9].min())
        if math.isinf(step):
            t = 1.1 * t  # the path has ended; look a little beyond
            break
        t, V = t + step, V + step * income
    clients = Clients(x, y, torch.full((3,), 12), p)
    method = personal_path(
        fl.gradient(lambda u, b: loss(b[0] @ u["w"], b[1]) + ridge * u["w"].square().sum() / 2),
        kappa=800.0, lr=0.002,
    )  # fmt: skip
    seen = torch.full((3, 2), torch.inf)

    def watch(state) -> None:
        full = state.own["dual.w"].abs() > 1
        seen[full & seen.isinf()] = state.round * 0.002

    fl.run(
        method, {"w": start}, clients, rounds=int(t / 0.002), steps=1, batch=None,
        generator=seeded(), probe=watch,
    )  # fmt: skip
    entered[entered >= t] = torch.inf
    assert entered.isfinite().sum() >= 3
    torch.testing.assert_close(seen, entered, rtol=0.02, atol=0.01)


def test_the_clock_is_between_its_bounds_and_meets_them() -> None:
    """Theorem 14.4: TV, Wasserstein distance and γ_G of mean estimation on a few atoms."""
    g = seeded(6)
    for k in range(50):
        atoms = torch.randn(6, 2, generator=g, dtype=torch.float64)
        laws = torch.rand(3, 6, generator=g, dtype=torch.float64) ** 3
        laws, p = laws / laws.sum(1, True), torch.tensor([0.5, 0.3, 0.2]).double()
        if k == 0:  # two opposite clients: all bounds are equalities
            atoms = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double()
            laws, p = torch.eye(2).double(), torch.tensor([0.5, 0.5]).double()
        pool = p @ laws
        gaps = laws @ atoms - pool @ atoms
        t1, B = 1 / float(gaps.abs().max()), float((atoms - pool @ atoms).norm(dim=1).max())
        tv = [float(fl.total_variation(law, pool)) for law in laws]
        w1 = [transported(atoms, law, pool) for law in laws]
        spread = float((p @ gaps.square().sum(1)).sqrt())
        lows = [1 / (2 * B * max(tv)), 1 / max(w1)]
        assert max(lows) <= t1 * (1 + 1e-9)
        assert t1 <= (2**0.5 if k else 1) / spread * (1 + 1e-9)
        if k == 0:
            assert [*lows, 1 / spread] == pytest.approx([t1] * 3)


def transported(atoms: Tensor, one: Tensor, other: Tensor) -> float:
    """W₁ by a linear program."""
    n = len(atoms)
    rows = torch.cat([torch.eye(n).repeat_interleave(n, 1), torch.eye(n).repeat(1, n)]).double()
    plan = optimize.linprog(
        torch.cdist(atoms, atoms).flatten().numpy(), A_eq=rows.numpy(),
        b_eq=torch.cat([one, other]).numpy(),
    )  # fmt: skip
    return float(plan.fun)


def test_accounts_of_those_who_share_have_a_closed_form() -> None:
    """Proposition 14.6: a client that has left counts by its sign alone; and Huber's estimate."""
    c = torch.tensor([-3.0, -1.0, 0.2, 1.1, 2.5, 4.0, 9.0]).double()
    p = torch.tensor([0.1, 0.2, 0.15, 0.1, 0.2, 0.15, 0.1]).double()
    path = personalization_path(Clients.of(torch.ones(7, 1), c, [[i] for i in range(7)], p))
    V = torch.zeros(7).double()
    for k in range(len(path.t) - 1):
        w, shares = path.w[k, 0], path.delta[k, :, 0] == 0
        q = p[shares].sum()
        assert w == pytest.approx(float(p[shares] @ c[shares] / q))
        said = path.t[k] * (c - w) - (p * V)[~shares].sum() / q
        torch.testing.assert_close(V[shares], said[shares], rtol=0, atol=1e-12)
        V = V + (path.t[k + 1] - path.t[k]) * torch.where(shares, c - w, 0.0)
        V = torch.where(V.abs() > 1 - 1e-9, V.sign(), V)

    def huber(w: float, lam: float) -> float:
        gap = (c - w).abs()
        return float(p @ torch.where(gap <= lam, gap**2 / 2, lam * gap - lam**2 / 2))

    def lasso(z, lam: float) -> float:
        gap = c - z[0] - torch.tensor(z[1:])
        return float(p @ (gap**2 / 2 + lam * torch.tensor(z[1:]).abs()))

    for lam in (0.5, 2.0):
        best = optimize.minimize_scalar(lambda w: huber(w, lam), bounds=(-3, 9), method="bounded")  # noqa: B023
        delta = (c - best.x) - (c - best.x).clamp(-lam, lam)
        assert lasso([best.x, *delta.tolist()], lam) == pytest.approx(best.fun, abs=1e-9)
        for h in (-0.1, 0.1):  # a convex problem: no direction of w leads down
            near = best.x + h
            moved = (c - near) - (c - near).clamp(-lam, lam)
            assert lasso([near, *moved.tolist()], lam) > best.fun


def test_first_order_is_exact_for_a_path_and_not_for_a_step() -> None:
    """Proposition 14.9: difference quotients of the loss after adapting."""
    g = seeded(9)
    R = torch.randn(5, 5, generator=g, dtype=torch.float64)
    H, goal = R @ R.T / 5 + 0.4 * torch.eye(5), torch.randn(5, generator=g, dtype=torch.float64)
    root = torch.linalg.cholesky(H).T * 5**0.5

    def loss(u: Tensor) -> float:
        return float((u - goal) @ H @ (u - goal)) / 2

    def by_path(w: Tensor) -> Tensor:
        return w + fl.iss_path(root, root @ (goal - w), t_max=2.0).w[-1]

    def by_step(w: Tensor) -> Tensor:
        return w - 0.3 * H @ (w - goal)

    for adapt, exact in ((by_path, True), (by_step, False)):
        for _ in range(10):
            w = goal + 2 * torch.randn(5, generator=g, dtype=torch.float64)
            steps = 1e-5 * torch.eye(5).double()
            slope = torch.tensor([loss(adapt(w + e)) - loss(adapt(w - e)) for e in steps]) / 2e-5
            plain = H @ (adapt(w) - goal)
            assert bool((slope - plain).abs().max() < 1e-6) == exact
            if exact:
                assert bool((plain[adapt(w) != w].abs() < 1e-9).all())


@pytest.mark.parametrize("s", [1, 4, 5])
def test_the_irrepresentable_value_of_few_among_many(s: int) -> None:
    """Proposition 14.10: from stacked data with orthonormal columns, for all signs."""
    m, d, n = 9, 2, 4
    X = n**0.5 * torch.linalg.qr(torch.randn(m, n, d, generator=seeded(), dtype=torch.float64)).Q
    A, B = X.flatten(0, 1), torch.block_diag(*X)
    design = B - A @ torch.linalg.lstsq(A, B).solution
    gram = (design.T @ design).view(m, d, m, d)
    assert gram[:, 0, :, 1].abs().max() < 1e-12  # numbers do not mix
    G = gram[:, 0, :, 0]
    value = (G[s:, :s] @ torch.linalg.inv(G[:s, :s])).abs().sum(1).max()
    assert float(value) == pytest.approx(s / (m - s))


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
    """Theorem 14.8, part 2."""
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
    """Theorem 14.8, part 3, with FedAvg's drift beside it."""
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
    """Theorem 14.8, part 1: two clients, one number, both personal, curvature 2L with L = 1."""
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


def test_a_model_must_not_use_the_marks_of_what_is_kept() -> None:
    """A layer called control would be taken for a control variate, and never be trained."""
    slope = fl.gradient(quadratic_loss)
    with pytest.raises(ValueError, match=r"begin with 'control.', .* got \['control.w'\]; rename"):
        federated.scaffold(slope, lr=0.1).init({"w": torch.zeros(2), "control.w": torch.zeros(2)})
    method = personal_path(slope, kappa=1.0, lr=0.1)
    assert method.own is not None
    with pytest.raises(ValueError, match=r"begin with 'dual.', .* got \['dual.w'\]; rename"):
        method.own({"dual.w": torch.zeros(2)})


@pytest.mark.parametrize("name", ["control.w", "dual.w"])
def test_models_of_other_methods_may_be_named_like_the_marks(name: str) -> None:
    """Ditto keeps models; a layer of them must neither be dropped nor taken for an account."""
    own = {name: torch.tensor([[1.0], [2.0]])}
    state = federated.OwnState(federated.State({name: torch.zeros(1)}), own)
    assert torch.equal(personal_models(state)[name], own[name])
