"""One protocol for all methods: the same clients and batches, the same budget of tuning.

A *world* is one complete experiment: clients that train, clients or samples on which
hyper-parameters are chosen, and clients that nobody has seen. Whatever is reported comes from
held-out samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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
from fedlearn_lib.federated.oracles import Loss, Oracle
from fedlearn_lib.trees import Params

Setting = Mapping[str, Any]
Sides = tuple[Clients, Clients]  # the same clients: what they adapt on, what they are scored on
ALPHAS = (0.03, 0.1, 0.3)  # the steps of adaptation that every method may choose from
STEPS = 10  # and at most so many of them


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
    adapt: str = "all"  # "all" parameters, "near" the shared model, the "head" alone


def pairs(first: str, a: tuple[float, ...], second: str, b: tuple[float, ...]) -> tuple[Any, ...]:
    return tuple({first: x, second: y} for x in a for y in b)


LR = (0.1, 0.3, 0.6)
ONE_KNOB = tuple({"lr": lr} for lr in (0.03, 0.1, 0.2, 0.3, 0.45, 0.6))
METHODS: dict[str, Method] = {
    "local": Method(lambda loss, world, lr: local_only(gradient(loss), lr=lr), ONE_KNOB),
    "FedAvg": Method(lambda loss, world, lr: fedavg(gradient(loss), lr=lr), ONE_KNOB),
    "FedProx": Method(
        lambda loss, world, lr, mu: fedprox(gradient(loss), lr=lr, mu=mu),
        pairs("lr", LR, "mu", (0.1, 1.0)),
    ),
    "SCAFFOLD": Method(
        lambda loss, world, lr, server_lr: scaffold(
            gradient(loss), lr=lr, server_lr=server_lr, share=world.cohort / world.known[0].m
        ),
        pairs("lr", LR, "server_lr", (0.5, 1.0)),
    ),
    "Reptile": Method(
        lambda loss, world, lr, epsilon: reptile(gradient(loss), lr=lr, epsilon=epsilon),
        pairs("lr", LR, "epsilon", (0.25, 0.5)),
    ),
    "pFedMe": Method(
        lambda loss, world, lam, inner_lr: pfedme(
            gradient(loss), lr=1 / lam, lam=lam, inner_lr=inner_lr, inner=3
        ),
        pairs("lam", (1.0, 3.0), "inner_lr", LR),
        "near",
    ),
    "Ditto": Method(
        lambda loss, world, lr, lam: ditto(gradient(loss), lr=lr, lam=lam),
        pairs("lr", LR, "lam", (0.1, 1.0)),
        "near",
    ),
    "FedRep": Method(
        lambda loss, world, lr: fedrep(gradient(loss), head=head_of(world.model), lr=lr),
        ONE_KNOB,
        "head",
    ),
    **{
        f"Per-FedAvg {mode}": Method(
            lambda loss, world, alpha, beta, mode=mode: perfedavg(
                loss, alpha=alpha, beta=beta, mode=mode
            ),
            pairs("alpha", (0.03, 0.1), "beta", LR),
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


def train(method: Method, setting: Setting, world: World) -> Any:
    """Run one method with one setting in a world: its final state."""
    algorithm = method.make(loss_of(world.model), world, **setting)
    state, _ = run(
        paired(algorithm), parameters_of(world.model), world.known[0], rounds=world.rounds,
        cohort=world.cohort, steps=world.steps, batch=world.batch,
        generator=torch.Generator().manual_seed(world.seed),
    )  # fmt: skip
    return state


def adapted(method: Method, setting: Setting, world: World, w: Params) -> Oracle:
    """The direction in which a client of this method adapts."""
    slope = gradient(loss_of(world.model))
    if method.adapt == "near":
        return anchored_oracle(slope, w, float(setting["lam"]))
    return partial_oracle(slope, head_of(world.model)) if method.adapt == "head" else slope


def curve(
    method: Method, setting: Setting, world: World, state: Any, sides: Sides, alpha: float
) -> Tensor:
    """Accuracy of every client after 0, 1, …, 10 steps of adaptation: [11 m].

    Clients that trained start from their own models if they have any, others from the shared one.
    A client whose model diverged has nothing right, so that no diverged setting is chosen.
    """
    oracle, metric, m = (
        adapted(method, setting, world, state.w),
        accuracy_of(world.model),
        sides[0].m,
    )
    models = {k: v.expand(m, *v.shape) for k, v in state.w.items()}
    if sides[0] is world.known[0] and isinstance(state, OwnState):
        models = personal_models(state)
    g = torch.Generator().manual_seed(world.seed)
    x, y = sides[0].draw(torch.arange(m), steps=1, batch=50, generator=g)
    rows = [evaluate(metric, models, *sides, own=True)["before"].nan_to_num(0.0)]
    for _ in range(STEPS):
        seen = (x[:, 0, 0], y[:, 0, 0])
        _, models = map_clients(
            lambda _, v, batch: ({}, descend(oracle, v, batch, lr=alpha, steps=1)),
            {},
            seen,
            own=models,
        )
        rows.append(evaluate(metric, models, *sides, own=True)["before"].nan_to_num(0.0))
    return torch.stack(rows)


def measure(name: str, world: World) -> dict[str, Any]:
    """Train one method with all its settings, choose on samples that are not reported, score.

    What is said of new clients is chosen by the tuning clients, what is said of known clients by
    their own spare samples, each time without adaptation (``"plain"``) and with the step and the
    number of steps that did best (``"personal"``): accuracy of the new clients, of their worst
    tenth, of the known clients, of their worst tenth. ``"chosen"`` says for new and for known
    clients: the setting's number for both, the step, how many. ``"curve"``: both after 0 to 10
    such steps.
    """
    method = METHODS[name]
    states = [train(method, setting, world) for setting in method.grid]
    report: dict[str, Any] = {"chosen": [], "plain": [], "personal": [], "curve": []}
    judged = ((world.tune or world.spare, world.new or world.known), (world.spare, world.known))
    for judges, sides in judged:
        tried = torch.stack([
            torch.stack([
                curve(method, setting, world, state, judges, alpha).mean(1) for alpha in ALPHAS
            ])
            for setting, state in zip(method.grid, states, strict=True)
        ])  # fmt: skip
        plain = int(tried[:, 0, 0].argmax())  # of [settings alphas steps]
        best = [int(k) for k in torch.unravel_index(tried.argmax(), tried.shape)]
        report["chosen"].append([plain, best[0], ALPHAS[best[1]], best[2]])
        for kind, (i, a, s) in {"plain": (plain, 0, 0), "personal": tuple(best)}.items():
            scores = curve(method, method.grid[i], world, states[i], sides, ALPHAS[a])
            report[kind] += [_mean(scores[s]), worst(scores[s])]
        report["curve"].append([_mean(row) for row in scores])
    return report


def worst(scores: Tensor, share: float = 0.1) -> float:
    """Mean score of the tenth of the clients with the lowest, at least one client."""
    return _mean(scores.sort().values[: max(1, round(share * len(scores)))])


def cost(method: Method, world: World) -> list[float]:
    """Bytes to and from a client in a round, and passes through the loss in a local step."""
    passes = 0
    plain = loss_of(world.model)

    def loss(w: Params, batch: Batch) -> Tensor:
        nonlocal passes
        passes += 1
        return plain(w, batch)

    counted: Loss = loss
    algorithm = method.make(counted, world, **method.grid[0])
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
