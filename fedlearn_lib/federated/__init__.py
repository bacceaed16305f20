"""Federated algorithms: a gradient oracle inside a fixed loop over clients."""

from fedlearn_lib.federated.algorithm import Algorithm, OwnState, State
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
from fedlearn_lib.federated.local import local_only
from fedlearn_lib.federated.maml import hvp, maml_gradient
from fedlearn_lib.federated.mapping import map_clients
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
from fedlearn_lib.federated.reptile import reptile
from fedlearn_lib.federated.resume import run_saved
from fedlearn_lib.federated.scaffold import ScaffoldState, scaffold
from fedlearn_lib.federated.simulate import History, run, sample_cohort
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
    "State",
    "adapt",
    "anchored_oracle",
    "descend",
    "ditto",
    "evaluate",
    "fedavg",
    "fedprox",
    "fedrep",
    "gradient",
    "gradient_dissimilarity",
    "hessian_dissimilarity",
    "hvp",
    "label_distribution",
    "local_only",
    "maml_gradient",
    "map_clients",
    "partial_oracle",
    "path_models",
    "perfedavg",
    "personal_models",
    "personal_path",
    "personalization_path",
    "pfedme",
    "reptile",
    "run",
    "run_saved",
    "sample_cohort",
    "scaffold",
    "sliced_wasserstein",
    "total_variation",
    "wasserstein",
    "wasserstein_to_pool",
]
