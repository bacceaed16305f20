"""Draw what eleven chapters open with: one small picture of what the chapter is about.

    python -m tools.draw_openings [--check]

writes book/images/opening-NN.svg, all but the last computed, not sketched; with --check it writes
nothing and fails where a stored drawing differs from what would be drawn. The other five chapters
open with the cover of their figure (:mod:`tools.draw_covers`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from math import exp, log

import numpy as np

from tools.draw_covers import BOTTOM, HEIGHT, LEFT, RIGHT, SOFT, TOP, WIDTH, _curve, _dot
from tools.draw_images import BLUE, GREEN, ORANGE, SKY, VERMILION, keep, svg

Place = Callable[[float, float], str]


def frame(x: tuple[float, float], y: tuple[float, float]) -> Place:
    """Return the map from two ranges to the points of the picture."""

    def place(u: float, v: float) -> str:
        return (
            f"{LEFT + (RIGHT - LEFT) * (u - x[0]) / (x[1] - x[0]):.1f},"
            f"{BOTTOM - (BOTTOM - TOP) * (v - y[0]) / (y[1] - y[0]):.1f}"
        )

    return place


def averaging() -> str:
    """Rounds of FedAvg on two quadratics: where they come to rest, and the best common model."""
    curvatures = np.array([[1.0, 0.2], [0.2, 1.0]])
    centers = np.array([[-1.3, 0.75], [1.2, -0.7]])
    best = (curvatures * centers).sum(0) / curvatures.sum(0)
    place, w = frame((-1.6, 1.5), (-1.0, 1.0)), np.array([0.9, 0.85])
    body, means = "", [w]
    for k in range(30):
        ends = []
        for curvature, center in zip(curvatures, centers, strict=True):
            way = [w]
            for _ in range(10):
                way.append(way[-1] - 0.25 * curvature * (way[-1] - center))
            ends.append(way[-1])
            if k == 0:
                body += _curve([place(*p) for p in way], GREEN, 2)
                body += "".join(_dot(place(*p), 2, GREEN) for p in way[1:])
        w = np.mean(ends, 0)
        means.append(w)
    body += "".join(_dot(place(*center), 5, ORANGE) for center in centers)
    body += _curve([place(*p) for p in means], BLUE, 2)
    body += "".join(_dot(place(*p), 3, BLUE) for p in means[:6])
    body += _dot(place(*w), 5.5, BLUE)
    x, y = map(float, place(*best).split(","))
    return body + (
        f'<path d="M{x - 5:.1f},{y - 5:.1f}l10,10m0,-10l-10,10" stroke="{VERMILION}" '
        'stroke-width="2.5"/>\n'
    )


def one_step() -> str:
    """Three clients' losses, one start, and where one step of the same size leads each of them."""
    clients = ((0.8, -1.3), (1.6, 0.1), (1.0, 1.35))
    alpha, place, body = 0.45, frame((-2.4, 2.4), (-0.15, 2.6)), ""
    after = [(a * (1 - alpha * a) ** 2, c) for a, c in clients]
    start = sum(a * c for a, c in after) / sum(a for a, _ in after)
    for a, c in clients:
        loss = [(w, 0.5 * a * (w - c) ** 2) for w in np.linspace(-2.4, 2.4, 97)]
        body += _curve([place(*p) for p in loss if p[1] < 2.6], ORANGE, 1.8)
        way = [start - s * alpha * a * (start - c) for s in np.linspace(0, 1, 12)]
        points = [place(w, 0.5 * a * (w - c) ** 2) for w in way]
        body += _curve(points, GREEN, 3.5) + _dot(points[0], 4, BLUE) + _dot(points[-1], 4.5, GREEN)
    (x, low), high = place(start, 0).split(","), HEIGHT - BOTTOM
    return f'<path d="M{x},{low}V{high}" {SOFT} stroke-dasharray="2 4"/>\n' + body


def knobs() -> str:
    """Mean squared distance under noise, by rounds: a long step is fast and ends high."""
    place, body = frame((0, 120), (log(0.0013), log(1.3))), ""
    for step, color in ((0.3, ORANGE), (0.1, SKY), (0.03, BLUE)):
        factor, floor = (1 - step) ** 2, 0.1 * step / (2 - step)
        body += f'<path d="M{place(0, log(floor))}L{place(120, log(floor))}" stroke="{color}" '
        body += 'stroke-dasharray="2 4"/>\n'
        errors = [log(floor + (1 - floor) * factor**k) for k in range(121)]
        body += _curve([place(k, e) for k, e in enumerate(errors)], color, 2.5)
    return body


def transport() -> str:
    """Two histograms, and how the first is carried over to the second with the least way."""
    first, second = [5, 6, 3, 2, 0, 0, 0, 0], [0, 0, 1, 2, 2, 6, 4, 1]
    spots = [[j for j, n in enumerate(side) for _ in range(n)] for side in (first, second)]
    step, unit = (RIGHT - LEFT) / len(first), 6.6
    body, seen = "", set()
    for side, color, width, shift in ((first, ORANGE, 0.42, 0.05), (second, BLUE, 0.42, 0.5)):
        for j, n in enumerate(side):
            if n:
                body += (
                    f'<rect x="{LEFT + step * (j + shift):.1f}" y="{BOTTOM - unit * n:.1f}" '
                    f'width="{step * width:.1f}" height="{unit * n:.1f}" fill="{color}"/>\n'
                )
    for a, b in zip(*spots, strict=True):  # in order: the cheapest plan on a line
        if a != b and (a, b) not in seen:
            seen.add((a, b))
            x, u = LEFT + step * (a + 0.26), LEFT + step * (b + 0.71)
            y, v = BOTTOM - unit * first[a] - 4, BOTTOM - unit * second[b] - 4
            top = min(y, v) - 9 * (b - a)
            body += (
                f'<path d="M{x:.1f},{y:.1f}C{x:.1f},{top:.1f} {u:.1f},{top:.1f} {u:.1f},{v:.1f}" '
                f'fill="none" stroke="{GREEN}" stroke-width="1.6"/>\n'
            )
    return body


def compared() -> str:
    """Methods minus federated averaging, Dirichlet clients, new ones: means and intervals."""
    from fedlearn_book.reproductions import read

    rows = [row for row in read("compared")["table"]["rows"] if row[0] == "dirichlet 0.3"]
    gaps = [tuple(map(float, row[6].split(" ± "))) for row in rows if row[6]]
    near = sorted(gap for gap in gaps if abs(gap[0]) < 2)
    place = frame((-2.0, 1.4), (-0.5, len(near) - 0.5))
    body = f'<path d="M{place(0, -0.5)}L{place(0, len(near) - 0.5)}" {SOFT} stroke-width="2"/>\n'
    for k, (middle, half) in enumerate(near):
        sure = abs(middle) > half
        color = (GREEN if middle > 0 else VERMILION) if sure else BLUE
        ends = [place(middle - half, k), place(middle + half, k)]
        body += _curve(ends, color, 2) + _dot(place(middle, k), 4, color)
    return body


def damped() -> str:
    """Three coefficients of independent columns: steps, and what damping makes of them."""
    place = frame((0, 9), (-0.75, 1.15))
    body = f'<path d="M{place(0, 0)}L{place(9, 0)}" {SOFT}/>\n'
    times = np.linspace(0, 9, 181).tolist()
    for size in (1.0, 0.55, -0.4, -0.65):
        entry = 1 / abs(size)
        for kappa, color in ((0.6, ORANGE), (2.0, SKY)):
            bent = [size * (1 - exp(-kappa * max(t - entry, 0))) for t in times]
            body += _curve([place(t, v) for t, v in zip(times, bent, strict=True)], color, 1.8)
        corners = [(0, 0), (entry, 0), (entry, size), (9, size)]
        body += _curve([place(*corner) for corner in corners], BLUE, 2.4)
    return body


def jumps() -> str:
    """Noisy samples of a signal with two jumps, and the first two that the path lets in."""
    from fedlearn_lib import iss_path

    n = 36
    truth = np.repeat([0.0, 1.6, 0.5], n // 3)
    y = truth + 0.22 * np.random.default_rng(3).normal(size=n)
    steps = np.tril(np.ones((n, n)))[:, 1:]
    path = iss_path(steps - steps.mean(0), y - y.mean())
    k = next(k for k, w in enumerate(np.asarray(path.w)) if (w != 0).sum() == 2)
    fit = y.mean() + (steps - steps.mean(0)) @ np.asarray(path.w)[k]
    place = frame((-0.5, n - 0.5), (y.min() - 0.1, y.max() + 0.1))
    level = [place(j + side, fit[j]) for j in range(n) for side in (-0.5, 0.5)]
    return "".join(_dot(place(j, v), 2.6, ORANGE) for j, v in enumerate(y)) + _curve(level, BLUE, 3)


def arrives() -> str:
    """A weight and its copy, step by step: the copy waits, enters, and both arrive at one point."""
    kappa, nu, lr, w, v = 1.0, 0.6, 0.12, -0.9, 0.0
    pairs = []
    for _ in range(400):
        copy = kappa * np.sign(v) * max(abs(v) - 1, 0)
        pairs.append((w, float(copy)))
        pull = (w - copy) / nu
        w, v = w - kappa * lr * (w - 1 + pull), v + lr * pull
    place = frame((-1.0, 1.3), (-0.18, 1.18))
    body = f'<path d="M{place(-0.18, -0.18)}L{place(1.18, 1.18)}" {SOFT} stroke-dasharray="2 4"/>\n'
    body += _curve([place(*pair) for pair in pairs], BLUE, 1.8)
    body += "".join(_dot(place(*pair), 2.2, BLUE) for pair in pairs[:60])
    return body + _dot(place(*pairs[0]), 5, ORANGE) + _dot(place(*pairs[-1]), 5.5, GREEN)


def families() -> str:
    """Error against work of three families of LeNets, logarithms on both axes."""
    from fedlearn_book.reproductions import read
    from fedlearn_book.reproductions.record import matching

    cells = read("family")["cells"]
    place, body = frame((log(4.5), log(105)), (log(0.8), log(20))), ""
    (dense,) = matching(cells, family="dense", seed=0)[0]["members"]
    looks = {"size, retrained": ORANGE, "level order, retrained": BLUE, "prox": GREEN}
    for family, color in looks.items():
        members = matching(cells, family=family, seed=0)[0]["members"]
        points = sorted(
            (log(100 * m["multiply_adds"] / dense["multiply_adds"]), log(100 * (1 - m["test"])))
            for m in members
            if not m["dead"]
        )
        body += _curve([place(*p) for p in points], color, 2)
        body += "".join(_dot(place(*p), 3.2, color) for p in points)
    return body


def revealed() -> str:
    """What one gradient shows of a layer's inputs: a batch of one, of four, of sixteen."""
    from fedlearn_lib import load

    digits = load("digits")
    x = digits.x.flatten(1).double().numpy()
    body, cell, gap = "", 8.6, 9
    left = (WIDTH - 3 * 8 * cell - 2 * gap) / 2
    for k, batch in enumerate((1, 4, 16)):
        picked, labels = x[3 : 3 + batch], digits.y[3 : 3 + batch].numpy()
        blame = 0.1 - (labels == labels[0])  # of the class's logit, at w = 0
        seen = (blame[:, None] * picked).mean(0) / blame.mean()
        seen = np.clip(seen / max(abs(seen).max(), 1e-12), -1, 1)
        x0, y0 = left + k * (8 * cell + gap), (HEIGHT - 8 * cell) / 2
        for q, value in enumerate(seen.tolist()):
            if abs(value) > 0.03:
                at = f"M{x0 + cell * (q % 8):.1f} {y0 + cell * (q // 8):.1f}"
                body += (
                    f'<path d="{at}h{cell}v{cell}h-{cell}" fill="{BLUE if value > 0 else ORANGE}" '
                    f'fill-opacity="{abs(value):.2f}"/>\n'
                )
        body += (
            f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{8 * cell:.1f}" height="{8 * cell:.1f}" '
            f'fill="none" {SOFT}/>\n'
        )
    return body


def waiting() -> str:
    """A sketch: two rounds of seven clients, and how long each waits for the last."""
    rounds: Sequence[Sequence[float]] = (
        (0.9, 1.2, 0.7, 2.1, 1.0, 1.4, 0.8),
        (1.0, 1.1, 0.8, 1.2, 0.9, 2.4, 0.8),
    )
    server, lane = 0.35, (BOTTOM - TOP) / 8
    total = sum(max(lengths) + server for lengths in rounds)
    scale, at, body = (RIGHT - LEFT) / total, 0.0, ""
    for lengths in rounds:
        end = max(lengths)
        for i, length in enumerate(lengths):
            y = TOP + lane * i
            color = VERMILION if length == end else GREEN
            x, wide, full = LEFT + scale * at, scale * length, scale * end
            body += (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{full:.1f}" height="{0.6 * lane:.1f}" '
                'fill="currentColor" fill-opacity="0.12"/>\n'
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{0.6 * lane:.1f}" '
                f'fill="{color}"/>\n'
            )
        x = LEFT + scale * (at + end)
        body += (
            f'<rect x="{x:.1f}" y="{TOP + 7 * lane:.1f}" width="{scale * server:.1f}" '
            f'height="{0.6 * lane:.1f}" fill="{BLUE}"/>\n'
        )
        at += end + server
    return body


OPENINGS: dict[int, Callable[[], str]] = {
    1: averaging, 4: one_step, 5: knobs, 6: transport, 7: compared, 9: damped, 10: jumps,
    12: arrives, 13: families, 15: revealed, 16: waiting,
}  # fmt: skip


def main(check: bool) -> int:
    """Write the openings, or compare the stored ones with what would be written."""
    made = {f"opening-{n:02d}.svg": svg(WIDTH, HEIGHT, draw()) for n, draw in OPENINGS.items()}
    return keep(made, check, "python -m tools.draw_openings")


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv[1:]))
