"""PeerSessions: start, send, read, converge, reset, age."""

from __future__ import annotations

import dataclasses

import pytest

from parlour.double_ratchet import PeerSessions, PrekeyBundle, Suite, limits
from parlour.double_ratchet.messages import decode_message, encode_message, encode_prefix
from parlour.errors import Code
from tests.pairs import NOW, Device, End, pair, refused, started

VARIANTS = [(kem, he) for kem in (True, False) for he in (False, True)]


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


def test_device_has_no_session_with_itself() -> None:
    ada = Device("ada")
    refused(Code.USAGE_INVALID, PeerSessions, ada.local, ada.identity)


def test_stale_device_is_not_written_to_and_starts_nothing() -> None:
    ada, bea = started()
    late = bea.send(b"late")
    ada.sessions.mark_stale(NOW)
    ada.sessions.mark_stale(NOW + 5 * limits.DAY)  # the first time counts
    ada.reload()
    assert not ada.sessions.can_send
    refused(Code.SESSION_NONE, ada.send, b"x")
    refused(Code.SESSION_STALE, ada.initiate)
    assert ada.read(late) == b"late"
    again = End(bea.device, ada.device)
    again.initiate()
    refused(Code.SESSION_STALE, ada.read, again.send(b"x"))
    ada.sessions.expire(NOW + limits.MAX_ARCHIVE_AGE - 1)
    assert len(ada.sessions._sessions) == 1
    ada.sessions.expire(NOW + limits.MAX_ARCHIVE_AGE)
    assert ada.sessions._sessions == []


def test_session_without_answer_is_not_sent_on_for_ever() -> None:
    ada, bea = pair()
    ada.initiate()
    last = NOW + limits.MAX_UNANSWERED_AGE
    ada.send(b"x", now=last - 1)
    refused(Code.SESSION_STALE, lambda: ada.send(b"x", now=last))
    ada.initiate(now=last)
    assert bea.read(ada.send(b"y", now=last)) == b"y"


def test_sessions_are_bounded_and_the_oldest_goes() -> None:
    ada, bea = pair()
    first = []
    for _ in range(limits.MAX_SESSIONS + 1):
        ada.initiate()
        first.append(ada.send(b"x"))
        bea.read(first[-1])
    assert len(ada.sessions._sessions) == len(bea.sessions._sessions) == limits.MAX_SESSIONS
    refused(Code.PREKEY_REUSED, bea.read, first[0])
    refused(Code.SESSION_REPLAYED, bea.read, first[1])


def test_inactive_and_retired_sessions_age() -> None:
    ada, bea = started()
    ada.initiate()
    ada.read(bea.send(b"over the old one"))
    assert len(ada.sessions._sessions) == 2
    ada.sessions.expire(NOW + limits.MAX_ARCHIVE_AGE)
    assert len(ada.sessions._sessions) == 1
    assert ada.sessions.can_send
    ada.sessions.reset()
    ada.sessions.expire(NOW + limits.MAX_ARCHIVE_AGE)
    assert ada.sessions._sessions == []


def test_message_over_an_inactive_session_activates_it() -> None:
    ada, bea = started()
    ada.initiate()
    new = ada.sessions._sessions[0].session_id
    ada.read(bea.send(b"over the old one"))
    assert ada.sessions._sessions[0].session_id != new
    assert ada.sessions._sessions[1].session_id == new


@pytest.mark.parametrize("header_encryption", [False, True])
def test_every_session_reads_its_own_messages(header_encryption: bool) -> None:
    ada, bea = started(header_encryption=header_encryption)
    messages = [ada.send(b"old")]
    for place in range(3):
        ada.initiate()
        messages.append(ada.send(b"%d" % place))
        messages.append(ada.send(b"%d more" % place))
    for message in reversed(messages):
        bea.read(message)
    for message in messages:
        refused(Code.SESSION_REPLAYED, bea.read, message)


def test_sessions_of_another_suite_are_not_tried() -> None:
    ada, bea = started()
    plain = ada.send(b"plain")
    hidden_ada, hidden_bea = started(header_encryption=True)
    hidden = hidden_ada.send(b"hidden")
    refused(Code.SESSION_NONE, bea.read, hidden)
    refused(Code.SESSION_NONE, hidden_bea.read, plain)


def test_first_message_is_of_its_sessions_suite() -> None:
    ada, bea = pair()
    ada.initiate()
    bea.read(ada.send(b"x"))
    plain = ada.send(b"long enough to hold what is taken for an encrypted header")
    message = decode_message(plain)
    assert message.first is not None
    prefix = encode_prefix(
        Suite.PQXDH_HEADER_ENCRYPTION,
        message.first.to_bytes(),
        message.header + bytes(16),
        bytes(16),
    )
    refused(Code.CRYPTO_TAG, bea.read, encode_message(prefix, message.ciphertext))


def test_first_message_of_a_session_that_does_not_verify() -> None:
    ada, bea = pair()
    ada.initiate()
    message = ada.send(b"x")
    before = bea.state()
    refused(Code.CRYPTO_TAG, bea.read, message[:-1] + bytes((message[-1] ^ 1,)))
    assert bea.state() == before
    assert bea.read(message) == b"x"


def test_reflected_messages_are_refused() -> None:
    ada, bea = pair()
    ada.initiate()
    first = ada.send(b"x")
    refused(Code.CRYPTO_TAG, ada.read, first)
    bea.read(first)
    ada.read(bea.send(b"y"))
    refused(Code.SESSION_NONE, ada.read, ada.send(b"z"))


def test_precomputed_keys_change_nothing_but_the_time() -> None:
    ada, bea = started()
    for end in (ada, bea):
        before = end.state()
        end.sessions.precompute(10, NOW)
        end.sessions.precompute(10_000, NOW, end.device.random)
        assert end.state() == before
    for turn in range(3):
        messages = [ada.send(b"%d" % place) for place in range(5)]
        assert bea.read(messages[3]) == b"3"
        bea.sessions.precompute(3, NOW, bea.device.random)
        assert [bea.read(messages[place]) for place in (0, 1, 2, 4)] == [b"0", b"1", b"2", b"4"]
        bea.sessions.precompute(300, NOW, bea.device.random)
        assert ada.read(bea.send(b"%d" % turn)) == b"%d" % turn
        ada.sessions.precompute(2, NOW, ada.device.random)
    chain = bea.sessions._sessions[0].ratchet.sending
    assert chain is not None
    assert len(chain.ahead) == limits.MAX_PRECOMPUTED - 1


def test_precompute_without_a_session_does_nothing() -> None:
    ada, _ = pair()
    ada.sessions.precompute(10, NOW, ada.device.random)
    ada.initiate()
    ada.sessions.precompute(10, NOW)
    assert ada.sessions._sessions[0].ratchet.ahead is None
    ada.sessions.precompute(10, NOW, ada.device.random)
    assert ada.sessions._sessions[0].ratchet.ahead is not None


def test_state_of_another_version_is_refused() -> None:
    ada, bea = started()
    data = ada.sessions.to_bytes()
    arguments = (ada.device.local, bea.device.identity)
    refused(Code.DECODE_VERSION, PeerSessions.from_bytes, b"\x02" + data[1:], *arguments)
    refused(Code.DECODE_TRAILING, PeerSessions.from_bytes, data + b"x", *arguments)


def test_nothing_secret_shows() -> None:
    ada, bea = started()
    session = ada.sessions._sessions[0]
    shown = repr(ada.sessions) + repr(session) + repr(session.ratchet)
    assert session.ratchet.root_key.hex() not in shown
    assert repr(session.ratchet.root_key) not in shown
    assert bea.device.identity.device_id.hex() in shown
    assert ada.sessions.peer == bea.device.identity
