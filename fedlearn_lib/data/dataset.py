"""What every loader returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Dataset(NamedTuple):
    """Samples, their classes and, where the data know it, who made each of them.

    Attributes
    ----------
    x : [N …], float32.
    y : [N], int64, the class.
    client : [N], int64, the natural owner of each sample (hospital, writer), or None.
    name : what to call these data under a figure; "CIFAR-10 (JPEG)" is not "CIFAR-10".
    """

    x: Tensor
    y: Tensor
    client: Tensor | None = None
    name: str = ""
