"""The page "all of fedlearn_lib": every public name, from the source."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from types import ModuleType

from docutils import nodes

from portable.pages import Page

ORDER = ("trees", "data", "models", "oracles", "federated", "simulate", "heterogeneity",
         "transport", "penalties", "inclusion", "optim", "structure", "viz", "widgets",
         "exercises")  # fmt: skip
SKIPPED = ("reproductions", "engines")


def modules(package: ModuleType) -> list[ModuleType]:
    """Import the package's modules in reading order, without commands and engines."""
    names = [info.name for info in pkgutil.iter_modules(package.__path__)]
    names = [name for name in names if name not in SKIPPED and not name.startswith("_")]
    rank = {name: index for index, name in enumerate(ORDER)}
    names.sort(key=lambda name: (rank.get(name, len(ORDER)), name))
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def public(module: ModuleType) -> list[tuple[str, object]]:
    """List a module's public functions and classes: its ``__all__``, or else its own, in order."""
    named = getattr(module, "__all__", None)
    if named is None:
        own = [
            (name, value)
            for name, value in vars(module).items()
            if not name.startswith("_") and _is_code(value) and value.__module__ == module.__name__
        ]
        return sorted(own, key=lambda item: inspect.getsourcelines(item[1])[1])  # fmt: skip
    return [(name, getattr(module, name)) for name in named if _is_code(getattr(module, name))]


def _is_code(value: object) -> bool:
    return inspect.isfunction(value) or inspect.isclass(value)


def signature(name: str, value: object) -> str:
    """Write a signature, one argument a line where it is long.

    >>> def f(a: int, *, b=2) -> int: ...
    >>> signature("f", f)
    'f(a: int, *, b=2) -> int'
    """
    try:
        text = str(inspect.signature(value))
    except ValueError:
        return name
    text = re.sub(r"ForwardRef\('([^']*)'[^)]*\)", r"\1", text).replace("'", "")
    text = re.sub(r"\b(?:fedlearn_lib|collections\.abc|typing)(?:\.\w+)*\.(?=\w)", "", text)
    line = f"{name}{text}"
    if len(line) <= 88:
        return line
    body, result = _split(text)
    return f"{name}(\n" + "".join(f"    {part},\n" for part in body) + f"){result}"


def _split(text: str) -> tuple[list[str], str]:
    """Split "(a, b: f[c, d]) -> x" at the commas outside brackets."""
    depth, start, parts = 0, 1, []
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if (char == "," and depth == 1) or depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
        if depth == 0:
            return [part for part in parts if part], text[start:]
    return parts, ""


def to_markdown(docstring: str) -> str:
    r"""Turn one of our docstrings into Markdown: sections, arguments, examples, roles.

    >>> print(to_markdown("Add.\n\nParameters\n----------\na : a number\n    of [n]."))
    Add.
    <BLANKLINE>
    **Parameters**
    <BLANKLINE>
    - **a**: a number
        of [n].
    """
    text = re.sub(r":\w+:`~?(?:fedlearn_lib\.)?([^`]+)`", r"`\1`", docstring)
    text = re.sub(r"((?:^[ ]*>>> .*\n?(?:^[ ]*\S.*\n?)*\n?)+)", _example, text, flags=re.M)
    out, listing = [], False
    lines = text.splitlines()
    for at, line in enumerate(lines):
        following = lines[at + 1] if at + 1 < len(lines) else ""
        if re.fullmatch(r"-{3,}", line):
            continue
        if re.fullmatch(r"-{3,}", following):
            listing = line in ("Parameters", "Attributes")
            out += [f"**{line}**", ""]
        elif listing and re.match(r"\S.* : ", line):
            name, rest = line.split(" : ", 1)
            out.append(f"- **{name}**: {rest}")
        else:
            listing = listing and (line.startswith(" ") or not line)
            out.append(line)
    return "\n".join(out)


def _example(match: re.Match) -> str:
    return f"```python\n{inspect.cleandoc(match.group(1)).strip()}\n```\n"


class LibraryPage(Page):
    """`{library}`: one section a module."""

    def run(self) -> list[nodes.Node]:
        package = importlib.import_module("fedlearn_lib")
        exported = set(getattr(package, "__all__", ()))
        sections = []
        for module in modules(package):
            for path in self.root.glob("fedlearn_lib/**/*.py"):
                self.env.note_dependency(str(path))
            own = public(module)
            if own:
                name = module.__name__
                intro = self.markdown(to_markdown(inspect.getdoc(module) or ""))
                entries = [self.entry(module, *item, item[0] in exported) for item in own]
                sections.append(self.section(name, name.replace(".", "-"), *intro, *entries))
        return sections

    def entry(self, module: ModuleType, name: str, value: object, exported: bool) -> nodes.Node:
        """Show one name: signature, docstring, a class's public methods."""
        doc = inspect.getdoc(value)
        if not doc or doc.startswith(f"{name}("):
            raise ValueError(f"{module.__name__}.{name} has no docstring; write one")
        where = "fedlearn_lib" if exported else module.__name__
        code = f"from {where} import {name}"
        body = [nodes.paragraph("", "", nodes.literal(code, code), classes=["import"])]
        body += self.markdown(to_markdown(doc))
        for method_name, method in _methods(value):
            line = signature(method_name, method)
            body.append(nodes.literal_block(line, line, language="python", classes=["method"]))
            body += self.markdown(to_markdown(inspect.getdoc(method) or ""))
        text = signature(name, value)
        head = nodes.literal_block(text, text, language="python", classes=["signature"])
        anchor = f"{module.__name__}.{name}".replace(".", "-").lower()
        return nodes.container("", head, *body, ids=[anchor], classes=["api"])


def _methods(value: object) -> list[tuple[str, object]]:
    if not inspect.isclass(value):
        return []
    found = []
    for name, raw in vars(value).items():
        method = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
        if not name.startswith("_") and inspect.isfunction(method) and inspect.getdoc(method):
            found.append((name, method))
    return found


def setup(app) -> None:
    app.add_directive("library", LibraryPage)
