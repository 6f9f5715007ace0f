"""uvicorn's HTTP protocol with two bounds that it lacks.

They are how long a request's head may take, and how large it may be. Without them a stranger holds
a connection, or memory, by a few dripping bytes.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_SECONDS: Final = 10.0
MAX_HEAD: Final = 16 << 10


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose next request has no whole head in time, or too large a one.

    What is left of a body that was answered before its end has as much time as a head.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._reads_head = True
        self._head_size = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head; what belongs to a body is bounded where it is read."""
        if self._timer is None and not self._serves():
            self._start_timer()
        if self._reads_head:
            self._head_size += len(data)
        super().data_received(data)
        if self._reads_head and self._head_size > MAX_HEAD:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop_timer()
        self._reads_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is another head."""
        self._reads_head, self._head_size = True, 0
        super().on_message_complete()

    def _serves(self) -> bool:
        """Whether a request is being answered."""
        # The library's type leaves out that there is none before the first request.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
