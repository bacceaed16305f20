"""Personalization baselines: state of clients, closed forms on quadratics, recursions by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_clients import assert_close, quadratics, ragged_clients, random_quadratics, seeded

from fedlearn_lib import (
    Algorithm,
    Batch,
    Clients,
    Params,
    accuracy_of,
    adapt,
    axpy,
    evaluate,
    fedavg,
    gradient,
    logistic,
    loss_of,
    map_clients,
    mlp,
    norm,
    parameters_of,
    run,
)
from fedlearn_lib.data import GaussianPopulation, quadratic_clients, quadratic_loss
from fedlearn_lib.federated import (
    OwnState,
    State,
    anchored_oracle,
    descend,
    ditto,
    fedprox,
    fedrep,
    local_only,
    partial_oracle,
    personal_models,
    pfedme,
    reptile,
    sample_cohort,
    scaffold,
)

SLOPE = gradient(quadratic_loss)
ORACLE = gradient(loss_of(mlp(4, 5, 3, activation="tanh")))
W0 = {k: v.double() for k, v in parameters_of(mlp(4, 5, 3, activation="tanh")).items()}
HEAD = {"3.weight", "3.bias"}
METHODS: dict[str, Algorithm] = {
    "local": local_only(ORACLE, lr=0.3),
    "fedprox": fedprox(ORACLE, lr=0.3, mu=0.5),
    "scaffold": scaffold(ORACLE, lr=0.3, share=0.5),
    "pfedme": pfedme(ORACLE, lr=0.3, lam=2.0, inner_lr=0.2, inner=3),
    "ditto": ditto(ORACLE, lr=0.3, lam=0.5, own_lr=0.2),
    "reptile": reptile(ORACLE, lr=0.3, epsilon=0.5),
    "fedrep": fedrep(ORACLE, head=HEAD, lr=0.3),
}
STATEFUL = [name for name, method in METHODS.items() if method.own is not None]


def go(algorithm: Algorithm, clients: Clients, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "rounds": 3, "steps": 2, "batch": 3, "generator": seeded(1), "w0": W0
    }  # fmt: skip
    return run(algorithm, clients=clients, **(defaults | options))[0]


def assert_states(a: Any, b: Any, tolerance: float) -> None:
    assert_close(a.w, b.w, tolerance)
    assert a.round == b.round
    if isinstance(a, OwnState):
        assert_close(a.own, b.own, tolerance)


def settle(
    algorithm: Algorithm, A: Tensor, w: Tensor, p: Tensor, *, steps: int, rounds: int
) -> Any:
    """Run on quadratics with all clients in every round."""
    clients = quadratic_clients(A, w, p)
    start = {"w": torch.full((A.shape[-1],), 3.0, dtype=torch.float64)}
    return run(
        algorithm, start, clients, rounds=rounds, steps=steps, batch=None, generator=seeded()
    )[0]


def prox(A: Tensor, w: Tensor, lam: float, anchor: Tensor) -> Tensor:
    """Solve the m problems min_v ½(v−w_i)ᵀA_i(v−w_i) + λ/2 ‖v−a‖²: [m d]."""
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    return torch.linalg.solve(A + lam * eye, torch.einsum("iab,ib->ia", A, w) + lam * anchor)


def weighted(pulls: Tensor, w: Tensor, p: Tensor) -> Tensor:
    """(Σ p_i M_i)⁻¹ Σ p_i M_i w_i."""
    left = torch.einsum("i,iab->ab", p, pulls)
    return torch.linalg.solve(left, torch.einsum("i,iab,ib->a", p, pulls, w))


def power(A: Tensor, eta: float, steps: int) -> Tensor:
    return torch.linalg.matrix_power(torch.eye(A.shape[-1], dtype=A.dtype) - eta * A, steps)


# --- what clients keep


@pytest.mark.parametrize("name", METHODS)
def test_vmap_is_the_loop(name: str) -> None:
    clients = ragged_clients([5, 3, 8, 2])
    one, two = (go(METHODS[name], clients, cohort=2, how=how) for how in ("vmap", "loop"))
    assert_states(one, two, 1e-12)


@pytest.mark.parametrize("name", STATEFUL)
def test_a_round_is_the_loop_written_out(name: str) -> None:
    method, clients, g = METHODS[name], ragged_clients([5, 3, 8, 2]), seeded(1)
    state, own = method.init(W0), [method.own(W0) for _ in range(4)]
    for _ in range(3):
        ids = sample_cohort(4, 2, generator=g)
        x, y = clients.draw(ids, steps=2, batch=3, generator=g)
        sent, share = method.send(state), clients.n[ids] / clients.n[ids].sum()
        mean: dict[str, torch.Tensor] = {}
        for k, i in enumerate(ids.tolist()):
            message, own[i] = method.client(sent, own[i], (x[k], y[k]))
            mean = {n: share[k] * v + mean.get(n, 0) for n, v in message.items()}
        state = method.server(state, mean)
    end = go(method, clients, cohort=2)
    assert_close(end.w, state.w, 1e-6)  # the shares here are float32
    for i in range(4):
        assert_close({k: v[i] for k, v in end.own.items()}, own[i], 1e-6)


@pytest.mark.parametrize("name", STATEFUL)
def test_clients_outside_the_cohort_keep_what_they_had(name: str) -> None:
    method, clients, states = METHODS[name], ragged_clients([5, 3, 8, 2, 6]), []

    def probe(state: Any) -> None:
        states.append(state)

    go(method, clients, cohort=2, rounds=4, probe=probe)
    for before, after in pairwise(states):
        same = torch.stack(
            [
                torch.stack([torch.equal(u, v) * torch.ones(()) for u, v in zip(a, b, strict=True)])
                for a, b in zip(before.own.values(), after.own.values(), strict=True)
            ]
        ).bool()  # [leaves m]
        assert int(same.all(0).sum()) == 3  # m − c clients have not changed in any leaf
        assert int((~same).any(0).sum()) == 2


@pytest.mark.parametrize("name", STATEFUL)
def test_a_probe_may_keep_what_it_sees(name: str) -> None:
    seen, copies = [], []

    def probe(state: Any) -> None:
        seen.append(state.own)
        copies.append({k: v.clone() for k, v in state.own.items()})

    go(METHODS[name], ragged_clients([5, 3, 8]), cohort=2, probe=probe)
    assert all(torch.equal(a[k], b[k]) for a, b in zip(seen, copies, strict=True) for k in a)


@pytest.mark.parametrize("how", ["vmap", "loop"])
def test_keeping_nothing_costs_nothing(how: str) -> None:
    plain, clients = fedavg(ORACLE, lr=0.3), ragged_clients([5, 3, 8, 2])

    def client(w: Params, own: Params, batches: Batch) -> tuple[Params, Params]:
        return plain.client(w, batches), own

    keeps = Algorithm(State, client, plain.server, own=lambda w0: {})
    end = go(keeps, clients, cohort=2, how=how)
    assert_close(end.w, go(plain, clients, cohort=2, how=how).w, 0)
    assert end.own == {}
    assert type(go(plain, clients)) is State


@pytest.mark.parametrize("name", STATEFUL)
def test_permuting_clients_permutes_what_they_keep(name: str) -> None:
    method = {
        "local": local_only(SLOPE, lr=0.3), "scaffold": scaffold(SLOPE, lr=0.3),
        "pfedme": pfedme(SLOPE, lr=0.3, lam=2.0, inner_lr=0.2, inner=3),
        "ditto": ditto(SLOPE, lr=0.3, lam=0.5), "fedrep": None,
    }[name]  # fmt: skip
    if method is None:  # needs two layers
        clients, w0, method = ragged_clients([6, 6, 6]), W0, METHODS["fedrep"]
    else:
        clients, w0 = quadratics(5, 3), {"w": torch.ones(3, dtype=torch.float64)}
    order = torch.randperm(clients.m, generator=seeded(4))
    shuffled = Clients(*(leaf[order] for leaf in clients))
    ends = [go(method, c, batch=None, w0=w0) for c in (clients, shuffled)]
    assert_close(ends[0].w, ends[1].w, 1e-12)
    assert_close({k: v[order] for k, v in ends[0].own.items()}, ends[1].own, 1e-12)


def test_a_lazy_population_can_have_clients_that_keep_something() -> None:
    model = logistic(4, 2)
    method, population = ditto(gradient(loss_of(model)), lr=0.1, lam=1.0), GaussianPopulation(20, 4)
    end = go(method, population, w0=parameters_of(model), cohort=3)  # type: ignore[arg-type]
    assert end.own["1.weight"].shape == (20, 2, 4)
    moved = (end.own["1.weight"] - parameters_of(model)["1.weight"]).abs().sum((1, 2)) > 0
    assert 3 <= int(moved.sum()) <= 9


def test_chunks_count_what_clients_keep() -> None:
    w, own = {"w": torch.zeros(1)}, {"v": torch.zeros(3, 2**22)}  # 16 MB each: one at a time
    calls = []

    def client(w, own, batches):
        calls.append(1)
        return {}, {"v": own["v"] + 1}

    _, own = map_clients(client, w, (torch.zeros(3, 1), torch.zeros(3, 1)), own=own)
    assert len(calls) == 3
    assert own["v"].shape == (3, 2**22)
    assert bool((own["v"] == 1).all())


# --- one shared model


def test_without_a_pull_fedprox_is_fedavg() -> None:
    clients = ragged_clients([5, 3, 8, 2])
    ends = [go(a, clients) for a in (fedprox(ORACLE, lr=0.3, mu=0.0), fedavg(ORACLE, lr=0.3))]
    assert_close(ends[0].w, ends[1].w, 1e-14)
    assert float(norm(axpy(-1.0, go(METHODS["fedprox"], clients).w, ends[1].w))) > 1e-3


@pytest.mark.parametrize(("steps", "mu"), [(1, 0.7), (4, 0.7), (4, 3.0)])
def test_where_fedprox_ends(steps: int, mu: float) -> None:
    """Proposition 7.5: pulls (A+μI)⁻¹A (I − (I−η(A+μI))^τ), and the prox's own for many steps."""
    A, w, p = random_quadratics(4, 3, seed=11)
    B = A + mu * torch.eye(3, dtype=torch.float64)
    pulls = torch.linalg.solve(B, A) @ (torch.eye(3, dtype=torch.float64) - power(B, 0.2, steps))
    end = settle(fedprox(SLOPE, lr=0.2, mu=mu), A, w, p, steps=steps, rounds=250)
    torch.testing.assert_close(end.w["w"], weighted(pulls, w, p), rtol=0, atol=1e-10)


@pytest.mark.parametrize("lam", [0.3, 2.0])
def test_exact_fedprox_and_pfedme_meet(lam: float) -> None:
    """Proposition 7.5: both end at the minimizer of Σ p_i env_i, pFedMe with the prox as own."""
    A, w, p = random_quadratics(4, 3, seed=12)
    B = A + lam * torch.eye(3, dtype=torch.float64)
    star = weighted(lam * torch.linalg.solve(B, A), w, p)
    # the minimizer by another way: the envelopes' gradients, from autograd of their definition
    value = lambda v: sum(  # noqa: E731
        q * (0.5 * (t - c) @ M @ (t - c) + lam / 2 * (t - v).square().sum())
        for q, M, c, t in zip(p, A, w, prox(A, w, lam, v), strict=True)
    )
    assert float(torch.func.grad(value)(star).norm()) < 1e-12
    far = settle(fedprox(SLOPE, lr=0.4, mu=lam), A, w, p, steps=60, rounds=60)
    torch.testing.assert_close(far.w["w"], star, rtol=0, atol=1e-5)  # 0.8^60
    method = pfedme(SLOPE, lr=0.5 / lam, lam=lam, inner_lr=0.2, inner=2)
    end = settle(method, A, w, p, steps=1, rounds=400)
    torch.testing.assert_close(end.w["w"], star, rtol=0, atol=1e-9)
    torch.testing.assert_close(end.own["w"], prox(A, w, lam, star), rtol=0, atol=1e-9)


def test_limits_of_the_common_fixed_point() -> None:
    """Proposition 7.5: λ → ∞ gives the minimizer of f, λ → 0 the mean Σ p_i w_i."""
    A, w, p = random_quadratics(4, 3, seed=13)
    star, mean = weighted(A, w, p), p @ w
    assert float((star - mean).norm()) > 0.05
    gaps = []
    for lam in (1e-5, 1e-3, 1e3, 1e5):
        B = A + lam * torch.eye(3, dtype=torch.float64)
        end = weighted(torch.linalg.solve(B, A), w, p)
        gaps.append(float((end - (mean if lam < 1 else star)).norm()))
    assert 50 < gaps[1] / gaps[0] < 200  # first order in λ, and in 1/λ
    assert 50 < gaps[2] / gaps[3] < 200
    assert gaps[0] < 1e-4
    assert gaps[3] < 1e-4


@pytest.mark.parametrize("steps", [2, 10])
def test_scaffold_does_not_drift(steps: int) -> None:
    """Proposition 7.6: it stands still at the minimizer of f only, with c_i = ∇f_i(w*)."""
    A, w, p = random_quadratics(4, 3, seed=14)
    star, lr = weighted(A, w, p), 0.4 / steps
    end = settle(scaffold(SLOPE, lr=lr), A, w, p, steps=steps, rounds=150)
    torch.testing.assert_close(end.w["w"], star, rtol=0, atol=1e-9)
    slopes = torch.einsum("iab,ib->ia", A, star - w)
    torch.testing.assert_close(end.own["control.w"], slopes, rtol=0, atol=1e-8)
    drifted = settle(fedavg(SLOPE, lr=lr), A, w, p, steps=steps, rounds=150)
    assert float((drifted.w["w"] - star).norm()) > 1e-3


def test_the_minimizer_is_scaffolds_fixed_point_without_quadratics() -> None:
    """Proposition 7.6, second half: losses Σ cos(w_d − c_id) + w_d², uneven weights, one round."""

    def loss(w, batch):
        return (torch.cos(w["w"] - batch[0]) + w["w"] ** 2).sum(-1).mean()

    centers = torch.randn(5, 3, generator=seeded(2)).double()
    clients = Clients.of(centers, torch.zeros(5), [[i] for i in range(5)], p=[1, 2, 3, 2, 1])
    oracle, star = gradient(loss), {"w": torch.zeros(3, dtype=torch.float64)}
    for _ in range(500):
        grads = [oracle(star, (clients.data(i),))["w"] for i in range(5)]
        star = {"w": star["w"] - 0.3 * clients.p @ torch.stack(grads)}
    method = scaffold(oracle, lr=0.05)
    batches = clients.draw(torch.arange(5), steps=7, batch=None, generator=seeded())
    state = method.init(star)
    messages, own = map_clients(
        method.client, method.send(state), batches, own={"control.w": torch.stack(grads)}
    )
    assert float(messages["w"].abs().max()) < 1e-12
    assert float((own["control.w"] - torch.stack(grads)).abs().max()) < 1e-12


def test_scaffold_is_the_papers_recursion() -> None:
    g, clients = seeded(1), ragged_clients([6, 6, 6, 6])
    x, c, ci = W0, {k: 0 * v for k, v in W0.items()}, [{k: 0 * v for k, v in W0.items()}] * 4
    for _ in range(3):
        ids = sample_cohort(4, 2, generator=g)
        bx, by = clients.draw(ids, steps=2, batch=3, generator=g)
        dy, dc = [], []
        for k, i in enumerate(ids.tolist()):
            y = x
            for t in range(2):
                slope = ORACLE(y, ((bx[k, t, 0], by[k, t, 0]),))
                y = {n: y[n] - 0.3 * (slope[n] - ci[i][n] + c[n]) for n in y}
            new = {n: ci[i][n] - c[n] + (x[n] - y[n]) / (2 * 0.3) for n in y}
            dy.append({n: y[n] - x[n] for n in y})
            dc.append({n: new[n] - ci[i][n] for n in y})
            ci[i] = new
        x = {n: x[n] + 0.7 * (dy[0][n] + dy[1][n]) / 2 for n in x}
        c = {n: c[n] + (dc[0][n] + dc[1][n]) / 4 for n in x}  # 1/N times the sum
    end = go(scaffold(ORACLE, lr=0.3, server_lr=0.7, share=0.5), clients, cohort=2)
    assert_close(end.w, x, 1e-12)
    assert_close(end.server.control, c, 1e-12)
    assert_close(end.own, {"control." + n: torch.stack([one[n] for one in ci]) for n in x}, 1e-12)
    mean = {n: torch.stack([one[n] for one in ci]).mean(0) for n in x}
    assert_close(mean, c, 1e-12)  # the server's vector is the mean of the clients'


@pytest.mark.parametrize("epsilon", [0.25, 1.0])
def test_reptile_ends_where_fedavg_ends(epsilon: float) -> None:
    """Proposition 7.7: the fixed point does not depend on ε; the rate is at most 1 − ε(1 − ρ)."""
    A, w, p = random_quadratics(4, 3, seed=15)
    pulls = torch.eye(3, dtype=torch.float64) - power(A, 0.3, 5)
    star, rounds = weighted(pulls, w, p), 40
    far = settle(reptile(SLOPE, lr=0.3, epsilon=epsilon), A, w, p, steps=5, rounds=150)
    torch.testing.assert_close(far.w["w"], star, rtol=0, atol=1e-10)
    average = torch.einsum("i,iab->ab", p, power(A, 0.3, 5))
    rate = 1 - epsilon * (1 - float(torch.linalg.matrix_norm(average, 2)))
    end = settle(reptile(SLOPE, lr=0.3, epsilon=epsilon), A, w, p, steps=5, rounds=rounds)
    start = float((torch.full((3,), 3.0, dtype=torch.float64) - star).norm())
    assert float((end.w["w"] - star).norm()) <= rate**rounds * start + 1e-12


# --- a model of one's own


@pytest.mark.parametrize("lam", [0.1, 1.0, 5.0])
def test_the_prox_of_a_quadratic(lam: float) -> None:
    """Lemma 7.2: many anchored steps end at (A_i+λI)⁻¹(A_iw_i+λa), from any start."""
    A, w, _ = random_quadratics(3, 4, seed=16)
    anchor = torch.linspace(-1, 2, 4, dtype=torch.float64)
    for i in range(3):
        batch = A[i : i + 1], w[i : i + 1]
        oracle = anchored_oracle(SLOPE, {"w": anchor}, lam)
        end = descend(oracle, {"w": torch.ones(4).double()}, batch, lr=0.4 / (1 + lam), steps=400)
        expected = prox(A, w, lam, anchor)[i]
        torch.testing.assert_close(end["w"], expected, rtol=0, atol=1e-10)
        gap = torch.linalg.solve(A[i] + lam * torch.eye(4).double(), lam * (anchor - w[i]))
        torch.testing.assert_close(expected - w[i], gap, rtol=0, atol=1e-12)


def test_ditto_trains_fedavg_and_a_prox() -> None:
    """Proposition 7.3: w is FedAvg's, v_i → prox of f_i at w_∞, with its limits in λ."""
    A, w, p = random_quadratics(4, 3, seed=17)
    shared = settle(fedavg(SLOPE, lr=0.3), A, w, p, steps=4, rounds=150).w["w"]
    before = torch.full((4,), torch.inf, dtype=torch.float64)
    for lam in (1e3, 10.0, 0.3, 1e-3):
        method = ditto(SLOPE, lr=0.3, lam=lam, own_lr=1 / (2 + lam))
        end = settle(method, A, w, p, steps=4, rounds=100)
        torch.testing.assert_close(end.w["w"], shared, rtol=0, atol=1e-10)
        torch.testing.assert_close(end.own["w"], prox(A, w, lam, shared), rtol=0, atol=1e-9)
        gap = (end.own["w"] - w).norm(dim=1)
        assert bool((gap < before).all())  # every client moves towards itself as λ falls
        before = gap
        if lam == 1e3:
            assert float((end.own["w"] - shared).norm(dim=1).max()) < 0.01
    assert float(before.max()) < 0.02


def test_ditto_is_the_papers_recursion() -> None:
    clients, g = ragged_clients([6, 6]), seeded(1)
    w, v = W0, [W0, W0]
    for _ in range(2):
        x, y = clients.draw(torch.arange(2), steps=3, batch=3, generator=g)
        ends = []
        for i in range(2):
            u = w
            for t in range(3):
                batch = ((x[i, t, 0], y[i, t, 0]),)
                slope, own = ORACLE(u, batch), ORACLE(v[i], batch)
                v[i] = {n: v[i][n] - 0.2 * (own[n] + 0.5 * (v[i][n] - w[n])) for n in w}
                u = {n: u[n] - 0.3 * slope[n] for n in u}
            ends.append(u)
        w = {n: (ends[0][n] + ends[1][n]) / 2 for n in w}
    end = go(METHODS["ditto"], clients, rounds=2, steps=3)
    assert_close(end.w, w, 1e-12)
    assert_close(end.own, {n: torch.stack([v[0][n], v[1][n]]) for n in w}, 1e-12)


def test_pfedme_is_the_papers_recursion() -> None:
    clients, g = ragged_clients([6]), seeded(1)
    x, y = clients.draw(torch.arange(1), steps=2, batch=3, generator=g)
    w, theta = W0, W0
    for t in range(2):
        for _ in range(3):
            slope = ORACLE(theta, ((x[0, t, 0], y[0, t, 0]),))
            theta = {n: theta[n] - 0.2 * (slope[n] + 2.0 * (theta[n] - w[n])) for n in w}
        w = {n: w[n] - 0.3 * 2.0 * (w[n] - theta[n]) for n in w}
    after = {n: 0.6 * W0[n] + 0.4 * w[n] for n in w}  # (1 − β) w + β w_i
    method = pfedme(ORACLE, lr=0.3, lam=2.0, inner_lr=0.2, inner=3, server_lr=0.4)
    end = go(method, clients, rounds=1)
    assert_close(end.w, after, 1e-12)
    assert_close({n: v[0] for n, v in end.own.items()}, theta, 1e-12)


@pytest.mark.parametrize("alpha", [0.05, 0.4])
def test_fine_tuning_goes_at_least_as_far_as_the_pull(alpha: float) -> None:
    """Proposition 7.4: (1−αa)^s ≤ 1/(1+αas), the gap that λ = 1/(αs) leaves, in every direction."""
    A, w, _ = random_quadratics(3, 4, seed=18)
    anchor = torch.linspace(-1, 2, 4, dtype=torch.float64)
    for steps in (1, 4, 30):
        for i in range(3):
            batch = A[i : i + 1], w[i : i + 1]
            tuned = adapt(quadratic_loss, {"w": anchor}, batch, alpha, steps)["w"] - w[i]
            pulled = prox(A, w, 1 / (alpha * steps), anchor)[i] - w[i]
            basis = torch.linalg.eigh(A[i]).eigenvectors
            here, there = (basis.mT @ tuned).abs(), (basis.mT @ pulled).abs()
            assert bool((here <= there + 1e-12).all())
            assert float(here.sum()) < float(there.sum()) - 1e-6
            # within one direction a pull that agrees exactly exists, and it is not 1/(αs)
            a = torch.linalg.eigvalsh(A[i])
            left = (1 - alpha * a) ** steps
            lam = a * left / (1 - left)
            torch.testing.assert_close(lam / (a + lam), left, rtol=1e-9, atol=0)


def test_how_much_to_share() -> None:
    """Proposition 7.1: error of v_i = (x̄_i + λw)/(1+λ) by simulation, smallest at σ²/(nζ²)."""
    g, m, n, sigma, zeta, draws = seeded(19), 4, 3, 1.5, 0.8, 400_000
    theta = 0.3 + zeta * torch.randn(draws, m, generator=g, dtype=torch.float64)
    noise = sigma / n**0.5 * torch.randn(draws, m, generator=g, dtype=torch.float64)
    means = theta + noise
    shared = means.mean(1, keepdim=True)
    v = sigma**2 / n
    errors = {}
    for lam in (0.0, v / zeta**2 / 2, v / zeta**2, 2 * v / zeta**2, 1e9):
        kappa = lam / (1 + lam)
        own = (means + lam * shared) / (1 + lam)
        errors[lam] = float((own - theta).square().mean())
        formula = v - (1 - 1 / m) * (2 * kappa * v - kappa**2 * (zeta**2 + v))
        assert errors[lam] == pytest.approx(formula, rel=0.01)  # 1.6 million squares: sd 0.1 %
    best = v / zeta**2
    assert min(errors, key=errors.__getitem__) == best
    assert errors[best] == pytest.approx(v * (1 - (1 - 1 / m) * v / (zeta**2 + v)), rel=0.01)


def test_local_training_is_alone() -> None:
    clients = ragged_clients([6, 4, 5])
    x, y = clients.draw(torch.arange(3), steps=4, batch=3, generator=seeded(1))
    own = {}
    for i in range(3):
        end = W0
        for t in range(4):
            end = axpy(-0.3, ORACLE(end, ((x[i, t, 0], y[i, t, 0]),)), end)
        own[i] = end
    state = go(METHODS["local"], clients, rounds=1, steps=4)
    assert_close(state.w, W0, 0)
    assert_close(state.own, {n: torch.stack([own[i][n] for i in range(3)]) for n in W0}, 1e-12)


def test_fedrep_keeps_heads_at_home() -> None:
    clients = ragged_clients([6, 4])
    x, y = clients.draw(torch.arange(2), steps=2, batch=3, generator=seeded(1))
    bodies, heads = [], []
    for i in range(2):
        model = dict(W0)
        for part in (HEAD, W0.keys() - HEAD):
            for t in range(2):
                slope = ORACLE(model, ((x[i, t, 0], y[i, t, 0]),))
                model = {n: v - 0.3 * slope[n] * (n in part) for n, v in model.items()}
        bodies.append({n: v for n, v in model.items() if n not in HEAD})
        heads.append({n: v for n, v in model.items() if n in HEAD})
    state = go(METHODS["fedrep"], clients, rounds=1)
    share = clients.p
    body = {n: share[0] * bodies[0][n] + share[1] * bodies[1][n] for n in bodies[0]}
    assert_close({n: state.w[n] for n in body}, body, 1e-12)
    assert_close({n: state.w[n] for n in HEAD}, {n: W0[n] for n in HEAD}, 0)
    assert_close(state.own, {n: torch.stack([h[n] for h in heads]) for n in HEAD}, 1e-12)
    message, _ = METHODS["fedrep"].client(W0, {n: W0[n] for n in HEAD}, (x[0], y[0]))
    assert message.keys() == W0.keys() - HEAD  # what travels


def test_only_moves_only() -> None:
    batch = ragged_clients([6]).data(0)
    end = descend(partial_oracle(ORACLE, HEAD), W0, batch, lr=0.5, steps=3)
    assert all(torch.equal(end[n], W0[n]) != (n in HEAD) for n in W0)


def test_descend_is_adapt() -> None:
    loss = loss_of(mlp(4, 5, 3, activation="tanh"))
    batch = ragged_clients([6]).data(0)
    for steps in (0, 1, 5):
        assert_close(
            descend(gradient(loss), W0, batch, lr=0.4, steps=steps),
            adapt(loss, W0, batch, 0.4, steps), 0,
        )  # fmt: skip


# --- scores of clients that have a model of their own


@pytest.mark.parametrize("how", ["vmap", "loop"])
@pytest.mark.parametrize("name", ["local", "ditto", "pfedme", "fedrep"])
def test_own_models_are_scored_each_on_its_client(name: str, how: str) -> None:
    model = mlp(4, 5, 3, activation="tanh").double()
    train, test = ragged_clients([5, 9, 5], seed=1), ragged_clients([4, 7, 2], seed=2)
    state = go(METHODS[name], train, rounds=15)
    own, loss = personal_models(state), loss_of(model)
    metric = loss_of(model, lambda outputs, y: -outputs.log_softmax(-1)[:, 0] * y)
    scores = evaluate(
        metric, own, train, test, own=True, batch=4, generator=seeded(3), how=how,
        adapt=lambda v, batch: descend(
            anchored_oracle(gradient(loss), state.w, 0.5), v, batch, lr=2.0, steps=3
        ),
    )  # fmt: skip
    x, y = train.draw(torch.arange(3), steps=1, batch=4, generator=seeded(3))
    for i in range(3):
        mine = {n: v[i] for n, v in own.items()}
        assert float(scores["before"][i]) == pytest.approx(float(metric(mine, test.data(i)).mean()))
        moved = mine
        for _ in range(3):
            slope = gradient(loss)(moved, ((x[i, 0, 0], y[i, 0, 0]),))
            moved = {n: v - 2.0 * (slope[n] + 0.5 * (v - state.w[n])) for n, v in moved.items()}
        assert float(scores["after"][i]) == pytest.approx(float(metric(moved, test.data(i)).mean()))
    assert not torch.equal(scores["before"], scores["after"])


# --- what is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: anchored_oracle(SLOPE, W0, -1.0), "lam must be a finite number.*-1.0"),
        (lambda: fedprox(SLOPE, lr=0.1, mu=torch.nan), "mu must be.*nan"),
        (lambda: fedprox(SLOPE, lr=0.0, mu=1.0), "lr must be"),
        (lambda: ditto(SLOPE, lr=0.1, lam="1"), "lam must be.*'1'"),
        (lambda: pfedme(SLOPE, lr=0.1, lam=1.0, inner_lr=0.1, inner=0), "inner must be.*0"),
        (lambda: reptile(SLOPE, lr=0.1, epsilon=-1.0), "epsilon must be.*-1.0"),
        (lambda: reptile(SLOPE, lr=-1.0, epsilon=0.5), "lr must be.*-1.0"),
        (lambda: ditto(SLOPE, lr=0.1, lam=1.0, own_lr=-1), "own_lr must be.*-1"),
        (lambda: ditto(SLOPE, lr=-1, lam=1.0), "^lr must be"),
        (lambda: pfedme(SLOPE, lr=0.1, lam=1.0, inner_lr=-1, inner=1), "inner_lr must be.*-1"),
        (lambda: pfedme(SLOPE, lr=-1, lam=1.0, inner_lr=0.1, inner=1), "^lr must be"),
        (lambda: fedrep(ORACLE, head=HEAD, lr=-0.5), "lr must be.*-0.5"),
        (lambda: descend(SLOPE, W0, (torch.ones(1),) * 2, lr=-1, steps=0), "lr must be.*-1"),
        (lambda: scaffold(SLOPE, lr=0.1, share=0.0), r"share must be.*0\.0; pass cohort / m"),
        (lambda: partial_oracle(lambda w, draws: w, {"haed"})(W0, ()), "names.*'haed'"),
        (lambda: go(fedavg(partial_oracle(ORACLE, {"haed"}), lr=0.1), ragged_clients([3])), "haed"),
        (lambda: partial_oracle(SLOPE, set()), "names must.*at least one"),
        (lambda: partial_oracle(SLOPE, "3.weight"), "names must.*'3.weight'"),
        (lambda: go(fedrep(ORACLE, head={"9.bias"}, lr=0.1), ragged_clients([3])), "head must"),
        (lambda: go(fedrep(ORACLE, head=set(W0), lr=0.1), ragged_clients([3])), "not all"),
        (lambda: descend(SLOPE, W0, (torch.ones(1), torch.ones(1)), lr=0.1, steps=-1), "steps"),
        (lambda: personal_models(State(W0)), "state must come from.*ditto, got State"),
        (
            lambda: evaluate(
                accuracy_of(logistic(4, 3)), W0, ragged_clients([2, 2, 2, 2]),
                ragged_clients([2, 2, 2, 2]), own=True,
            ),
            "one row for each of the 4 clients.*personal_models",
        ),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
