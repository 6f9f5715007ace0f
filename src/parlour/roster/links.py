"""Links: a line of text by which people come into a group that nobody has added them to.

`parlour:group#` and base64url of the structure below. Its secret is after the '#' and never goes
to a server; the roster knows the public half of the key that is derived from it. Who comes in
signs with that key for its own account and device, so that a server, or a member, who sees the
signature can't use it for another.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, UsageError
from parlour.primitives.hashes import SHA256_SIZE
from parlour.primitives.kdf import hkdf
from parlour.primitives.random import Random, system_random
from parlour.primitives.secret import Secret
from parlour.primitives.signature import (
    ED25519_KEY_SIZE,
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from parlour.roster import device_signature, labels
from parlour.roster.changes import NO_KEY, JoinedByLink, LinkOpened, join_content
from parlour.roster.draft import link_id_of
from parlour.roster.limits import ID_SIZE
from parlour.roster.roles import Role

SCHEME: Final = "parlour:group#"
FORMAT: Final = 1
# A host name of 253 characters (RFC 1035 §2.3.4), a colon and a port.
_MAX_SERVER: Final = 260
# The longest link takes 450 characters; more is no link and is not decoded.
_MAX_TEXT: Final = 512
_PRINTABLE: Final = range(0x21, 0x7F)


class LinkSecret(Secret):
    """What a link's key is derived from."""

    __slots__ = ()
    SIZE = 16


@dataclass(frozen=True)
class JoinLink:
    """A link.

    ::

        struct {
            uint8  format = 1;
            opaque server<V>;           /* the server's name, printable */
            optional<opaque[32]> pin;   /* SHA-256 of its SubjectPublicKeyInfo */
            opaque stream[16];
            opaque genesis_hash[32];    /* what was founded: no server shows another group */
            opaque secret[16];
        } JoinLink;
    """

    server: str
    pin: bytes | None
    stream: bytes
    genesis_hash: bytes
    secret: LinkSecret

    @classmethod
    def create(
        cls,
        server: str,
        pin: bytes | None,
        stream: bytes,
        genesis_hash: bytes,
        random: Random = system_random,
    ) -> JoinLink:
        """Make one for the conversation with that stream; nobody knows it until it is opened."""
        return cls(server, pin, stream, genesis_hash, LinkSecret.generate(random))

    @cached_property
    def key(self) -> Ed25519PrivateKey:
        """The link's key: of this secret, for this conversation."""
        info = Writer().opaque(labels.LINK_KEY).opaque(self.server.encode())
        seed = hkdf(
            self.secret.reveal(),
            salt=b"",
            info=info.fixed(self.stream, ID_SIZE).data(),
            length=ED25519_KEY_SIZE,
        )
        return Ed25519PrivateKey(seed)

    @property
    def link_id(self) -> bytes:
        """The link's id in the roster, 16 bytes."""
        return link_id_of(self.key.public_key.to_bytes())

    def opened(self, *, role: Role, uses: int, expires_at: int) -> LinkOpened:
        """The change that opens it; `expires_at` in milliseconds."""
        return LinkOpened(self.link_id, self.key.public_key.to_bytes(), role, uses, expires_at)

    def sign_join(
        self, roster_id: bytes, account: bytes, device: bytes, key: bytes = NO_KEY
    ) -> JoinedByLink:
        """The change by which this account comes in, under its account key, through this device."""
        content = join_content(roster_id, account, device)
        signature = device_signature.sign_by_key(labels.LINK_JOIN, content, self.key)
        return JoinedByLink(self.link_id, account, device, signature, key)

    def sign_pass(self, account: bytes, device: bytes) -> bytes:
        """The signature of a pass, 64 bytes: this device may read the group in order to join."""
        content = _pass_content(self.stream, account, device)
        return device_signature.sign_by_key(labels.LINK_PASS, content, self.key)

    def to_text(self) -> str:
        """The line to hand round."""
        writer = Writer().uint8(FORMAT).opaque(self.server.encode())
        writer.optional(self.pin, lambda inner, value: inner.fixed(value, SHA256_SIZE))
        writer.fixed(self.stream, ID_SIZE).fixed(self.genesis_hash, SHA256_SIZE)
        data = writer.fixed(self.secret.reveal(), 16).data()
        return SCHEME + base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    @classmethod
    def from_text(cls, text: str) -> JoinLink:
        """Read the line; blanks and line breaks that came with copying are ignored."""
        text = "".join(text.split())
        if not text.startswith(SCHEME) or len(text) > _MAX_TEXT:
            raise UsageError(Code.USAGE_INVALID, f"a link to a group begins with {SCHEME}")
        encoded = text.removeprefix(SCHEME)
        try:
            data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
            return decode(data, cls._read)
        except (binascii.Error, DecodeError, ValueError) as error:
            raise UsageError(Code.USAGE_INVALID, "the link is damaged; copy it again") from error

    @classmethod
    def _read(cls, reader: Reader) -> JoinLink:
        if reader.uint8() != FORMAT:
            raise UsageError(Code.USAGE_INVALID, "the link is of another version; update")
        return cls(
            server=_read_server(reader),
            pin=reader.optional(lambda inner: inner.fixed(SHA256_SIZE)),
            stream=reader.fixed(ID_SIZE),
            genesis_hash=reader.fixed(SHA256_SIZE),
            secret=LinkSecret(reader.fixed(16)),
        )


def verify_pass(
    public_key: bytes, stream: bytes, account: bytes, device: bytes, signature: bytes
) -> None:
    """Return if a link's key has signed this pass, else raise `SecurityStop`. For the server."""
    content = _pass_content(stream, account, device)
    key = Ed25519PublicKey(public_key)
    device_signature.verify_by_key(labels.LINK_PASS, content, key, signature)


def _pass_content(stream: bytes, account: bytes, device: bytes) -> bytes:
    writer = Writer()
    for value in (stream, account, device):
        writer.fixed(value, ID_SIZE)
    return writer.data()


def _read_server(reader: Reader) -> str:
    """The name, which is shown before anything is proven: printable ASCII, or it is refused."""
    data = reader.opaque(_MAX_SERVER)
    if not data or not all(byte in _PRINTABLE for byte in data):
        raise DecodeError(Code.DECODE_MALFORMED, "a name that can't be one")
    return data.decode("ascii")
