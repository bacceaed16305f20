"""Carrying an optimizer over to a network that has grown."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

AnyOptimizer = TypeVar("AnyOptimizer", bound=Optimizer)


def carry_state(optimizer: AnyOptimizer, model: nn.Module, wide: nn.Module) -> AnyOptimizer:
    r"""Return an optimizer of ``wide`` that goes on where the one of ``model`` stands.

    Old entries keep their state ($V$ and momentum of :class:`fedlearn_lib.SplitLBI`, moments of
    Adam), entries of new units start at 0; path time, options and groups are the same.

    Parameters
    ----------
    optimizer : any of ``torch.optim``, of parameters of ``model``; it is not changed.
    wide : what :func:`grow` made of ``model``: old units first, new ones behind them.

    >>> from fedlearn_lib import SplitLBI, grow, mlp
    >>> model = mlp(4, 2, 3)
    >>> optimizer = SplitLBI([{"params": [model[1].weight], "penalty": "group"}], lr=1.0, nu=1.0)
    >>> model[1].weight.grad = torch.zeros(2, 4)
    >>> _ = optimizer.step()
    >>> wide = grow(model, 1, 1, generator=torch.Generator().manual_seed(0))
    >>> dual = carry_state(optimizer, model, wide).state[wide[1].weight]["dual"]
    >>> torch.equal(dual[:2], optimizer.state[model[1].weight]["dual"]), dual[2].tolist()
    (True, [0.0, 0.0, 0.0, 0.0])
    """
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"optimizer must be one of torch.optim's kind, got {optimizer!r}; make it")
    twins = _twins(model, wide)
    missing = [p for group in optimizer.param_groups for p in group["params"] if p not in twins]
    if missing:
        raise ValueError(
            f"optimizer must hold parameters of model, got {len(missing)} that are not; pass the "
            "network that it trains"
        )
    groups = [{**_options(g), "params": _params(g, twins)} for g in optimizer.param_groups]
    new = type(optimizer)(groups, lr=optimizer.defaults["lr"])  # type: ignore[call-arg]
    for group, fresh in zip(optimizer.param_groups, new.param_groups, strict=True):
        fresh.update(_options(group))  # the path time, which a new optimizer sets to zero
    for old, state in optimizer.state.items():
        new.state[twins[old]] = {
            name: _padded(value, old, twins[old]) for name, value in state.items()
        }
    return new


def _twins(model: nn.Module, wide: nn.Module) -> dict[Tensor, Tensor]:
    """The parameter of ``wide`` that each parameter of ``model`` has become."""
    for name, network in (("model", model), ("wide", wide)):
        if not isinstance(network, nn.Module):
            raise ValueError(f"{name} must be an nn.Module, got {network!r}; pass a network")
    old, new = dict(model.named_parameters()), dict(wide.named_parameters())
    if old.keys() != new.keys():
        raise ValueError(
            f"wide must have the parameters of model, got {sorted(old.keys() ^ new.keys())[:5]} in "
            "one of them only; pass what grow made of model"
        )
    for name, p in old.items():
        q = new[name]
        if p.ndim != q.ndim or any(a > b for a, b in zip(p.shape, q.shape, strict=True)):
            raise ValueError(
                f"wide must be as large as model, got {name} of shape {tuple(q.shape)} for "
                f"{tuple(p.shape)}; pass what grow made of model"
            )
    return {old[name]: new[name] for name in old}


def _params(group: dict[str, Any], twins: dict[Tensor, Tensor]) -> list[Any]:
    """The new parameters of a group, with their names if the old ones have any."""
    params = [twins[p] for p in group["params"]]
    names = group.get("param_names")
    return list(zip(names, params, strict=True)) if names else params


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) for k, v in group.items() if k not in ("params", "param_names")}


def _padded(value: Any, old: Tensor, new: Tensor) -> Any:
    """A state of the shape of ``old`` in the shape of ``new``; anything else as it is."""
    if not isinstance(value, Tensor) or value.shape != old.shape:
        return _copied(value)
    padded = torch.zeros_like(new, dtype=value.dtype)
    padded[tuple(slice(n) for n in value.shape)] = value
    return padded


def _copied(value: Any) -> Any:
    """A tensor of its own: path time and numbers of steps are counted in place."""
    return value.clone() if isinstance(value, Tensor) else value
