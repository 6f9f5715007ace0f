"""PyPI X3DH and DoubleRatchet, put together as their documentation recommends."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import doubleratchet
import x3dh
from doubleratchet.recommended import (
    HashFunction,
    aead_aes_hmac,
    diffie_hellman_ratchet_curve25519,
    kdf_hkdf,
    kdf_separate_hmacs,
)

TEXT = bytes(256)
AD = bytes(32)


def name() -> str:
    return f"X3DH {version('X3DH')} + DoubleRatchet {version('DoubleRatchet')}"


class State(x3dh.BaseState):
    @staticmethod
    def _encode_public_key(key_format: x3dh.IdentityKeyFormat, pub: bytes) -> bytes:
        return bytes(pub)


class Ratchet(doubleratchet.DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: doubleratchet.Header) -> bytes:
        numbers = header.sending_chain_length.to_bytes(4), header.previous_sending_chain_length
        return bytes(associated_data + header.ratchet_pub + numbers[0] + numbers[1].to_bytes(4))


class Aead(aead_aes_hmac.AEAD):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return b"benchmark aead"


class RootChain(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return b"benchmark root"


class MessageChain(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256


CONFIGURATION: dict[str, Any] = {
    "diffie_hellman_ratchet_class": diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet,
    "root_chain_kdf": RootChain,
    "message_chain_kdf": MessageChain,
    "message_chain_constant": b"\x01\x02",
    "dos_protection_threshold": 2_000,
    "max_num_skipped_message_keys": 2_000,
    "aead": Aead,
}


class Pair:
    """Two parties; the responder holds one one-time prekey, which is its cheapest case."""

    def __init__(self) -> None:
        arguments = (x3dh.IdentityKeyFormat.ED_25519, x3dh.HashFunction.SHA_256, b"benchmark")
        self.ada, self.bea = State.create(*arguments), State.create(*arguments)
        self.bea.generate_pre_keys(1)

    def bundle(self) -> x3dh.Bundle:
        return self.bea.bundle

    async def initiate(self, bundle: x3dh.Bundle) -> tuple[Any, Any]:
        secret, _, header = await self.ada.get_shared_secret_active(bundle)
        self.left, message = await Ratchet.encrypt_initial_message(
            shared_secret=secret,
            recipient_ratchet_pub=bundle.signed_pre_key,
            message=TEXT,
            associated_data=AD,
            **CONFIGURATION,
        )
        return header, message

    async def respond(self, first: tuple[Any, Any]) -> None:
        header, message = first
        secret, _, signed_pre_key = await self.bea.get_shared_secret_passive(header)
        self.right, _ = await Ratchet.decrypt_initial_message(
            shared_secret=secret,
            own_ratchet_priv=signed_pre_key.priv,
            message=message,
            associated_data=AD,
            **CONFIGURATION,
        )

    @classmethod
    async def started(cls) -> Pair:
        pair = cls()
        await pair.respond(await pair.initiate(pair.bundle()))
        await pair.left.decrypt_message(await pair.right.encrypt_message(TEXT, AD), AD)
        await pair.left.encrypt_message(TEXT, AD)
        return pair
