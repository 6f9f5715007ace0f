"""The client's own secrets, each a class."""

from __future__ import annotations

from typing import Self

from parlour.errors import Code, PeerError
from parlour.primitives.secret import Secret
from parlour.wire.ids import TOKEN_SIZE


class DatabaseKey(Secret):
    """What the local store is encrypted under."""

    __slots__ = ()
    SIZE = 32


class WrappingKey(Secret):
    """What the database key is wrapped under: from a password, or from the system's keychain."""

    __slots__ = ()
    SIZE = 32


class SessionToken(Secret):
    """What proves to the server that this device is logged in."""

    __slots__ = ()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Take a server's token; raises `SERVER_MISBEHAVED` if it could break a header."""
        if not (text.isascii() and text.isprintable() and len(text) >= TOKEN_SIZE):
            raise PeerError(Code.SERVER_MISBEHAVED, "a token of strange characters")
        if " " in text:
            raise PeerError(Code.SERVER_MISBEHAVED, "a token with a space")
        return cls(text.encode())

    def text(self) -> str:
        """The token as it travels."""
        return self.reveal().decode()
