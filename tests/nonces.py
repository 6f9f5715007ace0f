"""Every (key, nonce) pair that AES-GCM encrypts under, recorded: none may come twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parlour.primitives import aead


@contextmanager
def recorded() -> Iterator[list[tuple[bytes, bytes]]]:
    """Record what is encrypted meanwhile."""
    pairs: list[tuple[bytes, bytes]] = []

    class Recorder:
        def __init__(self, key: bytes) -> None:
            self._key = key
            self._cipher = AESGCM(key)

        def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
            pairs.append((self._key, nonce))
            return self._cipher.encrypt(nonce, data, associated_data)

        def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
            return self._cipher.decrypt(nonce, data, associated_data)

    with patch.object(aead, "AESGCM", Recorder):
        yield pairs
