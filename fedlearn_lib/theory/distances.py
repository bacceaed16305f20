r"""What a distance between laws says about $\gamma_G$ and $\gamma_H$.

One loss $l(w;z)$ for all; client $i$ has the law $\mu_i$ of its samples and the weight $p_i$, and
$f_i(w)=\mathbb E_{z\sim\mu_i}l(w;z)$. The pool is the mixture $\mu=\sum_ip_i\mu_i$.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dissimilarity_from_tv(distances: Tensor, bound: float, weights: Tensor | None = None) -> float:
    r"""Return $2c\,\big(\sum_ip_i\,TV(\mu_i,\mu)^2\big)^{1/2}$, a bound on a dissimilarity.

    With $c=B\ge\|\nabla l(w;z)\|$ it bounds $\gamma_G(w)$, with $c=L\ge\|\nabla^2l(w;z)\|$
    $\gamma_H(w)$. The 2 belongs to the convention $TV=\frac12\int|d\mu_i-d\mu|$.

    Parameters
    ----------
    distances : [m], total variation between every client's law and the pool, at most 1.
    bound : $c$.
    weights : [m], the weights $p_i$; uniform by default.

    >>> dissimilarity_from_tv(torch.tensor([0.5, 0.5]), bound=3.0)
    3.0
    """
    if bool((distances > 1 + 1e-9).any()):
        raise ValueError(
            f"distances must be total variations of at most 1, got {float(distances.max()):.4g}; "
            "is the factor ½ missing?"
        )
    return 2 * _nonnegative("bound", bound) * _root_mean_square(distances, weights)


def dissimilarity_from_wasserstein(
    distances: Tensor, lipschitz: float, weights: Tensor | None = None
) -> float:
    r"""Return $c\,\big(\sum_ip_i\,W_1(\mu_i,\mu)^2\big)^{1/2}$, a bound on a dissimilarity.

    With $c=L_Z$, a Lipschitz constant of $z\mapsto\nabla l(w;z)$, it bounds $\gamma_G(w)$; with
    $c=\rho_Z$, one of $z\mapsto\nabla^2l(w;z)$ in the spectral norm, $\gamma_H(w)$.

    Parameters
    ----------
    distances : [m], $W_1$ between every client's law and the pool, under the distance for which
        ``lipschitz`` holds; :func:`fedlearn_lib.wasserstein_to_pool` computes it.
    lipschitz : $c$.
    weights : [m], the weights $p_i$; uniform by default.

    >>> dissimilarity_from_wasserstein(torch.tensor([2.0, 2.0]), lipschitz=1.5)
    3.0
    """
    return _nonnegative("lipschitz", lipschitz) * _root_mean_square(distances, weights)


def joint_lipschitz(feature: float, jump: float, label_cost: float) -> float:
    r"""Return $\max(A,J/\lambda)$, a Lipschitz constant under $\|x-x'\|+\lambda\,1[y\ne y']$.

    Parameters
    ----------
    feature : $A$, a Lipschitz constant in $x$ while the label stays.
    jump : $J$, the most that a change of the label alone can change the function.
    label_cost : $\lambda>0$. The bound $\max(A,J/\lambda)\,W_1^\lambda$ is smallest at
        $\lambda=J/A$, whatever the laws are.

    >>> joint_lipschitz(feature=2.0, jump=6.0, label_cost=3.0)
    2.0
    >>> joint_lipschitz(feature=2.0, jump=6.0, label_cost=1.0)
    6.0
    """
    if not 0 < label_cost < math.inf:
        raise ValueError(f"label_cost must be positive and finite, got {label_cost!r}")
    return max(_nonnegative("feature", feature), _nonnegative("jump", jump) / label_cost)


def softmax_lipschitz(radius: float, weight_norm: float) -> tuple[float, float, float]:
    r"""Return $(A,J,\rho)$ of softmax regression: how its derivatives depend on the sample.

    Cross-entropy of a linear map, all inputs (with the 1 of the bias, if there is one) of norm at
    most $R$, the matrix that multiplies $x$ of spectral norm at most $\Omega$. Then

    - $A=\sqrt2+\frac12R\Omega$ is a Lipschitz constant of $x\mapsto\nabla l$ at a fixed label;
    - $J=\sqrt2R$ bounds the jump of $\nabla l$ when only the label changes;
    - $\rho=R+\frac1{\sqrt2}R^2\Omega$ is a Lipschitz constant of $x\mapsto\nabla^2l$, in which the
      label does not occur.

    Parameters
    ----------
    radius : $R$.
    weight_norm : $\Omega$.

    >>> A, J, rho = softmax_lipschitz(radius=2.0, weight_norm=1.0)
    >>> round(A, 4), round(J, 4), round(rho, 4)
    (2.4142, 2.8284, 4.8284)
    """
    R, omega = _nonnegative("radius", radius), _nonnegative("weight_norm", weight_norm)
    root = math.sqrt(2)
    return root + 0.5 * R * omega, root * R, R + R**2 * omega / root


def _root_mean_square(distances: Tensor, weights: Tensor | None) -> float:
    m = len(distances)
    share = torch.full((m,), 1 / m) if weights is None else weights
    if distances.shape != share.shape or bool((distances < 0).any()):
        raise ValueError(
            "distances must be one non-negative number a client, as many as weights, got the "
            f"shapes {tuple(distances.shape)} and {tuple(share.shape)}; pass distances to the pool"
        )
    return float((share.double() @ distances.double().square()).sqrt())


def _nonnegative(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(
            f"{name} must be a finite number of at least 0, got {value!r}; correct {name}"
        )
    return float(value)
