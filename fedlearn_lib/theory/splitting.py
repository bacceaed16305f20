r"""What a split leaves of a linear model: a regression for $\gamma$, and when its path is right.

For $\frac1{2n}\|y-X\beta\|^2+\frac1{2\nu}\|D\beta-\gamma\|^2$ the best $\beta$ for a given $\gamma$
is in closed form, and what remains is a quadratic in $\gamma$ with the Hessian $\Sigma/\nu$,
$\Sigma=I-DA^\dagger D^\top$, $A=\nu X^\top X/n+D^\top D$. Everything is in float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_mask, check_positive

#: Singular values below this part of the largest, times the larger side, are rounding.
RANK = 1e-12
#: A matrix whose smallest eigenvalue is below this part of the largest is singular.
SINGULAR = 1e-10


@checked(X="n p", D="q p, sparse")
def split_gram(X: Tensor, nu: float, D: Tensor | None = None) -> Tensor:
    r"""Return $\Sigma(\nu)$, [q q], symmetric, with eigenvalues between 0 and 1.

    ``nu`` may be ``math.inf``: $\Sigma$ is then the projection onto the complement of
    $D\ker X$. ``nu=0`` returns $\lim\Sigma/\nu$, for a $D$ of full row rank.

    >>> split_gram(torch.eye(2, dtype=torch.float64) * 2**0.5, nu=3.0)
    tensor([[0.7500, 0.0000],
            [0.0000, 0.7500]], dtype=torch.float64)
    """
    X, D = _matrices(X, D)
    if not nu >= 0:
        raise ValueError(f"nu must not be negative, got {nu!r}; 0 and math.inf are the limits")
    if nu == 0:
        return _tight_gram(X, D)
    eye = torch.eye(len(D), dtype=D.dtype)
    if nu == math.inf:
        basis = _basis(D @ _kernel(X))
        return eye - basis @ basis.T
    lower = _basis(torch.cat([math.sqrt(nu / len(X)) * X, D]))[len(X) :]
    return eye - lower @ lower.T


@checked(X="n p", y="n", D="q p, sparse")
def split_design(X: Tensor, y: Tensor, nu: float, D: Tensor | None = None) -> tuple[Tensor, Tensor]:
    r"""Return the regression for $\gamma$ that is left when $\beta$ has been eliminated.

    $\frac1{2m}\|\tilde y-\tilde X\gamma\|^2=\min_\beta\bar L(\beta,\gamma)$ with $m=n+q$ rows, so
    that ``iss_path`` of the two is the limit $\kappa\to\infty$ of Split LBI.

    >>> X, y = torch.eye(2, dtype=torch.float64), torch.tensor([3.0, 1.0], dtype=torch.float64)
    >>> new, response = split_design(X, y, nu=2.0)
    >>> new.shape, torch.allclose(new.T @ new / 4, split_gram(X, 2.0) / 2)
    (torch.Size([4, 2]), True)
    """
    X, D = _matrices(X, D)
    y = y.to(X.dtype)
    check_positive(nu=nu)
    (n, _), q = X.shape, len(D)
    basis = _basis(torch.cat([math.sqrt(nu / n) * X, D]))
    both = torch.zeros(n + q, q + 1, dtype=X.dtype)
    both[n:, :q], both[:n, q] = torch.eye(q, dtype=X.dtype), -math.sqrt(nu / n) * y
    both = math.sqrt((n + q) / nu) * (both - basis @ (basis.T @ both))
    return both[:, :q], both[:, q]


@checked(X="n p", D="q p, sparse")
def split_irr(X: Tensor, support: Tensor, nu: float, D: Tensor | None = None) -> float:
    r"""Return $\mathrm{IRR}(\nu)=\|\Sigma_{J,I}\Sigma_{I,I}^{-1}\|_\infty$, the largest row sum.

    Parameters
    ----------
    support : mask [q] of $I$, the rows of $D$ with $(D\beta^*)_i\ne0$; $J$ is the rest.
    nu : a positive number, or one of the limits 0 and ``math.inf``.

    Huang, Sun, Xiong, Yao, NIPS 2016.

    >>> X = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    >>> inside = torch.tensor([True, True, False])
    >>> round(split_irr(X, inside, 0.0), 4), round(split_irr(X, inside, 3.0), 4)
    (2.0, 1.0)
    """
    gram = split_gram(X, nu, D)
    support = check_mask("support", support, len(gram), "each row of D; pass D @ beta != 0")
    if not support.any() or support.all():
        return 0.0
    inner = gram[support][:, support]
    if torch.linalg.eigvalsh(inner)[0] <= SINGULAR * torch.linalg.eigvalsh(inner)[-1]:
        raise ValueError(
            f"Σ restricted to the support is singular for nu={nu:.3g}, so that IRR(ν) is not "
            "defined; X does not determine these rows of Dβ: take fewer of them, more samples, or "
            "a larger nu"
        )
    return float(torch.linalg.solve(inner, gram[support][:, ~support]).abs().sum(0).max())


@checked(beta="p", gamma="q", D="q p, sparse")
def split_estimate(beta: Tensor, gamma: Tensor, D: Tensor | None = None) -> Tensor:
    r"""Return the point nearest to $\beta$ with $(D\tilde\beta)_j=0$ wherever $\gamma_j=0$.

    Parameters
    ----------
    beta, gamma : [p] and [q], the two copies at one time of a path.

    >>> D = torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    >>> split_estimate(torch.tensor([1.0, 3.0, 7.0]), torch.tensor([0.0, 2.0]), D)
    tensor([2., 2., 7.])
    """
    if D is None:
        return torch.where(gamma != 0, beta, torch.zeros_like(beta))
    D = (D.to_dense() if D.is_sparse else D).to(beta.dtype)
    zero = D[gamma == 0]
    return beta - torch.linalg.pinv(zero) @ (zero @ beta) if len(zero) else beta.clone()


@checked(X="n p", D="q p, sparse")
def clean_until(
    X: Tensor, support: Tensor, nu: float, sigma: float, *, delta: float, D: Tensor | None = None
) -> float:
    r"""Return $\frac{1-\mathrm{IRR}(\nu)}{2\sigma}\sqrt{n\nu/\log(2|J|/\delta)}$, a time.

    Before it, with probability $1-\delta$, Gaussian noise of standard deviation $\sigma$ lets no
    row outside the support into the path; zero where $\mathrm{IRR}(\nu)\ge1$.

    >>> X = torch.eye(4, dtype=torch.float64) * 2
    >>> mask = torch.tensor([True, False, False, False])
    >>> round(clean_until(X, mask, nu=1.0, sigma=0.5, delta=0.06), 4)
    0.932
    """
    if not (sigma > 0 and 0 < delta < 1):
        raise ValueError(
            f"sigma must be positive and delta lie between 0 and 1, got {sigma!r} and {delta!r}; "
            "correct them"
        )
    room = max(0.0, 1 - split_irr(X, support, nu, D))
    others = int((~torch.as_tensor(support)).sum())
    return room / (2 * sigma) * math.sqrt(len(X) * nu / math.log(2 * others / delta))


def _matrices(X: Tensor, D: Tensor | None) -> tuple[Tensor, Tensor]:
    X = X.to(torch.float64)
    if D is None:
        return X, torch.eye(X.shape[1], dtype=X.dtype)
    return X, (D.to_dense() if D.is_sparse else D).to(X.dtype)


def _basis(A: Tensor) -> Tensor:
    """An orthonormal basis of the range of A, [rows rank]."""
    left, values, _ = torch.linalg.svd(A, full_matrices=False)
    largest = values.max() if len(values) else 0.0
    kept: Tensor = left[:, values > RANK * max(A.shape) * largest]
    return kept


def _kernel(A: Tensor) -> Tensor:
    """An orthonormal basis of the kernel of A, [p dimension]."""
    _, values, right = torch.linalg.svd(A, full_matrices=True)
    rank = int((values > RANK * max(A.shape) * values.max()).sum())
    kernel: Tensor = right[rank:].T
    return kernel


def _tight_gram(X: Tensor, D: Tensor) -> Tensor:
    r"""The matrix of $\gamma\mapsto\min\{\beta^\top X^\top X\beta/n:D\beta=\gamma\}$."""
    if torch.linalg.matrix_rank(D) < len(D):
        raise ValueError(
            f"the limit ν → 0 needs a D of full row rank, got {list(D.shape)} of rank "
            f"{int(torch.linalg.matrix_rank(D))}; pass a small positive nu instead"
        )
    free = X @ _kernel(D)  # what β can still do when Dβ is fixed
    fixed = X @ torch.linalg.pinv(D)
    basis = _basis(free)
    rest = fixed - basis @ (basis.T @ fixed)
    gram: Tensor = rest.T @ rest / len(X)
    return gram
