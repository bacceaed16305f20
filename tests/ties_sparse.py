"""Ties of the exercises of chapters 8 to 13."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from ties import Pair, normal, number, tie, uniform, whole
from torch import Tensor
from torch.nn import functional

from fedlearn_lib import L1, Path, SplitLBI, iss_path, lbi_path, mlp
from fedlearn_lib.sparse import SplitState, lbi_max_lr, split_lbi, split_step
from fedlearn_lib.structure import cost, overlap_by_chance
from fedlearn_lib.theory import (
    descent,
    dual_of,
    lyapunov_max_lr,
    selection_bound,
    split_irr,
)

# ----- chapter 8: inverse scale space ------------------------------------------------------------


def subgradient(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Any point, and a subgradient at another one: some of its entries are at a wall."""
    return normal(g, 6), (1.5 * uniform(g, -1, 1, 6)).clamp(-1, 1)


@tie("bregman distance", subgradient)
def bregman_distance(found: Tensor, z: Tensor, rho: Tensor) -> Pair:
    """By its definition, |z| − |u| − ⟨ρ, z − u⟩, at a point u of which ρ is a subgradient."""
    u = torch.where(rho.abs() == 1, 3 * rho, 0)
    return found, float(z.abs().sum() - u.abs().sum()) - float(rho @ (z - u))


@tie("waiting", lambda g: (normal(g, 5), number(g, 0.3, 4)))
def waiting(found: Tensor, c: Tensor, t: float) -> Pair:
    """The library's path on a design whose columns are orthogonal, with XᵀX/n = I."""
    X = 4 * torch.eye(16, dtype=torch.float64)[:, : len(c)]
    return found, iss_path(X, X @ c.double(), t_max=2 * t + 10).at(t)


@tie("next knot", lambda g: (uniform(g, -1, 1, 5), normal(g, 5)))
def next_knot(found: Tensor, rho: Tensor, g: Tensor) -> Pair:
    """The first of all the times at which a moving coordinate meets either wall."""
    pairs = [(r, s) for r, s in zip(rho.tolist(), g.tolist(), strict=True) if s != 0]
    return found, min(time for r, s in pairs for wall in (-1, 1) if (time := (wall - r) / s) > 0)


def steps_of_time(g: torch.Generator) -> tuple[Any, ...]:
    """Knots and an end on the grid of hundredths."""
    knots = (torch.randperm(300, generator=g)[:4].sort().values + 20) / 100
    return knots.double(), normal(g, 4, 3), whole(g, 400, 600) / 100


@tie("average of the path", steps_of_time)
def average_of_the_path(found: Tensor, knots: Tensor, w: Tensor, t: float) -> Pair:
    """The mean of the path at the middles of a grid on which all knots lie."""
    path, n = Path(knots, w, w), round(100 * t)
    return found, torch.stack([path.at((k + 0.5) * t / n) for k in range(n)]).mean(0)


@tie(
    "lasso shift",
    lambda g: (normal(g, 7, 3), torch.tensor([1.0, -1.0, 1.0]).double(), number(g, 0.1, 1)),
)
def lasso_shift(found: Tensor, X: Tensor, signs: Tensor, lam: float) -> Pair:
    """Shifted back from the least-squares fit, the LASSO with these signs stands still."""
    fit = 10 * signs

    def objective(beta: Tensor) -> Tensor:
        return (X @ (fit - beta)).square().sum() / (2 * len(X)) + lam * signs @ beta

    return torch.func.grad(objective)(fit - found), torch.zeros_like(fit)


# ----- chapter 9: linearized Bregman iterations --------------------------------------------------


@tie("bregman run", lambda g: (normal(g, 6, 4), 3 * normal(g, 6), 4.0, 0.03, whole(g, 5, 60)))
def bregman_run(found: Tensor, X: Tensor, y: Tensor, kappa: float, alpha: float, n: int) -> Pair:
    return found, lbi_path(X, y, kappa=kappa, lr=alpha, steps=n).w[-1]


@tie("largest step", lambda g: (normal(g, 6, 3), number(g, 0.5, 20)))
def step_size(found: Tensor, X: Tensor, kappa: float) -> Pair:
    return found, lbi_max_lr(X, kappa)


def design(g: torch.Generator) -> tuple[Any, ...]:
    """Columns close to orthogonal, so that the irrepresentable condition holds."""
    X = 3 * torch.eye(9, 5, dtype=torch.float64) + 0.1 * normal(g, 9, 5)
    return X, whole(g, 1, 4), number(g, 0.2, 2), number(g, 0.01, 0.5)


@tie("safe time", design)
def safe_time(found: Tensor, X: Tensor, s: int, sigma: float, delta: float) -> Pair:
    """The end of the time that the library's selection theorem promises for large coefficients."""
    beta = torch.where(torch.arange(X.shape[1]) < s, 1e6, 0)
    return found, selection_bound(X, beta, sigma, delta=delta).last


# ----- chapter 10: split paths -------------------------------------------------------------------


@tie("split step", lambda g: (*2 * normal(g, 4, 5), 3.0, number(g, 0.5, 4), number(g, 0.1, 0.6)))
def one_split_step(
    found: Tensor, w: Tensor, v: Tensor, gamma: Tensor, slope: Tensor, kappa: float, nu: float,
    lr: float,
) -> Pair:  # fmt: skip
    new = split_step(SplitState(w, v, gamma), slope, L1(), kappa=kappa, nu=nu, lr=lr)
    return found, torch.stack(new)


def gram_case(g: torch.Generator) -> tuple[Any, ...]:
    X = normal(g, 9, 5)
    return X.T @ X / 9, torch.arange(5) < whole(g, 1, 4), number(g, 0.2, 5)


@tie("split condition", gram_case)
def split_condition(found: Tensor, C: Tensor, inside: Tensor, nu: float) -> Pair:
    """The library's, for a design with this Gram matrix."""
    X = math.sqrt(len(C)) * torch.linalg.cholesky(C).T
    return found, split_irr(X, inside, nu)


@tie("means of pieces", lambda g: (normal(g, 8), torch.rand(7, generator=g) < 0.4))
def means_of_pieces(found: Tensor, beta: Tensor, jumps: Tensor) -> Pair:
    """The least-squares fit by vectors that step up at a jump and stay."""
    places = torch.arange(len(beta))
    steps = [(places > int(i)).to(beta) for i in jumps.nonzero().flatten()]
    basis = torch.stack([torch.ones_like(beta), *steps], 1)
    return found, basis @ torch.linalg.lstsq(basis, beta[:, None]).solution[:, 0]


# ----- chapter 11: DessiLBI ----------------------------------------------------------------------


@tie("one step", lambda g: (*2 * normal(g, 3, 5), 0.2, number(g, 0.5, 3), number(g, 0.5, 4)))
def one_step(
    found: Tensor, w: Tensor, v: Tensor, slope: Tensor, alpha: float, kappa: float, nu: float
) -> Pair:
    """The step that the optimizer takes."""
    w, v = w.clone(), v.clone()
    split_lbi([w], [slope], [v], [None], lr=alpha, kappa=kappa, nu=nu, penalty="l1")
    return found, torch.stack([w, v])


@tie("entry step", lambda g: (uniform(g, 0.2, 4, 5), number(g, 0.05, 0.5), number(g, 0.5, 5)))
def entry_step(found: Tensor, norms: Tensor, alpha: float, nu: float) -> Pair:
    """Add α/ν times a held filter, without rounding, until the sum is longer than one."""

    def first(norm: Fraction) -> int:
        v, steps = Fraction(0), 0
        while v <= 1:
            v, steps = v + Fraction(alpha) / Fraction(nu) * norm, steps + 1
        return steps

    return found, [first(Fraction(norm)) for norm in norms.tolist()]


def filters(g: torch.Generator) -> tuple[Any, ...]:
    """Norms clear of the threshold, which the simulated step meets to within a few percent."""
    kappa, mu = number(g, 0.5, 2), float(torch.tensor([0.0, 0.5, 0.8])[whole(g, 0, 2)])
    W = normal(g, 6, 2, 3, 3)
    wanted = kappa / (1 - mu) * torch.tensor([0.3, 0.6, 0.85, 1.2, 1.7, 3.0]).double()
    return W * (wanted / W.flatten(1).norm(dim=1))[:, None, None, None], kappa, mu


@tie("alive by decay", filters)
def alive_by_decay(found: Tensor, W: Tensor, kappa: float, mu: float) -> Pair:
    """Which filters ever enter in a run of the optimizer with no loss at all."""
    weights = torch.nn.Parameter(W.clone())
    optimizer = SplitLBI(
        [weights], lr=0.01 / kappa, kappa=kappa, nu=1.0, penalty="group", momentum=mu,
        momentum_on="coupled",
    )  # fmt: skip
    entered = torch.zeros(len(W), dtype=torch.bool)
    for _ in range(1500):
        weights.grad = torch.zeros_like(W)
        optimizer.step()
        entered |= optimizer.support(weights).flatten(1).any(1)
    return found, entered


# ----- chapter 12: global convergence ------------------------------------------------------------


@tie("safe step", lambda g: (uniform(g, 0.1, 5, 4), uniform(g, 0.2, 5, 4), number(g, 0.5, 9)))
def step_that_is_safe(found: Tensor, lip: Tensor, nu: Tensor, kappa: float) -> Pair:
    pairs = zip(lip.tolist(), nu.tolist(), strict=True)
    return found, [lyapunov_max_lr(one, kappa=kappa, nu=other) for one, other in pairs]


def moment(g: torch.Generator) -> tuple[Any, ...]:
    """Two sparse copies in a row with the dual of the first, and any loss."""
    v, kappa = 2 * normal(g, 5), number(g, 0.5, 4)
    new = kappa * L1().prox(v + normal(g, 5))
    return normal(g), new, kappa * L1().prox(v), v, kappa, number(g, 0.1, 1)


@tie("lyapunov value", moment)
def lyapunov_value(
    found: Tensor, lbar: Tensor, gamma: Tensor, before: Tensor, v: Tensor, kappa: float, lr: float
) -> Pair:
    """The library's, at the second step of a run that passes through these points.

    A run whose V is ``v`` and whose next Γ is ``gamma`` needs W − Γ to move V there; the loss at
    the end is set so that the coupled loss is ``lbar``.
    """
    v_new = torch.where(gamma != 0, gamma / kappa + gamma.sign(), 0)  # one V with this Γ
    nu = 1.0
    w = torch.stack([v * nu / lr, before + (v_new - v) * nu / lr, gamma])
    run = dual_of(w, torch.stack([0 * before, before, gamma]), nu=nu, lr=lr)
    value = descent(
        lambda one: lbar + 0 * one.sum(), run, L1(), lip=1.0, kappa=kappa, nu=nu, lr=lr
    ).value[-1]
    return found, value


@tie(
    "last rate",
    lambda g: (uniform(g, 0.1, 5, 4), uniform(g, 0.2, 5, 4), number(g, 0.5, 2), 0.2),
)
def last_rate(found: Tensor, lip: Tensor, nu: Tensor, kappa: float, lr: float) -> Pair:
    """The spectral radius of one step for W and Γ together."""
    rates = []
    for a, b in zip(lip.tolist(), nu.tolist(), strict=True):
        hessian = np.array([[a + 1 / b, -1 / b], [-1 / b, 1 / b]])
        rates.append(np.abs(np.linalg.eigvals(np.eye(2) - kappa * lr * hessian)).max())
    return found, rates


# ----- chapter 13: tickets and growth ------------------------------------------------------------


@tie("absorbed bias", lambda g: (normal(g, 3, 4, 3, 3), normal(g, 3), normal(g, 4)))
def absorbed_bias(found: Tensor, K: Tensor, bias: Tensor, b: Tensor) -> Pair:
    """What the convolution gives for units that always say relu(b)."""
    said = b.relu()[None, :, None, None].expand(1, len(b), *K.shape[2:])
    return found, functional.conv2d(said, K, bias)[0, :, 0, 0]


def network(g: torch.Generator) -> tuple[Tensor, Tensor]:
    sizes = torch.randint(2, 30, (5,), generator=g)
    kept = [whole(g, 1, int(n)) for n in sizes]
    return sizes.double(), torch.tensor(kept) / sizes.double()


@tie("remaining work", network)
def remaining_work(found: Tensor, sizes: Tensor, kept: Tensor) -> Pair:
    """The library's count for two networks that are made."""
    small, large = (
        cost(mlp(*units), units[0]).multiply_adds
        for units in ((sizes * kept).round().int().tolist(), sizes.int().tolist())
    )
    return found, small / large


def masks(g: torch.Generator) -> tuple[Tensor, ...]:
    n = torch.randint(8, 40, (3,), generator=g)
    k, other = (torch.stack([torch.tensor(whole(g, 2, int(one) - 2)) for one in n]) for _ in "12")
    both = torch.minimum(k, other) - (torch.rand(3, generator=g) < 0.5).long()
    return n.double(), k.double(), other.double(), both.double()


@tie("surprise", masks)
def surprise(found: Tensor, n: Tensor, k: Tensor, other: Tensor, both: Tensor) -> Pair:
    """Chance by the library, and by counting the masks of ``other`` units of n."""
    layers = list(zip(*(v.int().tolist() for v in (n, k, other)), strict=True))
    moments = [overlap_by_chance(*layer) for layer in layers], [counted(*layer) for layer in layers]
    z = [
        (float(both.sum()) - sum(mean for mean, _ in all_layers))
        / math.sqrt(sum(deviation**2 for _, deviation in all_layers))
        for all_layers in moments
    ]
    return [found, found], z


def counted(n: int, k: int, other: int) -> tuple[float, float]:
    """Mean and standard deviation of the overlap over all choices of ``other`` units."""
    ways = [math.comb(k, x) * math.comb(n - k, other - x) for x in range(other + 1)]
    mean = sum(x * w for x, w in enumerate(ways)) / sum(ways)
    square = sum((x - mean) ** 2 * w for x, w in enumerate(ways)) / sum(ways)
    return mean, math.sqrt(square)
