"""Ties of the exercises of chapters 1 to 7 and 14 to 16."""

from __future__ import annotations

import math
from itertools import combinations, permutations, product
from typing import Any

import numpy as np
import torch
from scipy import integrate, optimize, stats
from ties import Pair, normal, number, shares, tie, uniform, whole
from torch import Tensor
from toy_clients import random_quadratics

from fedlearn_book.exercises import EXERCISES
from fedlearn_lib import (
    Clients,
    adapt,
    fedavg,
    gradient,
    gradient_dissimilarity,
    maml_gradient,
    perfedavg,
    run,
    total_variation,
    weighted_mean,
)
from fedlearn_lib.data import quadratic_clients, quadratic_loss
from fedlearn_lib.federated import (
    anchored_oracle,
    descend,
    label_shares,
    personal_path,
    personalization_path,
    renyi_epsilon,
    scaffold,
    sum_of_masked,
)
from fedlearn_lib.theory import (
    joint_lipschitz,
    meta_bias,
    perfedavg_bound,
    sampling_factor,
)


def quadratics(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    return random_quadratics(whole(g, 2, 4), whole(g, 2, 3), whole(g, 0, 10**6))


def after_a_round(algorithm: Any, clients: Clients, start: Tensor, tau: int) -> Tensor:
    """Where an algorithm stands after one round of all clients."""
    state, _ = run(
        algorithm, {"w": start}, clients, rounds=1, cohort=clients.m, steps=tau, batch=None,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    return state.w["w"]


# ----- chapter 1: federated averaging ------------------------------------------------------------


@tie("client weights", lambda g: (torch.randint(1, 40, (5,), generator=g).float(),))
def client_weights(found: Tensor, n: Tensor) -> Pair:
    """The weights that the library gives to clients of these sizes."""
    total = int(n.sum())
    parts = list(torch.arange(total).split(n.int().tolist()))
    return found, Clients.of(torch.zeros(total, 1), torch.zeros(total).long(), parts).p


@tie("fixed point", lambda g: (*quadratics(g), number(g, 0.2, 0.8), whole(g, 2, 6)))
def fixed_point(found: Tensor, A: Tensor, w: Tensor, p: Tensor, eta: float, tau: int) -> Pair:
    """A round of FedAvg, which is a contraction, leaves one point alone."""
    algorithm = fedavg(gradient(quadratic_loss), lr=eta)
    return after_a_round(algorithm, quadratic_clients(A, w, p), found, tau), found


@tie("rate", lambda g: (*quadratics(g)[::2], number(g, 0.2, 0.8), whole(g, 2, 6)))
def rate(found: Tensor, A: Tensor, p: Tensor, eta: float, tau: int) -> Pair:
    """The norm of one round of FedAvg around its fixed point, column by column."""
    d = A.shape[-1]
    clients = quadratic_clients(A, A.new_zeros(len(A), d), p)
    algorithm = fedavg(gradient(quadratic_loss), lr=eta)
    columns = [after_a_round(algorithm, clients, e, tau) for e in torch.eye(d, dtype=A.dtype)]
    return found, np.linalg.norm(torch.stack(columns, 1).numpy(), 2)


@tie("unequal steps", lambda g: (normal(g, 4, 3), uniform(g, 1, 9, 4).round(), shares(g, 4)))
def unequal_steps(found: Tensor, changes: Tensor, steps: Tensor, p: Tensor) -> Pair:
    """As if each client had gone on, at its own mean step, for the mean number of steps."""
    mean = sum(p[i] * steps[i] for i in range(len(p)))
    gone = [mean * (changes[i] / steps[i]) for i in range(len(p))]
    return found, sum(p[i] * gone[i] for i in range(len(p)))


# ----- chapter 2: heterogeneity ------------------------------------------------------------------


@tie("total variation", lambda g: tuple(shares(g, 2, 6)))
def variation(found: Tensor, p: Tensor, q: Tensor) -> Pair:
    """The largest difference that any event, any set of classes, can show."""
    events = [torch.tensor(chosen) for chosen in product([0.0, 1.0], repeat=len(p))]
    return found, max(float(event.to(p) @ (p - q)) for event in events)


@tie("wasserstein on a line", lambda g: tuple(normal(g, 2, 5)))
def on_a_line(found: Tensor, x: Tensor, y: Tensor) -> Pair:
    """The cheapest of all pairings."""
    pairings = permutations(range(len(y)))
    return found, min(float((x - y[list(order)]).abs().mean()) for order in pairings)


@tie("gradient dissimilarity", lambda g: (normal(g, 4, 3), shares(g, 4)))
def dissimilarity(found: Tensor, gradients: Tensor, p: Tensor) -> Pair:
    """The library's, for clients whose losses are linear with these gradients."""
    one_each = list(torch.arange(len(p)).split(1))
    clients = Clients.of(gradients, torch.zeros(len(p)).long(), one_each, p.tolist())
    start = {"w": gradients.new_zeros(gradients.shape[1])}
    return found, gradient_dissimilarity(lambda w, b: (b[0] @ w["w"]).mean(), start, clients)


@tie("equal counts", lambda g: (shares(g, 2, 3), whole(g, 5, 30)))
def equal_counts(found: Tensor, laws: Tensor, n: int) -> Pair:
    """The whole numbers with sum n that are nearest to n times the law, of all that there are."""
    grid = [(*c, n - sum(c)) for c in product(range(n + 1), repeat=2) if sum(c) <= n]
    all_counts = torch.tensor(grid, dtype=laws.dtype)
    nearest = [(all_counts - n * law).square().sum(1).argmin() for law in laws]
    return found, all_counts[torch.stack(nearest)]


# ----- chapter 3: meta-gradients -----------------------------------------------------------------


def wavy(c: Tensor) -> Any:
    """A smooth function of its own, with third derivatives."""
    return lambda w: torch.sin(c @ w) + (w**4).sum() / 8 + (c * w**2).sum() / 2


def on_function(f: Any) -> Any:
    """The function as a loss of parameters {"w": w}; the batch is not looked at."""
    return lambda w, batch: f(w["w"])


NOTHING = torch.zeros(1), torch.zeros(1)


@tie("best start", lambda g: (*quadratics(g), number(g, 0.05, 0.45)))
def best_start(found: Tensor, A: Tensor, w: Tensor, p: Tensor, alpha: float) -> Pair:
    """The gradient of the mean loss after the library's step of adaptation vanishes there."""

    def F(v: Tensor) -> Tensor:
        own = [(A[i : i + 1], w[i : i + 1]) for i in range(len(p))]
        losses = [quadratic_loss(adapt(quadratic_loss, {"w": v}, b, alpha), b) for b in own]
        return p @ torch.stack(losses)

    return torch.func.grad(F)(found), torch.zeros_like(found)


@tie("meta gradient", lambda g: (normal(g, 3), wavy(normal(g, 3)), number(g, 0.05, 0.5)))
def meta_gradient(found: Tensor, w: Tensor, f: Any, alpha: float) -> Pair:
    """Backpropagation through the step, and the library's oracle."""
    v = w.clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(v), v, create_graph=True)
    (through,) = torch.autograd.grad(f(v - alpha * slope), v)
    oracle = maml_gradient(on_function(f), alpha)({"w": w}, (NOTHING,) * 3)["w"]
    return torch.stack([found, found]), torch.stack([through, oracle])


@tie("hessian free", lambda g: (normal(g, 3), wavy(normal(g, 3)), normal(g, 3), 0.3))
def hessian_free(found: Tensor, w: Tensor, f: Any, v: Tensor, delta: float) -> Pair:
    """The mean of the exact products between the two points, by Gauss's rule of order 40."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    products = [
        torch.autograd.functional.hvp(f, w + delta * float(s) * v, v)[1] for s in nodes
    ]  # fmt: skip
    return found, sum(float(a) / 2 * b for a, b in zip(weights, products, strict=True))


@tie("best delta", lambda g: (uniform(g, 1e-9, 1e-7), number(g, 0.5, 3), number(g, 0.3, 4)))
def best_delta(found: Tensor, eps: Tensor, M: float, size: float) -> Pair:
    """The bound of Proposition 3.7, truncation plus rounding, is flat there."""
    log = found.double().log().requires_grad_()
    truncation, rounding = M * size**3 * (2 * log).exp() / 6, eps.double() * (-log).exp()
    (slope,) = torch.autograd.grad(truncation + rounding, log)
    return slope / rounding.detach(), 0.0


# ----- chapter 4: personalized federated averaging -----------------------------------------------


@tie("say", lambda g: (uniform(g, 0.3, 2, 4), number(g, 0.1, 0.45)))
def say(found: Tensor, a: Tensor, alpha: float) -> Pair:
    """How far the best start moves when a client's own minimizer moves by one."""
    A, m = a[:, None, None], len(a)

    def slope(v: Tensor, centers: Tensor) -> Tensor:
        def F(v: Tensor) -> Tensor:
            own = [(A[i : i + 1], centers[i : i + 1, None]) for i in range(m)]
            losses = [quadratic_loss(adapt(quadratic_loss, {"w": v}, b, alpha), b) for b in own]
            return torch.stack(losses).mean()

        return torch.func.grad(F)(v)[0]

    at = torch.zeros(1, dtype=a.dtype), torch.zeros(m, dtype=a.dtype)
    return found, -torch.func.grad(slope, 1)(*at) / torch.func.grad(slope, 0)(*at)


def three_batches(g: torch.Generator) -> tuple[Any, ...]:
    A, c, _ = random_quadratics(3, 3, whole(g, 0, 10**6))
    return A, c, normal(g, 3), number(g, 0.1, 0.5), number(g, 0.1, 1.0)


@tie("meta step", three_batches)
def meta_step(found: Tensor, A: Tensor, c: Tensor, w: Tensor, alpha: float, beta: float) -> Pair:
    """One step of the library's client on the batches D, D', D''."""
    method = perfedavg(quadratic_loss, alpha=alpha, beta=beta)
    return found, w + method.client({"w": w}, (A[None, :, None], c[None, :, None]))["w"]


@tie("personal fixed point", lambda g: (*quadratics(g), 0.2, number(g, 0.2, 0.8), whole(g, 2, 5)))
def personal_fixed_point(
    found: Tensor, A: Tensor, w: Tensor, p: Tensor, alpha: float, beta: float, tau: int
) -> Pair:
    """A round of Per-FedAvg leaves it alone."""
    algorithm = perfedavg(quadratic_loss, alpha=alpha, beta=beta)
    return after_a_round(algorithm, quadratic_clients(A, w, p), found, tau), found


@tie("fair comparison", lambda g: (uniform(g, 0, 1, 4, 5), uniform(g, 0, 1, 4, 5)))
def fair_comparison(found: Tensor, validation: Tensor, test: Tensor) -> Pair:
    """Sort each method's pairs of accuracies by validation, and read the last test accuracy."""
    rows = [zip(v, t, strict=True) for v, t in zip(validation.tolist(), test.tolist(), strict=True)]
    return found, [sorted(row)[-1][1] for row in rows]


# ----- chapter 5: convergence --------------------------------------------------------------------


@tie(
    "meta bias",
    lambda g: (uniform(g, 0.1, 3, 4), 1.5, number(g, 0.1, 4), number(g, 0.1, 0.6), whole(g, 1, 9)),
)
def bias(found: Tensor, sigma: Tensor, L: float, rho: float, alpha: float, b: int) -> Pair:
    return found, [meta_bias(L, rho, s, alpha, b) for s in sigma.tolist()]


@tie("cohort variance", lambda g: (normal(g, 6, 2), whole(g, 1, 6)))
def cohort_variance(found: Tensor, x: Tensor, c: int) -> Pair:
    """The mean over all cohorts that can be drawn."""
    cohorts = [x[list(chosen)].mean(0) for chosen in combinations(range(len(x)), c)]
    return found, (torch.stack(cohorts) - x.mean(0)).square().sum(1).mean()


def step_case(g: torch.Generator) -> tuple[Any, ...]:
    m, c = whole(g, 5, 20), whole(g, 1, 5)
    rounds = torch.tensor([3.0, 1e2, 1e5], dtype=torch.float64)
    chi = sampling_factor(m, c)
    return rounds, whole(g, 1, 8), 1.3, number(g, 0.5, 3), number(g, 0, 3), 1.4, chi, c


@tie("best step", step_case)
def best_step(
    found: Tensor, K: Tensor, tau: int, gap: float, L_F: float, noise: float, gamma_F: float,
    chi: float, c: int,
) -> Pair:  # fmt: skip
    """A search for the least sum of the library's three terms below the largest step allowed."""
    m = 10 if c == 1 else round(c * (1 - chi) / (1 - c * chi))  # clients with this χ
    assert math.isclose(sampling_factor(m, c), chi, abs_tol=1e-12)

    def terms(log: float, rounds: float) -> float:
        bound = perfedavg_bound(
            gap=gap, L_F=L_F, sigma_F2=noise, gamma_F=gamma_F, bias=0.0, beta=math.exp(log),
            tau=tau, rounds=round(rounds), m=m, cohort=c,
        )  # fmt: skip
        return math.log(bound.optimization + bound.noise + bound.sampling)

    top = math.log(1 / (4 * tau * L_F))
    best = [
        optimize.minimize_scalar(
            terms, bounds=(top - 12, top), args=(k,), method="bounded", options={"xatol": 1e-9}
        ).x
        for k in K.tolist()
    ]
    return found, np.exp(best)


# ----- chapter 6: the distance between clients ---------------------------------------------------


@tie("distance to the pool", lambda g: (shares(g, 4, 5), shares(g, 4)))
def to_the_pool(found: Tensor, laws: Tensor, p: Tensor) -> Pair:
    pool = sum(weight * law for weight, law in zip(p, laws, strict=True))
    return found, [float(total_variation(law, pool)) for law in laws]


def labelled(g: torch.Generator) -> tuple[Any, ...]:
    y, v = (torch.randint(3, (size,), generator=g) for size in (4, 5))
    return normal(g, 4, 2), y, normal(g, 5, 2), v, number(g, 0.2, 4)


@tie("cost of pairs", labelled)
def cost_of_pairs(
    found: Tensor, x: Tensor, y: Tensor, u: Tensor, v: Tensor, label_cost: float
) -> Pair:
    cost = [
        [
            math.dist(a, b) + (label_cost if i != j else 0)
            for b, j in zip(u.tolist(), v, strict=True)
        ]
        for a, i in zip(x.tolist(), y, strict=True)
    ]
    return found, cost


@tie("lipschitz of pairs", lambda g: (uniform(g, 0.5, 4), number(g, 0.5, 4), number(g, 0.3, 3)))
def lipschitz_of_pairs(found: Tensor, feature: Tensor, jump: float, label_cost: float) -> Pair:
    """The library's, and the largest ratio of a change to its distance over a grid of moves."""
    moves = [(dx, other) for dx in (0.0, *np.logspace(-6, 6, 25)) for other in (0, 1)][1:]
    ratios = [
        (float(feature) * dx + jump * other) / (dx + label_cost * other) for dx, other in moves
    ]
    return [found, found], [joint_lipschitz(float(feature), jump, label_cost), max(ratios)]


@tie("best of both", lambda g: (normal(g, 3), 3 * normal(g, 4), number(g, 0.5, 3), 1.2))
def best_of_both(found: Tensor, x: Tensor, u: Tensor, lipschitz: float, bound: float) -> Pair:
    far = [[min(lipschitz * abs(a - b), 2 * bound) for b in u.tolist()] for a in x.tolist()]
    return found, far


# ----- chapter 7: personalization compared -------------------------------------------------------


@tie("anchored step", lambda g: (*normal(g, 3, 4), number(g, 0.05, 0.5), number(g, 0.1, 3)))
def anchored_step(
    found: Tensor, v: Tensor, anchor: Tensor, slope: Tensor, eta: float, lam: float
) -> Pair:
    """One step of the library's anchored oracle for a loss with this slope."""
    oracle = anchored_oracle(lambda w, draws: {"w": slope}, {"w": anchor}, lam)
    return found, descend(oracle, {"w": v}, NOTHING, lr=eta, steps=1)["w"]


@tie("control variate", lambda g: (*normal(g, 4, 3), whole(g, 1, 6), number(g, 0.05, 0.5)))
def control_variate(
    found: Tensor, c_i: Tensor, c: Tensor, w: Tensor, end: Tensor, tau: int, eta: float
) -> Pair:
    """With the answer as its gradient SCAFFOLD's client goes from w to ``end`` and keeps it."""
    method = scaffold(lambda v, draws: {"w": found.to(w)}, lr=eta)
    batches = torch.zeros(tau, 1, 1), torch.zeros(tau, 1, 1)
    change, own = method.client({"w": w, "control.w": c}, {"control.w": c_i}, batches)
    return torch.stack([w + change["w"], own["control.w"]]), torch.stack([end, found.to(w)])


@tie("worst decile", lambda g: (uniform(g, 0, 1, whole(g, 3, 25)),))
def worst_decile(found: Tensor, scores: Tensor) -> Pair:
    """The least mean of any tenth of the clients."""
    tenth = max(1, len(scores) // 10)
    return found, min(sum(chosen) / tenth for chosen in combinations(scores.tolist(), tenth))


def seeds(g: torch.Generator) -> tuple[Any, ...]:
    n = whole(g, 3, 9)
    return *normal(g, 2, n), float(stats.t.ppf(0.975, n - 1))


@tie("paired interval", seeds, tolerance=1e-4)  # the book's t has five digits
def paired_interval(found: Tensor, a: Tensor, b: Tensor, t: float) -> Pair:
    """SciPy's paired t-test."""
    interval = stats.ttest_rel(a.double(), b.double()).confidence_interval(0.95)
    return found, [(interval.low + interval.high) / 2, (interval.high - interval.low) / 2]


# ----- chapter 14: one model for all, and everybody's own -----------------------------------------


def scalars(c: Tensor) -> Clients:
    """Clients that own one number each."""
    return Clients.of(torch.ones(len(c), 1, dtype=c.dtype), c, [[i] for i in range(len(c))])


def balanced(g: torch.Generator) -> tuple[Tensor]:
    """Gradients of five clients at the minimizer of their mean loss."""
    slopes = normal(g, 5, 3)
    return (slopes - slopes.mean(0),)


@tie("first to leave", balanced)
def first_to_leave(found: Tensor, g: Tensor) -> Pair:
    """Look at the accounts -t g at the time of the answer and just before."""
    full = (found[0] * g).abs()
    client, coordinate = int(found[1]), int(found[2])
    return torch.stack([full.max(), full[client, coordinate]]), torch.ones(2)


@tie("shared value", lambda g: (normal(g, 5), number(g, 0.05, 3)))
def shared_value(found: Tensor, c: Tensor, t: float) -> Pair:
    """The library's exact path of the clients that own these numbers."""
    return found, personalization_path(scalars(c)).at(t)[0][0]


@tie("clipped mean", lambda g: (2 * normal(g, 7), number(g, 0.2, 2)), tolerance=1e-4)
def clipped_mean(found: Tensor, c: Tensor, lam: float) -> Pair:
    """SciPy minimizes over w what the LASSO leaves after its best deviations."""

    def cost(w: float) -> float:
        gap = (c - w).abs()
        delta = (gap - lam).clamp(min=0)
        return float((0.5 * (gap - delta) ** 2 + lam * delta).sum())

    best = optimize.minimize_scalar(cost, bounds=(float(c.min()), float(c.max())), method="bounded")
    return cost(float(found)), best.fun


@tie(
    "path round",
    lambda g: (
        normal(g, 2), 1.5 * normal(g, 4, 2), normal(g, 4, 2), number(g, 0.5, 3),
        number(g, 0.05, 0.3), whole(g, 1, 4),
    ),
)  # fmt: skip
def path_round(
    found: Tensor, w: Tensor, V: Tensor, c: Tensor, kappa: float, eta: float, tau: int
) -> Pair:
    """The library's clients, and the mean of what they send."""
    method = personal_path(lambda u, draws: {"w": u["w"] - draws[0][0]}, kappa=kappa, lr=eta)
    sent = [
        method.client({"w": w}, {"dual.w": Vi}, (goal.expand(tau, 1, 2), torch.zeros(tau, 1, 1)))
        for Vi, goal in zip(V, c, strict=True)
    ]
    return found, w + torch.stack([change["w"] for change, _ in sent]).mean(0)


# ----- chapter 15: what leaves the client --------------------------------------------------------


@tie("shares from a message", lambda g: (number(g, 0.1, 2.0) * (shares(g, 5) - 0.2), 0.5))
def message_shares(found: Tensor, change: Tensor, eta: float) -> Pair:
    """The library's, from the gradient along which one step was taken."""
    return found, label_shares(-change / eta)


@tie("read a masked sum", lambda g: (torch.randint(256, (4, 6), generator=g), 8))
def clock_sum(found: Tensor, sent: Tensor, bits: int) -> Pair:
    """The library's, of what clients send."""
    return found, sum_of_masked(sent, bits=bits)


@tie(
    "secret from shares",
    lambda g: (torch.randperm(10, generator=g)[:3] + 1, torch.randint(11, (3,), generator=g), 11),
)
def shared_secret(found: Tensor, x: Tensor, y: Tensor, q: int) -> Pair:
    """The constant term of the only polynomial through the points, of all that there are."""
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    fitting = [
        c for c in product(range(q), repeat=len(points))
        if all(sum(a * u**k for k, a in enumerate(c)) % q == v for u, v in points)
    ]  # fmt: skip
    ((constant, *_),) = fitting
    return found, constant


@tie("noise for a budget", lambda g: (uniform(g, 0.1, 9.0, 3), whole(g, 1, 50), 1e-5))
def budget_noise(found: Tensor, epsilon: Tensor, rounds: int, delta: float) -> Pair:
    """The library's account of runs with this noise is the budget."""
    spent = [renyi_epsilon(sigma, rounds=rounds, delta=delta) for sigma in found.tolist()]
    return spent, epsilon


@tie("rounding error", lambda g: (normal(g, 6), whole(g, 1, 5)))
def rounded(found: Tensor, x: Tensor, levels: int) -> Pair:
    """The mean over all ways to round up or down, each with its probability."""
    width = float(x.abs().max()) / levels
    low = torch.floor(x / width + 1e-12)
    up = (x / width - low).clamp(min=0)
    total = 0.0
    for ways in product([0.0, 1.0], repeat=len(x)):
        chosen = torch.tensor(ways, dtype=x.dtype)
        chance = torch.where(chosen == 1, up, 1 - up).prod()
        total += float(chance * ((low + chosen) * width - x).square().sum())
    return found, total


# ----- chapter 16: beyond one machine ------------------------------------------------------------


@tie("mean over processes", lambda g: (normal(g, 3, 2), uniform(g, 0.1, 4.0, 3)))
def mean_over_processes(found: Tensor, means: Tensor, weights: Tensor) -> Pair:
    """Seven clients in three processes: the library's mean over all of them at once."""
    sizes = (2, 1, 4)
    x = means.repeat_interleave(torch.tensor(sizes), 0)
    spread = torch.tensor([1.0, -1.0, 0.0, 2.0, -2.0, 1.0, -1.0], dtype=torch.float64)
    x = x + spread[:, None]  # the clients of a process differ, and its mean stays
    p = torch.cat([(w / n).expand(n) for w, n in zip(weights, sizes, strict=True)])
    return found, weighted_mean({"w": x}, p / p.sum())["w"]


def one_by_one(g: torch.Generator) -> tuple[Tensor, int, int]:
    cohort = whole(g, 2, 8)
    return uniform(g, 0.5, 3.0), cohort, whole(g, 1, cohort)


@tie("waiting time", one_by_one, 1e-4)
def waiting_time(found: Tensor, mean: Tensor, cohort: int, answers: int) -> Pair:
    """The integral of the probability that fewer than ``answers`` clients are there."""
    unit = float(mean)

    def still_waiting(t: float) -> float:
        return float(stats.binom.cdf(answers - 1, cohort, -math.expm1(-t / unit)))

    return found, integrate.quad(still_waiting, 0, 60 * unit, limit=500, points=[unit, 5 * unit])[0]


def answering(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    return normal(g, 4, 2), torch.randint(2, (4,), generator=g).double(), uniform(g, 0.2, 1.0, 4)


@tie("honest mean", answering)
def honest_mean(found: Tensor, x: Tensor, kept: Tensor, q: Tensor) -> Pair:
    """Its expectation over all patterns of answers is the mean; and it is linear in a pattern."""
    answer = EXERCISES["honest mean"].answer
    patterns = [torch.tensor(k, dtype=torch.float64) for k in product((0.0, 1.0), repeat=len(x))]
    chance = [float((k * q + (1 - k) * (1 - q)).prod()) for k in patterns]
    mean = sum(p * answer(x, k, q) for p, k in zip(chance, patterns, strict=True))
    alone = [answer(x, torch.eye(len(x), dtype=torch.float64)[i], q) for i in range(len(x))]
    together = sum(float(kept[i]) * alone[i] for i in range(len(x)))
    return torch.stack([mean, found]), torch.stack([x.mean(0), torch.as_tensor(together)])
