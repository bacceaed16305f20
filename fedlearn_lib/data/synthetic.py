"""Clients whose answers are known on paper: quadratics, Gaussians, and a lazy population."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from fedlearn_lib._checked import checked, explained
from fedlearn_lib._checks import (
    check_draw,
    check_ids,
    check_integers,
    check_memory,
    check_nonnegative,
)
from fedlearn_lib.data.clients import Batch, Clients
from fedlearn_lib.trees import Params


@checked(A="m d d", w="m d", p="m")
def quadratic_clients(A: Tensor, w: Tensor, p: Tensor | None = None) -> Clients:
    r"""Clients with the loss $f_i(v)=\tfrac12(v-w_i)^\top A_i(v-w_i)$.

    Each client owns one sample, the pair $(A_i, w_i)$, so that every batch is a full batch
    and every gradient is exact.

    Parameters
    ----------
    A : [m d d], symmetric curvatures.
    w : [m d], the clients' own minimizers.
    p : [m], weights; uniform by default.

    >>> clients = quadratic_clients(torch.eye(2).expand(3, 2, 2), torch.zeros(3, 2))
    >>> clients.m, tuple(clients.x.shape)
    (3, (3, 1, 2, 2))
    """
    if A.dtype != w.dtype:
        raise ValueError(f"A and w must have one dtype, got {A.dtype} and {w.dtype}; convert one")
    if not bool(torch.isclose(A, A.mT, rtol=1e-6, atol=1e-8).all()):
        gap = float((A - A.mT).abs().max())
        raise ValueError(
            f"A must be symmetric in its last two axes, got entries that differ by {gap:.3g}; "
            "use (A + A.mT) / 2"
        )
    return Clients.of(A, w, [[i] for i in range(len(A))], p)


@explained
def quadratic_loss(w: Params, batch: Batch) -> Tensor:
    r"""Return $\tfrac12(v-w_i)^\top A_i(v-w_i)$ at $v=$ ``w["w"]``, averaged over the batch.

    >>> quadratic_loss({"w": torch.tensor([3.0])}, (torch.tensor([[[2.0]]]), torch.tensor([[1.0]])))
    tensor(4.)
    """
    A, center = batch[0], batch[1]  # [b d d], [b d]
    gap = w["w"] - center
    return 0.5 * torch.einsum("bi,bij,bj->b", gap, A, gap).mean()


@checked(means="m d")
def gaussian_clients(
    means: Tensor, *, n: int, scale: float = 1.0, generator: torch.Generator
) -> Clients:
    r"""Clients with samples $x\sim\mathcal N(\mu_i,\sigma^2 I)$; the target is the client's number.

    The exact distances between such clients are $W_1=W_2=\|\mu_i-\mu_j\|$, because one law is
    a translate of the other.

    Parameters
    ----------
    means : [m d], the $\mu_i$.
    n : samples a client.
    scale : $\sigma$.

    >>> generator = torch.Generator().manual_seed(0)
    >>> clients = gaussian_clients(torch.zeros(2, 3), n=5, generator=generator)
    >>> tuple(clients.x.shape), clients.p.tolist()
    ((2, 5, 3), [0.5, 0.5])
    """
    check_integers(n=n)
    check_nonnegative(scale=scale)
    check_memory(n * means.numel(), n=n)
    m, d = means.shape
    x = means[:, None] + scale * torch.randn(m, n, d, generator=generator, dtype=means.dtype)
    y = torch.arange(m)[:, None].expand(m, n)
    return Clients(x, y, torch.full((m,), n), torch.full((m,), 1 / m, dtype=torch.float64))


class _Rule(NamedTuple):
    m: int
    d: int
    shift: float = 0.5
    seed: int = 0


class GaussianPopulation(_Rule):
    r"""A population of any size that exists only as a rule: two Gaussian classes a client.

    Client $i$ has its own shift $s_i\sim\mathcal N(0,\text{shift}^2 I)$; a sample of class
    $y\in\{0,1\}$ is $x=s_i+(2y-1)\mathbf 1/\sqrt d+\varepsilon$. Nothing is stored: the data
    of a client are made from ``(seed, i)`` when somebody asks, so memory grows with the
    cohort and not with ``m``. It has the three things that :func:`fedlearn_lib.run` asks
    for: ``m``, ``draw`` and ``weights``.

    >>> population = GaussianPopulation(m=1_000_000, d=20)
    >>> x, y = population.draw(torch.tensor([3, 999_999]), steps=1, batch=4,
    ...                        generator=torch.Generator().manual_seed(0))
    >>> tuple(x.shape), tuple(y.shape)
    ((2, 1, 1, 4, 20), (2, 1, 1, 4))
    """

    __slots__ = ()

    @checked()
    def __new__(cls, m: int, d: int, shift: float = 0.5, seed: int = 0) -> Self:
        check_integers(m=m, d=d)
        check_nonnegative(shift=shift)
        check_integers(0, seed=seed)
        return super().__new__(cls, m, d, shift, seed)

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> Self:  # type: ignore[override]
        return cls(*iterable)  # checked, and so is what _replace makes by it

    @checked()
    def weights(self, ids: Tensor) -> Tensor:
        """Return uniform weights: [len(ids)]."""
        check_ids(ids, self.m)
        return torch.full((len(ids),), 1 / len(ids), dtype=torch.float64)

    @checked()
    def draw(
        self,
        ids: Tensor,
        *,
        steps: int,
        draws: int = 1,
        batch: int | None,
        generator: torch.Generator,
    ) -> Batch:
        """Draw fresh samples of the clients ``ids``: leaves [c τ k b d] and [c τ k b]."""
        check_draw(ids, self.m, steps=steps, draws=draws, batch=batch)
        if batch is None:
            raise ValueError("batch=None needs clients with finite data; pass a batch size")
        shape = (len(ids), steps, draws, batch)
        check_memory(math.prod(shape) * self.d, steps=steps, draws=draws, batch=batch)
        x, y = torch.empty(*shape, self.d), torch.empty(shape, dtype=torch.long)
        for row, i in enumerate(ids.tolist()):
            own = torch.Generator().manual_seed(self.seed * 1_000_003 + i)
            shift = self.shift * torch.randn(self.d, generator=own)
            y[row].random_(2, generator=generator)
            x[row].normal_(generator=generator)
            x[row] += (2 * y[row, ..., None] - 1) / self.d**0.5 + shift
        return x, y
