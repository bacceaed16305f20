# %% [markdown]
# # Assignment 3: the exact path, with one wall only
#
# After Chapter 8. About 90 minutes; 16 marks for code, 8 for derivations.
#
# **How it is marked.** A task with code has some tests that you see and some that you do not; try
# your function on inputs of your own before you hand it in. Write each function yourself: you may
# *compare* with `fedlearn_lib`, but an answer that calls it, or a checker of the book, gets no
# marks, and the tests notice. For a derivation the marks are listed with the question. Hand in the
# notebook under its own name, `exact_path.ipynb`.
#
# **The situation.** Concentrations, counts and prices are not negative. Let
#
# $$R(\beta)=\sum_j\beta_j\ \text{ if all }\beta_j\ge0,\qquad R(\beta)=\infty\ \text{ otherwise,}$$
#
# and follow the path of Chapter 8 with $R$ in the place of the $\ell_1$ norm:
#
# $$\dot\rho_t=g(\beta_t)=\tfrac1nX^\top(y-X\beta_t),\qquad\rho_t\in\partial R(\beta_t),$$
#
# beginning with $\rho_0=0$.
#
# The account $\rho_j$ of Chapter 8 has a wall at $1$ and a wall at $-1$. Here only the wall at $1$
# is left: **an account may fall as low as it likes.**

# %% setup
import numpy as np
import torch

# %% [markdown]
# ## Task 1. Slopes (4 marks)
#
# Write `is_slope(beta, rho)`: `True` if $\rho\in\partial R(\beta)$ and `False` if not, for two
# tensors [p]. Allow $10^{-9}$ for rounding in every comparison.


# %% answer=is_slope
def is_slope(beta, rho):
    ### BEGIN SOLUTION
    allowed = (beta > -1e-9).all() and (rho < 1 + 1e-9).all()
    return bool(allowed and ((rho - 1).abs() < 1e-9)[beta > 1e-9].all())
    ### END SOLUTION


# %% tests=is_slope_seen points=1
# A coefficient that is in, beside one that waits; then the same with an account that is not full.
from fedlearn_book.exercises import alone

_found = alone(is_slope)(torch.tensor([2.0, 0]).double(), torch.tensor([1, 0.3]).double())
assert _found is True, f"the first account is full and the second waits: True, yours is {_found}"
_found = alone(is_slope)(torch.tensor([2.0, 0]).double(), torch.tensor([0.9, 0.3]).double())
assert _found is False, f"the first account is not full: False, yours is {_found}"

# %% tests=is_slope points=3
# The other cases.
from fedlearn_book.exercises import alone

### BEGIN HIDDEN TESTS
_cases = [
    ([0.0, 0.0], [0.0, 0.0], True, "all accounts may wait"),
    ([0.0, 3.0], [-7.0, 1.0], True, "there is no lower wall"),
    ([0.0, 3.0], [1.0, 1.0], True, "a full account may wait, too"),
    ([0.0, 3.0], [1.2, 1.0], False, "no account is above the wall"),
    ([-1.0, 3.0], [1.0, 1.0], False, "where R is infinite it has no slope"),
    ([-1.0, 0.0], [-1.0, 0.0], False, "where R is infinite it has no slope"),
    ([1e-3, 0.0], [0.5, 0.0], False, "a small coefficient needs a full account, too"),
    ([2.0, 0.0], [1.0 + 1e-12, 0.0], True, "rounding is allowed"),
]  # fmt: skip
for _beta, _rho, _wanted, _why in _cases:
    _found = alone(is_slope)(torch.tensor(_beta).double(), torch.tensor(_rho).double())
    assert _found is _wanted, f"{_why}: {_wanted} for β = {_beta}, ρ = {_rho}; yours is {_found}"
### END HIDDEN TESTS

# %% [markdown]
# ## Task 2. The next wall (4 marks)
#
# Write `next_wall(rho, g)`: how long until the next account reaches the wall, if the accounts stand
# at `rho` (all $\rho_j\le1$) and move with the speeds `g`, both [p]. An account that stands at the
# wall and does not move reaches nothing. If no account will ever reach the wall, return infinity
# (`torch.inf`).


# %% answer=next_wall
def next_wall(rho, g):
    ### BEGIN SOLUTION
    rising = g > 0
    waits = (1 - rho[rising]) / g[rising]
    return waits.min() if len(waits) else torch.inf
    ### END SOLUTION


# %% tests=next_wall_seen points=1
# The first account needs (1 - 0)/2, the second (1 - 0.5)/0.5.
from fedlearn_book.exercises import alone

_found = alone(next_wall)(torch.tensor([0.0, 0.5]), torch.tensor([2.0, 0.5]))
assert abs(float(_found) - 0.5) < 1e-6, f"the first is there after 0.5, yours is {_found}"

# %% tests=next_wall points=3
# Accounts that fall, that rest, that come from far below.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _wait(rho, g, two_walls=False):
    ways = [(1 - r) / v for r, v in zip(rho.tolist(), g.tolist(), strict=True) if v > 0]
    if two_walls:
        ways += [(-1 - r) / v for r, v in zip(rho.tolist(), g.tolist(), strict=True) if v < 0]
    return min(ways, default=torch.inf)


_r = torch.tensor([0.2, -0.4, 1.0, -3.0], dtype=torch.float64)
_v = torch.tensor([-4.0, 0.7, 0.0, 5.0], dtype=torch.float64)
EXERCISES["task 2"] = Exercise(
    _wait,
    [(_r, _v), (_r[[1, 2]], _v[[1, 2]]), (_r[[0, 2]], _v[[0, 2]])],
    [
        (
            "There is no wall at -1: an account that falls never arrives.",
            lambda rho, g: _wait(rho, g, two_walls=True),
        ),
        ("This is the time from ρ = 0 on; the accounts have saved something, or owe it.",
         lambda rho, g: _wait(torch.zeros_like(rho), g)),
        ("The speed is missing.", lambda rho, g: _wait(rho, g.sign())),
    ],
)  # fmt: skip
assert check("task 2", alone(next_wall), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3. The path (5 marks)
#
# Write `positive_path(X, y, t_max)`: all knots up to the time `t_max` as a tensor [K], and the
# coefficients from each of them on as a tensor [K p]. Return the pair. `X` [n p] has independent
# columns; use double precision. At a knot the accounts at the wall are collected, and the new
# $\beta$ is the best fit with $\beta_j\ge0$ for these and $\beta_j=0$ for all others.
# `scipy.optimize.nnls(A, b)` computes such a fit, in NumPy. Take a speed below $10^{-10}$ for zero,
# and an account above $1-10^{-9}$ for full.

# %% answer=positive_path
from scipy.optimize import nnls


def positive_path(X, y, t_max):
    ### BEGIN SOLUTION
    X, y = X.double(), y.double()
    t, rho, beta = 0.0, torch.zeros_like(X[0]), torch.zeros_like(X[0])
    knots, values = [], []
    while True:
        g = X.T @ (y - X @ beta) / len(y)
        g = torch.where(g.abs() < 1e-10, 0, g)
        rising = g > 0
        waits = (1 - rho[rising]) / g[rising]
        if not len(waits) or t + waits.min() > t_max:
            break
        t, rho = t + waits.min().item(), rho + waits.min() * g
        full = rho > 1 - 1e-9
        beta = torch.zeros_like(beta)
        beta[full] = torch.from_numpy(nnls(X[:, full].numpy(), y.numpy())[0])
        knots.append(t)
        values.append(beta)
    return torch.tensor(knots, dtype=X.dtype), torch.stack(values)
    ### END SOLUTION


# %% tests=positive_path_seen points=1
# An orthogonal design: X'X/n = I and X'y/n = (2, 1/2, -3). The third account only falls.
from fedlearn_book.exercises import alone

_X = 3**0.5 * torch.eye(3, dtype=torch.float64)
_t, _w = alone(positive_path)(_X, _X @ torch.tensor([2.0, 0.5, -3.0]).double(), 100.0)
assert torch.allclose(_t, torch.tensor([0.5, 2.0]).double()), f"knots at 0.5 and 2, yours {_t}"
assert torch.allclose(_w, torch.tensor([[2.0, 0, 0], [2.0, 0.5, 0]]).double()), (
    f"after them (2, 0, 0) and (2, 1/2, 0), yours is {_w}"
)

# %% tests=positive_path points=4
# Correlated columns: coefficients that leave, accounts that turn round; and the inclusion itself.
from fedlearn_book.exercises import alone


### BEGIN HIDDEN TESTS
def _worst(knots, values, X, y, t_max):
    """How far the accounts of a path are from being slopes, at the knots and at the end."""
    rho, t, beta, worst = torch.zeros_like(X[0]), 0.0, torch.zeros_like(X[0]), 0.0
    for knot, after in zip([*knots.tolist(), t_max], [*values, values[-1]], strict=True):
        rho = rho + (knot - t) * X.T @ (y - X @ beta) / len(y)
        for one in (beta, after):  # a piece ends and begins with the same account
            off = torch.where(one > 1e-9, (rho - 1).abs(), (rho - 1).clamp(min=0))
            worst = max(worst, off.max().item(), (-one).max().item())
        t, beta = knot, after
    return worst


def _correlated(seed, n=30, p=8):
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(n, p, generator=g, dtype=torch.float64)
    X = X + 0.9 * X[:, :1]
    truth = torch.tensor([0.0, 2.0, 1.0, 1.5, 0.0, -0.5, 0.7, 0.0], dtype=torch.float64)
    return X, X @ truth + 0.5 * torch.randn(n, generator=g, dtype=torch.float64)


_left = 0
for _seed in range(8):
    _X, _y = _correlated(_seed)
    _t, _w = alone(positive_path)(_X, _y, 30.0)
    assert _t.shape == (len(_w),), "one time and one row of coefficients for each knot"
    _off = _worst(_t, _w, _X, _y, 30.0)
    assert _off < 1e-6, f"the accounts leave the slopes by {_off:.2g} on data {_seed}"
    _left += int(((_w[:-1] > 1e-9) & (_w[1:] < 1e-9)).any())
assert _left > 0  # in some of these data sets a coefficient leaves
_t, _w = alone(positive_path)(_X, _y, _t[2].item() * 1.0001)
assert len(_t) == 3, f"three knots lie before that time, you return {len(_t)}"
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4. What a path knows (3 marks)
#
# Write `distance(z, rho)`: the Bregman distance of $R$ from any $\beta$ with
# $\rho\in\partial R(\beta)$ to `z`, both [p]. Where $R(z)=\infty$ it is infinite.


# %% answer=distance
def distance(z, rho):
    ### BEGIN SOLUTION
    return ((1 - rho) * z).sum() if (z >= 0).all() else torch.inf
    ### END SOLUTION


# %% tests=distance_seen points=1
# Half of an account is missing for the first coefficient, nothing for the second.
from fedlearn_book.exercises import alone

_found = alone(distance)(torch.tensor([3.0, 4.0]), torch.tensor([0.5, 1.0]))
assert abs(float(_found) - 1.5) < 1e-6, f"the distance is 1.5, yours is {_found}"

# %% tests=distance points=2
# Accounts far below the wall, and a z that is not allowed.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check

### BEGIN HIDDEN TESTS
_z, _r = torch.tensor([0.5, 2.0, 0.0]).double(), torch.tensor([-4.0, 1.0, 0.3]).double()
EXERCISES["task 4"] = Exercise(
    lambda z, rho: torch.inf if (z < 0).any() else ((1 - rho) * z).sum(),
    [(_z, _r), (_z, 1 - _z), (_z - 1, _r)],
    [
        (
            "This is the distance of the l1 norm. Where z has a negative entry R is infinite.",
            lambda z, rho: (z.abs() - rho * z).sum(),
        ),
        ("An account may be below -1; do not cut it off.",
         lambda z, rho: torch.inf if (z < 0).any() else ((1 - rho.clamp(min=-1)) * z).sum()),
    ],
)  # fmt: skip
assert check("task 4", alone(distance), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Question 1. Slopes, and one fit (4 marks)
#
# (a) Prove: $\rho\in\partial R(\beta)$ if and only if all $\beta_j\ge0$, all $\rho_j\le1$, and
# $\rho_j=1$ where $\beta_j>0$. (b) Prove that two paths of the same data have the same $\rho_t$ and
# the same $X\beta_t$. Which property of $R$ do you use, and which is not needed that the $\ell_1$
# norm has?
#
# *Marks:* (a) one direction each, 2; (b) monotonicity and the derivative of a square, 1; the
# properties, 1.

# %% [markdown] answer=slopes points=4
# **Model answer.** (a) Let the three conditions hold. For $z\ge0$,
# $R(\beta)+\langle\rho,z-\beta\rangle=\sum_j\rho_jz_j+\sum_j(1-\rho_j)\beta_j$, and the last sum
# is zero; so it is $\sum_j\rho_jz_j\le R(z)$. For other $z$ the right side is infinite *(1)*.
# Conversely, $R(\beta)$ must be finite, so $\beta\ge0$. With $z=\beta+e_j$ the definition gives
# $1\ge\rho_j$. If $\beta_j>0$, $z=\beta-\beta_je_j$ gives $-\beta_j\ge-\rho_j\beta_j$, hence
# $\rho_j\ge1$ *(1)*. (b) Add the definitions of both slopes:
# $\langle\rho_t-\tilde\rho_t,\beta_t-\tilde\beta_t\rangle\ge0$. With
# $a_t=\int_0^tX(\beta_s-\tilde\beta_s)ds$ we have $\rho_t-\tilde\rho_t=-\frac1nX^\top a_t$, so
# $\frac d{dt}\lVert a_t\rVert^2\le0$ but at jumps, $a_0=0$, hence $a=0$: the accounts agree, and
# so do the fits, first where both are continuous, then everywhere by continuity from the right
# *(1)*. Only convexity is used. $R$ need not be finite, symmetric, or a norm *(1)*.

# %% [markdown]
# ## Question 2. In by the back door (4 marks)
#
# Let $\frac1nX^\top X=\begin{pmatrix}1&-\frac12\\-\frac12&1\end{pmatrix}$ and
# $\frac1nX^\top y=(2,-\frac14)^\top$. (a) Compute the path by hand: all knots, $\rho$ at the knots,
# and $\beta$ after them. (b) Feature 2 is correlated negatively with the response. Why does it come
# in? (c) Where would LASSO with the same restriction let it in, as $\lambda$ falls from above?
#
# *Marks:* (a) first knot, 1, second knot and end, 1; (b), 1; (c), 1.

# %% [markdown] answer=back_door points=4
# **Model answer.** (a) At first $g=(2,-\frac14)$; account 1 is full at $t=\frac12$, where
# $\rho_2=-\frac18$, and $\beta=(2,0)$ *(1)*. Then $g_2=-\frac14+\frac12\cdot2=\frac34$; account 2
# has $\frac98$ to go and arrives at $t=\frac12+\frac32=2$. The least-squares fit is $(\frac52,1)$,
# it is positive, $g=0$, and nothing moves any more *(1)*. (b) Feature 1 is in and explains too
# much where feature 2 is large: for what is left, feature 2 is correlated positively. It had to
# pay its debt of $\frac18$ first *(1)*. (c) With feature 1 alone $\beta_1=2-\lambda$, and feature
# 2 enters where its correlation with the residual reaches $\lambda$:
# $-\frac14+\frac12(2-\lambda)=\lambda$, at $\lambda=\frac12=1/t$ of the path *(1)*.
