r"""From one model for all to everybody's own, exactly: squared losses, knot by knot.

Client $i$ uses $u_i=w+\delta_i$. The shared $w$ is free, the personal deviations are on an inverse
scale space. With $w$ projected out of the stacked data this is :func:`fedlearn_lib.iss_path`.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib._checked import checked, checked_record
from fedlearn_lib._checks import check_finite, check_floats, check_integers
from fedlearn_lib._shapes import shown
from fedlearn_lib.data.clients import Clients
from fedlearn_lib.sparse.iss import iss_path
from fedlearn_lib.sparse.path import Path, linear_models
from fedlearn_lib.sparse.signed_fit import data_of

#: What the shared model leaves of a client's column, or of the targets, is rounding below this.
ROUNDING = 1e-9


@checked_record(t="K", w="K d", delta="K m d")
class PersonalPath(NamedTuple):
    r"""Shared models and deviations: ``w[k]`` and ``delta[k]`` are in use on $[t_k, t_{k+1})$.

    Parameters
    ----------
    t : [K], increasing path times; the first is 0, where everybody uses the pooled model.
    w : [K d], the shared models.
    delta : [K m d], each client's deviation; client $i$ uses ``w[k] + delta[k, i]``.

    >>> t = torch.tensor([0.0, 2.0])
    >>> path = PersonalPath(t, torch.tensor([[1.0], [0.0]]), torch.tensor([[[0.0]], [[3.0]]]))
    >>> path.at(1.9), path.entry_times()
    ((tensor([1.]), tensor([[0.]])), tensor([[2.]]))
    """

    t: Tensor
    w: Tensor
    delta: Tensor

    @checked()
    def at(self, t: float) -> tuple[Tensor, Tensor]:
        """Return the shared model [d] and the deviations [m d] at time ``t``, from 0 on."""
        if not t >= 0:
            raise ValueError(f"t must be at least 0, where the path starts, got {t}; correct it")
        k = int(torch.searchsorted(self.t, torch.tensor(t, dtype=self.t.dtype), right=True)) - 1
        return self.w[k].clone(), self.delta[k].clone()

    def entry_times(self) -> Tensor:
        """Return when each client's deviation first is not zero, [m d], inf where never."""
        times = Path(self.t, self.delta, self.delta).entry_times()
        assert isinstance(times, Tensor)
        return times

    def _check(self) -> None:
        check_floats("w", {"w": self.w})
        check_floats("delta", {"delta": self.delta})
        Path(self.t, self.delta, self.delta)  # refuses times that fall
        if not len(self.t) or float(self.t[0]) != 0:
            raise ValueError(
                f"t must begin with 0, where everybody shares, got {shown(self.t)}; add its row"
            )


@checked()
def personalization_path(
    clients: Clients, *, max_knots: int | None = None, t_max: float = math.inf
) -> PersonalPath:
    r"""Return the exact path from one model for all to everybody's own, for squared losses.

    $$f_i(u)=\tfrac1{2n_i}\|y_i-X_iu\|^2,\qquad u_{i,t}=w_t+\delta_{i,t},\qquad
      \sum_ip_i\nabla f_i(u_{i,t})=0,$$
    $$\dot V_{i,t}=-\nabla f_i(u_{i,t}),\qquad V_{i,t}\in\partial\|\delta_{i,t}\|_1,\qquad
      V_{i,0}=0.$$
    At $t=0$ all deviations are zero and $w$ is the pooled least-squares model. A number becomes
    personal when its account $|V_{ij}|$ is full, at 1. Between knots nothing moves. The path ends
    where every client has its own least-squares model.

    Where the pooled data leave $w$ open it is the shortest one. Where deviations depend on each
    other, as for half of the weight on each side of the last shared number, or for a client with
    fewer samples than numbers, the models in use fit alike and are one choice of several; a
    warning says so.

    Parameters
    ----------
    clients : inputs [m n d] and targets [m n], used as given, in float64: add a column of ones for
        an intercept. All weights $p_i$ must be positive.
    max_knots : stop after so many knots, not counting the start.
    t_max : no knots after this path time.

    >>> x, y = torch.ones(5, 1), torch.tensor([0.0, 1.0, 2.0, 4.0, 8.0])  # the numbers y_i
    >>> path = personalization_path(Clients.of(x, y, [[i] for i in range(5)]))
    >>> [round(t, 2) for t in path.t.tolist()]
    [0.0, 0.2, 0.43, 0.6, 1.0]
    >>> [round(w, 2) for w in path.w.flatten().tolist()]  # mean, of those who share, median
    [3.0, 1.75, 2.33, 1.5, 2.0]

    Near: Xu, Xiong, Cao, Huang, Yao, *From social to individuals* (TPAMI 2019), with groups.
    """
    check_integers(max_knots=max_knots)
    if not t_max > 0:
        raise ValueError(f"t_max must be positive, got {t_max}; leave it out for the whole path")
    A, blocks, y = _stacked(clients)
    m, d = clients.m, A.shape[1]
    own, rest = _without_shared(A, blocks, y)
    scale = clients.p.double().repeat_interleave(d)  # deviation ij weighs p_i
    own = own / scale
    t, delta = torch.zeros(1, dtype=torch.float64), A.new_zeros(1, m * d)
    if _somebody_disagrees(own, rest, t_max):
        path = _path_of(own, rest, max_knots, t_max)
        t, delta = torch.cat([t, path.t]), torch.cat([delta, linear_models(path, m * d) / scale])
    w = torch.linalg.lstsq(A, y[:, None] - blocks @ delta.T, driver="gelsd").solution.T
    return PersonalPath(t, w.contiguous(), delta.view(-1, m, d))


def _stacked(clients: Clients) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return $A$ [N d], $B$ [N md], $y$ [N]; $\|y-Aw-B\delta\|^2/2N=\sum_ip_if_i(w+\delta_i)$."""
    if clients.x.ndim != 3 or clients.y.ndim != 2:
        raise ValueError(
            "clients must hold inputs [m n d] and targets [m n] of a linear model, got the shapes "
            f"{tuple(clients.x.shape)} and {tuple(clients.y.shape)}; flatten the inputs"
        )
    if not bool((clients.p > 0).all()):
        raise ValueError(
            f"clients must all have a positive weight p, got {clients.p.tolist()[:10]}; leave out "
            "those without, or pass p to Clients.of"
        )
    N = int(clients.n.sum())
    rows, targets = [], []
    for i, p in enumerate(clients.p.tolist()):
        x, y = (part.detach().double().cpu() for part in clients.data(i))
        root = math.sqrt(p * N / len(y))
        rows.append(root * x)
        targets.append(root * y)
    A, y = torch.cat(rows), torch.cat(targets)
    check_finite("clients.x", A)
    check_finite("clients.y", y)
    return A, torch.block_diag(*rows), y


def _without_shared(A: Tensor, blocks: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Take out of the deviations' columns, and of y, what a shared model can do."""
    U, s, _ = torch.linalg.svd(A, full_matrices=False)
    Q = U[:, s > s.max() * max(A.shape) * torch.finfo(s.dtype).eps]
    own, rest = blocks - Q @ (Q.T @ blocks), y - Q @ (Q.T @ y)
    own, rest = own - Q @ (Q.T @ own), rest - Q @ (Q.T @ rest)  # again, for the lost digits
    own[:, own.norm(dim=0) <= ROUNDING * blocks.norm(dim=0)] = 0  # what one client alone has
    return own, rest if float(rest.norm()) > ROUNDING * float(y.norm()) else torch.zeros_like(rest)


def _somebody_disagrees(own: Tensor, rest: Tensor, t_max: float) -> bool:
    """Whether any deviation enters until t_max."""
    data = data_of(own, rest)
    g = np.abs(data.gradient(data.y))
    moves = g > data.zero
    return bool(moves.any()) and 1 / float(g[moves].max()) <= t_max


def _path_of(own: Tensor, rest: Tensor, max_knots: int | None, t_max: float) -> Path:
    """The inverse scale space of the deviations; say in their words where they are not unique."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = iss_path(own, rest, max_knots=max_knots, t_max=t_max)
    ours = [one for one in caught if "one choice of several" in str(one.message)]
    for one in caught:  # what another thread said meanwhile, as a kernel's do
        if one not in ours:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if ours:
        warnings.warn(
            "the deviations are one choice of several that fit alike: half of the weight is on "
            "each side of a shared number, or the data of a client leave its own numbers open; "
            "the accounts V are unique, and so is the fit of every client",
            stacklevel=4,  # past the decorator
        )
    return path
