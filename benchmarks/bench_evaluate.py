"""Scoring 50 clients in one call, against one call for each."""

from __future__ import annotations

import torch
from bench_rounds import clients_for

from fedlearn_lib import accuracy_of, evaluate, mlp, parameters_of


def test_evaluate(compare) -> None:
    model = mlp(784, 100, 10, activation="relu")
    clients, w, metric = clients_for((784,), 10), parameters_of(model), accuracy_of(model)

    def one_by_one() -> torch.Tensor:
        with torch.no_grad():
            return torch.stack([metric(w, clients.data(i)).mean() for i in range(clients.m)])

    compare(one_by_one, lambda: evaluate(metric, w, clients, clients), least=1.0)
