"""The exact path of the inverse scale space against scikit-learn's LASSO path, on one core."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import lars_path
from threadpoolctl import threadpool_limits

from fedlearn_lib import iss_path


def problem(n: int, p: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    X = torch.randn(n, p, generator=g, dtype=torch.float64)
    truth = torch.tensor([3.0, -2.0, 1.5, 1.0, -1.0], dtype=torch.float64)
    return X, X[:, :5] @ truth + 0.5 * torch.randn(n, generator=g, dtype=torch.float64)


def alone(work):
    def on_one_core() -> object:
        torch.set_num_threads(1)
        with threadpool_limits(1):
            return work()

    return on_one_core


@pytest.mark.parametrize("variables", [20, 50])
def test_exact_path(variables: int, compare) -> None:
    X, y = problem(2000, 5000)
    A, b = X.numpy(), y.numpy()
    compare(
        alone(lambda: lars_path(A, b, method="lasso", max_iter=variables)),
        alone(lambda: iss_path(X, y, max_active=variables)),
        least=1 / 1.2,
    )


def test_more_columns_than_samples(benchmark) -> None:
    """The whole path of 71 samples with 4,088 columns: seconds at most."""
    X, y = problem(71, 4088)
    path = benchmark.pedantic(lambda: iss_path(X, y), rounds=3)
    assert int((path.w[-1] != 0).sum()) == 71
    assert benchmark.disabled or benchmark.stats["median"] < 5
