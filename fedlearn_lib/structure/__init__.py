"""The structure of a network: masks, pruning that changes nothing but the size, growing."""

from fedlearn_lib.structure.carrying import carry_state
from fedlearn_lib.structure.closing import close_masks
from fedlearn_lib.structure.cost import Cost, cost
from fedlearn_lib.structure.growing import grow, ready_to_grow
from fedlearn_lib.structure.masks import (
    Masks,
    kept_share,
    magnitude_masks,
    mask_counts,
    overlap_by_chance,
    project,
    random_masks,
)
from fedlearn_lib.structure.pruning import prune
from fedlearn_lib.structure.retrain import retrain
from fedlearn_lib.structure.starting import he_start

__all__ = [
    "Cost",
    "Masks",
    "carry_state",
    "close_masks",
    "cost",
    "grow",
    "he_start",
    "kept_share",
    "magnitude_masks",
    "mask_counts",
    "overlap_by_chance",
    "project",
    "prune",
    "random_masks",
    "ready_to_grow",
    "retrain",
]
