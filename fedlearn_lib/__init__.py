"""fedlearn_lib: the small library behind the book *Personal and Parsimonious*.

A federated algorithm is a gradient oracle inside a fixed loop. A sparse path is a penalty inside a
fixed loop. Here is what most readers need; the rest is in ``data``, ``federated``, ``sparse``,
``structure`` and ``theory``.
"""

from fedlearn_lib.data import (
    Clients,
    Dataset,
    load,
    partition_dirichlet,
    partition_iid,
    partition_natural,
    partition_two_groups,
    split_parts,
)
from fedlearn_lib.data.clients import (
    Batch,
)
from fedlearn_lib.federated import (
    Algorithm,
    History,
    adapt,
    evaluate,
    fedavg,
    gradient,
    gradient_dissimilarity,
    hessian_dissimilarity,
    hvp,
    maml_gradient,
    map_clients,
    perfedavg,
    run,
    total_variation,
    wasserstein,
)
from fedlearn_lib.federated.oracles import (
    Loss,
    Oracle,
)
from fedlearn_lib.models import (
    accuracy_of,
    lenet,
    logistic,
    loss_of,
    mlp,
    parameters_of,
    resnet,
)
from fedlearn_lib.sparse import (
    L1,
    GroupL2,
    Path,
    SplitLBI,
    certificate,
    iss_path,
    lbi_path,
    penalty_groups,
    record_path,
    split_lbi_path,
)
from fedlearn_lib.structure import (
    grow,
    project,
    prune,
)
from fedlearn_lib.trees import (
    Params,
    axpy,
    dot,
    norm,
    weighted_mean,
)
from fedlearn_lib.viz import (
    plot_clients,
    plot_history,
    plot_path,
    use_book_style,
)

__version__ = "0.3.0"

__all__ = [
    "L1",
    "Algorithm",
    "Batch",
    "Clients",
    "Dataset",
    "GroupL2",
    "History",
    "Loss",
    "Oracle",
    "Params",
    "Path",
    "SplitLBI",
    "accuracy_of",
    "adapt",
    "axpy",
    "certificate",
    "dot",
    "evaluate",
    "fedavg",
    "gradient",
    "gradient_dissimilarity",
    "grow",
    "hessian_dissimilarity",
    "hvp",
    "iss_path",
    "lbi_path",
    "lenet",
    "load",
    "logistic",
    "loss_of",
    "maml_gradient",
    "map_clients",
    "mlp",
    "norm",
    "parameters_of",
    "partition_dirichlet",
    "partition_iid",
    "partition_natural",
    "partition_two_groups",
    "penalty_groups",
    "perfedavg",
    "plot_clients",
    "plot_history",
    "plot_path",
    "project",
    "prune",
    "record_path",
    "resnet",
    "run",
    "split_lbi_path",
    "split_parts",
    "total_variation",
    "use_book_style",
    "wasserstein",
    "weighted_mean",
]
