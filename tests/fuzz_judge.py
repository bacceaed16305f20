"""Runs one case of the fuzz test and says whether what happened is right."""

from __future__ import annotations

import math
import re
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from fuzz_values import OwnError
from torch import Tensor, nn

SECONDS = 5.0
RIGHT = ("same", "other", "clear", "own")


class Verdict(NamedTuple):
    """``outcome``: one of RIGHT, or what is wrong; ``words``: the error's, for a reader."""

    outcome: str
    words: str = ""

    @property
    def right(self) -> bool:
        return self.outcome in RIGHT


class Slow(BaseException):
    """The case took longer than SECONDS."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise Slow

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(
    run: Callable[[], Any], arguments: Any, names: set[str], *,
    refused: bool, valid: Any, nan_allowed: bool, same: bool, mutates: bool,
) -> Verdict:  # fmt: skip
    """Run a case whose replaced argument has ``names``; ``valid`` is the valid call's result."""
    before, lot = bits(arguments), torch.get_rng_state()
    try:
        with limit(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = run()
    except Slow:
        return Verdict("slow")
    except OwnError:
        return Verdict("own")
    except (ValueError, TypeError) as error:
        words = f"{type(error).__name__}: {error}"
        if not mutates and bits(arguments) != before:
            return Verdict("mutated", words)
        if any(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", str(error)) for name in names):
            return Verdict("clear", words)
        return Verdict("unnamed", words + place(error))
    except Exception as error:  # noqa: BLE001  every other kind is what the test is looking for
        return Verdict("obscure", f"{type(error).__name__}: {str(error)[:200]}" + place(error))
    if not mutates and bits(arguments) != before:
        return Verdict("mutated")
    if not torch.equal(torch.get_rng_state(), lot):
        return Verdict("global random numbers")
    if refused:
        return Verdict("accepted", repr(result)[:200])
    numbers = list(numbers_of(result))
    if not nan_allowed and any(bool(np.any(x != x)) for x in numbers):
        return Verdict("nan")
    alike = _alike(numbers, list(numbers_of(valid)))
    return Verdict("same" if alike else "changed" if same else "other")


def place(error: BaseException) -> str:
    """Where in the library it was raised."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "fedlearn_lib" in f.filename]
    return "".join(f" <{f.filename.split('fedlearn_lib/')[-1]}:{f.lineno}>" for f in frames[-1:])


def _alike(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        x.shape == y.shape and np.allclose(x, y, rtol=1e-5, atol=1e-6, equal_nan=True)
        for x, y in zip(a, b, strict=True)
    )


def numbers_of(tree: Any) -> Iterator[Any]:
    """Yield every number of a result as an array."""
    if isinstance(tree, Tensor):
        if tree.device.type != "meta":
            dense = tree.detach().to_dense() if tree.is_sparse else tree.detach()
            yield dense.resolve_conj().numpy()
    elif isinstance(tree, nn.Module):
        yield from numbers_of(list(tree.parameters()))
    elif isinstance(tree, dict):
        yield from numbers_of(list(tree.values()))
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from numbers_of(item)
    elif isinstance(tree, (int, float, complex)):
        yield np.asarray(tree)


def bits(tree: Any) -> Any:
    """Return everything in the arguments that could have been changed, as something to compare."""
    if isinstance(tree, Tensor):
        facts = (tuple(tree.shape), tree.dtype, tree.requires_grad)
        if tree.device.type == "meta" or tree.is_sparse:
            return facts
        return (*facts, tree.detach().contiguous().resolve_conj().numpy().tobytes())
    if isinstance(tree, np.ndarray):
        return tree.tobytes()
    if isinstance(tree, nn.Module):
        return bits(tree.state_dict()), tree.training
    if isinstance(tree, dict):
        return [(key, bits(value)) for key, value in tree.items()]
    if isinstance(tree, (list, tuple)):
        return [bits(item) for item in tree]
    if isinstance(tree, float) and math.isnan(tree):
        return "nan"
    return tree if isinstance(tree, (int, float, str, type(None))) else id(tree)
