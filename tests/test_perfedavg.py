"""Per-FedAvg against closed forms, against FedAvg, and against the ways to get it wrong."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from test_drift import bound
from test_quadratics import fixed_point, minimizer, pull
from torch import Tensor
from torch.nn import functional
from toy_clients import assert_close, quadratics, ragged_clients, random_quadratics, seeded
from toy_meta import (
    curvature,
    hessian_at_the_adapted_point,
    made_of,
    meta_step,
    one_batch_for_all,
    outer_step_from_the_adapted_point,
    two_plain_steps,
)

from fedlearn_lib import (
    Algorithm,
    Clients,
    adapt,
    axpy,
    evaluate,
    fedavg,
    gradient,
    loss_of,
    maml_gradient,
    mlp,
    norm,
    parameters_of,
    perfedavg,
    run,
)
from fedlearn_lib.data import quadratic_clients, quadratic_loss

MODES = ("exact", "hf", "fo")
ALPHA, BETA = 0.3, 1.5  # eigenvalues of the toy curvatures lie in [0.2, 2]: αλ ≤ 0.6, βc(λ) < 2


def per(mode: str, alpha: float = ALPHA, beta: float = BETA) -> Algorithm:
    return perfedavg(quadratic_loss, alpha=alpha, beta=beta, mode=mode)


def end_of(algorithm, clients, *, steps=1, rounds=120, start=None, batch=1, how="vmap") -> Tensor:
    d = clients.x.shape[-1]
    w0 = {"w": torch.full((d,), 4.0, dtype=torch.float64) if start is None else start}
    state, _ = run(algorithm, w0, clients, rounds=rounds, steps=steps, batch=batch,
                   generator=seeded(), how=how)  # fmt: skip
    end: Tensor = state.w["w"]
    return end


# Closed forms ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_the_direction_on_a_quadratic(mode: str) -> None:
    """Lemma 4.3: C_i (w − w_i) with C_i = J_i A_i J_i (exact, hf) or A_i J_i (fo)."""
    A, w, _ = random_quadratics(m=4, d=3, seed=11)
    v = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    for i in range(4):
        D = (A[i : i + 1], w[i : i + 1])
        found = maml_gradient(quadratic_loss, ALPHA, mode, delta=0.5)({"w": v}, (D, D, D))["w"]
        formula = curvature(A, ALPHA, mode)[i] @ (v - w[i])
        torch.testing.assert_close(found, formula, rtol=0, atol=1e-12)  # hf: round-off / δ
        J = torch.eye(3, dtype=torch.float64) - ALPHA * A[i]
        after = adapt(quadratic_loss, {"w": v}, D, ALPHA)
        F = 0.5 * (v - w[i]) @ J @ A[i] @ J @ (v - w[i])
        torch.testing.assert_close(quadratic_loss(after, D), F, rtol=0, atol=1e-13)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("steps", "beta", "rounds"), [(1, 1.5, 110), (2, 1.0, 90), (8, 0.2, 110)])
def test_rounds_converge_to_the_closed_form(steps: int, beta: float, rounds: int, mode) -> None:
    """Proposition 4.4: the fixed point of FedAvg with the curvatures C_i and the step β."""
    A, w, p = random_quadratics(m=5, d=3, seed=steps)
    end = end_of(per(mode, beta=beta), quadratic_clients(A, w, p), steps=steps, rounds=rounds)
    star = fixed_point(curvature(A, ALPHA, mode), w, p, beta, steps)
    torch.testing.assert_close(end, star, rtol=0, atol=1e-10)
    for other in {"fedavg", "exact", "fo"} - {"exact" if mode == "hf" else mode}:
        wrong = fixed_point(curvature(A, ALPHA, other), w, p, beta, steps)
        assert float((end - wrong).norm()) > 0.01  # the three answers are far apart


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(3))
def test_the_distance_shrinks_by_rho_in_every_round(seed: int, mode: str) -> None:
    """Proposition 4.4: ‖T‖ = ‖Σ p_i (I − βC_i)^τ‖ < 1 bounds the ratio of successive distances."""
    A, w, p = random_quadratics(m=4, d=3, seed=seed)
    C, steps = curvature(A, ALPHA, mode), 3
    beta = 1.9 / float(torch.linalg.eigvalsh(C).max())
    star, eye = fixed_point(C, w, p, beta, steps), torch.eye(3, dtype=torch.float64)
    left = torch.einsum("i,iab->ab", p, eye - pull(C, beta, steps))
    rho = float(torch.linalg.matrix_norm(left, 2))
    assert rho < 1
    here, clients = torch.full((3,), 5.0, dtype=torch.float64), quadratic_clients(A, w, p)
    for _ in range(5):
        after = end_of(per(mode, beta=beta), clients, steps=steps, rounds=1, start=here)
        assert float((after - star).norm()) <= rho * float((here - star).norm()) + 1e-12
        here = after


def one_dimension(a: list[float], w: list[float]) -> Clients:
    curvatures = torch.tensor(a, dtype=torch.float64)[:, None, None]
    return quadratic_clients(curvatures, torch.tensor(w, dtype=torch.float64)[:, None])


def test_a_curvature_above_one_over_alpha_repels_first_order_only() -> None:
    """Proposition 4.4: with αλ > 1 first order has a negative weight and runs away."""
    clients = one_dimension([4.0, 0.5], [0.0, 1.0])  # α = ½: αλ = 2 and ¼
    exact = end_of(per("exact", alpha=0.5, beta=0.2), clients, rounds=200)
    weights = torch.tensor([4.0 * 1, 0.5 * 0.75**2], dtype=torch.float64)
    torch.testing.assert_close(exact[0], weights[1] / weights.sum(), rtol=0, atol=1e-10)
    assert float(end_of(per("fo", alpha=0.5, beta=0.2), clients, rounds=60).abs()) > 1e6


@pytest.mark.parametrize("mode", ["exact", "fo"])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_client_that_one_step_brings_home_has_no_say(steps: int, mode: str) -> None:
    """Corollary 4.5: αA_i = I makes C_i = 0, whatever client i wants and whatever τ is."""
    A, w, p = random_quadratics(m=4, d=3, seed=12)
    A[0] = torch.eye(3, dtype=torch.float64) / ALPHA
    w[0] = 0.0
    moved = w.clone()
    moved[0] = torch.tensor([100.0, -50.0, 7.0])
    ends = [
        end_of(per(mode), quadratic_clients(A, v, p), steps=steps, rounds=300 // steps)
        for v in (w, moved)
    ]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-10)
    rest = p[1:] / p[1:].sum()
    expected = fixed_point(curvature(A[1:], ALPHA, mode), w[1:], rest, BETA, steps)
    torch.testing.assert_close(ends[0], expected, rtol=0, atol=1e-10)
    plain = [end_of(fedavg(gradient(quadratic_loss), lr=0.1), quadratic_clients(A, v, p),
                    steps=1) for v in (w, moved)]  # fmt: skip
    assert float((plain[0] - plain[1]).norm()) > 1


@pytest.mark.parametrize("mode", ["exact", "fo"])
def test_equal_curvatures_or_equal_minimizers_end_where_fedavg_ends(mode: str) -> None:
    """Corollary 4.5: then all three answer Σ p_i w_i, or the common minimizer."""
    A, w, p = random_quadratics(m=4, d=3, seed=13)
    same = end_of(per(mode), quadratic_clients(A[:1].expand(4, 3, 3), w, p), steps=3)
    torch.testing.assert_close(same, p @ w, rtol=0, atol=1e-10)
    agreed = end_of(per(mode), quadratic_clients(A, w[:1].expand(4, 3), p), steps=3)
    torch.testing.assert_close(agreed, w[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("mode", ["exact", "fo"])
@pytest.mark.parametrize("steps", [2, 6])
def test_local_steps_drift_from_the_minimizer_of_F(steps: int, mode: str) -> None:
    """Proposition 4.6: a unit step on the surrogate, and its drift to first order in β."""
    A, w, p = random_quadratics(m=5, d=3, seed=14)
    C = curvature(A, ALPHA, mode)
    M = pull(C, BETA, steps)

    def surrogate(v: Tensor) -> Tensor:
        return 0.5 * torch.einsum("i,ia,iab,ib->", p, v - w, M, v - w)

    start = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    after = end_of(per(mode), quadratic_clients(A, w, p), steps=steps, rounds=1, start=start)
    torch.testing.assert_close(start - after, torch.func.grad(surrogate)(start), rtol=0, atol=1e-13)

    star, mean = minimizer(C, w, p), torch.einsum("i,iab->ab", p, C)
    covariance = torch.einsum("i,iab,ibc,ic->a", p, C, C, star - w)
    errors = []
    for beta in (1e-3, 5e-4):
        predicted = beta * (steps - 1) / 2 * torch.linalg.solve(mean, covariance)
        errors.append(float((fixed_point(C, w, p, beta, steps) - star - predicted).norm()))
        assert errors[-1] < 0.05 * float(predicted.norm())
    assert 3.8 < errors[0] / errors[1] < 4.2  # second order: half the step, a quarter of the error


@pytest.mark.parametrize(("mode", "power"), [("exact", 2), ("fo", 1), ("fedavg", 0)])
def test_personalization_and_drift_move_the_same_way(mode: str, power: int) -> None:
    """Proposition 4.7: (jα + β(τ−1)/2) A⁻¹ Σ p_i A_i ∇f_i(w*), with j = 2, 1, 0."""
    A, w, p = random_quadratics(m=5, d=3, seed=15)
    star, mean = minimizer(A, w, p), torch.einsum("i,iab->ab", p, A)
    direction = torch.linalg.solve(mean, torch.einsum("i,iab,ibc,ic->a", p, A, A, star - w))
    errors = []
    for size in (1e-3, 5e-4):
        alpha, beta, steps = size, 0.7 * size, 4
        end = fixed_point(curvature(A, alpha, mode), w, p, beta, steps)
        predicted = (power * alpha + beta * (steps - 1) / 2) * direction
        errors.append(float((end - star - predicted).norm()))
        assert errors[-1] < 0.05 * float(predicted.norm())
    assert 3.8 < errors[0] / errors[1] < 4.2


# FedAvg with another oracle ----------------------------------------------------------------------


def tiny(m: int = 4) -> tuple[Clients, dict[str, Tensor], object]:
    model = mlp(4, 5, 3, activation="tanh").double()
    return ragged_clients([6] * m), parameters_of(model), loss_of(model)


def test_it_is_federated_averaging_on_the_losses_after_a_step() -> None:
    """Proposition 4.2: the same iterates as FedAvg on F_i, which autograd differentiates."""
    clients, w, loss = tiny()

    def after_a_step(u, batch):
        slopes = torch.func.grad(loss)(u, batch)
        return loss({k: u[k] - 0.4 * slopes[k] for k in u}, batch)

    options = {"rounds": 4, "steps": 3, "batch": None}
    mine = perfedavg(loss, alpha=0.4, beta=0.3)
    theirs = fedavg(lambda u, draws: torch.func.grad(after_a_step)(u, draws[0]), lr=0.3)
    ends = [run(a, w, clients, generator=seeded(), **options)[0].w for a in (mine, theirs)]
    assert_close(ends[0], ends[1], 1e-12)
    plain, _ = run(fedavg(gradient(loss), lr=0.3), w, clients, generator=seeded(), **options)
    assert float(norm(axpy(-1.0, plain.w, ends[0]))) > 1e-2


@pytest.mark.parametrize(("beta", "steps"), [(0.05, 2), (0.02, 10), (0.2, 4)])
def test_the_error_of_a_round_is_bounded_with_the_constant_of_F(beta: float, steps: int) -> None:
    """Proposition 4.2 carries Proposition 1.8 over: f_i(w) = Σ cos(w_d − c_id), L = ρ = 1."""

    def loss(w, batch):
        return torch.cos(w["w"] - batch[0]).sum(-1).mean()

    alpha = 0.5
    L_F = (
        1 + alpha
    ) ** 2 + alpha  # one coordinate at a time: |cos'| ≤ 1, |cos''| ≤ 1, |cos'''| ≤ 1
    centers = torch.randn(6, 3, generator=seeded(1)).double()
    clients = Clients.of(centers, torch.zeros(6), [[i] for i in range(6)])
    w = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    slope = maml_gradient(loss, alpha)
    grads = torch.stack([slope({"w": w}, (clients.data(i),) * 3)["w"] for i in range(6)])
    after = end_of(perfedavg(loss, alpha=alpha, beta=beta), clients, steps=steps, rounds=1, start=w)
    error = ((w - after) / (beta * steps) - grads.mean(0)).norm()
    size = grads.norm(dim=1).mean()
    assert 0 < float(error) <= bound(beta, L_F, steps) * float(size)


@pytest.mark.parametrize("mode", MODES)
def test_without_adaptation_it_is_fedavg(mode: str) -> None:
    clients, w, loss = tiny()
    options = {"rounds": 3, "steps": 2, "batch": None}
    mine, _ = run(perfedavg(loss, alpha=0.0, beta=0.3, mode=mode), w, clients,
                  generator=seeded(), **options)  # fmt: skip
    plain, _ = run(fedavg(gradient(loss), lr=0.3), w, clients, generator=seeded(), **options)
    assert_close(mine.w, plain.w, 1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_identical_clients_are_one_client(mode: str) -> None:
    clients, w, loss = tiny(1)
    many = Clients(*(leaf.expand(5, *leaf.shape[1:]) for leaf in clients[:3]),
                   p=torch.full((5,), 0.2).double())  # fmt: skip
    algorithm = perfedavg(loss, alpha=0.4, beta=0.3, mode=mode)
    options = {"rounds": 3, "steps": 4, "batch": None}
    alone, _ = run(algorithm, w, clients, generator=seeded(), **options)
    together, _ = run(algorithm, w, many, generator=seeded(), **options)
    assert_close(alone.w, together.w, 1e-11)  # hf divides round-off by δ = 1e-3


@pytest.mark.parametrize("mode", MODES)
def test_permuting_clients_changes_nothing(mode: str) -> None:
    clients = quadratics(6, 3)
    order = torch.randperm(6, generator=seeded(4))
    shuffled = Clients(*(leaf[order] for leaf in clients))
    ends = [end_of(per(mode), c, steps=4, rounds=3) for c in (clients, shuffled)]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_vmap_is_the_loop(mode: str) -> None:
    clients, w, loss = tiny()
    algorithm = perfedavg(loss, alpha=0.4, beta=0.3, mode=mode)
    ends = [
        run(algorithm, w, clients, rounds=2, cohort=3, steps=2, batch=4, generator=seeded(),
            how=how)[0].w for how in ("vmap", "loop")
    ]  # fmt: skip
    assert float(norm(axpy(-1.0, w, ends[0]))) > 0.1
    assert_close(ends[0], ends[1], 1e-11)


def test_first_order_draws_two_batches_a_step_and_the_others_three() -> None:
    assert {mode: per(mode).draws for mode in MODES} == {"exact": 3, "hf": 3, "fo": 2}


def test_the_message_is_the_change_and_nothing_moves() -> None:
    clients, w, loss = tiny()
    before = {name: value.clone() for name, value in w.items()}
    batches = clients.draw(torch.arange(4), steps=2, draws=3, batch=4, generator=seeded())
    client = perfedavg(loss, alpha=0.4, beta=0.3).client
    first = client(w, (batches[0][0], batches[1][0]))
    assert_close(first, client(w, (batches[0][0], batches[1][0])), 0.0)
    assert_close(w, before, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.1, "beta": 0.0}, "beta must be a positive finite number, got 0.0"),
        ({"alpha": -0.1, "beta": 0.1}, "alpha must be a finite number of at least 0, got -0.1"),
        ({"alpha": 0.1, "beta": 0.1, "mode": "reptile"}, "mode must be one of.*'reptile'"),
        ({"alpha": 0.1, "beta": 0.1, "delta": 0}, "delta must be a positive finite number, got 0"),
    ],
)
def test_bad_arguments_are_refused(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        perfedavg(quadratic_loss, **options)


# Implementations that look right -----------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 4])
def test_the_algorithm_word_by_word_ends_where_the_library_ends(steps: int) -> None:
    """Algorithm 4.1: the loop, written out."""
    clients = quadratics(5, 3, seed=20)
    mine = end_of(made_of(meta_step(quadratic_loss, ALPHA, BETA)), clients, steps=steps)
    torch.testing.assert_close(mine, end_of(per("exact"), clients, steps=steps), rtol=0, atol=1e-12)


@pytest.mark.parametrize("wrong", [two_plain_steps, outer_step_from_the_adapted_point])
@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_outer_step_ends_elsewhere(seed: int, wrong) -> None:
    A, w, p = random_quadratics(m=5, d=3, seed=seed)
    clients = quadratic_clients(A, w, p)
    end = end_of(made_of(wrong(quadratic_loss, ALPHA, BETA)), clients)
    C, inner = curvature(A, ALPHA, "fo" if wrong is two_plain_steps else "exact"), ALPHA * A
    torch.testing.assert_close(end, minimizer(inner + BETA * C, w, p), rtol=0, atol=1e-10)
    assert float((end - end_of(per("exact"), clients)).norm()) > 0.02


class Quartic(NamedTuple):
    """One-dimensional losses ½a(w−c)² + ¼(w−c)⁴: their curvature depends on the place."""

    clients: Clients

    @staticmethod
    def loss(w, batch):
        a, c = batch
        gap = w["w"] - c
        return (0.5 * a * gap**2 + 0.25 * gap**4).mean()


def quartic() -> Quartic:
    a = torch.tensor([1.5, 0.3, 0.6], dtype=torch.float64)[:, None]
    c = torch.tensor([0.0, 1.5, -1.0], dtype=torch.float64)[:, None]
    return Quartic(Clients.of(a, c, [[0], [1], [2]]))


def test_a_hessian_at_the_adapted_point_needs_a_loss_that_is_not_quadratic() -> None:
    q, alpha, beta = quartic(), 0.15, 0.4
    start = torch.zeros(1, dtype=torch.float64)  # from far away the cubic gradient would throw
    right, wrong = (
        end_of(made_of(step(q.loss, alpha, beta)), q.clients, start=start, rounds=300)
        for step in (meta_step, hessian_at_the_adapted_point)
    )
    library = end_of(perfedavg(q.loss, alpha=alpha, beta=beta), q.clients, start=start, rounds=300)
    torch.testing.assert_close(library, right, rtol=0, atol=1e-12)

    def F(v: Tensor) -> Tensor:  # the definition, differentiated by autograd
        own = [q.clients.data(i) for i in range(3)]
        slope = torch.func.grad(lambda u, batch: q.loss({"w": u}, batch))
        return sum(q.loss({"w": v - alpha * slope(v, batch)}, batch) for batch in own) / 3

    assert float(torch.func.grad(F)(library).abs()) < 1e-10
    assert float((wrong - library).abs()) > 0.02
    clients = quadratics(5, 3, seed=21)  # blind: the Hessian of a quadratic is the same everywhere
    blind = end_of(made_of(hessian_at_the_adapted_point(quadratic_loss, ALPHA, BETA)), clients)
    torch.testing.assert_close(blind, end_of(per("exact"), clients), rtol=0, atol=1e-12)


class Triples(NamedTuple):
    """Every triple (D, D', D'') of single samples as a client: their mean is the expectation."""

    A: Tensor  # [s], one-dimensional samples with curvatures of their own
    c: Tensor

    @property
    def m(self) -> int:
        return len(self.A) ** 3

    def weights(self, ids: Tensor) -> Tensor:
        return torch.full((len(ids),), 1 / len(ids), dtype=torch.float64)

    def draw(self, ids, *, steps, draws, batch, generator):
        s = len(self.A)
        index = torch.stack([ids // s**2, ids // s % s, ids % s], 1)[:, None, :draws, None]
        return self.A[index][..., None, None], self.c[index][..., None]


def test_one_batch_for_all_three_answers_another_question() -> None:
    A = torch.tensor([1.8, 0.2, 0.7], dtype=torch.float64)
    c = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    samples, start = Triples(A, c), torch.zeros(1, dtype=torch.float64)

    def end(algorithm: Algorithm) -> Tensor:
        state, _ = run(
            algorithm, {"w": start}, samples,
            rounds=90, steps=1, batch=1, generator=seeded(),
        )  # fmt: skip
        last: Tensor = state.w["w"][0]
        return last

    mean = (A @ c) / A.sum()  # independent batches: one client with the mean loss, minimized
    torch.testing.assert_close(end(per("exact")), mean, rtol=0, atol=1e-10)
    torch.testing.assert_close(end(per("hf")), mean, rtol=0, atol=1e-10)
    reused = A * (1 - ALPHA * A) ** 2  # one batch: every sample a client of its own
    other = reused @ c / reused.sum()
    wrong = made_of(one_batch_for_all(quadratic_loss, ALPHA, BETA))
    torch.testing.assert_close(end(wrong), other, rtol=0, atol=1e-10)
    assert float(abs(mean - other)) > 0.2


def unequal() -> tuple[Clients, Tensor, Tensor]:
    A, w, _ = random_quadratics(m=3, d=2, seed=22)
    parts = list(torch.arange(12).split([1, 1, 10]))
    owner = torch.tensor([0, 1] + [2] * 10)
    return Clients.of(A[owner], w[owner], parts, p=[1] * 3), A, w


def test_clients_count_alike_whatever_their_sizes() -> None:
    clients, A, w = unequal()
    C, third = curvature(A, ALPHA, "exact"), torch.full((3,), 1 / 3, dtype=torch.float64)
    end = end_of(per("exact"), clients, steps=3, batch=4)
    torch.testing.assert_close(end, fixed_point(C, w, third, BETA, 3), rtol=0, atol=1e-10)
    by_size = end_of(
        per("exact"), clients._replace(p=clients.n / clients.n.sum()), steps=3, batch=4
    )
    assert float((by_size - end).norm()) > 0.1


def test_a_client_with_one_sample_takes_part() -> None:
    clients, _, w = unequal()
    step = meta_step(quadratic_loss, ALPHA, BETA)
    algorithm = made_of(step)

    def lazy(u, batches):  # what "skip clients with fewer samples than a batch" amounts to
        small = (batches[1][0, 0] == w[0]).all() | (batches[1][0, 0] == w[1]).all()
        return {k: torch.where(small, 0.0, v) for k, v in algorithm.client(u, batches).items()}

    skipped = end_of(algorithm._replace(client=lazy), clients, batch=4)
    torch.testing.assert_close(skipped, w[2], rtol=0, atol=1e-9)  # only the large client is heard
    assert float((end_of(per("exact"), clients, batch=4) - w[2]).norm()) > 0.1


def test_a_second_softmax_keeps_the_loss_of_a_sure_answer_high() -> None:
    model = mlp(4, 10).double()
    sure = {k: torch.zeros_like(v) for k, v in parameters_of(model).items()}
    sure["1.bias"][3] = 50.0
    batch = (torch.randn(7, 4, generator=seeded()).double(), torch.full((7,), 3))
    twice = loss_of(model, lambda out, y: functional.cross_entropy(out.softmax(-1), y))
    assert float(loss_of(model)(sure, batch)) < 1e-12
    assert float(twice(sure, batch)) == pytest.approx(1.4612, abs=1e-4)  # log(1 + 9/e)


# A client's own step at test time ----------------------------------------------------------------


def reading(w, batch):
    """A metric that reports the model and looks at nothing else."""
    return w["w"].sum() + torch.zeros(len(batch[1]), dtype=torch.float64)


def by_alpha(alpha: float, steps: int = 1):
    return lambda w, batch: adapt(quadratic_loss, w, batch, alpha, steps)


@pytest.mark.parametrize("how", ["vmap", "loop"])
def test_adaptation_never_sees_the_test_part(how: str) -> None:
    train = quadratics(4, 3, seed=23)
    nan = torch.full_like(train.x, torch.nan)
    test, w = Clients(nan, train.y, train.n, train.p), {"w": torch.ones(3, dtype=torch.float64)}
    score = evaluate(reading, w, train, test, adapt=by_alpha(0.5), how=how)
    own = [by_alpha(0.5)(w, train.data(i))["w"].sum() for i in range(4)]
    torch.testing.assert_close(score["after"], torch.stack(own), rtol=0, atol=1e-14)
    cheat = evaluate(
        reading, w, test, test, adapt=by_alpha(0.5), how=how
    )  # adapts on the test part
    assert bool(cheat["after"].isnan().all())
    assert bool(torch.isfinite(cheat["before"]).all())


def test_scores_before_do_not_see_the_training_part() -> None:
    test = quadratics(4, 3, seed=24)
    train = Clients(torch.full_like(test.x, torch.nan), test.y, test.n, test.p)
    gap = lambda w, batch: (w["w"] - batch[1]).square().sum(-1)  # noqa: E731
    w = {"w": torch.ones(3, dtype=torch.float64)}
    score = evaluate(gap, w, train, test, adapt=by_alpha(0.5))
    torch.testing.assert_close(score["before"], (1 - test.y[:, 0]).square().sum(-1))
    assert bool(score["after"].isnan().all())


def test_every_client_adapts_from_the_shared_model_seen_or_not() -> None:
    A, w, p = random_quadratics(m=6, d=3, seed=25)
    seen, unseen = (quadratic_clients(A[s], w[s], p[s]) for s in (slice(0, 4), slice(4, 6)))
    state, _ = run(per("exact"), {"w": torch.zeros(3, dtype=torch.float64)}, seen, rounds=200,
                   steps=2, batch=1, generator=seeded())  # fmt: skip
    star = state.w["w"]
    apart = lambda u, batch: (u["w"] - batch[1]).norm(dim=-1)  # noqa: E731
    for clients, own in ((seen, slice(0, 4)), (unseen, slice(4, 6))):
        score = evaluate(apart, state.w, clients, clients, adapt=by_alpha(ALPHA))
        J = torch.eye(3, dtype=torch.float64) - ALPHA * A[own]
        expected = torch.einsum("iab,ib->ia", J, star - w[own]).norm(dim=1)
        torch.testing.assert_close(score["after"], expected, rtol=0, atol=1e-12)
        assert bool((score["after"] < score["before"]).all())


def test_many_steps_bring_every_client_home() -> None:
    clients = quadratics(5, 3, seed=26)
    apart = lambda u, batch: (u["w"] - batch[1]).norm(dim=-1)  # noqa: E731
    w = {"w": torch.full((3,), 3.0, dtype=torch.float64)}
    scores = [
        evaluate(apart, w, clients, clients, adapt=by_alpha(0.5, steps))["after"]
        for steps in (0, 1, 10, 400)
    ]
    assert all(bool((b < a).all()) for a, b in pairwise(scores))
    assert float(scores[-1].max()) < 1e-10  # the slowest factor is (1 − 0.5 · 0.2)^400
