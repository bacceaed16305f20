"""Data sets, clients, and the ways to deal one to the other."""

from fedlearn_lib.data.clients import Batch, Clients
from fedlearn_lib.data.flat import FlatClients
from fedlearn_lib.data.partition import (
    partition_dirichlet,
    partition_iid,
    partition_natural,
    partition_two_groups,
    split_parts,
)
from fedlearn_lib.data.sets import Dataset, load
from fedlearn_lib.data.synthetic import (
    GaussianPopulation,
    gaussian_clients,
    quadratic_clients,
    quadratic_loss,
)

__all__ = [
    "Batch",
    "Clients",
    "Dataset",
    "FlatClients",
    "GaussianPopulation",
    "gaussian_clients",
    "load",
    "partition_dirichlet",
    "partition_iid",
    "partition_natural",
    "partition_two_groups",
    "quadratic_clients",
    "quadratic_loss",
    "split_parts",
]
