"""A long run that survives the death of its process: it is saved every few rounds."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlearn_lib._checked import checked_anywhere
from fedlearn_lib._checks import check_integers
from fedlearn_lib.federated._population import Population, outline
from fedlearn_lib.federated.algorithm import Algorithm, M, Remembers, S
from fedlearn_lib.federated.simulate import History, Probe, run
from fedlearn_lib.trees import Params


@checked_anywhere
def run_saved(
    path: str | Path,
    algorithm: Algorithm[Any, Any],
    w0: Params,
    clients: Population,
    *,
    every: int = 1,
    rounds: int,
    cohort: int | None = None,
    steps: int,
    batch: int | None,
    generator: torch.Generator,
    probe: Probe[Any] | None = None,
    how: str = "vmap",
) -> tuple[Remembers, History]:
    r"""Run like :func:`fedlearn_lib.run`, and save the run to a file after every few rounds.

    If the file is there, the run goes on from it: call the same line again after the process was
    killed, with a generator of the same seed. State, history and randomness are then, bit by bit,
    those of a run that nothing stopped. The file is whole at every moment: it is written beside
    its place and moved there.

    Parameters
    ----------
    path : the file; a run with another start, seed, cohort, number of steps, batch or clients
        refuses it. More ``rounds`` go on from the end.
    every : rounds between two savings. There a run that has diverged to NaN is stopped, too.

    The other arguments are those of :func:`fedlearn_lib.run`. What the file cannot know is the
    method with its own settings, the data and the code: go on with the same ones.

    >>> import tempfile
    >>> from fedlearn_lib import fedavg, gradient
    >>> from fedlearn_lib.data import quadratic_clients, quadratic_loss
    >>> clients = quadratic_clients(torch.ones(2, 1, 1), torch.tensor([[0.0], [4.0]]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for rounds in (2, 3):
    ...         state, _ = run_saved(f"{folder}/run.pt", fedavg(gradient(quadratic_loss), lr=0.5),
    ...             {"w": torch.zeros(1)}, clients, rounds=rounds, steps=1, batch=1,
    ...             generator=torch.Generator().manual_seed(0))
    ...         print(state.round, state.w["w"].item())
    2 1.5
    3 1.75
    """
    check_integers(every=every)
    file = Path(path)
    options: dict[str, Any] = {"cohort": cohort, "steps": steps, "batch": batch, "how": how}
    state: Remembers
    state, history = run(
        algorithm, w0, clients, rounds=0, generator=generator, probe=probe, **options
    )
    mark = _mark(algorithm, w0, clients, generator, options)
    if file.exists():
        stored = _read(file, mark)
        state, history = _filled(state, stored["state"]), History(*stored["history"])
        generator.set_state(stored["generator"])
    if state.round > rounds:
        raise ValueError(
            f"rounds must be at least the {state.round} that {file} holds, got {rounds}; raise it, "
            "or pass another path"
        )
    while state.round < rounds:
        some = min(every, rounds - state.round)
        state, seen = run(
            algorithm, w0, clients, rounds=some, generator=generator, probe=probe, state=state,
            **options,
        )  # fmt: skip
        history = _joined(history, seen)
        write_tree(
            file, {"mark": mark, "state": _emptied(state), "history": tuple(history),
                      "generator": generator.get_state()})  # fmt: skip
    return state, history


def _joined(first: History, then: History) -> History:
    values = {k: first.values.get(k, []) + v for k, v in then.values.items()} or first.values
    return History(first.rounds + then.rounds, values)


def _mark(
    algorithm: Algorithm[S, M],
    w0: Params,
    clients: Population,
    generator: torch.Generator,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what a run must have in common with the file that it goes on from."""
    numbers = hashlib.sha256()
    for leaf in w0.values():
        numbers.update(leaf.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    dice = hashlib.sha256(generator.get_state().numpy().tobytes())
    return {
        **options,
        "m": clients.m,
        "draws": algorithm.draws,
        "w0": (str(outline(w0)), numbers.hexdigest()),
        "generator": dice.hexdigest(),
    }


def _emptied(state: Any) -> Any:
    """Return a state as plain dictionaries of tensors and numbers, which load without code."""
    if isinstance(state, tuple) and hasattr(state, "_asdict"):
        return {name: _emptied(value) for name, value in state._asdict().items()}
    return state


def _filled(like: Any, plain: Any) -> Any:
    """Return the plain dictionaries as a state of the same kind as ``like``."""
    if isinstance(like, tuple) and hasattr(like, "_asdict"):
        old = like._asdict()
        return type(like)(**{name: _filled(old[name], value) for name, value in plain.items()})
    if isinstance(like, Tensor):
        return plain.to(like.device)
    if isinstance(like, dict):
        return {name: _filled(like.get(name), value) for name, value in plain.items()}
    return plain


def write_tree(file: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and numbers to a file that is whole or absent, whatever happens in between."""
    scratch = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        with scratch.open("wb") as stream:
            torch.save(dict(content), stream)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(file)
        _flush_folder(file.parent)
    finally:
        scratch.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Let the new name survive a loss of power, where a system can flush a folder."""
    if hasattr(os, "O_DIRECTORY"):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def read_tree(file: Path) -> dict[str, Any]:
    """Return what :func:`write_tree` wrote."""
    tree: dict[str, Any] = torch.load(file, weights_only=True)
    return tree


def _read(file: Path, mark: Mapping[str, Any]) -> dict[str, Any]:
    try:
        stored = read_tree(file)
        old: dict[str, Any] = stored["mark"]
    except (RuntimeError, pickle.UnpicklingError, KeyError, TypeError, EOFError) as error:
        raise ValueError(
            f"path must name a file that run_saved wrote, got {file} ({type(error).__name__}); "
            "delete it to begin again, or pass another path"
        ) from error
    odd = [name for name in mark if old.get(name) != mark[name]]
    if odd:
        raise ValueError(
            f"path must name a file of the same run, got {file}, which differs in {odd}; call with "
            "the first run's arguments and seed, or pass another path"
        )
    return stored
