"""Clients on a circle whose every constant is a maximum over one period."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from fedlearn_lib.theory import meta_bias, meta_dissimilarity, meta_smoothness, meta_variance

CIRCLE = np.linspace(0, 2 * np.pi, 721)  # all functions below are periodic: a grid holds all w
ROUND = 1e-9  # what float64 may add to an inequality that is an equality


class Waves:
    """Clients with samples ℓ(w; z) = a_z (1 − cos(w − φ_z)), neither convex nor quadratic.

    Every constant is a maximum over one period: a, phase [m n], one row a client.
    """

    def __init__(self, m: int, n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.a, self.phase = rng.uniform(0.3, 1.5, (m, n)), rng.uniform(0, 6, (m, n))
        self.shape = (m, n)
        slopes, curves = self.slope(CIRCLE), self.curve(CIRCLE)  # [w m]
        thirds = -(self.a * np.sin(CIRCLE[:, None, None] - self.phase)).mean(2)
        self.L, self.B, self.rho = abs(curves).max(), abs(slopes).max(), abs(thirds).max()
        self.gamma_G = math.sqrt(slopes.var(1).max())
        self.gamma_H = math.sqrt(curves.var(1).max())
        one = CIRCLE[:, None, None] - self.phase  # [w m n]
        self.sigma_G = math.sqrt((self.a * np.sin(one)).var(2).max())
        self.sigma_H = math.sqrt((self.a * np.cos(one)).var(2).max())

    def slope(self, w, rows=None):
        """∇f_i of the samples ``rows`` (all by default) for w [...]: [... m], or one client's."""
        return self._mean(np.sin, w, rows)

    def curve(self, w, rows=None):
        return self._mean(np.cos, w, rows)

    def _mean(self, trig, w, rows):
        a, phase = (self.a, self.phase) if rows is None else rows
        return (a * trig(np.asarray(w)[..., None, None] - phase)).mean(-1)

    def of(self, i, index):
        return self.a[i : i + 1, list(index)], self.phase[i : i + 1, list(index)]

    def meta(self, w, alpha):
        """∇F_i(w) for w [...]: [... m]."""
        w = np.asarray(w)[..., None] + np.zeros(self.shape[0])
        return (1 - alpha * self._own(np.cos, w)) * self._own(
            np.sin, w - alpha * self._own(np.sin, w)
        )

    def _own(self, trig, w):
        return (self.a * trig(w[..., None] - self.phase)).mean(-1)

    def value(self, w, alpha):
        """F(w) for w [...]."""
        own = np.asarray(w)[..., None] + np.zeros(self.shape[0])
        own = own - alpha * self._own(np.sin, own)
        return (self.a * (1 - np.cos(own[..., None] - self.phase))).mean((-1, -2))

    def constants(self, alpha, batches):
        return {
            "L_F": meta_smoothness(self.L, self.rho, self.B, alpha),
            "sigma_F2": meta_variance(self.L, self.B, self.sigma_G, self.sigma_H, alpha, batches),
            "gamma_F": meta_dissimilarity(self.L, self.B, self.gamma_G, self.gamma_H, alpha),
            "bias": meta_bias(self.L, self.rho, self.sigma_G, alpha, batches[0]),
        }

    def draws(self, i, w, alpha, b):
        """Every outcome of the noisy meta-gradient of client i, batches of b: a flat array."""
        samples = list(product(range(self.shape[1]), repeat=b))
        steps = [w - alpha * self.slope(w, self.of(i, s))[0] for s in samples]
        outer = np.array([[self.slope(v, self.of(i, s))[0] for s in samples] for v in steps])
        hess = np.array([self.curve(w, self.of(i, s))[0] for s in samples])
        return ((1 - alpha * hess)[:, None, None] * outer).ravel()
