"""Figures of Parts I and II on small data: a landscape of two clients, six ways to split labels."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from fedlearn_book.widgets import MetaLandscape, Setting, mean_label_tv
from fedlearn_lib.data.partition import partition_dirichlet, partition_iid, partition_two_groups

LABELS = torch.arange(2000) % 10
M = 12


def line(eta: float, tau: int) -> Figure:
    fig = Figure(figsize=(4, 2.5))
    ax = fig.subplots()
    ax.plot([0, 1], [0, eta * tau], color="#0072B2")
    ax.set(ylim=(0, 10), title=f"slope {eta * tau:.3g}")
    return fig


def splits() -> list[tuple[str, float | None, list[torch.Tensor]]]:
    generator = torch.Generator().manual_seed(0)
    made: list[tuple[str, float | None, list[torch.Tensor]]]
    made = [("iid", None, partition_iid(LABELS, M, generator=generator))]
    for alpha in (0.05, 0.2, 1.0, 10.0):
        parts = partition_dirichlet(LABELS, M, alpha=alpha, generator=generator)
        made.append(("dirichlet", alpha, parts))
    made.append(("two groups", 8, partition_two_groups(LABELS, M, a=8, generator=generator)))
    return made


def make_settings() -> list[Setting]:
    out = []
    for kind, value, parts in splits():
        counts = [LABELS[part].bincount(minlength=10).tolist() for part in parts]
        tv, classes = mean_label_tv(counts), [str(c) for c in range(10)]
        accuracy = 0.9 - 0.4 * tv**2
        row = Setting(kind, value, counts, classes, tv, 2 * tv, 3 * tv, accuracy)
        out.append(row._replace(lo=accuracy - 0.02, hi=accuracy + 0.01))
    hospitals = [[164, 139], [188, 106], [8, 115], [51, 149]]
    names, tv = ["healthy", "sick"], mean_label_tv(hospitals)
    last = Setting("natural", None, hospitals, names, tv, 0.2, 0.4, 0.81, label="hospitals")
    return [*out, last._replace(clients=["Cleveland", "Hungary", "Switzerland", "Long Beach"])]


def landscape() -> MetaLandscape:
    A = torch.tensor([[[3.2, 0.8], [0.8, 1.0]], [[0.5, 0.0], [0.0, 2.0]]])
    centers, p = torch.tensor([[-1.2, -0.4], [0.5, 1.5]]), torch.tensor([0.25, 0.75])
    return MetaLandscape(A, centers, torch.tensor([0.8, 0.4]), p, alpha=0.3)
