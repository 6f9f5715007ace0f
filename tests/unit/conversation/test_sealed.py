from dataclasses import replace

import pytest

from parlour.codec import Writer
from parlour.conversation import labels
from parlour.conversation.sealed import (
    ContentKey,
    Context,
    SealedEntry,
    entry_hash,
    open_entry,
    seal,
)
from parlour.errors import Code, ParlourError
from parlour.primitives import aead
from parlour.primitives.kdf import hkdf_expand
from parlour.testing.randomness import seeded
from parlour.wire.envelope import Envelope, SuiteId

_CONTEXT = Context(
    genesis_hash=b"g" * 32,
    stream=b"s" * 16,
    sender_account=b"a" * 16,
    sender_device=b"d" * 16,
    message_id=b"m" * 16,
    suite=SuiteId.DOUBLE_RATCHET_PQXDH,
)


def _sealed() -> SealedEntry:
    return seal(b"hello", _CONTEXT, seeded(1))


def test_opens_with_its_key_and_context() -> None:
    sealed = _sealed()
    assert open_entry(sealed.envelope.body, sealed.part_plaintext(7), _CONTEXT) == (b"hello", 7)


@pytest.mark.parametrize(
    "field", ["genesis_hash", "stream", "sender_account", "sender_device", "message_id"]
)
def test_is_bound_to_all_of_its_context(field: str) -> None:
    sealed = _sealed()
    changed = {field: b"x" * len(getattr(_CONTEXT, field))}
    other = replace(_CONTEXT, **changed)  # type: ignore[arg-type]
    assert other.for_part(sealed.envelope.body) != _CONTEXT.for_part(sealed.envelope.body)
    with pytest.raises(ParlourError) as caught:
        open_entry(sealed.envelope.body, sealed.part_plaintext(), other)
    assert caught.value.code is Code.CRYPTO_TAG


def test_is_bound_to_its_suite() -> None:
    other = replace(_CONTEXT, suite=SuiteId.DOUBLE_RATCHET_X3DH)
    assert other.encode() != _CONTEXT.encode()


def test_no_bit_of_the_body_can_change() -> None:
    sealed = _sealed()
    for place in range(len(sealed.envelope.body)):
        body = bytearray(sealed.envelope.body)
        body[place] ^= 0x40
        with pytest.raises(ParlourError):
            open_entry(bytes(body), sealed.part_plaintext(), _CONTEXT)


def test_one_body_does_not_open_under_two_keys() -> None:
    """The ciphertext alone may be made to (AES-GCM does not commit to its key); the body isn't."""
    sealed = _sealed()
    other = ContentKey(b"k" * 32)
    part = Writer().uint8(1).fixed(other.reveal(), 32).uint64(1).data()
    material = hkdf_expand(other.reveal(), labels.CONTENT_KEY, 44)
    ciphertext = aead.seal(material[:32], material[32:], b"another text", _CONTEXT.encode())
    commitment = sealed.envelope.body[1:33]
    body = Writer().uint8(1).fixed(commitment, 32).opaque(ciphertext).data()
    with pytest.raises(ParlourError) as caught:
        open_entry(body, part, _CONTEXT)
    assert caught.value.detail == "the body is not committed to its key"


def test_another_format_is_named() -> None:
    sealed = _sealed()
    for body, part in (
        (b"\x02" + sealed.envelope.body[1:], sealed.part_plaintext()),
        (sealed.envelope.body, b"\x02" + sealed.part_plaintext()[1:]),
    ):
        with pytest.raises(ParlourError) as caught:
            open_entry(body, part, _CONTEXT)
        assert caught.value.code is Code.DECODE_VERSION


def test_reprs_tell_nothing() -> None:
    assert repr(_sealed()).startswith("SealedEntry(")
    assert "k" * 32 not in repr(ContentKey(b"k" * 32))


def test_an_entry_s_hash_covers_all_that_everybody_sees() -> None:
    envelope = Envelope(1, 2, b"id", b"body")
    fields = {
        "stream": b"s" * 16,
        "seq": 1,
        "sender_account": b"a" * 16,
        "sender_device": b"d" * 16,
        "message_id": b"m" * 16,
        "envelope": envelope,
    }
    hashes = {entry_hash(**fields)}  # type: ignore[arg-type]
    others = {
        "stream": b"t" * 16,
        "seq": 2,
        "sender_account": b"b" * 16,
        "sender_device": b"e" * 16,
        "message_id": b"n" * 16,
    }
    for name, value in others.items():
        hashes.add(entry_hash(**{**fields, name: value}))  # type: ignore[arg-type]
    for changed in (
        Envelope(2, 2, b"id", b"body"),
        Envelope(1, 1, b"id", b"body"),
        Envelope(1, 2, b"", b"body"),
        Envelope(1, 2, b"id", b""),
        Envelope(1, 2, b"idb", b"ody"),
    ):
        hashes.add(entry_hash(**{**fields, "envelope": changed}))  # type: ignore[arg-type]
    assert len(hashes) == 11
