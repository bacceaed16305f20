"""Every public name, every argument, every kind of bad value: a result, or an error that names it.

The names are found by introspection, so that a new one cannot be forgotten. A case is right if the
call returns something finite, if ValueError or TypeError names the argument, or if the error is
that of a function which the caller passed. The book's shelf is not tried here: what a reader gives
it is an answer, a setting of a figure or a number of a run, and the tests of exercises, figures and
reproductions hold its errors. ``PYTHONPATH=. python tests/test_fuzz.py`` counts the
outcomes; with names of entries it shows only theirs.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from fuzz_calls import ARITHMETIC, EXEMPT, IN_PLACE, LONG, LOSS_SAYS, MEANT, VALID, Call
from fuzz_judge import Verdict, judge
from fuzz_values import replacements
from hypothesis import given, settings
from hypothesis import strategies as st

import fedlearn_lib

SAME = {"not contiguous", "requires grad"}


def public() -> dict[str, Any]:
    """Return every public function and class, constructor and method, by its name."""
    modules = [fedlearn_lib] + [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(fedlearn_lib.__path__, "fedlearn_lib.")
    ]
    found: dict[str, Any] = {}
    for module in modules:
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if typing.get_origin(thing) is None:  # not a type that only has a name
                assert found.setdefault(name, thing) is thing, f"two things are called {name}"
    for name, thing in list(found.items()):
        if inspect.isclass(thing) and name not in EXEMPT:
            found |= {
                f"{name}.{member}": getattr(thing, member) for member, value in vars(thing).items()
                if not member.startswith("_")
                and isinstance(value, (staticmethod, classmethod, type(public)))
            }  # fmt: skip
    return found


def arguments_of(call: Call) -> Iterator[tuple[str, Any, Callable[[Any], Call]]]:
    """Yield each argument's name and value, and how to make the call with another value."""
    for name, value in call.arguments.items():
        yield (
            name,
            value,
            lambda new, name=name: call._replace(arguments={**call.arguments, name: new}),
        )
    for i, value in enumerate(call.rest[:1]):
        yield (
            call.rest_name,
            value,
            lambda new, i=i: call._replace(rest=(*call.rest[:i], new, *call.rest[i + 1 :])),
        )


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def cases(entry: str) -> Iterator[tuple[str, str]]:
    """Yield argument and kind of every case of an entry."""
    for name, value, _ in arguments_of(VALID[entry]()):
        for kind, _, _ in replacements(value):
            if not (kind == "huge" and (entry, name) in LONG):
                yield name, kind


def verdict(entry: str, argument: str, kind: str, value: Any = ...) -> Verdict:
    """Make the valid call afresh, put one bad value into it, and judge what happens."""
    call = VALID[entry]()
    old, put = next((v, put) for name, v, put in arguments_of(call) if name == argument)
    make, refused = (
        (lambda: value, False) if value is not ...
        else next((make, refused) for k, make, refused in replacements(old) if k == kind)
    )  # fmt: skip
    if kind == "none" and defaults(call.function).get(argument, ...) is None:
        refused = False
    refused = refused and (entry, argument, kind) not in MEANT
    options = dict(valid=valid(entry), nan_allowed=entry in ARITHMETIC, same=kind in SAME,
                   mutates=entry in IN_PLACE)  # fmt: skip
    names = {argument, LOSS_SAYS.get((entry, argument), argument)}
    if "=" in kind:
        names.add(kind.split("=")[0])
    made: list[Any] = []
    first = judge(lambda: made.append(make()), (), names, refused=False, **options)  # type: ignore[arg-type]
    if not made:
        return first
    bad = put(made[0])
    return judge(bad.run, (bad.arguments, bad.rest), names, refused=refused, **options)  # type: ignore[arg-type]


@cache
def valid(entry: str) -> Any:
    return VALID[entry]().run()


def test_no_public_name_is_forgotten() -> None:
    expected = {name for name in public() if name not in EXEMPT}
    assert {name for name in VALID if not name.endswith("()")} == expected
    assert not EXEMPT.keys() & VALID.keys()


@pytest.mark.parametrize("entry", VALID)
def test_every_argument_is_tried_and_results_are_called(entry: str) -> None:
    call = VALID[entry]()
    kinds = {name: p.kind for name, p in inspect.signature(call.function).parameters.items()}
    tried = {name for name, _, _ in arguments_of(call)}
    assert {name for name, kind in kinds.items() if kind is not kind.VAR_KEYWORD} <= tried
    result = valid(entry)
    if inspect.isfunction(result):
        assert f"{entry}()" in VALID, "give the function that comes back a call of its own"


@pytest.mark.parametrize("entry", VALID)
def test_bad_values_give_results_or_errors_that_name_the_argument(entry: str) -> None:
    torch.manual_seed(0)
    found = {case: verdict(entry, *case) for case in cases(entry)}
    assert {case: v for case, v in found.items() if not v.right} == {}


#: With so long a step an iteration may overflow, which nobody knows before it has been run. A step
#: of the split iterations is lr kappa / nu: a tiny nu is a long step, too.
STEPS = {"lr", "kappa", "nu", "alpha", "beta"}
NUMERIC = [
    (entry, name) for entry, make in VALID.items() for name, value, _ in arguments_of(make())
    if isinstance(value, (int, float)) and not isinstance(value, bool)
]  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.sampled_from(NUMERIC), st.floats(-1e6, 1e6) | st.integers(-100, 40))
def test_any_number_gives_a_result_or_an_error_that_names_it(
    site: tuple[str, str], number: float
) -> None:
    found = verdict(*site, "number", number)
    overflows = found.outcome == "nan" and site[1] in STEPS
    assert found.right or overflows, found


def main(entries: list[str]) -> None:
    """Print the cases of these entries, or of all, that are not right, and count the outcomes."""
    torch.set_num_threads(1)
    counts = Counter[str]()
    for entry in entries or VALID:
        for argument, kind in cases(entry):
            result = verdict(entry, argument, kind)
            counts[result.outcome] += 1
            if not result.right:
                words = " ".join(result.words.split())
                print(f"{entry} | {argument} | {kind} | {result.outcome} | {words}")
    print(len(entries or VALID), "entry points,", counts.total(), "cases:", dict(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
