r"""What a distance between laws says about $\gamma_G$ and $\gamma_H$.

One loss $l(w;z)$ for all; client $i$ has the law $\mu_i$ of its samples and the weight $p_i$, and
$f_i(w)=\mathbb E_{z\sim\mu_i}l(w;z)$. The pool is the mixture $\mu=\sum_ip_i\mu_i$.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_nonnegative, check_positive

ROUNDING = 1e-9  # a distance of 1 may exceed it by so much
PROBABILITY = 1e-4  # so near is a sum of float32 weights to 1


@checked(distances="m", weights="m")
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
    check_nonnegative(bound=bound)
    if bool((distances > 1 + ROUNDING).any()):
        raise ValueError(
            f"distances must be total variations of at most 1, got {float(distances.max()):.4g}; "
            "is the factor ½ missing?"
        )
    return 2 * bound * _root_mean_square(distances, weights)


@checked(distances="m", weights="m")
def dissimilarity_from_wasserstein(
    distances: Tensor, lipschitz: float, weights: Tensor | None = None
) -> float:
    r"""Return $c\,\big(\sum_ip_i\,W_1(\mu_i,\mu)^2\big)^{1/2}$, a bound on a dissimilarity.

    With $c=L_Z$, a Lipschitz constant of $z\mapsto\nabla l(w;z)$, it bounds $\gamma_G(w)$; with
    $c=\rho_Z$, one of $z\mapsto\nabla^2l(w;z)$ in the spectral norm, $\gamma_H(w)$.

    Parameters
    ----------
    distances : [m], $W_1$ between every client's law and the pool, under the distance for which
        ``lipschitz`` holds; :func:`fedlearn_lib.federated.wasserstein_to_pool` computes it.
    lipschitz : $c$.
    weights : [m], the weights $p_i$; uniform by default.

    >>> dissimilarity_from_wasserstein(torch.tensor([2.0, 2.0]), lipschitz=1.5)
    3.0
    """
    check_nonnegative(lipschitz=lipschitz)
    return lipschitz * _root_mean_square(distances, weights)


@checked()
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
    check_positive(label_cost=label_cost)
    check_nonnegative(feature=feature, jump=jump)
    return max(feature, jump / label_cost)


@checked()
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
    check_nonnegative(radius=radius, weight_norm=weight_norm)
    R, omega, root = radius, weight_norm, math.sqrt(2)
    return root + 0.5 * R * omega, root * R, R + R**2 * omega / root


def _root_mean_square(distances: Tensor, weights: Tensor | None) -> float:
    m = len(distances)
    share = torch.full((m,), 1 / m) if weights is None else weights
    for name, values in {"distances": distances, "weights": share}.items():
        if bool((values < 0).any()):
            raise ValueError(
                f"{name} must be non-negative, one for each client, got {float(values.min()):.4g}"
            )
    total = float(share.sum())
    if not abs(total - 1) < PROBABILITY:
        raise ValueError(f"weights must have the sum 1, got {total:.4g}; divide them by their sum")
    return float((share.double() @ distances.double().square()).sqrt())
