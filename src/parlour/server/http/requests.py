"""What both doors read from a request's head and body."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import HTTPConnection, Request

from parlour.errors import Code, error
from parlour.wire.limits import MAX_FRAME

_SCHEME: Final = "bearer "
# A body of 4 MiB over a slow line; a client that drips bytes holds nothing for longer.
BODY_SECONDS: Final = 30.0


def bearer_token(connection: HTTPConnection) -> str | None:
    """The token of the Authorization header, if there is one."""
    header = connection.headers.get("authorization", "")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        return None
    return header[len(_SCHEME) :].strip()


def address_of(connection: HTTPConnection) -> str | None:
    """The peer's network address; it goes no further than into a pseudonym."""
    return connection.client.host if connection.client else None


async def read_body(request: Request) -> bytes:
    """The body, refused above the size of a frame before it is taken in."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAX_FRAME:
        raise error(Code.DECODE_OVERSIZED, "body")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _collect(request)
    except TimeoutError:
        raise error(Code.NETWORK_TIMEOUT, "body") from None


async def _collect(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FRAME:
            raise error(Code.DECODE_OVERSIZED, "body")
    return bytes(body)
