"""How well the order in which coefficients enter a path finds the true ones."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_floats, check_tensors


@checked()
def entry_auc(time: Tensor, true: Tensor) -> Tensor:
    r"""Return the chance that a true row enters before a false one, ties counted one half: [runs].

    It is the area under the curve of true against false positives as the path goes on.

    Parameters
    ----------
    time : [runs q], the entry times, infinite where a row never enters (those tie).
    true : [q], the mask of the true rows; some are true and some are not.

    >>> entry_auc(torch.tensor([[1.0, 3.0, 2.0, torch.inf]]), torch.tensor([1, 1, 0, 0]) == 1)
    tensor([0.7500])
    """
    check_tensors(2, time=time)
    check_floats("time", {"time": time})
    check_tensors(1, true=true)
    fits = true.dtype == torch.bool and len(true) == time.shape[1]
    if not fits or not 0 < int(true.sum()) < len(true):
        raise ValueError(
            f"true must be a mask of the {time.shape[1]} columns of time with true and false rows, "
            f"got {true.tolist()[:10]}; pass for instance beta != 0"
        )
    if bool(time.isnan().any()):
        raise ValueError("time must not hold NaN; a row that never enters has the time infinity")
    left, right = time[:, true, None], time[:, None, ~true]
    wins = (left < right).to(torch.get_default_dtype()) + 0.5 * (left == right)
    return wins.mean((1, 2))
