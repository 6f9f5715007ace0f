"""Where random bytes come from: the operating system, or a test's seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeAlias

Random: TypeAlias = Callable[[int], bytes]
"""Gives `n` random bytes. Everything that needs randomness takes one."""

system_random: Final[Random] = os.urandom
