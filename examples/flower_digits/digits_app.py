"""Per-FedAvg on the embedded digits: what server and nodes agree on. Every node is one client."""

from collections.abc import Mapping
from typing import Any

import torch

from fedlearn_lib import (
    Clients,
    gradient,
    load,
    logistic,
    loss_of,
    parameters_of,
    partition_dirichlet,
    perfedavg,
)
from fedlearn_lib.engines.flower import Federation
from fedlearn_lib.federated import personal_path


def federation(config: Mapping[str, Any]) -> Federation:
    """The federation that the run's configuration describes: the same on every machine."""
    seed, m = int(config["seed"]), int(config["clients"])
    data = load("digits")
    x, g = data.x.flatten(1).double(), torch.Generator().manual_seed(seed)
    parts = partition_dirichlet(data.y, m, alpha=0.3, generator=g)
    model = logistic(64, 10).double()
    loss = loss_of(model)
    methods = {
        "perfedavg": perfedavg(loss, alpha=0.1, beta=0.3),
        "personal_path": personal_path(gradient(loss), kappa=2.0, lr=0.1),
    }
    clients = Clients.of(x, data.y, parts, p=[1 / m] * m)
    return Federation(methods[str(config["method"])], parameters_of(model), clients, 5, 10, seed)
