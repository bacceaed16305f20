# %% [markdown]
# # Assignment 4: Split LBI, with bends and groups
#
# After Chapter 10. About 90 minutes; 16 marks for code, 8 for derivations.
#
# **How it is marked.** A task with code has some tests that you see and some that you do not; try
# your function on inputs of your own before you hand it in. Write each function yourself: you may
# *compare* with `fedlearn_lib`, but an answer that calls it, or a checker of the book, gets no
# marks, and the tests notice. For a derivation the marks are listed with the question. Hand in the
# notebook under its own name, `split_lbi.ipynb`.
#
# **The situation.** A temperature is measured once a day. It changes along straight lines, and now
# and then the line bends. So the structure is $D\beta$ with the second differences
# $(D\beta)_i=\beta_i-2\beta_{i+1}+\beta_{i+2}$: a zero says that three neighbors lie on a line. In
# Task 2 several thermometers bend on the same days, and the rows of $D$ come in groups. As in
# Chapter 10,
#
# $$\bar L(\beta,\gamma)=\frac1{2n}\lVert y-X\beta\rVert^2
# +\frac1{2\nu}\lVert D\beta-\gamma\rVert^2.$$

# %% setup
import numpy as np
import torch


# %%
# For your own trials: the matrix of second differences of p numbers, [p - 2, p].
def bends_of(p):
    return torch.eye(p, dtype=torch.float64).diff(dim=0).diff(dim=0)


# %% [markdown]
# ## Task 1. At rest (4 marks)
#
# Write `at_rest(X, y, D, nu, gamma)`: the dense copy $\beta$ [p] that minimizes
# $\bar L(\cdot,\gamma)$, for `X` [n p], `y` [n], `D` [q p] and `gamma` [q]. You may assume that it
# is unique.


# %% answer=at_rest
def at_rest(X, y, D, nu, gamma):
    ### BEGIN SOLUTION
    n = len(y)
    return torch.linalg.solve(X.T @ X / n + D.T @ D / nu, X.T @ y / n + D.T @ gamma / nu)
    ### END SOLUTION


# %% tests=at_rest_seen points=1
# One number: 1/2 (4 - β)² + 1/(2ν) (β - 1)² with ν = 1/2 is least at (4 + 2·1) / (1 + 2).
from fedlearn_book.exercises import alone

_one = torch.ones(1, 1, dtype=torch.float64)
_found = alone(at_rest)(_one, 4 * _one[0], _one, 0.5, _one[0])
assert torch.allclose(_found, 2 * _one[0]), f"it rests at 2, yours is {_found}"

# %% tests=at_rest points=3
# More rows than one, and a D that is no identity.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _data(seed, n=12, p=7):
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(n, p, generator=g, dtype=torch.float64)
    D = torch.eye(p, dtype=torch.float64).diff(dim=0).diff(dim=0)
    gamma = torch.randn(p - 2, generator=g, dtype=torch.float64)
    return X, X.sum(1) + 3 * torch.randn(n, generator=g, dtype=torch.float64), D, gamma


def _rest(X, y, D, nu, gamma, n=None):
    n = n or len(y)
    stack = torch.cat([X / n**0.5, D / nu**0.5])
    return torch.linalg.lstsq(stack, torch.cat([y / n**0.5, gamma / nu**0.5])[:, None]).solution[
        :, 0
    ]


def _case(seed, nu):
    X, y, D, gamma = _data(seed)
    return X, y, D, nu, gamma


EXERCISES["task 1"] = Exercise(
    _rest,
    [_case(1, 2.0), _case(2, 0.1)],
    [
        ("The loss has the factor 1/n.", lambda *case: _rest(*case, n=1)),
        (
            "The sparse copy is missing: this is the rest for γ = 0.",
            lambda X, y, D, nu, gamma: _rest(X, y, D, nu, 0 * gamma),
        ),
        (
            "The spring has the strength 1/ν: a large ν couples loosely.",
            lambda X, y, D, nu, gamma: _rest(X, y, D, 1 / nu, gamma),
        ),
        (
            "This is least squares; the spring is missing.",
            lambda X, y, D, nu, gamma: _rest(X, y, D, 1e12, gamma),
        ),
    ],
)
assert check("task 1", alone(at_rest), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 2. One step, in groups (4 marks)
#
# The rows of $D$ fall into groups that enter together: `groups` [q] holds the number of each row's
# group, from $0$ on. The penalty is the sum over groups of $\lVert\gamma_G\rVert$, so that
# $\gamma_G=\kappa\max\big(0,1-1/\lVert z_G\rVert\big)z_G$. Write
# `group_step(beta, z, gamma, slope, D, groups, kappa, nu, lr)`: `torch.cat([beta, z, gamma])` after
# one step of Algorithm 10.2 with this $\gamma$. `slope` [p] is the gradient of the loss at the old
# `beta`.


# %% answer=group_step
def group_step(beta, z, gamma, slope, D, groups, kappa, nu, lr):
    ### BEGIN SOLUTION
    pull = (D @ beta - gamma) / nu
    beta = beta - kappa * lr * (slope + D.T @ pull)
    z = z + lr * pull
    squares = torch.zeros(int(groups.max()) + 1, dtype=z.dtype).index_add(0, groups, z**2)
    size = squares.sqrt()[groups]
    shrunk = torch.where(size > 1, (1 - 1 / size) * z, 0)
    return torch.cat([beta, z, kappa * shrunk])
    ### END SOLUTION


# %% tests=group_step_seen points=1
# Two rows in one group, D = I, ν = 1, κ = 2, α = 1/2, from β = (6, 8) with slope zero: the pull is
# (6, 8), β falls to zero, z = (3, 4) has the norm 5, and four fifths of it are left, times κ.
from fedlearn_book.exercises import alone

_two, _b = torch.zeros(2, dtype=torch.float64), torch.tensor([6.0, 8.0]).double()
_found = alone(group_step)(
    _b, _two, _two, _two, torch.eye(2).double(), torch.tensor([0, 0]), 2.0, 1.0, 0.5
)
_wanted = torch.tensor([0, 0, 3, 4, 4.8, 6.4]).double()
assert torch.allclose(_found, _wanted), f"β, z, γ are {_wanted}, yours are {_found}"

# %% tests=group_step points=3
# Several groups, some in, some out, in no particular order; and a z of zeros.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _in_groups(z, groups):
    parts = torch.zeros_like(z)
    for number in groups.unique():
        own = groups == number
        parts[own] = max(0.0, 1 - 1 / max(z[own].norm().item(), 1e-300)) * z[own]
    return parts


def _step(beta, z, gamma, slope, D, groups, kappa, nu, lr, slip=""):
    pull = (D @ beta - gamma) / nu
    ahead = beta - (1 if slip == "slow" else kappa) * lr * (slope + D.T @ pull)
    z = z + lr * ((D @ ahead - gamma) / nu if slip == "order" else pull)
    shrunk = z - z.clamp(-1, 1) if slip == "entries" else _in_groups(z, groups)
    return torch.cat([ahead, z, (1 if slip == "copy" else kappa) * shrunk])


_X, _y, _D, _gamma = _data(3, p=8)
_groups = torch.tensor([2, 0, 1, 2, 1, 0])
_z = torch.tensor([1.5, 0.2, -0.6, 2.0, 0.5, -0.3]).double()
_beta = torch.linspace(-2, 3, 8).double() ** 2
EXERCISES["task 2"] = Exercise(
    _step,
    [
        (_beta, _z, _gamma, _X[0], _D, _groups, 4.0, 2.0, 0.3),
        (0 * _beta, 0 * _z, 0 * _z, _X[1], _D, _groups, 10.0, 0.5, 0.1),
        (_beta, -_z, _gamma, _X[2], _D, torch.arange(6), 3.0, 1.0, 0.2),
    ],
    [
        (
            "You shrink each row by itself. A group enters as one: shrink it by its norm.",
            lambda *case: _step(*case, slip="entries"),
        ),
        (
            "z must be pulled by the old β: compute the pull once, before anything moves.",
            lambda *case: _step(*case, slip="order"),
        ),
        ("The dense copy moves by κα.", lambda *case: _step(*case, slip="slow")),
        ("γ is κ times what the shrinkage leaves.", lambda *case: _step(*case, slip="copy")),
    ],
)
assert check("task 2", alone(group_step), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3. The first bend (4 marks)
#
# Write `first_entry(X, y, D, nu)`: the time at which the first row enters in the split inverse
# scale space of Definition 10.1, as a number. Until then $\gamma=0$ and the dense copy is at rest.


# %% answer=first_entry
def first_entry(X, y, D, nu):
    ### BEGIN SOLUTION
    n = len(y)
    beta = torch.linalg.solve(X.T @ X / n + D.T @ D / nu, X.T @ y / n)
    return nu / (D @ beta).abs().max()
    ### END SOLUTION


# %% tests=first_entry_seen points=1
# X = D = 1, y = 4, ν = 1: the dense copy waits at 2 and pulls with the force 2.
from fedlearn_book.exercises import alone

_one = torch.ones(1, 1, dtype=torch.float64)
_found = alone(first_entry)(_one, 4 * _one[0], _one, 1.0)
assert abs(float(_found) - 0.5) < 1e-9, f"it enters at 0.5, yours is {_found}"

# %% tests=first_entry points=3
# More rows than one, and a D that is no identity.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _entry(X, y, D, nu, power=1, tight=False):
    gamma = torch.zeros(len(D), dtype=D.dtype)
    beta = torch.linalg.lstsq(X, y[:, None]).solution[:, 0] if tight else _rest(X, y, D, nu, gamma)
    return nu**power / (D @ beta).abs().max()


EXERCISES["task 3"] = Exercise(
    _entry,
    [(*_data(4)[:3], 2.0), (*_data(5)[:3], 0.2)],
    [
        (
            "The force on γ is Dβ/ν: with a loose spring a row takes longer.",
            lambda *case: _entry(*case, power=0),
        ),
        (
            "The dense copy is not the least-squares fit: before the entry the spring pulls Dβ "
            "toward zero.",
            lambda *case: _entry(*case, tight=True),
        ),
        (
            "A row enters, not a coefficient: look at Dβ.",
            lambda X, y, D, nu: nu / _rest(X, y, D, nu, 0 * D[:, 0]).abs().max(),
        ),
        (
            "Rows enter on both sides: take absolute values.",
            lambda X, y, D, nu: nu / (D @ _rest(X, y, D, nu, 0 * D[:, 0])).max(),
        ),
    ],
)
assert check("task 3", alone(first_entry), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4. Straight between the bends (4 marks)
#
# The dense copy has small bends everywhere. The revised estimate is the nearest vector that bends
# only where the sparse copy does: write `straightened(beta, bend)` for `beta` [p] and a mask `bend`
# [p - 2], where `bend[i]` allows $(D\beta)_i\ne0$. It returns the $b$ nearest to `beta` (in least
# squares) with $(Db)_i=0$ wherever `bend[i]` is `False`.


# %% answer=straightened
def straightened(beta, bend):
    ### BEGIN SOLUTION
    day = torch.arange(len(beta), dtype=beta.dtype)
    hinges = 1 + bend.nonzero()[:, 0]  # the bend of row i is at the entry i + 1
    basis = [torch.ones_like(day), day, *((day - k).clamp(min=0) for k in hinges)]
    B = torch.stack(basis, 1)
    return B @ torch.linalg.lstsq(B, beta[:, None]).solution[:, 0]
    ### END SOLUTION


# %% tests=straightened_seen points=1
# Without a bend it is the line of least squares.
from fedlearn_book.exercises import alone

_found = alone(straightened)(torch.tensor([0.0, 3.0, 0.0]).double(), torch.tensor([False]))
assert torch.allclose(_found, torch.ones(3).double()), f"the best line is 1, 1, 1, yours {_found}"

# %% tests=straightened points=3
# Bends in several places, at the ends, and everywhere.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _nearest(beta, bend):
    D = torch.eye(len(beta), dtype=beta.dtype).diff(dim=0).diff(dim=0)[~bend]
    return beta - torch.linalg.pinv(D) @ (D @ beta) if len(D) else beta.clone()


def _broken(beta, bend):
    """A line of its own for each piece, which need not meet the next."""
    label = torch.cat([torch.zeros(1, dtype=torch.long), bend.long().cumsum(0)])
    label = torch.cat([label, label[-1:]])
    parts = torch.zeros_like(beta)
    for number in label.unique():
        own = label == number
        day = torch.arange(int(own.sum()), dtype=beta.dtype)
        B = torch.stack([torch.ones_like(day), day], 1)
        parts[own] = B @ (torch.linalg.pinv(B) @ beta[own])
    return parts


def _joined(beta, bend):
    """Lines from hinge to hinge, through the dense copy's own values."""
    inner = [i + 1 for i, here in enumerate(bend.tolist()) if here]
    at = [0, *inner, len(beta) - 1]
    found = np.interp(np.arange(len(beta)), at, beta[at].numpy())
    return torch.from_numpy(found)


_noisy = _data(6, n=12, p=9)[1]
_bend = torch.zeros(10, dtype=torch.bool)
_bend[[2, 6]] = True
_ends = torch.zeros(10, dtype=torch.bool)
_ends[[0, 9]] = True
EXERCISES["task 4"] = Exercise(
    _nearest,
    [(_noisy, _bend), (_noisy, _ends), (_noisy, torch.ones(10, dtype=torch.bool))],
    [
        (
            "Your lines do not meet. Without a bend in the rows beside it, a jump is not allowed.",
            _broken,
        ),
        (
            "You join the values of the dense copy at the bends; the nearest vector is a least-"
            "squares fit and need not go through them.",
            _joined,
        ),
        (
            "Your bends are one day off: row i bends at the entry i + 1.",
            lambda beta, bend: _nearest(beta, bend.roll(1)),
        ),
        (
            "This is one line through everything; the bends are not used.",
            lambda beta, bend: _nearest(beta, torch.zeros_like(bend)),
        ),
    ],
)
assert check("task 4", alone(straightened), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Question 1. The first bend, tight and loose (4 marks)
#
# (a) Show that with $X^\top X/n$ invertible the first row enters at $t_1=\nu/\lVert
# D\beta_0\rVert_\infty$ with $\beta_0=(\frac1nX^\top X+\frac1\nu D^\top D)^{-1}\frac1n X^\top y$.
# (b) Which row is the first for $\nu\to\infty$? (c) Let $X^\top X=nI$, and let $D$ be the second
# differences of $p=3$ numbers, so that $D=(1,-2,1)$. Compute $t_1$ for every $\nu$.
#
# *Marks:* (a), 2; (b), 1; (c), 1.

# %% [markdown] answer=tight_and_loose points=4
# **Model answer.** (a) While $\gamma=0$ the dense copy minimizes $\bar L(\cdot,0)$; the gradient
# $\frac1nX^\top(X\beta-y)+\frac1\nu D^\top D\beta$ vanishes at $\beta_0$ *(1)*. So $\rho_t=\frac
# t\nu D\beta_0$ as long as no $|\rho_j|$ has reached one, which first happens at $t=\nu/\lVert
# D\beta_0\rVert_\infty$ *(1)*. (b) $\beta_0$ tends to the least-squares solution, so it is the row
# with its largest second difference *(1)*. (c) $D^\top D$ has the eigenvector $D^\top$ with the
# eigenvalue $\lVert D\rVert^2=6$. With $u=\frac1nX^\top y$: $D\beta_0=Du/(1+\frac6\nu)$, and
# $t_1=(\nu+6)/|u_1-2u_2+u_3|$ *(1)*.

# %% [markdown]
# ## Question 2. What straightening keeps (4 marks)
#
# Let $b$ be the revised estimate of Task 4. (a) Show that $\sum_ib_i=\sum_i\beta_i$ and
# $\sum_iib_i=\sum_ii\beta_i$, whatever the bends are. (b) For the first differences of a chain
# only one of the two is kept. Which, and why? (c) A colleague revises by setting small entries of
# $D\beta$ to zero and adding up the rest twice, starting from $\beta_1$ and $\beta_2$. What goes
# wrong?
#
# *Marks:* (a) orthogonality, 1, and both vectors, 1; (b), 1; (c), 1.

# %% [markdown] answer=what_is_kept points=4
# **Model answer.** (a) $b$ is the orthogonal projection of $\beta$ on a subspace, so $\beta-b$ is
# orthogonal to each vector of it *(1)*. The constant vector and $(1,2,\dots,p)$ have second
# differences zero, so they lie in it for every set of bends *(1)*. (b) The sum. First differences
# vanish for the constant vector, but not for $(1,2,\dots,p)$, which lies in the subspace only if
# all jumps are allowed *(1)*. (c) An error in a bend, or in the slope $\beta_2-\beta_1$ of the
# first two days, is carried on to all later days and grows with their distance; the projection
# uses all days at once *(1)*.
