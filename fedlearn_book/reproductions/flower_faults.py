"""A real Flower deployment on this machine, and what happens when its parts die.

A SuperLink and four SuperNodes are processes of their own, started by Flower's commands, on
loopback, with TLS and with a key for every node. In the rehearsal one client answers NaN, one is
too slow, one is killed and started again, and the SuperLink is killed with -9 and started again on
its database. The end is compared with a simulation in which the same clients answered. A second
run deploys the app with writers of MNIST as clients and lets nothing happen to them.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from statistics import median
from typing import Any

import torch

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import run_cells

APP = Path(__file__).parents[2] / "examples" / "flower_digits"
SEEDS = (0, 1, 2)
CLIENTS, ROUNDS, TIMEOUT, LEAST = 4, 8, 40.0, 2
WRITERS = 6
NAN_ROUND, SLOW_ROUND, KILLED_ROUND, SUPERLINK_ROUND = 1, 2, 4, 6
SETTINGS = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "OMP_NUM_THREADS": "1",
    "NO_COLOR": "1",
}


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Make the rehearsal once a seed and store ``flower_faults.json``."""
    del root  # the digits are embedded
    run_cells(
        "flower_faults",
        [{"seed": seed} for seed in SEEDS],
        rehearse,
        folder=folder,
        constants=constants_of(__name__),
        title="A deployment and its faults",
        question="What do a dead client, a wrong one, a slow one and a dead server do to a run?",
        command="python -m fedlearn_book.reproductions flower_faults",
        setting=f"Per-FedAvg on digits, {CLIENTS} clients, {ROUNDS} rounds that wait {TIMEOUT:g} "
        "seconds; Flower with TLS and node authentication, all processes on one machine",
        table=summarize,
        note="What the server wrote down in the first rehearsal, and the largest difference of its "
        "model from a simulation in which the same clients answered, over all rehearsals.",
    )


def summarize(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row an event of the first rehearsal, and one for the end of all."""
    rows = [
        [e["round"], e["event"], ", ".join(map(str, e.get("answered", []))),
         "; ".join(e.get("refused", []))]
        for e in done[0]["result"]["log"]
    ]  # fmt: skip
    gap = max(cell["result"]["gap"] for cell in done)
    rows.append(["end", f"differs from the simulation by {gap:.0e} at most", "", ""])
    return {"columns": ["round", "event", "answers from clients", "refused"], "rows": rows}


def main_writers(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Deploy the app once a seed on MNIST by its writers and store ``flower_writers.json``."""
    run_cells(
        "flower_writers",
        [{"seed": seed} for seed in SEEDS],
        partial(deploy_writers, str(Path(root).expanduser().resolve()) if root else ""),
        folder=folder,
        constants=constants_of(__name__),
        title="A deployment with writers",
        question="Does a deployment with writers of MNIST as clients compute what run computes?",
        command="python -m fedlearn_book.reproductions flower_writers",
        setting=f"Per-FedAvg on MNIST, {WRITERS} writers drawn by the seed, one a node, {ROUNDS} "
        "rounds without a fault; Flower with TLS and node authentication, all processes on one "
        "machine",
        table=summarize_writers,
        note="Largest change of a parameter in training, and the largest difference of the end "
        "from a simulation in this process with the same draws.",
    )


def deploy_writers(root: str, seed: int) -> dict[str, Any]:
    """Run the deployment with writers; return the server's log and its end."""
    config = {"seed": seed, "clients": WRITERS, "rounds": ROUNDS, "timeout": 4 * TIMEOUT,
              "least": WRITERS, "data": "mnist", "root": root}  # fmt: skip
    with tempfile.TemporaryDirectory() as name, deployment(Path(name), WRITERS, {}) as parts:
        parts.finish(parts.run(config), seconds=1200)
        return {"revived": parts.revived, **parts.outcome(config)}


def summarize_writers(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row a seed."""
    rows = []
    for cell in done:
        result = cell["result"]
        log = [e for e in result["log"] if e["event"] == "averaged"]
        rows.append(
            [cell["setting"]["seed"], len(log), sum(len(e["answered"]) for e in log),
             f"{median(e['seconds'] for e in log):.0f}", f"{result['moved']:g}",
             f"{result['gap']:.0e}"]
        )  # fmt: skip
    heads = ["rounds", "answers", "seconds a round", "largest change", "largest difference"]
    return {"columns": ["seed", *heads], "rows": rows}


def rehearse(seed: int) -> dict[str, Any]:
    """Run the deployment with all four faults; return the server's log and its end."""
    faults = {3: f"nan={NAN_ROUND}", 2: f"slow={SLOW_ROUND} delay={TIMEOUT + 20}"}
    config = {"seed": seed, "clients": CLIENTS, "rounds": ROUNDS, "timeout": TIMEOUT,
              "least": LEAST}  # fmt: skip
    with tempfile.TemporaryDirectory() as name, deployment(Path(name), CLIENTS, faults) as parts:
        refused = parts.stranger()
        parts.run(config)
        parts.wait_for(KILLED_ROUND)
        parts.kill("node 1")
        parts.wait_for(KILLED_ROUND + 1)
        parts.start_node(1)
        parts.wait_for(SUPERLINK_ROUND)
        parts.kill("superlink")
        parts.kill("run")
        parts.start_superlink()
        parts.finish(parts.run(config))
        return {"stranger": refused, "revived": parts.revived, **parts.outcome(config)}


class Deployment:
    """The processes of a federation, by name, and the folder with what they write."""

    def __init__(self, home: Path, clients: int, faults: dict[int, str]) -> None:
        self.home, self.clients, self.faults = home, clients, faults
        self.revived: list[int] = []  # nodes that ended by themselves and were started again
        self.port, self.processes = _free_port(), dict[str, subprocess.Popen[bytes]]()
        self.environment = {**os.environ, **SETTINGS, "FLWR_HOME": str(home / "flwr")}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        certify(home)
        (home / "flwr").mkdir()
        (home / "flwr" / "config.toml").write_text(
            '[superlink]\ndefault = "here"\n\n[superlink.here]\n'
            f'address = "127.0.0.1:{self.port}"\nroot-certificates = "{home / "ca.pem"}"\n'
        )

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start one of Flower's commands; what it says goes to a file of its name."""
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment, cwd=self.home,
                start_new_session=True,
            )  # fmt: skip
        self.processes[name] = process
        return process

    def start_superlink(self) -> None:
        home = self.home
        self.start(
            "superlink", "flower-superlink", "--ssl-ca-certfile", str(home / "ca.pem"),
            "--ssl-certfile", str(home / "server.pem"), "--ssl-keyfile", str(home / "server.key"),
            "--enable-supernode-auth", "--database", str(home / "superlink.db"),
            "--disable-runtime-dependency-installation", "--port", str(self.port),
        )  # fmt: skip
        _until(lambda: _answers(self.port), 90, f"the SuperLink, which said {self.said()}")

    def start_node(self, i: int) -> None:
        folder = self.home / f"client {i}"
        folder.mkdir(exist_ok=True)
        facts = f"client={i} home='\"{folder}\"' {self.faults.get(i, '')}".replace("'", "")
        self.start(
            f"node {i}", "flower-supernode", "--root-certificates", str(self.home / "ca.pem"),
            "--superlink", f"127.0.0.1:{self.port}", "--port", str(_free_port()),
            "--auth-supernode-private-key", str(self.home / f"node{i}.key"),
            "--node-config", facts.strip(),
        )  # fmt: skip

    def revive(self) -> None:
        """Start nodes again that ended by themselves, as the supervisor of a machine does."""
        for i in range(self.clients):
            process = self.processes.get(f"node {i}")
            if process is not None and process.poll() is not None:
                self.revived.append(i)
                self.start_node(i)

    def finish(self, process: subprocess.Popen[bytes], seconds: float = 600) -> None:
        """Wait for the end of a run and keep its nodes alive; a run that fails is an error."""

        def ended() -> bool:
            self.revive()
            return process.poll() is not None

        _until(ended, seconds, "the end of the run")
        # Flower's command ends well also where an app could not even be imported.
        if process.returncode or not (self.home / "server.pt").exists():
            raise RuntimeError(f"the run failed: {self.said()}")

    def stranger(self) -> str:
        """Start a node whose key nobody registered; return the last that it says."""
        self.start(
            "stranger", "flower-supernode", "--root-certificates", str(self.home / "ca.pem"),
            "--superlink", f"127.0.0.1:{self.port}", "--port", str(_free_port()),
            "--auth-supernode-private-key", str(self.home / "node7.key"), "--max-retries", "1",
        )  # fmt: skip
        code = self.processes["stranger"].wait(timeout=90)
        found = re.search(r"Failed[^\n]*", (self.home / "stranger.log").read_text())
        return f"exit code {code}: {found.group() if found else 'no words'}"

    def register(self) -> None:
        for i in range(self.clients):
            key = str(self.home / f"node{i}.pub")
            done = subprocess.run(
                ["flwr", "supernode", "register", key, "here"], env=self.environment, check=False,
                capture_output=True, text=True, cwd=self.home,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"node {i} was not registered: {done.stdout}{done.stderr}")

    def run(self, config: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Start ``flwr run`` with this configuration."""
        given = {**config, "home": str(self.home)}
        words = " ".join(f"{k}={json.dumps(v)}" for k, v in given.items())
        return self.start("run", "flwr", "run", str(APP), "here", "--stream", "--run-config", words)

    def kill(self, name: str) -> None:
        """Kill a process and its children with -9: nothing is closed and nobody is told."""
        process = self.processes.pop(name)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self) -> list[dict[str, Any]]:
        file = self.home / "log.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def wait_for(self, r: int, seconds: float = 300) -> None:
        """Wait until the server has finished round r - 1, so that it is in round r."""

        def there() -> bool:
            self.revive()
            return any(e["round"] >= r - 1 for e in self.log())

        _until(there, seconds, f"round {r}")

    def said(self) -> str:
        texts = [file.read_text(errors="replace")[-1500:] for file in self.home.glob("*.log")]
        return "\n---\n".join(texts)

    def outcome(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the log, and how far the end is from a simulation with the same answers."""
        from fedlearn_lib.federated.resume import read_tree

        w, log = read_tree(self.home / "server.pt")["state"]["w"], self.log()
        simulated = simulation(config, log)
        start = app().federation({"method": "perfedavg", **config}).w0
        gap, moved = (
            max(float((w[k] - other[k]).abs().max()) for k in w) for other in (simulated, start)
        )
        return {"log": log, "gap": gap, "moved": round(moved, 3)}

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)


@contextmanager
def deployment(home: Path, clients: int, faults: dict[int, str]) -> Iterator[Deployment]:
    """Start a SuperLink and the nodes, each registered by its key; end them whatever happens."""
    if not APP.is_dir():
        raise FileNotFoundError(
            f"the app was not found in {APP}; run this in a checkout of the book's repository"
        )
    if importlib.util.find_spec("flwr") is None:
        raise ImportError(
            'this needs Flower; get it with pip install "fedlearn_lib[flower]", in an environment '
            "of its own"
        )
    parts = Deployment(home, clients, faults)
    try:
        parts.start_superlink()
        parts.register()
        for i in range(clients):
            parts.start_node(i)
        yield parts
    finally:
        parts.stop()


def simulation(config: dict[str, Any], log: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Run the averaged rounds of a log in this process: the same clients, the same draws."""
    from fedlearn_lib import map_clients
    from fedlearn_lib.engines.flower import round_generator
    from fedlearn_lib.trees import weighted_sum

    of = app().federation({"method": "perfedavg", **config})
    state = of.algorithm.init(of.w0)
    averaged = {e["round"]: e for e in log if e["event"] == "averaged"}
    for _, entry in sorted(averaged.items()):  # of a round that was lost and repeated, the last
        ids = torch.tensor(entry["answered"])
        batches = of.clients.draw(
            torch.arange(of.clients.m), steps=of.steps, draws=of.algorithm.draws, batch=of.batch,
            generator=round_generator(of.seed, state.round),
        )  # fmt: skip
        mine = (batches[0][ids], batches[1][ids])
        messages = map_clients(of.algorithm.client, of.algorithm.send(state), mine)
        state = of.algorithm.server(state, weighted_sum(messages, of.clients.weights(ids)))
    found: dict[str, torch.Tensor] = state.w
    return found


def app() -> Any:
    """Load the app of the example as a module."""
    spec = importlib.util.spec_from_file_location("digits_app", APP / "digits_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def certify(home: Path, address: str = "127.0.0.1", *, days: int = 2) -> None:
    """Write a certificate for the server at this address, and keys for each of eight nodes.

    The certificates hold for so many ``days``, by the clocks of all machines; private keys can be
    read by their owner only.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    today = datetime.datetime.now(datetime.UTC)
    hosts = sorted({ip_address("127.0.0.1"), ip_address(address)})

    def certificate(name: str, key: Any, issuer: str, signer: Any, ca: bool) -> Any:
        titles = [
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n)]) for n in (name, issuer)
        ]
        return (
            x509.CertificateBuilder().subject_name(titles[0]).issuer_name(titles[1])
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(hours=1))
            .not_valid_after(today + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName("localhost"), *map(x509.IPAddress, hosts)]
                ),
                critical=False,
            )
            .sign(signer, hashes.SHA256())
        )  # fmt: skip

    root, server = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    for name, made in {
        "ca.pem": certificate("book CA", root, "book CA", root, True),
        "server.pem": certificate("localhost", server, "book CA", root, False),
    }.items():
        (home / name).write_bytes(made.public_bytes(pem))
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    _write_secret(home / "server.key", server.private_bytes(pem, traditional, none))
    for i in range(8):
        key = ec.generate_private_key(ec.SECP384R1())
        private = key.private_bytes(pem, serialization.PrivateFormat.OpenSSH, none)
        _write_secret(home / f"node{i}.key", private)
        public = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        (home / f"node{i}.pub").write_bytes(public)


def _write_secret(file: Path, content: bytes) -> None:
    """Write a private key that only its owner may read."""
    file.touch(mode=0o600)
    file.write_bytes(content)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _until(true: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} seconds for {what}")
        time.sleep(0.2)
