r"""A family of models, and what each way of making one costs: LeNet, or a small residual network.

One run of SplitLBI passes through models of every size. Its rivals: the same order of units at the
end of that run, for all layers together or the same share in each; plain magnitude after SGD, the
same share in each layer, also with the pull of the spring for a decay; proximal SGD and linearized
Bregman training, both over a grid of strengths. A member of a family is a network from which dead
units are cut out. Members are chosen on images held out from training, and scored on the test
images. Of a residual network the filters between the two convolutions of a block are units: a
channel of the sum could go only if everybody who adds to it agreed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fedlearn_book.reproductions import images, tickets
from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import interval, run_cells
from fedlearn_book.reproductions.tickets import (
    BATCH,
    DECAY,
    LR,
    MOMENTUM,
    PATH_MOMENTUM,
    accuracy,
    batches,
    first_images,
    first_units,
    path_of,
    size,
    small_lenet,
    train_and_test,
)
from fedlearn_lib import loss_of, parameters_of, project, prune
from fedlearn_lib.data import Dataset
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.models import ResidualBlock
from fedlearn_lib.sparse.penalties import group_norms, group_threshold
from fedlearn_lib.structure import Masks, he_start, magnitude_masks, retrain
from fedlearn_lib.structure.chain import links_of
from fedlearn_lib.trees import Params

HELD_OUT = 5000
BEGIN = 0.2  # share of the units with which linearized Bregman training begins
BIAS = 0.1  # of its units at the start
LOOK = 20  # steps between two looks at the support
BRANCH = 0.5  # of the second convolutions of a residual network at the start: it has no norms
Budget = tuple[str, float]
Cell = dict[str, Any]
Member = dict[str, Any]


class Half(nn.Sequential):
    """A chain that multiplies in bfloat16 on a processor; its weights stay float32."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return out.float()


def residual(seed: int, *, width: int, classes: int = 10, half: bool = False) -> nn.Module:
    """A residual network whose inner filters can be cut out: three stages of one block, no norms.

    A norm over several filters would tie them together, and padding with zeros would keep a filter
    that says a constant (Proposition 13.2), so the second convolutions repeat the border. With
    ``half`` it is a ``Half`` whose images and filters lie channels last.

    >>> residual(0, width=4, classes=7)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 7])
    """
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 2, 1), nn.ReLU()]
    for stage in range(3):
        inputs, outputs = width * 2 ** max(0, stage - 1), width * 2**stage
        block = ResidualBlock(inputs, outputs, 1 + (stage > 0))
        block.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 1 + (stage > 0), 1), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, padding_mode="replicate"),
        )  # fmt: skip
        layers.append(block)
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes)]
    model = he_start(Half(*layers) if half else nn.Sequential(*layers), seed)
    with torch.no_grad():
        for module in model:
            if isinstance(module, ResidualBlock):
                module.get_parameter("body.2.weight").mul_(BRANCH)
    return model.to(memory_format=torch.channels_last) if half else model  # type: ignore[call-overload]


class Plan(NamedTuple):
    """One result file: data, network, trainings, sizes of the members and how they are read.

    ``nus`` are the springs of the paths in passing, ``nu`` that of the path whose end is used;
    ``shares`` those of all units that members keep; ``prox`` and ``bregman`` strengths;
    ``budgets`` what the table asks for: shares of the dense network's multiply-adds or parameters;
    ``lr`` the step of SGD, to which it rises in the first ``warm`` share of a training; ``moved``
    by how many pixels images that are also mirrored move in training, all of a batch the same way
    or each ``alone``; ``end`` whether members are also chosen by size at the path's end, which
    tells its order from its weights; ``decayed`` whether SGD is trained with the spring's decay.
    """

    data: str
    words: str
    network: Callable[[int], nn.Module]
    classes: int
    seeds: int
    epochs: int
    shares: tuple[float, ...]
    nus: tuple[float, ...]
    nu: float
    prox: tuple[float, ...]
    bregman: tuple[float, ...]
    budgets: tuple[Budget, ...]
    lr: float = LR
    warm: float = 0.0
    moved: int = 0
    alone: bool = False
    end: bool = False
    decayed: bool = True


PLANS = {
    "family": Plan(
        "mnist", "LeNet", small_lenet, 10, 3, 6, (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75),
        (60.0, 120.0, 180.0), 120.0, (0.002, 0.004, 0.008, 0.016, 0.032, 0.064),
        (0.5, 2.0, 5.0, 12.0, 30.0),
        tuple(("multiply_adds", share) for share in (0.1, 0.2, 0.4)), end=True,
    ),
    **{
        f"family_{data}": Plan(
            data, f"a residual network of width {width} without norms, in bfloat16",
            partial(residual, width=width, classes=classes, half=True), classes, seeds, epochs,
            (0.05, 0.1, 0.2, 0.4, 0.7), (nu,), nu, (0.001, 0.002, 0.004), (1.0, 3.0, 10.0),
            tuple((what, share) for what in ("multiply_adds", "parameters")
                  for share in (0.2, 0.4, 0.6)),
            lr=0.05, warm=0.1, moved=2, end=data != "cifar10", decayed=data != "cifar10",
        )
        for data, classes, width, seeds, epochs, nu in (
            ("cifar10", 10, 64, 1, 20, 300.0), ("cifar100", 100, 16, 1, 10, 150.0),
            ("tiny", 100, 16, 1, 60, 200.0),  # 150 images a class
        )
    },
}  # fmt: skip
PLANS["family_cifar10_long"] = PLANS["family_cifar10"]._replace(
    epochs=40, nus=(600.0,), nu=600.0, prox=(0.0014, 0.0028), bregman=(),
    moved=4, alone=True, end=True, decayed=False,
)  # fmt: skip


def families(plan: Plan) -> dict[str, tuple[str, int]]:
    """Return what each family is called, and how many epochs it takes until all of it is known."""
    once, again = plan.epochs, plan.epochs + len(plan.shares)
    cut = {
        "order": "the path's order",
        "level order": "the path's order by layer",
        **({"end size": "magnitude at the path's end"} if plan.end else {}),
        "size": "magnitude after SGD",
        **({"decayed size": "magnitude after SGD with the spring's decay"} if plan.decayed else {}),
    }
    return {
        **{f"passing {nu:g}": (f"the path in passing, ν = {nu:g}", once) for nu in plan.nus},
        **{
            name: value
            for kind, words in cut.items()
            for name, value in (
                (kind, (words, once)),
                (f"{kind}, retrained", (f"{words}, one more epoch", again)),
            )
        },
        **{
            kind: (words, plan.epochs * len(strengths))
            for kind, words, strengths in (
                ("prox", "proximal SGD", plan.prox),
                ("bregman", "linearized Bregman training", plan.bregman),
            ) if strengths
        },
    }  # fmt: skip


class Trained(NamedTuple):
    """What the cells of a seed share: two dense networks, one path's end, some in passing."""

    dense: Params
    decayed: Params
    end: Params
    entry: dict[str, Tensor]
    passing: dict[str, list[Params]]


def main(name: str, *, root: str | None = None, folder: str | Path | None = None) -> None:
    """Make all families of one plan and store its result file."""
    plan = PLANS[name]
    train, test = data_of(plan.data, root)
    train = first_images(train, len(train.y))  # shuffled
    held = train._replace(x=train.x[:HELD_OUT], y=train.y[:HELD_OUT])
    train = train._replace(x=train.x[HELD_OUT:], y=train.y[HELD_OUT:])
    run_cells(
        name,
        [
            {"family": family, "seed": seed}
            for seed in range(plan.seeds)
            for family in ("dense", *families(plan))
        ],
        partial(
            compute, plan, lru_cache(maxsize=1)(partial(prepare, plan, train)), train, held, test
        ),
        folder=folder,
        constants=constants_of(__name__, tickets.__name__),
        title=f"A family of models for the work of one training: {train.name}"
        + (f", {plan.epochs} epochs" if name.endswith("_long") else ""),
        question="Is a path the better way to explore the models between nothing and everything?",
        command=f"python -m fedlearn_book.reproductions {name}",
        setting=f"{plan.words}, {len(train.y)} images, {len(held.y)} held out for choices, "
        f"{plan.epochs} epochs, batches of {BATCH}; path: SplitLBI, one group a filter or hidden "
        f"unit, step 0.1, in the last quarter 0.01; SGD: step {plan.lr:g} "
        + (f"after a rise in the first {100 * plan.warm:g} %, " if plan.warm else "")
        + f"falling to 0, momentum {MOMENTUM:g}, decay {DECAY:g}"
        + (f" or the spring's pull, {pull(plan):.2g}" if plan.decayed else "")
        + "; "
        + (f"images mirrored and moved by up to {plan.moved} pixels" if plan.moved else "")
        + ("; " if plan.moved and not plan.alone else ", each alone; " if plan.moved else "")
        + f"the path whose end is used has "
        f"ν = {plan.nu:g}; strengths of proximal SGD {span(plan.prox)}"
        + (f", of linearized Bregman training {span(plan.bregman)}" if plan.bregman else ""),
        table=partial(summarize, plan),
        note="Test accuracy in percent of the member that is best on the held-out images among "
        "those with at most this share of the dense network's multiply-adds (or weights), mean ± "
        "half-width of the 95 % interval over seeds; *none* if a seed has no living member so "
        "small. Work is in epochs until the whole family is known. Dead members have less than "
        "twice the accuracy of chance: they are counted, and not in the means. Magnitude and "
        "*by layer* keep the same share of each layer.",
    )


def data_of(name: str, root: str | None) -> tuple[Dataset, Dataset]:
    """Load images for training and for the test.

    ``tiny`` is a folder in the layout of ImageNet, each image shrunk to 32 × 32 pixels.
    """
    if name != "tiny":
        return train_and_test(name, root)
    if root is None:
        raise ValueError(
            "family_tiny needs a folder with train/CLASS/* and val/CLASS/*; pass --root"
        )
    small = images.Plan(side=32, batch=500)
    parts = []
    for part in ("train", "val"):
        files = images.files_of(Path(root).expanduser() / part)
        found = list(images.batches(files, small))
        x, y = (torch.cat(column) for column in zip(*found, strict=True))
        parts.append(Dataset(x, y, None, f"{len(files.classes)} classes of images"))
    return parts[0], parts[1]


def cuttable(model: nn.Module) -> list[str]:
    """Return the names of the weights whose rows can be cut out.

    >>> cuttable(residual(0, width=4))
    ['2.body.0.weight', '3.body.0.weight', '4.body.0.weight']
    """
    names = {id(p): name for name, p in model.named_parameters()}
    blocks = [m.body for m in model.modules() if isinstance(m, ResidualBlock)]
    return [
        names[id(link[0].weight)]
        for chain in (model, *blocks) if isinstance(chain, nn.Sequential)
        for link in links_of(chain, "the model")
    ]  # fmt: skip


def compute(
    plan: Plan, prepared: Callable[[int], Trained], train: Dataset, held: Dataset, test: Dataset,
    family: str, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Make one family: size and accuracy of each member."""
    model = plan.network(seed)
    if family == "dense":
        model.load_state_dict(prepared(seed).dense)
        return {"members": [score(plan, model, held, test)]}
    kind, _, again = family.partition(", ")
    members = []
    for w in weights_of(plan, prepared, kind, train, seed):
        try:
            small = prune(model, w)
        except ValueError:  # a layer without units
            members.append({"dead": True})
            continue
        if again:
            end = fit(plan, small, parameters_of(small), train, 1, 700 + seed, decay=DECAY)
            small.load_state_dict(end)
        members.append(score(plan, small, held, test))
    return {"members": members}


def score(plan: Plan, model: nn.Module, held: Dataset, test: Dataset) -> Member:
    """Accuracy on both sets, and size; a network that answers the same to all is dead."""
    w = parameters_of(model)
    member = {"held": accuracy(model, w, held), "test": accuracy(model, w, test)}
    return {**member, **size(model, test), "dead": member["held"] < 2 / plan.classes}


def prepare(plan: Plan, train: Dataset, seed: int) -> Trained:
    """Train the dense networks and follow the path, all from the same start."""
    model = plan.network(seed)
    start = parameters_of(model)
    dense, decayed = (
        fit(plan, model, start, train, plan.epochs, seed, decay=d) if wanted else {}
        for d, wanted in ((DECAY, True), (pull(plan), plan.decayed))
    )
    paths = {f"passing {nu:g}": follow(plan, train, seed, nu) for nu in plan.nus}
    end, entry, _ = paths[f"passing {plan.nu:g}"]
    return Trained(dense, decayed, end, entry, {k: path[2] for k, path in paths.items()})


def pull(plan: Plan) -> float:
    """The weight decay that is as strong as the spring beside the loss (Proposition 11.8).

    >>> pull(PLANS["family"]) == 1 / 240
    True
    """
    return (1 - PATH_MOMENTUM) / plan.nu


def fit(
    plan: Plan, model: nn.Module, w: Params, train: Dataset, epochs: int, seed: int, *, decay: float
) -> Params:
    """Train with SGD and the plan's steps."""
    lr = step_of(plan, epochs * -(-len(train.y) // BATCH))
    return retrain(
        loss_of(model), w, {}, stream(plan, train, epochs, 100 + seed),
        lr=lr, momentum=MOMENTUM, weight_decay=decay,
    )  # fmt: skip


def step_of(plan: Plan, steps: int) -> Callable[[int], float]:
    """Return the step of SGD by its number: it rises, where the plan says so, and falls to zero.

    >>> step = step_of(PLANS["family"]._replace(lr=1.0, warm=0.2), 10)
    >>> [round(step(k), 1) for k in range(10)]
    [0.5, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    """
    rise = plan.warm * steps
    return lambda k: plan.lr * min(1 - k / steps, (k + 1) / rise if rise else 1.0)


def stream(plan: Plan, train: Dataset, epochs: int, seed: int) -> Iterator[Batch]:
    """Yield shuffled batches; if the plan says so, half mirrored and moved by some pixels.

    All images of a batch move the same way, or each alone; their borders are mirror images.
    """
    g = torch.Generator().manual_seed(seed)
    for x, y in batches(train, epochs, seed):
        if plan.moved:
            wide = nn.functional.pad(x, [plan.moved] * 4, mode="reflect")
            by = torch.randint(2 * plan.moved + 1, (2, len(x) if plan.alone else 1), generator=g)
            down, right = (
                b[:, None] + torch.arange(s) for b, s in zip(by, x.shape[-2:], strict=True)
            )
            each = torch.arange(len(x))[:, None, None]
            x = wide.movedim(1, -1)[each, down[:, :, None], right[:, None]].movedim(-1, 1)
            mirrored = torch.rand(len(x), generator=g) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        yield x, y


def follow(
    plan: Plan, train: Dataset, seed: int, nu: float
) -> tuple[Params, dict[str, Tensor], list[Params]]:
    """Follow the path: weights at its end, entry time of each unit, projections in passing.

    A projection is kept when the support first holds each of the plan's shares of the units.
    """
    model = plan.network(seed)
    names = cuttable(model)
    optimizer = path_of(model, nu=nu, names=names)
    slow = plan.epochs * -(-len(train.y) // BATCH) * 3 // 4
    entry = {name: torch.full((len(model.get_parameter(name)),), torch.inf) for name in names}
    passing: list[Params] = []
    for k, (x, y) in enumerate(stream(plan, train, plan.epochs, seed)):
        if k == slow:
            for group in optimizer.param_groups:
                group["lr"] /= 10
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        if k % LOOK and k + 1 < 4 * slow // 3:
            continue
        masks = {name: optimizer.support(model.get_parameter(name)) for name in names}
        for name, mask in masks.items():
            entry[name][mask.flatten(1).any(1) & entry[name].isinf()] = k
        share = float(torch.cat([t.isfinite() for t in entry.values()]).float().mean())
        while len(passing) < len(plan.shares) and share >= plan.shares[len(passing)]:
            passing.append(project(parameters_of(model), masks))
    return parameters_of(model), entry, passing


def weights_of(
    plan: Plan, prepared: Callable[[int], Trained], kind: str, train: Dataset, seed: int
) -> Iterator[Params]:
    """Yield the weights of a family's members, zero where a unit is out."""
    if kind in ("prox", "bregman"):
        for strength in plan.prox if kind == "prox" else plan.bregman:
            yield sparse_training(plan, kind, strength, train, seed)
        return
    p = prepared(seed)
    if kind in p.passing:
        yield from p.passing[kind]
        return
    w = {"size": p.dense, "decayed size": p.decayed}.get(kind, p.end)
    for share in plan.shares:
        yield project(w, masks_of(p, kind, w, share))


def masks_of(p: Trained, kind: str, w: Params, share: float) -> Masks:
    """Keep the first units of the path; level, and of sizes, the same share in each layer.

    One at least. Sizes of different layers cannot be compared: the small ones would go first.
    """
    if kind == "order":
        first = first_units(p.entry, share)
    elif kind == "level order":
        first = {
            k: first_units({k: times}, max(share, 1 / len(times)))[k]
            for k, times in p.entry.items()
        }
    else:
        rows = {k: max(1, round(share * len(times))) for k, times in p.entry.items()}
        return magnitude_masks(w, rows, unit="rows")
    return {k: rows.view(-1, *[1] * (w[k].ndim - 1)).expand(w[k].shape)
            for k, rows in first.items()}  # fmt: skip


def sparse_training(plan: Plan, kind: str, strength: float, train: Dataset, seed: int) -> Params:
    """Train with the group norm of the units: proximal SGD, or linearized Bregman training.

    The former shortens the rows after each step. The latter moves V by the gradient and reads the
    weights off it, W = prox(V); it begins with a fifth of the units (Bungert et al. 2022).
    """
    model = plan.network(seed)
    steps, names = plan.epochs * -(-len(train.y) // BATCH), set(cuttable(model))
    g = torch.Generator().manual_seed(50_000 + seed)
    V = {k: p.detach().clone() for k, p in model.named_parameters()}
    if kind == "bregman":
        V = {k: begin(v, strength, g) if k in names else v for k, v in V.items()}
        # A ReLU that hears zero passes no gradient on: with zero biases no unit could ever enter.
        V |= {k: torch.full_like(V[k], BIAS) for k in (n.replace("weight", "bias") for n in names)}
    heavy = {k: torch.zeros_like(v) for k, v in V.items()}
    with torch.no_grad():
        set_weights(model, V, names, strength if kind == "bregman" else 0.0)
    lr = step_of(plan, steps)
    for k, (x, y) in enumerate(stream(plan, train, plan.epochs, 100 + seed)):
        model.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        with torch.no_grad():
            for name, p in model.named_parameters():
                heavy[name] = MOMENTUM * heavy[name] + (p.grad if p.grad is not None else 0)
                V[name] -= lr(k) * heavy[name]
                if kind == "prox" and name in names:
                    V[name] = group_threshold(V[name], lr(k) * strength / (1 - MOMENTUM))
            set_weights(model, V, names, strength if kind == "bregman" else 0.0)
    return parameters_of(model)


def begin(v: Tensor, strength: float, g: torch.Generator) -> Tensor:
    """Put a fifth of the rows so far beyond the threshold that their weights are v; the rest: 0."""
    kept = torch.rand(len(v), generator=g) < BEGIN
    kept[0] = True  # no layer begins empty
    norms = group_norms(v)
    return kept.view(norms.shape) * v * (1 + strength / norms)


def set_weights(model: nn.Module, V: Params, names: set[str], threshold: float) -> None:
    for name, p in model.named_parameters():
        p.copy_(group_threshold(V[name], threshold) if name in names and threshold else V[name])


# ----- the table --------------------------------------------------------------------------------


def best(members: list[Member], most: float, what: str = "multiply_adds") -> Member | None:
    """Return the living member that is best on the held-out images, of at most so much work."""
    small = [m for m in members if not m["dead"] and m[what] <= most]
    return max(small, key=lambda m: m["held"], default=None)


def summarize(plan: Plan, done: list[Cell]) -> dict[str, Any]:
    """Make one row a family: accuracy within each budget, dead members, work."""
    whole = [m for c in done if c["setting"]["family"] == "dense" for m in c["result"]["members"]]
    rows = []
    for family, (words, epochs) in {
        "dense": ("the whole network", plan.epochs), **families(plan)
    }.items():  # fmt: skip
        own = [c["result"]["members"] for c in done if c["setting"]["family"] == family]
        row = [words]
        for what, budget in (*plan.budgets, ("multiply_adds", 1.0)):
            most = budget * max(m[what] for m in whole)
            found = [best(members, most, what) for members in own]
            row.append(mean_of([100 * m["test"] for m in found if m]) if all(found) else "none")
        dead = sum(m["dead"] for members in own for m in members)
        row += [f"{dead} of {sum(map(len, own))}", str(epochs)]
        rows.append(row)
    both = len({what for what, _ in plan.budgets}) > 1
    heads = [
        f"{100 * share:g} %" + (f" of {what.replace('_', '-')}" if both else "")
        for what, share in plan.budgets
    ]
    return {"columns": ["family", *heads, "all", "dead", "epochs"], "rows": rows}


def span(strengths: tuple[float, ...]) -> str:
    """Write a grid by its ends.

    >>> span((0.5, 1.0, 2.0)), span((0.5,))
    ('0.5 to 2', '0.5')
    """
    return " to ".join(f"{one:g}" for one in dict.fromkeys((strengths[0], strengths[-1])))


def mean_of(values: list[float]) -> str:
    """Write a mean with its interval, or the only value.

    >>> mean_of([50.0])
    '50.00'
    """
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return "{:.2f} ± {:.2f}".format(*interval(values))
