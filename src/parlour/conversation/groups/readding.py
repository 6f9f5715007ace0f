"""How often a device is taken out and in again, so that nobody keeps a group busy with it.

Each time is a commit that all members read. A device that lost its way needs one; what it asks for
is bounded by what everybody saw, whoever it asks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

# So often in an hour, for each device and group: once for what went wrong, and again if it fails.
MAX_READDED: Final = 3
HOUR: Final = 3_600_000
# Devices that are remembered, the latest ones: more than come back in an hour.
MAX_REMEMBERED: Final = 4_096


class Readding:
    """Remembers who came in when, in memory only."""

    def __init__(self) -> None:
        self._times: OrderedDict[tuple[bytes, bytes], list[int]] = OrderedDict()

    def came(self, group: bytes, device_ids: Iterable[bytes], now: int) -> None:
        """These devices were added by a commit."""
        for device_id in device_ids:
            key = (group, device_id)
            self._times[key] = [*self._recent(key, now), now]
            self._times.move_to_end(key)
        while len(self._times) > MAX_REMEMBERED:
            self._times.popitem(last=False)

    def may(self, group: bytes, device_id: bytes, now: int) -> bool:
        """Whether a device may be taken out and in again now."""
        return len(self._recent((group, device_id), now)) < MAX_READDED

    def _recent(self, key: tuple[bytes, bytes], now: int) -> list[int]:
        return [at for at in self._times.get(key, ()) if now - HOUR < at <= now]
