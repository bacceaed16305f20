r"""Linearized Bregman iterations for the squared loss, fast: most steps touch few variables.

Let $E$ be the variables that have been nonzero so far, $G=X^\top X/n$ and $c=X^\top y/n$. As long
as nothing enters, $z_{k+i}=z_k+\alpha(ic-G_{\cdot E}B_i)$ with $B_i$ the sum of the last $i$
coefficients on $E$. So a block of steps runs on $E$ alone, one matrix product then gives all other
entries of $z$ for the whole block, and the first of them that leaves its threshold ends it. For
small data, and once more than $n$ variables have entered, this saves nothing, and steps are taken
as they are written.

In the code ``basis`` holds what the dual is made of: the rows $z$, $\alpha c$ and
$-\alpha G_{j\cdot}$ for $j\in E$, [2 + a, p]. Arrays on $E$ are small, and there NumPy's calls cost
less than torch's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedlearn_lib.sparse.penalties import soft_threshold

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
FIRST, LEAST, MOST = 16, 8, 512  # steps of the first block, of the shortest and of the longest
SMALL = 1 << 17  # entries of X for which a step costs less than what leads around it
CACHED = 1 << 17  # entries of z that a processor looks at together, so that they stay in its cache


class Task(NamedTuple):
    r"""What stays the same in a run: the data, $c$ [p], the thresholds [p], $\kappa$, $\alpha$."""

    X: Array
    y: Array
    c: Array
    thresholds: Array
    kappa: float
    lr: float


class Record(NamedTuple):
    """The rows of a path, [K p]: every so many steps and the last one of ``steps``."""

    rows: Array
    every: int
    steps: int

    def write(self, betas: Array, E: Numbers, after: int) -> None:
        """Write ``betas[i]``, the coefficients on E of step ``after + i + 1``, if it is kept."""
        step = np.arange(after + 1, after + 1 + len(betas))
        kept = (step % self.every == 0) | (step == self.steps)
        row = np.where(step == self.steps, len(self.rows), step // self.every) - 1
        self.rows[row[kept][:, None], E] = betas[kept]


@np.errstate(over="ignore", invalid="ignore")  # who asks for an unstable step may see it diverge
def run_squared(task: Task, record: Record) -> None:
    """Write a run down."""
    k, z = _in_blocks(task, record) if task.X.size > SMALL else (0, np.zeros_like(task.c))
    _go_on(task, record, k, z)


def _in_blocks(task: Task, record: Record) -> tuple[int, Array]:
    """Write down a run until it ends or more than n variables have entered: that step, z there."""
    E, basis = np.empty(0, np.intp), np.stack([np.zeros_like(task.c), task.lr * task.c])
    E, basis = _enter(task, E, basis, task.thresholds == 0)
    k = 0 if len(E) else _steps_before_the_first_entry(task, record.steps)
    basis[0] = k * basis[1]
    block = FIRST
    while k < record.steps and len(E) <= len(task.X):
        betas, factors = _inside(task, basis[:, E], E, min(block, record.steps - k))
        duals = factors @ basis
        done, new = _first_entry(task, duals, E)
        record.write(betas[:done], E, after=k)
        k, basis[0] = k + done, duals[done - 1]
        if new.any():
            E, basis = _enter(task, E, basis, new)
            record.write(_beta(task, basis[0, E], E)[None], E, after=k - 1)  # that step once more
        block = max(LEAST, min(2 * done, MOST, CACHED // len(task.c)))
    return k, basis[0]


def _steps_before_the_first_entry(task: Task, steps: int) -> int:
    speed = task.lr * np.abs(task.c)
    first = np.min(task.thresholds[speed > 0] / speed[speed > 0], initial=steps + 1.0)
    return min(steps, max(0, int(first) - 1))


def _inside(task: Task, basis: Array, E: Numbers, m: int) -> tuple[Array, Array]:
    """Take m steps on E alone, where ``basis`` is [2 + a, a].

    Returns the coefficients on E after each step, [m a], and the factors that make z after each
    step out of the rows of the basis, [m 2 + a]: $1$, $i$ and $B_i$.
    """
    z, push, pull = basis[0], basis[1], basis[2:]
    betas, factors = np.empty((m, len(E))), np.ones((m, 2 + len(E)))
    factors[:, 1] = np.arange(1, m + 1)
    beta, total, thresholds = _beta(task, z, E), np.zeros(len(E)), task.thresholds[E]
    for i in range(m):
        total = np.add(total, beta, out=factors[i, 2:])
        z = pull @ beta + z + push
        betas[i] = beta = task.kappa * soft_threshold(z, thresholds)
    return betas, factors


def _go_on(task: Task, record: Record, k: int, z: Array) -> None:
    """Take the steps after the k-th on all variables, $z$ being the dual there."""
    everybody, X, y, step = np.arange(len(z)), task.X, task.y, task.lr / len(task.y)
    beta = _beta(task, z, everybody)
    thresholds = task.thresholds if (task.thresholds != 1).any() else 1.0  # quicker than an array
    betas = np.empty((min(MOST, max(LEAST, CACHED // len(z))), len(z)))
    while k < record.steps:
        some = betas[: record.steps - k]
        for row in some:
            z = z + X.T @ (step * (y - X @ beta))
            beta = np.multiply(task.kappa, soft_threshold(z, thresholds), out=row)
        record.write(some, everybody, after=k)
        k += len(some)


def _beta(task: Task, z: Array, E: Numbers) -> Array:
    return task.kappa * soft_threshold(z, task.thresholds[E])


def _first_entry(task: Task, duals: Array, E: Numbers) -> tuple[int, Mask]:
    """Return how many steps pass until something enters (its own included), and what, [p]."""
    limit = task.thresholds.copy()
    limit[E] = np.inf  # what has entered does not enter again
    new = (duals.max(0) > limit) | (duals.min(0) < -limit)
    if not new.any():
        return len(duals), new
    beyond = np.abs(duals[:, new]) > limit[new]
    step = int(beyond.any(1).argmax())
    new[new] = beyond[step]
    return step + 1, new


def _enter(task: Task, E: Numbers, basis: Array, new: Mask) -> tuple[Numbers, Array]:
    """Let variables enter: their numbers after those of E, their rows of -αG below the others."""
    columns = np.flatnonzero(new)
    rows = task.X[:, columns].T @ task.X * (-task.lr / len(task.X))
    return np.concatenate([E, columns]), np.concatenate([basis, rows])
