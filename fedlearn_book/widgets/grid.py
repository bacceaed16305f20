"""The grid of an everyday figure: its points, its start and its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

Values = dict[str, Any]

SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda_": "λ", "mu": "μ", "nu": "ν", "rho": "ρ", "sigma": "σ",
    "tau": "τ",
}  # fmt: skip


class Plan(NamedTuple):
    """All that is needed to show a figure, however it is shown."""

    draw: Callable[..., Any]
    grid: Mapping[str, Sequence[Any]]
    start: Values
    labels: Mapping[str, str]
    describe: Callable[..., str]
    caption: str | None


def points(grid: Mapping[str, Sequence[Any]]) -> Iterator[Values]:
    """Yield the points of a grid as keyword arguments."""
    return (dict(zip(grid, point, strict=True)) for point in product(*grid.values()))


def show(value: Any) -> str:
    """Write a value as a reader wants to read it: four significant digits, no trailing zeros."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def describer(alt: str | Callable[..., str], labels: Mapping[str, str]) -> Callable[..., str]:
    """Return the function that puts a point of the grid into words."""

    def describe(**values: Any) -> str:
        text = alt(**values) if callable(alt) else alt
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"alt must say in words what the figure shows, got {text!r}; write a sentence"
            )
        state = ", ".join(f"{labels[name]} = {show(value)}" for name, value in values.items())
        return f"{text.strip()} ({state})"

    return describe


def listed(name: str, values: Sequence[Any]) -> list[Any]:
    """Return the values of one control as plain Python values."""
    plain = [value.item() if hasattr(value, "item") else value for value in values]
    if isinstance(values, str) or len(plain) < 2 or len(set(map(repr, plain))) < len(plain):
        raise ValueError(
            f"{name} must be a list of two or more different values to move between, got {values!r}"
        )
    return plain


def start_of(grid: Mapping[str, list[Any]], given: Values) -> Values:
    """Return the point shown first: as given, and the middle of the list for the rest."""
    for name, value in given.items():
        if name not in grid:
            raise ValueError(f"start names {name!r}, but the grid has {sorted(grid)}")
        if value not in grid[name]:
            raise ValueError(f"start has {name}={value!r}, which is not one of {grid[name]}")
    middle = {name: values[len(values) // 2] for name, values in grid.items()}
    return middle | given


def labels_of(grid: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return the words of each control, in the order of the grid.

    >>> labels_of({"tau": [1, 2], "local_steps": [1, 2]}, {})
    {'tau': 'τ', 'local_steps': 'local steps'}
    """
    if extra := sorted(set(given) - set(grid)):
        raise ValueError(f"labels names {extra}, but the grid has {sorted(grid)}: use its names")
    return {name: given.get(name, SYMBOLS.get(name, name.replace("_", " "))) for name in grid}
