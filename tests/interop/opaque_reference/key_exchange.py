"""The key exchange: three Diffie-Hellman secrets bound to everything both sides said.

Spec: RFC 9807 §6.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from parlour.primitives.hashes import sha512
from tests.interop.opaque_reference.envelope import KEY_SIZE, Names, expand, extract, mac
from tests.interop.opaque_reference.group import Element
from tests.interop.opaque_reference.oprf import with_length


@dataclass(frozen=True, slots=True)
class Exchanged:
    """Both MACs (64 bytes each) and the session key (64)."""

    server_mac: bytes
    client_mac: bytes
    session_key: bytes


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the preamble holds. `response` is KE2 up to its MAC."""

    context: bytes
    names: Names
    client_public_key: Element
    server_public_key: Element
    ke1: bytes
    response: bytes

    def preamble(self) -> bytes:
        """Preamble (§6.4.2.1)."""
        return b"".join(
            (
                b"OPAQUEv1-",
                with_length(self.context),
                with_length(self.names.client or self.client_public_key),
                self.ke1,
                with_length(self.names.server or self.server_public_key),
                self.response,
            )
        )


def derive_keys(shared: tuple[Element, Element, Element], transcript: Transcript) -> Exchanged:
    """DeriveKeys (§6.4.2.2), and the two MACs made with them."""
    preamble = transcript.preamble()
    preamble_hash = sha512(preamble)
    secret = extract(b"".join(shared))
    handshake_secret = _derive_secret(secret, b"HandshakeSecret", preamble_hash)
    session_key = _derive_secret(secret, b"SessionKey", preamble_hash)
    server_mac = mac(_derive_secret(handshake_secret, b"ServerMAC"), preamble_hash)
    client_mac = mac(_derive_secret(handshake_secret, b"ClientMAC"), sha512(preamble + server_mac))
    return Exchanged(server_mac, client_mac, session_key)


def _derive_secret(secret: bytes, label: bytes, transcript_hash: bytes = b"") -> bytes:
    name = b"OPAQUE-" + label
    info = KEY_SIZE.to_bytes(2) + bytes((len(name),)) + name
    return expand(secret, info + bytes((len(transcript_hash),)) + transcript_hash)
