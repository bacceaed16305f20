r"""Linear clients that differ in few numbers or a little in all: whose middle is the right one?

Client $i$ has the truth $u_i^\ast=w^\ast+\delta_i^\ast$ and draws $y=x^\top u_i^\ast+$ noise
with standard normal $x$: the excess error of a model $u$ is $\lVert u-u_i^\ast\rVert^2$, exactly.
Every method is solved to its end; only its one number is chosen, on validation samples.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib import Clients, iss_path
from fedlearn_lib.federated import personalization_path

CLIENTS, FEATURES, SAMPLES, HELD, NOISE = 20, 20, 30, 10, 1.0
FEW, SIZE = 2, 2.0  # personal numbers of a client, and how large they are
ARRIVE, SIZES = 20, (5, 10, 20)  # new clients, and with how many samples they adapt
LAMBDAS = tuple(float(f"{v:.3g}") for v in np.logspace(-3, 3, 61))
TIMES = tuple(float(f"{v:.3g}") for v in np.logspace(-2, 3, 61))
STEP = 0.1  # of fine-tuning, and how many steps may be taken
STEPS = (0, *sorted({round(v) for v in np.logspace(0, 4, 41)}))
WORLDS = {
    "few": "two numbers of ±2 differ",
    "any size": "two numbers of any size differ",
    "dense": "all numbers differ a little",
}


Grid = tuple[float, ...]
Keep = Callable[[Tensor, float], Tensor]
#: Clients that are alike but for some whose targets are shuffled, or have the opposite sign.
WRONG = {
    "none": (0.0, 1.0),
    "shuffled, 20 %": (0.2, 0.0),
    "shuffled, 40 %": (0.4, 0.0),
    "opposite, 20 %": (0.2, -1.0),
    "opposite, 40 %": (0.4, -1.0),
}


class Side(NamedTuple):
    """Inputs [m n d] and targets [m n] of some clients, as many of each."""

    x: Tensor
    y: Tensor


class Linear(NamedTuple):
    """Clients with their validation samples, and the truth: ``u`` [m d]."""

    learn: Side
    held: Side
    u: Tensor


class Fits(NamedTuple):
    """One method with each of its settings: ``setting`` [s], ``w`` [s d], ``u`` [s m d]."""

    setting: Tensor
    w: Tensor
    u: Tensor


def deviations(world: str, m: int, g: torch.Generator) -> Tensor:
    """Draw what is personal, [m d], the same mean square in each world, none for ``"alike"``.

    >>> few = deviations("few", 3, torch.Generator().manual_seed(0))
    >>> (few != 0).sum(1).tolist(), few.square().sum(1).tolist()
    ([2, 2, 2], [8.0, 8.0, 8.0])
    """
    energy = FEW * SIZE**2
    normal = torch.randn(m, FEATURES, generator=g, dtype=torch.float64)
    if world == "alike":
        return torch.zeros_like(normal)
    if world == "dense":
        return normal * math.sqrt(energy / FEATURES)
    order = torch.rand(m, FEATURES, generator=g).argsort(1).argsort(1)
    return torch.where(order < FEW, SIZE * (normal.sign() if world == "few" else normal), 0.0)


def draw(world: str, w: Tensor, m: int, n: int, held: int, g: torch.Generator) -> Linear:
    """Draw m clients around ``w`` [d] with n samples to learn from and ``held`` to choose on."""
    u = w + deviations(world, m, g)
    x = torch.randn(m, n + held, len(w), generator=g, dtype=torch.float64)
    noise = NOISE * torch.randn(m, n + held, generator=g, dtype=torch.float64)
    y = (x @ u[..., None])[..., 0] + noise
    return Linear(Side(x[:, :n], y[:, :n]), Side(x[:, n:], y[:, n:]), u)


def moments(side: Side) -> tuple[Tensor, Tensor]:
    r"""Return $A_i=X_i^\top X_i/n$ [m d d] and $b_i=X_i^\top y_i/n$ [m d]."""
    n = side.x.shape[1]
    return side.x.mT @ side.x / n, (side.x.mT @ side.y[..., None])[..., 0] / n


def pooled(side: Side) -> Tensor:
    """Return the least-squares model of all samples, [d]: where FedAvg with one step ends."""
    A, b = moments(side)
    w: Tensor = torch.linalg.solve(A.mean(0), b.mean(0))
    return w


def filtered(side: Side, w: Tensor, keep: Keep, grid: Grid) -> Fits:
    r"""Return $u_i=w+Q\,k(\Lambda)Q^\top(b_i-A_iw)$ with $A_i=Q\Lambda Q^\top$, for each setting.

    ``w`` is one start [d] or one for each setting [s d].
    """
    A, b = moments(side)
    values, Q = torch.linalg.eigh(A)
    values = values.clamp(min=0)
    starts = w.expand(len(grid), -1)
    rows = []
    for v, setting in zip(starts, grid, strict=True):
        slope = Q.mT @ (b - A @ v)[..., None]
        rows.append(v + (Q @ (keep(values, setting)[..., None] * slope))[..., 0])
    return Fits(torch.tensor(grid, dtype=torch.float64), starts, torch.stack(rows))


def spring(values: Tensor, lam: float) -> Tensor:
    r"""The minimizer of $f_i(u)+\frac\lambda2\lVert u-w\rVert^2$, Ditto's, in an eigendirection."""
    return 1 / (values + lam)


def descent(values: Tensor, steps: float) -> Tensor:
    """Gradient steps from the start, in an eigendirection of curvature ``values``.

    >>> descent(torch.tensor([0.0, 2.0]), 1)
    tensor([0.1000, 0.1000])
    """
    return torch.where(
        values > 1e-9, (1 - (1 - STEP * values) ** steps) / values.clamp(min=1e-9), STEP * steps
    )


def joint_ridge(side: Side) -> Fits:
    r"""Minimize $\sum_ip_i\big[f_i(w+\delta_i)+\frac\lambda2\lVert\delta_i\rVert^2\big]$: pFedMe's.

    The models that it uses are Ditto's around its own ``w``.
    """
    A, b = moments(side)
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    starts = []
    for lam in LAMBDAS:
        pull = torch.linalg.inv(A + lam * eye)
        starts.append(torch.linalg.solve((pull @ A).mean(0), (pull @ b[..., None]).mean(0)[:, 0]))
    return filtered(side, torch.stack(starts), spring, LAMBDAS)


def path(side: Side) -> Fits:
    """Every stop of the exact path, by its time."""
    with expected("the deviations are one choice of several"):
        found = personalization_path(clients_of(side), t_max=TIMES[-1])
    return Fits(found.t, found.w, found.w[:, None] + found.delta)


def lasso(side: Side, refit: bool = False) -> Fits:
    r"""Minimize $\sum_ip_i\big[f_i(w+\delta_i)+\lambda\lVert\delta_i\rVert_1\big]$ by descent.

    With ``refit`` the numbers that differ are fitted again without the penalty.
    """
    m, _, d = side.x.shape
    A, y = side.x.flatten(0, 1), side.y.flatten()
    blocks = torch.block_diag(*side.x)
    Q = torch.linalg.qr(A).Q
    own, rest = blocks - Q @ (Q.T @ blocks), y - Q @ (Q.T @ y)
    delta = descended(own, rest, tuple(lam / m for lam in LAMBDAS))
    if refit:
        delta = torch.stack([fitted(own, rest, one != 0) for one in delta])
    w = torch.linalg.lstsq(A, y[:, None] - blocks @ delta.T).solution.T
    return Fits(torch.tensor(LAMBDAS, dtype=torch.float64), w, w[:, None] + delta.view(-1, m, d))


def descended(X: Tensor, y: Tensor, grid: Grid) -> Tensor:
    r"""Minimize $\frac1{2n}\lVert y-X\beta\rVert^2+\lambda\lVert\beta\rVert_1$: [λ p]."""
    from sklearn.linear_model import lasso_path

    order = np.argsort(grid)[::-1]
    inputs, targets = np.asfortranarray(X.numpy()), y.numpy()
    found = lasso_path(inputs, targets, alphas=np.array(grid)[order], max_iter=500_000, tol=1e-5)[
        1
    ].T
    return torch.from_numpy(found[np.argsort(order)].copy())


def fitted(X: Tensor, y: Tensor, inside: Tensor) -> Tensor:
    """Return the shortest least-squares fit on the columns ``inside``, zero elsewhere: [p]."""
    beta = torch.zeros(X.shape[1], dtype=X.dtype)
    if bool(inside.any()):
        beta[inside] = torch.linalg.lstsq(X[:, inside], y[:, None], driver="gelsd").solution[:, 0]
    return beta


METHODS: dict[str, Callable[[Side], Fits]] = {
    "shared": lambda side: filtered(side, pooled(side), descent, (0,)),
    "local": lambda side: filtered(side, pooled(side), spring, (0.0,)),
    "FedAvg + ft": lambda side: filtered(side, pooled(side), descent, STEPS),
    "Ditto": lambda side: filtered(side, pooled(side), spring, LAMBDAS),
    "joint ridge": joint_ridge,
    "LASSO": lasso,
    "LASSO, refitted": lambda side: lasso(side, refit=True),
    "path": path,
}


def own_path(side: Side, w: Tensor) -> Fits:
    """Each client's own path from the start ``w`` [d], which stays."""
    rows = []
    with expected("columns .* reached the boundary and stayed at zero"):
        for x, y in zip(*side, strict=True):
            found = iss_path(x, y - x @ w, t_max=10 * TIMES[-1])
            rows.append(torch.stack([w + at(found, t) for t in TIMES]))
    return around(w, TIMES, torch.stack(rows, 1))


def at(found: Any, t: float) -> Tensor:
    value = found.at(t)
    assert isinstance(value, Tensor)
    return value


def own_lasso(side: Side, w: Tensor) -> Fits:
    """Each client's own LASSO around the start ``w`` [d]."""
    rows = [w + descended(x, y - x @ w, LAMBDAS) for x, y in zip(*side, strict=True)]
    return around(w, LAMBDAS, torch.stack(rows, 1))


def around(w: Tensor, grid: Grid, u: Tensor) -> Fits:
    """Models ``u`` [s m d] that all have the same shared one, ``w`` [d]."""
    return Fits(torch.tensor(grid, dtype=torch.float64), w.expand(len(grid), -1), u)


Adapt = Callable[[Side, Tensor], Fits]
still, tuned, sprung = (
    lambda side, w, keep=keep, grid=grid: filtered(side, w, keep, grid)
    for keep, grid in ((descent, (0,)), (descent, STEPS), (spring, LAMBDAS))
)
#: New clients: from whose shared model they start, and how they adapt it.
NEW: dict[str, tuple[str, Adapt]] = {
    "shared": ("shared", still),
    "FedAvg + ft": ("shared", tuned),
    "Ditto": ("shared", sprung),
    "joint ridge": ("joint ridge", sprung),
    "LASSO": ("LASSO", own_lasso),
    "path": ("path", own_path),
    "FedAvg, then path": ("shared", own_path),
    "FedAvg, then LASSO": ("shared", own_lasso),
    "path, then a spring": ("path", sprung),
    "path, then LASSO": ("path", own_lasso),
}


def choose(fits: Fits, held: Side) -> int:
    """Return which setting has the smallest error on the held samples."""
    errors = (torch.einsum("mqd,smd->smq", held.x, fits.u) - held.y).square().mean((1, 2))
    return int(errors.nan_to_num(torch.inf).argmin())


def excess(u: Tensor, truth: Tensor) -> float:
    r"""Return $\lVert u_i-u_i^\ast\rVert^2$, the mean over clients."""
    return round(float((u - truth).square().sum(-1).mean()), 5)


def edge(name: str, k: int, fits: Fits) -> list[str]:
    """Say that a choice of several is the first or the last one, nothing if it is not.

    >>> fits = Fits(torch.arange(3.0), torch.zeros(3, 1), torch.zeros(3, 1, 1))
    >>> edge("path", 0, fits), edge("path", 1, fits)
    (['path: 0'], [])
    """
    inside = 0 < k < len(fits.setting) - 1 or len(fits.setting) == 1
    return [] if inside else [f"{name}: {float(fits.setting[k]):g}"]


def compute(world: str, seed: int) -> dict[str, Any]:
    """Run every method on one draw: known clients, and new ones with few samples."""
    g = torch.Generator().manual_seed(seed)
    w_star = torch.randn(FEATURES, generator=g, dtype=torch.float64)
    clients = draw(world, w_star, CLIENTS, SAMPLES, HELD, g)
    known, starts, edges = {}, {}, []
    for name, solve in METHODS.items():
        fits = solve(clients.learn)
        k = choose(fits, clients.held)
        known[name] = {
            "excess": excess(fits.u[k], clients.u), "setting": round(float(fits.setting[k]), 4),
            "numbers": int(((fits.u[k] - fits.w[k]).abs() > 1e-9).sum()),
            "start": excess(fits.w[k], w_star),
        }  # fmt: skip
        starts[name] = fits.w[k]
        edges += edge(name, k, fits)
    new, more = newcomers(world, w_star, starts, g)
    first = found_first(clients.learn, clients.u != w_star)
    return {"known": known, "new": new, "first": first, "edges": edges + more}


def found_first(side: Side, different: Tensor) -> dict[str, int]:
    """Count how many of the first numbers on the path are truly personal: as many as there are."""
    with expected("the deviations are one choice of several"):
        times = personalization_path(clients_of(side), t_max=TIMES[-1]).entry_times().flatten()
    total = min(int(different.sum()), CLIENTS * FEW)
    true = different.flatten()[times.argsort(stable=True)]
    return {"of": total, "found": int(true[:total].sum()), "before false": run_length(true)}


def run_length(true: Tensor) -> int:
    """Return how many are true before the first that is false.

    >>> run_length(torch.tensor([True, True, False, True]))
    2
    """
    return int(true.int().cumprod(0).sum())


def newcomers(
    world: str, w_star: Tensor, starts: Mapping[str, Tensor], g: torch.Generator
) -> tuple[dict[str, list[float]], list[str]]:
    """Let new clients adapt a shared start as far as others of their kind have chosen.

    Returns the excess errors by method, one for each of SIZES, and which choices are on an edge.
    """
    scores: dict[str, list[float]] = {name: [] for name in NEW}
    edges = []
    for n in SIZES:
        tune, new = (draw(world, w_star, ARRIVE, n, ARRIVE, g) for _ in range(2))
        for name, (start, adapt) in NEW.items():
            judged = adapt(tune.learn, starts[start])
            k = choose(judged, tune.held)
            edges += edge(f"{name}, new, {n}", k, judged)
            scores[name].append(excess(adapt(new.learn, starts[start]).u[k], new.u))
    return scores, edges


def compute_corrupted(world: str, seed: int) -> dict[str, Any]:
    """Return the squared error of each method's shared model where some clients are wrong."""
    share, sign = WRONG[world]
    g, wrong = torch.Generator().manual_seed(seed), round(share * CLIENTS)
    w_star = torch.randn(FEATURES, generator=g, dtype=torch.float64)
    clients = draw("alike", w_star, CLIENTS, SAMPLES, HELD, g)
    learn, held = (spoiled(side, wrong, sign, g) for side in (clients.learn, clients.held))
    scores, edges = {}, []
    for name, solve in SHARED.items():
        fits = solve(learn)
        errors = (torch.einsum("mqd,sd->smq", held.x, fits.w) - held.y[None]).square().mean(2)
        k = int(errors.median(1).values.argmin())  # who is wrong nobody knows: the median client
        scores[name] = excess(fits.w[k], w_star)
        edges += edge(name, k, fits)
    honest = pooled(Side(learn.x[wrong:], learn.y[wrong:]))
    return {"w": {"FedAvg, honest clients": excess(honest, w_star), **scores}, "edges": edges}


def spoiled(side: Side, wrong: int, sign: float, g: torch.Generator) -> Side:
    """Shuffle the targets of the first ``wrong`` clients, or turn their sign.

    >>> side = Side(torch.zeros(2, 2, 1), torch.ones(2, 2))
    >>> spoiled(side, 1, -1.0, torch.Generator()).y.tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """
    y = side.y.clone()
    for i in range(wrong):
        y[i] = sign * y[i] if sign else y[i, torch.randperm(y.shape[1], generator=g)]
    return Side(side.x, y)


def one(w: Tensor) -> Fits:
    """A method without a setting, of which only the shared model ``w`` [d] is asked for."""
    return Fits(torch.zeros(1), w[None], w[None, None])


def median_of_slopes(side: Side, steps: int = 3000) -> Tensor:
    """Follow the median of the clients' gradients, number by number, with steps that shrink."""
    A, b = moments(side)
    w = torch.zeros_like(b[0])
    for k in range(steps):
        slope = torch.quantile((A @ w - b), 0.5, dim=0)
        w = w - STEP / (1 + 10 * k / steps) * slope
    return w


#: Methods by their shared models.
SHARED: dict[str, Callable[[Side], Fits]] = {
    "FedAvg": lambda side: one(pooled(side)),
    "median of messages": lambda side: one(median_of_slopes(side)),
    "median of own models": lambda side: one(METHODS["local"](side).u[0].quantile(0.5, dim=0)),
    "joint ridge": joint_ridge,
    "LASSO": lasso,
    "path": path,
}


def clients_of(side: Side) -> Clients:
    m, n, _ = side.x.shape
    return Clients(*side, torch.full((m,), n), torch.full((m,), 1 / m, dtype=torch.float64))


@contextmanager
def expected(words: str) -> Iterator[None]:
    """Silence one warning that says what is known: that some deviations fit alike."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=words)
        yield


def grids() -> dict[str, tuple[float, ...]]:
    """What the methods may choose from; the path's known clients may stop at each knot."""
    return {"FedAvg + ft": STEPS, "Ditto, joint ridge, LASSO": LAMBDAS, "path": TIMES}
