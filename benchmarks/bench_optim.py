"""A step of SplitLBI on the parameters of ResNet-18, against momentum SGD, on one core.

The step is bound by memory. SGD of torch with ``foreach`` moves eight streams of the parameters'
size through it, compiled five; SplitLBI needs seven: it reads W, the gradient, V and the buffer,
and writes three of them. Γ is not stored, it is κ Prox(V).
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable

import pytest
import torch
from torch import nn

from conftest import seconds  # type: ignore[attr-defined]  # mypy finds another conftest
from fedlearn_lib import SplitLBI

TURNS = 25


def shapes() -> list[tuple[int, ...]]:
    """The 62 parameters of ResNet-18 for ImageNet: 11,689,512 numbers."""
    found: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    fan_in = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            for source in (fan_in, width):
                found += [(width, source, 3, 3), (width,), (width,)]
            if stage and not block:
                found += [(width, fan_in, 1, 1), (width,), (width,)]
            fan_in = width
    return [*found, (1000, 512), (1000,)]


def parameters() -> list[nn.Parameter]:
    g = torch.Generator().manual_seed(0)
    made = [nn.Parameter(0.05 * torch.randn(s, generator=g)) for s in shapes()]
    for p in made:
        p.grad = 0.01 * torch.randn(p.shape, generator=g)
    return made


def split(params: list[nn.Parameter], conv: str) -> SplitLBI:
    groups = [
        {"params": [p for p in params if p.ndim == 4], "penalty": conv},
        {"params": [p for p in params if p.ndim == 2], "penalty": "l1"},
        {"params": [p for p in params if p.ndim == 1], "penalty": None},
    ]
    return SplitLBI(groups, lr=0.01, nu=100.0, momentum=0.9)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
@pytest.mark.parametrize("conv", ["group", "l1"])
@pytest.mark.parametrize(("how", "most"), [("eager", 3.3), ("compiled", 2.4)])
def test_step(how: str, most: float, conv: str, benchmark, capsys) -> None:
    """Both sides take turns on one core; the median of the paired ratios must not exceed most."""
    if how == "compiled" and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    torch.set_num_threads(1)
    ours = split(parameters(), conv)
    assert sum(p.numel() for g in ours.param_groups for p in g["params"]) == 11_689_512
    theirs = torch.optim.SGD(parameters(), lr=0.01, momentum=0.9, foreach=True)
    step: Callable[[], object] = ours.step
    if how == "compiled" and not benchmark.disabled:
        step = torch.compile(ours.step)
    for side in (theirs.step, step, step):
        side()
    if benchmark.disabled:
        benchmark(step)
        return
    times = [(seconds(step), seconds(theirs.step)) for _ in range(TURNS)]
    ratio = statistics.median(mine / base for mine, base in times)
    best = min(mine for mine, _ in times) / min(base for _, base in times)
    benchmark.extra_info |= {"ratio": ratio, "ratio of minima": best, "most": most}
    with capsys.disabled():
        print(f"\n  {how}, {conv}: ratio {ratio:.2f}, of the minima {best:.2f} (target {most})")
    benchmark.pedantic(step, rounds=3)
    assert ratio <= most, f"median ratio {ratio:.2f} of {TURNS} turns, wanted at most {most}"
