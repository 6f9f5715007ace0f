"""uvicorn's WebSocket protocol, which must not keep a server from stopping."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState


class CalmSocketProtocol(WebSocketsSansIOProtocol):
    """Shuts down in any state.

    uvicorn's own raises for a peer that is about to close, and then the others are never shut
    down.
    """

    def shutdown(self) -> None:
        """Say goodbye, if there is still somebody to say it to; hang up in any case."""
        try:
            super().shutdown()
        except InvalidState:
            self.transport.close()
