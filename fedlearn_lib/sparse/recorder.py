"""A step hook that writes down the path of :class:`fedlearn_lib.SplitLBI` while it trains."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers
from fedlearn_lib.sparse.groups import split_tensors
from fedlearn_lib.sparse.optim import SplitLBI
from fedlearn_lib.sparse.path import Path

Keep = Literal["all", "norms", "support"]


class PathRecorder:
    """What :func:`record_path` returns: ``path()`` so far, ``remove()`` to stop recording."""

    def __init__(self, optimizer: SplitLBI, every: int, keep: Keep) -> None:
        self._every, self._keep, self._steps = every, keep, 0
        self._t: list[float] = []
        self._w: dict[str, list[Tensor]] = {}
        self._gamma: dict[str, list[Tensor]] = {}
        self._handle = optimizer.register_step_post_hook(self._after_step)

    def path(self) -> Path:
        """Return what was recorded: a :class:`fedlearn_lib.Path` with one leaf a tensor's name."""
        w, gamma = (
            {name: torch.stack(values) for name, values in leaves.items()}
            for leaves in (self._w, self._gamma)
        )
        return Path(torch.tensor(self._t, dtype=torch.float64), w, gamma)

    def remove(self) -> None:
        """Take the hook off the optimizer; the path stays."""
        self._handle.remove()

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._steps += 1
        if self._steps % self._every:
            return
        penalized = [group for group in optimizer.param_groups if group["penalty"] is not None]
        self._t.append(float(penalized[0]["time"]))
        for name, p, _ in split_tensors(optimizer.param_groups):
            kept = _kept(optimizer, p, self._keep)
            self._w.setdefault(name, []).append(kept[0])
            self._gamma.setdefault(name, []).append(kept[1])


@checked()
def record_path(optimizer: SplitLBI, *, every: int = 1, keep: Keep = "all") -> PathRecorder:
    r"""Record path time, weights and sparse copies of an optimizer after each ``every`` steps.

    Only tensors with a penalty are recorded; they should be in the optimizer from the start and
    share one schedule of ``lr``, whose sum is the time.

    Parameters
    ----------
    every : steps between two records.
    keep : ``"all"``: copies of $W$ and $\Gamma$; ``"norms"``: the norms of their rows ``x[g]``,
        one number a filter; ``"support"``: the mask of the support, one byte an entry, in the
        place of $\Gamma$, and the norms of the rows in the place of $W$.

    >>> w = torch.nn.Parameter(torch.tensor([2.0, 0.1]))
    >>> optimizer = SplitLBI([("w", w)], lr=1.0, nu=1.0)
    >>> recorder = record_path(optimizer)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     (-0.9 * w[0] - 0.1 * w[1]).backward()
    ...     optimizer.step()
    >>> recorder.path().entry_times()
    {'w': tensor([1., inf], dtype=torch.float64)}
    """
    check_integers(every=every)
    if all(group["penalty"] is None for group in optimizer.param_groups):
        raise ValueError(
            "optimizer must have a group with a penalty, got penalty=None in all of them; "
            'there is no path without one: pass penalty="l1" or "group"'
        )
    return PathRecorder(optimizer, every, keep)


def _kept(optimizer: SplitLBI, p: Tensor, keep: Keep) -> tuple[Tensor, Tensor]:
    w = p.detach()
    if keep == "all":
        return w.clone(), optimizer.gamma(p)
    return _norms(w), _norms(optimizer.gamma(p)) if keep == "norms" else optimizer.support(p)


def _norms(x: Tensor) -> Tensor:
    norms: Tensor = x.abs() if x.ndim < 2 else torch.linalg.vector_norm(x.flatten(1), dim=1)
    return norms
