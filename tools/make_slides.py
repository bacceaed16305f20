"""Slides of every chapter (`make slides`), made from the chapters' pages of the built site.

    python -m tools.make_slides [08 ...]

writes _build/slides/08_inverse_scale_space.html, one file that holds all it needs: it opens from a
stick in a room without a network.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tools.repository import ROOT, chosen, replace
from tools.slides.deck import REVEAL, deck
from tools.slides.rules import Slide, slides

SITE, SLIDES = ROOT / "_build" / "html", ROOT / "_build" / "slides"


def chapters() -> dict[str, Path]:
    """Return the chapters' pages of the site by name."""
    return {path.stem: path for path in sorted((SITE / "notebooks").glob("[0-9]*.html"))}


def book() -> str:
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return str(about["title"]).partition(": ")[0]


def make(page: Path) -> tuple[str, list[Slide]]:
    """Return a chapter's deck, and the slides that it holds."""
    made = slides(page.read_text(encoding="utf-8"), book())
    return deck(made, f"{made[0].name}: slides", page.parent), made


def main(named: list[str]) -> int:
    """Write the decks of the chapters that are named, or of all."""
    known = chapters()
    if not known:
        raise SystemExit("make slides: the site is not built; run `make book` first")
    if not REVEAL.is_dir():
        raise SystemExit(f"make slides: reveal.js is not in {REVEAL}; run `make setup`")
    names = chosen(named, list(known), "slides") or list(known)
    SLIDES.mkdir(parents=True, exist_ok=True)
    for name in names:
        html, made = make(known[name])
        path = SLIDES / f"{name}.html"
        replace(path, html)
        below = sum(len(one.below) for one in made)
        print(f"  {path.relative_to(ROOT)}: {len(made)} slides, {below} below them", flush=True)
    print(f"Open {SLIDES.as_uri()}/ in a browser: F full screen, S notes, arrows to move.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
