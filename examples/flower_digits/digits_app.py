"""Per-FedAvg on digits: what server and nodes agree on. Every node is one client.

The embedded digits are dealt with skewed labels; with ``data="mnist"`` a client is a writer.
"""

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
    partition_natural,
    perfedavg,
)
from fedlearn_lib.engines.flower import Federation
from fedlearn_lib.federated import personal_path


def federation(config: Mapping[str, Any]) -> Federation:
    """The federation that the run's configuration describes: the same on every machine."""
    clients = clients_of(config)
    model = logistic(clients.x.shape[-1], 10).double()
    loss = loss_of(model)
    methods = {
        "perfedavg": perfedavg(loss, alpha=0.1, beta=0.3),
        "personal_path": personal_path(gradient(loss), kappa=2.0, lr=0.1),
    }
    method, seed = methods[str(config["method"])], int(config["seed"])
    return Federation(method, parameters_of(model), clients, 5, 10, seed)


def clients_of(config: Mapping[str, Any]) -> Clients:
    """So many ``clients`` of equal weight, drawn by the ``seed``: of digits, or MNIST's writers.

    MNIST and QMNIST's table of writers are looked for in the folder ``root``, on every machine.
    """
    m, name = int(config["clients"]), str(config.get("data", "digits"))
    g = torch.Generator().manual_seed(int(config["seed"]))
    if name == "digits":
        data = load("digits")
        parts = partition_dirichlet(data.y, m, alpha=0.3, generator=g)
    elif name == "mnist":
        data = load("mnist", root=str(config.get("root", "")) or None)
        parts = some_writers(data.client, m, g)
    else:
        raise ValueError(f'data must be "digits" or "mnist", got {name!r}; correct it')
    clients = Clients.of(data.x.flatten(1), data.y, parts, p=[1 / m] * m)
    return clients._replace(x=clients.x.double())


def some_writers(writer: torch.Tensor | None, m: int, g: torch.Generator) -> list[torch.Tensor]:
    """The images of m writers who were drawn from all."""
    if writer is None:
        raise FileNotFoundError(
            "MNIST by its writers needs QMNIST's label tables beside MNIST; get them with "
            'load("mnist", download=True)'
        )
    parts = partition_natural(writer)
    if m > len(parts):
        raise ValueError(f"clients must be at most {len(parts)}, the writers, got {m}; lower it")
    return [parts[i] for i in torch.randperm(len(parts), generator=g)[:m].tolist()]
