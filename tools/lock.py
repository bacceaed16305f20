"""Write requirements.lock: the exact set that `make setup` installs (`make lock` calls this).

The newest versions that pyproject.toml allows are installed together in a throw-away environment
and written down. To renew one pin only, edit its line, then run `make setup` and `make test`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.repository import ROOT, replace

LOCK = ROOT / "requirements.lock"
HEADER = """\
# Every package that `make setup` installs, exactly; the library itself follows with --no-deps.
# Python 3.11 to 3.14. Renew with `make lock`, then `make setup` and `make test`.
# torch: on Linux this pin takes a build for NVIDIA cards, several GB. For the CPU build, say
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make setup
"""
# Needed on one platform only, so a freeze on another does not show them.
ELSEWHERE = ['appnope==0.1.4 ; sys_platform == "darwin"']


def pins(freeze: str) -> list[str]:
    """Return the sorted pins of a freeze, without local builds such as ``+cpu``.

    >>> pins("torch==2.13.0+cpu\\nAbc==1.0\\n-e /home/me/book\\n")
    ['Abc==1.0', 'torch==2.13.0']
    """
    lines = [line for line in freeze.splitlines() if re.match(r"[\w.-]+==", line)]
    return sorted((line.partition("+")[0] for line in lines), key=str.lower)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(Path(folder, "bin", "python")), "-m", "pip"]
        subprocess.run([*pip, "install", f"{ROOT}[dev]"], check=True)
        freeze = [*pip, "freeze", "--all", "--exclude", "pip", "--exclude", "fedlearn_lib"]
        found = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    replace(LOCK, HEADER + "\n".join([*pins(found), *ELSEWHERE]) + "\n")
    print(f"wrote {LOCK.name}: {len(pins(found))} packages")


if __name__ == "__main__":
    main()
