"""Identifiers on the wire."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

ID_SIZE: Final = 16
TOKEN_SIZE: Final = 32

_ID: Final = Meta(min_length=ID_SIZE, max_length=ID_SIZE)

AccountId: TypeAlias = Annotated[bytes, _ID]
"""16 random bytes."""
DeviceId: TypeAlias = Annotated[bytes, _ID]
"""The first 16 bytes of SHA-256 of the device's Ed25519 key."""
StreamId: TypeAlias = Annotated[bytes, _ID]
"""16 random bytes, unique on one server."""
ClientId: TypeAlias = Annotated[bytes, _ID]
"""The sender's own id of a message, 16 random bytes: appending it twice is appending it once."""
Incarnation: TypeAlias = Annotated[bytes, _ID]
"""16 random bytes, new whenever the server's database is made or restored from a backup."""
Ticket: TypeAlias = Annotated[bytes, _ID]
"""16 random bytes that a device replaces at each connection; see `streams.LiveStart`."""
InviteSecret: TypeAlias = Annotated[bytes, _ID]
"""16 random bytes; the server keeps their hash."""

Sequence: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""The number of an entry in its stream, from 1; 0 stands for "before the first"."""
Milliseconds: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""Milliseconds since the epoch, by the server's clock."""
AccountName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=32)]
"""The part of `name@server` before the @."""
