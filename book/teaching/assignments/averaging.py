# %% [markdown]
# # Assignment 1: federated averaging and drift
#
# After Chapter 1. About 90 minutes; 16 marks for code, 8 for derivations.
#
# **How it is marked.** A task with code has some tests that you see and some that you do not; try
# your function on inputs of your own before you hand it in. Write each function yourself: you may
# *compare* with `fedlearn_lib`, but an answer that calls it, or a checker of the book, gets no
# marks, and the tests notice. For a derivation the marks are listed with the question. Hand in the
# notebook under its own name, `averaging.ipynb`.
#
# **The situation.** Five hospitals train one model. Hospital $i$ has the loss
# $f_i(w)=\frac12(w-w_i)^\top A_i(w-w_i)$ with a symmetric, positive definite $A_i$, and the weight
# $p_i$; the weights sum to one. In Chapter 1 all hospitals take the same number $\tau$ of local
# steps. Here their computers differ: **hospital $i$ takes $\tau_i$ steps of size $\eta$**, and the
# server averages what comes back with the weights $p_i$, as before. Nothing is divided by $\tau_i$.

# %% setup
import numpy as np
import torch

# %% [markdown]
# ## Task 1. One round (4 marks)
#
# Write `one_round(A, centers, p, w, eta, taus)`, the server's model after one round from `w`.
# `A` is [m d d], `centers` [m d], `p` [m], `w` [d], `eta` a number and `taus` a list of m whole
# numbers. Take the steps one by one.


# %% answer=one_round
def one_round(A, centers, p, w, eta, taus):
    ### BEGIN SOLUTION
    replies = []
    for curvature, center, tau in zip(A, centers, taus, strict=True):
        own = w
        for _ in range(tau):
            own = own - eta * curvature @ (own - center)
        replies.append(own)
    return p @ torch.stack(replies)
    ### END SOLUTION


# %% tests=one_round_seen points=1
# One number, curvature 1, step one half. The first client goes from 0 to 0.5, the second takes two
# steps, 0 to -0.5 to -0.75; the mean is -0.125.
from fedlearn_book.exercises import alone

_found = alone(one_round)(
    torch.ones(2, 1, 1),
    torch.tensor([[1.0], [-1.0]]),
    torch.tensor([0.5, 0.5]),
    torch.zeros(1),
    0.5,
    [1, 2],
)
assert torch.allclose(_found, torch.tensor([-0.125])), f"the mean is -0.125, yours is {_found}"

# %% tests=one_round points=3
# Several numbers, unequal weights and curvatures.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _hospitals(seed, m=4, d=3):
    """Curvatures with eigenvalues between 0.2 and 3, optima, weights."""
    g = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(m, d, d, generator=g, dtype=torch.float64)).Q
    size = 0.2 + 2.8 * torch.rand(m, 1, d, generator=g, dtype=torch.float64)
    p = torch.rand(m, generator=g, dtype=torch.float64) + 0.1
    return (Q * size) @ Q.mT, torch.randn(m, d, generator=g, dtype=torch.float64), p / p.sum()


def _left_over(A, eta, taus):
    """(I − ηA_i)^τ_i for every client."""
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    powers = zip(A, taus, strict=True)
    return torch.stack([torch.linalg.matrix_power(eye - eta * a, tau) for a, tau in powers])


def _right_round(A, centers, p, w, eta, taus):
    return p @ (centers + torch.einsum("iab,ib->ia", _left_over(A, eta, taus), w - centers))


_A, _c, _p = _hospitals(1)
EXERCISES["task 1"] = Exercise(
    _right_round,
    [(_A, _c, _p, _c[0] + 1, 0.3, [1, 2, 7, 3]), (_A, _c, _p, _p @ _c, 0.1, [5] * 4)],
    [
        (
            "The replies are averaged without the weights p.",
            lambda A, c, p, w, eta, taus: _right_round(
                A, c, torch.ones_like(p) / len(p), w, eta, taus
            ),
        ),
        (
            "All clients take the same number of steps.",
            lambda A, c, p, w, eta, taus: _right_round(A, c, p, w, eta, [taus[0]] * len(taus)),
        ),
        (
            "You take one step of length τη: the gradient must be computed again after each step.",
            lambda A, c, p, w, eta, taus: (
                p
                @ torch.stack(
                    [w - tau * eta * a @ (w - v) for a, v, tau in zip(A, c, taus, strict=True)]
                )
            ),
        ),
    ],
)
assert check("task 1", alone(one_round), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 2. Where the rounds rest (4 marks)
#
# Write `resting_place(A, centers, p, eta, taus)`: the model that a round does not change. Use no
# loop over rounds; there is a formula, and you derive it in Question 1.


# %% answer=resting_place
def resting_place(A, centers, p, eta, taus):
    ### BEGIN SOLUTION
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    gone = [eye - torch.linalg.matrix_power(eye - eta * a, tau) for a, tau in zip(A, taus)]
    M = p[:, None, None] * torch.stack(gone)
    return torch.linalg.solve(M.sum(0), torch.einsum("iab,ib->a", M, centers))
    ### END SOLUTION


# %% tests=resting_place_seen points=1
# Two clients of curvature 1 with η = 1/2: after one step half of the gap is gone, after two steps
# three quarters. So the pulls are as 2 to 3, and the rest is at (2·1 + 3·(-1)) / 5.
from fedlearn_book.exercises import alone

_found = alone(resting_place)(
    torch.ones(2, 1, 1), torch.tensor([[1.0], [-1.0]]), torch.tensor([0.5, 0.5]), 0.5, [1, 2]
)
assert torch.allclose(_found, torch.tensor([-0.2])), f"the rest is at -0.2, yours is {_found}"

# %% tests=resting_place points=3
# Several numbers, unequal weights and curvatures.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _weighted(M, centers, p):
    M = p[:, None, None] * M
    return torch.linalg.solve(M.sum(0), torch.einsum("iab,ib->a", M, centers))


def _right_rest(A, centers, p, eta, taus):
    return _weighted(torch.eye(A.shape[-1], dtype=A.dtype) - _left_over(A, eta, taus), centers, p)


EXERCISES["task 2"] = Exercise(
    _right_rest,
    [(*_hospitals(2), 0.3, [1, 2, 7, 3]), (*_hospitals(3, m=2), 0.2, [10, 1])],
    [
        (
            "These are the weights p_i τ_i A_i, where the rounds rest for η → 0. For a finite step "
            "a client pulls with I − (I − ηA_i)^τ_i.",
            lambda A, c, p, eta, taus: _weighted(A, c, p * torch.tensor(taus)),
        ),
        (
            "This is the minimizer of f: one step each.",
            lambda A, c, p, eta, taus: _weighted(A, c, p),
        ),
        (
            "All clients take the same number of steps.",
            lambda A, c, p, eta, taus: _right_rest(A, c, p, eta, [taus[0]] * len(taus)),
        ),
        (
            "The weights p are missing.",
            lambda A, c, p, eta, taus: _right_rest(A, c, torch.ones_like(p), eta, taus),
        ),
    ],
)
assert check("task 2", alone(resting_place), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3. Two runs instead of one (4 marks)
#
# Let all hospitals take the same number of steps again. Then the rounds rest near the minimizer
# $w^\ast$ of $f$, and by Proposition 1.7 the distance is $\eta v+O(\eta^2)$ with a vector $v$ that
# nobody knows. A colleague has trained twice, with $\eta$ and with $\frac\eta2$, and both runs have
# come to rest. Write `without_drift(rest, eta)`: from `rest(eta)` and `rest(eta / 2)` alone, a
# point whose distance to $w^\ast$ is $O(\eta^2)$. `rest` is a function that returns where the
# rounds rest; asking it for another step would be another training.


# %% answer=without_drift
def without_drift(rest, eta):
    ### BEGIN SOLUTION
    return 2 * rest(eta / 2) - rest(eta)
    ### END SOLUTION


# %% tests=without_drift_seen points=1
# If the distance were exactly ηv, nothing of it may be left.
from fedlearn_book.exercises import alone

_found = alone(without_drift)(lambda eta: 3.0 + 5.0 * eta, 0.5)
assert abs(_found - 3.0) < 1e-9, f"w* is 3 here, yours is {_found}"

# %% tests=without_drift points=3
# Real drift, steps that halve, and how often you train.
from fedlearn_book.exercises import alone

### BEGIN HIDDEN TESTS
_A, _c, _p = _hospitals(4)
_w_star = _weighted(_A, _c, _p)
_asked = []


def _rest(eta):
    _asked.append(eta)
    return _right_rest(_A, _c, _p, eta, [5] * 4)


_etas = [0.02 / 2**k for k in range(4)]
_far = [(alone(without_drift)(_rest, eta) - _w_star).norm().item() for eta in _etas]
_allowed = {eta for start in _etas for eta in (start, start / 2)}
assert set(_asked) <= _allowed, "you may train with eta and eta / 2 only"
_factors = [a / b for a, b in zip(_far, _far[1:], strict=False)]
assert min(_factors) > 3.5, (
    f"half the step must leave about a quarter of the distance; it is divided by {_factors}"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4. How many rounds (4 marks)
#
# Write `rounds_needed(A, p, eta, taus, eps)`: the smallest whole number $K$ with
# $\lVert T\rVert^K\le\epsilon$, where $T=\sum_ip_i(I-\eta A_i)^{\tau_i}$ and the norm is the
# spectral one. After that many rounds the distance to the resting place is at most $\epsilon$ times
# what it was. You may assume $\lVert T\rVert<1$ and $0<\epsilon<1$.


# %% answer=rounds_needed
def rounds_needed(A, p, eta, taus, eps):
    ### BEGIN SOLUTION
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    T = sum(q * torch.linalg.matrix_power(eye - eta * a, tau) for q, a, tau in zip(p, A, taus))
    return int(np.ceil(np.log(eps) / np.log(torch.linalg.matrix_norm(T, 2).item())))
    ### END SOLUTION


# %% tests=rounds_needed_seen points=1
# T is the number (1/2 + 1/4) / 2 = 0.375. Two rounds leave 0.141 of a distance, three 0.053.
from fedlearn_book.exercises import alone

_found = alone(rounds_needed)(torch.ones(2, 1, 1), torch.tensor([0.5, 0.5]), 0.5, [1, 2], 0.1)
assert _found == 3, f"three rounds are needed, you say {_found}"

# %% tests=rounds_needed points=3
# Several numbers, unequal weights and curvatures.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _right_count(A, p, eta, taus, eps):
    T = torch.einsum("i,iab->ab", p, _left_over(A, eta, taus))
    K, left = 0, 1.0
    while left > eps:
        K, left = K + 1, left * torch.linalg.matrix_norm(T, 2).item()
    return K


_one = torch.ones(1, dtype=torch.float64)
_counted = [_hospitals(5)[::2], _hospitals(6, m=2)[::2]]
EXERCISES["task 4"] = Exercise(
    _right_count,
    [(*_counted[0], 0.1, [1, 2, 1, 3], 1e-3), (*_counted[1], 0.05, [4, 2], 1e-6)],
    [
        (
            "You count the rounds of the slowest client alone. The average of the maps contracts "
            "at least as fast.",
            lambda A, p, eta, taus, eps: max(
                _right_count(a[None], _one, eta, [tau], eps) for a, tau in zip(A, taus, strict=True)
            ),
        ),
        (
            "K is a whole number, and _one round less is not enough: round up.",
            lambda A, p, eta, taus, eps: _right_count(A, p, eta, taus, eps) - 1,
        ),
        (
            "The weights p are missing.",
            lambda A, p, eta, taus, eps: _right_count(
                A, torch.ones_like(p) / len(p), eta, taus, eps
            ),
        ),
        (
            "All clients take _one step only.",
            lambda A, p, eta, taus, eps: _right_count(A, p, eta, [1] * len(taus), eps),
        ),
    ],
)
assert check("task 4", alone(rounds_needed), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Question 1. Where they rest, and whose minimum that is (5 marks)
#
# (a) Derive the formula of Task 2, and a condition on $\eta$ under which the rounds converge to it
# from everywhere. (b) Let $\eta\to0$ with the $\tau_i$ fixed. Of which function is the limit the
# minimizer? (c) The server may choose other weights $p_i'$ for its average. Which choice makes the
# limit of (b) the minimizer of $f$?
#
# *Marks:* one local step and its power, 1; the fixed point, 1; the condition, with the reason why
# the average of the maps contracts, 1; (b) with the expansion that leads there, 1; (c), 1.

# %% [markdown] answer=whose_minimum points=5
# **Model answer.** (a) A local step is $u-w_i\mapsto(I-\eta A_i)(u-w_i)$, so after $\tau_i$ steps
# the reply is $w_i+(I-\eta A_i)^{\tau_i}(w-w_i)=w-M_i(w-w_i)$ with
# $M_i=I-(I-\eta A_i)^{\tau_i}$ *(1)*. The round maps $w$ to $w-\sum_ip_iM_i(w-w_i)$, which changes
# nothing exactly if $\sum_ip_iM_iw=\sum_ip_iM_iw_i$, hence
# $w_\infty=(\sum_ip_iM_i)^{-1}\sum_ip_iM_iw_i$ *(1)*. With $\eta<2/\lambda$ for the largest
# eigenvalue $\lambda$ of all $A_i$, each $(I-\eta A_i)^{\tau_i}$ is symmetric with eigenvalues in
# $(-1,1)$; the norm of their average $T$ is at most the average of their norms, below one. So
# $I-T=\sum_ip_iM_i$ is invertible and the distance shrinks by $\lVert T\rVert$ a round *(1)*.
# (b) $M_i=\eta\tau_iA_i+O(\eta^2)$; $\eta$ cancels, and the limit is
# $(\sum_ip_i\tau_iA_i)^{-1}\sum_ip_i\tau_iA_iw_i$, the minimizer of $\sum_ip_i\tau_if_i$: who
# computes more counts more *(1)*. (c) $p_i'\propto p_i/\tau_i$ *(1)*.

# %% [markdown]
# ## Question 2. When two runs do not help (3 marks)
#
# Somebody applies Task 3 in another way: the second run takes half the step and **twice the local
# steps**, so that $\eta\tau$ stays the same. In one dimension, with two clients of curvatures
# $a_1\ne a_2$: where do the rounds rest if $\eta\to0$ with $\eta\tau=s$ fixed, and why can no
# combination of such runs that is right for all $w_1,w_2$ cure the drift?
#
# *Marks:* the limit of $(1-\eta a)^\tau$, 1; the resting place and that it is not $w^\ast$, 1; what
# the two runs have in common, 1.

# %% [markdown] answer=no_help points=3
# **Model answer.** $(1-\eta a)^\tau\to e^{-sa}$ *(1)*. The rest tends to
# $\sum_ip_i(1-e^{-sa_i})w_i/\sum_ip_i(1-e^{-sa_i})$. The weights are not proportional to $p_ia_i$,
# because $(1-e^{-sa})/a$ falls strictly with $a$; so for $w_1\ne w_2$ it is not $w^\ast$ *(1)*.
# The drift has a part that does not depend on $\eta$ at all, and the difference of the two runs,
# which is of order $\eta$, says nothing about it; the combination $2w(\frac\eta2)-w(\eta)$ removes
# what is proportional to $\eta$ and keeps that part *(1)*.
