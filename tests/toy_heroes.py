"""A sparse regression, a made-up run whose filters enter one by one, and clients that differ."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlearn_book.widgets import FiltersEntering, PathExplorer, PersonalExplorer
from fedlearn_lib import Clients

TRUTH = torch.zeros(12, dtype=torch.float64)
TRUTH[[1, 4, 7]] = torch.tensor([2.5, -1.5, 1.0], dtype=torch.float64)
GRID = {"noise": [0.0, 0.4, 1.0], "correlation": [0.0, 0.5, 0.8]}


def problem(noise: float, correlation: float) -> tuple[Tensor, Tensor]:
    """Columns that share a part, so that coordinates leave and the LASSO errs."""
    generator = torch.Generator().manual_seed(3)
    own = torch.randn(40, 12, generator=generator, dtype=torch.float64)
    shared = torch.randn(40, 1, generator=generator, dtype=torch.float64)
    e = torch.randn(40, generator=generator, dtype=torch.float64)
    X = (1 - correlation) ** 0.5 * own + correlation**0.5 * shared
    return X, X @ TRUTH + noise * e


def explorer(**options: object) -> PathExplorer:
    options = GRID | {"start": {"noise": 0.4, "correlation": 0.0}} | options
    return PathExplorer(problem, TRUTH, **options)


#: When each filter of the two layers enters; filter 2 of the first one leaves at 3 for good.
ENTER = {"conv1": [1.0, 0.5, 9.0, 2.0, 1.5, 2.5], "conv2": [0.5 * k for k in range(1, 17)]}


def record() -> dict[str, object]:
    """What a recorder gives: 21 moments, weights, sparse copies, accuracies."""
    generator = torch.Generator().manual_seed(0)
    time = torch.linspace(0, 4, 21)
    shapes = {"conv1": (6, 1, 5, 5), "conv2": (16, 6, 5, 5)}
    weights, gamma = {}, {}
    for name, shape in shapes.items():
        grown = (0.2 + time[:, None] / torch.tensor(ENTER[name])).clamp(max=1.2)
        weights[name] = torch.randn(shape, generator=generator) * grown[..., None, None, None]
        inside = time[:, None] >= torch.tensor(ENTER[name]) - 1e-4
        gamma[name] = 0.5 * weights[name] * inside[..., None, None, None]
    gamma["conv1"][16:, 1] = 0
    single = time[:, None, None] >= 8 * torch.rand(1, 20, 12, generator=generator)
    dense = 0.1 + 0.85 * (1 - torch.exp(-2 * time))
    sparse = 0.1 + 0.8 * (1 - torch.exp(-time))
    return {
        "time": time, "filters": weights, "support": gamma | {"fc1": single},
        "curves": {"dense": dense, "on the support": sparse}, "label": "epoch",
    }  # fmt: skip


def filters(**options: object) -> FiltersEntering:
    return FiltersEntering(**record() | options)


NAMES, NUMBERS = ["Ann", "Bo", "Cy", "Di"], ["intercept", "age", "dose"]
STEPS = [0, 3, 100]


def people(s: float) -> tuple[Clients, Clients]:
    """Four clients whose truths differ by s; their noise fits none of their numbers."""
    g = torch.Generator().manual_seed(5)
    sides: list[Clients] = []
    apart = torch.randn(4, 3, generator=g, dtype=torch.float64)
    apart[2, 0] = 4.0
    for sizes in ([30, 24, 18, 28], [9, 8, 7, 10]):
        parts = list(torch.arange(sum(sizes)).split(sizes))
        x = torch.randn(sum(sizes), 3, generator=g, dtype=torch.float64)
        x[:, 0] = 1
        y = 0.3 * torch.randn(len(x), generator=g, dtype=torch.float64)
        for rows, own in zip(parts, apart, strict=True):
            y[rows] -= x[rows] @ torch.linalg.lstsq(x[rows], y[rows, None]).solution[:, 0]
            y[rows] += x[rows] @ (1 + s * own)
        sides.append(Clients.of(x, y, parts))
    return sides[0], sides[1]


def personal(**options: object) -> PersonalExplorer:
    given = {"names": NAMES, "numbers": NUMBERS, "far": ("Cy", "intercept", STEPS),
             "s": [0, 0.5, 1], "start": {"s": 1}}  # fmt: skip
    return PersonalExplorer(people, **given | options)


def multitude() -> PersonalExplorer:
    """Eight clients with six numbers, all words as long as they may be."""

    def make(s: float) -> tuple[Clients, Clients]:
        g = torch.Generator().manual_seed(1)
        x = torch.randn(160, 6, generator=g, dtype=torch.float64)
        owner = torch.arange(160) % 8
        y = (x * (1 + s * torch.randn(8, 6, generator=g, dtype=torch.float64)[owner])).sum(1)
        y += 0.1 * torch.randn(160, generator=g, dtype=torch.float64)
        rows = [(owner == i).nonzero()[:, 0] for i in range(8)]
        sizes = [10, 11, 12, 13, 14, 15, 16, 18]  # an odd sum: no half of the weight
        train = [own[:n] for own, n in zip(rows, sizes, strict=True)]
        test = [own[n:] for own, n in zip(rows, sizes, strict=True)]
        return Clients.of(x, y, train), Clients.of(x, y, test)

    names = [f"client number {i}" for i in range(1, 9)]
    numbers = [f"column number {j}" for j in range(1, 7)]
    return PersonalExplorer(make, names=names, numbers=numbers, s=[0.5, 1])
