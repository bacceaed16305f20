"""Exact and sliced Wasserstein distances between 50 clients of 200 samples."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch

from fedlearn_lib import wasserstein
from fedlearn_lib.data import gaussian_clients
from fedlearn_lib.federated import sliced_wasserstein

G = torch.Generator()
CLIENTS = gaussian_clients(torch.zeros(50, 20), n=200, generator=G.manual_seed(0))
X = [CLIENTS.data(i)[0].double().numpy() for i in range(50)]
PAIRS = [(i, j) for i in range(50) for j in range(i)]


def serial() -> list[float]:
    return [float(ot.emd2([], [], ot.dist(X[i], X[j], metric="euclidean"))) for i, j in PAIRS]


def serial_sliced() -> list[float]:
    u = np.random.default_rng(0).standard_normal((20, 50))
    u /= np.linalg.norm(u, axis=0)
    return [ot.sliced_wasserstein_distance(X[i], X[j], projections=u, p=1) for i, j in PAIRS]


@pytest.mark.parametrize(("threads", "least"), [(1, 0.9), (2, 1.5)])
def test_wasserstein(threads: int, least: float, compare) -> None:
    compare(serial, lambda: wasserstein(CLIENTS, threads=threads), least=least, turns=3)


def test_sliced(compare) -> None:
    ours = lambda: sliced_wasserstein(CLIENTS, generator=G.manual_seed(0))  # noqa: E731
    compare(serial_sliced, ours, least=50.0, turns=5)
