r"""Methods that start where FedAvg ends, go on for some rounds, and choose when to stop.

FedAvg trains a shared model. From it every method takes the same number of rounds with the same
batches, each with a grid of one knob; its setting and its round are chosen on spare samples, and
its score is that of other samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fedlearn_book.reproductions.personal_path_linear import expected
from fedlearn_lib import (
    L1,
    Algorithm,
    Clients,
    GroupL2,
    evaluate,
    fedavg,
    gradient,
    map_clients,
    parameters_of,
    run,
)
from fedlearn_lib.federated import (
    ditto,
    fedrep,
    local_only,
    partial_oracle,
    path_models,
    personal_models,
    personal_path,
)
from fedlearn_lib.federated.evaluation import Metric
from fedlearn_lib.federated.oracles import Loss
from fedlearn_lib.sparse.penalties import TINY, Penalty
from fedlearn_lib.trees import Params

Setting = dict[str, float]
Scores = dict[str, list[float]]  # what a probe saw, one number a round


class Scene(NamedTuple):
    """The same clients three times: to learn from, to choose on, to be scored on.

    ``metrics`` hold what is scored, one number a sample; the first is what is chosen by, and the
    larger the better. ``judge`` makes one number of the clients' scores on spare samples;
    ``heard`` changes what the server hears of an algorithm's clients.
    """

    learn: Clients
    spare: Clients
    test: Clients
    model: nn.Module
    loss: Loss
    metrics: Mapping[str, Metric]
    steps: int
    batch: int | None
    rounds: tuple[int, int]  # of FedAvg first, then of every method
    every: int  # rounds from one look to the next
    seed: int
    judge: Callable[[Tensor], Tensor] = torch.mean
    heard: Callable[[Algorithm[Any, Any]], Algorithm[Any, Any]] = lambda algorithm: algorithm


class Way(NamedTuple):
    """One method with one setting, and which models its clients use, leaves [m …].

    ``stops``: whether its round is chosen, too; if not, the last one counts.
    """

    setting: Setting
    algorithm: Algorithm[Any, Any]
    used: Callable[[Any], Params]
    stops: bool = True
    counted: Callable[[Any], Mapping[str, float]] = lambda state: {}


class Whole(NamedTuple):
    r"""The penalty $\Omega(x)=\lambda\lVert x\rVert$: a whole leaf is one group, all or nothing.

    >>> Whole(2.0).prox(torch.tensor([3.0, 4.0]))
    tensor([1.8000, 2.4000])
    """

    scale: float = 1.0

    def value(self, x: Tensor) -> Tensor:
        size: Tensor = self.scale * x.norm()
        return size

    def prox(self, x: Tensor, step: float = 1.0) -> Tensor:
        shorter: Tensor = (1 - step * self.scale / x.norm().clamp(min=TINY)).clamp(min=0) * x
        return shorter

    def support(self, x: Tensor) -> Tensor:
        inside: Tensor = x.norm() != 0
        return inside.expand_as(x)

    def residual(self, x: Tensor, v: Tensor) -> Tensor:
        inside = (v.norm() - self.scale).clamp(min=0)
        return torch.where(
            x.norm() != 0, (v - self.scale * x / x.norm().clamp(min=TINY)).norm(), inside
        )


def penalties(w: Params, kind: str) -> dict[str, Penalty | None]:
    """Return the penalty of every leaf; a group of q numbers is full at √q, one number at 1.

    ``"entries"``, ``"rows"`` of matrices (of a bias: entries), whole ``"layers"`` (leaves), or the
    ``"last rows"``: those of the last layer alone, while all else stays shared.
    """
    if kind == "entries":
        return dict.fromkeys(w, L1())
    if kind == "layers":
        return {name: Whole(v.numel() ** 0.5) for name, v in w.items()}
    rows: dict[str, Penalty | None] = {
        name: L1() if v.ndim < 2 else GroupL2(v[0].numel() ** 0.5) for name, v in w.items()
    }
    if kind == "last rows":
        return rows | dict.fromkeys(list(rows)[:-2])
    return rows


def start_of(scene: Scene, grid: Sequence[float]) -> tuple[Params, float, int]:
    """Train FedAvg with each step: the model of the one that is best on spare samples, that step.

    The last number counts the steps that ended in NaN.
    """
    ends, scores = [], []
    for lr in grid:
        state, seen = follow(scene, shared(scene, {"lr": lr}), parameters_of(scene.model), 0)
        ends.append(state.w)
        scores.append(seen["spare"][-1])
    found = torch.tensor(scores).nan_to_num(-torch.inf)
    k = int(found.argmax())
    return ends[k], grid[k], sum(s != s for s in scores)


def follow(scene: Scene, way: Way, start: Params, phase: int) -> tuple[Any, Scores]:
    """Run one of the two phases and look at all clients every few rounds, the start included.

    A model that died scores NaN.
    """
    with expected("the models of .* hold NaN or infinity"):
        state, history = run(
            scene.heard(way.algorithm), start, scene.learn, rounds=scene.rounds[phase],
            steps=scene.steps, batch=scene.batch, generator=batches(scene, phase),
            probe=lambda state: look(scene, way, state, scene.rounds[phase]),
        )  # fmt: skip
    return state, history.values


def batches(scene: Scene, phase: int) -> torch.Generator:
    """The source of a phase's batches, the same for all methods."""
    return torch.Generator().manual_seed(1000 * (phase + 1) + scene.seed)


def look(scene: Scene, way: Way, state: Any, last: int) -> dict[str, float] | None:
    """Score the models in use on spare samples and on those for the score, every few rounds."""
    if state.round % scene.every and state.round != last:
        return None
    models = way.used(state)
    row = {"round": float(state.round), **way.counted(state)}
    chooser, *_ = scene.metrics.values()
    spare = evaluate(chooser, models, scene.spare, scene.spare, own=True)["before"]
    scores = {
        name: float(evaluate(metric, models, scene.test, scene.test, own=True)["before"].mean())
        for name, metric in scene.metrics.items()
    }
    return {**row, "spare": float(scene.judge(spare)), **scores}


def follow_median(scene: Scene, way: Way, start: Params, phase: int) -> tuple[Any, Scores]:
    """Do the same with a server that takes the median of the messages, number by number."""
    algorithm, last, g = scene.heard(way.algorithm), scene.rounds[phase], batches(scene, phase)
    state, seen = algorithm.init(start), Scores()
    for k in range(last + 1):
        for name, value in (look(scene, way, state, last) or {}).items():
            seen.setdefault(name, []).append(value)
        if k < last:
            drawn = scene.learn.draw(
                torch.arange(scene.learn.m), steps=scene.steps, batch=scene.batch, generator=g
            )
            messages = map_clients(algorithm.client, state.w, drawn)
            state = algorithm.server(state, {k: middle(v) for k, v in messages.items()})
    return state, seen


def middle(x: Tensor) -> Tensor:
    """Return the median over the rows, for an even number of them the mean of the middle two.

    >>> middle(torch.tensor([[1.0], [9.0], [3.0], [2.0]]))
    tensor([2.5000])
    """
    m, ordered = len(x), x.sort(0).values
    return (ordered[(m - 1) // 2] + ordered[m // 2]) / 2


def best(scene: Scene, ways: Sequence[Way], start: Params, phase: int = 1) -> dict[str, Any]:
    """Follow each way, and report the one whose spare score is highest, at that round."""
    return report(ways, [follow(scene, way, start, phase)[1] for way in ways])


def report(ways: Sequence[Way], seen: Sequence[Scores]) -> dict[str, Any]:
    """Choose setting and round on spare samples; return what is scored there, rounded.

    ``"edge"`` says which knob stands at an end of its grid, or that the last round was chosen;
    ``"died"`` counts the settings that ended in NaN.
    """
    tried = [torch.tensor(one["spare"]).nan_to_num(-torch.inf) for one in seen]
    places = [
        int(one.argmax()) if way.stops else len(one) - 1
        for way, one in zip(ways, tried, strict=True)
    ]
    k = max(range(len(ways)), key=lambda i: float(tried[i][places[i]]))
    at = places[k]
    scores = {name: round(values[at], 5) for name, values in seen[k].items()}
    edge = ["round"] * (ways[k].stops and at == len(tried[k]) - 1)
    for knob, value in ways[k].setting.items():
        values = sorted({way.setting[knob] for way in ways})
        edge += [knob] * (len(values) > 2 and value in (values[0], values[-1]))
    died = sum(one["spare"][-1] != one["spare"][-1] for one in seen)
    return {**scores, "setting": ways[k].setting, "edge": edge, "died": died, "way": k}


def shared(scene: Scene, setting: Setting) -> Way:
    return Way(setting, fedavg(gradient(scene.loss), **setting), one_for_all(scene))


def one_for_all(scene: Scene) -> Callable[[Any], Params]:
    """The shared model in everybody's hands, leaves [m …]."""
    m = scene.learn.m
    return lambda state: {name: v.expand(m, *v.shape) for name, v in state.w.items()}


def local(scene: Scene, setting: Setting, names: set[str] | None = None) -> Way:
    """Steps at home, of all parameters or of some: fine-tuning if it starts from FedAvg's end."""
    slope = gradient(scene.loss)
    oracle = slope if names is None else partial_oracle(slope, names)
    return Way(setting, local_only(oracle, **setting), personal_models)


def own_part(scene: Scene, setting: Setting, names: set[str], step: float) -> Way:
    """Some parameters of one's own, trained with the shared ones, which take the given step."""
    factor, slope = setting["lr"] / step, gradient(scene.loss)

    def oracle(w: Params, draws: Any) -> Params:
        return {k: factor * v if k in names else v for k, v in slope(w, draws).items()}

    return Way(setting, fedrep(oracle, head=names, lr=step), personal_models)


def anchored(scene: Scene, setting: Setting, step: float) -> Way:
    """Ditto with the step of the shared model for both, at its end: λ is what one chooses."""
    return Way(setting, ditto(gradient(scene.loss), lr=step, **setting), personal_models, False)


def path(scene: Scene, setting: Setting, kind: str, step: float) -> Way:
    r"""The path with the step $\kappa\eta$ of the shared model given, and groups of a kind."""
    kappa = setting["kappa"]
    penalty = penalties(parameters_of(scene.model), kind)

    def used(state: Any) -> Params:
        return path_models(state, kappa=kappa, penalty=penalty)

    def counted(state: Any) -> dict[str, float]:
        models = used(state)
        own = {k: (models[k] != v).double().mean(0).sum().item() for k, v in state.w.items()}
        shares = {f"own {k}": own[k] / v.numel() for k, v in state.w.items()}
        return {"own numbers": sum(own.values()), **shares}

    algorithm = personal_path(gradient(scene.loss), kappa=kappa, lr=step / kappa, penalty=penalty)
    return Way(setting, algorithm, used, counted=counted)


def last_layer(model: nn.Module) -> set[str]:
    """Return the names of the last layer's weight and bias."""
    return set([name for name, _ in model.named_parameters()][-2:])


def last_bias(model: nn.Module) -> set[str]:
    return {[name for name, _ in model.named_parameters()][-1]}


class Entry(NamedTuple):
    """A number or a row of a client that became personal: where, and in which round."""

    leaf: str
    client: int
    place: int
    round: int


def first_entries(
    scene: Scene, way: Way, start: Params, leaves: Sequence[str], *, rows: bool = False
) -> list[Entry]:
    """Return what becomes personal, in this order: numbers of some leaves, or their ``rows``.

    Of those that enter in one round the larger deviation is first.
    """
    first: dict[tuple[str, int, int], tuple[int, float]] = {}

    def probe(state: Any) -> None:
        models = way.used(state)
        for leaf in leaves:
            change = (models[leaf] - state.w[leaf]).flatten(2 if rows else 1)
            size = change.norm(dim=2) if change.ndim > 2 else change.abs()
            for i, j in size.nonzero().tolist():
                first.setdefault((leaf, i, j), (state.round, -float(size[i, j])))

    run(
        scene.heard(way.algorithm), start, scene.learn, rounds=scene.rounds[1], steps=scene.steps,
        batch=scene.batch, generator=batches(scene, 1), probe=probe,
    )  # fmt: skip
    return [Entry(*key, first[key][0]) for key in sorted(first, key=first.__getitem__)]
