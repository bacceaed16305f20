r"""A LeNet that the authors of DessiLBI trained: their copy against ours, their order against size.

The file ``lenet.pth`` lies in their public repository, DessiLBI2020/DessiLBI, in the folder
``DessiLBI/example/prune``. It holds the weights $W$ after training on MNIST and the state of their
optimizer: $V$ (``z_buffer``), $\Gamma$, the projection of $W$, and for each weight the epoch in
which it entered the path (2000: never). It is not part of this book.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear, max_pool2d, relu

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import interval, matching, run_cells
from fedlearn_lib import load
from fedlearn_lib.data import Dataset
from fedlearn_lib.sparse import L1, GroupL2
from fedlearn_lib.trees import Params

NEVER = 2000  # the epoch that their file gives to what has not entered
KEPT = {"conv3.weight": (40, 80), "fc1.weight": (50, 100, 200, 465),
        "fc2.weight": (20, 40, 80, 169)}  # fmt: skip
ORDERS = {"path": "first in on the path", "size": "largest at the end", "lot": "by lot"}
SEEDS = tuple(range(10))  # of the lots
SHAPES = {
    "conv1.weight": (6, 1, 5, 5), "conv2.weight": (16, 6, 5, 5), "conv3.weight": (120, 16, 5, 5),
    "fc1.weight": (84, 120), "fc2.weight": (10, 84),
}  # fmt: skip


class Layer(NamedTuple):
    """What their file says about one layer: weights, dual, copy, projection, epochs of entry."""

    w: Tensor
    v: Tensor
    gamma: Tensor
    projected: Tensor
    entered: Tensor


def main(
    *, root: str | None = None, folder: str | Path | None = None, file: str | Path | None = None
) -> None:
    """Run all cells and store ``authors_lenet.json``."""
    if file is None:
        raise ValueError(
            "this run needs the network that the authors trained; get lenet.pth from the folder "
            "DessiLBI/example/prune of their repository DessiLBI2020/DessiLBI and pass it by --file"
        )
    model, layers = network_of(file)
    test = load("mnist", root=root, part="test")
    cells: list[dict[str, Any]] = [{"what": "copies"}, {"what": "accuracies"}]
    cells += [
        {"what": "order", "layer": layer, "kept": k, "order": order, "seed": seed}
        for layer, counts in KEPT.items() for k in counts for order in ORDERS
        for seed in (SEEDS if order == "lot" else SEEDS[:1])
    ]  # fmt: skip

    def compute(what: str, **cell: Any) -> dict[str, Any]:
        if what == "copies":
            return {name: copies(layer) for name, layer in layers.items()}
        if what == "accuracies":
            return {
                "W": accuracy(model, test),
                "support": accuracy(with_layers(model, layers, "projected"), test),
                "copy": accuracy(with_layers(model, layers, "gamma"), test),
            }
        name = cell["layer"]
        kept = chosen(layers[name], cell["kept"], cell["order"], cell["seed"])
        return {"accuracy": accuracy({**model, name: model[name] * kept}, test)}

    run_cells(
        "authors_lenet", cells, compute, folder=folder, constants=constants_of(__name__),
        title="The authors' own network",
        question="Is our copy theirs, and does their order of entry choose better than size?",
        command="python -m fedlearn_book.reproductions authors_lenet",
        setting="their LeNet 1-6-16-120, 84-10, trained on MNIST with momentum 0.9, κ = 1, ν = 20; "
        "one layer is cut to the filters or weights kept, the others stay whole, nothing is "
        "trained again; of those that entered in one epoch the path takes the larger first",
        table=summarize,
        note="MNIST test accuracy in percent; by lot: mean ± half-width of the 95 % interval over "
        "ten lots. The command needs --file with the authors' lenet.pth, which is theirs and not "
        "part of this book (repository DessiLBI2020/DessiLBI, folder DessiLBI/example/prune).",
    )  # fmt: skip


def network_of(file: str | Path) -> tuple[Params, dict[str, Layer]]:
    """Read the weights, and what the file says about each layer with a penalty."""
    stored = torch.load(file, weights_only=True, map_location="cpu")
    try:
        states = [s for s in stored["optimizer"]["state"].values() if "z_buffer" in s]
        model: Params = dict(stored["model"])
        layers = {
            s["name"]: Layer(
                model[s["name"]], s["z_buffer"], s["gamma_buffer"], s["w_star"], s["epoch_record"]
            )
            for s in states
        }
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file} is not the authors' lenet.pth: it lacks {error}") from error
    found = {name: tuple(layer.w.shape) for name, layer in layers.items()}
    if found != SHAPES:
        raise ValueError(f"{file} must hold the layers {SHAPES}, got {found}; take lenet.pth")
    return model, layers


def outputs(w: Params, x: Tensor) -> Tensor:
    """Their network: three convolutions, two linear layers, ReLU; x [n 1 28 28] -> [n 10]."""
    h = max_pool2d(relu(conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=2)), 2)
    h = max_pool2d(relu(conv2d(h, w["conv2.weight"], w["conv2.bias"])), 2)
    h = relu(conv2d(h, w["conv3.weight"], w["conv3.bias"])).flatten(1)
    h = relu(linear(h, w["fc1.weight"], w["fc1.bias"]))
    return linear(h, w["fc2.weight"], w["fc2.bias"])


@torch.no_grad()
def accuracy(w: Params, test: Dataset) -> float:
    x = test.x.float().view(-1, 1, 28, 28)
    right = [outputs(w, part).argmax(1) for part in x.split(2000)]
    return float((torch.cat(right) == test.y).double().mean())


def with_layers(model: Params, layers: dict[str, Layer], which: str) -> Params:
    return model | {name: getattr(layer, which) for name, layer in layers.items()}


def copies(layer: Layer) -> dict[str, float]:
    """How far their copy and projection are from ours, what is in, and how much entered first.

    What entered in one epoch has no order: ``first`` counts the filters or weights of the first.
    """
    times = layer.entered.flatten(1)[:, 0] if layer.w.ndim == 4 else layer.entered.flatten()
    ours = (GroupL2() if layer.w.ndim == 4 else L1()).prox(layer.v)  # κ = 1
    inside = ours != 0
    return {
        "copy": float((ours - layer.gamma).abs().max()),
        "projection": float((layer.w * inside - layer.projected).abs().max()),
        "in": int(inside.sum()),
        "of": inside.numel(),
        "entered": int((layer.entered < NEVER).sum()),
        "first": int((times == times.min()).sum()),
        "last": int(layer.entered[layer.entered < NEVER].max()),
    }


def chosen(layer: Layer, kept: int, order: str, seed: int) -> Tensor:
    """The filters or weights that stay, as ones of the layer's shape."""
    size = layer.w.flatten(1).norm(dim=1) if layer.w.ndim == 4 else layer.w.abs().flatten()
    if order == "path":  # of those that entered in one epoch the larger one first
        epoch = layer.entered.flatten(1)[:, 0] if layer.w.ndim == 4 else layer.entered.flatten()
        score = -epoch.double() + size.double() / (1 + size.max())
    elif order == "size":
        score = size
    else:
        score = torch.rand(size.shape, generator=torch.Generator().manual_seed(seed))
    stays = torch.zeros_like(size)
    stays[score.topk(kept).indices] = 1
    return stays.view(-1, 1, 1, 1) if layer.w.ndim == 4 else stays.view(layer.w.shape)


def summarize(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row for each layer and number kept: the three orders side by side."""
    rows = []
    for layer, counts in KEPT.items():
        for k in counts:
            row = [f"{layer.partition('.')[0]}, {k} kept"]
            for order in ORDERS:
                own = matching(done, what="order", layer=layer, kept=k, order=order)
                values = [100 * one["accuracy"] for one in own]
                if len(values) > 1:
                    row.append("{:.2f} ± {:.2f}".format(*interval(values)))
                else:
                    row.append(f"{values[0]:.2f}")
            rows.append(row)
    return {"columns": ["layer", *ORDERS.values()], "rows": rows}
