"""The peak memory of ``run`` belongs to the cohort: a thousand times the clients, the same peak."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, resource, sys, tracemalloc, torch
from fedlearn_lib import GaussianPopulation, fedavg, gradient, logistic, loss_of, parameters_of, run
m, cohort = int(sys.argv[1]), int(sys.argv[2])
model = logistic(200, 2)
def go(m, cohort):
    run(fedavg(gradient(loss_of(model)), lr=0.1), parameters_of(model),
        GaussianPopulation(m=m, d=200), rounds=3, cohort=cohort, steps=10, batch=20,
        generator=torch.Generator().manual_seed(0))
torch.set_num_threads(1)
go(10, 10)
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tracemalloc.start()
go(m, cohort)
rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
print(json.dumps({"rss": rss / 1024, "python": tracemalloc.get_traced_memory()[1] / 2**20}))
"""


def peak(m: int, cohort: int) -> dict[str, float]:
    """Megabytes above the warm start, of the process and of Python's objects."""
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(m), str(cohort)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    result: dict[str, float] = json.loads(out.stdout)
    return result


def test_memory(benchmark, capsys) -> None:
    few, many, wide = peak(1_000, 50), peak(1_000_000, 50), peak(1_000, 500)
    vast = peak(100_000_000, 50)
    benchmark.extra_info |= {"few": few, "many": many, "vast": vast, "wide": wide}
    with capsys.disabled():
        print(
            f"\n  MB: m=1,000 {few}; m=1,000,000 {many}; m=100,000,000 {vast}; "
            f"m=1,000 with cohort 500 {wide}"
        )
    benchmark.pedantic(lambda: None, rounds=1)
    assert many["rss"] < few["rss"] + 8
    assert vast["rss"] < few["rss"] + 50  # one number for each client would be 800 MB
    assert many["python"] < few["python"] + 1
    assert wide["rss"] > few["rss"] + 50  # the measurement sees memory where it is used
