"""Federated algorithms: a gradient oracle inside a fixed loop over clients."""

from fedlearn_lib.federated.algorithm import Algorithm, OwnState, State
from fedlearn_lib.federated.compression import keep_top, message_bytes, quantize
from fedlearn_lib.federated.ditto import ditto
from fedlearn_lib.federated.evaluation import evaluate, personal_models
from fedlearn_lib.federated.fedavg import fedavg
from fedlearn_lib.federated.fedprox import fedprox
from fedlearn_lib.federated.fedrep import fedrep
from fedlearn_lib.federated.heterogeneity import (
    gradient_dissimilarity,
    hessian_dissimilarity,
    label_distribution,
    total_variation,
)
from fedlearn_lib.federated.leakage import inputs_from_rows, label_shares, match_message
from fedlearn_lib.federated.local import local_only
from fedlearn_lib.federated.maml import hvp, maml_gradient
from fedlearn_lib.federated.mapping import map_clients
from fedlearn_lib.federated.messages import as_leaves, as_rows
from fedlearn_lib.federated.oracles import (
    Loss,
    Oracle,
    adapt,
    anchored_oracle,
    descend,
    gradient,
    partial_oracle,
)
from fedlearn_lib.federated.perfedavg import perfedavg
from fedlearn_lib.federated.personal_path import path_models, personal_path
from fedlearn_lib.federated.personalization_path import PersonalPath, personalization_path
from fedlearn_lib.federated.pfedme import pfedme
from fedlearn_lib.federated.privacy import (
    clip,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_renyi,
    largest_power,
    noisy_mean,
    renyi_epsilon,
    sampled_renyi,
)
from fedlearn_lib.federated.reptile import reptile
from fedlearn_lib.federated.resume import run_saved
from fedlearn_lib.federated.scaffold import ScaffoldState, scaffold
from fedlearn_lib.federated.secure import (
    join_secret,
    mask_of,
    masked,
    pair_seeds,
    split_secret,
    sum_of_masked,
    to_grid,
)
from fedlearn_lib.federated.simulate import History, run, sample_cohort
from fedlearn_lib.federated.sparse_start import SparseState, sparse_start
from fedlearn_lib.federated.transport import (
    sliced_wasserstein,
    wasserstein,
    wasserstein_to_pool,
)

__all__ = [
    "Algorithm",
    "History",
    "Loss",
    "Oracle",
    "OwnState",
    "PersonalPath",
    "ScaffoldState",
    "SparseState",
    "State",
    "adapt",
    "anchored_oracle",
    "as_leaves",
    "as_rows",
    "clip",
    "descend",
    "ditto",
    "evaluate",
    "fedavg",
    "fedprox",
    "fedrep",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_renyi",
    "gradient",
    "gradient_dissimilarity",
    "hessian_dissimilarity",
    "hvp",
    "inputs_from_rows",
    "join_secret",
    "keep_top",
    "label_distribution",
    "label_shares",
    "largest_power",
    "local_only",
    "maml_gradient",
    "map_clients",
    "mask_of",
    "masked",
    "match_message",
    "message_bytes",
    "noisy_mean",
    "pair_seeds",
    "partial_oracle",
    "path_models",
    "perfedavg",
    "personal_models",
    "personal_path",
    "personalization_path",
    "pfedme",
    "quantize",
    "renyi_epsilon",
    "reptile",
    "run",
    "run_saved",
    "sample_cohort",
    "sampled_renyi",
    "scaffold",
    "sliced_wasserstein",
    "sparse_start",
    "split_secret",
    "sum_of_masked",
    "to_grid",
    "total_variation",
    "wasserstein",
    "wasserstein_to_pool",
]
