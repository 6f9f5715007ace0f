"""What a server says of itself, and errors."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.ids import Incarnation, Milliseconds
from parlour.wire.limits import MAX_SERVER_NAME

WireVersion = Annotated[int, Meta(ge=0, le=0xFFFF)]
"""The version of frames, as each frame carries it."""


class Nothing(Body, array_like=True, frozen=True):
    """An empty body."""


class ServerInfo(Body, array_like=True, frozen=True):
    """Who the server is. `next_pin` announces the key after this one, so renewal locks nobody out.

    `registration` is "invite" or "open". With `lone_vaults`, a generated passphrase may open an
    account on a new device without anything else.
    """

    name: Annotated[str, Meta(min_length=1, max_length=MAX_SERVER_NAME)]
    wire_versions: Annotated[list[WireVersion], Meta(min_length=1, max_length=16)]
    software: Annotated[str, Meta(max_length=64)]
    incarnation: Incarnation
    time: Milliseconds
    registration: Annotated[str, Meta(max_length=16)]
    next_pin: Annotated[bytes, Meta(min_length=32, max_length=32)] | None = None
    lone_vaults: bool = False


class ErrorBody(Body, array_like=True, frozen=True):
    """A stable code, a sentence and what to do; when to try again for limits, in milliseconds."""

    code: Annotated[str, Meta(max_length=64)]
    sentence: Annotated[str, Meta(max_length=512)]
    remedy: Annotated[str, Meta(max_length=512)]
    retry_after: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)] | None = None
