"""Groups kept in memory between commits. The database says what is true; this saves decoding it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from parlour.server.groups.tracked import TrackedGroup

# Leaves of all groups together. Each takes about 6 KiB with the nodes above it.
MAX_LEAVES: Final = 20_000


class GroupCache:
    """The groups that changed last."""

    def __init__(self) -> None:
        self._groups: OrderedDict[bytes, TrackedGroup] = OrderedDict()
        self._leaves = 0

    def find(self, stream: bytes, place: tuple[int, int, int]) -> TrackedGroup | None:
        """The group if it is exactly where the database says that it is."""
        known = self._groups.get(stream)
        if known is None or known.place != place:
            return None
        self._groups.move_to_end(stream)
        return known

    def put(self, group: TrackedGroup) -> None:
        """Remember a group as it is in the database now."""
        self.forget(group.stream)
        self._groups[group.stream] = group
        self._leaves += len(group.owners)
        while self._leaves > MAX_LEAVES and len(self._groups) > 1:
            self.forget(next(iter(self._groups)))

    def forget(self, stream: bytes) -> None:
        """Remember a group no longer."""
        known = self._groups.pop(stream, None)
        if known is not None:
            self._leaves -= len(known.owners)
