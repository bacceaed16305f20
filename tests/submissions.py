"""What students hand in: for each assignment half of it, and one that only calls the library.

Answers by the names of their cells; a cell that is not named stays as it was handed out.
"""

from __future__ import annotations

HALF: dict[str, dict[str, str]] = {}
CALLS: dict[str, dict[str, str]] = {}

# ----- averaging: tasks 1 and 2 right, 3 and 4 right on what is shown --------------------------

HALF["averaging"] = {
    "without_drift": """
def without_drift(rest, eta):
    return rest(1e-12)  # a training with hardly a step, which nobody has run
""",
    "rounds_needed": """
def rounds_needed(A, p, eta, taus, eps):  # without the weights
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    powers = [torch.linalg.matrix_power(eye - eta * a, tau) for a, tau in zip(A, taus)]
    norm = torch.linalg.matrix_norm(torch.stack(powers).mean(0), 2).item()
    return int(np.ceil(np.log(eps) / np.log(norm)))
""",
}
CALLS["averaging"] = {
    "one_round": """
from fedlearn_lib import fedavg, gradient, run
from fedlearn_lib.data import quadratic_clients, quadratic_loss

def one_round(A, centers, p, w, eta, taus):
    rule = fedavg(gradient(quadratic_loss), lr=eta)
    replies = [
        run(rule, {"w": w}, quadratic_clients(A[i : i + 1], centers[i : i + 1]), rounds=1,
            steps=tau, batch=1, generator=torch.Generator())[0].w["w"]
        for i, tau in enumerate(taus)
    ]
    return p @ torch.stack(replies)
""",
    "resting_place": """
from fedlearn_book.exercises.quadratics import weighted_solve as solved

def resting_place(A, centers, p, eta, taus):
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    M = [eye - torch.linalg.matrix_power(eye - eta * a, tau) for a, tau in zip(A, taus)]
    return solved(torch.stack(M), centers, p)
""",
    "rounds_needed": """
from fedlearn_book.exercises import averaging

def rounds_needed(A, p, eta, taus, eps):
    gone = [averaging._local_map(a[None], eta, tau)[0] for a, tau in zip(A, taus)]
    T = torch.eye(A.shape[-1], dtype=A.dtype) - sum(q * one for q, one in zip(p, gone))
    return int(np.ceil(np.log(eps) / np.log(torch.linalg.matrix_norm(T, 2).item())))
""",
}

# ----- per_fedavg: tasks 2 and 4 right, 1 and 3 right on what is shown -------------------------

HALF["per_fedavg"] = {
    "direction": """
def direction(f, w, D, D1, D2, alpha):  # the step after the Hessian
    slope = torch.func.grad(f)
    g = slope(w - alpha * slope(w, D), D1)
    return g - alpha * torch.func.grad(lambda u: slope(u, D2) @ g)(w)
""",
    "suspects": """
def suspects(end, a, c, alpha):  # the first that fits
    for power, name in enumerate(["before", "first order", "exact"]):
        weights = a * (1 - alpha * a) ** power
        if abs(weights @ c / weights.sum() - end) < 1e-6:
            return {name}
""",
}
CALLS["per_fedavg"] = {
    "direction": """
from fedlearn_lib import hvp

def direction(f, w, D, D1, D2, alpha):
    slope = torch.func.grad(f)
    g = slope(w - alpha * slope(w, D), D1)
    loss = lambda u, batch: f(u["w"], batch)
    return g - hvp(loss, {"w": w}, D2, {"w": alpha * g})["w"]
""",
    "mixed_start": """
from fedlearn_book.exercises import quadratics

def mixed_start(A, centers, p, alpha, q):
    J = torch.eye(A.shape[-1], dtype=A.dtype) - alpha * A
    q = q[:, None, None]
    return quadratics.weighted_solve((1 - q) * A + q * J @ A @ J, centers, p)
""",
    "suspects": """
from fedlearn_book.exercises import EXERCISES

def suspects(end, a, c, alpha):
    found = set()
    shares = {"before": a, "first order": a * (1 - alpha * a)}
    shares["exact"] = EXERCISES["say"].answer(a, alpha)
    return {name for name, s in shares.items() if abs(s @ c / s.sum() - end) < 1e-6}
""",
    "hessian_free": """
from fedlearn_lib import maml_gradient

def hessian_free(f, w, alpha, steps, delta):
    oracle = maml_gradient(lambda u, _: f(u["w"]), alpha, "hf", delta, steps)
    return oracle({"w": w}, (None, None, None))["w"]
""",
}

# ----- exact_path: tasks 1 and 4 right, 2 and 3 right on what is shown -------------------------

HALF["exact_path"] = {
    "next_wall": """
def next_wall(rho, g):  # with both walls of the chapter
    moving = g != 0
    return ((1 - rho * g.sign())[moving] / g[moving].abs()).min()
""",
    "positive_path": """
def positive_path(X, y, t_max):  # right for orthogonal columns
    c = X.T @ y / len(y)
    knots = torch.sort(1 / c[c > 0]).values
    knots = knots[knots <= t_max]
    return knots, torch.stack([torch.where((c > 0) & (c * t >= 1), c, 0) for t in knots])
""",
}
CALLS["exact_path"] = {
    "next_wall": """
from fedlearn_book.exercises import EXERCISES

def next_wall(rho, g):
    rising = g > 0
    if not rising.any():
        return torch.inf
    return EXERCISES["next knot"].answer(rho[rising], g[rising])
""",
    "positive_path": """
from fedlearn_lib import iss_path

def positive_path(X, y, t_max):
    path = iss_path(X[:, X.T @ y > 0], y, t_max=t_max)
    w = torch.zeros(len(path.t), X.shape[1], dtype=path.w.dtype)
    w[:, X.T @ y > 0] = path.w
    return path.t, w
""",
    "distance": """
from fedlearn_book.exercises import inverse_scale

def distance(z, rho):
    known = inverse_scale.EXERCISES["bregman distance"].answer
    return known(z, rho) if (z >= 0).all() else known(z, rho) + torch.inf
""",
}

# ----- split_lbi: tasks 1 and 4 right, 2 not begun, 3 right on what is shown -------------------

HALF["split_lbi"] = {
    "group_step": "",
    "first_entry": """
def first_entry(X, y, D, nu):  # without 1/n
    return nu / (D @ torch.linalg.solve(X.T @ X + D.T @ D / nu, X.T @ y)).abs().max()
""",
}
CALLS["split_lbi"] = {
    "group_step": """
from types import SimpleNamespace
from fedlearn_lib.sparse.penalties import group_threshold
from fedlearn_lib.sparse.split import SplitState, split_step

def group_step(beta, z, gamma, slope, D, groups, kappa, nu, lr):
    def prox(v):
        out = torch.zeros_like(v)
        for number in groups.unique():
            out[groups == number] = group_threshold(v[groups == number][None], 1.0)[0]
        return out

    state = SplitState(beta, z, gamma)
    rule = SimpleNamespace(prox=prox)
    return torch.cat(split_step(state, slope, rule, kappa=kappa, nu=nu, lr=lr, D=D))
""",
    "first_entry": """
from fedlearn_lib import iss_path
from fedlearn_lib.theory import split_design

def first_entry(X, y, D, nu):
    return iss_path(*split_design(X, y, nu, D), max_knots=1).t[0]
""",
    "straightened": """
from fedlearn_lib.theory import split_estimate

def straightened(beta, bend):
    D = torch.eye(len(beta), dtype=beta.dtype).diff(dim=0).diff(dim=0)
    return split_estimate(beta, bend.to(beta.dtype), D)
""",
}
