"""Clients side by side with their local step compiled: the same client, given another step.

What a client does beside its step is algebra of trees, entry by entry. So it runs on stacked
models, leaves [c …], as on one, once its step takes c models at a time.
"""

from __future__ import annotations

import inspect
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from fedlearn_lib.data.clients import Batch
from fedlearn_lib.federated._pooling import SPELLED_OUT
from fedlearn_lib.trees import Params

M = TypeVar("M")
Step = Callable[[Params, tuple[Batch, ...]], Params]  # (w, draws) -> w after one local step
CODE: WeakKeyDictionary[Step, dict[object, Step]] = WeakKeyDictionary()  # compiled, by shapes


def compiled_clients(client: Callable[..., M], w: Params, batches: Batch, chunk: int) -> M:
    """Return the messages of all clients, leaves [m …], ``chunk`` clients in each call."""
    step = step_of(client)
    m = len(batches[0])
    messages: list[Any] = []
    for start in range(0, m, chunk):
        first = max(0, min(start, m - chunk))  # the last part reaches back: one shape for all
        x, y = (leaf[first : first + chunk].movedim(0, 2) for leaf in batches)  # [τ k c b …]
        models = {k: v.detach().expand(x.shape[2], *v.shape).contiguous() for k, v in w.items()}
        message: Any = client(models, (x, y), step=partial(_together, step))
        messages.append({k: v[start - first :] for k, v in message.items()})
    return cast(M, {k: torch.cat([message[k] for message in messages]) for k in messages[0]})


def step_of(client: Callable[..., object]) -> Step:
    """Return the step that this client takes by default; refuse where there is none."""
    found = inspect.signature(client).parameters.get("step")
    if found is None or not callable(found.default):
        raise ValueError(
            'how="compile" needs a client that takes its local step as an argument with a default, '
            "client(w, batches, step=...), as that of fedavg does, got "
            f'{getattr(client, "__qualname__", client)}; use how="vmap" for it'
        )
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler.split()[0]) is None:
        raise ValueError(
            f'how="compile" needs a C++ compiler, and {compiler!r} is none here; install it, set '
            'CXX to another, or use how="vmap"'
        )
    step: Step = found.default
    return step


def _together(step: Step, w: Params, draws: tuple[Batch, ...]) -> Params:
    """Take one step of c clients, leaves [c …], with code that is compiled at the first call."""
    leaves = [*w.values(), *(leaf for batch in draws for leaf in batch)]
    shapes = tuple((leaf.shape, leaf.dtype, leaf.device) for leaf in leaves)
    code = CODE.setdefault(step, {})
    if shapes not in code:
        try:
            graph = make_fx(torch.func.vmap(step), decomposition_table=SPELLED_OUT)(w, draws)
        except Exception as error:
            error.add_note('how="compile" could not trace the local step; how="vmap" may run it')
            raise
        code[shapes] = torch.compile(graph, fullgraph=True, dynamic=False)
    return code[shapes](w, draws)
