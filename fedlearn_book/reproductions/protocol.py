"""One protocol for all methods: same clients, same batches, and choices that are not reported.

A *world* is one complete experiment: clients that train, clients or samples on which
hyper-parameters are chosen, and clients that nobody has seen. Whatever is reported comes from
held-out samples. Where clients can be dealt anew, settings are chosen once, in worlds that are not
reported; four hospitals leave no other world, so there each split of the patients chooses for
itself, on samples of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fedlearn_book.reproductions.protocol_path import path_oracle, path_start, used_on_path
from fedlearn_lib import (
    Algorithm,
    Clients,
    accuracy_of,
    evaluate,
    fedavg,
    gradient,
    loss_of,
    map_clients,
    parameters_of,
    perfedavg,
    run,
)
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated import (
    anchored_oracle,
    descend,
    ditto,
    fedprox,
    fedrep,
    local_only,
    partial_oracle,
    personal_models,
    pfedme,
    reptile,
    scaffold,
)
from fedlearn_lib.federated.algorithm import M, OwnState, S
from fedlearn_lib.federated.evaluation import Metric
from fedlearn_lib.federated.oracles import Loss, Oracle
from fedlearn_lib.trees import Params

Setting = Mapping[str, Any]
Sides = tuple[Clients, Clients]  # the same clients: what they adapt on, what they are scored on
ALPHAS = (0.03, 0.1, 0.3, 1.0)  # the steps of adaptation that every method may choose from
STEPS = (0, 1, 2, 3, 5, 10, 20)  # and after how many of them a client is scored
IGNORED = -100  # the label that cross-entropy leaves out


class World(NamedTuple):
    """The clients of one experiment, and what is the same for all methods.

    ``spare`` holds the known clients again, scored on samples that are used to choose. ``tune``
    and ``new`` are ``None`` where no clients can be kept apart; then ``spare`` takes the place of
    the first, and ``known`` that of the second.
    """

    known: Sides
    spare: Sides
    tune: Sides | None
    new: Sides | None
    model: nn.Module
    rounds: int
    cohort: int
    steps: int
    batch: int
    seed: int


class Method(NamedTuple):
    """How to make an algorithm from a loss and a setting; which settings to try; how to adapt."""

    make: Callable[..., Algorithm[Any, Any]]  # (loss, world, **setting) -> Algorithm
    grid: tuple[dict[str, float], ...]
    adapt: str = "all"  # "all", "near" the shared model, the "head" alone, or along a "path"
    start: str = "shared"  # a newcomer's: the "shared" model, or with the "mean head" of the known
    kind: str = "entries"  # of the groups of a path
    beyond: tuple[dict[str, float], ...] = ()  # tried after the last value of the grid was chosen

    @property
    def settings(self) -> tuple[dict[str, float], ...]:
        """All settings; a choice is the number of one of them."""
        return self.grid + self.beyond


def grid(**values: tuple[float, ...]) -> tuple[dict[str, float], ...]:
    """Return all combinations of some values.

    >>> grid(a=(1, 2), b=(3,))
    ({'a': 1, 'b': 3}, {'a': 2, 'b': 3})
    """
    return tuple(dict(zip(values, row, strict=True)) for row in product(*values.values()))


LR = (0.1, 0.2, 0.4, 0.8, 1.6)
SHORT = (0.025, 0.05, *LR[:-1])  # the local steps that meet a longer server step
META = (
    *grid(alpha=(0.03, 0.1, 0.3), beta=(0.2, 0.4, 0.8, 1.6), inner_steps=(1,)),
    *grid(alpha=(0.1, 0.3), beta=(0.4, 0.8), inner_steps=(3, 5)),
)
LONG = grid(alpha=(0.03, 0.1, 0.3), beta=(3.2,), inner_steps=(1,))
METHODS: dict[str, Method] = {
    "local": Method(lambda loss, world, lr: local_only(gradient(loss), lr=lr), grid(lr=LR)),
    "FedAvg": Method(lambda loss, world, lr: fedavg(gradient(loss), lr=lr), grid(lr=LR)),
    "FedProx": Method(
        lambda loss, world, lr, mu: fedprox(gradient(loss), lr=lr, mu=mu),
        grid(lr=LR, mu=(0.01, 0.1, 1.0)),
    ),
    "SCAFFOLD": Method(
        lambda loss, world, lr, server_lr: scaffold(
            gradient(loss), lr=lr, server_lr=server_lr, share=world.cohort / world.known[0].m
        ),
        grid(lr=LR, server_lr=(0.25, 0.5, 1.0)),
        beyond=grid(lr=SHORT, server_lr=(2.0, 4.0, 8.0)),
    ),
    "Reptile": Method(
        lambda loss, world, lr, epsilon: reptile(gradient(loss), lr=lr, epsilon=epsilon),
        grid(lr=LR, epsilon=(0.5, 1.5, 2.5)),
        beyond=grid(lr=SHORT, epsilon=(4.0, 7.0, 12.0)),
    ),
    "pFedMe": Method(
        lambda loss, world, lam, inner_lr: pfedme(
            gradient(loss), lr=1 / lam, lam=lam, inner_lr=inner_lr, inner=3
        ),
        (
            *grid(lam=(0.03, 0.1, 0.3, 1.0, 3.0), inner_lr=(0.1, 0.2, 0.4, 0.8)),
            *grid(lam=(0.03, 0.1, 0.3, 1.0, 3.0), inner_lr=(1.6,)),
        ),
        "near",
        beyond=grid(lam=(10.0,), inner_lr=(0.05, 0.1, 0.2)),  # with λ, 0.2 is the longest stable
    ),
    "Ditto": Method(
        lambda loss, world, lr, lam: ditto(gradient(loss), lr=lr, lam=lam),
        grid(lr=LR[1:], lam=(0.01, 0.03, 0.1, 0.3, 1.0)),
        "near",
    ),
    "FedRep": Method(
        lambda loss, world, lr: fedrep(gradient(loss), head=head_of(world.model), lr=lr),
        grid(lr=LR),
        "head",
        "mean head",
    ),
    **{
        f"Per-FedAvg {mode}": Method(
            lambda loss, world, alpha, beta, inner_steps=1, mode=mode: perfedavg(
                loss, alpha=alpha, beta=beta, mode=mode, inner_steps=inner_steps
            ),
            META,
            beyond=LONG if mode == "fo" else (),
        )
        for mode in ("fo", "hf", "exact")
    },
}


def head_of(model: nn.Module) -> set[str]:
    """The last layer's weight and bias; of a single layer the bias alone, an own intercept."""
    names = [name for name, _ in model.named_parameters()]
    return set(names[-2:]) if len(names) > 2 else {names[-1]}


def paired(algorithm: Algorithm[S, M], draws: int = 3) -> Algorithm[S, M]:
    """Let a method draw as many batches as the thirstiest one, and use the first of them.

    So all methods draw the same numbers from a generator: same cohorts, same batches.
    """

    def client(w: Params, *rest: Any) -> Any:
        *own, (x, y) = rest
        return algorithm.client(w, *own, (x[:, : algorithm.draws], y[:, : algorithm.draws]))

    return algorithm._replace(client=client, draws=draws)


def train(method: Method, setting: Setting, world: World, *, draws: int = 3) -> Any:
    """Run one method with one setting in a world: its final state.

    A setting may say how many rounds FedAvg goes ``"first"``, with the same step ``"lr"``.
    """
    loss, first = loss_of(world.model), int(setting.get("first", 0))
    phases = [(fedavg(gradient(loss), lr=setting["lr"]), first)] if first else []
    phases.append((method.make(loss, world, **setting), world.rounds - first))
    w, g = parameters_of(world.model), torch.Generator().manual_seed(world.seed)
    for algorithm, rounds in phases:
        state, _ = run(
            paired(algorithm, draws), w, world.known[0], rounds=rounds, cohort=world.cohort,
            steps=world.steps, batch=world.batch, generator=g,
        )  # fmt: skip
        w = state.w
    return state


def is_dead(state: Any) -> bool:
    """Say whether the shared model diverged."""
    return not all(bool(leaf.isfinite().all()) for leaf in state.w.values())


def starts(method: Method, world: World, state: Any, sides: Sides) -> Params:
    """The models [m ...] from which clients adapt: their own where they have one.

    A newcomer gets the shared model. ``"mean head"``: the mean of the heads that the known clients
    keep, for which each of them has to send its head once. On a path, accounts come with it.
    """
    if method.adapt == "path":
        return path_start(state, None if sides[0] is world.known[0] else sides[0].m)
    if sides[0] is world.known[0] and isinstance(state, OwnState):
        return personal_models(state)
    w = state.w
    if method.start == "mean head":
        kept = personal_models(state)
        w = {k: kept[k].mean(0) if k in head_of(world.model) else v for k, v in w.items()}
    return {k: v.expand(sides[0].m, *v.shape) for k, v in w.items()}


def adapted(method: Method, setting: Setting, world: World, w: Params) -> Oracle:
    """The direction in which a client of this method adapts."""
    slope = gradient(loss_of(world.model))
    if method.adapt == "path":
        return path_oracle(slope, float(setting["kappa"]), method.kind)
    if method.adapt == "near":
        return anchored_oracle(slope, w, float(setting["lam"]))
    return partial_oracle(slope, head_of(world.model)) if method.adapt == "head" else slope


def all_of(clients: Clients) -> Batch:
    """All samples of each client as one batch, x [m n d] and y [m n]; padding has no loss."""
    inside = torch.arange(clients.x.shape[1]) < clients.n[:, None]
    return clients.x.where(inside[..., None], 0), clients.y.where(inside, IGNORED)


def walk(
    method: Method,
    setting: Setting,
    world: World,
    state: Any,
    sides: Sides,
    alpha: float,
    steps: Sequence[int] = STEPS,
) -> Iterator[Params]:
    """Adapt every client on all its own samples, and yield what they hold after ``steps`` steps."""
    batch = all_of(sides[0])
    oracle, models = adapted(method, setting, world, state.w), starts(method, world, state, sides)
    taken = 0
    for until in steps:
        more, taken = until - taken, until

        def client(_: Params, own: Params, data: Batch, more: int = more) -> tuple[Params, Params]:
            return {}, descend(oracle, own, data, lr=alpha, steps=more)

        if more:
            _, models = map_clients(client, {}, batch, own=models)
        yield models


def curve(
    method: Method,
    setting: Setting,
    world: World,
    state: Any,
    sides: Sides,
    alpha: float,
    steps: Sequence[int] = STEPS,
) -> Tensor:
    """Accuracy of every client after ``steps`` steps on all its own samples: [len(steps) m].

    A client whose model diverged has nothing right, so that no diverged setting is chosen.
    """
    metric = metric_of(method, setting, world)
    return torch.stack([
        evaluate(metric, models, *sides, own=True)["before"].nan_to_num(0.0)
        for models in walk(method, setting, world, state, sides, alpha, steps)
    ])  # fmt: skip


def metric_of(method: Method, setting: Setting, world: World) -> Metric:
    """Accuracy of what a client holds: its model, or on a path the model that follows from it."""
    metric = accuracy_of(world.model)
    if method.adapt != "path":
        return metric
    return lambda held, batch: metric(
        used_on_path(held, float(setting["kappa"]), method.kind), batch
    )


def judge(
    name: str,
    worlds: Sequence[World],
    methods: Mapping[str, Method] = METHODS,
    *,
    numbers: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Train one method with some settings in some worlds, and choose on samples kept for that.

    ``numbers`` says which of its ``settings``, by default all of its grid.

    What is said of new clients is chosen by the tuning clients, what is said of known clients by
    their own spare samples: ``"new"`` and ``"known"`` say what did best without adaptation
    (``"plain"``, the number of a setting) and with it (``"personal"``: setting, step, how many
    steps). ``"tried"`` has the best score of each setting, ``"dead"`` how many runs diverged.
    """
    method = methods[name]
    numbers = range(len(method.grid)) if numbers is None else numbers
    settings = [method.settings[i] for i in numbers]
    found: list[list[Tensor]] = [[], []]  # [new | known] of [settings alphas steps]
    dead = 0
    for world in worlds:
        states = [train(method, setting, world) for setting in settings]
        dead += sum(map(is_dead, states))
        for scores, judges in zip(found, (world.tune or world.spare, world.spare), strict=True):
            scores.append(_tried(method, settings, world, states, judges))
    report: dict[str, Any] = {"dead": dead, "runs": len(worlds) * len(settings)}
    for who, scores in zip(("new", "known"), found, strict=True):
        mean = torch.stack(scores).mean(0)
        best = [int(k) for k in torch.unravel_index(mean.argmax(), mean.shape)]
        report[who] = {
            "plain": numbers[int(mean[:, 0, 0].argmax())],
            "personal": [numbers[best[0]], ALPHAS[best[1]], STEPS[best[2]]],
            "tried": [_mean(one) for one in mean.flatten(1).max(1).values],
        }
    return report


def _tried(
    method: Method, settings: Sequence[Setting], world: World, states: Sequence[Any], judges: Sides
) -> Tensor:
    """Mean accuracy of the judges: [settings alphas steps]."""
    with warnings.catch_warnings():  # a search goes beyond the longest step that is stable
        warnings.filterwarnings("ignore", message="the models of .* hold NaN or infinity")
        rows = [
            [curve(method, setting, world, state, judges, alpha).mean(1) for alpha in ALPHAS]
            for setting, state in zip(settings, states, strict=True)
        ]
    return torch.stack([torch.stack(row) for row in rows])


def measure(
    name: str, world: World, chosen: Mapping[str, Any], methods: Mapping[str, Method] = METHODS
) -> dict[str, Any]:
    """Train one method with what was chosen for it, and score new and known clients once.

    Each time without adaptation (``"plain"``) and with it (``"personal"``): accuracy of the new
    clients, of their worst tenth, of the known clients, of their worst tenth. ``"curve"``: the new
    clients' after ``STEPS`` steps.
    """
    method = methods[name]
    states: dict[int, Any] = {}
    report: dict[str, Any] = {"plain": [], "personal": [], "curve": []}
    for who, sides in (("new", world.new or world.known), ("known", world.known)):
        index, alpha, steps = chosen[who]["personal"]
        for i in (chosen[who]["plain"], index):
            if i not in states:
                states[i] = train(method, method.settings[i], world)
        i = chosen[who]["plain"]
        plain = curve(method, method.settings[i], world, states[i], sides, alpha, (0,))[0]
        wanted = STEPS if who == "new" else (steps,)
        scores = curve(method, method.settings[index], world, states[index], sides, alpha, wanted)
        report["plain"] += [_mean(plain), worst(plain)]
        last = scores[wanted.index(steps)]
        report["personal"] += [_mean(last), worst(last)]
        if who == "new":
            report["curve"] = [_mean(row) for row in scores]
    report["dead"] = sum(map(is_dead, states.values()))
    return report


def worst(scores: Tensor, share: float = 0.1) -> float:
    """Mean score of the tenth of the clients with the lowest, at least one client."""
    return _mean(scores.sort().values[: max(1, round(share * len(scores)))])


def cost(method: Method, world: World, setting: Setting | None = None) -> list[float]:
    """Bytes to and from a client in a round, and passes through the loss in a local step."""
    passes = 0
    plain = loss_of(world.model)

    def loss(w: Params, batch: Batch) -> Tensor:
        nonlocal passes
        passes += 1
        return plain(w, batch)

    counted: Loss = loss
    algorithm = method.make(counted, world, **(setting or method.grid[0]))
    w0 = parameters_of(world.model)
    sent = algorithm.send(algorithm.init(w0))
    own = () if algorithm.own is None else (algorithm.own(w0),)
    x, y = world.known[0].draw(
        torch.tensor([0]), steps=2, draws=algorithm.draws, batch=4, generator=torch.Generator()
    )
    answer = algorithm.client(sent, *own, (x[0], y[0]))
    message = answer[0] if own else answer
    return [_size(sent), _size(message), passes / 2]


def _size(tree: Params) -> int:
    return sum(leaf.numel() * leaf.element_size() for leaf in tree.values())


def _mean(scores: Tensor) -> float:
    return round(float(scores.mean()), 4)
