"""Random bytes from a seed: the same test twice is the same test."""

from __future__ import annotations

import random

from parlour.primitives.random import Random


def seeded(seed: int | str) -> Random:
    """A source of bytes that depends on `seed` alone. Not for keys that protect anything."""
    return random.Random(seed).randbytes
