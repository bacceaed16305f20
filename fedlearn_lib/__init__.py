"""fedlearn_lib: the small library behind the book *Personal and Parsimonious*.

A federated algorithm is a gradient oracle inside a fixed loop. A sparse path is a penalty inside a
fixed loop.
"""

from fedlearn_lib.data import (
    Clients,
    Dataset,
    GaussianPopulation,
    gaussian_clients,
    load,
    partition_dirichlet,
    partition_iid,
    partition_natural,
    partition_two_groups,
    quadratic_clients,
    quadratic_loss,
    split_parts,
)
from fedlearn_lib.federated import Algorithm, OwnState, State, fedavg, map_clients, perfedavg
from fedlearn_lib.heterogeneity import (
    gradient_dissimilarity,
    hessian_dissimilarity,
    label_distribution,
    total_variation,
)
from fedlearn_lib.inclusion import (
    Certificate,
    Curve,
    Path,
    certificate,
    cross_validation,
    discrepancy_time,
    iss_path,
    largest_step,
    lbi,
    lbi_path,
    split_lbi_lr,
    split_lbi_path,
    validation_curve,
)
from fedlearn_lib.models import accuracy_of, lenet, logistic, loss_of, mlp, parameters_of, resnet
from fedlearn_lib.optim import SplitLBI, penalty_groups, split_lbi
from fedlearn_lib.oracles import adapt, gradient, hvp, maml_gradient
from fedlearn_lib.penalties import L1, GroupL2, Penalty
from fedlearn_lib.personalized import (
    ScaffoldState,
    fedrep,
    local_only,
    only,
    personal_models,
    reptile,
    scaffold,
)
from fedlearn_lib.proximal import descend, ditto, fedprox, near, pfedme
from fedlearn_lib.recorder import record_path
from fedlearn_lib.simulate import History, evaluate, run, sample_cohort
from fedlearn_lib.transport import sliced_wasserstein, wasserstein, wasserstein_to_pool
from fedlearn_lib.trees import axpy, dot, norm, weighted_mean
from fedlearn_lib.viz import plot_clients, plot_history, plot_path, use_book_style

__version__ = "0.1.0"

__all__ = [
    "L1",
    "Algorithm",
    "Certificate",
    "Clients",
    "Curve",
    "Dataset",
    "GaussianPopulation",
    "GroupL2",
    "History",
    "OwnState",
    "Path",
    "Penalty",
    "ScaffoldState",
    "SplitLBI",
    "State",
    "accuracy_of",
    "adapt",
    "axpy",
    "certificate",
    "cross_validation",
    "descend",
    "discrepancy_time",
    "ditto",
    "dot",
    "evaluate",
    "fedavg",
    "fedprox",
    "fedrep",
    "gaussian_clients",
    "gradient",
    "gradient_dissimilarity",
    "hessian_dissimilarity",
    "hvp",
    "iss_path",
    "label_distribution",
    "largest_step",
    "lbi",
    "lbi_path",
    "lenet",
    "load",
    "local_only",
    "logistic",
    "loss_of",
    "maml_gradient",
    "map_clients",
    "mlp",
    "near",
    "norm",
    "only",
    "parameters_of",
    "partition_dirichlet",
    "partition_iid",
    "partition_natural",
    "partition_two_groups",
    "penalty_groups",
    "perfedavg",
    "personal_models",
    "pfedme",
    "plot_clients",
    "plot_history",
    "plot_path",
    "quadratic_clients",
    "quadratic_loss",
    "record_path",
    "reptile",
    "resnet",
    "run",
    "sample_cohort",
    "scaffold",
    "sliced_wasserstein",
    "split_lbi",
    "split_lbi_lr",
    "split_lbi_path",
    "split_parts",
    "total_variation",
    "use_book_style",
    "validation_curve",
    "wasserstein",
    "wasserstein_to_pool",
    "weighted_mean",
]
