"""The exact path of the inverse scale space against scikit-learn's LASSO path, on one core."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import lars_path

from conftest import alone  # type: ignore[attr-defined]
from fedlearn_lib import iss_path


def problem(n: int, p: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    X = torch.randn(n, p, generator=g, dtype=torch.float64)
    truth = torch.tensor([3.0, -2.0, 1.5, 1.0, -1.0], dtype=torch.float64)
    return X, X[:, :5] @ truth + 0.5 * torch.randn(n, generator=g, dtype=torch.float64)


@pytest.mark.parametrize(
    ("n", "p", "variables", "most"),
    [(2000, 5000, 20, 1.2), (2000, 5000, 50, 1.2), (2000, 5000, 100, 1.2), (2000, 5000, 200, 1.2),
     (100, 4000, 60, 1.5)],
)  # fmt: skip
def test_exact_path(n: int, p: int, variables: int, most: float, compare) -> None:
    X, y = problem(n, p)
    A, b = X.numpy(), y.numpy()
    compare(
        alone(lambda: lars_path(A, b, method="lasso", max_iter=variables)),
        alone(lambda: iss_path(X, y, max_active=variables)),
        least=1 / most,
        turns=5 if n == 2000 else 25,
    )


def test_more_columns_than_samples(benchmark) -> None:
    """The whole path of 71 samples with 4,088 columns: seconds at most."""
    X, y = problem(71, 4088)
    path = benchmark.pedantic(lambda: iss_path(X, y), rounds=3)
    assert int((path.w[-1] != 0).sum()) == 71
    assert benchmark.disabled or benchmark.stats["median"] < 5
