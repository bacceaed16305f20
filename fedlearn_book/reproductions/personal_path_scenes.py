"""Hospitals, images by label, clients that swap two labels, clients whose data or words are wrong.

Each ``compute_…`` is one cell: all methods in one scene of one seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from fedlearn_book.reproductions.personal_path_linear import run_length
from fedlearn_book.reproductions.personal_path_rounds import (
    Scene,
    Way,
    anchored,
    best,
    first_entries,
    follow_median,
    last_bias,
    last_layer,
    local,
    one_for_all,
    own_part,
    path,
    report,
    shared,
    start_of,
)
from fedlearn_lib import (
    Algorithm,
    Clients,
    accuracy_of,
    load,
    loss_of,
    mlp,
    parameters_of,
    partition_dirichlet,
    partition_iid,
    partition_natural,
    partition_two_groups,
    split_parts,
)
from fedlearn_lib.data import Dataset
from fedlearn_lib.data.shipped import HEART_COLUMNS, HOSPITALS
from fedlearn_lib.federated.evaluation import Metric
from fedlearn_lib.trees import Params

CLIENTS, HIDDEN, STEPS, BATCH, ROUNDS, EVERY = 20, 40, 5, 20, (60, 60), 4
GROUPS_A, ALPHA, LEAST = 44, 0.3, 20
START_LR = (0.1, 0.3, 0.8, 1.5, 3.0)  # of FedAvg
LR = (0.03, 0.1, 0.3, 0.8, 2.0)  # of fine-tuning
PART_LR = (0.1, 0.3, 1.0, 3.0, 10.0)  # of an own last layer
BIAS_LR = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
LAMBDA = (0.001, 0.005, 0.02, 0.1, 0.5)
KAPPA = (0.001, 0.01, 0.1, 0.4, 1.5, 5.0)
ORDER_KAPPA = 0.4  # where one asks who enters first
HEART_STEP, HEART_ROUNDS, HEART_EVERY = 0.9, (400, 500), 10
HEART_LR = (0.1, 0.3)
HEART_LAMBDA = (0.003, 0.03, 0.1, 0.3, 1.0, 3.0)
HEART_KAPPA = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
EXACT_KAPPA = 3.0  # near the exact path
LIE = 100  # is added to the labels of a client that sends the opposite of its change
WRONG = {
    "none": (0.0, False),
    "random, 20 %": (0.2, False),
    "random, 40 %": (0.4, False),
    "opposite, 20 %": (0.2, True),
    "opposite, 40 %": (0.4, True),
}


def hospitals(seed: int) -> Scene:
    """Three fifths of each hospital's patients to learn from, one to choose on, one to score."""
    heart = load("heart_disease")
    x, y, g = heart.x.double(), heart.y.double(), torch.Generator().manual_seed(seed)
    parts = partition_natural(owner(heart))
    learn, rest = split_parts(parts, test=0.4, generator=g)
    spare, test = split_parts(rest, test=0.5, generator=g)
    model = mlp(x.shape[1], 1, seed=seed).double()
    return Scene(
        padded(x, y, learn), equal(x, y, spare), equal(x, y, test), model,
        loss_of(model, likelihood_loss),
        {"log likelihood": likelihood_of(model), "accuracy": right_of(model)},
        1, None, HEART_ROUNDS, HEART_EVERY, seed,
    )  # fmt: skip


def owner(data: Dataset) -> Tensor:
    if data.client is None:
        raise ValueError("data must say whose each sample is, got client=None; see load")
    return data.client


def equal(x: Tensor, y: Tensor, parts: list[Tensor]) -> Clients:
    return Clients.of(x, y, parts, [1.0] * len(parts))


def padded(x: Tensor, y: Tensor, parts: list[Tensor]) -> Clients:
    """Clients of one size for full gradients: the target of padding is -1."""
    clients = equal(x, y, parts)
    inside = torch.arange(clients.x.shape[1]) < clients.n[:, None]
    targets = torch.where(inside, clients.y, -1.0)
    return Clients(clients.x, targets, torch.full_like(clients.n, clients.x.shape[1]), clients.p)


def likelihood_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the mean log loss of the samples that are no padding.

    >>> round(float(likelihood_loss(torch.zeros(3, 1), torch.tensor([1.0, 0.0, -1.0]))), 4)
    0.6931
    """
    inside = y >= 0
    losses = functional.binary_cross_entropy_with_logits(
        outputs[:, 0], y.clamp(min=0), reduction="none"
    )
    return (losses * inside).sum() / inside.sum()


def likelihood_of(model: nn.Module) -> Metric:
    """Return ``metric(w, (x, y)) -> [b]``, the log likelihood of each sample."""
    return lambda w, batch: (
        -functional.binary_cross_entropy_with_logits(
            functional_call(model, w, (batch[0],))[:, 0], batch[1], reduction="none"
        )
    )


def right_of(model: nn.Module) -> Metric:
    return lambda w, batch: (
        batch[1].eq((functional_call(model, w, (batch[0],))[:, 0] > 0).to(batch[1])).float()
    )


def images(split: str, seed: int) -> Scene:
    """Clients that differ in labels: a fifth of their images to learn from, one to choose on."""
    data, g = load("mnist_mini"), torch.Generator().manual_seed(seed)
    if split == "two groups":
        parts = partition_two_groups(data.y, CLIENTS, a=GROUPS_A, generator=g)
    else:
        parts = partition_dirichlet(data.y, CLIENTS, alpha=ALPHA, generator=g)
    learn, rest = split_parts([one for one in parts if len(one) >= LEAST], test=0.8, generator=g)
    test, spare = split_parts(rest, test=0.25, generator=g)
    return scene_of(pooled(data.x), data.y, (learn, spare, test), seed)


def pooled(x: Tensor) -> Tensor:
    """Return images [N h w] at half the resolution, as vectors.

    >>> pooled(torch.ones(5, 28, 28)).shape
    torch.Size([5, 196])
    """
    return functional.avg_pool2d(x, 2).flatten(1)


def scene_of(
    x: Tensor, y: Tensor, parts: tuple[list[Tensor], list[Tensor], list[Tensor]], seed: int
) -> Scene:
    model = mlp(x.shape[1], HIDDEN, 10, activation="relu", seed=seed)
    learn, spare, test = (equal(x, y, one) for one in parts)
    metrics = {"accuracy": accuracy_of(model)}
    return Scene(
        learn, spare, test, model, loss_of(model), metrics, STEPS, BATCH, ROUNDS, EVERY, seed
    )


def swaps(seed: int) -> tuple[Scene, Tensor]:
    """Every client calls two digits by each other's names; which two, [m 2]."""
    data, g = load("mnist_mini"), torch.Generator().manual_seed(seed)
    parts = partition_iid(data.y, CLIENTS, generator=g)
    pairs = torch.rand(CLIENTS, 10, generator=g).argsort(1)[:, :2]
    y = data.y.clone()
    for part, (a, b) in zip(parts, pairs.tolist(), strict=True):
        y[part[data.y[part] == a]], y[part[data.y[part] == b]] = b, a
    learn, rest = split_parts(parts, test=0.6, generator=g)
    test, spare = split_parts(rest, test=0.33, generator=g)
    return scene_of(pooled(data.x), y, (learn, spare, test), seed), pairs


def compute_hospitals(world: str, seed: int) -> dict[str, Any]:
    """All methods on one split of the patients, with full gradients and one step a round."""
    scene = hospitals(seed)
    start, step, died = start_of(scene, (HEART_STEP,))
    bias = last_bias(scene.model)
    ways: dict[str, Sequence[Way]] = {
        "shared": [shared(scene, {"lr": step})],
        "FedAvg + ft": [local(scene, {"lr": lr}) for lr in HEART_LR],
        "own intercepts": [own_part(scene, {"lr": step}, bias, step)],
        "Ditto": [anchored(scene, {"lam": lam}, step) for lam in HEART_LAMBDA],
        "path": [path(scene, {"kappa": kappa}, "entries", step) for kappa in HEART_KAPPA],
        "path, κ = 3": [path(scene, {"kappa": EXACT_KAPPA}, "entries", step)],
    }
    scores = {name: best(scene, tried, start) for name, tried in ways.items()}
    home = [local(scene, {"lr": lr}) for lr in HEART_LR]
    scores["local"] = best(scene, home, parameters_of(scene.model))
    found = first_entries(scene, ways["path, κ = 3"][0], start, list(start))
    first = [
        [HOSPITALS[one.client], "intercept" if one.leaf in bias else HEART_COLUMNS[one.place],
         round(one.round * step / EXACT_KAPPA, 1)]
        for one in found[:6]
    ]  # fmt: skip
    return {"scores": scores, "first": first, "died at the start": died}


def compute_images(world: str, seed: int) -> dict[str, Any]:
    """All methods on clients that differ in labels, and which leaves become personal first."""
    scene = images(world, seed)
    start, step, died = start_of(scene, START_LR)
    ways = common(scene, step) | {
        f"path, {kind}": [path(scene, {"kappa": kappa}, kind, step) for kappa in KAPPA]
        for kind in ("entries", "rows", "layers")
    }
    scores = {name: best(scene, tried, start) for name, tried in ways.items()}
    layers = path(scene, {"kappa": ORDER_KAPPA}, "layers", step)
    return {
        "scores": scores, "first": first_leaves(scene, layers, start), "step": step,
        "died at the start": died,
    }  # fmt: skip


def common(scene: Scene, step: float) -> dict[str, Sequence[Way]]:
    """The methods that every scene of networks has beside the path."""
    head, bias = last_layer(scene.model), last_bias(scene.model)
    return {
        "shared": [shared(scene, {"lr": step})],
        "FedAvg + ft": [local(scene, {"lr": lr}) for lr in LR],
        "own output biases": [own_part(scene, {"lr": lr}, bias, step) for lr in BIAS_LR],
        "own last layer": [own_part(scene, {"lr": lr}, head, step) for lr in PART_LR],
        "Ditto": [anchored(scene, {"lam": lam}, step) for lam in LAMBDA],
    }


def first_leaves(scene: Scene, way: Way, start: Params) -> dict[str, Any]:
    """Say of each leaf for how many clients it is the first to become personal, and when it does.

    ``"round"`` is the mean over the clients that make it their own, whose number is ``"clients"``.
    """
    found = first_entries(scene, way, start, list(start))
    rounds: dict[str, dict[int, int]] = {leaf: {} for leaf in start}
    for one in found:
        rounds[one.leaf].setdefault(one.client, one.round)
    seen: dict[int, str] = {}
    for one in found:
        seen.setdefault(one.client, one.leaf)
    firsts = Counter(seen.values())
    return {
        leaf: {
            "first": firsts[leaf], "clients": len(own),
            "round": round(sum(own.values()) / len(own), 1) if own else None,
        }
        for leaf, own in rounds.items()
    }  # fmt: skip


def compute_swaps(world: str, seed: int) -> dict[str, Any]:
    """All methods where each client swaps two labels, and which rows are found first."""
    scene, pairs = swaps(seed)
    start, step, died = start_of(scene, START_LR)
    head = last_layer(scene.model)
    ways = common(scene, step) | {
        "last layer, ft": [local(scene, {"lr": lr}, head) for lr in PART_LR],
        "path, last rows, no entrance fee": [path(scene, {"kappa": KAPPA[0]}, "last rows", step)],
        **{
            f"path, {kind}": [path(scene, {"kappa": kappa}, kind, step) for kappa in KAPPA]
            for kind in ("rows", "last rows")
        },
    }
    scores = {name: best(scene, tried, start) for name, tried in ways.items()}
    return {
        "scores": scores, "step": step, "died at the start": died,
        "found": {
            kind: found_rows(scene, path(scene, {"kappa": ORDER_KAPPA}, kind, step), start, pairs)
            for kind in ("rows", "last rows")
        },
    }  # fmt: skip


def found_rows(scene: Scene, way: Way, start: Params, pairs: Tensor) -> dict[str, int]:
    """Of the first personal rows of the output layer, count those whose label was swapped.

    ``"found"`` are the true ones among as many as there are; ``"clients"`` those of whom the first
    own row is a true one; ``"entered"`` all rows that became personal in all rounds.
    """
    leaf = [name for name, v in start.items() if v.ndim > 1][-1]
    found = first_entries(scene, way, start, [leaf], rows=True)
    true = torch.tensor(
        [one.place in pairs[one.client].tolist() for one in found], dtype=torch.bool
    )
    firsts: dict[int, bool] = {}
    for one, hit in zip(found, true.tolist(), strict=True):
        firsts.setdefault(one.client, hit)
    return {
        "of": pairs.numel(), "found": int(true[: pairs.numel()].sum()),
        "before false": run_length(true), "clients": sum(firsts.values()), "entered": len(found),
    }  # fmt: skip


def corrupted(world: str, seed: int) -> tuple[Scene, int]:
    """The first clients have random labels, or send the opposite of what they found; how many.

    What is scored is clean. What one chooses on is not: the median client decides.
    """
    share, lies = WRONG[world]
    data, g = load("mnist_mini"), torch.Generator().manual_seed(seed)
    parts, wrong = partition_iid(data.y, CLIENTS, generator=g), round(share * CLIENTS)
    learn, rest = split_parts(parts, test=0.6, generator=g)
    test, spare = split_parts(rest, test=0.33, generator=g)
    scene = scene_of(pooled(data.x), data.y, (learn, spare, test), seed)
    learning = scene.learn._replace(y=spoiled(scene.learn.y, wrong, lies, g))
    choosing = scene.spare._replace(y=spoiled(scene.spare.y, 0 if lies else wrong, False, g))
    scene = scene._replace(learn=learning, spare=choosing, judge=torch.median)
    return scene._replace(heard=with_lies) if lies else scene, wrong


def spoiled(y: Tensor, wrong: int, lies: bool, g: torch.Generator) -> Tensor:
    """Return labels [m n] of which the first ``wrong`` rows are random, or marked as lies."""
    y = y.clone()
    y[:wrong] = y[:wrong] + LIE if lies else torch.randint(10, y[:wrong].shape, generator=g)
    return y


def with_lies(algorithm: Algorithm[Any, Any]) -> Algorithm[Any, Any]:
    """Let clients whose labels are marked send the opposite of their message."""

    def client(w: Params, *rest: Any) -> Any:
        *own, (x, y) = rest
        answer = algorithm.client(w, *own, (x, y % LIE))
        sign = torch.where(y.flatten()[0] >= LIE, -1.0, 1.0)
        message, *kept = answer if isinstance(answer, tuple) else (answer,)
        told = {k: sign * v for k, v in message.items()}
        return (told, *kept) if kept else told

    return algorithm._replace(client=client)


def compute_corrupted(world: str, seed: int) -> dict[str, Any]:
    """The shared models of FedAvg, of a server that takes the median, and of the path."""
    scene, wrong = corrupted(world, seed)
    start, step, died = start_of(scene, START_LR)
    honest = scene._replace(learn=scene.learn._replace(p=weights(scene.learn.m, wrong)))
    clean, clean_step, _ = start_of(honest, START_LR)
    scores = {
        "FedAvg": best(scene, [shared(scene, {"lr": step})], start),
        "FedAvg, honest clients": best(honest, [shared(scene, {"lr": clean_step})], clean),
        "median at the server": median_of(scene),
        **{
            f"path, {kind}": best(scene, [only_shared(scene, k, kind, step) for k in KAPPA], start)
            for kind in ("entries", "layers")
        },
    }
    return {"scores": scores, "step": step, "died at the start": died}


def weights(m: int, wrong: int) -> Tensor:
    """Return equal weights of all but the first ``wrong`` clients, [m].

    >>> weights(4, 2)
    tensor([0.0000, 0.0000, 0.5000, 0.5000], dtype=torch.float64)
    """
    return torch.where(torch.arange(m) < wrong, 0.0, 1 / (m - wrong)).double()


def median_of(scene: Scene) -> dict[str, Any]:
    """Follow the median through both phases with each step."""
    ways = [shared(scene, {"lr": lr}) for lr in START_LR]
    ends = [follow_median(scene, way, parameters_of(scene.model), 0)[0].w for way in ways]
    seen = [follow_median(scene, way, w, 1)[1] for way, w in zip(ways, ends, strict=True)]
    return report(ways, seen)


def only_shared(scene: Scene, kappa: float, kind: str, step: float) -> Way:
    """The path, judged by its shared model."""
    way = path(scene, {"kappa": kappa}, kind, step)
    return way._replace(used=one_for_all(scene), counted=lambda state: {})


def grids() -> dict[str, tuple[float, ...]]:
    """What the methods may choose from in networks, beside the round."""
    return {
        "FedAvg": START_LR, "FedAvg + ft": LR, "own last layer": PART_LR, "Ditto": LAMBDA,
        "own output biases": BIAS_LR, "path": KAPPA,
    }  # fmt: skip


def wrong_grids() -> dict[str, tuple[float, ...]]:
    """What the methods may choose from where some clients are wrong, beside the round."""
    return {"FedAvg, median at the server": START_LR, "path": KAPPA}


def heart_grids() -> dict[str, tuple[float, ...]]:
    """What the methods may choose from at the hospitals, beside the round."""
    return {
        "FedAvg": (HEART_STEP,), "FedAvg + ft": HEART_LR, "local": HEART_LR,
        "Ditto": HEART_LAMBDA, "path": HEART_KAPPA,
    }  # fmt: skip
