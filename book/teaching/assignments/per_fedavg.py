# %% [markdown]
# # Assignment 2: Per-FedAvg and programs that only look like it
#
# After Chapter 4. About 90 minutes; 16 marks for code, 8 for derivations.
#
# **How it is marked.** A task with code has some tests that you see and some that you do not; try
# your function on inputs of your own before you hand it in. Write each function yourself: you may
# *compare* with `fedlearn_lib`, but an answer that calls it, or a checker of the book, gets no
# marks, and the tests notice. For a derivation the marks are listed with the question. Hand in the
# notebook under its own name, `per_fedavg.ipynb`.
#
# **Notation.** As in Chapter 4, $\tilde w=w-\alpha\nabla f(w)$ is the adapted model and
# $F(w)=f(\tilde w)$ the loss after adapting. What `torch.func` offers may be used everywhere.

# %% setup
import numpy as np
import torch

# %% [markdown]
# ## Task 1. A step for every coordinate (4 marks)
#
# Let $\alpha\in\mathbb R^d$ hold a step for each coordinate, so that
# $\tilde w=w-\alpha\circ\nabla f(w;D)$, where $\circ$ multiplies entry by entry. Write
# `direction(f, w, D, D1, D2, alpha)`: the direction of Algorithm 4.1 for this way of adapting.
# `f(w, batch)` is a loss, `w` and `alpha` are [d]; $D$ adapts, $D'$ (`D1`) judges, and $D''$ (`D2`)
# owns the Hessian. Question 1 asks for the formula.


# %% answer=direction
def direction(f, w, D, D1, D2, alpha):
    ### BEGIN SOLUTION
    slope = torch.func.grad(f)
    g = slope(w - alpha * slope(w, D), D1)
    return g - torch.func.grad(lambda u: slope(u, D2) @ (alpha * g))(w)
    ### END SOLUTION


# %% tests=direction_seen points=1
# f(w) = (w - D)²: slope 2(w - D), Hessian 2. From w = 1 on D = 0 with step 1/4 one adapts to 1/2;
# on D1 = -1 the slope there is 3, and the factor 1 - 2/4 leaves 1.5.
from fedlearn_book.exercises import alone

_square = lambda w, D: ((w - D) ** 2).sum()
_found = alone(direction)(_square, torch.ones(1), 0.0, -1.0, 0.0, torch.tensor([0.25]))
assert torch.allclose(_found, torch.tensor([1.5])), f"the direction is 1.5, yours is {_found}"

# %% tests=direction points=3
# Three coordinates that know of each other, and three different batches.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _quartic(w, D):
    return (w @ D @ w) / 2 + (w**4).sum() / 8 + torch.cos(w.sum() + D[0, 0])


def _slope(w, D):
    return torch.func.grad(_quartic)(w, D)


def _hessian(w, D):
    return torch.func.jacrev(torch.func.grad(_quartic))(w, D)


def _direction(w, D, D1, D2, alpha):
    g = _slope(w - alpha * _slope(w, D), D1)
    return g - _hessian(w, D2) @ (alpha * g)


def _wrong_side(w, D, D1, D2, alpha):
    g = _slope(w - alpha * _slope(w, D), D1)
    return g - alpha * (_hessian(w, D2) @ g)


def _hessian_after(w, D, D1, D2, alpha):
    adapted = w - alpha * _slope(w, D)
    g = _slope(adapted, D1)
    return g - _hessian(adapted, D2) @ (alpha * g)


_g = torch.Generator().manual_seed(1)
_roots = torch.randn(2, 3, 3, 3, generator=_g, dtype=torch.float64)
_batches = _roots @ _roots.mT / 3
_starts = torch.randn(2, 3, generator=_g, dtype=torch.float64)
_steps = torch.tensor([[0.3, 0.05, 0.1], [0.0, 0.2, 0.4]], dtype=torch.float64)
EXERCISES["task 1"] = Exercise(
    _direction,
    [(w, *D, a) for w, D, a in zip(_starts, _batches, _steps, strict=True)],
    [
        (
            "The step and the Hessian are in the wrong order: the transpose of I - diag(α)H is "
            "I - H diag(α), so the outer gradient is multiplied by α first.",
            _wrong_side,
        ),
        (
            "This is the first-order direction: the dependence of the adapted model on w is "
            "missing.",
            lambda w, D, D1, D2, alpha: _slope(w - alpha * _slope(w, D), D1),
        ),
        ("The Hessian belongs to the old w.", _hessian_after),
        (
            "One batch for all three is a biased estimate: D adapts, D' judges, D'' owns the "
            "Hessian.",
            lambda w, D, D1, D2, alpha: _direction(w, D, D, D, alpha),
        ),
        (
            "The Hessian is that of another batch; it belongs to D''.",
            lambda w, D, D1, D2, alpha: _direction(w, D, D1, D, alpha),
        ),
    ],
)
assert check("task 1", lambda *case: alone(direction)(_quartic, *case), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 2. Some never adapt (4 marks)
#
# Client $i$ with $f_i(w)=\frac12(w-w_i)^\top A_i(w-w_i)$ adapts with probability $q_i$ and uses the
# start as it is otherwise. So the start to look for minimizes
# $\sum_ip_i\big((1-q_i)f_i(w)+q_iF_i(w)\big)$. Write `mixed_start(A, centers, p, alpha, q)`, the
# minimizer, for `A` [m d d], `centers` [m d], `p` and `q` [m] and a number `alpha`.


# %% answer=mixed_start
def mixed_start(A, centers, p, alpha, q):
    ### BEGIN SOLUTION
    J = torch.eye(A.shape[-1], dtype=A.dtype) - alpha * A
    q = q[:, None, None]
    C = p[:, None, None] * ((1 - q) * A + q * J @ A @ J)
    return torch.linalg.solve(C.sum(0), torch.einsum("iab,ib->a", C, centers))
    ### END SOLUTION


# %% tests=mixed_start_seen points=1
# Curvatures 1 and 1, optima 0 and 1, step 1/2. The first client always adapts and counts with
# 1·(1/2)² = 1/4, the second never does and counts with 1: the start is at 1 / (1 + 1/4).
from fedlearn_book.exercises import alone

_found = alone(mixed_start)(
    torch.ones(2, 1, 1),
    torch.tensor([[0.0], [1.0]]),
    torch.tensor([0.5, 0.5]),
    0.5,
    torch.tensor([1.0, 0.0]),
)
assert torch.allclose(_found, torch.tensor([0.8])), f"the start is 0.8, yours is {_found}"

# %% tests=mixed_start points=3
# Several numbers, unequal weights, probabilities in between.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _devices(seed, m=4, d=3):
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(m, d, d, generator=g, dtype=torch.float64)
    p, q = torch.rand(2, m, generator=g, dtype=torch.float64) + 0.1
    centers = torch.randn(m, d, generator=g, dtype=torch.float64)
    return root @ root.mT / d + 0.2 * torch.eye(d), centers, p / p.sum(), 0.3, q / 1.1


def _mean_of(C, centers, p):
    C = p[:, None, None] * C
    return torch.linalg.solve(C.sum(0), torch.einsum("iab,ib->a", C, centers))


def _mixed(A, c, p, alpha, q, power=2):
    J = torch.eye(A.shape[-1], dtype=A.dtype) - alpha * A
    q = q[:, None, None]
    return _mean_of((1 - q) * A + q * A @ torch.linalg.matrix_power(J, power), c, p)


def _mixed_answers(A, c, p, alpha, q):
    never, always = (_mixed(A, c, p, alpha, torch.full_like(q, one)) for one in (0.0, 1.0))
    share = (p @ q) / p.sum()
    return (1 - share) * never + share * always


EXERCISES["task 2"] = Exercise(
    _mixed,
    [_devices(1), _devices(2, m=3, d=2)],
    [
        (
            "You mixed the two starts. Mix the losses, then minimize: the curvatures are added, "
            "not the minimizers.",
            _mixed_answers,
        ),
        (
            "The gap after the step enters the loss twice, so J must stand on both sides.",
            lambda A, c, p, alpha, q: _mixed(A, c, p, alpha, q, power=1),
        ),
        ("q and 1 - q are exchanged.", lambda A, c, p, alpha, q: _mixed(A, c, p, alpha, 1 - q)),
        (
            "The weights p are missing.",
            lambda A, c, p, alpha, q: _mixed(A, c, torch.ones_like(p), alpha, q),
        ),
    ],
)
assert check("task 2", alone(mixed_start), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3. Which program was it? (4 marks)
#
# A program has run to its end on one-dimensional clients with curvatures `a` [m], optima `c` [m]
# and equal weights, with $\tau=1$ and full batches. You see only where it ended. Three rules are
# under suspicion: `"before"` descends $f$, `"first order"` drops the inner factor, `"exact"` is
# Algorithm 4.1. Write `suspects(end, a, c, alpha)`: the set of the names of all rules that would
# have ended there, to within $10^{-6}$. A test problem has blind spots, so the set may have several
# names; it is empty if it was none of the three.


# %% answer=suspects
def suspects(end, a, c, alpha):
    ### BEGIN SOLUTION
    found = set()
    for power, name in enumerate(["before", "first order", "exact"]):
        weights = a * (1 - alpha * a) ** power
        if abs((weights * c).sum() / weights.sum() - end) < 1e-6:
            found.add(name)
    return found
    ### END SOLUTION


# %% tests=suspects_seen points=1
# The hearing aids of the chapter.
from fedlearn_book.exercises import alone

_a, _c = torch.tensor([1.6, 0.4]).double(), torch.tensor([0.0, 1.0]).double()
for _end, _name in [(0.2, "before"), (0.5, "first order"), (0.8, "exact")]:
    _found = alone(suspects)(_end, _a, _c, 0.5)
    assert _found == {_name}, f"the end {_end} is that of {_name}, you suspect {_found}"

# %% tests=suspects points=3
# Other clients, other programs, and problems on which some rules end in the same place.
from fedlearn_book.exercises import alone

### BEGIN HIDDEN TESTS
_all = {"before", "first order", "exact"}
_flat, _any = torch.full((3,), 0.7).double(), torch.tensor([1.0, -2.0, 4.0]).double()
_cases = [
    (0.3, _a, _c, 0.5, set(), "no rule ends at 0.3"),
    (1.0, _flat, _any, 0.5, _all, "with equal curvature all rules end at the plain mean"),
    (0.2, _a, _c, 0.0, _all, "without a step all rules are one"),
    (0.0, torch.tensor([1.6, 2.0]).double(), _c, 0.5, {"first order", "exact"},
     "a client that is home after one step counts in neither of the two"),
]  # fmt: skip
_g = torch.Generator().manual_seed(3)
_b, _d = torch.rand(2, 6, generator=_g, dtype=torch.float64)
for _power, _name in enumerate(["before", "first order", "exact"]):
    _w = _b * (1 - 0.9 * _b) ** _power
    _cases.append(((_w @ _d / _w.sum()).item(), _b, _d, 0.9, {_name}, f"this is {_name}"))
for _end, _b, _d, _alpha, _names, _why in _cases:
    _found = alone(suspects)(_end, _b, _d, _alpha)
    assert _found == _names, f"{_why}; you suspect {_found}"
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4. Several steps without a Hessian (4 marks)
#
# A client takes $\nu$ steps $w^{s+1}=w^s-\alpha\nabla f(w^s)$ from $w^0=w$, and is judged by
# $f(w^\nu)$. Write `hessian_free(f, w, alpha, steps, delta)`: the gradient of $f(w^\nu)$ with
# respect to $w$, in which each product of a Hessian and a vector $g$ is replaced by
# $\frac1{2\delta}\big(\nabla f(u+\delta g)-\nabla f(u-\delta g)\big)$ at the right place $u$. Here
# all batches are the whole data, so `f(w)` has one argument.


# %% answer=hessian_free
def hessian_free(f, w, alpha, steps, delta):
    ### BEGIN SOLUTION
    slope = torch.func.grad(f)
    visited = [w]
    for _ in range(steps):
        visited.append(visited[-1] - alpha * slope(visited[-1]))
    g = slope(visited.pop())
    for u in reversed(visited):
        Hg = (slope(u + delta * g) - slope(u - delta * g)) / (2 * delta)
        g = g - alpha * Hg
    return g
    ### END SOLUTION


# %% tests=hessian_free_seen points=1
# f(w) = w² / 2 halves the distance with α = 1/2; after two steps the gradient is w/4, and each of
# the two factors 1 - 1/2 halves it again. On a parabola the quotient is exact.
from fedlearn_book.exercises import alone

_found = alone(hessian_free)(lambda w: 0.5 * (w**2).sum(), torch.tensor([16.0]), 0.5, 2, 0.5)
assert torch.allclose(_found, torch.tensor([1.0])), f"the gradient is 1, yours is {_found}"

# %% tests=hessian_free points=3
# A loss whose curvature changes from place to place, so that the order of the products counts.
from fedlearn_book.exercises import EXERCISES, Exercise, alone, check


### BEGIN HIDDEN TESTS
def _bumpy(w):
    return (w**4).sum() / 4 + torch.sin(w[0] * w[1]) + (w**3).sum() / 5 + w @ w / 3


def _quotient(u, g, delta, sides=2):
    slope = torch.func.grad(_bumpy)
    below = u - delta * g if sides == 2 else u
    return (slope(u + delta * g) - slope(below)) / (sides * delta)


def _back(w, alpha, steps, delta, order=-1, drop=0, sides=2, here=False):
    slope = torch.func.grad(_bumpy)
    visited = [w]
    for _ in range(steps):
        visited.append(visited[-1] - alpha * slope(visited[-1]))
    g = slope(visited.pop())
    for u in visited[::order][: steps - drop]:
        g = g - alpha * _quotient(w if here else u, g, delta, sides)
    return g


_from = torch.tensor([0.8, -0.5], dtype=torch.float64)
EXERCISES["task 4"] = Exercise(
    _back,
    [(_from, 0.2, 3, 0.05), (2 * _from, 0.1, 2, 0.1), (_from, 0.2, 1, 0.05)],
    [
        (
            "The products are in the wrong order: the way back begins at the last place.",
            lambda *case: _back(*case, order=1),
        ),
        ("One factor is missing, that of the first step.", lambda *case: _back(*case, drop=1)),
        (
            "This is the one-sided quotient; step to both sides.",
            lambda *case: _back(*case, sides=1),
        ),
        (
            "All products are taken at w; each step has its own place.",
            lambda *case: _back(*case, here=True),
        ),
        (
            "This is the first-order direction.",
            lambda w, alpha, steps, delta: _back(w, alpha, steps, delta, drop=steps),
        ),
    ],
)
assert check("task 4", lambda *case: alone(hessian_free)(_bumpy, *case), strict=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Question 1. Which side? (4 marks)
#
# (a) Derive the gradient of $F(w)=f(w-\alpha\circ\nabla f(w))$ for $\alpha\in\mathbb R^d$. (b) A
# program computes $g-\alpha\circ(Hg)$ instead, with $H=\nabla^2f(w)$ and $g=\nabla f(\tilde w)$.
# For which $H$ does it compute the same for every $g$? Name two test problems that many would
# choose and that cannot tell the two programs apart, and one that can.
#
# *Marks:* (a) the Jacobian, 1, and its transpose, 1; (b) the condition, 1; the problems, 1.

# %% [markdown] answer=which_side points=4
# **Model answer.** (a) The Jacobian of $w\mapsto w-\alpha\circ\nabla f(w)$ is
# $I-\operatorname{diag}(\alpha)H$ *(1)*. The chain rule multiplies the outer gradient with its
# transpose; $H$ is symmetric, so $\nabla F(w)=(I-H\operatorname{diag}(\alpha))g=g-H(\alpha\circ
# g)$ *(1)*. (b) Equal for every $g$ exactly if
# $\operatorname{diag}(\alpha)H=H\operatorname{diag}(\alpha)$, that is
# $(\alpha_i-\alpha_j)H_{ij}=0$: $H$ couples only coordinates with the same step *(1)*. Blind: all
# $\alpha_i$ equal; one dimension; a loss that is a sum over coordinates (a diagonal quadratic). A
# quadratic with $H_{12}\ne0$ and $\alpha_1\ne\alpha_2$ tells them apart *(1)*.

# %% [markdown]
# ## Question 2. Mixing losses, mixing answers (4 marks)
#
# Two clients in one dimension with equal weights, curvatures $a_1,a_2>0$ and optima $0$ and $1$,
# and one probability $q$ of adapting for both. (a) Give the start of Task 2. (b) A colleague takes
# $(1-q)w_f+qw_F$, the mean of the two pure answers. When is that the same for all $q\in[0,1]$? (c)
# Somebody measures the loss after adapting for both starts and finds the colleague's better. Is
# Task 2 wrong?
#
# *Marks:* (a), 1; (b) with a reason, 2; (c), 1.

# %% [markdown] answer=mixing points=4
# **Model answer.** (a) Client $i$ counts with $c_i(q)=a_i\big((1-q)+q(1-\alpha a_i)^2\big)$, and
# the start is $c_2(q)/(c_1(q)+c_2(q))$ *(1)*. (b) Write $c_i(q)=(1-q)a_i+qb_i$ with
# $b_i=a_i(1-\alpha a_i)^2$ and $s=a_1+a_2$, $S=b_1+b_2$. The start is
# $\big((1-q)a_2+qb_2\big)/\big((1-q)s+qS\big)$, the mean of $w_f=a_2/s$ and $w_F=b_2/S$ with the
# weights $(1-q)s$ and $qS$. It agrees with the colleague's for every $q$ if $w_f=w_F$ or $s=S$
# *(1)*. For $0<\alpha a_i<2$ each $b_i<a_i$, so $S<s$, and it must be $w_f=w_F$: the factors
# $(1-\alpha a_i)^2$ agree, that is $a_1=a_2$ or $\alpha(a_1+a_2)=2$ *(1)*. (c) No. Task 2
# minimizes the mixture. Its start lies nearer to $w_f$ than the colleague's where $S<s$, so it is
# worse after adapting and better before; a single one of the two losses is not what was asked
# *(1)*.
