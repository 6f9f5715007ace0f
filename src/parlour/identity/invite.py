"""Invites: a line of text that makes the first contact with a server not blind.

`parlour:invite#` and base64url of the structure below. It names the server's address and the pin
of its key, the secret that allows a registration, and the account key of who invites.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, UsageError
from parlour.identity.printable import read_printable
from parlour.primitives.hashes import SHA256_SIZE
from parlour.primitives.secret import Secret
from parlour.primitives.signature import ED25519_KEY_SIZE

SCHEME: Final = "parlour:invite#"
FORMAT: Final = 1
# The longest invite takes 890 characters; more is no invite and is not decoded.
_MAX_TEXT: Final = 1024
# A host name of 253 characters (RFC 1035 §2.3.4), a colon and a port.
_MAX_HOST: Final = 260
# An account's name, as `parlour.login` bounds it.
_MAX_NAME: Final = 32


class InviteSecret(Secret):
    """What allows one registration; the server keeps its hash."""

    __slots__ = ()
    SIZE = 16


@dataclass(frozen=True, slots=True)
class Invite:
    """An invite.

    ::

        struct {
            uint8  format = 1;
            opaque server<V>;               /* the server's name */
            opaque host<V>;                 /* where it is reached */
            uint16 port;
            optional<opaque[32]> pin;       /* SHA-256 of its SubjectPublicKeyInfo; none: a CA */
            optional<opaque[16]> secret;    /* none where registration is open */
            optional<opaque[32]> account;   /* account key of who invites */
            opaque account_name<V>;         /* its name; empty where the operator invites */
            uint64 expires_at;              /* seconds; 0 for never */
        } Invite;

    Name and account key of who invites are what the invite says: the server must show the same
    key for that name, or the first contact is not with that person.
    """

    server: str
    host: str
    port: int
    pin: bytes | None
    secret: InviteSecret | None
    account_key: bytes | None = None
    expires_at: int = 0
    account_name: str = ""

    def to_text(self) -> str:
        """The line to hand over."""
        writer = Writer().uint8(FORMAT).opaque(self.server.encode()).opaque(self.host.encode())
        writer.uint16(self.port)
        writer.optional(self.pin, lambda inner, value: inner.fixed(value, SHA256_SIZE))
        writer.optional(self.secret, lambda inner, value: inner.fixed(value.reveal(), 16))
        writer.optional(self.account_key, lambda inner, value: inner.fixed(value, ED25519_KEY_SIZE))
        data = writer.opaque(self.account_name.encode()).uint64(self.expires_at).data()
        return SCHEME + base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    @classmethod
    def from_text(cls, text: str) -> Invite:
        """Read the line; blanks and line breaks that came with copying are ignored."""
        text = "".join(text.split())
        if not text.startswith(SCHEME) or len(text) > _MAX_TEXT:
            raise UsageError(Code.USAGE_INVALID, f"an invite begins with {SCHEME}")
        encoded = text.removeprefix(SCHEME)
        try:
            data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
            return decode(data, cls._read)
        except (binascii.Error, DecodeError, ValueError) as error:
            raise UsageError(Code.USAGE_INVALID, "the invite is damaged; copy it again") from error

    @classmethod
    def _read(cls, reader: Reader) -> Invite:
        if reader.uint8() != FORMAT:
            raise UsageError(Code.USAGE_INVALID, "the invite is of another version; update")
        return cls(
            server=read_printable(reader, _MAX_HOST),
            host=read_printable(reader, _MAX_HOST),
            port=reader.uint16(),
            pin=reader.optional(lambda inner: inner.fixed(SHA256_SIZE)),
            secret=reader.optional(lambda inner: InviteSecret(inner.fixed(16))),
            account_key=reader.optional(lambda inner: inner.fixed(ED25519_KEY_SIZE)),
            account_name=read_printable(reader, _MAX_NAME),
            expires_at=reader.uint64(),
        )
