"""Who is in which group, remembered for pushing: a message reads no list of a thousand members."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

# Accounts in all groups that are remembered, 24 bytes each: 130 of the largest groups.
MAX_REMEMBERED: Final = 200_000


class Members:
    """Members by stream, each with the version that the store gives them.

    What is remembered is used only for the version that the store has just named.
    """

    def __init__(self) -> None:
        self._groups: OrderedDict[bytes, tuple[int, tuple[bytes, ...]]] = OrderedDict()
        self._count = 0

    def version(self, stream: bytes) -> int | None:
        """Which version of a group's members is remembered."""
        known = self._groups.get(stream)
        return None if known is None else known[0]

    def of(self, stream: bytes, version: int, fresh: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The members of that version: `fresh` ones if there are any, or those remembered."""
        known = self._groups.get(stream)
        if not fresh and known is not None and known[0] == version:
            self._groups.move_to_end(stream)
            return known[1]
        if known is None or known[0] <= version:
            self._remember(stream, version, fresh)
        return fresh

    def _remember(self, stream: bytes, version: int, members: tuple[bytes, ...]) -> None:
        known = self._groups.pop(stream, None)
        self._count += len(members) - (0 if known is None else len(known[1]))
        self._groups[stream] = version, members
        while self._count > MAX_REMEMBERED and len(self._groups) > 1:
            _, (_, forgotten) = self._groups.popitem(last=False)
            self._count -= len(forgotten)
