"""The bounds of the book as functions, so that bound and measurement stand side by side."""

from fedlearn_lib.theory.convergence import (
    Bound,
    balanced_steps,
    meta_bias,
    meta_dissimilarity,
    meta_smoothness,
    meta_variance,
    perfedavg_bound,
    sampling_factor,
    softmax_constants,
    stretch,
)
from fedlearn_lib.theory.distances import (
    dissimilarity_from_tv,
    dissimilarity_from_wasserstein,
    joint_lipschitz,
    softmax_lipschitz,
)
from fedlearn_lib.theory.selection import (
    Selection,
    irrepresentable,
    noise_rate,
    oracle_reach,
    restricted_convexity,
    safe_time,
    selection_bound,
    sign_time,
)
from fedlearn_lib.theory.splitting import (
    clean_until,
    split_design,
    split_estimate,
    split_gram,
    split_irr,
)

__all__ = [
    "Bound",
    "Selection",
    "balanced_steps",
    "clean_until",
    "dissimilarity_from_tv",
    "dissimilarity_from_wasserstein",
    "irrepresentable",
    "joint_lipschitz",
    "meta_bias",
    "meta_dissimilarity",
    "meta_smoothness",
    "meta_variance",
    "noise_rate",
    "oracle_reach",
    "perfedavg_bound",
    "restricted_convexity",
    "safe_time",
    "sampling_factor",
    "selection_bound",
    "sign_time",
    "softmax_constants",
    "softmax_lipschitz",
    "split_design",
    "split_estimate",
    "split_gram",
    "split_irr",
    "stretch",
]
