"""What all Diffie-Hellman keys have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from parlour.primitives.random import Random, system_random


class AgreementPublicKey(ABC):
    """A public key of one curve. Equal when class and bytes are equal."""

    __slots__ = ("_bytes", "_key")

    _bytes: bytes
    _key: Any  # the library's own, whose class each curve names

    @abstractmethod
    def __init__(self, data: bytes) -> None: ...

    @classmethod
    def _from_library(cls, key: Any, data: bytes) -> Self:
        """Wrap a key that the library made itself: there is nothing to check."""
        public_key = cls.__new__(cls)
        public_key._key = key
        public_key._bytes = data
        return public_key

    def to_bytes(self) -> bytes:
        """The public bytes."""
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._bytes.hex()})"


class AgreementPrivateKey(ABC):
    """A private key of one curve with its `public_key`."""

    __slots__ = ("_bytes", "_key", "public_key")

    _bytes: bytes
    _key: Any
    public_key: AgreementPublicKey

    @abstractmethod
    def __init__(self, data: bytes) -> None: ...

    @classmethod
    @abstractmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh key pair."""

    @abstractmethod
    def exchange(self, peer: AgreementPublicKey) -> bytes:
        """The shared secret. A peer's key of another curve is a `UsageError`."""

    def to_bytes(self) -> bytes:
        """The private bytes, for sealed storage."""
        return self._bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}([secret], public={self.public_key.to_bytes().hex()})"
