"""From one to everybody's own: a path of personalization, drawn from its knots."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fedlearn_book.widgets import grid, personal_still
from fedlearn_book.widgets.hero import Hero
from fedlearn_book.widgets.personal_knots import Personal, personal_of
from fedlearn_lib import Clients
from fedlearn_lib.federated import PersonalPath, personalization_path
from fedlearn_lib.viz import CLASS_COLORS

MAX_BYTES = 300_000
MAX_SETTINGS, MAX_STEPS, MAX_CLIENTS, MAX_NUMBERS, MAX_WORD = 6, 5, 8, 6, 16
FIRST = 0.06  # of the time axis lies between 0 and where its logarithms begin
#: A color a client; yellow is too pale for words on white.
TONES = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#7B4EA3", "#8C564B")
assert set(TONES) <= set(CLASS_COLORS)
Made = tuple[Clients, Clients]


class Far(NamedTuple):
    """Whose number is dragged away, and how far."""

    client: int
    number: int
    steps: list[float]


class PersonalExplorer(Hero):
    r"""Show the path from one model for all to everybody's own; the last line of a cell.

    ``make(**values)`` returns the clients' training and test rows for squared losses of a linear
    model. The reader drags the path time and sees which number of which client becomes personal
    when, the accounts $|V_{ij}|$ that fill, the models in use with the shared one among them, the
    error on the test rows, and what a mean, the LASSO with $\lambda=1/t$ and the path make of the
    shared number. All paths are computed now, by
    :func:`fedlearn_lib.federated.personalization_path` and by LARS; the page evaluates them exactly
    at any time.

    Parameters
    ----------
    make : a plain function of the slider's name that returns two :class:`Clients`; inputs are
        [m n d] (a column of ones is an intercept), targets [m n]; at most 8 clients and 6 numbers.
    names, numbers : of the m clients and of the d numbers of a model, at most 16 letters each.
    far : ``(client, number, steps)``, by name: one client is dragged away by steps of which the
        first is 0, for instance ``("Switzerland", "intercept", [0, 3, 10, 100])``. A step is added
        to this number of the client's truth: to its targets, times the number's column.
    t : the time shown first; by default between the first and the second knot.
    t_max : the end of the time axis; by default just after the last knot of all settings.
    number : whose values are shown first; by default the first to become personal.
    start, labels, alt : as for :func:`fedlearn_book.widgets.explore`.
    values : one list for the slider of heterogeneity, for instance ``s=[0.5, 1, 2]``; at most 6.
    """

    def __init__(
        self,
        make: Callable[..., Made],
        *,
        names: Sequence[str],
        numbers: Sequence[str],
        far: tuple[str, str, Sequence[float]] | None = None,
        t: float | None = None,
        t_max: float | None = None,
        number: str | None = None,
        start: grid.Values | None = None,
        labels: Mapping[str, str] | None = None,
        alt: str | None = None,
        **values: Sequence[Any],
    ) -> None:
        self.grid = {name: grid.listed(name, given) for name, given in values.items()}
        self.names, self.numbers = list(names), list(numbers)
        _check(self.grid, self.names, self.numbers)
        self.far = _far(far, self.names, self.numbers)
        self.start = grid.start_of(self.grid, start or {})
        self.labels = grid.labels_of(self.grid, dict(labels or {}))
        problems = [_checked(make(**point), self) for point in grid.points(self.grid)]
        moved = [[_moved(both, self.far, step) for step in self.far.steps] for both in problems]
        end = math.inf if t_max is None else t_max
        paths = [[personalization_path(train, t_max=end) for train, _ in row] for row in moved]
        self.low, self.t_max = time_axis(paths, t_max)
        self.paths = [
            [personal_of(path, *both, self.t_max) for path, both in zip(*rows, strict=True)]
            for rows in zip(paths, moved, strict=True)
        ]
        self.near = [row[0] for row in self.paths]  # while nobody is dragged away
        self.tones, self.spans = TONES[: len(self.names)], spans(self.near)
        shown = self._of(self.far.steps[0])
        if len(shown.path.t) == 1:
            raise ValueError(
                f"at the start, {self.start}, no number becomes personal until {self.t_max:.3g}: "
                "the clients agree; start where they differ, or pass a larger t_max"
            )
        time = self._on_axis(telling(shown, self.t_max) if t is None else t)
        first = int(shown.path.entry_times().min(0).values.argmin())
        self.number = first if number is None else _place(number, self.numbers, "number")
        super().__init__(
            "personal",
            self._state_at(time),
            still=personal_still.draw(self, shown, time),
            alt=alt or personal_still.describe(self, shown, time),
            bounds={
                "t": (0.0, self.t_max),
                "setting": (0, len(self.paths) - 1),
                "far": (0, len(self.far.steps) - 1),
                "number": (0, len(self.numbers) - 1),
            },
            limit=MAX_BYTES,
            advice=f"it has {len(self.paths) * len(self.far.steps)} paths; pass fewer settings, "
            "fewer steps of far, or a smaller t_max",
        )

    def _on_axis(self, t: float) -> float:
        """Return a time as the page writes it; one that is off the axis is an error."""
        time = float(f"{t:.9g}")
        if not 0 <= time <= self.t_max:
            raise ValueError(
                f"t must be from 0 to t_max={self.t_max:.3g}, got {t}; choose a time on the axis"
            )
        return time

    def _state_at(self, t: float) -> dict[str, Any]:
        """Return what the page reads: every setting's knots, the words, and what is shown first."""
        ((name, values),) = self.grid.items()
        options = {
            "slider": [self.labels[name], [grid.show(value) for value in values]],
            "names": self.names,
            "numbers": self.numbers,
            "tones": list(self.tones),
            "far": {
                "client": self.far.client,
                "number": self.far.number,
                "steps": [grid.show(step) for step in self.far.steps],
            },
            "axis": [self.low, self.t_max, FIRST],
            "spans": self.spans,
            "worst": float(f"{max(float(one.error.max()) for one in self.near):.4g}"),
        }
        return {
            "settings": [[one.packed() for one in row] for row in self.paths],
            "options": options,
            "setting": values.index(self.start[name]),
            "far": 0,
            "number": self.number,
            "t": t,
        }

    def at(self, t: float, *, far: float | None = None, **values: Any) -> dict[str, Tensor]:
        """Return what the figure shows at a time: w, mean, lasso [d], delta, V, wish [m d], error.

        ``far`` is one of the steps, by default the first, and values that are left out are those of
        ``start``. ``mean`` is the shared model at time 0.
        """
        one = self._of(self.far.steps[0] if far is None else far, **values)
        return one.at(t) | {"mean": one.path.w[0], "lasso": one.lasso_at(t)}

    def _of(self, far: float, **values: Any) -> Personal:
        point = grid.start_of(self.grid, self.start | values)
        row = self.paths[list(grid.points(self.grid)).index(point)]
        return row[self.far.steps.index(far)]


def time_axis(
    paths: Sequence[Sequence[PersonalPath]], t_max: float | None = None
) -> tuple[float, float]:
    """Return where the logarithms of the time axis begin and where it ends.

    They begin a little before the first entry while nobody is dragged away; 0 lies left of it.
    """
    firsts = [float(row[0].t[1]) for row in paths if len(row[0].t) > 1]
    if not firsts:
        raise ValueError(
            "no number becomes personal at any setting: the clients agree; pass settings in which "
            "they differ, or a larger t_max"
        )
    last = max(float(one.t[-1]) for row in paths for one in row)
    low, high = 0.7 * min(firsts), 1.25 * last if t_max is None else t_max
    return float(f"{low:.6g}"), float(f"{high:.6g}")


def telling(shown: Personal, t_max: float) -> float:
    """Return the middle, on a log axis, between the first knot and the second."""
    knots = [*shown.path.t[1:].tolist(), t_max]
    return float((knots[0] * knots[1]) ** 0.5)


def spans(paths: Sequence[Personal]) -> list[tuple[float, float]]:
    """Return for each number the axis that holds it in all models in use, with a margin."""
    used = torch.cat([(one.path.w[:, None] + one.path.delta).flatten(0, 1) for one in paths])
    low, high = used.min(0).values, used.max(0).values
    margin = 0.08 * (high - low).clamp(min=1e-6)
    ends = zip((low - margin).tolist(), (high + margin).tolist(), strict=True)
    return [(float(f"{a:.6g}"), float(f"{b:.6g}")) for a, b in ends]


def _moved(both: Made, far: Far, step: float) -> Made:
    """Add ``step`` to one number of one client's truth, in the training and the test rows."""

    def side(clients: Clients) -> Clients:
        x, y = clients.x.double(), clients.y.double().clone()
        y[far.client] += step * x[far.client, :, far.number]
        return clients._replace(x=x, y=y)

    train, test = both
    return side(train), side(test)


def _place(name: str, names: list[str], what: str) -> int:
    if name not in names:
        raise ValueError(f"{what} must be one of {names}, got {name!r}")
    return names.index(name)


def _far(
    given: tuple[str, str, Sequence[float]] | None, names: list[str], numbers: list[str]
) -> Far:
    if given is None:
        return Far(0, 0, [0.0])
    if len(given) != 3:
        raise ValueError(
            f"far must be (client, number, steps), got {given!r}; "
            f"pass for instance far=({names[0]!r}, {numbers[0]!r}, [0, 3, 10, 100])"
        )
    client, number, steps = given
    listed = grid.listed("far", steps)
    if listed[0] != 0 or len(listed) > MAX_STEPS:
        raise ValueError(
            f"the steps of far must begin with 0 and be at most {MAX_STEPS}, got {listed}; "
            "pass for instance [0, 3, 10, 100]"
        )
    return Far(
        _place(client, names, "far's client"), _place(number, numbers, "far's number"), listed
    )


def _check(lists: Mapping[str, list[Any]], names: list[str], numbers: list[str]) -> None:
    settings = [len(values) for values in lists.values()]
    if len(settings) != 1 or settings[0] > MAX_SETTINGS:
        raise ValueError(
            f"one slider with at most {MAX_SETTINGS} settings is needed, got {list(lists)} with "
            f"{settings}; pass for instance s=[0.5, 1, 2]"
        )
    for what, words, most in (("names", names, MAX_CLIENTS), ("numbers", numbers, MAX_NUMBERS)):
        if not 1 <= len(words) <= most or len(set(words)) < len(words):
            raise ValueError(f"{what} must be 1 to {most} different words, got {words}; show fewer")
        if long := [word for word in words if len(word) > MAX_WORD]:
            raise ValueError(
                f"{what} must have at most {MAX_WORD} letters to fit on a phone, got {long}; "
                "shorten them"
            )


def _checked(made: Made, shown: PersonalExplorer) -> Made:
    """Insist on train and test rows of the clients and numbers that have names."""
    wanted = len(shown.names), len(shown.numbers)
    for side in made:
        if side.x.ndim != 3 or (side.m, side.x.shape[2]) != wanted:
            raise ValueError(
                f"make must return two Clients (train, test) with inputs [m n d], m = {wanted[0]} "
                f"as names and d = {wanted[1]} as numbers, got {tuple(side.x.shape)}; "
                "pass a name for each"
            )
    return made
