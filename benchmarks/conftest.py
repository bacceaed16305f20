"""Ratios that a noisy machine cannot fake: both sides take turns in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from threadpoolctl import threadpool_limits

Work = Callable[[], object]


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def with_threads(threads: int, work: Work) -> Work:
    def wrapped() -> None:
        torch.set_num_threads(threads)
        work()

    return wrapped


def alone(work: Work) -> Work:
    """Run on one core, in torch and in NumPy's libraries."""

    def on_one_core() -> object:
        torch.set_num_threads(1)
        with threadpool_limits(1):
            return work()

    return on_one_core


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def compare(benchmark, capsys):
    """Time baseline and ours in turns; the median of the paired ratios must reach ``least``.

    The baseline runs with one and with two threads, and the faster of the two counts.
    """

    def run(baseline: Work, ours: Work, *, least: float, turns: int = 9) -> None:
        sides = [with_threads(1, baseline), with_threads(2, baseline), with_threads(2, ours)]
        for side in sides:
            side()
        if benchmark.disabled:
            benchmark(ours)
            return
        times = [[seconds(side) for side in sides] for _ in range(turns)]
        ratios = sorted(min(one, two) / mine for one, two, mine in times)
        middle = statistics.median(ratios)
        quartiles = statistics.quantiles(ratios, n=4)
        best = min(min(one, two) for one, two, _ in times) / min(mine for *_, mine in times)
        benchmark.extra_info |= {
            "ratio": middle,
            "quartiles": quartiles[::2],
            "minima": best,
            "least": least,
        }
        with capsys.disabled():
            print(f"\n  ratio {middle:.2f} (quartiles {quartiles[0]:.2f} to {quartiles[2]:.2f}, "
                  f"of the minima {best:.2f}, target {least})")  # fmt: skip
        benchmark.pedantic(sides[2], rounds=3)
        assert middle >= least, f"median ratio {middle:.2f} of {turns} turns, wanted {least}"

    return run
