"""Five kinds of difference between two clients, drawn as a grid beside what three measures see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from fedlearn_book.widgets import Picture, picture
from fedlearn_lib.viz import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Client = tuple[Tensor, Tensor]  # inputs [n 2] and labels [n]
INK, SOFT, PAINT = "#1f2937", "#6b7280", (COLORS["client"], COLORS["shared"])
HEADS = ("TV of labels", "$W_1$ of inputs", r"$\gamma_G$ at $w=0$")
SIDE = 1.12  # inches of a panel
CAPTION = (
    "No two kinds of difference look the same to the three measures, and no measure sees all of "
    "them. Colors are clients, marks (circle and cross) are labels."
)


class Kind(NamedTuple):
    """A kind of difference: two clients, what each measure says, and what chance makes of it."""

    clients: Sequence[Client]
    found: Sequence[float]
    chance: Sequence[float]

    def sees(self, k: int) -> bool:
        """Say whether measure ``k`` is larger than chance made it."""
        return self.found[k] > self.chance[k]


def five_kinds(kinds: Mapping[str, Kind]) -> Picture:
    """Draw the grid: a column a kind, on a phone a row a kind."""
    return picture(_wide(kinds), narrow=_narrow(kinds), alt=_alt(kinds), caption=CAPTION)


def _alt(kinds: Mapping[str, Kind]) -> str:
    said = []
    for name, kind in kinds.items():
        seen = [word for k, word in enumerate(("TV", "W₁", "γ_G")) if kind.sees(k)]
        said.append(f"{name}: seen by {' and '.join(seen) or 'none'}")
    return (
        "Pairs of clients, drawn as clouds of points with two kinds of marks, and what three "
        f"measures see of each difference. {'; '.join(said)}."
    )


def _wide(kinds: Mapping[str, Kind]) -> Figure:
    page = _page(7.4, 3.1)
    for k, head in enumerate(HEADS):
        page.text(0.02, 1.3 - 0.5 * k, head, va="center", size=9)
    for i, (name, kind) in enumerate(kinds.items()):
        x = 1.68 + 1.26 * i
        _clouds(page, (x - SIDE / 2, 1.62), kind.clients)
        page.text(x, 2.84, name, ha="center", size=9)
        for k in range(3):
            _verdict(page, (x, 1.3 - 0.5 * k), kind, k)
    return page.get_figure(root=True)  # type: ignore[return-value]


def _narrow(kinds: Mapping[str, Kind]) -> Figure:
    page = _page(4.1, 7.6)
    for k, head in enumerate(HEADS):
        page.text(1.67 + 0.92 * k, 7.4, head, ha="center", va="center", size=9)
    for i, (name, kind) in enumerate(kinds.items()):
        y = 6.41 - 1.44 * i
        _clouds(page, (0.02, y - SIDE / 2), kind.clients)
        page.text(0.58, y + 0.61, name, ha="center", size=9)
        for k in range(3):
            _verdict(page, (1.67 + 0.92 * k, y), kind, k)
    return page.get_figure(root=True)  # type: ignore[return-value]


def _page(width: float, height: float) -> Axes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="none")
    figure.set_layout_engine("none")
    page = figure.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, width), ylim=(0, height))
    page.axis("off")
    return page


def _clouds(page: Axes, corner: tuple[float, float], clients: Sequence[Client]) -> None:
    """Draw the samples of both clients in a panel, of which the lower left corner is given."""
    (_, wide), (_, high) = page.get_xlim(), page.get_ylim()
    place = (corner[0] / wide, corner[1] / high, SIDE / wide, SIDE / high)
    ax = page.get_figure(root=True).add_axes(place)  # type: ignore[union-attr]
    ax.set(xlim=(-3.7, 3.7), ylim=(-3.1, 4.3), xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set(visible=True, color="#9CA3AF")
    for (x, y), color in zip(clients, PAINT, strict=True):
        ax.plot(*x[y == 0].T, "o", ms=2.8, mfc="none", mec=color, mew=0.8)
        ax.plot(*x[y == 1].T, "x", ms=3.4, color=color, mew=0.9)


def _verdict(page: Axes, at: tuple[float, float], kind: Kind, k: int) -> None:
    sees = kind.sees(k)
    words = f"{kind.found[k]:.2f}\n{'sees it' if sees else 'blind'}"
    box = {"boxstyle": "round,pad=0.35", "fc": PAINT[1] if sees else "none", "ec": "none"}
    page.text(
        *at, words, ha="center", va="center", size=9, color=INK if sees else SOFT,
        weight="bold" if sees else "normal", bbox=box | {"alpha": 0.16},
    )  # fmt: skip
