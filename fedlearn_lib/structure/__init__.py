"""The structure of a network: masks, pruning that changes nothing but the size, growing."""

from fedlearn_lib.structure.closing import close
from fedlearn_lib.structure.cost import Cost, cost
from fedlearn_lib.structure.growing import grow, ready_to_grow
from fedlearn_lib.structure.masks import (
    Masks,
    counts,
    magnitude_masks,
    overlap_by_chance,
    project,
    random_masks,
    share,
)
from fedlearn_lib.structure.pruning import prune
from fedlearn_lib.structure.retrain import retrain

__all__ = [
    "Cost",
    "Masks",
    "close",
    "cost",
    "counts",
    "grow",
    "magnitude_masks",
    "overlap_by_chance",
    "project",
    "prune",
    "random_masks",
    "ready_to_grow",
    "retrain",
    "share",
]
