"""Time limits of tests that tell a hang from a busy machine (a plugin of pytest).

A limit counts seconds in which the machine has a processor for every task. Where 20 tasks share two
processors, a second counts a tenth, so a test may take ten times as long; a test that hangs is
still ended. The load is the system's own mean over the last minute.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

import pytest
import pytest_timeout

LOOK = 2.0  # seconds between two looks at the load


def share(load: float, processors: int) -> float:
    """Return which part of a processor each task gets.

    >>> share(0.5, 2), share(20.0, 2)
    (1.0, 0.1)
    """
    return min(1.0, processors / max(load, 1e-9))


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: Any, settings: Any) -> bool | None:
    """Count the limit down by what a task gets; take the place of pytest-timeout's own timer."""
    if settings.method != "signal":
        return None
    left, step = float(settings.timeout), min(LOOK, settings.timeout / 4)

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal left
        left -= step * share(os.getloadavg()[0], os.cpu_count() or 1)
        if left <= 0:
            cancel()
            pytest_timeout.timeout_sigalrm(item, settings)

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, step, step)
    return True
