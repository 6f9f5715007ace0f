"""What one device shows and the other scans or pastes: `parlour:link#` and base64url.

It goes from screen to camera, so it is what both devices trust: the secret that only they have, and
a hash of what the showing device will say first. Who photographs it has the secret too; what that
is worth, and why it is not enough, stands in `linking`.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, UsageError
from parlour.identity import labels
from parlour.identity.printable import read_printable
from parlour.primitives.hashes import SHA256_SIZE, sha256
from parlour.primitives.secret import Secret

SCHEME: Final = "parlour:link#"
FORMAT: Final = 1
MAILBOX_SIZE: Final = 16
# The longest code takes 900 characters; more is none and is not decoded.
_MAX_TEXT: Final = 1024
# A host name of 253 characters (RFC 1035 §2.3.4), a colon and a port.
_MAX_HOST: Final = 260
# An account's name, as `parlour.login` bounds it.
_MAX_NAME: Final = 32


class LinkSecret(Secret):
    """What only the two devices have, and whoever sees the code."""

    __slots__ = ()
    SIZE = 16


class Shows(IntEnum):
    """Which of the two devices shows the code."""

    NEW = 1
    OLD = 2


@dataclass(frozen=True, slots=True)
class LinkText:
    """A code for linking two devices.

    ::

        struct {
            uint8  format = 1;
            uint8  shows;                   /* 1: the new device, 2: the old one */
            opaque server<V>;               /* the server's name */
            opaque host<V>;                 /* where it is reached */
            uint16 port;
            optional<opaque[32]> pin;       /* SHA-256 of its SubjectPublicKeyInfo; none: a CA */
            opaque account_name<V>;         /* may be empty where the new device shows */
            opaque commitment[32];          /* hash of what the showing device says first */
            opaque secret[16];
        } LinkText;
    """

    shows: Shows
    server: str
    host: str
    port: int
    pin: bytes | None
    account_name: str
    commitment: bytes
    secret: LinkSecret

    @property
    def mailbox(self) -> bytes:
        """Where the two devices meet on the server: 16 bytes that tell nothing of the secret."""
        fields = Writer().opaque(labels.LINK_MAILBOX).opaque(self.secret.reveal())
        return sha256(fields.data())[:MAILBOX_SIZE]

    def to_text(self) -> str:
        """The line to show, or to put into a QR code."""
        writer = Writer().uint8(FORMAT).uint8(self.shows)
        writer.opaque(self.server.encode()).opaque(self.host.encode()).uint16(self.port)
        writer.optional(self.pin, lambda inner, value: inner.fixed(value, SHA256_SIZE))
        writer.opaque(self.account_name.encode()).fixed(self.commitment, SHA256_SIZE)
        data = writer.fixed(self.secret.reveal(), LinkSecret.SIZE).data()
        return SCHEME + base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    @classmethod
    def from_text(cls, text: str) -> LinkText:
        """Read the line; blanks and line breaks that came with copying are ignored.

        Raises `UsageError` (``link.invalid``).
        """
        text = "".join(text.split())
        if not text.startswith(SCHEME) or len(text) > _MAX_TEXT:
            raise UsageError(Code.LINK_INVALID, f"it begins with {SCHEME}")
        encoded = text.removeprefix(SCHEME)
        try:
            data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
            return decode(data, cls._read)
        except (binascii.Error, DecodeError, ValueError) as error:
            raise UsageError(Code.LINK_INVALID, "damaged") from error

    @classmethod
    def _read(cls, reader: Reader) -> LinkText:
        if reader.uint8() != FORMAT:
            raise UsageError(Code.LINK_INVALID, "of another version; update")
        return cls(
            shows=Shows(reader.uint8()),
            server=read_printable(reader, _MAX_HOST),
            host=read_printable(reader, _MAX_HOST),
            port=reader.uint16(),
            pin=reader.optional(lambda inner: inner.fixed(SHA256_SIZE)),
            account_name=read_printable(reader, _MAX_NAME),
            commitment=reader.fixed(SHA256_SIZE),
            secret=LinkSecret(reader.fixed(LinkSecret.SIZE)),
        )
