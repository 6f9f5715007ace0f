"""What a socket session needs of its transport."""

from __future__ import annotations

from typing import Protocol


class Connection(Protocol):
    """One open WebSocket."""

    async def send(self, data: bytes) -> None:
        """Send one binary message; returns when there is room for the next one."""

    async def close(self, status: int) -> None:
        """Close with a status of RFC 6455 §7.4; a second call does nothing."""
