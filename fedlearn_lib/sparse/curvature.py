r"""The largest curvature of a squared loss, on which every step bound rests."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib._checked import checked

EXACT = 600  # up to this many rows or columns the largest eigenvalue is computed, not iterated
MODERATE = 1e12  # entries below it, and above its inverse, have squares in single precision


@checked(X="n p, sparse")
def largest_curvature(X: Tensor, *, rough: bool = False) -> float:
    r"""Return $\|X^\top X/n\|$, the largest curvature of $\frac1{2n}\|y-X\beta\|^2$.

    Up to 600 rows or columns by a decomposition, beyond by Lanczos steps in SciPy until they agree
    to seven digits or more. Without SciPy every size is decomposed, which takes longer.

    Parameters
    ----------
    X : [n p].
    rough : eight steps in single precision are enough where the matrix is large: the result is
        never too large, and a few percent too small where many eigenvalues crowd at the top.

    >>> largest_curvature(torch.diag(torch.tensor([2.0, 1.0])))
    2.0

    Kuczyński and Woźniakowski (SIAM J. Matrix Anal. Appl. 1992): from a random start $k$ Lanczos
    steps lose more than half of the largest eigenvalue with a probability of the order
    $\sqrt{\min(n,p)}\,e^{-(2k-1)/\sqrt2}$, whatever the matrix; two in 1,000 for $k=8$ and 2,000
    rows.
    """
    return squared_norm(X, rough=rough) / len(X)


def squared_norm(A: Tensor, *, rough: bool = False) -> float:
    r"""Return $\|A\|^2$, the square of the spectral norm; A is dense or sparse, [n p].

    >>> squared_norm(torch.diag(torch.tensor([2.0, 1.0])))
    4.0
    """
    n, p = A.shape
    if min(n, p) > EXACT and (found := _by_lanczos(A if p <= n else A.T, rough)) is not None:
        return found
    A = (A.to_dense() if A.is_sparse else A).double()
    return float(torch.linalg.eigvalsh(A.T @ A if p <= n else A @ A.T)[-1])


def _by_lanczos(A: Tensor, rough: bool) -> float | None:
    """Return the largest eigenvalue of AᵀA, or None without SciPy."""
    try:
        from scipy.sparse.linalg import LinearOperator, eigsh
    except ImportError:
        return None
    values = A.coalesce().values() if A.is_sparse else A
    largest = max(abs(float(x)) for x in values.aminmax())
    if largest == 0:
        return 0.0
    scale = 1.0 if 1 / MODERATE < largest < MODERATE else largest
    A = (A if scale == 1 else A / scale).to(torch.float32 if rough else torch.float64)

    def apply(v: np.ndarray) -> np.ndarray:
        image: Tensor = A.T @ (A @ torch.from_numpy(v.reshape(-1)).to(A.device, A.dtype))
        return image.cpu().double().numpy()

    start = np.random.default_rng(0).standard_normal(A.shape[1])
    operator = LinearOperator((A.shape[1], A.shape[1]), matvec=apply, dtype=np.float64)
    effort = {"ncv": 8, "tol": 0.05} if rough else {"tol": 1e-6}
    top = eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False, **effort)
    return float(top[0]) * scale**2
