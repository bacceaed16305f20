"""What the long runs of chapters 11 and 13 say: tickets, and networks that grow or were trained.

Everything is read from the stored results of ``tickets``, ``optimizers`` and ``growth``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn_book.reproductions import read
from fedlearn_book.reproductions.record import ALIVE, interval, matching
from fedlearn_book.reproductions.tickets import METHODS

DATA = {
    "tickets_mnist": "MNIST", "tickets_fashion": "Fashion-MNIST", "tickets_cifar10": "CIFAR-10"
}  # fmt: skip
RIVALS = tuple(name for name in METHODS if name != "early")
FORMS = {"SplitLBI": "SGD", "SplitLBI, momentum": "momentum",
         "SplitLBI, momentum + decay": "momentum + decay"}  # fmt: skip
Table = dict[str, Any]


def values(name: str, what: str, **setting: Any) -> np.ndarray:
    """Return one value a seed from the cells of a run; of a list by epochs, the last.

    >>> values("tickets_mnist", "accuracy", method="early", share=0.4).shape
    (3,)
    >>> values("lenet_mnist", "dense", method="momentum").shape
    (5,)
    """
    found = [result[what] for result in matching(read(name)["cells"], **setting)]
    return np.array([one[-1] if isinstance(one, list) else one for one in found])


def gaps(name: str, rival: str, share: float) -> np.ndarray:
    """Return how far *early* is ahead of a rival, one value for each seed in which both learned."""
    early, other = (values(name, "accuracy", method=m, share=share) for m in ("early", rival))
    found: np.ndarray = 100 * (early - other)[np.minimum(early, other) >= ALIVE]
    return found


def lead(name: str, rival: str, share: float) -> str:
    """Write the mean of the gaps and its half-width; if a seed is left out, median and how many.

    >>> lead("tickets_mnist", "rewound", 0.2), lead("tickets_mnist", "random", 0.4)
    ('0.35 ± 0.29', '0.36 (1 dead)')
    """
    found, seeds = gaps(name, rival, share), len(read(name)["seeds"])
    if len(found) == seeds:
        return "{:.2f} ± {:.2f}".format(*interval(found.tolist()))
    return f"{np.median(found):.2f} ({seeds - len(found)} dead)"


def shares(name: str) -> list[float]:
    """Return the shares of the units that a run keeps, from 20 percent on.

    >>> shares("tickets_fashion")
    [0.2, 0.4, 0.7]
    """
    found = {cell["setting"]["share"] for cell in read(name)["cells"]}
    return sorted(share for share in found if 0.1 < share < 1)


def leads() -> Table:
    """Return one row a data set and share: how far *early* is ahead of each rival, in points."""
    rows = [
        [words, f"{100 * share:.0f} %"]
        + [lead(name, rival, share) for rival in RIVALS]
        for name, words in DATA.items() for share in shares(name)
    ]  # fmt: skip
    return {"columns": ["data", "kept", *(METHODS[rival] for rival in RIVALS)], "rows": rows}


def thin() -> Table:
    """Return one row a seed: where the path's first tenth of the units lies, and what it scores."""
    rows = []
    for name in ("tickets_mnist", "tickets_fashion"):
        layers = matching(read(name)["cells"], method="early", share=0.1)
        scores = [
            values(name, "accuracy", method=m, share=0.1)
            for m in ("early", "random by layer", "random")
        ]
        for seed, one in enumerate(layers):
            units = " + ".join(str(count) for count in one["layers"])
            rows.append([DATA[name], f"{seed}", units, *(f"{100 * s[seed]:.1f}" for s in scores)])
    heads = [METHODS[m] for m in ("early", "random by layer", "random")]
    return {"columns": ["data", "seed", "units of the path by layer", *heads], "rows": rows}


def by_seed() -> Table:
    """Return one row a form of SplitLBI: LeNet on MNIST, dense and on the support, seed by seed."""
    rows = [
        [form, *(
            " ".join(f"{100 * v:.2f}" for v in values("lenet_mnist", what, method=form))
            for what in ("dense", "projected")
        )]
        for form in [*FORMS, "SplitLBI, momentum, half the step"]
    ]  # fmt: skip
    return {"columns": ["form", "dense", "on the support"], "rows": rows}


def arrivals() -> Table:
    """Return one row a form: CIFAR-10, ahead of SGD, price of the projection, filters in."""
    rows = []
    for form, rival in FORMS.items():
        dense, sparse, other = (
            values("resnet_cifar10", what, method=m)
            for what, m in (("dense", form), ("projected", form), ("dense", rival))
        )
        runs = matching(read("resnet_cifar10")["cells"], method=form)
        filters = np.mean([result["filters"] for result in runs], axis=(0, 2))
        rows.append(
            [form]
            + ["{:.2f} ± {:.2f}".format(*interval((100 * gap).tolist()))
               for gap in (dense - other, sparse - dense)]
            + [", ".join(f"{100 * filters[k - 1]:.0f}" for k in (2, 3, 4, 5, 6, 12))]
        )  # fmt: skip
    heads = ["minus SGD of the same kind", "on the support minus dense"]
    after = "filters in (%) after 2, 3, 4, 5, 6, 12 epochs"
    return {"columns": ["form", *heads, after], "rows": rows}


def grown() -> Table:
    """Return one row a rival: how far the grown networks are ahead of it, in points."""
    own = values("growth", "accuracy", method="grown")
    rivals = {"same work": "the grown size from the beginning, same work",
              "same size": "the grown size from the beginning, same epochs",
              "lenet": "LeNet"}  # fmt: skip
    rows = [
        [words, "{:.2f} ± {:.2f}".format(
            *interval((100 * (own - values("growth", "accuracy", method=rival))).tolist())
        )]
        for rival, words in rivals.items()
    ]  # fmt: skip
    return {"columns": ["rival", "grown minus the rival"], "rows": rows}
