"""The ratchet: skipping, bounds, what is too old, what was replayed."""

from __future__ import annotations

import pytest

from parlour.double_ratchet import limits
from parlour.double_ratchet.messages import Suite
from parlour.double_ratchet.ratchet import Ratchet
from parlour.errors import Code
from parlour.primitives.agreement import X25519PrivateKey
from tests.pairs import NOW, End, refused, seeded, started

BOTH = pytest.mark.parametrize("header_encryption", [False, True])


def ratchet_of(end: End) -> Ratchet:
    return end.sessions._sessions[0].ratchet


def send(end: End, count: int) -> list[bytes]:
    return end.sessions.encrypt_batch([(b"x", b"")] * count, NOW, end.device.random)


@BOTH
def test_jump_is_bounded_within_a_chain(header_encryption: bool) -> None:
    ada, bea = started(header_encryption=header_encryption)
    messages = send(ada, limits.MAX_JUMP + 3)
    bea.read(messages[0])
    refused(Code.SESSION_JUMP, bea.read, messages[-1])
    assert bea.read(messages[-2]) == b"x"
    assert bea.read(messages[-1]) == b"x"


@BOTH
def test_jump_is_bounded_over_a_turn(header_encryption: bool) -> None:
    ada, bea = started(header_encryption=header_encryption)
    half = limits.MAX_JUMP // 2
    bea.read(send(ada, half + 1)[0])
    ada.read(bea.send(b"turn"))
    after = send(ada, half + 2)
    refused(Code.SESSION_JUMP, bea.read, after[half + 1])
    assert bea.read(after[half]) == b"x"
    assert len(ratchet_of(bea).receiving[-1].skipped) == half


def test_no_more_than_the_bound_of_skipped_keys_is_kept() -> None:
    ada, bea = started()
    first = send(ada, 1_501)
    bea.read(first[-1])
    ada.read(bea.send(b"turn"))
    second = send(ada, 1_001)
    bea.read(second[-1])
    kept = sum(len(chain.skipped) for chain in ratchet_of(bea).receiving)
    assert kept == limits.MAX_SKIPPED
    refused(Code.SESSION_TOO_OLD, bea.read, first[499])
    assert bea.read(first[500]) == b"x"
    assert bea.read(second[0]) == b"x"
    refused(Code.SESSION_REPLAYED, bea.read, first[500])


@BOTH
def test_skipped_keys_die_of_age(header_encryption: bool) -> None:
    ada, bea = started(header_encryption=header_encryption)
    early, late, last = send(ada, 3)
    bea.read(late)
    end = NOW + limits.MAX_SKIPPED_AGE
    bea.reload()
    refused(Code.SESSION_TOO_OLD, lambda: bea.read(early, now=end))
    assert bea.read(early, now=end - 1) == b"x"
    bea.read(last, now=end)


def test_aged_keys_are_erased_and_younger_ones_stay() -> None:
    ada, bea = started()
    messages = send(ada, 6)
    bea.read(messages[1])
    bea.read(messages[4], now=NOW + 10)
    bea.sessions.expire(NOW + limits.MAX_SKIPPED_AGE)
    assert set(ratchet_of(bea).receiving[-1].skipped) == {2, 3}
    refused(Code.SESSION_TOO_OLD, bea.read, messages[0])
    assert bea.read(messages[2]) == b"x"
    bea.sessions.expire(NOW + limits.MAX_SKIPPED_AGE + 10)
    assert not ratchet_of(bea).receiving[-1].skipped


@BOTH
def test_late_messages_are_read_for_some_turns(header_encryption: bool) -> None:
    ada, bea = started(header_encryption=header_encryption)
    late = send(ada, 2)
    bea.read(late[1])
    for _ in range(limits.MAX_RECEIVING_CHAINS - 1):
        ada.read(bea.send(b"x"))
        bea.read(ada.send(b"x"))
    bea.reload()
    assert bea.read(late[0]) == b"x"
    refused(Code.SESSION_REPLAYED, bea.read, late[0])
    refused(Code.SESSION_REPLAYED, bea.read, late[1])
    ada.read(bea.send(b"x"))
    bea.read(ada.send(b"x"))
    refused(Code.SESSION_NONE, bea.read, late[0])


@BOTH
def test_number_beyond_the_end_of_a_chain_is_forged(header_encryption: bool) -> None:
    ada, bea = started(header_encryption=header_encryption)
    bea.read(ada.send(b"one"))
    stored = ada.state()
    ada.read(bea.send(b"turn"))
    bea.read(ada.send(b"two"))
    # A copy of Ada's device goes on where she was before.
    ada.restore(stored)
    refused(Code.CRYPTO_TAG, bea.read, ada.send(b"beyond"))


@BOTH
def test_forged_ciphertext_at_a_turn(header_encryption: bool) -> None:
    ada, bea = started(header_encryption=header_encryption)
    message = ada.send(b"x")
    # An encrypted header proves which session is meant; a plain one does not.
    code = Code.CRYPTO_TAG if header_encryption else Code.SESSION_NONE
    refused(code, bea.read, message[:-1] + bytes((message[-1] ^ 1,)))


@BOTH
def test_keys_made_ahead_are_used_up_when_messages_are_skipped(header_encryption: bool) -> None:
    ada, bea = started(header_encryption=header_encryption)
    messages = send(ada, 8)
    bea.read(messages[0])
    bea.sessions.precompute(3, NOW)
    assert bea.read(messages[2]) == b"x"
    assert len(ratchet_of(bea).receiving[-1].ahead) == 1
    assert bea.read(messages[6]) == b"x"
    assert len(ratchet_of(bea).receiving[-1].ahead) == 0
    bea.sessions.precompute(3, NOW)
    ada.read(bea.send(b"turn"))
    bea.read(ada.send(b"next chain"))
    assert [bea.read(messages[place]) for place in (1, 3, 4, 5, 7)] == [b"x"] * 5


def test_low_order_ratchet_key_is_of_no_session() -> None:
    ada, bea = started()
    message = ada.send(b"x")
    refused(Code.SESSION_NONE, bea.read, message[:3] + bytes(32) + message[35:])


def test_responder_cannot_send_before_it_has_read() -> None:
    ratchet = Ratchet.respond(bytes(32), X25519PrivateKey.generate(seeded("x")))
    refused(
        Code.SESSION_NONE,
        ratchet.encrypt,
        [(b"x", b"")],
        Suite.X3DH,
        None,
        bytes(32),
        seeded("y"),
    )
    ratchet.precompute(5, seeded("y"))
    assert ratchet.ahead is None


def test_sending_chain_ends() -> None:
    ada, bea = started()
    bea.read(ada.send(b"x"))
    chain = ratchet_of(ada).sending
    assert chain is not None
    chain.number = limits.MAX_CHAIN_LENGTH
    refused(Code.LIMIT_COUNT, ada.send, b"x")


def test_key_pair_is_made_with_the_message_and_not_before() -> None:
    ada, bea = started()
    assert ratchet_of(ada).own_key is None
    assert ratchet_of(ada).sending is None
    ada.send(b"x")
    assert ratchet_of(ada).own_key is not None
    bea.read(ada.send(b"y"))
    assert ratchet_of(bea).own_key is None


@BOTH
def test_state_holds_no_more_keys_than_skipped_messages(header_encryption: bool) -> None:
    ada, bea = started(header_encryption=header_encryption)
    messages = send(ada, 12)
    bea.read(messages[10])
    size = len(bea.sessions.to_bytes())
    bea.sessions.precompute(100, NOW, bea.device.random)
    assert len(bea.sessions.to_bytes()) == size
    for message in messages[:10]:
        bea.read(message)
    # Each read message takes its key of 44 bytes with it.
    assert size - len(bea.sessions.to_bytes()) in range(440, 446)
