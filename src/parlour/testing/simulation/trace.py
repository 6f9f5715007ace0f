"""What happened in a run: a hash that tells two runs apart, and lines for people."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable


class Trace:
    """Takes in every step and every event, with its time.

    Ciphertext is left out: the library draws the randomness of ML-KEM itself.
    """

    def __init__(self, clock: Callable[[], float], *, show: bool = False) -> None:
        self._clock = clock
        self._show = show
        self._digest = hashlib.blake2b(digest_size=16)
        self.counts: Counter[str] = Counter()
        """How often each kind of thing happened."""

    def note(self, who: str, what: str, detail: str = "") -> None:
        """Something happened."""
        line = f"{self._clock():.6f} {who} {what} {detail}"
        self._digest.update(line.encode())
        self.counts[what] += 1
        if self._show:
            sys.stdout.write(line + "\n")

    def hash(self) -> str:
        """The hash of all that was noted."""
        return self._digest.hexdigest()
