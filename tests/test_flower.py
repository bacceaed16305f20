"""Flower: what a node and a server compute, without Flower; and a short real deployment with it."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from toy_clients import ragged_clients

from fedlearn_book.reproductions import flower_faults
from fedlearn_lib import Params, gradient, logistic, loss_of, parameters_of, perfedavg, run
from fedlearn_lib.data import Dataset
from fedlearn_lib.engines import flower
from fedlearn_lib.engines.flower import Federation, answer, kept_after, mean_of, round_generator
from fedlearn_lib.federated import personal_path, scaffold
from fedlearn_lib.federated.resume import read_tree, write_tree

MODEL = logistic(4, 3).double()
LOSS = loss_of(MODEL)
METHODS: dict[str, Any] = {
    "Per-FedAvg": perfedavg(LOSS, alpha=0.1, beta=0.2),
    "SCAFFOLD": scaffold(gradient(LOSS), lr=0.2),
    "path": personal_path(gradient(LOSS), kappa=2.0, lr=0.3),
}
MISSING = importlib.util.find_spec("flwr") is None


def federation(name: str) -> Federation:
    return Federation(
        METHODS[name], parameters_of(MODEL), ragged_clients([5, 3, 8, 2]), steps=3, batch=2, seed=7
    )


def asked(of: Federation, home: Path, i: int, r: int, sent: Params, last: int) -> Params:
    """What the app of node i does in round r: begin with what was kept after round ``last``."""
    home.mkdir(exist_ok=True)
    if of.algorithm.own is None:
        return answer(of, i, r, sent, None)
    own = kept_after(home, last) if last >= 0 else of.algorithm.own(of.w0)
    message, after = answer(of, i, r, sent, own)
    write_tree(home / f"own-{r}.pt", after)
    return message


@pytest.mark.parametrize("name", METHODS)
def test_nodes_and_server_compute_the_rounds_of_run(name: str, tmp_path: Path) -> None:
    """Proposition 16.6: every round is asked twice, as after a server's death; it counts once."""
    of = federation(name)
    state, simulated = of.algorithm.init(of.w0), None
    for r in range(4):
        for _ in range(2):
            sent = of.algorithm.send(state)
            good = {i: asked(of, tmp_path / str(i), i, r, sent, r - 1) for i in range(of.clients.m)}
        state = of.algorithm.server(state, mean_of(good, of.clients.p))
        simulated, _ = run(
            of.algorithm, of.w0, of.clients, rounds=1, steps=of.steps, batch=of.batch,
            generator=round_generator(of.seed, r), state=simulated,
        )  # fmt: skip
    for k in of.w0:
        torch.testing.assert_close(state.w[k], simulated.w[k], rtol=0, atol=1e-12)
        assert not torch.equal(state.w[k], of.w0[k])


LATE = {1: (2,), 2: (0, 2), 3: (1,)}  # round -> clients whose answers come too late
DEAD = {2: (1,)}  # and those that compute nothing


@pytest.mark.parametrize("name", METHODS)
def test_an_answer_that_comes_too_late_is_not_paid(name: str, tmp_path: Path) -> None:
    """Proposition 16.6: only whose answers entered counts, not who computed one."""
    of, m = federation(name), 4
    state, simulated, entered = (of.algorithm.init(of.w0),) * 2 + ([-1] * m,)
    owns = {i: of.algorithm.own(of.w0) if of.algorithm.own else None for i in range(m)}
    for r in range(5):
        sent, good = of.algorithm.send(state), {}
        for i in set(range(m)) - set(DEAD.get(r, ())):
            message = asked(of, tmp_path / str(i), i, r, sent, entered[i])
            if i not in LATE.get(r, ()):
                good[i] = message
        entered = [r if i in good else k for i, k in enumerate(entered)]
        state = of.algorithm.server(state, mean_of(good, of.clients.p))
        whole = {}  # the simulation: those who are not in the mean do not exist
        for i in good:
            found = answer(of, i, r, of.algorithm.send(simulated), owns[i])
            whole[i], owns[i] = found if owns[i] is not None else (found, None)
        simulated = of.algorithm.server(simulated, mean_of(whole, of.clients.p))
    for k in of.w0:
        torch.testing.assert_close(state.w[k], simulated.w[k], rtol=0, atol=1e-14)


def test_what_is_kept_is_found_by_its_round_and_old_files_go(tmp_path: Path) -> None:
    for r in (0, 1, 2):
        write_tree(tmp_path / f"own-{r}.pt", {"w": torch.tensor(float(r))})
    assert float(kept_after(tmp_path, 1)["w"]) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["own-1.pt", "own-2.pt"]
    with pytest.raises(FileNotFoundError, match="the answer of round 3 entered the mean"):
        kept_after(tmp_path, 3)


def test_a_file_of_another_federation_is_refused() -> None:
    config = {"method": "personal_path", "rounds": 3, "least": 2, "timeout": 9.0, "home": "here"}
    mark = flower._mark(federation("path"), config)
    longer = flower._mark(federation("path"), config | {"rounds": 9, "least": 1, "home": "there"})
    flower.check_mark(Path("server.pt"), mark, longer)
    other = flower._mark(federation("path")._replace(seed=8, steps=4), config)
    with pytest.raises(ValueError, match=r"differs in \['seed', 'steps'\]"):
        flower.check_mark(Path("server.pt"), mark, other)
    method = flower._mark(federation("path"), config | {"method": "fedavg"})
    with pytest.raises(ValueError, match=r"differs in \['run'\]"):
        flower.check_mark(Path("server.pt"), mark, method)


def test_the_servers_folder_must_be_there(tmp_path: Path) -> None:
    assert flower.existing_folder(str(tmp_path)) == tmp_path
    with pytest.raises(FileNotFoundError, match=r"got '.*fed'; make it, or correct the name"):
        flower.existing_folder(tmp_path / "fed")


class Asked:
    """A message of Flower, as far as a round looks at it."""

    def __init__(self, content: Any, dst_node_id: int, **_: Any) -> None:
        self.content, self.node = content, dst_node_id


def reply(one: Asked, client: int, source: int, error: str = "") -> Any:
    return SimpleNamespace(
        has_error=lambda: bool(error), error=SimpleNamespace(reason=error),
        metadata=SimpleNamespace(src_node_id=source),
        content={"task": {"client": client}, "message": one.content["sent"]},
    )  # fmt: skip


class Nodes:
    """Node 10 + i is client i: 0 answers, 1 fails, 2 is lost, as the SuperLink says, 3 is mute."""

    def get_node_ids(self) -> list[int]:
        return [10, 11, 12, 13]

    def send_and_receive(self, asked: list[Asked], timeout: float) -> list[Any]:
        superlink = 1
        return [reply(asked[2], 2, superlink, "no heartbeat"), reply(asked[1], 1, 11, "no file"),
                reply(asked[0], 0, 10)]  # fmt: skip


class Claims:
    """Nodes that all answer, each as the client that it says it is."""

    def __init__(self, *clients: int) -> None:
        self.clients = clients

    def get_node_ids(self) -> list[int]:
        return list(range(10, 10 + len(self.clients)))

    def send_and_receive(self, asked: list[Asked], timeout: float) -> list[Any]:
        return [reply(one, i, one.node) for one, i in zip(asked, self.clients, strict=True)]


@pytest.fixture
def parts_of_flower(monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaves(dict[str, Any]):
        def to_torch_state_dict(self) -> dict[str, Any]:
            return self

    kinds = {"Message": Asked, "RecordDict": dict, "ArrayRecord": Leaves, "ConfigRecord": dict}
    monkeypatch.setattr(flower, "_flower", lambda: SimpleNamespace(**kinds))


@pytest.mark.parametrize(
    ("claims", "good", "bad"),
    [
        ((0, 1, 2, 3), [0, 1, 2, 3], []),
        ((0, 0, 2, 3), [2, 3], ["client 0: answers from 2 nodes", "1 not connected"]),
        ((0, 1, -1, 9), [0, 1],
         ["client -1: clients are 0 to 3", "client 9: clients are 0 to 3", "2 not connected"]),
        ((0, 1, 2, 3, 3), [0, 1, 2], ["client 3: answers from 2 nodes"]),
        ((1, 3), [1, 3], ["2 not connected"]),
    ],
)  # fmt: skip
def test_a_node_that_gives_a_wrong_number_does_not_enter(
    claims: tuple[int, ...], good: list[int], bad: list[str], parts_of_flower: None
) -> None:
    of, seen = federation("Per-FedAvg"), dict[int, int]()
    found = flower._ask(Claims(*claims), of, 0, of.w0, {"timeout": 0.01}, seen, [-1] * 4)
    assert (list(found[0]), found[1]) == (good, bad)


def test_each_missing_client_is_named_once(parts_of_flower: None) -> None:
    of, seen = federation("Per-FedAvg"), {11: 1, 12: 2, 13: 3}
    good, bad = flower._ask(Nodes(), of, 3, of.w0, {"timeout": 0.01}, seen, [2] * 4)
    assert list(good) == [0]
    assert seen == {10: 0, 11: 1, 12: 2, 13: 3}
    assert bad == [
        "client 1: failed (no file)", "client 2: no answer in time", "client 3: no answer in time",
    ]  # fmt: skip


def test_the_mean_of_those_who_answered() -> None:
    x = {i: {"w": torch.tensor([float(i)])} for i in (0, 3)}
    found = mean_of(x, torch.tensor([0.2, 0.3, 0.1, 0.4]))["w"]
    torch.testing.assert_close(found, torch.tensor([3 * 0.4 / 0.6]))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"w": torch.tensor([1.0, torch.inf])}, "NaN or infinity in w"),
        ({"w": torch.ones(3)}, "leaves {'w': (3,)} in the place of {'w': (2,)}"),
        ({"v": torch.ones(2)}, "in the place of"),
        ({"w": torch.ones(2)}, ""),
    ],
)
def test_what_may_not_enter_the_mean(message: Any, words: str) -> None:
    found = flower.sound(message, {"w": torch.zeros(2)})
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize("make", [flower.client_app, flower.server_app])
def test_without_flower_the_words_say_how_to_get_it(make: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "flwr", None)
    monkeypatch.setitem(sys.modules, "flwr.app", None)
    with pytest.raises(ImportError, match=r"pip install .fedlearn_lib\[flower\]"):
        make(lambda config: federation("path"))


def test_a_client_of_the_app_may_be_a_writer_of_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five writers with two images each: every client holds the images of one, by the seed."""
    app = flower_faults.app()
    x = torch.arange(10.0).view(10, 1, 1).expand(10, 28, 28) / 10
    toy = Dataset(x, torch.arange(10), torch.arange(10) // 2, "toy")
    monkeypatch.setattr(app, "load", lambda name, root: toy)
    config = {"data": "mnist", "clients": 3, "seed": 0, "method": "perfedavg"}
    of = app.federation(config)
    writers = [sorted(set((of.clients.data(i)[1] // 2).tolist())) for i in range(3)]
    assert [len(one) for one in writers] == [1, 1, 1]
    assert len({one[0] for one in writers}) == 3
    assert of.w0["1.weight"].shape == (10, 784)
    assert of.clients.x.dtype == of.w0["1.weight"].dtype == torch.float64
    message = answer(of, 1, 0, of.w0, None)
    assert float(message["1.weight"].abs().max()) > 0
    again, other = (app.federation(config | {"seed": seed}).clients.y for seed in (0, 1))
    assert torch.equal(again, of.clients.y)
    assert not torch.equal(other, of.clients.y)
    for wrong, words in [({"clients": 6}, "at most 5"), ({"data": "cifar"}, '"digits" or "mnist"')]:
        with pytest.raises(ValueError, match=words):
            app.federation(config | wrong)
    monkeypatch.setattr(app, "load", lambda name, root: toy._replace(client=None))
    with pytest.raises(FileNotFoundError, match="QMNIST's label tables"):
        app.federation(config)


def test_the_configuration_of_the_app_is_that_of_the_simulation() -> None:
    """``flwr run`` refuses keys that the app does not name; without them the digits are dealt."""
    text = (flower_faults.APP / "pyproject.toml").read_text(encoding="utf-8")
    named = tomllib.loads(text)["tool"]["flwr"]["app"]["config"]
    assert {"data", "root"} <= named.keys()
    given, short = (flower_faults.app().federation(one) for one in (
        named, {"method": "perfedavg", "clients": 4, "seed": 0}))  # fmt: skip
    assert torch.equal(given.clients.y, short.clients.y)
    assert given.w0["1.weight"].shape == (10, 64)


def test_the_simulation_of_a_log_takes_who_answered() -> None:
    config = {"seed": 0, "clients": 3}
    logs = [
        [{"round": 0, "event": "averaged", "answered": who, "refused": []}]
        for who in ([0, 1, 2], [0, 2])
    ]
    full, part = (flower_faults.simulation(config, log) for log in logs)
    assert not torch.equal(full["1.weight"], part["1.weight"])
    repeated = [{"round": 0, "event": "too few answers, repeated"}, *logs[1], *logs[0]]
    again = flower_faults.simulation(config, repeated)
    assert torch.equal(full["1.weight"], again["1.weight"])


@pytest.mark.skipif(
    importlib.util.find_spec("cryptography") is None, reason="needs cryptography, as Flower does"
)
def test_a_certificate_names_the_servers_address_and_keys_are_private(tmp_path: Path) -> None:
    from cryptography import x509

    flower_faults.certify(tmp_path, "192.168.7.20", days=30)
    found = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "192.168.7.20" in map(str, names.get_values_for_type(x509.IPAddress))
    assert 30 <= (found.not_valid_after_utc - found.not_valid_before_utc).days <= 31
    for file in tmp_path.glob("*.key"):
        assert file.stat().st_mode & 0o077 == 0


REAL = pytest.mark.skipif(
    MISSING, reason='Flower is not installed: pip install "fedlearn_lib[flower]", elsewhere'
)


@REAL
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_deployment_is_the_simulation(tmp_path: Path) -> None:
    """SuperLink and two SuperNodes with TLS and keys; one answer of three rounds is NaN."""
    config = {"seed": 3, "clients": 2, "rounds": 3, "timeout": 90.0, "least": 1}
    with flower_faults.deployment(tmp_path, 2, {1: "nan=1"}) as parts:
        parts.finish(parts.run(config))
        found = parts.outcome(config)
    assert [e["answered"] for e in found["log"]] == [[0, 1], [0], [0, 1]]
    assert found["gap"] < 1e-12
    assert found["moved"] > 0.01


@REAL
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_a_client_keeps_survives_its_death(tmp_path: Path) -> None:
    """A node is killed with -9 and started again; rounds with one answer only are repeated."""
    config = {"seed": 3, "clients": 2, "rounds": 3, "timeout": 40.0, "least": 2,
              "method": "personal_path"}  # fmt: skip
    with flower_faults.deployment(tmp_path, 2, {}) as parts:
        process = parts.run(config)
        parts.wait_for(1)
        parts.kill("node 1")
        parts.start_node(1)
        parts.finish(process)
        log = parts.log()
    of, state = flower_faults.app().federation(config), None
    for r in range(3):
        state, _ = run(
            of.algorithm, of.w0, of.clients, rounds=1, steps=of.steps, batch=of.batch,
            generator=round_generator(of.seed, r), state=state,
        )  # fmt: skip
    assert [e["answered"] for e in log if e["event"] == "averaged"] == 3 * [[0, 1]]
    w = read_tree(tmp_path / "server.pt")["state"]["w"]
    for i in range(2):
        own = read_tree(tmp_path / f"client {i}" / "own-2.pt")
        for k in own:
            torch.testing.assert_close(own[k], state.own[k][i], rtol=0, atol=1e-12)
    for k in w:
        torch.testing.assert_close(w[k], state.w[k], rtol=0, atol=1e-12)
