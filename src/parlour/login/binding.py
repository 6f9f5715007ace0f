"""Bind a login to one server, one account, one device and one TLS channel.

Our OPAQUE library passes neither identities nor a context into the key exchange, so both sides
prove afterwards, under the key that came out of it, what they believe to take part in:

- A server that relays the login to another one is found out, because the client binds the key
  of the TLS channel that it sees, and the other server knows its own.
- A stolen or swapped device id does not fit the proof.
- The messages themselves are hashed in, so nothing was changed in between.

The client's tag travels with KE3; the server answers with its own, under another label, by which
the client knows that the server came to the same end.

Spec: RFC 9807 §8 (context), §10.3 (identities); RFC 5869.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.codec import Writer
from parlour.errors import Code, UsageError
from parlour.login import labels
from parlour.login.keys import OpaqueKey, SessionKey
from parlour.login.names import account_name, server_name
from parlour.primitives.hashes import SHA256_SIZE, hmac_sha256, sha256
from parlour.primitives.kdf import hkdf_expand, hkdf_extract

DEVICE_ID_SIZE: Final = 16
CHANNEL_PIN_SIZE: Final = SHA256_SIZE
BINDING_SIZE: Final = SHA256_SIZE


@dataclass(frozen=True, slots=True)
class LoginContext:
    """What a login is bound to. Each side fills it with what it knows itself.

    `device_id` has 16 bytes. `channel_pin` is SHA-256 over the SubjectPublicKeyInfo of the TLS
    key of this connection: the one the client saw, the one the server presented. Names are made
    canonical; raises `UsageError` where that fails.
    """

    server_name: str
    user: str
    device_id: bytes
    channel_pin: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "server_name", server_name(self.server_name))
        object.__setattr__(self, "user", account_name(self.user))
        if len(self.device_id) != DEVICE_ID_SIZE or len(self.channel_pin) != CHANNEL_PIN_SIZE:
            raise UsageError(
                Code.USAGE_INVALID, "a device id has 16 bytes and the pin of a channel 32"
            )

    def to_bytes(self) -> bytes:
        """Write the fields in their order."""
        fields = Writer().opaque(self.server_name.encode()).opaque(self.user.encode())
        fields.fixed(self.device_id, DEVICE_ID_SIZE).fixed(self.channel_pin, CHANNEL_PIN_SIZE)
        return fields.data()


@dataclass(frozen=True, slots=True)
class Binding:
    """What both sides derive once OPAQUE is through: two tags of 32 bytes and a key."""

    client_tag: bytes
    server_tag: bytes
    session_key: SessionKey


def transcript_hash(ke1: bytes, ke2: bytes, ke3: bytes) -> bytes:
    """SHA-256 over the three messages of one login."""
    return sha256(Writer().opaque(labels.TRANSCRIPT).opaque(ke1).opaque(ke2).opaque(ke3).data())


def registration_transcript(request: bytes, response: bytes, upload: bytes) -> bytes:
    """SHA-256 over the three messages of one registration, for what a device signs over it."""
    fields = Writer().opaque(labels.REGISTRATION_TRANSCRIPT)
    return sha256(fields.opaque(request).opaque(response).opaque(upload).data())


def bind(key: OpaqueKey, *, context: LoginContext, transcript: bytes) -> Binding:
    """Bind OPAQUE's session key to the context and the hash of the transcript."""
    bound = Writer().opaque(context.to_bytes()).fixed(transcript, SHA256_SIZE).data()
    secret = hkdf_extract(b"", key.reveal())
    return Binding(
        client_tag=hmac_sha256(_key(secret, labels.CLIENT_BINDING), bound),
        server_tag=hmac_sha256(_key(secret, labels.SERVER_CONFIRMATION), bound),
        session_key=SessionKey(_key(secret, labels.SESSION_KEY + b"\x00" + sha256(bound))),
    )


def _key(secret: bytes, info: bytes) -> bytes:
    return hkdf_expand(secret, info, SHA256_SIZE)
