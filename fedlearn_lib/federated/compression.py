r"""Messages of fewer bytes: a quantizer without bias, the largest entries, and what they weigh."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers


@checked(x="m d")
def quantize(x: Tensor, levels: int, *, generator: torch.Generator) -> Tensor:
    r"""Round every row at random to multiples of $\omega_i=\max_j|x_{ij}|/\text{levels}$: [m d].

    A number between two multiples goes up with the probability of its distance from the lower one,
    so that $\mathbb E\,Q(x)=x$; the variance of an entry is at most $\omega_i^2/4$.

    Parameters
    ----------
    x : [m d], one message a row.
    levels : steps from 0 to the largest entry; $2\,\text{levels}+1$ values in all.

    >>> x = torch.tensor([[1.0, -0.5, 0.0]])
    >>> quantize(x, 2, generator=torch.Generator())  # on the grid already
    tensor([[ 1.0000, -0.5000,  0.0000]])
    """
    check_integers(levels=levels)
    width = x.abs().amax(1, keepdim=True) / levels
    steps = torch.where(width > 0, x / width, torch.zeros_like(x))
    u = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=generator.device)
    return (steps + u.to(x.device)).floor().clamp(-levels, levels) * width


@checked(x="m d")
def keep_top(x: Tensor, count: int) -> Tensor:
    r"""Return every row with all but its ``count`` largest entries set to zero: [m d].

    >>> keep_top(torch.tensor([[1.0, -3.0, 2.0]]), 2)
    tensor([[ 0., -3.,  2.]])
    """
    check_integers(count=count)
    if count > x.shape[1]:
        raise ValueError(f"count must be at most the {x.shape[1]} columns of x, got {count}")
    chosen = x.abs().topk(count, dim=1).indices
    return torch.zeros_like(x).scatter(1, chosen, x.gather(1, chosen))


@checked()
def message_bytes(numbers: int, *, bits: float = 32, kept: int | None = None) -> int:
    r"""Return the bytes of a message of d numbers, all of them or ``kept``.

    With $s$ = ``kept`` numbers of $B$ = ``bits`` bits and their places it is
    $$\Big\lceil\frac{Bs+\min(d,s\lceil\log_2d\rceil)}8\Big\rceil:$$
    which numbers are sent costs the cheaper of a mask of d bits and a list of places. A scale and
    other headers are not counted.

    >>> message_bytes(1970), message_bytes(1970, kept=100), message_bytes(1970, kept=800)
    (7880, 538, 3447)
    """
    check_integers(numbers=numbers)
    check_integers(0, kept=kept)
    if not 0 < bits <= 64:
        raise ValueError(f"bits must be a number in (0, 64], got {bits!r}; correct bits")
    if kept is None or kept == numbers:
        return math.ceil(numbers * bits / 8)
    if kept > numbers:
        raise ValueError(f"kept must be at most the {numbers} numbers, got {kept}; correct kept")
    places = min(numbers, kept * math.ceil(math.log2(numbers)))
    return math.ceil((kept * bits + places) / 8)
