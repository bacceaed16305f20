r"""Constants of the meta-loss $F_i(w)=f_i(w-\alpha\nabla f_i(w))$ and of its estimated gradient.

Each function takes constants that hold for every client and all $w$: $L$ and $\rho$, the Lipschitz
constants of gradient and Hessian; $B$, a bound on the gradient; $\sigma_G,\sigma_H$, the standard
deviations of one sample's gradient and Hessian; $\gamma_G,\gamma_H$, the spread over clients.
``convex=True`` uses that the Hessians have no negative eigenvalue, and needs $\alpha L\le1$.
"""

from __future__ import annotations

import math

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers, check_nonnegative

LARGEST = 700.0  # e to this power is nearly the largest float
ROUNDING = 1e-9  # a product may exceed the bound that it was chosen to meet by so much


@checked()
def stretch(L: float, alpha: float, *, convex: bool = False) -> float:
    r"""Return $\Lambda$, the most by which $I-\alpha\nabla^2f_i(w)$ stretches a vector.

    It is $1+\alpha L$ in general, and 1 for convex losses with $\alpha L\le1$.

    >>> stretch(2.0, 0.5), stretch(2.0, 0.5, convex=True)
    (2.0, 1.0)
    """
    check_nonnegative(L=L, alpha=alpha)
    if convex and alpha * L > 1 + ROUNDING:
        raise ValueError(f"convex=True needs alpha * L <= 1, got {alpha * L:.4g}; lower alpha")
    return 1.0 if convex else 1 + alpha * L


@checked()
def meta_smoothness(
    L: float, rho: float, B: float, alpha: float, *, steps: int = 1, convex: bool = False
) -> float:
    r"""Return $L_F=L\Lambda^2+\alpha\rho B$, a Lipschitz constant of $\nabla F_i$.

    At most $4L+\alpha\rho B$ for $\alpha L\le1$ (Fallah et al., 2020). For $\nu$ = ``steps`` steps
    of adaptation it is $L\Lambda^{2\nu}+\alpha\rho B\Lambda^{\nu-1}\sum_{s<\nu}\Lambda^s$.

    >>> meta_smoothness(2.0, 1.0, 3.0, alpha=0.5)
    9.5
    >>> meta_smoothness(2.0, 1.0, 3.0, alpha=0.5, steps=2)
    41.0
    """
    check_nonnegative(rho=rho, B=B)
    check_integers(steps=steps)
    s = stretch(L, alpha, convex=convex)
    if 2 * steps * math.log(s) > LARGEST:
        raise ValueError(
            f"steps={steps} with 1 + alpha * L = {s:.4g} give a constant beyond every float; lower "
            "steps or alpha"
        )
    summed = math.expm1(steps * math.log(s)) / (s - 1) if s > 1 else steps
    return L * s ** (2 * steps) + alpha * rho * B * s ** (steps - 1) * summed


@checked()
def meta_bias(
    L: float, rho: float, sigma_G: float, alpha: float, batch: int, *, convex: bool = False
) -> float:
    r"""Return $\mu=\Lambda\min(\alpha L\sigma_G/\sqrt b,\ \tfrac12\rho\alpha^2\sigma_G^2/b)$.

    A bound on $\|\mathbb E\tilde\nabla F_i(w)-\nabla F_i(w)\|$ for an inner batch of $b$ samples.
    The second argument of the minimum vanishes for quadratics, as the bias does.

    >>> meta_bias(1.0, 1.0, 2.0, alpha=1.0, batch=4), meta_bias(1.0, 1.0, 2.0, 1.0, 100)
    (1.0, 0.04)
    """
    check_nonnegative(rho=rho, sigma_G=sigma_G)
    check_integers(batch=batch)
    first = alpha * L * sigma_G / math.sqrt(batch)
    second = 0.5 * rho * alpha**2 * sigma_G**2 / batch
    return stretch(L, alpha, convex=convex) * min(first, second)


@checked()
def meta_variance(
    L: float,
    B: float,
    sigma_G: float,
    sigma_H: float,
    alpha: float,
    batches: tuple[int, int, int],
    *,
    convex: bool = False,
) -> float:
    r"""Return $\sigma_F^2$, a bound on $\mathbb E\|\tilde\nabla F_i(w)-\nabla F_i(w)\|^2$.

    $$\sigma_F^2=\Lambda^2\sigma_G^2\Big(\frac1{b'}+\frac{\alpha^2L^2}b\Big)
      +\frac{\alpha^2\sigma_H^2}{b''}\Big(B^2+\frac{\sigma_G^2}{b'}\Big).$$

    Parameters
    ----------
    sigma_H : for the spectral norm: $\mathbb E\|\nabla^2\ell(w;z)-\nabla^2f_i(w)\|^2\le\sigma_H^2$.
    batches : $(b,b',b'')$, samples to adapt with, to look back with, and for the Hessian.

    >>> meta_variance(1.0, 3.0, 2.0, 0.5, alpha=1.0, batches=(4, 2, 1))
    14.75
    """
    check_nonnegative(B=B, sigma_G=sigma_G, sigma_H=sigma_H)
    inner, outer, third = batches
    check_integers(**{f"batches[{i}]": batch for i, batch in enumerate(batches)})
    s = stretch(L, alpha, convex=convex)
    gradients = s**2 * sigma_G**2 * (1 / outer + (alpha * L) ** 2 / inner)
    return gradients + (alpha * sigma_H) ** 2 / third * (B**2 + sigma_G**2 / outer)


@checked()
def meta_dissimilarity(
    L: float, B: float, gamma_G: float, gamma_H: float, alpha: float, *,
    convex: bool = False, everywhere: bool = True,
) -> float:  # fmt: skip
    r"""Return $\gamma_F$: $\frac1m\sum_i\|\nabla F_i(w)-\nabla F(w)\|^2\le\gamma_F^2$.

    The smallest of three bounds:
    $$\Lambda^2\gamma_G+(1+\Lambda)\alpha B\gamma_H,\qquad\Lambda B,\qquad
      \Lambda(1+\alpha L)\gamma_G+\alpha B\gamma_H.$$
    The first needs $\gamma_G$ at $w$ only, and $\gamma_H$ on the segment from $w$ to
    $w-\alpha\nabla f(w)$; the third needs $\gamma_G$ at both ends of it.

    Parameters
    ----------
    everywhere : whether ``gamma_G`` holds at every model; ``False`` leaves the third one out.

    >>> meta_dissimilarity(1.0, 3.0, 0.5, 0.25, alpha=1.0)
    2.75
    >>> meta_dissimilarity(1.0, 3.0, 0.5, 0.25, alpha=1.0, everywhere=False)
    4.25
    """
    check_nonnegative(B=B, gamma_G=gamma_G, gamma_H=gamma_H)
    s, curved = stretch(L, alpha, convex=convex), alpha * B * gamma_H
    here = min(s**2 * gamma_G + (1 + s) * curved, s * B)
    return min(here, s * (1 + alpha * L) * gamma_G + curved) if everywhere else here


@checked()
def mean_client_gap(
    L: float, rho: float, B: float, gamma_G: float, gamma_H: float, alpha: float, *,
    convex: bool = False,
) -> float:  # fmt: skip
    r"""Return $2\Lambda\alpha\gamma_G\gamma_H+\frac12\Lambda\rho\alpha^2\gamma_G^2
    +\alpha^2B\gamma_H^2$.

    A bound on the distance between $\nabla F(w)$ and the meta-gradient of one client whose loss is
    the mean loss $f$: products of two dissimilarities, where $\gamma_F$ has single ones.

    >>> mean_client_gap(1.0, 0.0, 3.0, gamma_G=0.5, gamma_H=0.25, alpha=1.0)
    0.6875
    """
    check_nonnegative(rho=rho, B=B, gamma_G=gamma_G, gamma_H=gamma_H)
    s = stretch(L, alpha, convex=convex)
    mixed = 2 * s * alpha * gamma_G * gamma_H
    return mixed + 0.5 * s * rho * (alpha * gamma_G) ** 2 + B * (alpha * gamma_H) ** 2


@checked()
def newcomer_gap(
    L: float, B: float, slopes: float, curves: float, alpha: float, *,
    mean_client: float = 0.0, convex: bool = False, everywhere: bool = False,
) -> float:  # fmt: skip
    r"""Return a bound on $\|\nabla F_{\text{new}}(w)-\nabla F(w)\|$ for a client not seen before.

    $$\min\big(\Lambda^2d+(1+\Lambda)\alpha Bh+\epsilon,\ 2\Lambda B\big),$$
    and $\Lambda(1+\alpha L)d+\alpha Bh+\epsilon$ if $d$ holds at $w-\alpha\nabla f(w)$ as well.

    Parameters
    ----------
    slopes : $d\ge\|\nabla f_{\text{new}}(w)-\nabla f(w)\|$, such as $2B\,TV(\mu_{\text{new}},\mu)$.
    curves : $h\ge\|\nabla^2f_{\text{new}}-\nabla^2f\|$ from $w$ to $w-\alpha\nabla f(w)$.
    mean_client : $\epsilon$, from :func:`mean_client_gap`; 0 if $F$ has one client, with loss $f$.
    everywhere : whether ``slopes`` holds at every model, as a bound through laws does.

    >>> newcomer_gap(1.0, 3.0, slopes=0.5, curves=0.25, alpha=0.5, mean_client=0.125)
    2.1875
    >>> newcomer_gap(1.0, 3.0, slopes=0.5, curves=0.25, alpha=0.5, everywhere=True)
    1.5
    """
    check_nonnegative(B=B, slopes=slopes, curves=curves, mean_client=mean_client)
    s, curved = stretch(L, alpha, convex=convex), alpha * B * curves
    here = s**2 * slopes + (1 + s) * curved
    if everywhere:
        here = min(here, s * (1 + alpha * L) * slopes + curved)
    return min(here + mean_client, 2 * s * B)


@checked()
def fo_bias(L: float, rho: float, B: float, sigma_G: float, alpha: float, batch: int) -> float:
    r"""Return $\mu_{FO}=\alpha LB+\min(\alpha L\sigma_G/\sqrt b,\tfrac12\rho\alpha^2\sigma_G^2/b)$.

    The bias of first-order Per-FedAvg, which leaves the Hessian out: $\alpha LB$ stays for every
    batch.

    >>> fo_bias(1.0, 1.0, 3.0, 2.0, alpha=0.5, batch=100)
    1.505
    """
    check_nonnegative(B=B)
    return alpha * L * B + meta_bias(L, rho, sigma_G, alpha, batch) / stretch(L, alpha)


@checked()
def fo_variance(L: float, sigma_G: float, alpha: float, batches: tuple[int, int]) -> float:
    r"""Return $\sigma_{FO}^2=\sigma_G^2(1/b'+\alpha^2L^2/b)$ for batches $(b,b')$.

    >>> fo_variance(1.0, 2.0, alpha=0.5, batches=(4, 2))
    2.25
    """
    inner, outer = batches
    return meta_variance(L, 0.0, sigma_G, 0.0, alpha, (inner, outer, 1)) / stretch(L, alpha) ** 2


@checked()
def hf_bias(
    L: float, rho: float, B: float, sigma_G: float, alpha: float, batches: tuple[int, int, int],
    delta: float, *, convex: bool = False,
) -> float:  # fmt: skip
    r"""Return $\mu_{HF}=\mu+\tfrac12\alpha\rho\delta\,(B^2+\sigma_G^2/b')$.

    The bias of Hessian-free Per-FedAvg, whose quotient has the step $\delta$; its variance has the
    same bound as that of the exact gradient, :func:`meta_variance`.

    >>> hf_bias(1.0, 1.0, 3.0, 2.0, alpha=1.0, batches=(100, 4, 1), delta=0.01)
    0.09
    """
    check_nonnegative(B=B, delta=delta)
    check_integers(**{f"batches[{i}]": batch for i, batch in enumerate(batches)})
    mu = meta_bias(L, rho, sigma_G, alpha, batches[0], convex=convex)
    return mu + 0.5 * alpha * rho * delta * (B**2 + sigma_G**2 / batches[1])


@checked()
def softmax_constants(radius: float) -> tuple[float, float, float]:
    r"""Return $(L,B,\rho)=\big(\tfrac12R^2,\ \sqrt2R,\ R^3/\sqrt2\big)$ for softmax regression.

    Cross-entropy of a linear map, all inputs (with the constant 1 of the bias, if there is one)
    of norm at most $R$; the constants hold for every $w$ and every client.

    >>> L, B, rho = softmax_constants(2.0)
    >>> round(L, 3), round(B, 3), round(rho, 3)
    (2.0, 2.828, 5.657)
    """
    check_nonnegative(radius=radius)
    return 0.5 * radius**2, math.sqrt(2) * radius, radius**3 / math.sqrt(2)
