from unittest.mock import Mock, patch

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from parlour.server.socket.protocol import CalmSocketProtocol


def test_a_peer_that_is_about_to_close_does_not_stop_the_shutdown() -> None:
    transport = Mock()
    with patch.object(WebSocketsSansIOProtocol, "shutdown", side_effect=InvalidState):
        bound = CalmSocketProtocol.__new__(CalmSocketProtocol)
        bound.transport = transport
        bound.shutdown()
    transport.close.assert_called_once_with()


def test_other_faults_are_not_hidden() -> None:
    with patch.object(WebSocketsSansIOProtocol, "shutdown", side_effect=RuntimeError):
        bound = CalmSocketProtocol.__new__(CalmSocketProtocol)
        with pytest.raises(RuntimeError):
            bound.shutdown()
