"""What a thief of a device's state can read, and what not.

The thief copies everything that is stored (the sessions and the prekeys with all private halves)
at one moment, sees everything on the wire, and runs our own code on the copy.
"""

from __future__ import annotations

import pytest

from parlour.double_ratchet import PeerSessions, PrekeyStore, headers, kdf, ratchet
from parlour.errors import ParlourError
from tests.pairs import NOW, End, pair, seeded, started

BOTH = pytest.mark.parametrize("header_encryption", [False, True])


class Thief:
    """A copy of one end's stored state."""

    def __init__(self, victim: End) -> None:
        sessions, prekeys = victim.state()
        local = victim.device.local
        self.prekeys = PrekeyStore.from_bytes(prekeys, local)
        self.sessions = PeerSessions.from_bytes(sessions, local, victim.peer.identity)

    def reads(self, message: bytes) -> bool:
        try:
            self.sessions.decrypt(message, b"", self.prekeys, NOW, seeded("thief"))
        except ParlourError:
            return False
        return True


@BOTH
def test_stolen_state_reads_nothing_that_was_read_before(header_encryption: bool) -> None:
    ada, bea = pair(header_encryption=header_encryption)
    ada.initiate()
    seen = []
    for turn in range(3):
        seen += [ada.send(b"%d" % turn), ada.send(b"%d again" % turn)]
        for message in seen[-2:]:
            bea.read(message)
        ada.read(bea.send(b"answer"))
    thief = Thief(bea)
    assert not any(thief.reads(message) for message in seen)
    # Not even without the sessions, with the prekeys and the identity key alone: the one-time
    # prekeys of the first message are gone.
    thief.sessions = PeerSessions(bea.device.local, ada.device.identity)
    assert not any(thief.reads(message) for message in seen)


@BOTH
def test_stolen_state_of_the_sender_reads_nothing_it_sent(header_encryption: bool) -> None:
    ada, bea = started(header_encryption=header_encryption)
    sent = [ada.send(b"x") for _ in range(3)]
    thief = Thief(ada)
    assert not any(thief.reads(message) for message in sent)
    assert [bea.read(message) for message in sent] == [b"x"] * 3


@BOTH
def test_stolen_state_reads_on_until_the_ratchet_has_turned(header_encryption: bool) -> None:
    """Between the theft and a round trip the thief reads along; afterwards no more."""
    ada, bea = started(header_encryption=header_encryption)
    bea.read(ada.send(b"turn"))
    thief = Thief(bea)
    in_between = ada.send(b"before the round trip")
    bea.read(in_between)
    answer = bea.send(b"a fresh key of Bea's")
    ada.read(answer)
    healed = ada.send(b"after the round trip")
    bea.read(healed)
    assert thief.reads(in_between)
    assert not thief.reads(healed)
    # It never reads what Bea herself sends, with the key pair she makes for it.
    assert not thief.reads(answer)


@BOTH
def test_key_stolen_before_an_answer_serves_for_one_turn(header_encryption: bool) -> None:
    """The copy of a key pair that the peer answers to reads the answers, not what comes after."""
    ada, bea = started(header_encryption=header_encryption)
    bea.read(ada.send(b"turn"))
    ada.read(bea.send(b"turn"))
    waiting = ada.send(b"with the key pair that is stolen next")
    thief = Thief(ada)
    bea.read(waiting)
    answer = bea.send(b"answer")
    ada.read(answer)
    bea.read(ada.send(b"a fresh key of Ada's"))
    healed = bea.send(b"after the round trip")
    assert thief.reads(answer)
    assert not thief.reads(healed)


def test_keys_of_lost_messages_are_what_a_thief_gains() -> None:
    """A skipped message's key is kept for it, so its forward secrecy waits until it arrives."""
    ada, bea = started()
    late, lost, read = ada.send(b"late"), ada.send(b"lost"), ada.send(b"read")
    bea.read(read)
    bea.read(late)
    thief = Thief(bea)
    assert thief.reads(lost)
    assert not thief.reads(late)
    assert not thief.reads(read)


def test_first_message_under_last_resort_keys_waits_for_their_rotation() -> None:
    """Without one-time prekeys, a thief of prekeys reads first messages until they are erased."""
    ada, bea = pair(batch=False)
    ada.initiate()
    message = ada.send(b"x")
    before = Thief(bea)
    bea.read(message)
    assert not Thief(bea).reads(message)
    prekeys_alone = Thief(bea)
    for generation in prekeys_alone.prekeys._generations:
        generation.remembered.clear()
    prekeys_alone.sessions = PeerSessions(bea.device.local, ada.device.identity)
    assert prekeys_alone.reads(message)
    assert before.reads(message)
    week = 7 * 86_400
    for now in (NOW + week, NOW + 2 * week):
        bea.device.prekeys.maintain(now, bea.device.random)
    rotated = Thief(bea)
    rotated.sessions = PeerSessions(bea.device.local, ada.device.identity)
    assert not rotated.reads(message)


def test_precomputed_keys_are_not_there_to_steal() -> None:
    ada, bea = started()
    bea.sessions.precompute(50, NOW, bea.device.random)
    answer = bea.send(b"x")
    ada.read(answer)
    ada.sessions.precompute(50, NOW, ada.device.random)
    ahead = ada.sessions._sessions[0].ratchet.ahead
    assert ahead is not None
    stolen = ada.sessions.to_bytes()
    assert ahead.key_pair.to_bytes() not in stolen
    assert all(key not in stolen for _, key in ahead.chain.ahead)


@BOTH
def test_rolled_back_state_never_repeats_a_key_with_its_nonce(
    header_encryption: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that goes on from old state uses a message key again, but never the sealed pair."""
    pairs: list[tuple[bytes, bytes, bytes]] = []
    message_keys: list[bytes] = []

    def spy(key: bytes, salt: bytes, label: bytes) -> object:
        message_keys.append(key)
        cipher, nonce = kdf.derive_seal(key, salt, label)
        pairs.append((label, cipher.seal(bytes(12), b""), nonce))
        return cipher, nonce

    ada, bea = started(header_encryption=header_encryption)
    bea.read(ada.send(b"turn"))
    stored = ada.state()
    monkeypatch.setattr(ratchet, "derive_seal", spy)
    monkeypatch.setattr(headers, "derive_seal", spy)
    messages = []
    for text in (b"one", b"two", b"three"):
        ada.restore(stored)
        ada.sessions.precompute(5, NOW)
        messages.append(ada.send(text))
    assert len(set(pairs)) == len(pairs) >= 3
    assert len(set(message_keys)) < len(message_keys)
    monkeypatch.undo()
    # The peer reads the first that comes, and takes the others for copies.
    assert bea.read(messages[1]) == b"two"
    for message in (messages[0], messages[2]):
        with pytest.raises(ParlourError):
            bea.read(message)
