r"""Split LBI on a small tanh network until it arrives: length, slopes, support, Lyapunov function.

The network is that of the chapter on global convergence, on its 200 digits of 4 by 4 pixels,
which are larger here so that a run arrives in minutes: one hidden layer of eight tanh units,
cross-entropy plus $\frac\mu2\|W\|^2$, every weight with a copy and the threshold $\lambda$, the
whole gradient, no momentum, float64. The gradient is written out in NumPy, because a run has many
steps; a test holds it against autograd.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fedlearn_book.reproductions.part import constants_of
from fedlearn_book.reproductions.record import run_cells
from fedlearn_lib import load, loss_of, mlp, parameters_of
from fedlearn_lib.theory import coupled_lipschitz, local_lipschitz

Array = npt.NDArray[np.float64]

SEEDS, SAMPLES, PIXELS, HIDDEN, CLASSES = (0, 1, 2), 200, 16, 8, 10
DECAY, STRETCH, KAPPA, NU, LAMBDA, LR, STEPS = 1e-2, 3.0, 1.0, 1.0, 0.05, 0.3, 120_000
LONGEST, POINTS, HESSIANS = 4.0, 160, 20
#: Steps shorter than this are left out where a quotient of two differences would be rounding.
SHORT = 1e-5


def main(*, root: str | None = None, folder: str | Path | None = None) -> None:
    """Run all seeds and store ``network_arrival.json``; ``root`` is not needed."""
    run_cells(
        "network_arrival",
        [{"seed": seed} for seed in SEEDS],
        lambda **cell: arrive(cell["seed"], STEPS),
        folder=folder,
        constants=constants_of(__name__),
        title="A network that arrives",
        question="Does Split LBI on a coupled, non-convex problem end as Theorem 12.12 says?",
        command="python -m fedlearn_book.reproductions network_arrival",
        setting=f"{SAMPLES} digits of 4 × 4 pixels, {HIDDEN} tanh units, 226 weights, all with a "
        f"copy; weight decay {DECAY:g}, κ = {KAPPA:g}, ν = {NU:g}, λ = {LAMBDA:g}, α = {LR:g}, "
        f"{STEPS:,} steps of the whole gradient in float64",
        table=summarize,
        note="Length: sum of ‖P_{k+1} − P_k‖, and its part in the last half of the steps. Slope: "
        "‖∇L̂(W)‖. Needed: the smallest curvature of the coupled loss with which Theorem 12.5 "
        "holds in every step longer than 1e-5; measured: ℓ* of the largest Hessian on the path.",
    )


def summarize(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row a seed: what the theorem says of the end, and what was measured on the way."""
    rows = []
    for cell in cells:
        found = cell["result"]
        half = np.searchsorted(found["step"], found["step"][-1] / 2)
        late = found["length"][-1] - found["length"][half]
        rows.append(
            [
                str(cell["setting"]["seed"]), f"{found['length'][-1]:.2f}", f"{late:.1e}",
                f"{found['slope'][-1]:.1e}", f"{found['gap'][-1]:.1e}",
                f"{found['support'][-1]} of 226", str(found["rises"]),
                f"{found['needed']:.2f}", f"{found['measured']:.2f}",
            ]
        )  # fmt: skip
    heads = ["seed", "length", "in the last half", "slope", "‖W − Γ‖", "support", "steps up",
             "needed ℓ", "measured ℓ*"]  # fmt: skip
    return {"columns": heads, "rows": rows}


def problem() -> tuple[Array, Array]:
    """Return the images, [200 16], the longest of length four, and their labels as rows of 0, 1."""
    digits = load("digits")
    pixels = torch.nn.functional.avg_pool2d(digits.x.double().view(-1, 1, 8, 8), 2).flatten(1)
    pixels = LONGEST * pixels[:SAMPLES] / pixels.norm(dim=1).max()
    return pixels.numpy(), np.eye(CLASSES)[digits.y[:SAMPLES].numpy()]


def start_of(seed: int) -> Array:
    """Return the flat weights of the start, three times the initial ones, [226].

    They are drawn in single precision, whatever the default is where this is called.
    """
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        model = mlp(PIXELS, HIDDEN, CLASSES, activation="tanh", seed=seed).double()
    finally:
        torch.set_default_dtype(default)
    flat = torch.cat([v.flatten() for v in parameters_of(model).values()])
    start: Array = (STRETCH * flat).numpy()
    return start


def risk(w: Array, x: Array, y: Array) -> tuple[float, Array]:
    r"""Return $\hat L(w)$ and its gradient."""
    ends = np.cumsum([HIDDEN * PIXELS, HIDDEN, CLASSES * HIDDEN])
    into, bias, out, last = np.split(w, ends)
    hidden = np.tanh(x @ into.reshape(HIDDEN, PIXELS).T + bias)
    out = out.reshape(CLASSES, HIDDEN)
    scores = hidden @ out.T + last
    scores -= scores.max(1, keepdims=True)
    powers = np.exp(scores)
    total = powers.sum(1, keepdims=True)
    value = (np.log(total[:, 0]) - (scores * y).sum(1)).mean() + DECAY / 2 * (w @ w)
    back = (powers / total - y) / len(x)
    down = (back @ out) * (1 - hidden**2)
    parts = [down.T @ x, down.sum(0), back.T @ hidden, back.sum(0)]
    return float(value), np.concatenate([part.ravel() for part in parts]) + DECAY * w


def arrive(seed: int, steps: int) -> dict[str, Any]:
    """Run one seed; return what was seen at up to ``POINTS`` steps, evenly in their logarithm."""
    x, y = problem()
    w = start_of(seed)
    gamma = v = g = np.zeros_like(w)
    value, slope = risk(w, x, y)
    length, rises, needed = 0.0, 0, 0.0
    since = 0.0  # the Bregman distance of the last step of the copy
    seen = _shown(steps)
    rows: dict[str, list[Any]] = {key: [] for key in ("step", "length", "slope", "gap", "support",
                                                      "height", "error")}  # fmt: skip
    kept = []
    for k in range(1, steps + 1):
        pull = (w - gamma) / NU
        height = LR * (value + NU / 2 * (pull @ pull)) + since
        new_w, v = w - KAPPA * LR * (slope + pull), v + LR * pull
        new_gamma = KAPPA * (v - v.clip(-LAMBDA, LAMBDA))
        new_g = v - new_gamma / KAPPA
        there = LAMBDA * np.abs(new_gamma).sum() - g @ new_gamma  # to the new copy, with the old g
        back = LAMBDA * np.abs(gamma).sum() - new_g @ gamma
        square = float(((new_w - w) ** 2).sum() + ((new_gamma - gamma) ** 2).sum())
        moved = new_gamma - gamma
        value, slope = risk(new_w, x, y)
        gap = (new_w - new_gamma) / NU
        after = LR * (value + NU / 2 * (gap @ gap)) + there
        rises += bool(after > height + 1e-14)
        if square > SHORT**2:
            rate = (height - after - since - back) / square  # at least 1/κ − αℓ/2
            needed = max(needed, 2 / LR * (1 / KAPPA - rate))
        length += square**0.5
        if k in seen:
            parts = (LR * (slope + gap), new_g - g - LR * gap, moved)
            error = sum(float(part @ part) for part in parts) ** 0.5
            found = (k, length, np.linalg.norm(slope), NU * np.linalg.norm(gap),
                     np.count_nonzero(new_gamma), after, error)  # fmt: skip
            for key, one in zip(rows, found, strict=True):
                rows[key].append(int(one) if key in ("step", "support") else _short(one))
            kept.append(new_w)
        w, gamma, g, since = new_w, new_gamma, new_g, there
    measured = coupled_lipschitz(_curvature(kept), NU, sharp=True)
    return {**rows, "rises": rises, "needed": _short(needed), "measured": _short(measured)}


def _shown(steps: int) -> set[int]:
    return {round(k) for k in np.geomspace(1, steps, POINTS)}


def _curvature(kept: list[Array]) -> float:
    """Return the largest Hessian of the loss at some models of the path, by autograd."""
    x, y = (torch.from_numpy(part) for part in problem())
    model = mlp(PIXELS, HIDDEN, CLASSES, activation="tanh").double()
    entropy, names = loss_of(model), parameters_of(model)
    sizes = [old.numel() for old in names.values()]

    def loss(w: torch.Tensor) -> torch.Tensor:
        pieces = zip(names.items(), w.split(sizes), strict=True)
        own = {name: piece.view_as(old) for (name, old), piece in pieces}
        return entropy(own, (x, y.argmax(1))) + DECAY / 2 * w @ w

    chosen = kept[:: max(1, len(kept) // HESSIANS)]
    return max(local_lipschitz(loss, torch.from_numpy(w)) for w in chosen)


def _short(value: float) -> float:
    return float(f"{value:.8g}")
