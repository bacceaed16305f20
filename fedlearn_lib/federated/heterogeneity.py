"""How different clients are in their labels, their gradients and their Hessians."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_finite, check_memory, check_model
from fedlearn_lib._explained import explained_call
from fedlearn_lib._shapes import shown
from fedlearn_lib.data.clients import Clients
from fedlearn_lib.federated.maml import hvp
from fedlearn_lib.federated.oracles import Loss, gradient
from fedlearn_lib.trees import Params, axpy, dot, weighted_mean


@checked()
def label_distribution(clients: Clients, classes: int) -> Tensor:
    r"""Return $\pi_{ic}$, the share of class $c$ among client $i$'s samples: [m classes].

    >>> clients = Clients.of(torch.zeros(4), torch.tensor([0, 0, 1, 2]), [[0, 1], [2, 3]])
    >>> label_distribution(clients, 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]
    """
    labels = [clients.data(i)[1] for i in range(clients.m)]
    y = clients.y
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"clients must have integer labels y, got {y.dtype}; number the classes")
    low, high = min(int(y.min()) for y in labels), max(int(y.max()) for y in labels)
    if low < 0 or high >= classes:
        raise ValueError(
            f"classes={classes} needs clients with integer labels from 0 to {classes - 1}, got "
            f"{low} to {high}; pass classes={high + 1} or number the classes from 0"
        )
    check_memory(clients.m * classes, classes=classes)
    counts = torch.stack([y.bincount(minlength=classes) for y in labels])
    return counts.double() / clients.n[:, None]


@checked()
def total_variation(p: Tensor, q: Tensor) -> Tensor:
    r"""Return $TV(p,q)=\tfrac12\sum_c|p_c-q_c|$ along the last axis; the other axes broadcast.

    The largest difference between the probabilities that $p$ and $q$ give to one event.

    >>> total_variation(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.5, 0.5]))
    tensor(0.5000)
    """
    for name, law in {"p": p, "q": q}.items():
        if law.is_complex() or not law.ndim:
            raise ValueError(f"{name} must be real numbers, got {shown(law)}; correct {name}")
        total = law.sum(-1)
        if bool((law < 0).any()) or not bool(torch.isclose(total, torch.ones_like(total)).all()):
            raise ValueError(
                f"{name} must be probabilities: non-negative with sum 1 along the last axis, got "
                f"sums from {float(total.min()):.4g} to {float(total.max()):.4g}; divide by the sum"
            )
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"p and q must have the same number of outcomes, got {p.shape[-1]} and {q.shape[-1]}"
        )
    return 0.5 * (p - q).abs().sum(-1)


@checked()
@explained_call
def gradient_dissimilarity(loss: Loss, w: Params, clients: Clients) -> float:
    r"""Return $\gamma_G(w)=\big(\sum_i p_i\|\nabla f_i(w)-\nabla f(w)\|^2\big)^{1/2}$.

    Full local gradients; $f=\sum_i p_if_i$. The theory's $\gamma_G$ is the largest value over $w$.

    >>> from fedlearn_lib.data import quadratic_clients, quadratic_loss
    >>> clients = quadratic_clients(torch.ones(2, 1, 1), torch.tensor([[0.0], [4.0]]))
    >>> gradient_dissimilarity(quadratic_loss, {"w": torch.tensor([9.0])}, clients)
    2.0
    """
    _check_measured(w, clients)
    oracle = gradient(loss)
    gradients = [oracle(w, (clients.data(i),)) for i in range(clients.m)]
    stacked = {name: torch.stack([g[name] for g in gradients]) for name in w}
    mean = weighted_mean(stacked, clients.p)
    gaps = [axpy(-1.0, mean, g) for g in gradients]
    squares = torch.stack([dot(gap, gap) for gap in gaps]).double()
    return float((clients.p @ squares).sqrt())


@checked()
@explained_call
def hessian_dissimilarity(loss: Loss, w: Params, clients: Clients) -> float:
    r"""Return $\gamma_H(w)=\big(\sum_i p_i\|\nabla^2f_i(w)-\nabla^2f(w)\|^2\big)^{1/2}$.

    The norms are spectral. No Hessian is formed: each norm is the largest eigenvalue in absolute
    value of a symmetric operator that is only applied to vectors (Lanczos,
    ``scipy.sparse.linalg.eigsh``).

    >>> from fedlearn_lib.data import quadratic_clients, quadratic_loss
    >>> A = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [0.0, 1.0]]])
    >>> clients = quadratic_clients(A, torch.zeros(2, 2))
    >>> round(hessian_dissimilarity(quadratic_loss, {"w": torch.zeros(2)}, clients), 6)
    1.0
    """
    _check_measured(w, clients)
    w = {name: value.detach() for name, value in w.items()}
    norms = [_hessian_gap_norm(loss, w, clients, i) for i in range(clients.m)]
    return float(sum(p * norm**2 for p, norm in zip(clients.p.tolist(), norms, strict=True)) ** 0.5)


def _check_measured(w: Params, clients: Clients) -> None:
    """Refuse what holds NaN or infinity; the padding of clients may."""
    check_model("w", w)
    for i in range(clients.m):
        for name, part in zip("xy", clients.data(i), strict=True):
            check_finite(f"the {name} of clients", part)


def _hessian_gap_norm(loss: Loss, w: Params, clients: Clients, i: int) -> float:
    from scipy.sparse.linalg import LinearOperator, eigsh

    sizes = [value.numel() for value in w.values()]

    def apply(vector: np.ndarray) -> np.ndarray:
        flat = torch.from_numpy(np.ascontiguousarray(vector).reshape(-1))
        pieces = zip(w.items(), flat.split(sizes), strict=True)
        v = {name: piece.view_as(value).to(value.dtype) for (name, value), piece in pieces}
        products = [hvp(loss, w, clients.data(j), v) for j in range(clients.m)]
        stacked = {name: torch.stack([h[name] for h in products]) for name in w}
        gap = axpy(-1.0, weighted_mean(stacked, clients.p), products[i])
        return torch.cat([gap[name].double().flatten() for name in w]).numpy()

    n = sum(sizes)
    if n < 10:
        return float(np.linalg.norm(np.stack([apply(row) for row in np.eye(n)]), 2))
    start = np.random.default_rng(0).standard_normal(n)
    if not apply(start).any():  # the operator is zero, where Lanczos has nothing to start from
        return 0.0
    operator = LinearOperator((n, n), matvec=apply, dtype=np.float64)
    return abs(float(eigsh(operator, k=1, which="LM", v0=start, return_eigenvectors=False)[0]))
