"""Small paths of the machine that no story takes."""

import pytest
from msgspec.structs import replace

from parlour.conversation import controls as controls_module
from parlour.conversation import histories as histories_module
from parlour.conversation import repair as repair_module
from parlour.conversation import state as state_module
from parlour.conversation.changes import Change, DeleteRecord, MessageState, Namespace, PutRecord
from parlour.conversation.content import ResendRequest, Text
from parlour.conversation.events import (
    DeviceLeftOut,
    HistoryMismatch,
    MessageReceived,
    MessageSent,
    MessageUnreadable,
    ServerMisbehaved,
)
from parlour.conversation.inner import Inner
from parlour.conversation.machine import Machine
from parlour.conversation.reasons import Reason
from parlour.conversation.records import OwnDevice, SenderCount
from parlour.conversation.upkeep import ACKNOWLEDGE_EVERY
from parlour.errors import Code, ParlourError, error
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.kinds import Kind
from parlour.wire.prekeys import Bundles, PrekeyCounts
from parlour.wire.push import PushDrain, PushEntry, PushPrekeysLow, PushStream
from parlour.wire.streams import Acknowledge, Entry, Position
from tests.scenario.people import blocks, heard, strangers, two

HOUR = 3_600_000


def _entries(device: MemoryDevice) -> list[Entry]:
    """The conversation's entries as a device gets them."""
    stream = device.machine.positions()[-1].stream
    return device.server.entries_for(device.machine.device_id, stream, 0)


def test_what_the_server_does_not_take_wakes_nobody_up_each_second() -> None:
    memory = MemoryServer()
    alice = MemoryDevice(memory, "alice")
    alice.connect()
    upkeep = alice.machine._upkeep
    upkeep._told = {alice.machine.device_id: 7}
    upkeep._ahead_since = memory.now
    # Each device has a time of its own within a second.
    own = int.from_bytes(alice.machine.device_id[:2]) % ACKNOWLEDGE_EVERY
    waits = []
    for _ in range(8):
        due = upkeep.next_timeout(online=True)
        assert due is not None
        waits.append(due - memory.now - own)
        upkeep.not_acknowledged()
    assert waits == [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]
    upkeep.acknowledged(Acknowledge([Position(bytes(16), 1)]))
    assert upkeep.next_timeout(online=True) == memory.now + 1000 + own


def acknowledged(device: MemoryDevice) -> bool:
    """Whether the machine would acknowledge something now."""
    requests = device.machine.outgoing(device.server.now)
    return any(isinstance(each.body, Acknowledge) for each in requests if hasattr(each, "body"))


def test_what_came_is_acknowledged_a_while_later_and_together() -> None:
    server, alice, bob = two()
    bob.wait(2 * ACKNOWLEDGE_EVERY)
    for text in ("one", "two"):
        alice.say("bob", text)
        stream = bob.machine.positions()[-1]
        for entry in server.entries_for(bob.machine.device_id, stream.stream, stream.seq):
            bob.machine.pushed(PushEntry(entry), server.now)
        assert not acknowledged(bob)
    due = bob.machine.next_timeout()
    assert due is not None
    assert ACKNOWLEDGE_EVERY <= due - server.now < 2 * ACKNOWLEDGE_EVERY
    server.now = due
    assert acknowledged(bob)


def test_a_clock_that_goes_back_does_not_keep_it_from_acknowledging() -> None:
    server, alice, bob = two()
    bob.wait(2 * ACKNOWLEDGE_EVERY)
    alice.say("bob", "one")
    bob.pull()
    server.now -= HOUR
    assert not acknowledged(bob)
    due = bob.machine.next_timeout()
    assert due is not None
    assert due < server.now + 2 * ACKNOWLEDGE_EVERY


def test_knows_itself_and_others() -> None:
    _, alice, bob = two()
    assert alice.machine.contacts[bob.machine.account_id].name == "bob"
    assert alice.machine.contact_named("nobody") is None
    assert alice.machine.waiting == 0
    own = alice.machine._memory.own
    assert repr(own) == "OwnDevice(alice@test.example)"
    assert isinstance(own, OwnDevice)


def test_it_sends_to_accounts_that_it_knows_and_not_to_itself() -> None:
    server, alice, _ = two()
    for account_id, code in (
        (bytes(16), Code.ACCOUNT_UNKNOWN),
        (alice.machine.account_id, Code.USAGE_INVALID),
    ):
        with pytest.raises(ParlourError) as caught:
            alice.machine.send(account_id, Text("?"), server.now)
        assert caught.value.code is code
    assert alice.machine.changes() == []


def test_a_missing_or_broken_record_is_a_broken_store() -> None:
    _, alice, _ = two()
    records = alice.store.records
    for broken, code in (
        ({**records, Namespace.DEVICE: {}}, Code.STORE_BROKEN),
        ({**records, Namespace.PREKEYS: {}}, Code.STORE_BROKEN),
        ({**records, Namespace.CONVERSATION: {b"c" * 16: b"\xc1"}}, Code.STORE_VERSION),
    ):
        with pytest.raises(ParlourError) as caught:
            Machine(broken, alice.server.now)
        assert caught.value.code is code


def test_sessions_that_belong_to_other_keys_are_not_read() -> None:
    server, alice, bob = two()
    sessions = alice.store.records[Namespace.SESSIONS]
    sessions[bob.machine.device_id] = bob.store.records[Namespace.SESSIONS][alice.machine.device_id]
    alice.restart()
    alice.connect()
    alice.say("bob", "over a new session")
    bob.pull()
    assert bob.texts() == ["hello", "over a new session"]
    assert server.now


def test_a_record_that_changes_often_is_written_once() -> None:
    server, alice, bob = two()
    for number in range(5):
        bob.say("alice", f"{number}")
    alice.disconnect()
    alice.online = True
    started = server.live_start(alice.machine.device_id, alice.machine.positions())
    alice.machine.connected(started, server.now)
    changes: list[Change] = alice.machine.changes()
    records = [(c.namespace, c.key) for c in changes if isinstance(c, PutRecord | DeleteRecord)]
    assert len(set(records)) == len(records)
    alice.store.apply(changes)
    alice.settle()
    assert len(alice.texts()) == 6


def test_pushes_that_need_nothing() -> None:
    server, alice, bob = two()
    machine = alice.machine
    machine.pushed(PushDrain(0), server.now)
    machine.pushed(PushStream(server.streams[machine.device_id].info), server.now)
    machine.receive(_entries(alice)[0], server.now)
    machine.pushed(PushEntry(replace(_entries(alice)[0], stream=machine.device_id)), server.now)
    alice.settle()
    machine.pushed(PushPrekeysLow(PrekeyCounts(0, 0)), server.now)
    assert [request.key[0] for request in machine.outgoing(server.now)] == ["publish"]
    machine.pushed(PushPrekeysLow(PrekeyCounts(0, 0)), server.now)  # an upload is under way
    assert machine.outgoing(server.now) == []
    machine.precompute(4, server.now)
    machine.disconnected()
    assert bob.texts() == ["hello"]


def test_a_push_beyond_a_gap_waits_for_what_is_before() -> None:
    server, alice, bob = two()
    for text in ("three", "four"):
        alice.say("bob", text)
    bob.machine.pushed(PushEntry(_entries(bob)[3]), server.now)
    assert bob.texts() == ["hello"]
    bob.settle()  # it catches up
    assert bob.texts() == ["hello", "three", "four"]
    inbox = replace(_entries(bob)[0], stream=bob.machine.device_id, seq=9)
    bob.machine.pushed(PushEntry(inbox), server.now)
    assert [request.key[0] for request in bob.machine.outgoing(server.now)][:1] == ["catch-up"]


def test_inbox_entries_come_once() -> None:
    server, alice, bob = two()
    message_id = alice.say("bob", "again")
    bob.machine._sending.send_to_inbox(
        alice.machine.account_id,
        alice.machine.device_id,
        ResendRequest(bob.machine.account_id, message_id, ""),
        server.now,
    )
    bob.settle()
    (entry,) = server.entries_for(alice.machine.device_id, alice.machine.device_id, 0)
    for _ in range(2):
        alice.machine.pushed(PushEntry(entry), server.now)
    assert [type(request).__name__ for request in alice.machine.outgoing(server.now)][:1] == [
        "LoadMessage"
    ]


def test_a_stream_of_another_kind_is_no_conversation() -> None:
    server, alice, bob = strangers()

    def answer(device_id, kind, body, honest):  # type: ignore[no-untyped-def]
        return replace(honest, kind="inbox") if kind is Kind.CREATE_CONVERSATION else honest

    server.answer = answer
    alice.say("bob", "hello")
    assert blocks(alice) == [Code.CONVERSATION_GENESIS]
    assert bob.texts() == []


def test_bad_answers_are_told_once_until_a_good_one() -> None:
    server, alice, bob = strangers()

    def answer(device_id, kind, body, honest):  # type: ignore[no-untyped-def]
        return PrekeyCounts(0, 0) if kind is Kind.CREATE_CONVERSATION else honest

    server.answer = answer
    alice.say("bob", "hello")
    alice.wait(60_000)
    assert [event.what for event in heard(alice, ServerMisbehaved)] == ["create"]
    assert bob.texts() == []


def test_marking_sent_counts_once() -> None:
    server, alice, bob = two()
    message_id = alice.machine.send(bob.machine.account_id, Text("later"), server.now)
    alice.machine.mark_sent(message_id, 3, server.now)  # before it was ever sealed
    alice.machine.mark_sent(message_id, 4, server.now)
    alice.settle()
    assert [e.message.seq for e in heard(alice, MessageSent)][-1] == 3
    assert (
        alice.store.messages[bob.machine.account_id, alice.machine.device_id, message_id].state
        is MessageState.SENT
    )


def test_failures_of_what_is_gone_are_left() -> None:
    server, alice, bob = two()
    message_id = alice.machine.send(bob.machine.account_id, Text("gone"), server.now)
    (request,) = [r for r in alice.machine.outgoing(server.now) if r.key[0] == "append"]
    alice.machine.mark_sent(message_id, 3, server.now)
    for code in (Code.STREAM_PARTS, Code.STREAM_FORBIDDEN, Code.NETWORK_TIMEOUT):
        alice.machine.failed(request, error(code), server.now)
    assert blocks(alice) == []


def test_a_refusal_is_told_and_the_message_stays() -> None:
    server, alice, bob = two()

    def refuse(device_id, kind, body, answer):  # type: ignore[no-untyped-def]
        if kind is Kind.FETCH_BUNDLES:
            raise error(Code.DEVICE_UNKNOWN)
        return answer

    server.answer = refuse
    carol = MemoryDevice(server, "carol")
    alice.say("carol", "hello")
    assert blocks(alice) == [Code.DEVICE_UNKNOWN]
    assert alice.machine.waiting == 1
    assert carol.texts() == bob.texts()[1:]


def test_an_expired_bundle_leaves_its_device_out() -> None:
    server, alice, bob = strangers()
    tablet = MemoryDevice(server, "bob", seed="tablet", beside=bob)
    old = tablet.server.request(alice.machine.device_id, Kind.FETCH_BUNDLES, _fetch(tablet))
    assert isinstance(old, Bundles)
    server.now += 91 * 24 * HOUR
    bob.restart()
    bob.connect()

    def answer(device_id, kind, body, honest):  # type: ignore[no-untyped-def]
        if kind is Kind.FETCH_BUNDLES and device_id == alice.machine.device_id:
            return Bundles([*honest.bundles, *old.bundles])
        return honest

    server.answer = answer
    alice.restart()
    alice.connect()
    for _ in range(2):
        alice.say("bob", "hello")
        alice.wait(HOUR)
    bob.pull()
    assert bob.texts() == ["hello", "hello"]
    assert [e.device_id for e in heard(alice, DeviceLeftOut)] == [tablet.machine.device_id]


def _fetch(device: MemoryDevice):  # type: ignore[no-untyped-def]
    from parlour.wire.prekeys import FetchBundles

    return FetchBundles(device.machine.account_id, [device.machine.device_id])


def test_a_device_without_prekeys_among_ours_is_left_out() -> None:
    server, alice, bob = strangers()
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=alice)
    server.prekeys[tablet.machine.device_id].clear()
    alice.connect()
    alice.say("bob", "hello")
    bob.pull()
    assert bob.texts() == ["hello"]
    assert [e.device_id for e in heard(alice, DeviceLeftOut)] == [tablet.machine.device_id]


# --- Histories ---------------------------------------------------------------------------


def _received(device: MemoryDevice, last_seq: int, last_hash: bytes) -> None:
    """What a message says that its sender saw last."""
    machine = device.machine
    entry = _entries(device)[-1]
    conversation = machine._memory.conversation_of_stream(entry.stream)
    assert conversation is not None
    inner = Inner(1, 0, last_seq, last_hash, b"")
    machine._receiving.histories.claim(conversation, entry, inner)
    device.settle()


def test_claims_are_compared_when_their_entry_is_known() -> None:
    server, alice, bob = two()
    known = alice.store.hashes[alice.machine.positions()[-1].stream, 1]
    _received(alice, 1, known)
    _received(alice, 0, b"")
    _received(alice, 2, alice.machine._memory.conversations[bob.machine.account_id].last_hash)
    assert heard(alice, HistoryMismatch) == []
    _received(alice, 1, b"?" * 32)
    _received(alice, 2, b"?" * 32)
    assert [event.seq for event in heard(alice, HistoryMismatch)] == [1, 2]
    _received(alice, 3, b"?" * 32)  # to come
    bob.say("alice", "three")
    alice.pull()
    assert [event.seq for event in heard(alice, HistoryMismatch)] == [1, 2, 3]
    alice.machine.loaded_hash(bytes(16), 1, b"")  # nobody asked
    assert server.now


def test_a_first_number_that_can_not_be_hides_nothing() -> None:
    _, alice, bob = two()
    conversation = alice.machine._memory.conversations[bob.machine.account_id]
    entry = _entries(alice)[-1]
    counter = conversation.senders[entry.sender_device].highest
    alice.machine._receiving.histories.count(entry, conversation, counter + 2, counter + 3)
    assert conversation.senders[entry.sender_device].missing == [counter + 1]


def test_claims_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories_module, "MAX_CLAIMS", 2)
    _, alice, bob = two()
    histories = alice.machine._receiving.histories
    entry = _entries(alice)[-1]
    conversation = alice.machine._memory.conversations[bob.machine.account_id]
    conversation.last_seq = 99  # as if it was ours
    for seq in (50, 51, 52):
        histories.claim(conversation, entry, Inner(1, 0, seq, b"?" * 32, b""))
    conversation.received = 40
    for seq in (30, 31, 32):
        histories.claim(conversation, entry, Inner(1, 0, seq, b"?" * 32, b""))
    assert [request.seq for request in histories.requests()] == [30, 31]
    assert [seq for _, seq in histories._claims] == [51, 52]
    histories.count(entry, conversation, 0)
    assert conversation.senders[bob.machine.device_id].highest == 1


# --- What waits --------------------------------------------------------------------------


def test_controls_of_unknown_devices_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls_module, "MAX_WAITING", 1)
    server, alice, bob = two()
    controls = alice.machine._receiving.controls
    entry = replace(_entries(alice)[-1], stream=alice.machine.device_id, sender_device=bytes(16))
    for sender in (bob.machine.account_id, bob.machine.account_id, bytes(16)):
        controls.take(replace(entry, sender_account=sender), server.now)
    assert len(controls._waiting) == 1
    controls.retry(alice.machine.account_id, server.now)
    assert len(controls._waiting) == 1
    controls.retry(bob.machine.account_id, server.now)
    assert controls._waiting == []
    controls.take(replace(entry, sender_device=alice.machine.device_id), server.now)
    known = replace(
        entry, sender_account=bob.machine.account_id, sender_device=bob.machine.device_id
    )
    controls.take(replace(known, part=None), server.now)
    controls.take(replace(known, part=b"\x01?"), server.now)
    assert alice.events[-1].code != MessageUnreadable.code


def test_requests_of_strangers_and_beyond_bounds_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    server, alice, bob = two()
    repairing = alice.machine._repairing
    (identity,) = alice.machine.contacts[bob.machine.account_id].identities()
    repairing.asked(identity, ResendRequest(bytes(16), bytes(16), ""))
    assert repairing.requests() == []
    monkeypatch.setattr(repair_module, "_MAX_REMEMBERED", 1)
    ids = [alice.say("bob", text) for text in ("one", "two")]
    for message_id in ids:
        repairing.asked(identity, ResendRequest(bob.machine.account_id, message_id, ""))
        repairing.asked(identity, ResendRequest(bob.machine.account_id, message_id, ""))
    assert [request.message_id for request in repairing.requests()] == ids[:1]
    alice.settle()
    repairing.asked(identity, ResendRequest(bob.machine.account_id, ids[1], ""))
    alice.settle()
    assert len(repairing._resent) == 1
    message = alice.store.messages[bob.machine.account_id, alice.machine.device_id, ids[0]]
    alice.machine.loaded(ids[0], message, server.now)  # nobody asked
    alice.machine.loaded(ids[0], None, server.now)
    assert alice.machine.waiting == 0


def test_what_an_older_program_opened_is_asked_for() -> None:
    server, alice, bob = two()
    bob.pull()
    alice.say("bob", "new")
    entry = _entries(bob)[-1]
    future = replace(entry, envelope=replace(entry.envelope, format=2))
    bob.machine.pushed(PushEntry(future), server.now)
    bob.settle()
    assert [e.reason for e in heard(bob, MessageUnreadable)] == [Reason.NEWER_FORMAT]
    # The newer program knows the format, and the key was used by the older one.
    (key,) = bob.machine._memory.held
    held = bob.machine._memory.held[key]
    bob.machine._memory.sessions(bob.machine.contacts[alice.machine.account_id].identities()[0])
    opening = bob.machine._receiving._opening
    genesis = bob.machine._memory.conversations[alice.machine.account_id].genesis
    from parlour.conversation.genesis import hash_of

    identity = bob.machine._memory.identity_of(entry)
    assert identity is not None
    opening.open(entry, identity, hash_of(genesis), server.now)
    bob.machine._memory.held[key] = replace(held, entry=entry)
    bob._write()
    bob.machine._memory.put_held(replace(held, entry=entry))
    bob._write()
    bob.restart()
    bob.connect()
    assert [e.reason for e in heard(bob, MessageUnreadable)][1:] == [Reason.TOO_OLD]
    alice.pull()
    bob.pull()
    assert bob.texts() == ["hello", "new"]


def test_a_newer_program_reads_what_an_older_one_kept() -> None:
    server, alice, bob = two()
    bob.pull()
    alice.say("bob", "new")
    entry = _entries(bob)[-1]
    bob.machine.pushed(
        PushEntry(replace(entry, envelope=replace(entry.envelope, suite=0x100))), server.now
    )
    bob.settle()
    (held,) = bob.machine._memory.held.values()
    bob.machine._memory.put_held(replace(held, entry=entry))
    bob._write()
    bob.restart()
    bob.connect()
    assert bob.texts() == ["hello", "new"]
    assert not bob.machine._memory.held
    received = [e.message.seq for e in heard(bob, MessageReceived)]
    assert received == [1, 3]


def test_refused_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "MAX_REFUSED", 2)
    _, alice, _ = two()
    for number in range(4):
        alice.machine._memory.refuse(bytes((number,)) * 16)
    assert len(alice.machine._memory.refused) == 2


def test_deleting_what_is_not_there_changes_nothing() -> None:
    _, alice, _ = two()
    alice.machine.changes()
    alice.machine._memory.delete_held(b"no")
    alice.machine._memory.delete_outgoing(b"no")
    assert alice.machine.changes() == []
    assert SenderCount() == SenderCount(0, 0, [], 0)


def test_answers_that_come_twice_are_left() -> None:
    server, alice, bob = two()
    alice.machine._upkeep.published()
    alice.machine._upkeep._maintained_at = None
    assert alice.machine._upkeep.next_timeout(online=False) is None
    assert bob.machine.next_timeout() is not None
    assert server.now


def test_a_cleared_key_change_is_told_by_no_push() -> None:
    """A machine whose device list answers stay away still comes to rest."""
    server, alice, bob = two()

    def late(device_id, kind, body, answer):  # type: ignore[no-untyped-def]
        raise error(Code.NETWORK_TIMEOUT)

    server.answer = late
    alice.connect()
    alice.say("bob", "waits")
    assert blocks(alice) == []
    assert alice.machine.next_timeout() is not None
    server.answer = lambda device_id, kind, body, answer: answer
    alice.wait(60_000)
    bob.pull()
    assert bob.texts() == ["hello", "waits"]
