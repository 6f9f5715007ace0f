"""The reference's server.

Spec: RFC 9807 §5.2 (registration), §6.2, §6.3.2.2 and §6.4.4 (login).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from parlour.primitives.random import Random
from tests.interop.opaque_reference.envelope import (
    NONCE_SIZE,
    SEED_SIZE,
    Names,
    derive_diffie_hellman_key_pair,
    expand,
)
from tests.interop.opaque_reference.group import (
    ELEMENT_SIZE,
    Scalar,
    decode_element,
    multiply,
    multiply_generator,
)
from tests.interop.opaque_reference.key_exchange import Exchanged, Transcript, derive_keys
from tests.interop.opaque_reference.oprf import derive_key_pair, evaluate

_MASKING_KEY = slice(32, 96)
_ENVELOPE = slice(96, 192)
_KEYSHARE = slice(64, 96)


@dataclass(slots=True)
class ReferenceServer:
    """A server with its OPRF seed (64 bytes) and private key. One login at a time."""

    oprf_seed: bytes
    private_key: Scalar
    random: Random
    names: Names = field(default_factory=Names)
    context: bytes = b""
    _exchanged: Exchanged = field(init=False)

    def register(self, request: bytes, credential_identifier: bytes) -> bytes:
        """CreateRegistrationResponse, 64 bytes."""
        evaluated = self._evaluate(request, credential_identifier)
        return evaluated + multiply_generator(self.private_key)

    def respond(self, ke1: bytes, credential_identifier: bytes, record: bytes) -> bytes:
        """GenerateKE2, 320 bytes. Draws masking nonce, nonce and the key share's seed."""
        public_key = multiply_generator(self.private_key)
        masking_nonce = self.random(NONCE_SIZE)
        pad = expand(record[_MASKING_KEY], masking_nonce + b"CredentialResponsePad", 128)
        credentials = public_key + record[_ENVELOPE]
        masked = bytes(left ^ right for left, right in zip(pad, credentials, strict=True))
        nonce = self.random(NONCE_SIZE)
        keyshare = derive_diffie_hellman_key_pair(self.random(SEED_SIZE))
        evaluated = self._evaluate(ke1[:ELEMENT_SIZE], credential_identifier)
        response = evaluated + masking_nonce + masked + nonce + keyshare.public
        client_public_key = decode_element(record[:ELEMENT_SIZE])
        client_keyshare = decode_element(ke1[_KEYSHARE])
        shared = (
            multiply(keyshare.private, client_keyshare),
            multiply(self.private_key, client_keyshare),
            multiply(keyshare.private, client_public_key),
        )
        self._exchanged = derive_keys(
            shared,
            Transcript(self.context, self.names, client_public_key, public_key, ke1, response),
        )
        return response + self._exchanged.server_mac

    def finish(self, ke3: bytes) -> bytes:
        """ServerFinish: the session key (64 bytes). Raises `ValueError` if KE3 is wrong."""
        if not hmac.compare_digest(ke3, self._exchanged.client_mac):
            raise ValueError("ClientAuthenticationError")
        return self._exchanged.session_key

    def _evaluate(self, blinded: bytes, credential_identifier: bytes) -> bytes:
        seed = expand(self.oprf_seed, credential_identifier + b"OprfKey", SEED_SIZE)
        key = derive_key_pair(seed, b"OPAQUE-DeriveKeyPair").private
        return evaluate(key, decode_element(blinded))
