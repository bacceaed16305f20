"""Two hospitals on a line: where averaging their replies ends, and where they should start.

Hospital i has the loss a (w - r)² / 2: it would like the model r and insists on it with strength a.
Everything is a formula; the tests hold the page's script against runs of the library.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fedlearn_book.widgets import page, svg

STRENGTH, WISH, LR = (4.0, 1.0), (0.0, 1.0), 0.1  # the two laboratories of Chapter 1
TAUS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)
ALPHAS = tuple(k / 100 for k in range(26))
WIDTH, HEIGHT = 380, 178
BASE, REPLIES = 132, 156  # the axis, and the row of arrows below it
AXES = {"x": [-0.3, 1.3, 14, 366], "y": [0.0, 1.3, BASE, 8]}
LOW = {"x": AXES["x"], "y": [0.0, 0.55, BASE, 8]}
NAMES = ("A", "B")


def settled(tau: int) -> float:
    """Return where federated averaging with ``tau`` local steps stands still (Chapter 1).

    >>> [round(settled(tau), 4) for tau in (1, 10, 100)]
    [0.2, 0.3959, 0.5]
    """
    pulls = [1 - (1 - LR * a) ** tau for a in STRENGTH]
    return sum(m * r for m, r in zip(pulls, WISH, strict=True)) / sum(pulls)


def own_loss(a: float, r: float, w: float) -> float:
    """Return the loss at w of a hospital that would like r, with strength a."""
    return a * (w - r) ** 2 / 2


def loss(w: float, alpha: float = 0.0) -> float:
    """Return the hospitals' mean loss after one step of size alpha each.

    >>> round(loss(0.2), 4), round(loss(0.2, 0.2), 4)
    (0.2, 0.104)
    """
    own = [w - alpha * a * (w - r) for a, r in zip(STRENGTH, WISH, strict=True)]
    each = [own_loss(a, r, v) for a, r, v in zip(STRENGTH, WISH, own, strict=True)]
    return sum(each) / len(each)


def best_start(alpha: float) -> float:
    """Return the minimizer of the loss after a step (Proposition 3.3).

    >>> [round(best_start(alpha), 4) for alpha in (0.0, 0.2, 0.25)]
    [0.2, 0.8, 1.0]
    """
    say = [a * (1 - alpha * a) ** 2 for a in STRENGTH]
    return sum(s * r for s, r in zip(say, WISH, strict=True)) / sum(say)


def average_html(tau: int = 10) -> str:
    """Return the figure of averaging: a slider for the local steps."""
    x, y, w = svg.axis(AXES["x"]), svg.axis(AXES["y"]), settled(tau)
    truth, body = settled(1), _ground(x)
    for a, r, name in zip(STRENGTH, WISH, NAMES, strict=True):
        body += _curve(x, y, partial(own_loss, a, r), f"fl-loss fl-{name}")
    body += svg.text(AXES["x"][3] + 8, 40, "loss of A, who insists", "end", "fl-who")
    body += svg.text(AXES["x"][3] + 8, BASE - 28, "loss of B, who is easy", "end", "fl-who")
    body += svg.line("fl-truth", (x(truth), 8), (x(truth), BASE))
    body += svg.text(x(truth) - 5, 18, "best for both", "end")
    for i, (a, r) in enumerate(zip(STRENGTH, WISH, strict=True)):
        to = w + (1 - (1 - LR * a) ** tau) * (r - w)
        body += svg.line("fl-reply", (x(w), REPLIES), (x(to), REPLIES))
        body += svg.dot(x(to), REPLIES, 5, "fl-client fl-end")
        body += svg.text(x(to), REPLIES + 18, f"{NAMES[i]}’s reply", "middle", "fl-reply-name")
    body += svg.dot(x(w), BASE, 9, "fl-shared")
    body += svg.text(x(w), BASE - 15, "average", "middle", "fl-strong fl-shared-name")
    said = (f"With <b>{tau} local steps</b> the average settles at <b>{w:.3f}</b>. Best for both "
            f"together is {truth:.3f}.")  # fmt: skip
    state = {"a": STRENGTH, "r": WISH, "lr": LR, "taus": TAUS, "tau": tau, "axes": AXES}
    name = "The losses of hospitals A and B over the model, and where their averaged replies settle"
    return page.drawn_html("pair", _figure("average", name, body, said), {"average": state})


def start_html(alpha: float = 0.2) -> str:
    """Return the figure of the start: drag it, and a slider for the hospitals' step."""
    x, y, w = svg.axis(LOW["x"]), svg.axis(LOW["y"]), best_start(0.0)
    body = _ground(x) + _curve(x, y, loss, "fl-before")
    body += _curve(x, y, lambda v: loss(v, alpha), "fl-after")
    body += svg.text(AXES["x"][3], 16, "loss before a step", "end")
    body += svg.text(AXES["x"][3], 32, "after one step each", "end", "fl-own-name")
    best = best_start(alpha)
    body += f'<path class="fl-best" d="M{x(best):.1f},{BASE - 3}l-6,-11h12z"/>'
    body += svg.text(x(best), BASE - 19, "best start", "middle", "fl-best-name")
    for i, (a, r) in enumerate(zip(STRENGTH, WISH, strict=True)):
        to = w - alpha * a * (w - r)
        body += svg.dot(x(r), REPLIES, 6, "fl-client")
        body += svg.text(x(r), REPLIES + 19, f"{NAMES[i]}’s wish", "middle")
        body += svg.line("fl-step", (x(w), REPLIES), (x(to), REPLIES))
        body += svg.dot(x(to), REPLIES, 4.5, "fl-own")
    body += svg.line("fl-drop", (x(w), y(loss(w))), (x(w), REPLIES))
    body += svg.dot(x(w), y(loss(w)), 4, "fl-at-before")
    body += svg.dot(x(w), y(loss(w, alpha)), 5, "fl-own fl-at-after")
    body += svg.dot(x(w), BASE, 9, "fl-shared")
    said = (f"From <b>{w:.2f}</b> the mean loss is {loss(w):.3f} before and "
            f"<b>{loss(w, alpha):.3f}</b> after one step each. The best start, {best:.2f}, has "
            f"{loss(best, alpha):.3f}.")  # fmt: skip
    state = {"a": STRENGTH, "r": WISH, "alphas": ALPHAS, "alpha": alpha, "w": w, "axes": LOW}
    name = "The mean loss of hospitals A and B before and after a step, over the shared start"
    return page.drawn_html("pair", _figure("start", name, body, said), {"start": state})


def _figure(kind: str, name: str, body: str, said: str) -> str:
    return (
        f'<div class="fl-half fl-pair" data-half="{kind}"><div class="fl-controls"></div>'
        f'<div class="fl-view"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">'
        f'{body}</svg></div><p class="fl-say">{said}</p></div>'
    )


def _ground(x: Callable[[float], float]) -> str:
    ends = AXES["x"]
    body = svg.line("fl-axis", (ends[2], BASE), (ends[3], BASE))
    for value in (0, 0.5, 1):
        body += svg.line("fl-axis", (x(value), BASE), (x(value), BASE + 4))
    return body + svg.text(ends[3], BASE + 14, "model w →", "end")


def _curve(
    x: Callable[[float], float], y: Callable[[float], float], f: Callable[[float], float], kind: str
) -> str:
    values = [-0.3 + 1.6 * k / 64 for k in range(65)]
    points = " ".join(f"{x(v):.1f},{y(f(v)):.1f}" for v in values if y(f(v)) > 4)
    return f'<polyline class="{kind}" points="{points}"/>'
