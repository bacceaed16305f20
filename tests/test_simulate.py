"""The loop: who is sampled, what is recorded, what is scored, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toy_clients import assert_close, quadratics, ragged_clients, seeded

from fedlearn_lib import (
    Clients,
    accuracy_of,
    axpy,
    evaluate,
    fedavg,
    gradient,
    logistic,
    loss_of,
    map_clients,
    parameters_of,
    run,
    weighted_mean,
)
from fedlearn_lib.data import GaussianPopulation, quadratic_loss
from fedlearn_lib.federated import ditto, local_only, mapping, sample_cohort

QUADRATIC = fedavg(gradient(quadratic_loss), lr=0.3)
W0 = {"w": torch.ones(3, dtype=torch.float64)}


def test_cohorts_are_sets_of_clients() -> None:
    for m, cohort in [(1, 1), (5, 1), (5, 4), (5, 5), (10**15, 3)]:
        ids = sample_cohort(m, cohort, generator=seeded(m))
        assert len(ids.unique()) == cohort
        assert ids.tolist() == sorted(ids.tolist())
        assert int(ids.min()) >= 0
        assert int(ids.max()) < m


def test_every_cohort_is_equally_likely() -> None:
    # 10 pairs of 5 clients, 4,000 draws: chi-square with 9 degrees of freedom exceeds 33.7 with
    # probability 1e-4.
    g = seeded(1)
    codes = [tuple(sample_cohort(5, 2, generator=g).tolist()) for _ in range(4000)]
    counts = torch.tensor([codes.count(pair) for pair in sorted(set(codes))]).double()
    assert len(counts) == 10
    assert float(((counts - 400) ** 2 / 400).sum()) < 33.7


def test_run_is_the_loop_written_out() -> None:
    clients, g = ragged_clients([5, 3, 8, 2]), seeded(9)
    model = logistic(4, 3).double()
    algorithm = fedavg(gradient(loss_of(model)), lr=0.2, server_lr=0.7)
    w = parameters_of(model)
    for _ in range(3):
        ids = sample_cohort(4, 2, generator=g)
        batches = clients.draw(ids, steps=2, draws=1, batch=3, generator=g)
        messages = map_clients(algorithm.client, w, batches, how="loop")
        share = clients.n[ids].double() / clients.n[ids].sum()
        w = axpy(0.7, weighted_mean(messages, share), w)
    state, _ = run(
        algorithm, parameters_of(model), clients,
        rounds=3, cohort=2, steps=2, batch=3, generator=seeded(9),
    )  # fmt: skip
    assert_close(state.w, w, 1e-13)
    assert state.round == 3


@pytest.mark.parametrize("how", ["vmap", "loop"])
@pytest.mark.parametrize("keeps", [False, True])
def test_no_graph_grows_over_the_rounds(keeps: bool, how: str) -> None:
    """A loss may hold a tensor that requires grad, such as the weights of a fixed network."""
    scale = torch.tensor(1.0, requires_grad=True)
    slope = gradient(lambda w, batch: scale * quadratic_loss(w, batch))
    method = ditto(slope, lr=0.1, lam=0.5) if keeps else fedavg(slope, lr=0.1)
    clients = quadratics(2, 3)
    g = seeded()
    state: Any = run(method, W0, clients, rounds=2, steps=2, batch=1, generator=g, how=how)[0]
    kept = state.own if keeps else {}
    assert not any(v.requires_grad for v in [*state.w.values(), *kept.values()])


def test_runs_repeat_with_the_seed_and_differ_without() -> None:
    clients = ragged_clients([5, 3, 8, 2])
    model = logistic(4, 3).double()
    algorithm = fedavg(gradient(loss_of(model)), lr=0.2)

    def end(seed: int):
        options: dict[str, Any] = {
            "rounds": 2,
            "cohort": 2,
            "steps": 2,
            "batch": 3,
            "generator": seeded(seed),
        }
        return run(algorithm, parameters_of(model), clients, **options)[0].w

    assert_close(end(0), end(0), 0)
    assert not torch.equal(end(0)["1.weight"], end(1)["1.weight"])


def test_the_batches_of_two_rounds_are_different() -> None:
    seen = []

    class Spy(Clients):
        def draw(self, ids, **options):
            batches = super().draw(ids, **options)
            seen.append(batches[0])
            return batches

    clients = Spy(*ragged_clients([50, 50]))
    model = logistic(4, 3).double()
    algorithm = fedavg(gradient(loss_of(model)), lr=0.1)
    run(algorithm, parameters_of(model), clients, rounds=2, steps=1, batch=8, generator=seeded())
    assert not torch.equal(seen[-1], seen[-2])


def test_history_holds_what_the_probe_saw() -> None:
    def probe(state):
        return None if state.round == 1 else {"w": state.w["w"].sum(), "k": state.round}

    _, history = run(QUADRATIC, W0, quadratics(2, 3), rounds=3, steps=1, batch=1,
                     generator=seeded(), probe=probe)  # fmt: skip
    assert history.rounds == [0, 2, 3]
    assert history.values["k"] == [0.0, 2.0, 3.0]
    assert history.values["w"][0] == 3.0
    assert all(type(value) is float for value in history.values["w"])


def test_no_probe_no_history_and_no_rounds_no_change() -> None:
    g = seeded()
    before = g.get_state()
    state, history = run(QUADRATIC, W0, quadratics(2, 3), rounds=0, steps=1, batch=1, generator=g)
    assert history == ([], {})
    assert_close(state.w, W0, 0)
    assert torch.equal(g.get_state(), before)


def test_a_probe_that_changes_its_names() -> None:
    probe = lambda state: {f"round {state.round}": 0.0}  # noqa: E731
    with pytest.raises(ValueError, match=r"probe must return the same names.*round 1.*round 0"):
        run(QUADRATIC, W0, quadratics(2, 3), rounds=2, steps=1, batch=1, generator=seeded(),
            probe=probe)  # fmt: skip


@pytest.mark.parametrize("m", [10**3, 10**12])
def test_a_population_needs_not_fit_in_memory(m: int) -> None:
    model = logistic(4, 2)
    state, _ = run(
        fedavg(gradient(loss_of(model)), lr=0.1), parameters_of(model),
        GaussianPopulation(m=m, d=4), rounds=2, cohort=5, steps=2, batch=3, generator=seeded(),
    )  # fmt: skip
    assert state.round == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": -1}, "rounds must be an integer of at least 0, got -1"),
        ({"rounds": 1.5}, "rounds must be.*1.5"),
        ({"steps": 0}, "steps must be.*0"),
        ({"batch": 0}, "batch must be.*0"),
        ({"cohort": 0}, "cohort must be.*0"),
        ({"cohort": 4}, "cohort=4 is larger than the population of 3 clients; lower it"),
        ({"how": "pmap"}, 'how must be "vmap" or "loop" or "compile", got .pmap.'),
        ({"batch": None}, "batch=None.*equal size.*2 to 5; pass a batch size"),
        ({"batch": None, "clients": GaussianPopulation(m=3, d=4)}, "batch=None.*finite data"),
        ({"w0": {}}, "w0 must be a non-empty dict.*parameters_of"),
        (
            {"w0": logistic(4, 3)},
            "w0 must be a dict of dense.*parameters_of.*got Sequential",
        ),
        ({"w0": {"w": torch.tensor([torch.nan])}}, r"w0 must be finite.*\['w'\]"),
    ],
)
def test_bad_runs_are_refused_before_any_work(options, message: str) -> None:
    def never(*_):
        raise AssertionError("work was done")

    g = seeded()
    before = g.get_state()
    good: dict[str, Any] = {
        "w0": W0, "clients": ragged_clients([5, 2, 3]), "rounds": 1, "cohort": 2, "steps": 1,
        "batch": 1, "generator": g, "probe": never,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        run(fedavg(never, lr=0.1), **(good | options))
    assert torch.equal(g.get_state(), before)


def test_a_seed_is_no_generator() -> None:
    with pytest.raises(ValueError, match=r"generator must be a torch\.Generator, .*got 0"):
        run(QUADRATIC, W0, quadratics(2, 3), rounds=1, steps=1, batch=1, generator=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("m", "cohort"), [(3, 0), (3, 4), (3, 1.0), (0, 0)])
def test_bad_cohorts(m: int, cohort) -> None:
    with pytest.raises(ValueError, match=f"cohort must be an integer.*got {cohort}"):
        sample_cohort(m, cohort, generator=seeded())


# --- evaluate


def scored(how: str, batch: int | None):
    model = logistic(4, 3).double()
    train, test = ragged_clients([5, 5, 5], seed=1), ragged_clients([4, 7, 2], seed=2)
    w, loss, metric = parameters_of(model), loss_of(model), accuracy_of(model)
    oracle = gradient(loss)
    adapt = lambda u, own: axpy(-2.0, oracle(u, (own,)), u)  # noqa: E731
    result = evaluate(
        metric, w, train, test, adapt=adapt, batch=batch, how=how, generator=seeded(3)
    )
    ids = torch.arange(3)
    x, y = train.draw(ids, steps=1, batch=batch, generator=seeded(3))
    before = [metric(w, test.data(i)).mean() for i in range(3)]
    after = [metric(adapt(w, (x[i, 0, 0], y[i, 0, 0])), test.data(i)).mean() for i in range(3)]
    return result, torch.stack(before), torch.stack(after)


@pytest.mark.parametrize("how", ["vmap", "loop"])
@pytest.mark.parametrize("batch", [None, 2])
def test_scores_are_each_clients_mean_over_its_test_samples(how: str, batch) -> None:
    result, before, after = scored(how, batch)
    torch.testing.assert_close(result["before"], before, rtol=0, atol=1e-6)
    torch.testing.assert_close(result["after"], after, rtol=0, atol=1e-6)
    assert not torch.equal(before, after)


def test_evaluation_of_fifty_clients_is_one_call() -> None:
    clients, calls = ragged_clients([3] * 50), []

    def metric(w, batch):
        calls.append(1)
        return batch[0][:, 0] * w["a"]

    evaluate(metric, {"a": torch.tensor(2.0).double()}, clients, clients)
    assert len(calls) == 1


def test_bad_evaluations() -> None:
    clients, model = ragged_clients([4, 4, 4, 4]), logistic(4, 3).double()
    w, metric = parameters_of(model), accuracy_of(model)
    with pytest.raises(ValueError, match="train and test must hold the same clients, got 4 and 2"):
        evaluate(metric, w, clients, ragged_clients([3, 3]))
    with pytest.raises(ValueError, match=r"metric must return one score for each sample.*\(\)"):
        evaluate(loss_of(model), w, clients, clients)
    with pytest.raises(ValueError, match=r"generator must be a torch\.Generator, got None"):
        evaluate(metric, w, clients, clients, adapt=lambda u, own: u, batch=2)
    with pytest.raises(ValueError, match='how must be "vmap" or "loop"'):
        evaluate(metric, w, clients, clients, how="one")
    with pytest.raises(ValueError, match="w must be a dict of dense tensors"):
        evaluate(metric, model, clients, clients)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (logistic(5, 3).double(), r"samples of shape \(4,\)"),  # five inputs, the data have four
        (logistic(4, 2).double(), r"targets of shape \(\)"),  # two classes, the data have three
        (logistic(4, 3), "float64"),  # float32 parameters, float64 data
    ],
)
def test_a_model_that_does_not_fit_the_data_is_refused_before_any_work(model, words: str) -> None:
    clients, g, seen = ragged_clients([5, 3, 8]), seeded(0), []
    clients.y[0, :5] = torch.tensor([2, 1, 2, 2, 2])
    before = g.get_state()
    with pytest.raises(ValueError, match=f"w0 and clients do not fit(.|\n)*{words}"):
        run(
            fedavg(gradient(loss_of(model)), lr=0.1), parameters_of(model), clients,
            rounds=2, steps=1, batch=40, generator=g, probe=lambda state: seen.append(state),
        )  # fmt: skip
    assert seen == []
    assert torch.equal(g.get_state(), before)


@pytest.mark.parametrize("kind", [RuntimeError, IndexError, KeyError, ValueError])
def test_an_error_of_ones_own_oracle_comes_through_as_itself(kind: type[Exception]) -> None:
    mine = kind("my own bug")

    def oracle(w, draws):
        raise mine

    with pytest.raises(kind) as caught:
        run(fedavg(oracle, lr=0.1), W0, quadratics(2, 3), rounds=1, steps=1, batch=1,
            generator=seeded())  # fmt: skip
    assert caught.value is mine
    (note,) = mine.__notes__
    assert "one local step" in note
    assert "samples of shape (3, 3) (torch.float64)" in note


@pytest.mark.parametrize("keeps", [False, True])
def test_no_rounds_no_work_and_memory_of_its_own(keeps: bool) -> None:
    def never(*_):
        raise AssertionError("work was done")

    class Never(Clients):
        def draw(self, ids, **options):
            raise AssertionError("batches were drawn")

    w0 = {"w": torch.ones(3, dtype=torch.float64)}
    algorithm = (local_only if keeps else fedavg)(never, lr=0.1)
    state, _ = run(algorithm, w0, Never(*quadratics(2, 3)), rounds=0, steps=1, batch=1,
                   generator=seeded())  # fmt: skip
    state.w["w"].zero_()
    assert w0["w"].tolist() == [1, 1, 1]


def test_local_training_gives_back_a_start_of_its_own() -> None:
    w0 = {"w": torch.ones(3, dtype=torch.float64)}
    state, _ = run(
        local_only(gradient(quadratic_loss), lr=0.1), w0, quadratics(2, 3),
        rounds=1, steps=1, batch=1, generator=seeded(),
    )  # fmt: skip
    state.w["w"].zero_()
    assert w0["w"].tolist() == [1, 1, 1]


class Own:
    """A population of one's own, right or wrong in one place."""

    m = 3

    def __init__(self, cut=lambda batches: batches, share=lambda p: p):
        self.clients, self.cut, self.share = ragged_clients([5, 3, 8]), cut, share

    def weights(self, ids):
        return self.share(self.clients.weights(ids))

    def draw(self, ids, **options):
        return self.cut(self.clients.draw(ids, **options))


class WithoutDraw:
    m = 3

    def weights(self, ids):
        raise AssertionError


@pytest.mark.parametrize(
    ("clients", "message"),
    [
        (WithoutDraw(), r"clients must have m, weights\(ids\) and draw.*WithoutDraw.*no draw"),
        ([1, 2, 3], r"clients must have m, .*list.*no m, weights, draw"),
        (Own(lambda b: (b[0][:-1], b[1][:-1])), r"clients\.draw must.*\[1 1 1 b …\].*\(0, 1, 1"),
        (Own(lambda b: (b[0], b[1][:-1])), r"clients\.draw must.*y of shape \(0, 1, 1"),
        (Own(lambda b: (b[0][:, 0], b[1][:, 0])), r"clients\.draw must.*\(1, 1, 4, 4\)"),
        (Own(lambda b: b[0]), r"clients\.draw must return a pair"),
        (Own(share=lambda p: p[:-1]), r"clients\.weights must return one weight for each of the 3"),
    ],
)
def test_a_population_that_breaks_the_rules_is_named(clients, message: str) -> None:
    model = logistic(4, 3).double()
    with pytest.raises(ValueError, match=message):
        run(fedavg(gradient(loss_of(model)), lr=0.1), parameters_of(model), clients,
            rounds=1, steps=2, batch=4, generator=seeded())  # fmt: skip


def test_a_population_that_loses_a_client_later_is_named() -> None:
    short = Own(lambda b: (b[0][:2], b[1][:2]))  # right for one client, not for three
    model = logistic(4, 3).double()
    with pytest.raises(ValueError, match=r"clients\.draw must.*\[3 2 1 b …\].*\(2, 2, 1, 4, 4\)"):
        run(fedavg(gradient(loss_of(model)), lr=0.1), parameters_of(model), short,
            rounds=1, steps=2, batch=4, generator=seeded())  # fmt: skip


def test_a_population_of_ones_own_is_as_good() -> None:
    model = logistic(4, 3).double()
    options = {"rounds": 2, "cohort": 2, "steps": 2, "batch": 4}
    ends = [
        run(fedavg(gradient(loss_of(model)), lr=0.1), parameters_of(model), clients,
            generator=seeded(), **options)[0].w
        for clients in (Own(), Own().clients)
    ]  # fmt: skip
    assert_close(*ends, 0)


# --- memory: the cohort works in parts


KINDS = {
    "stored": lambda: ragged_clients([5, 3, 8, 2, 6, 4, 7]),
    "lazy": lambda: GaussianPopulation(m=7, d=4),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", [fedavg, ditto, local_only])
def test_the_parts_of_a_cohort_change_no_number(kind: str, method, monkeypatch) -> None:
    clients = KINDS[kind]()
    model = logistic(4, 3).double() if kind == "stored" else logistic(4, 3)
    more = {"lam": 0.5} if method is ditto else {}
    algorithm = method(gradient(loss_of(model)), lr=0.1, **more)

    def end(drawn: int, how: str = "vmap"):
        monkeypatch.setattr(mapping, "DRAWN", drawn)
        g = seeded(3)
        state: Any = run(algorithm, parameters_of(model), clients, rounds=3, cohort=5, steps=2,
                         batch=3, generator=g, how=how)[0]  # fmt: skip
        own = dict(state.own) if method is not fedavg else {}
        return {**state.w, **{f"own {k}": v for k, v in own.items()}}, g.get_state()

    (whole, after), (single, also) = end(2**25), end(1)
    assert torch.equal(after, also)  # the same random numbers
    assert_close(single, whole, 1e-13 if kind == "stored" else 1e-6)
    assert_close(end(1, "loop")[0], whole, 1e-13 if kind == "stored" else 1e-6)


def test_only_a_part_of_a_cohort_is_drawn_at_once(monkeypatch) -> None:
    seen = []

    class Spy(Clients):
        def draw(self, ids, **options):
            seen.append(ids.tolist())
            return super().draw(ids, **options)

    monkeypatch.setattr(mapping, "DRAWN", 4 * (2 * 3 * 4 * 8 + 2 * 3 * 8))  # of four clients
    model = logistic(4, 3).double()
    run(fedavg(gradient(loss_of(model)), lr=0.1), parameters_of(model),
        Spy(*ragged_clients([5] * 6)), rounds=1, steps=2, batch=3, generator=seeded())  # fmt: skip
    assert seen == [[0], [0, 1, 2], [3, 4, 5]]  # one to try, then two equal parts of at most four


def test_batches_of_the_whole_data_are_no_copies_and_are_not_counted_as_such(monkeypatch) -> None:
    seen = []

    class Spy(Clients):
        def draw(self, ids, **options):
            seen.append(len(ids))
            return super().draw(ids, **options)

    monkeypatch.setattr(mapping, "DRAWN", 6 * (5 * 4 * 8 + 5 * 8))
    model = logistic(4, 3).double()
    run(fedavg(gradient(loss_of(model)), lr=0.1), parameters_of(model),
        Spy(*ragged_clients([5] * 6)), rounds=1, steps=50, batch=None,
        generator=seeded())  # fmt: skip
    assert seen == [1, 6]


def test_weights_that_are_no_shares_are_refused() -> None:
    with pytest.raises(ValueError, match=r"clients\.weights must be non-negative.*sum 1.*2"):
        run(QUADRATIC, W0, Twice(*quadratics(2, 3)), rounds=1, steps=1, batch=1,
            generator=seeded())  # fmt: skip


class Twice(Clients):
    def weights(self, ids):
        return 2 * super().weights(ids)


@pytest.mark.parametrize("own", [None, lambda w0: w0])
def test_a_client_that_keeps_something_says_so(own) -> None:
    def client(w, *rest):
        return (w, w) if own is None else w

    algorithm = QUADRATIC._replace(client=client, own=own)
    with pytest.raises(ValueError, match=r"client must return \(message, own\) if algorithm.own"):
        run(algorithm, W0, quadratics(2, 3), rounds=1, steps=1, batch=1, generator=seeded())
