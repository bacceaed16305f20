r"""The same algorithms on Flower: real clients, real messages, and what goes wrong with them.

A Flower app of two lines a side calls :func:`client_app` and :func:`server_app` with a function
that makes a :class:`Federation` from the run's configuration. Nothing here imports Flower before
one of the two is called.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers
from fedlearn_lib.data.clients import Clients
from fedlearn_lib.engines.torch_dist import Shard
from fedlearn_lib.federated._population import outline
from fedlearn_lib.federated.algorithm import Algorithm
from fedlearn_lib.federated.resume import read_tree, write_tree
from fedlearn_lib.trees import Params, axpy

if TYPE_CHECKING:
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp

__all__ = ["Federation", "client_app", "round_generator", "server_app"]

Config = Mapping[str, Any]


class Federation(NamedTuple):
    """What server and clients agree on before the first round.

    ``seed`` decides all draws: client i draws in round r what it draws in
    ``run(…, rounds=1, generator=round_generator(seed, r))``, so that a round can be repeated.
    """

    algorithm: Algorithm[Any, Any]
    w0: Params
    clients: Clients
    steps: int
    batch: int | None
    seed: int


@checked()
def round_generator(seed: int, r: int) -> torch.Generator:
    """Return the generator of round r: a function of the seed and the round, of nothing else.

    >>> int(torch.randint(100, (), generator=round_generator(0, 3))) == int(
    ...     torch.randint(100, (), generator=round_generator(0, 3)))
    True
    """
    check_integers(0, seed=seed, r=r)
    if seed > 2**40 or r > 1_000_000:
        raise ValueError(
            f"seed must be at most 2**40 and r at most a million, got {seed} and {r}; lower them"
        )
    return torch.Generator().manual_seed(1_000_003 * int(seed) + int(r))


def answer(of: Federation, i: int, r: int, sent: Params, own: Params | None) -> Any:
    """Return what client i answers in round r: a message, or the pair of it and what it keeps.

    This is what a node computes; no part of Flower is in it.
    """
    x, y = Shard(of.clients, i, i + 1).draw(
        torch.tensor([0]), steps=of.steps, draws=of.algorithm.draws, batch=of.batch,
        generator=round_generator(of.seed, r),
    )  # fmt: skip
    given = (sent,) if own is None else (sent, own)
    return of.algorithm.client(*given, (x[0], y[0]))


def sound(message: Params, like: Params) -> str:
    """Say in words why a message may not enter the mean; nothing if it may.

    >>> w = {"w": torch.zeros(2)}
    >>> sound({"w": torch.tensor([1.0, torch.nan])}, w)
    'NaN or infinity in w'
    >>> sound({"w": torch.ones(2)}, w)
    ''
    """
    shapes = [{k: tuple(v.shape) for k, v in tree.items()} for tree in (message, like)]
    if shapes[0] != shapes[1]:
        return f"leaves {shapes[0]} in the place of {shapes[1]}"
    bad = [k for k, v in message.items() if not bool(v.isfinite().all())]
    return f"NaN or infinity in {', '.join(bad)}" if bad else ""


def mean_of(messages: Mapping[int, Params], p: Tensor) -> Params:
    r"""Return $\sum_ip_ix_i/\sum_ip_i$ over the clients that have answered.

    >>> mean_of({0: {"w": torch.ones(1)}, 2: {"w": torch.zeros(1)}}, torch.tensor([0.5, 0.2, 0.3]))
    {'w': tensor([0.6250])}
    """
    total = sum(float(p[i]) for i in messages)
    mean: Params = {}
    for i in sorted(messages):
        share = float(p[i]) / total
        some = {k: share * v for k, v in messages[i].items()}
        mean = axpy(1.0, some, mean) if mean else some
    return mean


def client_app(make: Callable[[Config], Federation]) -> ClientApp:
    """Return the app of a node, which is the client ``node-config client=i`` of the federation.

    What the client keeps between rounds (``algorithm.own``) lies in files in a folder of its own,
    ``node-config home="…"``, one for every round that it has computed. The server says which of
    them was the last whose answer entered the mean, and from what was kept after that one the
    client goes on: a node that dies loses nothing, a round that is repeated is paid once, and a
    round whose answer came too late is not paid at all. A new federation needs a new folder.
    """
    flower = _flower()
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.train()  # type: ignore[untyped-decorator]
    def train(message: Any, context: Any) -> Any:
        of, node = make(context.run_config), context.node_config
        task, i = message.content["task"], int(node["client"])
        r, last = int(task["round"]), int(task["entered"][i])
        sent = _params(message.content["sent"])
        home, own = Path(str(node["home"])), None
        if of.algorithm.own is not None:
            own = of.algorithm.own(of.w0) if last < 0 else kept_after(home, last)
        found = answer(of, i, r, sent, own)
        if own is not None:
            found, after = found
            write_tree(home / f"own-{r}.pt", after)
        found = _fault(node, r, found)
        content = {
            "message": flower.ArrayRecord(found),
            "task": flower.ConfigRecord({"client": i, "round": r}),
        }
        return flower.Message(flower.RecordDict(content), reply_to=message)

    return app


def kept_after(home: Path, r: int) -> Params:
    """Return what a client kept after round r, and delete what it kept after earlier ones."""
    file = home / f"own-{r}.pt"
    if not file.exists():
        raise FileNotFoundError(
            f"{file} is missing, but the answer of round {r} entered the mean; restore the folder "
            "of this client, or begin a new federation with new folders"
        )
    for old in home.glob("own-*.pt"):
        if int(old.stem.partition("-")[2]) < r:  # the server never asks for an earlier one again
            old.unlink()
    return read_tree(file)


def _fault(node: Config, r: int, message: Params) -> Params:
    """Break an answer as a rehearsal asks: ``node-config nan=2`` and ``slow=3`` name rounds."""
    if int(node.get("nan", -1)) == r:
        return {k: v * torch.nan for k, v in message.items()}
    if int(node.get("slow", -1)) == r:
        time.sleep(float(node.get("delay", 60)))
    return message


def server_app(make: Callable[[Config], Federation]) -> ServerApp:
    """Return the app of the server: rounds that survive what clients and machines do.

    The run's configuration says ``rounds``, ``home`` (a folder), ``timeout`` (seconds a round
    waits for nodes, and again for answers) and ``least`` (answers without which a round is
    repeated, for as long as it takes). The state is written to ``home`` after every round,
    atomically, with the round in which each client's answer last entered; a new run of the same
    federation goes on from it. ``log.jsonl`` says for every round who answered and who did not,
    and why.
    """
    _flower()
    from flwr.serverapp import ServerApp

    app = ServerApp()

    @app.main()  # type: ignore[untyped-decorator]
    def main(grid: Any, context: Any) -> None:
        config = context.run_config
        of, home = make(config), existing_folder(config["home"])
        state, file = of.algorithm.init(of.w0), home / "server.pt"
        entered, mark = [-1] * of.clients.m, _mark(of, config)
        seen: dict[int, int] = {}
        if file.exists():
            stored = read_tree(file)
            check_mark(file, stored["mark"], mark)
            state, entered = type(state)(**stored["state"]), stored["entered"]
            _log(home, round=state.round, event="goes on from the file")
        while state.round < int(config["rounds"]):
            began, sent = time.monotonic(), of.algorithm.send(state)
            good, bad = _ask(grid, of, state.round, sent, config, seen, entered)
            entry = {"answered": sorted(good), "refused": bad,
                     "seconds": round(time.monotonic() - began, 1)}  # fmt: skip
            if len(good) < int(config["least"]):
                _log(home, round=state.round, event="too few answers, repeated", **entry)
                continue
            _log(home, round=state.round, event="averaged", **entry)
            entered = [state.round if i in good else k for i, k in enumerate(entered)]
            state = of.algorithm.server(state, mean_of(good, of.clients.p))
            write_tree(file, {"state": state._asdict(), "entered": entered, "mark": mark})

    return app


def existing_folder(home: Any) -> Path:
    """Return the folder that a configuration names as ``home``; it must be there.

    >>> existing_folder(".") == Path(".")
    True
    """
    folder = Path(str(home))
    if not folder.is_dir():
        raise FileNotFoundError(
            f"home must be a folder that is there, got {str(home)!r}; make it, or correct the name"
        )
    return folder


def _mark(of: Federation, config: Config) -> dict[str, Any]:
    """Return what a run must have in common with the file that it goes on from.

    From the configuration all but how long to run, how long to wait, and where.
    """
    free = ("rounds", "timeout", "least", "home")
    return {
        "run": {name: config[name] for name in sorted(config) if name not in free},
        "seed": of.seed,
        "clients": of.clients.m,
        "steps": of.steps,
        "batch": of.batch,
        "draws": of.algorithm.draws,
        "state": str(outline(of.algorithm.init(of.w0))),
    }


def check_mark(file: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse to go on from the file of another federation."""
    if odd := [name for name in new if old.get(name) != new[name]]:
        raise ValueError(
            f"home must be the folder of this federation or a new one, got {file}, which differs "
            f"in {odd}; run with the first run's configuration, or name another folder"
        )


def _ask(
    grid: Any,
    of: Federation,
    r: int,
    sent: Params,
    config: Config,
    seen: dict[int, int],
    entered: list[int],
) -> tuple[dict[int, Params], list[str]]:
    """Send to every node that is there, wait, and return sound answers and what was wrong.

    ``seen`` holds the client of each node that has ever answered, and is filled here.
    """
    flower = _flower()
    content = {
        "sent": flower.ArrayRecord(sent),
        "task": flower.ConfigRecord({"round": r, "entered": entered}),
    }
    wait = float(config["timeout"])
    until = time.monotonic() + wait
    while len(nodes := list(grid.get_node_ids())) < of.clients.m and time.monotonic() < until:
        time.sleep(0.5)
    asked = [
        flower.Message(flower.RecordDict(content), dst_node_id=node, message_type="train", ttl=wait)
        for node in nodes
    ]
    replies = list(grid.send_and_receive(asked, timeout=wait))
    answers: dict[int, list[Params]] = {}
    bad: list[str] = []
    silent = set(nodes)
    for reply in replies:
        node = reply.metadata.src_node_id
        if node not in silent:
            continue  # the SuperLink's word about a node that is gone or late: it stays silent
        silent.remove(node)
        if reply.has_error():
            who = seen.get(node, "unknown")
            bad.append(f"client {who}: failed ({reply.error.reason})")
            continue
        i = seen[node] = int(reply.content["task"]["client"])
        answers.setdefault(i, []).append(_params(reply.content["message"]))
    good, refused = sorted_out(answers, sent, of.clients.m)
    bad += refused + [f"client {seen.get(n, 'unknown')}: no answer in time" for n in sorted(silent)]
    strangers = sum(node not in seen for node in nodes)  # never heard: any client's node
    heard = {seen[node] for node in nodes if node in seen}
    absent = len(set(range(of.clients.m)) - heard) - strangers
    return good, bad + ([f"{absent} not connected"] if absent > 0 else [])


def sorted_out(
    answers: Mapping[int, list[Params]], like: Params, m: int
) -> tuple[dict[int, Params], list[str]]:
    """Return the answers that may enter the mean, by client, and what is wrong with the others.

    Which client a node is, it says itself. So two nodes may give the same number; then nobody
    knows whose answer it is, and neither enters.

    >>> w = {"w": torch.zeros(1)}
    >>> good, bad = sorted_out({0: [w], 1: [w, w], 7: [w]}, w, m=4)
    >>> list(good), bad
    ([0], ['client 1: answers from 2 nodes', 'client 7: clients are 0 to 3'])
    """
    good: dict[int, Params] = {}
    bad = []
    for i, own in sorted(answers.items()):
        why = sound(own[0], like)
        if i not in range(m):
            why = f"clients are 0 to {m - 1}"
        elif len(own) > 1:
            why = f"answers from {len(own)} nodes"
        if why:
            bad.append(f"client {i}: {why}")
        else:
            good[i] = own[0]
    return good, bad


def _log(home: Path, **entry: Any) -> None:
    with (home / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def _params(record: Any) -> Params:
    return dict(record.to_torch_state_dict())


def _flower() -> Any:
    try:
        import flwr.app
    except ImportError as error:
        raise ImportError(
            "this needs Flower, which is not installed; get it with "
            'pip install "fedlearn_lib[flower]"'
        ) from error
    return flwr.app
