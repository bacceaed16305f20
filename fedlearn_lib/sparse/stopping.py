"""When to stop on a path: held-out data, cross-validation, or a known level of noise."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from fedlearn_lib._checked import checked, checked_record, explained
from fedlearn_lib._checks import check_finite, check_integers
from fedlearn_lib._shapes import shown
from fedlearn_lib.sparse.path import Leaves, Path, linear_models

Score = Callable[[Any, Tensor, Tensor], Tensor]
Of = Literal["w", "gamma"]


@checked_record(t="K", error="K", spread="K")
class Curve(NamedTuple):
    r"""An error against path time, and what it says about when to stop.

    Attributes
    ----------
    t : [K], path times.
    error : [K], the mean error at each of them.
    spread : [K], standard errors of ``error``: over folds, or over held-out samples.

    >>> curve = Curve(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 0.25, 0.2]),
    ...               torch.full((3,), 0.1))
    >>> curve.best(), curve.simplest()
    (3.0, 2.0)
    """

    t: Tensor
    error: Tensor
    spread: Tensor

    def best(self) -> float:
        """Return the first time with the smallest error; a model whose error is NaN is none."""
        return float(self.t[self._smallest()])

    def simplest(self) -> float:
        """Return the first time whose error is within one standard error of the smallest."""
        k = self._smallest()
        within = self.error <= self.error[k] + self.spread[k].nan_to_num()
        return float(self.t[within.int().argmax()])

    def _smallest(self) -> int:
        if not bool(torch.isfinite(self.error).any()):
            raise ValueError(
                f"error must have a finite entry, got {len(self.error)} times NaN or infinity; "
                "the path has diverged: lower lr, or look at the score"
            )
        return int(self.error.nan_to_num(nan=torch.inf).argmin())


@explained
def squared_error(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    r"""Return $(y_i-x_i^\top w)^2$ for each sample, [n].

    >>> squared_error(torch.tensor([2.0]), torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 5.0]))
    tensor([0., 1.])
    """
    if isinstance(w, dict):
        raise ValueError(
            f"w must be the coefficients of a linear model in one tensor, got a dictionary with "
            f"{list(w)}; pass score=, a function of such a dictionary, to validation_curve or "
            "cross_validation"
        )
    return (y.to(w) - X.to(w) @ w) ** 2


@checked()
def validation_curve(
    path: Path, X: Tensor, y: Tensor, score: Score = squared_error, *, of: Of = "w"
) -> Curve:
    r"""Return the mean score of every model of ``path`` on samples that it has not seen.

    Parameters
    ----------
    X, y : [n …] and [n], held out.
    score : ``score(w, X, y) -> [n]``, one number a sample, the smaller the better. ``w`` is a
        model of the path: a tensor, or a dictionary of tensors where the path has one.
    of : ``"gamma"`` scores the sparse copies in the place of the coefficients.

    >>> w = torch.tensor([[0.0], [2.0]])
    >>> curve = validation_curve(Path(torch.tensor([1.0, 2.0]), w, w), torch.ones(4, 1),
    ...                          torch.full((4,), 2.0))
    >>> curve.error.tolist(), curve.best()
    ([4.0, 0.0], 2.0)
    """
    _check_samples(X, y, 2, "to hold out")
    scores = torch.stack([_scores(score, w, X, y) for w in _models(path, of)])
    return Curve(path.t, scores.mean(1), scores.std(1) / len(y) ** 0.5)


@checked(times="K")
def cross_validation(
    fit: Callable[[Tensor, Tensor], Path],
    X: Tensor,
    y: Tensor,
    times: Tensor,
    *,
    folds: int = 5,
    score: Score = squared_error,
    of: Of = "w",
    generator: torch.Generator,
) -> Curve:
    r"""Return the error against path time, each sample scored by a path that has not seen it.

    The data are split into ``folds`` random parts. The path is computed without each part in turn
    and read at the same ``times``: path time means the same for paths of nearly equal data. A
    warning says which times lie beyond the end of a path, where its last model is scored.

    Parameters
    ----------
    fit : ``fit(X, y) -> Path``, for instance ``lambda X, y: lbi_path(X, y, kappa=50, …)``.
    times : [K], increasing.
    score, of : as in :func:`validation_curve`.

    >>> from fedlearn_lib import lbi_path
    >>> X, y = torch.eye(6).repeat(3, 1), torch.tensor([4.0, 0, 0, 0, 0, 0]).repeat(3)
    >>> fit = lambda X, y: lbi_path(X, y, kappa=50.0, steps=400)
    >>> g = torch.Generator().manual_seed(0)
    >>> curve = cross_validation(fit, X, y, torch.tensor([0.5, 4.0]), folds=3, generator=g)
    >>> [round(e, 2) for e in curve.error.tolist()]
    [2.67, 0.0]
    """
    check_integers(2, folds=folds)
    _check_samples(X, y, 2 * folds, f"for folds={folds}")
    errors, end = [], float("inf")
    for held in torch.randperm(len(y), generator=generator).tensor_split(folds):
        kept = torch.ones(len(y), dtype=torch.bool)
        kept[held] = False
        path = fit(X[kept], y[kept])
        if not isinstance(path, Path):
            raise ValueError(f"fit must return a Path, got {type(path).__name__}; see Path")
        end = min(end, float(path.t[-1]))
        models = [path.at(t, of) for t in times.tolist()]
        errors.append(torch.stack([_scores(score, w, X[held], y[held]).mean() for w in models]))
    if (late := int((times > end).sum())) > 0:
        warnings.warn(
            f"{late} of {len(times)} times lie beyond {end:.4g}, where the path of a fold ends and "
            "its last model is scored; take more steps or earlier times, unless the paths have "
            "come to their end by themselves, as those of iss_path do",
            stacklevel=3,  # past the decorator
        )
    table = torch.stack(errors)  # [folds K]
    return Curve(times, table.mean(0), table.std(0) / folds**0.5)


@checked(X="n p", y="n")
def discrepancy_time(path: Path, X: Tensor, y: Tensor, sigma: float) -> float:
    r"""Return the first time at which $\frac1n\|y-X\beta_t\|^2\le\sigma^2$, inf if there is none.

    From there on the path explains more than the truth does: $\frac1n\|y-X\beta^*\|^2$ is about
    $\sigma^2$. (Morozov's discrepancy principle.)

    >>> w = torch.tensor([[1.0], [1.9]])
    >>> discrepancy_time(Path(torch.tensor([0.5, 1.5]), w, w), torch.ones(3, 1),
    ...                  2 * torch.ones(3), sigma=0.2)
    1.5
    """
    if not sigma >= 0:
        raise ValueError(f"sigma must be a standard deviation, got {sigma!r}; pass 0 or more")
    models = linear_models(path, X.shape[1])
    left = torch.stack([squared_error(w, X, y).mean() for w in models])
    within = left <= sigma**2
    return float(path.t[within.int().argmax()]) if bool(within.any()) else float("inf")


def _models(path: Path, of: Of) -> list[Any]:
    leaves: Leaves = getattr(path, of)
    if isinstance(leaves, dict):
        return [{name: x[k] for name, x in leaves.items()} for k in range(len(path.t))]
    return list(leaves)


def _scores(score: Score, w: Any, X: Tensor, y: Tensor) -> Tensor:
    scores = score(w, X, y)
    if not isinstance(scores, Tensor) or scores.shape != y.shape:
        raise ValueError(
            f"score must return one number a sample, [{len(y)}], got {shown(scores)}; leave out "
            "the mean"
        )
    return scores


def _check_samples(X: Tensor, y: Tensor, least: int, what: str) -> None:
    if y.ndim != 1 or len(y) < least or X.shape[:1] != y.shape:
        raise ValueError(
            f"X and y must be [n …] and [n] with at least {least} samples {what}, got "
            f"{list(X.shape)} and {list(y.shape)}; take more samples, or flatten y"
        )
    check_finite("X", X)
    check_finite("y", y)
