"""The wire: sizes, strictness."""

from __future__ import annotations

import pytest

from parlour.double_ratchet import PrekeyKind, Suite, limits
from parlour.double_ratchet.headers import Header, open_header, seal_header
from parlour.double_ratchet.messages import (
    FirstHeader,
    KemPart,
    decode_message,
    encode_message,
    encode_prefix,
)
from parlour.errors import Code
from tests.pairs import refused

HEADER = Header(b"r" * 32, 3, 4)
KEM = KemPart(PrekeyKind.MLKEM1024_ONE_TIME, 9, b"c" * 1568)
CIPHERTEXT = b"t" * 16


def encoded(suite: Suite, first: FirstHeader | None) -> bytes:
    header = HEADER.to_bytes() + (bytes(16) if suite.encrypts_headers else b"")
    prefix = encode_prefix(suite, first.to_bytes() if first else None, header, b"s" * 16)
    return encode_message(prefix, CIPHERTEXT)


@pytest.mark.parametrize("suite", Suite)
@pytest.mark.parametrize("one_time", [None, 7])
def test_first_messages_survive_the_wire(suite: Suite, one_time: int | None) -> None:
    first = FirstHeader(b"e" * 32, 5, one_time, KEM if suite.has_kem else None)
    data = encoded(suite, first)
    message = decode_message(data)
    assert (message.suite, message.first, message.salt) == (suite, first, b"s" * 16)
    assert message.ciphertext == CIPHERTEXT
    assert message.prefix + b"\x10" + CIPHERTEXT == data


def test_ratchet_message_survives_the_wire() -> None:
    data = encoded(Suite.PQXDH, None)
    message = decode_message(data)
    assert message.first is None
    assert Header.from_bytes(message.header) == HEADER
    assert len(data) == 3 + 40 + 16 + 1 + 16


def test_every_shortened_message_is_refused() -> None:
    data = encoded(Suite.X3DH, FirstHeader(b"e" * 32, 5, 7, None))
    for size in range(len(data)):
        refused(Code.DECODE_TRUNCATED, decode_message, data[:size])


@pytest.mark.parametrize(
    ("offset", "value", "code"),
    [
        (0, 0, Code.DECODE_VERSION),
        (0, 2, Code.DECODE_VERSION),
        (1, 0, Code.DECODE_VERSION),
        (1, 5, Code.DECODE_VERSION),
        (2, 0, Code.DECODE_MALFORMED),
        (2, 3, Code.DECODE_MALFORMED),
        (39, 2, Code.DECODE_MALFORMED),  # presence of a one-time prekey
        (40, 1, Code.DECODE_MALFORMED),  # an X25519 kind where a KEM kind stands
        (40, 9, Code.DECODE_MALFORMED),
    ],
)
def test_malformed_messages_are_refused(offset: int, value: int, code: Code) -> None:
    data = bytearray(encoded(Suite.PQXDH, FirstHeader(b"e" * 32, 5, None, KEM)))
    data[offset] = value
    refused(code, decode_message, bytes(data))


def test_sizes_are_bounded() -> None:
    prefix = encode_prefix(Suite.PQXDH, None, HEADER.to_bytes(), bytes(16))
    refused(Code.DECODE_TRUNCATED, decode_message, encode_message(prefix, bytes(15)))
    large = encode_message(prefix, bytes(limits.MAX_CIPHERTEXT + 1))
    refused(Code.DECODE_OVERSIZED, decode_message, large)
    refused(Code.DECODE_TRAILING, decode_message, encode_message(prefix, bytes(16)) + b"x")


def test_suites_are_chosen_by_both_properties() -> None:
    for suite in Suite:
        chosen = Suite.choose(has_kem=suite.has_kem, header_encryption=suite.encrypts_headers)
        assert chosen is suite


def test_session_id_covers_the_whole_first_header() -> None:
    ids = {
        FirstHeader(b"e" * 32, 5, 7, KEM).session_id(),
        FirstHeader(b"f" * 32, 5, 7, KEM).session_id(),
        FirstHeader(b"e" * 32, 6, 7, KEM).session_id(),
        FirstHeader(b"e" * 32, 5, None, KEM).session_id(),
        FirstHeader(b"e" * 32, 5, 7, None).session_id(),
    }
    assert len(ids) == 5


def test_encrypted_header_opens_with_its_key_salt_and_binding_only() -> None:
    key, salt, binding = b"k" * 32, b"s" * 16, b"b" * 32
    sealed = seal_header(HEADER.to_bytes(), key, salt, binding)
    assert open_header(sealed, key, salt, binding) == HEADER
    assert open_header(sealed, b"K" * 32, salt, binding) is None
    assert open_header(sealed, key, b"S" * 16, binding) is None
    assert open_header(sealed, key, salt, b"B" * 32) is None
