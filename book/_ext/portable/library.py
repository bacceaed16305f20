"""The page "All of fedlearn_lib": every public name in reading order, documented by autodoc."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

import fedlearn_lib
from portable.pages import Page

# The modules that define public names, in reading order; sections are their packages.
ORDER = (
    "trees", "models",
    "data.dataset", "data.sets", "data.clients", "data.flat", "data.partition", "data.synthetic",
    "federated.oracles", "federated.maml", "federated.algorithm", "federated.mapping",
    "federated.fedavg", "federated.perfedavg", "federated.simulate", "federated.evaluation",
    "federated.heterogeneity", "federated.transport", "federated.fedprox", "federated.pfedme",
    "federated.ditto", "federated.local", "federated.reptile", "federated.scaffold",
    "federated.fedrep", "federated.personalization_path", "federated.personal_path",
    "federated.sparse_start",
    "federated.messages", "federated.leakage", "federated.secure", "federated.privacy",
    "federated.compression", "federated.resume",
    "sparse.penalties", "sparse.path", "sparse.iss", "sparse.certificate", "sparse.curvature",
    "sparse.lbi", "sparse.stopping", "sparse.order", "sparse.split", "sparse.groups",
    "sparse.optim", "sparse.forecast", "sparse.recorder",
    "structure.masks", "structure.pruning", "structure.closing", "structure.retrain",
    "structure.growing", "structure.carrying", "structure.starting", "structure.cost",
    "theory.meta", "theory.convergence", "theory.distances", "theory.selection",
    "theory.prediction", "theory.splitting", "theory.lyapunov", "theory.rounds",
    "engines.torch_dist", "engines.flower",
    "viz",
)  # fmt: skip
# What readers call on the book's own shelf.
SHELF = {
    "fedlearn_book.exercises": ("check", "Exercise", "alone"),
    "fedlearn_book.widgets": ("explore", "HeterogeneityExplorer", "MetaLandscape", "PathExplorer",
                              "FiltersEntering", "PersonalExplorer"),
}  # fmt: skip


def modules() -> list[ModuleType]:
    """Import the modules of ORDER."""
    return [import_module(f"fedlearn_lib.{name}") for name in ORDER]


def packages() -> list[str]:
    """List the packages and modules of the library in reading order; all must be in ORDER."""
    found = list(dict.fromkeys(name.split(".")[0] for name in ORDER))
    for info in iter_modules(fedlearn_lib.__path__):
        if not info.name.startswith("_") and info.name not in found:
            raise ValueError(f"ORDER lacks fedlearn_lib.{info.name}; say when it is read")
    return found


def names(place: str) -> list[str]:
    """List the functions and classes that the package or module offers, in reading order.

    >>> names("fedlearn_lib.sparse")[:4]
    ['Penalty', 'L1', 'GroupL2', 'Path']
    """
    module = import_module(place)
    listed = getattr(module, "__all__", None) or _own(module)
    return sorted((name for name in listed if is_code(getattr(module, name))),
                  key=lambda name: _rank(getattr(module, name)))  # fmt: skip


def is_code(value: object) -> bool:
    return inspect.isfunction(value) or inspect.isclass(value)


def _own(module: ModuleType) -> list[str]:
    own = {name: value for name, value in vars(module).items() if is_code(value)}
    return [n for n, v in own.items() if v.__module__ == module.__name__ and not n.startswith("_")]


def _rank(value: Any) -> tuple[int, int]:
    """Where a name is read: the place of its module in ORDER, its line in there."""
    home = value.__module__.removeprefix("fedlearn_lib.")
    if home not in ORDER:
        raise ValueError(f"ORDER lacks {home}, where {value.__name__} is; say when it is read")
    return ORDER.index(home), inspect.getsourcelines(value)[1]


class LibraryPage(Page):
    """`{library}`: what the top level offers, then what else each package has."""

    def run(self) -> list[nodes.Node]:
        for folder in ("fedlearn_lib", "fedlearn_book"):
            for path in self.root.glob(f"{folder}/**/*.py"):
                self.env.note_dependency(str(path))
        top = names("fedlearn_lib")
        sections = [self.part("fedlearn_lib", top)]
        for package in packages():
            listed = names(f"fedlearn_lib.{package}")
            rest = [name for name in listed if name not in top]
            above = [name for name in listed if name in top]
            sections.append(self.part(f"fedlearn_lib.{package}", rest, above))
        return sections + [self.part(place, listed) for place, listed in SHELF.items()]

    def part(self, place: str, listed: Sequence[str], above: Sequence[str] = ()) -> nodes.section:
        """Document names below the words of their module; of those above only say which."""
        module = import_module(place)
        lines = [f".. automodule:: {place}", "   :no-members:", ""]
        if above:
            links = ", ".join(f":py:obj:`~fedlearn_lib.{name}`" for name in above)
            lines += [f"Above: {links}.", ""]
        for name in listed:
            kind = "class" if inspect.isclass(getattr(module, name)) else "function"
            members = ["   :members:"] if kind == "class" else []
            lines += [f".. auto{kind}:: {place}.{name}", *members, ""]
        text = "\n".join(["```{eval-rst}", *lines, "```"])
        return self.section(place, place.replace(".", "-"), *self.markdown(text))


def setup(app: Sphinx) -> None:
    app.add_directive("library", LibraryPage)
