r"""The squared loss, fast: between two entries only the variables that have entered are computed.

Let $E$ be the variables that have been nonzero so far, $G=X^\top X/n$ and $c=X^\top y/n$. As long
as nothing enters, $z_{k+i}=z_k+\alpha(ic-G_{\cdot E}B_i)$ with $B_i$ the sum of the last $i$
coefficients on $E$. So a block of steps runs on $E$ alone, one matrix product then gives all other
entries of $z$ for the whole block, and the first of them that leaves its threshold ends it.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 512  # at most so many steps between two looks at the variables that are out
ENTRIES = 4_000_000  # and so many numbers in one look


class Entered:
    """The state of an LBI run on the squared loss: step ``k``, dual ``z``, entered ``E``.

    ``rows`` holds the Gram columns of the entered variables, [a p].
    """

    def __init__(
        self, X: Tensor, y: Tensor, thresholds: Tensor, *, kappa: float, lr: float, every: int
    ) -> None:
        self.X, self.c = X, X.T @ y / len(y)
        self.thresholds, self.kappa, self.lr, self.every = thresholds, kappa, lr, every
        self.k, self.z, self.block = 0, torch.zeros_like(self.c), 16
        self.E = torch.empty(0, dtype=torch.long)
        self.rows = X.new_empty(0, X.shape[1])
        self.limit = thresholds.clone()  # infinite for the entered: they cannot enter again
        self._enter(thresholds == 0)

    def run(self, steps: int, out: Tensor) -> None:
        """Go to step ``steps``, or to the first at which more than n variables have entered."""
        if not len(self.E):  # nothing happens before the first entry
            first = (self.thresholds / (self.lr * self.c.abs())).min()
            self.k = min(steps, max(0, int(first.clamp(max=steps + 1)) - 1))
            self.z = self.k * self.lr * self.c
        while self.k < steps and len(self.E) <= len(self.X):
            self._advance(min(self.block, steps - self.k), steps, out)

    def _advance(self, m: int, steps: int, out: Tensor) -> None:
        betas, sums = self._inside(m)
        numbers = torch.arange(1, m + 1, dtype=self.z.dtype)
        z = torch.addmm(torch.outer(numbers, self.c), sums, self.rows, alpha=-1.0)
        z = z.mul_(self.lr).add_(self.z)
        leaving = (z.abs() > self.limit).any(1)
        entry = bool(leaving.any())
        done = int(leaving.int().argmax()) + 1 if entry else m
        self._record(betas[:done], steps, out)
        self.k += done
        self.z = z[done - 1].clone()
        self.block = max(8, min(2 * done, BLOCK, ENTRIES // len(self.c)))
        if entry:
            self._enter(self.z.abs() > self.limit)
            self.k -= 1  # the same step again, now with those that entered in it
            self._record(self._beta(self.z[self.E])[None], steps, out)
            self.k += 1

    def _inside(self, m: int) -> tuple[Tensor, Tensor]:
        """Take m steps on E: coefficients after each, and sums of those before each; [m a]."""
        gram, c, z = self.rows[:, self.E], self.lr * self.c[self.E], self.z[self.E]
        beta, total = self._beta(z), torch.zeros_like(z)
        betas, sums = z.new_empty(m, len(z)), z.new_empty(m, len(z))
        for i in range(m):
            sums[i] = total = total + beta
            z = torch.addmv(z, gram, beta, alpha=-self.lr) + c
            betas[i] = beta = self._beta(z)
        return betas, sums

    def _beta(self, z: Tensor) -> Tensor:
        limit = self.thresholds[self.E]
        return self.kappa * (z - z.clamp(-limit, limit))

    def _enter(self, mask: Tensor) -> None:
        new = mask.nonzero().flatten()
        self.E = torch.cat([self.E, new])
        self.rows = torch.cat([self.rows, self.X[:, new].T @ self.X / len(self.X)])
        self.limit[new] = float("inf")

    def _record(self, betas: Tensor, steps: int, out: Tensor) -> None:
        for i, beta in enumerate(betas, start=self.k + 1):
            if i % self.every == 0 or i == steps:
                out[-1 if i == steps else i // self.every - 1, self.E] = beta
