"""Try a code exercise in the page: a number typed in is judged by what the checker knows.

The page asks for the value of the reader's function at inputs of the checker. It holds neither the
answer nor what is said about a mistake in clear: answers are kept as marks of rounded values, and
an explanation is readable only with the value that it is about.
"""

from __future__ import annotations

import base64
import json
import re
from html import escape
from typing import Any, NamedTuple

import torch
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from torch import Tensor

from fedlearn_book.exercises import EXERCISES
from fedlearn_book.exercises.exercise import Exercise
from portable.labels import chapter_of

_STUB = re.compile(r"def (\w+)\(([^)]*)\):.*?^check\(\"([^\"]+)\", \1\)", re.S | re.M)
TYPED, RETURNED, QUESTIONS = 12, 6, 2  # the most numbers of an input and of a value; per exercise
DIGITS = 4  # significant digits of the largest number of a value that count
ROUNDS = 40


class Question(NamedTuple):
    """Inputs as the page shows them, how many numbers to type, and what is known about values."""

    inputs: tuple[str, ...]
    salt: str
    numbers: int
    step: float
    known: list[dict[str, Any]]


def mark(text: str) -> int:
    """Return 32 bits that stand for a text; answers.js has the same function.

    >>> mark("a"), mark("b")
    (3634266224, 2515635785)
    """
    found = 2166136261
    for _ in range(ROUNDS):
        for letter in text:
            found = ((found ^ ord(letter)) * 16777619) & 0xFFFFFFFF
        found ^= found >> 13
    return found


def hidden(words: str, key: str) -> str:
    """Return words that can be read with their key only.

    >>> hidden("No.", "3") == hidden("No.", "4")
    False
    """
    state, found = mark(key) | 1, bytearray()
    for byte in words.encode():
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        found.append(byte ^ (state & 255))
    return base64.b64encode(found).decode()


def shown(value: Any) -> str | None:
    """Return an input as a reader types it; ``None`` if it is too long, or no number.

    >>> shown(torch.tensor([0.5, 3.0])), shown(2), shown(torch.rand(3)), shown(len)
    ('[0.5, 3]', '2', None, None)
    """
    if not isinstance(value, (int, float, Tensor)):
        return None
    found = torch.as_tensor(value)
    brief = torch.tensor(brief_of(found), dtype=torch.double)
    if found.numel() > TYPED or not torch.allclose(found.double(), brief, rtol=1e-6, atol=1e-12):
        return None
    if found.dtype == torch.bool:
        return str(found.tolist())
    return re.sub(r"[\w.+-]+", lambda one: f"{float(one[0]):.10g}", str(brief_of(found)))


def brief_of(value: Tensor) -> Any:
    """Return numbers, in lists as they stood, to four digits."""
    brief = [float(f"{x:.4g}") for x in value.double().flatten().tolist()]
    return torch.tensor(brief, dtype=torch.double).reshape(value.shape).tolist()


def rounded(value: Tensor, step: float) -> list[int]:
    return [round(x / step) for x in value.double().flatten().tolist()]


def question(exercise: Exercise, case: tuple[Any, ...], salt: str) -> Question | None:
    """Return what a page asks about one case, ``None`` if it cannot."""
    inputs = tuple(shown(part) for part in case)
    wanted = torch.as_tensor(exercise.answer(*case))
    typed = [one for one in inputs if one is not None]
    if len(typed) < len(inputs) or wanted.dtype == torch.bool or wanted.dim() > 1:
        return None
    if not 0 < wanted.numel() <= RETURNED or not (scale := float(wanted.abs().max())):
        return None
    step = 10.0 ** (int(f"{scale:e}".partition("e")[2]) + 1 - DIGITS)
    seen = [rounded(wanted, step)]
    known = [entry(seen[0], "", salt)]
    for words, wrong in exercise.mistakes:
        value = torch.as_tensor(wrong(*case))
        if value.shape != wanted.shape or not value.double().isfinite().all():
            continue
        at = rounded(value, step)
        near = any(all(abs(a - b) <= 2 for a, b in zip(at, one, strict=True)) for one in seen)
        if not near:
            seen.append(at)
            known.append(entry(at, words, salt))
    return Question(tuple(typed), salt, wanted.numel(), step, known)


def entry(value: list[int], words: str, salt: str) -> dict[str, Any]:
    """Return what the page keeps of a value: a mark for each number, and hidden words."""
    marks = [mark(f"{salt}/{k}/{n}") for k, n in enumerate(value)]
    key = f"{salt}:{','.join(map(str, value))}"
    return {"marks": marks, "words": hidden(words, key)}


def questions(name: str) -> list[Question]:
    """Return what a page can ask about an exercise; nothing if code must run."""
    exercise = EXERCISES[name]
    asked = [question(exercise, case, f"{name}/{k}") for k, case in enumerate(exercise.cases)]
    return [one for one in asked if one][:QUESTIONS]


def form(function: str, parameters: list[str], asked: Question, key: str) -> str:
    """Return one question as a form, which a script brings to life."""
    given = ", ".join(
        f"<code>{escape(name)} = {value}</code>"
        for name, value in zip(parameters, asked.inputs, strict=True)
    )
    call = f"{function}({', '.join(parameters)})"
    many = f" ({asked.numbers} numbers, with commas)" if asked.numbers > 1 else ""
    data = escape(json.dumps({"salt": asked.salt, "step": asked.step, "known": asked.known}))
    return (
        f'<form class="try" hidden data-try="{data}"><label for="{key}">With {given}, what does '
        f"<code>{escape(call)}</code> return{many}?</label>"
        f'<span class="try-row"><input id="{key}" type="text" autocomplete="off" '
        f'autocapitalize="off" spellcheck="false"><button type="submit">Check</button></span>'
        f'<output for="{key}"></output></form>'
    )


def block(source: str, colab: str) -> str:
    """Return what stands below the stub of an exercise, from the code of the stub."""
    found = _STUB.search(source)
    if not found or found[3] not in EXERCISES:
        return ""
    function, parameters = found[1], [one.split(":")[0].strip() for one in found[2].split(",")]
    name = found[3]
    link = f'<a href="{escape(colab)}">open the chapter in Colab</a>'
    asked = questions(name)
    if not asked or len(parameters) != len(asked[0].inputs):
        return (
            '<div class="try-box"><p>This exercise takes inputs that one does not type. To check '
            f"your function, {link}, or run the notebook on your machine.</p></div>"
        )
    slug = re.sub(r"\W+", "-", name)
    forms = "".join(
        form(function, parameters, one, f"try-{slug}-{k}") for k, one in enumerate(asked, 1)
    )
    return (
        f'<div class="try-box"><div class="try-title">Try it here</div>{forms}'
        '<p class="try-how" hidden>A number or a formula such as <code>2/3</code> or '
        f"<code>sqrt(2)*exp(-1)</code>, to {DIGITS} digits. It is judged in this page and sent "
        f"nowhere. To check the function itself, {link}.</p></div>"
    )


class Answers(SphinxTransform):
    """Put the questions below the stub of each code exercise."""

    default_priority = 240  # exercises have their classes

    def apply(self, **kwargs: Any) -> None:
        if chapter_of(self.env.docname) is None:
            return
        address = self.config.html_theme_options
        repository = str(address.get("repository_url", "")).removeprefix("https://github.com/")
        branch = address.get("repository_branch", "main")
        colab = (
            f"https://colab.research.google.com/github/{repository}/blob/{branch}/"
            f"{self.env.docname}.ipynb"
        )
        for cell in list(self.document.findall(_is_stub)):
            source = next(iter(cell.findall(nodes.literal_block)))
            if html := block(source.astext(), colab):
                raw = nodes.raw("", html, format="html")
                cell.parent.insert(cell.parent.index(cell) + 1, raw)


def _is_stub(node: nodes.Node) -> bool:
    return (
        isinstance(node, nodes.container)
        and node.get("nb_element") == "cell_code"
        and "solution" not in node["cell_metadata"].get("tags", [])
        and isinstance(node.parent, nodes.section)
        and "exercise" in node.parent["classes"]
        and next(iter(node.findall(nodes.literal_block)), None) is not None
    )


def setup(app: Sphinx) -> None:
    app.add_transform(Answers)
    app.add_css_file("answers.css")
    app.add_js_file("answers.js", loading_method="defer")
