"""vodozemac's Olm against our KDF_RK and KDF_CK under Olm's labels.

Olm is a Double Ratchet after a 3DH; its wire and its AEAD are its own, so this test speaks both
and takes every key from our derivations: it reads three messages of vodozemac's first chain and
answers with one that turns the ratchet.
"""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from parlour.double_ratchet.kdf import step_chain, step_root
from parlour.primitives.agreement import X25519PrivateKey, X25519PublicKey
from parlour.primitives.hashes import hmac_sha256
from parlour.primitives.kdf import hkdf

vodozemac: Any = pytest.importorskip("vodozemac", reason="PyPI vodozemac is absent")

MAC_SIZE = 8


def fields(data: bytes) -> dict[int, bytes | int]:
    """The fields of a protobuf message of short lengths, by tag byte."""
    found: dict[int, bytes | int] = {}
    offset = 0
    while offset < len(data):
        tag = data[offset]
        value = shift = 0
        offset += 1
        while True:
            byte = data[offset]
            offset += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if tag & 7 == 2:
            found[tag] = data[offset : offset + value]
            offset += value
        else:
            found[tag] = value
    return found


def taken(found: dict[int, bytes | int], tag: int) -> bytes:
    value = found[tag]
    assert isinstance(value, bytes)
    return value


def message_keys(message_key: bytes) -> tuple[bytes, bytes, bytes]:
    keys = hkdf(message_key, salt=bytes(32), info=b"OLM_KEYS", length=80)
    return keys[:32], keys[32:64], keys[64:]


def unseal(message: bytes, message_key: bytes) -> bytes:
    cipher_key, mac_key, iv = message_keys(message_key)
    body, mac = message[:-MAC_SIZE], message[-MAC_SIZE:]
    assert hmac_sha256(mac_key, body)[:MAC_SIZE] == mac
    decryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).decryptor()
    padded = decryptor.update(taken(fields(body[1:]), 0x22)) + decryptor.finalize()
    return padded[: -padded[-1]]


def seal(ratchet_key: bytes, number: int, text: bytes, message_key: bytes) -> bytes:
    cipher_key, mac_key, iv = message_keys(message_key)
    padding = 16 - len(text) % 16
    encryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(text + bytes((padding,)) * padding) + encryptor.finalize()
    body = b"\x03\x0a\x20" + ratchet_key + bytes((0x10, number, 0x22, len(ciphertext)))
    body += ciphertext
    return body + hmac_sha256(mac_key, body)[:MAC_SIZE]


def test_olm_session_with_our_derivations() -> None:
    identity, one_time = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    account = vodozemac.Account()
    session = account.create_outbound_session(
        vodozemac.Curve25519PublicKey.from_bytes(identity.public_key.to_bytes()),
        vodozemac.Curve25519PublicKey.from_bytes(one_time.public_key.to_bytes()),
    )
    chain_key = root_key = ratchet_key = b""
    for number in range(3):
        text = b"message %d" % number
        _, data = session.encrypt(text).to_parts()
        outer = fields(data[1:])
        inner = taken(outer, 0x22)
        if number == 0:
            base = X25519PublicKey(taken(outer, 0x12))
            sender = X25519PublicKey(taken(outer, 0x1A))
            secret = one_time.exchange(sender) + identity.exchange(base) + one_time.exchange(base)
            # Olm's first root: an HKDF with an empty salt, which counts as zeros.
            both = step_root(bytes(32), secret, 64, b"OLM_ROOT")
            root_key, chain_key = both[:32], both[32:]
            ratchet_key = taken(fields(inner[1:-MAC_SIZE]), 0x0A)
        chain_key, message_key = step_chain(chain_key, b"\x02", b"\x01")
        assert unseal(inner, message_key) == text

    own = X25519PrivateKey.generate()
    shared = own.exchange(X25519PublicKey(ratchet_key))
    answer_chain = step_root(root_key, shared, 64, b"OLM_RATCHET")[32:]
    _, message_key = step_chain(answer_chain, b"\x02", b"\x01")
    answer = seal(own.public_key.to_bytes(), 0, b"answer", message_key)
    assert session.decrypt(vodozemac.AnyOlmMessage.from_parts(1, answer)) == b"answer"
