"""Models as pairs (parameters, pure loss): any ``nn.Module`` that keeps and draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_choice, check_integers, check_memory, is_integer
from fedlearn_lib._explained import explained_result
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated.oracles import Loss
from fedlearn_lib.trees import Params

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "elu": nn.ELU, "tanh": nn.Tanh}


@checked()
def logistic(inputs: int, classes: int, *, seed: int = 0) -> nn.Module:
    """Multinomial logistic regression, one linear map: [b inputs] -> [b classes].

    >>> sum(p.numel() for p in logistic(64, 10).parameters())
    650
    """
    check_integers(inputs=inputs, classes=classes)
    check_memory(inputs * classes, inputs=inputs, classes=classes)
    return mlp(inputs, classes, seed=seed)


@checked()
def mlp(*sizes: int, activation: str = "tanh", seed: int = 0) -> nn.Module:
    """A fully connected network: ``mlp(784, 80, 60, 10)`` has two hidden layers.

    Inputs of any shape are flattened. ``activation`` is ``"tanh"``, the one whose second
    derivative does not jump, as meta-gradients want it, ``"elu"`` or ``"relu"``.

    >>> mlp(784, 100, 10)(torch.zeros(5, 28, 28)).shape
    torch.Size([5, 10])
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(
            f"sizes must be at least two positive layer widths, got {sizes}; try 784, 80, 60, 10"
        )
    check_choice("activation", activation, sorted(ACTIVATIONS))
    check_memory(sum(a * b for a, b in pairwise(sizes)), sizes=sizes)
    with _seeded(seed):
        layers: list[nn.Module] = [nn.Flatten()]
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            layers += [ACTIVATIONS[activation]()] if i else []
            layers += [nn.Linear(fan_in, fan_out)]
        return nn.Sequential(*layers)


@checked()
def lenet(
    *, classes: int = 10, widths: Sequence[int] = (6, 16, 120, 84), seed: int = 0
) -> nn.Sequential:
    """LeNet for 28 × 28 images: convolutions with 6, 16 and 120 filters, then 84 units.

    After LeCun, Bottou, Bengio, Haffner (1998), with ReLU and max pooling. ``widths`` makes it
    narrower or wider.

    >>> lenet()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    if len(widths) != 4 or not all(is_integer(n) and n > 0 for n in widths):
        raise ValueError(f"widths must be four numbers of units, got {widths}; try 6, 16, 120, 84")
    a, b, c, d = widths
    check_integers(classes=classes)
    check_memory(25 * (a + a * b + b * c) + c * d + d * classes, widths=widths, classes=classes)
    with _seeded(seed):
        return nn.Sequential(
            nn.Conv2d(1, a, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(a, b, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(b, c, 5), nn.ReLU(), nn.Flatten(),
            nn.Linear(c, d), nn.ReLU(), nn.Linear(d, classes),
        )  # fmt: skip


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with group normalization, and a short cut around them."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False), nn.GroupNorm(4, fan_out),
            nn.ReLU(),
            nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False), nn.GroupNorm(4, fan_out),
        )  # fmt: skip
        same = fan_in == fan_out and stride == 1
        self.short = nn.Identity() if same else nn.Conv2d(fan_in, fan_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.short(x))


@checked()
def resnet(
    *, channels: int = 3, width: int = 16, blocks: int = 1, classes: int = 10, seed: int = 0
) -> nn.Module:
    """A small residual network: 3 stages of ``blocks`` blocks, ``width`` to ``4·width`` filters.

    Group normalization keeps no running statistics, so the model is a pure function of its
    parameters and fits :func:`fedlearn_lib.map_clients`. ``width`` is a multiple of 4.

    >>> resnet(width=4)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    if width % 4 or width < 4 or blocks < 1:
        raise ValueError(
            "width must be a positive multiple of 4 and blocks at least 1, got "
            f"width={width} and blocks={blocks}; try 16 and 1"
        )
    check_integers(channels=channels, classes=classes)
    needed = 9 * channels * width + 300 * blocks * width**2 + 4 * width * classes
    check_memory(needed, channels=channels, width=width, blocks=blocks, classes=classes)
    with _seeded(seed):
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, 1, 1, bias=False)]
        layers += [nn.GroupNorm(4, width), nn.ReLU()]
        fan_in = width
        for stage in range(3):
            for block in range(blocks):
                fan_out = width * 2**stage
                layers.append(ResidualBlock(fan_in, fan_out, 2 if stage and not block else 1))
                fan_in = fan_out
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, classes)]
        return nn.Sequential(*layers)


@checked()
def parameters_of(model: nn.Module) -> Params:
    """Return a detached copy of the model's parameters by name, the ``w`` of the book.

    >>> {name: tuple(v.shape) for name, v in parameters_of(logistic(2, 3)).items()}
    {'1.weight': (3, 2), '1.bias': (3,)}
    """
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@checked()
@explained_result
def loss_of(model: nn.Module, criterion: Callable[[Tensor, Tensor], Tensor] | None = None) -> Loss:
    r"""Return ``loss(w, (x, y)) -> scalar``, the mean of the criterion over the batch.

    ``criterion`` defaults to cross-entropy. The model's own parameters are not used: ``w`` holds
    all of them, under their names, as from :func:`parameters_of`.

    >>> model = logistic(2, 3)
    >>> zero = {name: 0 * value for name, value in parameters_of(model).items()}
    >>> round(loss_of(model)(zero, (torch.ones(4, 2), torch.tensor([0, 1, 2, 0]))).item(), 4)
    1.0986
    """
    outputs_of, score = _pure(model), criterion or functional.cross_entropy
    return lambda w, batch: score(outputs_of(w, batch[0]), batch[1])


@checked()
@explained_result
def accuracy_of(model: nn.Module) -> Callable[[Params, Batch], Tensor]:
    """Return ``metric(w, (x, y)) -> [b]``: 1.0 where the class with the largest output is y.

    >>> model = logistic(2, 3)
    >>> accuracy_of(model)(parameters_of(model), (torch.zeros(4, 2), torch.zeros(4))).shape
    torch.Size([4])
    """
    outputs_of = _pure(model)
    return lambda w, batch: batch[1].eq(outputs_of(w, batch[0]).argmax(-1)).float()


def _pure(model: nn.Module) -> Callable[[Params, Tensor], Tensor]:
    """The model as a function of ``w`` and inputs, once it is sure to be one of nothing else."""
    _check_pure(model)
    shapes = {name: value.shape for name, value in model.named_parameters()}
    tied = len(list(model.named_parameters(remove_duplicate=False))) > len(shapes)

    def outputs(w: Params, x: Tensor) -> Tensor:
        if w.keys() != shapes.keys() or any(w[name].shape != shapes[name] for name in shapes):
            _refuse(w, shapes)
        # looking for tied weights in each call would take a tenth of a small network's step
        found: Tensor = functional_call(model, w, (x,), tie_weights=tied)
        return found

    return outputs


def _refuse(w: Params, shapes: Mapping[str, torch.Size]) -> NoReturn:
    wrong = [f"no {name}" for name in shapes if name not in w]
    wrong += [f"unknown {name}" for name in w if name not in shapes]
    wrong += [
        f"{name} of shape {tuple(w[name].shape)} instead of {tuple(shape)}"
        for name, shape in shapes.items() if name in w and w[name].shape != shape
    ]  # fmt: skip
    raise ValueError(
        f"w must have the names and shapes of the model's parameters, got {', '.join(wrong)}; "
        "take w from parameters_of(model)"
    )


def _check_pure(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if not module.training:
            continue
        if getattr(module, "track_running_stats", False):
            raise ValueError(
                f"the model's layer {name!r} keeps running statistics, {module}, so its loss is "
                "not a function of its parameters alone; use GroupNorm or LayerNorm instead"
            )
        if isinstance(module, DROPOUT) and module.p > 0:
            raise ValueError(
                f"the model's layer {name!r} draws random numbers of its own, {module}; "
                "remove it, or call model.eval() to switch it off"
            )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Make module initialization repeatable and leave torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
