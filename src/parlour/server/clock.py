"""Time, passed in so that a test can turn the hands."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Milliseconds since the epoch."""


def system_clock() -> int:
    """The system's clock."""
    return time.time_ns() // 1_000_000
