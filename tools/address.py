"""Write the repository's address everywhere (`make address URL=https://github.com/owner/name`).

The address stands in _config.yml. Every other copy (badges, set-up cells, links, the site's own
address on GitHub Pages) is rewritten from it, and tests/test_repository.py holds them together.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tools.repository import ROOT, Address, current, files, parse, replace, text

# What may stand before OWNER/NAME: GitHub itself, and the services that open its files.
SERVICES = (
    r"github\.com|raw\.githubusercontent\.com|colab\.research\.google\.com/github"
    r"|nbviewer\.org/github|mybinder\.org/v2/gh"
)
# The name ends here; a full stop that ends a sentence is no part of it.
END = r"(?![\w-])(?!\.(?!git\b)\w)"


def rewrite(content: str, old: Address, new: Address) -> str:
    """Return ``content`` with every address of ``old`` turned into that of ``new``.

    >>> old, new = Address("ada", "book"), Address("bob", "notes")
    >>> rewrite("github.com/ada/book.git, github.com/ada/bookshop", old, new)
    'github.com/bob/notes.git, github.com/ada/bookshop'
    >>> rewrite("See https://ada.github.io/book/intro.html.", old, new)
    'See https://bob.github.io/notes/intro.html.'
    """
    repository = rf"\b({SERVICES})/{re.escape(old.owner)}/{re.escape(old.name)}{END}"
    content = re.sub(repository, rf"\1/{new.owner}/{new.name}", content)
    site = re.escape(old.pages.rstrip("/")) + END
    return re.sub(site, new.pages.rstrip("/"), content)


def change(url: str, root: Path = ROOT) -> list[Path]:
    """Write ``url`` into every text file that has the old address; return these files."""
    new, old = parse(url), current(root)
    pages = {path: found for path in files(root) if (found := text(path)) is not None}
    changed = {path: rewrite(found, old, new) for path, found in pages.items()}
    changed = {path: found for path, found in changed.items() if found != pages[path]}
    config = root / "_config.yml"  # last, so that an interrupted change can be repeated
    for path in sorted(changed, key=lambda path: path == config):
        replace(path, changed[path])
    return sorted(changed)


def main(arguments: list[str]) -> str | None:
    """Change the address; with ``--pages``, print where the site is published."""
    if arguments == ["--pages"]:
        print(current().pages)
        return None
    if len(arguments) != 1 or not arguments[0]:
        return f"make address: say URL=https://github.com/OWNER/NAME (now {current().url})"
    try:
        changed = change(arguments[0])
    except ValueError as error:
        return f"make address: {error}; nothing was written"
    for path in changed:
        print(f"  {path.relative_to(ROOT)}")
    print(f"{current().url} now stands in {len(changed)} changed files")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
