"""PeerSessions: start, send, read, converge, reset, age."""

from __future__ import annotations

import dataclasses

import pytest

from parlour.double_ratchet import PeerSessions, PrekeyBundle, limits
from parlour.errors import Code, ParlourError
from tests.pairs import NOW, Device, End, pair, started

VARIANTS = [(kem, he) for kem in (True, False) for he in (False, True)]


def refused(code: Code, call: object, *arguments: object) -> None:
    assert callable(call)
    with pytest.raises(ParlourError) as caught:
        call(*arguments)
    assert caught.value.code is code


@pytest.mark.parametrize(("has_kem", "header_encryption"), VARIANTS)
def test_both_read_what_the_other_sends(has_kem: bool, header_encryption: bool) -> None:
    ada, bea = pair(has_kem=has_kem, header_encryption=header_encryption)
    assert not ada.sessions.can_send
    ada.initiate()
    assert ada.sessions.can_send
    first = [ada.send(b"one", b"x"), ada.send(b"two", b"y")]
    assert bea.read(first[1], b"y") == b"two"
    assert bea.read(first[0], b"x") == b"one"
    for turn in range(6):
        ada.reload()
        assert ada.read(bea.send(b"%d" % turn)) == b"%d" % turn
        bea.reload()
        assert bea.read(ada.send(b"%d" % turn)) == b"%d" % turn


def test_first_message_makes_one_session_and_uses_up_its_prekeys() -> None:
    ada, bea = pair()
    ada.initiate()
    message, again = ada.send(b"a"), ada.send(b"b")
    random, store = bea.device.random, bea.device.prekeys
    one = bea.sessions.decrypt(message, b"", store, NOW, random)
    two = bea.sessions.decrypt(again, b"", store, NOW, random)
    assert (one.new_session, two.new_session) == (True, False)
    assert one.session_id == two.session_id
    refused(Code.SESSION_REPLAYED, bea.read, message)
    forgetful = End(bea.device, ada.device)
    refused(Code.PREKEY_REUSED, forgetful.read, message)


def test_first_header_travels_until_the_answer() -> None:
    ada, bea = pair()
    ada.initiate()
    long = ada.send(b"x")
    bea.read(long)
    assert len(ada.send(b"x")) == len(long)
    ada.read(bea.send(b"answer"))
    assert len(ada.send(b"x")) < len(long) - 1_500


def test_replayed_and_forged_messages_are_told_apart() -> None:
    ada, bea = started()
    bea.read(ada.send(b"the turn"))
    message = ada.send(b"x", b"ad")
    refused(Code.CRYPTO_TAG, bea.read, message[:-1] + bytes((message[-1] ^ 1,)), b"ad")
    bea.read(message, b"ad")
    refused(Code.SESSION_REPLAYED, bea.read, message, b"ad")
    more = ada.send(b"y", b"ad")
    refused(Code.CRYPTO_TAG, bea.read, more, b"other")


def test_forged_first_message_of_a_turn_may_be_of_a_lost_session() -> None:
    ada, bea = started()
    message = ada.send(b"x")
    refused(Code.SESSION_NONE, bea.read, message[:-1] + bytes((message[-1] ^ 1,)))
    assert bea.read(message) == b"x"


def test_bundle_without_the_kem_key_is_a_downgrade() -> None:
    ada, bea = pair()
    bundle = dataclasses.replace(bea.device.bundle(), kem_prekey=None)
    before = ada.state()
    refused(Code.PREKEY_DOWNGRADE, ada.sessions.initiate, bundle, NOW, ada.device.random)
    assert ada.state() == before


def test_first_message_without_the_kem_is_a_downgrade() -> None:
    ada, bea = pair()
    # What a server could make the initiator believe if the device list did not say otherwise.
    weaker = dataclasses.replace(bea.device.identity, has_kem=False)
    sessions = PeerSessions(ada.device.local, weaker)
    full = bea.device.bundle()
    bundle = PrekeyBundle(weaker, full.signed_prekey, full.one_time_prekey, None)
    sessions.initiate(bundle, NOW, ada.device.random)
    message = sessions.encrypt(b"x", b"", NOW, ada.device.random)
    refused(Code.PREKEY_DOWNGRADE, bea.read, message)


def test_nothing_can_be_sent_without_a_session() -> None:
    ada, _ = pair()
    refused(Code.SESSION_NONE, ada.send, b"x")


def test_message_of_an_unknown_session() -> None:
    ada, bea = started()
    message = ada.send(b"x")
    refused(Code.SESSION_NONE, End(bea.device, ada.device).read, message)


def test_simultaneous_start_converges() -> None:
    ada, bea = pair()
    ada.initiate()
    bea.initiate()
    from_ada, from_bea = ada.send(b"a"), bea.send(b"b")
    assert ada.read(from_bea) == b"b"
    assert bea.read(from_ada) == b"a"
    for _ in range(2):
        assert bea.read(ada.send(b"x")) == b"x"
        assert ada.read(bea.send(b"y")) == b"y"
    ids = {end.sessions._sessions[0].session_id for end in (ada, bea)}
    assert len(ids) == 1


def test_reset_asks_for_a_bundle_and_still_reads_what_is_late() -> None:
    ada, bea = started()
    late = bea.send(b"late")
    ada.sessions.reset()
    assert not ada.sessions.can_send
    assert ada.read(late) == b"late"
    assert not ada.sessions.can_send
    ada.initiate()
    assert bea.read(ada.send(b"new")) == b"new"
    assert ada.read(bea.send(b"answer")) == b"answer"


def test_batch_equals_single_messages() -> None:
    ada, bea = started()
    items = [(b"%d" % i, b"ad%d" % i) for i in range(5)]
    messages = ada.sessions.encrypt_batch(items, NOW, ada.device.random)
    assert [bea.read(m, ad) for m, (_, ad) in zip(messages, items, strict=True)] == [
        plaintext for plaintext, _ in items
    ]
    refused(
        Code.LIMIT_SIZE,
        ada.sessions.encrypt_batch,
        [(b"x", b""), (bytes(limits.MAX_PLAINTEXT + 1), b"")],
        NOW,
        ada.device.random,
    )


def test_device_with_another_identity_is_refused() -> None:
    ada, _ = pair()
    carl = Device("carl")
    refused(Code.USAGE_INVALID, ada.sessions.initiate, carl.bundle(), NOW, ada.device.random)
    state = ada.sessions.to_bytes()
    refused(Code.DECODE_MALFORMED, PeerSessions.from_bytes, state, ada.device.local, carl.identity)
