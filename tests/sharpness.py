"""How near to its bound a chapter's check comes, read from the stored outputs.

A check of an inequality prints ``measured 0.24, bound 0.30`` on one line (any words may stand
before the first number and between ``bound`` and the second). A bound that is never reached by
more than a third would also hold with a term missing, so the chapter shows a sharper case or says
why there is none.
"""

from __future__ import annotations

import re
from typing import Any

NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*\w)"
LABEL = r"(?:\s+(?:\d+:|[^\s\d,;]+))*"  # "bound (a) 0.3", "bound 2: 0.3", "bound γ_H γ_G = 0.3"
FOUND = re.compile(rf"({NUMBER}),? bound\b")
BOUND = re.compile(rf"\bbound{LABEL}\s+({NUMBER})")
TURNED = re.compile(rf"\bbound{LABEL}\s+({NUMBER}); measured\D*({NUMBER})")
CLAIM = re.compile(r"\\le(?!ft)|\\ge|\bat most\b|\bat least\b")
SHARP = 0.3


def pairs(text: str) -> list[tuple[float, float]]:
    """The measured values and their bounds, the smallest where there are several.

    >>> pairs("coins: measured 0.24, bound (a) 0.3, (b) 0.5")
    [(0.24, 0.3)]
    >>> pairs("error 0.2, bound 1: 0.9, bound 2: 0.4; other words")
    [(0.2, 0.4)]
    """
    found = []
    for line in text.splitlines():
        if turned := TURNED.search(line):
            found.append((float(turned[2]), float(turned[1])))
            continue
        for part in line.split(";"):
            value, bounds = FOUND.search(part), BOUND.findall(part)
            if value and bounds:
                found.append((float(value[1]), min(map(float, bounds))))
    return found


def results(notebook: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Of each numbered result its statement and what its checks print."""
    found: dict[str, tuple[str, str]] = {}
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for name, words in re.findall(
                r"^> \*\*((?:Theorem|Lemma|Proposition|Corollary) \d+\.\d+) (.*?)(?=^[^>]|\Z)",
                text, re.M | re.S,
            ):  # fmt: skip
                found[name] = words, ""
        elif check := re.match(r"# Check of (\w+ \d+\.\d+)", text):
            words, before = found.get(check[1], ("", ""))
            printed = "".join("".join(out.get("text", "")) for out in cell["outputs"])
            found[check[1]] = words, f"{before}\n{printed}"
    return found


def complaints(
    notebook: dict[str, Any], unmeasured: dict[str, str], loose: dict[str, str]
) -> list[str]:
    """What to mend: ``unmeasured`` and ``loose`` say of a result why it needs no pair, or no more.

    The reason of a loose one is a sentence of the chapter.
    """
    prose = " ".join(
        "".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown"
    )
    prose, found = " ".join(prose.split()), []
    for name, (statement, printed) in results(notebook).items():
        ratios = [value / bound for value, bound in pairs(printed) if bound > 0]
        if not ratios and CLAIM.search(statement) and name not in unmeasured:
            found.append(f"{name} claims an inequality, and no check prints 'measured …, bound …'")
        if ratios and name in unmeasured:
            found.append(f"{name} is measured: drop its excuse")
        if ratios and max(ratios) > 1.02:  # the printed digits are rounded
            found.append(f"{name} is violated: {max(ratios):.3g} times its bound")
        if ratios and max(ratios) <= SHARP and name not in loose:
            found.append(
                f"{name} is never above {max(ratios):.2g} of its bound: show a sharper case, or "
                "say in the chapter why there is none"
            )
        if name in loose and (not ratios or max(ratios) > SHARP):
            found.append(f"{name} is no longer loose: drop its excuse")
        if name in loose and loose[name] not in prose:
            found.append(f"{name}: the chapter does not say {loose[name]!r}")
    return found
