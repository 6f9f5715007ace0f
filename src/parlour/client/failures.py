"""Turn what a WebSocket fails with into the one tree of errors."""

from __future__ import annotations

import ssl
from http import HTTPStatus
from typing import Final

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from parlour.client.tls import handshake_error
from parlour.errors import Code, ParlourError, error, error_from_wire
from parlour.wire.frames import decode_body
from parlour.wire.server import ErrorBody

# WebSocket close codes (RFC 6455 §7.4.1 and its registry).
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
RESTART: Final = 1012
TRY_LATER: Final = 1013
# Our server's own, of the range for applications. Before them it sends an error with the code.
REFUSED: Final = 4003
SLOW: Final = 4008

_BY_STATUS: Final = {
    HTTPStatus.UNAUTHORIZED: Code.TOKEN_INVALID,
    HTTPStatus.FORBIDDEN: Code.TOKEN_INVALID,
    HTTPStatus.TOO_MANY_REQUESTS: Code.LIMIT_RATE,
    HTTPStatus.SERVICE_UNAVAILABLE: Code.SERVER_DRAINING,
}
_BY_RECEIVED: Final = {
    TOO_BIG: Code.LIMIT_SIZE,
    RESTART: Code.SERVER_DRAINING,
    TRY_LATER: Code.SERVER_DRAINING,
    REFUSED: Code.TOKEN_REVOKED,
    SLOW: Code.NETWORK_SLOW,
}
# What the WebSocket library sends when the server breaks RFC 6455 or our limits, and when the
# server's pongs stay away.
_BY_SENT: Final = {
    PROTOCOL_ERROR: Code.SERVER_MISBEHAVED,
    UNSUPPORTED_DATA: Code.SERVER_MISBEHAVED,
    INVALID_DATA: Code.SERVER_MISBEHAVED,
    TOO_BIG: Code.SERVER_MISBEHAVED,
    INTERNAL_ERROR: Code.NETWORK_TIMEOUT,
}


def error_of_body(body: ErrorBody) -> ParlourError:
    """The error that a server names. What it says in words is not shown: we have our own."""
    failure = error_from_wire(body.code)
    if body.retry_after is not None and body.retry_after >= 0:
        failure.retry_after = body.retry_after
    return failure


def opening_error(failure: Exception) -> ParlourError:
    """The error for a connection that was not opened."""
    match failure:
        case ssl.SSLError():
            return handshake_error(failure)
        case TimeoutError():
            return error(Code.NETWORK_TIMEOUT)
        case InvalidStatus():
            return _status_error(failure.response.status_code, bytes(failure.response.body))
        case InvalidHandshake():
            return error(Code.NETWORK_UNREACHABLE, "what answers there is no Parlour server")
        case OSError():
            return error(Code.NETWORK_UNREACHABLE, failure.strerror or "")
        case _:
            return error(Code.INTERNAL_BUG, type(failure).__name__)


def _status_error(status: int, body: bytes) -> ParlourError:
    try:
        return error_of_body(decode_body(body, ErrorBody))
    except ParlourError:
        code = _BY_STATUS.get(HTTPStatus(status)) if status in set(HTTPStatus) else None
        return error(code or Code.NETWORK_UNREACHABLE, f"HTTP status {status}")


def closing_error(closed: ConnectionClosed) -> ParlourError:
    """The error for a connection that ended. A server may name a code of ours as its reason."""
    received, sent = closed.rcvd, closed.sent
    if sent is not None and not closed.rcvd_then_sent and sent.code in _BY_SENT:
        return error(_BY_SENT[sent.code], sent.reason)
    if received is None:
        return error(Code.NETWORK_CLOSED, "without a word")
    if received.reason in set(Code):
        return error_from_wire(received.reason)
    code = _BY_RECEIVED.get(received.code, Code.NETWORK_CLOSED)
    return error(code, f"close code {received.code}")
