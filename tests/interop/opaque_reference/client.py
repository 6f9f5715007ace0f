"""The reference's client.

Spec: RFC 9807 §5.2 (registration), §6.2 and §6.4.3 (login).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from parlour.primitives.random import Random
from tests.interop.opaque_reference.envelope import (
    NONCE_SIZE,
    SEED_SIZE,
    Names,
    Stretch,
    derive_diffie_hellman_key_pair,
    expand,
    masking_key,
    randomize_password,
    recover,
    store,
)
from tests.interop.opaque_reference.group import (
    ELEMENT_SIZE,
    Scalar,
    decode_element,
    multiply,
    random_scalar,
)
from tests.interop.opaque_reference.key_exchange import Transcript, derive_keys
from tests.interop.opaque_reference.oprf import KeyPair, blind, finalize

_CREDENTIAL_RESPONSE_SIZE = 192


@dataclass(frozen=True, slots=True)
class Registered:
    """RegistrationRecord (192 bytes) and the export key (64)."""

    upload: bytes
    export_key: bytes


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """KE3 (64 bytes), the session key (64) and the export key (64)."""

    ke3: bytes
    session_key: bytes
    export_key: bytes


@dataclass(slots=True)
class ReferenceClient:
    """A client with one password. It does one registration or one login."""

    password: bytes
    stretch: Stretch
    random: Random
    names: Names = field(default_factory=Names)
    context: bytes = b""
    _blinding: Scalar = field(init=False)
    _keyshare: KeyPair = field(init=False)
    _ke1: bytes = field(init=False)

    def start_registration(self) -> bytes:
        """CreateRegistrationRequest, 32 bytes. Draws the blinding."""
        self._blinding = random_scalar(self.random)
        return blind(self.password, self._blinding)

    def finish_registration(self, response: bytes) -> Registered:
        """FinalizeRegistrationRequest. Draws the envelope's nonce."""
        randomized_password = self._randomize(response[:ELEMENT_SIZE])
        server_public_key = decode_element(response[ELEMENT_SIZE:])
        envelope, opened = store(randomized_password, server_public_key, self.names, self.random)
        record = opened.key_pair.public + masking_key(randomized_password) + envelope
        return Registered(record, opened.export_key)

    def start_login(self) -> bytes:
        """GenerateKE1, 96 bytes. Draws blinding, nonce and the key share's seed."""
        self._blinding = random_scalar(self.random)
        nonce = self.random(NONCE_SIZE)
        self._keyshare = derive_diffie_hellman_key_pair(self.random(SEED_SIZE))
        self._ke1 = blind(self.password, self._blinding) + nonce + self._keyshare.public
        return self._ke1

    def finish_login(self, ke2: bytes) -> LoggedIn:
        """GenerateKE3. Raises `ValueError` if envelope or MAC do not verify."""
        randomized_password = self._randomize(ke2[:ELEMENT_SIZE])
        credentials = _unmask(randomized_password, ke2)
        server_public_key = decode_element(credentials[:ELEMENT_SIZE])
        envelope = credentials[ELEMENT_SIZE:]
        opened = recover(randomized_password, server_public_key, envelope, self.names)
        server_mac = ke2[-64:]
        server_keyshare = decode_element(ke2[-64 - ELEMENT_SIZE : -64])
        transcript = Transcript(
            self.context,
            self.names,
            opened.key_pair.public,
            server_public_key,
            self._ke1,
            ke2[:-64],
        )
        shared = (
            multiply(self._keyshare.private, server_keyshare),
            multiply(self._keyshare.private, server_public_key),
            multiply(opened.key_pair.private, server_keyshare),
        )
        exchanged = derive_keys(shared, transcript)
        if not hmac.compare_digest(server_mac, exchanged.server_mac):
            raise ValueError("ServerAuthenticationError")
        return LoggedIn(exchanged.client_mac, exchanged.session_key, opened.export_key)

    def _randomize(self, evaluated: bytes) -> bytes:
        output = finalize(self.password, self._blinding, decode_element(evaluated))
        return randomize_password(output, self.stretch)


def _unmask(randomized_password: bytes, ke2: bytes) -> bytes:
    """The server's public key and the envelope, out of the masked response."""
    nonce = ke2[ELEMENT_SIZE : ELEMENT_SIZE + NONCE_SIZE]
    masked = ke2[ELEMENT_SIZE + NONCE_SIZE : _CREDENTIAL_RESPONSE_SIZE]
    pad = expand(masking_key(randomized_password), nonce + b"CredentialResponsePad", len(masked))
    return bytes(left ^ right for left, right in zip(pad, masked, strict=True))
