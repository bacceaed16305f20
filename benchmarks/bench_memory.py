"""The peak memory of ``run`` belongs to a part of a cohort: more clients, the same peak.

And clients of very different size take the memory of their samples.
"""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, re, sys, tracemalloc, torch
from pathlib import Path
from fedlearn_lib import fedavg, gradient, logistic, loss_of, parameters_of, run
from fedlearn_lib.data import GaussianPopulation
from fedlearn_lib.federated import mapping
m, cohort, mapping.DRAWN = (int(word) for word in sys.argv[1:])
model = logistic(200, 2)
def go(m, cohort):
    run(fedavg(gradient(loss_of(model)), lr=0.1), parameters_of(model),
        GaussianPopulation(m=m, d=200), rounds=3, cohort=cohort, steps=10, batch=20,
        generator=torch.Generator().manual_seed(0))
def peak():  # of this process alone; getrusage would count that of the parent, too
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
torch.set_num_threads(1)
go(10, 10)
start = peak()
tracemalloc.start()
go(m, cohort)
rss = peak() - start
print(json.dumps({"rss": rss / 1024, "python": tracemalloc.get_traced_memory()[1] / 2**20}))
"""


RAGGED = """
import json, re, torch
from pathlib import Path
from fedlearn_lib import fedavg, gradient, logistic, loss_of, parameters_of, run
from fedlearn_lib.data import FlatClients
model = logistic(784, 10)
def go(sizes):
    n = sum(sizes)
    clients = FlatClients.of(torch.rand(n, 784), torch.arange(n) % 10, torch.arange(n).split(sizes))
    run(fedavg(gradient(loss_of(model)), lr=0.1), parameters_of(model), clients, rounds=3,
        cohort=20, steps=10, batch=20, generator=torch.Generator().manual_seed(0))
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
torch.set_num_threads(1)
go([10] * 20)
start = peak()
go([20_000] + [1] * 200)
print(json.dumps((peak() - start) / 1024))
"""


def test_clients_of_very_different_size(benchmark, capsys) -> None:
    """One client of 20,000 images and 200 of one: 63 MB of images, padded 12.6 GB."""
    out = subprocess.run([sys.executable, "-c", RAGGED], check=True, capture_output=True, text=True)
    mb = benchmark.extra_info["MB"] = float(json.loads(out.stdout))
    with capsys.disabled():
        print(f"\n  MB: {mb:.0f}")
    benchmark.pedantic(lambda: None, rounds=1)
    assert 100 < mb < 200  # the pool of images, the clients' copy, and a part of a cohort


def peak(m: int, cohort: int, drawn: int = 2**25) -> dict[str, float]:
    """Megabytes above the warm start, of the process and of Python's objects."""
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(m), str(cohort), str(drawn)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    result: dict[str, float] = json.loads(out.stdout)
    return result


def test_memory(benchmark, capsys) -> None:
    asked = {
        "50 of 1,000": (1_000, 50),
        "50 of 1,000,000": (1_000_000, 50),
        "50 of 100,000,000": (100_000_000, 50),
        "1,000 of 10,000": (10_000, 1_000),
        "5,000 of 10,000": (10_000, 5_000),
        "1,000 of 10,000 at once": (10_000, 1_000, 2**40),
    }
    seen = {name: peak(*which) for name, which in asked.items()}
    benchmark.extra_info |= seen
    with capsys.disabled():
        print("\n  MB:", "; ".join(f"{name} {mb}" for name, mb in seen.items()))
    benchmark.pedantic(lambda: None, rounds=1)
    rss, python = ({name: mb[kind] for name, mb in seen.items()} for kind in ("rss", "python"))
    assert rss["50 of 1,000,000"] < rss["50 of 1,000"] + 8
    assert rss["50 of 100,000,000"] < rss["50 of 1,000"] + 50  # a number a client would be 800 MB
    assert python["50 of 1,000,000"] < python["50 of 1,000"] + 1
    assert rss["5,000 of 10,000"] < rss["1,000 of 10,000"] + 30  # the batches are 790 MB
    assert rss["1,000 of 10,000 at once"] > 150  # the measurement sees memory where it is used
