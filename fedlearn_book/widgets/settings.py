"""The settings of the heterogeneity explorer: one way to split the data, measured."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from fedlearn_lib.viz import CLASS_COLORS

KINDS = ("iid", "dirichlet", "two groups", "natural")
MAX_CLIENTS = 20
NUMBERS = ("value", "tv", "w1", "gamma", "accuracy", "lo", "hi")


class Setting(NamedTuple):
    """One way to split the data, measured.

    Attributes
    ----------
    kind : ``"iid"``, ``"dirichlet"``, ``"two groups"`` or ``"natural"``.
    value : the concentration of Dirichlet, ``a`` of two groups, else ``None``.
    counts : [m classes], how many samples of each class each client holds; m at most 20.
    classes : the names of the classes, at most ten.
    tv : mean total variation between the label law of a client and that of the pool.
    w1 : mean Wasserstein distance between clients.
    gamma : γ_G at a reference model.
    accuracy : FedAvg's test accuracy in [0, 1], the same number of rounds for every setting.
    lo, hi : the range of the accuracy over seeds, if there were several.
    label : words instead of "Dirichlet, α = 0.1".
    clients : [m], the clients' names, if they have any; else they are numbered.
    """

    kind: str
    value: float | None
    counts: Sequence[Sequence[int]]
    classes: Sequence[str]
    tv: float
    w1: float
    gamma: float
    accuracy: float
    lo: float | None = None
    hi: float | None = None
    label: str = ""
    clients: Sequence[str] = ()


def mean_label_tv(counts: Sequence[Sequence[int]], weights: str = "size") -> float:
    r"""Return $\sum_ip_i\,TV(\pi_i,\pi)$ with $\pi=\sum_ip_i\pi_i$ from a table of label counts.

    ``weights="size"`` takes $p_i=n_i/n$, ``"equal"`` takes $p_i=1/m$.

    >>> mean_label_tv([[2, 0], [0, 2]])
    0.5
    """
    sizes = [sum(row) for row in counts]
    p = [n / sum(sizes) if weights == "size" else 1 / len(counts) for n in sizes]
    laws = [[c / n for c in row] for row, n in zip(counts, sizes, strict=True)]
    pool = [sum(pi * law[c] for pi, law in zip(p, laws, strict=True)) for c in range(len(laws[0]))]
    gaps = [sum(abs(a - b) for a, b in zip(law, pool, strict=True)) for law in laws]
    return float(sum(0.5 * pi * gap for pi, gap in zip(p, gaps, strict=True)))


def guess(setting: Setting) -> float:
    """Return the accuracy of whoever always says the commonest class.

    >>> guess(Setting("natural", None, [[2, 0], [3, 5]], ["no", "yes"], 0.0, 0.0, 0.0, 0.9))
    0.5
    """
    votes = [sum(row[c] for row in setting.counts) for c in range(len(setting.classes))]
    return max(votes) / sum(votes)


def tasks(settings: Sequence[Setting]) -> list[list[Setting]]:
    """Return the settings by task, the largest group first: other classes are another task.

    Accuracies of two tasks have no common scale, and stand on an axis each.
    """
    kinds = {tuple(s.classes): [t for t in settings if t.classes == s.classes] for s in settings}
    return sorted(kinds.values(), key=len, reverse=True)


def checked(settings: Sequence[Setting], weights: str) -> list[Setting]:
    """Return the settings with plain numbers and lists; a wrong one is an error that says why."""
    if len(settings) < 2:
        raise ValueError(f"settings must hold at least two splits to compare, got {len(settings)}")
    plain = [_checked_one(i, setting, weights) for i, setting in enumerate(settings)]
    keys = [(s.kind, s.value, s.label) for s in plain]
    if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
        raise ValueError(f"settings holds {', '.join(twice)} more than once: keep one of each")
    return plain


def _checked_one(i: int, setting: Setting, weights: str) -> Setting:
    where = f"settings[{i}]"
    if setting.kind not in KINDS:
        raise ValueError(f"{where}.kind must be one of {KINDS}, got {setting.kind!r}")
    counts = [[int(count) for count in row] for row in setting.counts]
    classes = [str(name) for name in setting.classes]
    if not 1 <= len(counts) <= MAX_CLIENTS or not 1 <= len(classes) <= len(CLASS_COLORS):
        raise ValueError(
            f"{where} has {len(counts)} clients and {len(classes)} classes; at most {MAX_CLIENTS} "
            f"and {len(CLASS_COLORS)} can be told apart: show some of the clients"
        )
    if any(len(row) != len(classes) or min(row) < 0 or sum(row) == 0 for row in counts):
        raise ValueError(
            f"{where}.counts needs {len(classes)} counts of at least 0 for each client, one a "
            "class, and no client without samples"
        )
    names = [str(name) for name in setting.clients]
    if names and len(set(names)) != len(counts):
        raise ValueError(
            f"{where}.clients must be {len(counts)} different names, one a client, got {names}; "
            "leave it out to number them"
        )
    numbers = {name: _finite(where, name, getattr(setting, name)) for name in NUMBERS}
    plain = Setting(
        **setting._asdict() | numbers | {"counts": counts, "classes": classes, "clients": names}
    )
    tv = mean_label_tv(counts, weights)
    if abs(tv - plain.tv) > 1e-6:
        raise ValueError(
            f"{where}.tv is {plain.tv:.6f}, but its counts give {tv:.6f} with "
            f'weights="{weights}": pass mean_label_tv(counts) or the other weights'
        )
    return plain


def _finite(where: str, name: str, value: float | None) -> float | None:
    if value is not None and not isfinite(value):
        raise ValueError(f"{where}.{name} must be a finite number, got {value}")
    return None if value is None else float(value)
