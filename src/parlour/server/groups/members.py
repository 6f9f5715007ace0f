"""Who is in which group, remembered for pushing: a message reads no list of a thousand members."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

# Accounts in all groups that are remembered, 24 bytes each: 130 of the largest groups.
MAX_REMEMBERED: Final = 200_000


class Members:
    """Members by stream, each with the version that the store gives them."""

    def __init__(self) -> None:
        self._groups: OrderedDict[bytes, tuple[int, tuple[bytes, ...]]] = OrderedDict()
        self._count = 0

    def find(self, stream: bytes) -> tuple[int | None, tuple[bytes, ...]]:
        """Version and members of a group as they are remembered; no version if they are not.

        They are good for entries of exactly that version, also when a newer one comes meanwhile.
        """
        known = self._groups.get(stream)
        if known is None:
            return None, ()
        self._groups.move_to_end(stream)
        return known

    def remember(self, stream: bytes, version: int, members: tuple[bytes, ...]) -> None:
        """Remember the members of a version, unless a later one is known."""
        known = self._groups.get(stream)
        if known is None or known[0] < version:
            self._remember(stream, version, members)

    def _remember(self, stream: bytes, version: int, members: tuple[bytes, ...]) -> None:
        known = self._groups.pop(stream, None)
        self._count += len(members) - (0 if known is None else len(known[1]))
        self._groups[stream] = version, members
        while self._count > MAX_REMEMBERED and len(self._groups) > 1:
            _, (_, forgotten) = self._groups.popitem(last=False)
            self._count -= len(forgotten)
