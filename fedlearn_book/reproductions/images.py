r"""SplitLBI on a folder of images in the layout of ImageNet: ``train/CLASS/*``, ``val/CLASS/*``.

``python -m fedlearn_book.reproductions images --root FOLDER``. Every epoch is a cell, and two
checkpoints beside the result let a run go on wherever it was stopped. The book has tried this
command on folders of a few drawn images only: nobody here has run ImageNet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import folder_of, run_cells
from fedlearn_lib import SplitLBI, loss_of, parameters_of, penalty_groups, project, resnet
from fedlearn_lib.data.clients import Batch
from fedlearn_lib.structure import Masks, kept_share

ENDINGS = (".jpeg", ".jpg", ".png", ".bmp")
LR, NU, MOMENTUM, DECAY = 0.1, 1000.0, 0.9, 1e-4  # the paper's for ImageNet; step ÷ 10 per third
Cell = dict[str, Any]


class Plan(NamedTuple):
    """The size of a run: epochs, pixels of a side, images of a batch, width of the network."""

    epochs: int = 90
    side: int = 64
    batch: int = 128
    width: int = 16
    blocks: int = 2


class Files(NamedTuple):
    """Paths of images, the number of the class of each, and the names of the classes."""

    paths: list[Path]
    labels: Tensor
    classes: list[str]


def main(
    *, root: str | None = None, folder: str | Path | None = None, plan: Plan | None = None
) -> None:
    """Train on ``root/train``, score on ``root/val`` after each epoch, store ``images.json``."""
    plan = plan or Plan()
    if root is None:
        raise ValueError("images needs a folder with train/CLASS/* and val/CLASS/*; pass --root")
    train, val = (files_of(Path(root).expanduser() / part) for part in ("train", "val"))
    if train.classes != val.classes:
        raise ValueError(
            f"train and val must hold the same classes, got {len(train.classes)} and "
            f"{len(val.classes)}; {set(train.classes) ^ set(val.classes)} differ"
        )
    home = folder_of(folder)
    run_cells(
        "images",
        [{"epoch": epoch, "seed": 0} for epoch in range(plan.epochs)],
        partial(compute, plan, train, val, home),
        folder=home,
        constants=constants_of(__name__)
        | {"plan": plan, "images": len(train.paths), "classes": train.classes},
        title=f"{len(train.paths)} images of {len(train.classes)} classes",
        question="What do the dense and the sparse model score along the path?",
        command=f"python -m fedlearn_book.reproductions images --root {Path(root).name}",
        setting=f"{plan.side} × {plan.side} pixels, batches of {plan.batch}, a residual network "
        f"of width {plan.width} with {plan.blocks} blocks a stage, α = {LR:g} ÷ 10 after each "
        f"third, ν = {NU:g}, momentum {MOMENTUM:g} on the loss, weight decay {DECAY:g}",
        table=summarize,
        note="Accuracy on val in percent, of W and of its projection on the support of Γ; share "
        "of the penalized weights in the support.",
    )
    for checkpoint in home.glob("images.*.pt"):
        checkpoint.unlink()


def compute(
    plan: Plan, train: Files, val: Files, folder: Path, epoch: int, seed: int
) -> dict[str, float]:
    """Take one epoch from where the last one ended."""
    model = resnet(width=plan.width, blocks=plan.blocks, classes=len(train.classes), seed=seed)
    optimizer = SplitLBI(
        penalty_groups(model), LR, nu=NU, momentum=MOMENTUM, momentum_on="loss", weight_decay=DECAY
    )
    if epoch:
        saved = torch.load(folder / f"images.{epoch}.pt", weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    for group in optimizer.param_groups:
        group["lr"] = LR * 0.1 ** (3 * epoch // plan.epochs)
    g = torch.Generator().manual_seed(1000 * seed + epoch)
    for x, y in batches(train, plan, g):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(saved, folder / f"images.{epoch + 1}.pt")
    (folder / f"images.{epoch - 1}.pt").unlink(missing_ok=True)
    return scores(model, optimizer, val, plan)


def scores(model: nn.Module, optimizer: SplitLBI, val: Files, plan: Plan) -> dict[str, float]:
    """Score the dense and the projected model on all images of ``val``."""
    w, names = parameters_of(model), dict(model.named_parameters())
    masks: Masks = {
        name: optimizer.support(p) for name, p in names.items() if p.ndim > 1
    }  # fmt: skip
    right = loss_of(model, lambda out, y: (out.argmax(1) == y).float().sum())
    found = {}
    for name, leaves in (("dense", w), ("sparse", project(w, masks))):
        with torch.no_grad():
            hits = sum(float(right(leaves, batch)) for batch in batches(val, plan))
        found[name] = round(hits / len(val.paths), 4)
    return {**found, "share": round(kept_share(masks), 4)}


def files_of(folder: Path) -> Files:
    """List the images of every class folder, classes and files in the order of their names."""
    classes = sorted(path.name for path in folder.glob("*/")) if folder.is_dir() else []
    found = [
        (path, label) for label, name in enumerate(classes)
        for path in sorted((folder / name).rglob("*")) if path.suffix.lower() in ENDINGS
    ]  # fmt: skip
    if len({label for _, label in found}) < max(2, len(classes)):
        raise ValueError(
            f"{folder} must hold two or more folders, one a class, each with images that end in "
            f"{', '.join(ENDINGS)}; got {len(found)} images in {len(classes)} folders"
        )
    return Files([path for path, _ in found], torch.tensor([y for _, y in found]), classes)


def batches(files: Files, plan: Plan, generator: torch.Generator | None = None) -> Iterator[Batch]:
    """Yield batches read from the disk: in a random order, or as they are without a generator."""
    n = len(files.paths)
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    for rows in order.split(plan.batch):
        x = torch.stack([read_image(files.paths[i], plan.side) for i in rows.tolist()])
        yield x, files.labels[rows]


def read_image(path: Path, side: int) -> Tensor:
    """Read [3 side side] in [-1, 1]: shorter side to 8/7 of ``side``, then the middle."""
    from PIL import Image

    with Image.open(path) as image:
        scale = 8 * side / 7 / min(image.size)
        size = [max(side, round(scale * length)) for length in image.size]
        small = image.convert("RGB").resize((size[0], size[1]))
    left, top = ((length - side) // 2 for length in small.size)
    pixels = np.array(small.crop((left, top, left + side, top + side)), dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1


def summarize(done: list[Cell]) -> dict[str, Any]:
    """Make one row an epoch."""
    rows = [
        [cell["setting"]["epoch"] + 1,
         *(f"{100 * cell['result'][name]:.1f}" for name in ("dense", "sparse", "share"))]
        for cell in done
    ]  # fmt: skip
    return {"columns": ["epoch", "dense", "sparse", "share kept (%)"], "rows": rows}
