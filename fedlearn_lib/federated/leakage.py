r"""What a message says about the data that made it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fedlearn_lib._checked import checked
from fedlearn_lib._checks import check_integers, check_model
from fedlearn_lib._shapes import shown
from fedlearn_lib.trees import Params, axpy, dot


@checked(slope="c", predicted="c")
def label_shares(slope: Tensor, predicted: Tensor | None = None) -> Tensor:
    r"""Return the share of each class in the data behind a gradient: [c].

    For cross-entropy the gradient in the biases of the outputs is $\bar q-\pi$: mean predicted
    probabilities minus shares. All weights zero make $\bar q$ uniform, and the shares exact.

    Parameters
    ----------
    slope : [c], the gradient in the output biases.
    predicted : [c], $\bar q$; uniform by default.

    >>> label_shares(torch.tensor([-0.25, 0.0, 0.25]), torch.tensor([0.25, 0.25, 0.5]))
    tensor([0.5000, 0.2500, 0.2500])
    """
    uniform = torch.full_like(slope, 1 / len(slope))
    return (uniform if predicted is None else predicted) - slope


@checked(weights="h p", biases="h")
def inputs_from_rows(weights: Tensor, biases: Tensor) -> Tensor:
    r"""Return $\Delta W_j/\Delta v_j$ for every unit whose bias has changed: [k p], $k\le h$.

    Row $j$ of a first layer $Wx+v$ changes by $\sum_sc_{js}x_s$ and its bias by $\sum_sc_{js}$, so
    the quotient is a weighted mean of the inputs that reached unit $j$, with weights that may be
    negative; a single input is returned exactly. Units with $\Delta v_j=0$ are left out.

    Phong, Aono, Hayashi, Wang, Moriai, IEEE TIFS 2018.

    >>> x = torch.tensor([3.0, 4.0])
    >>> inputs_from_rows(torch.outer(torch.tensor([2.0, 0.0, -1.0]), x), torch.tensor([2.0, 0, -1]))
    tensor([[3., 4.],
            [3., 4.]])
    """
    moved = biases != 0
    return weights[moved] / biases[moved][:, None]


@checked()
def match_message(
    message_of: Callable[[Tensor], Params], sent: Params, x0: Tensor, *, steps: int
) -> tuple[Tensor, float]:
    r"""Look for inputs whose message is the one that was sent.

    $$\min_x\;\lVert m(x)-m\rVert^2/\lVert m\rVert^2,$$
    by ``steps`` iterations of L-BFGS with a line search from ``x0``.

    Parameters
    ----------
    message_of : ``x -> message``, differentiable; the receiver knows model, method and labels.
    sent : $m$, the message.
    x0 : where the search starts, in the shape of the inputs.

    Returns
    -------
    (x, misfit), the inputs found and the value of the objective there.

    Zhu, Liu, Han, NeurIPS 2019.

    >>> sent = {"w": torch.tensor([6.0])}
    >>> x, misfit = match_message(lambda x: {"w": 2 * x}, sent, torch.zeros(1), steps=5)
    >>> x, misfit < 1e-6
    (tensor([3.]), True)
    """
    check_integers(steps=steps)
    check_model("sent", sent)
    if not all(v.is_floating_point() for v in sent.values()):
        raise ValueError("sent must hold real floats in every leaf; take it from a client")
    scale = dot(sent, sent).detach()
    if not float(scale) > 0:
        raise ValueError("sent must not be zero everywhere, for zero says nothing about x; resend")
    if not x0.is_floating_point() or not bool(torch.isfinite(x0).all()):
        raise ValueError(f"x0 must hold finite floats, got {x0.dtype}; start from torch.rand")
    x = x0.detach().clone().requires_grad_()
    search = torch.optim.LBFGS(
        [x], max_iter=steps, tolerance_grad=1e-12, tolerance_change=1e-14, history_size=20,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def misfit() -> Tensor:
        search.zero_grad()
        made = message_of(x)
        _check_made(made, sent)
        gap = axpy(-1.0, sent, made)
        value = dot(gap, gap) / scale
        value.backward()
        return value

    with torch.enable_grad():
        search.step(misfit)
        return x.detach(), float(misfit().detach())


def _check_made(made: object, sent: Params) -> None:
    """Refuse a procedure whose message has not the names and shapes of the one that was sent."""
    shapes = {name: v.shape for name, v in sent.items()}
    if not isinstance(made, dict) or shapes != {k: getattr(v, "shape", 0) for k, v in made.items()}:
        raise ValueError(
            "message_of must return for x0 a message like sent, with its names and shapes, got "
            f"{shown(made)} for {shown(sent)}; give x0 the shape of the inputs"
        )
