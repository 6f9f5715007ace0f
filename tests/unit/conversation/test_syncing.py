"""What a device takes from another one of its account, case by case."""

from __future__ import annotations

import msgspec
import pytest

from parlour.conversation import beginning
from parlour.conversation import content as contents
from parlour.conversation.beginning import Place, first_changes
from parlour.conversation.changes import Change, Message, MessageState, Namespace, PutRecord
from parlour.conversation.contact import Verification
from parlour.conversation.content import Text, Unknown
from parlour.conversation.decided import MOST_AHEAD
from parlour.conversation.events import DeviceAhead, KeyChanged, NamesDiffer, SettingChanged
from parlour.conversation.genesis import between
from parlour.conversation.records import Outgoing, Setting
from parlour.conversation.standing import Standing
from parlour.conversation.sync import (
    MAX_SETTING,
    MAX_SETTINGS,
    AnnouncedProfile,
    ContactSync,
    Forgotten,
    GroupSync,
    OwnProfileSync,
    ProfileKeyGiven,
    ReadUpTo,
    SettingSync,
    Sync,
)
from parlour.conversation.syncing import MAX_PENDING
from parlour.errors import Code, ParlourError
from parlour.identity.profile import MAX_VERSION
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.profiles import SealedProfile
from tests.scenario.people import heard, two

_KEY = b"k" * 32
LARGEST = (1 << 63) - 1


def known(device: MemoryDevice, name: str) -> ContactSync:
    """What that device says of a contact."""
    contact = device.machine.contact_named(name)
    assert contact is not None
    return device.machine._syncing._contact_sync(contact)


def take(device: MemoryDevice, *syncs: Sync) -> None:
    for sync in syncs:
        device.machine._syncing.take(sync, b"d" * 32, device.server.now)
    device.settle()


def test_settings_have_bounds() -> None:
    server, alice, _ = two()
    for key, value in (("", "x"), ("k" * 65, "x"), ("k", "x" * (MAX_SETTING + 1))):
        with pytest.raises(ParlourError) as caught:
            alice.machine.set_setting(key, value, server.now)
        assert caught.value.code is Code.LIMIT_SIZE
    for number in range(MAX_SETTINGS):
        alice.machine.set_setting(f"s{number}", "x", server.now)
    with pytest.raises(ParlourError) as caught:
        alice.machine.set_setting("more", "x", server.now)
    assert caught.value.code is Code.LIMIT_COUNT
    alice.machine.set_setting("s0", "y", server.now)
    take(alice, SettingSync("more", "x", server.now), SettingSync("s1", "z", server.now - 1))
    assert "more" not in alice.machine.settings
    assert alice.machine.settings["s1"] == "x"
    assert not heard(alice, SettingChanged)


def test_nothing_is_said_of_our_own_account() -> None:
    _, alice, bob = two()
    own = known(bob, "alice")
    take(alice, own, Forgotten(own.account_id, alice.server.now))
    assert alice.machine.contact_named("alice") is not None


def test_read_positions_of_unknown_conversations_are_passed_over() -> None:
    server, alice, bob = two()
    take(alice, ReadUpTo(b"x" * 16, 5))
    assert alice.machine.read_up_to(b"x" * 16) == 0
    alice.machine.mark_all_read(b"x" * 16, server.now)
    alice.machine.mark_all_read(bob.machine.account_id, server.now)
    take(alice, ReadUpTo(bob.machine.account_id, 1))
    assert alice.machine.read_up_to(bob.machine.account_id) == 2


def test_a_contact_that_was_forgotten_elsewhere_waits_with_what_is_newer() -> None:
    _, alice, bob = two()
    said = known(alice, "bob")
    stranger = msgspec.structs.replace(said, account_id=b"x" * 16, name="x", standing_at=100)
    syncs = alice.machine._memory.syncs
    take(alice, stranger, Forgotten(b"x" * 16, 50))
    assert isinstance(contents.decode(syncs[b"x" * 16]), ContactSync)
    take(alice, Forgotten(b"x" * 16, 200), stranger)
    assert isinstance(contents.decode(syncs[b"x" * 16]), Forgotten)
    take(alice, Forgotten(bob.machine.account_id, 1))
    assert alice.machine.contact_named("bob") is not None


@pytest.mark.parametrize(
    "poison",
    [
        {"standing": Standing.ACCEPTED, "standing_at": LARGEST},
        {"verified_at": LARGEST},
    ],
)
def test_what_is_dated_too_far_ahead_is_passed_over(poison: dict[str, object]) -> None:
    server, alice, bob = two()
    bob_id = bob.machine.account_id
    alice.machine.block(bob_id, server.now)
    before = alice.machine.contacts[bob_id]
    said = msgspec.structs.replace(known(alice, "bob"), **poison)
    take(alice, said, Forgotten(bob_id, LARGEST), SettingSync("colour", "red", LARGEST))
    assert alice.machine.contacts[bob_id] == before
    assert alice.machine.settings == {}
    assert [event.device_id for event in heard(alice, DeviceAhead)] == [b"d" * 32]
    stranger = msgspec.structs.replace(said, account_id=b"x" * 16, name="x")
    take(alice, stranger, Forgotten(b"x" * 16, LARGEST))
    assert b"x" * 16 not in alice.machine._memory.syncs


def test_what_was_decided_by_a_clock_that_has_been_put_right_does_not_stay() -> None:
    server, alice, bob = two()
    bob_id = bob.machine.account_id
    year = server.now + 12 * MOST_AHEAD
    alice.machine.set_setting("colour", "red", year)
    alice.machine.block(bob_id, year)
    alice.machine.verify(bob_id, year)
    take(alice, SettingSync("colour", "blue", server.now))
    assert alice.machine.settings == {"colour": "blue"}
    alice.machine.unblock(bob_id, server.now)
    alice.machine.verify(bob_id, server.now)
    contact = alice.machine.contacts[bob_id]
    assert (contact.standing_at, contact.verified_at) == (server.now, server.now)


def test_nobody_has_read_what_has_not_come() -> None:
    server, alice, bob = two()
    bob_id = bob.machine.account_id
    take(alice, ReadUpTo(bob_id, LARGEST))
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=alice, linked=True)
    assert tablet.machine.read_up_to(bob_id) == 2
    bob.say("alice", "more")
    alice.pull()
    alice.machine.mark_read(bob_id, 1, server.now)
    assert alice.machine.read_up_to(bob_id) == 1
    alice.machine.mark_all_read(bob_id, server.now)
    assert alice.machine.read_up_to(bob_id) == 3


def test_a_record_that_can_not_be_read_stops_nobody() -> None:
    _, alice, _ = two()
    alice.machine._memory.put_sync(b"x" * 16, b"no content")
    alice.restart()
    alice.connect()
    take(alice, Forgotten(b"x" * 16, 200))
    assert alice.machine._memory.syncs[b"x" * 16] == contents.encode(Forgotten(b"x" * 16, 200))


def test_what_was_handed_over_counts_from_now_if_its_clock_was_far_ahead() -> None:
    server, alice, bob = two()
    alice.machine.block(bob.machine.account_id, LARGEST - 1)
    alice.machine.set_setting("colour", "red", LARGEST - 1)
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=alice, linked=True)
    tablet.connect()
    contact = tablet.machine.contacts[bob.machine.account_id]
    assert (contact.standing, contact.standing_at) == (Standing.BLOCKED, server.now)
    later = MemoryDevice(server, "alice", seed="later", beside=alice)
    later.connect()
    later.machine.take_known(alice.machine.known(), server.now)
    later.settle()
    assert later.machine.settings == {"colour": "red"}
    assert not heard(later, DeviceAhead)


def test_there_is_room_for_so_many_that_are_not_known_yet() -> None:
    _, alice, _ = two()
    memory = alice.machine._memory
    memory.syncs.update({number.to_bytes(16): b"" for number in range(MAX_PENDING)})
    alice.machine._syncing._keep_pending(b"x" * 16, Forgotten(b"x" * 16, 1))
    assert b"x" * 16 not in memory.syncs


def test_a_decision_from_before_it_was_forgotten_does_not_come_back() -> None:
    server, alice, bob = two()
    before = known(alice, "bob")
    bob_id = bob.machine.account_id
    take(alice, Forgotten(bob_id, server.now + 5000))
    alice.meet("bob")
    take(alice, before)
    contact = alice.machine.contacts[bob_id]
    assert (contact.standing, contact.standing_at) == (Standing.STRANGER, server.now + 5000)
    alice.machine._syncing.settled(bob_id, server.now)
    assert alice.machine.contacts[bob_id] == contact


def test_no_device_gives_somebody_another_name() -> None:
    server, alice, bob = two()
    eve = MemoryDevice(server, "eve")
    eve.connect()
    eve.say("alice", "hi")
    alice.pull()
    bob_id, eve_id = bob.machine.account_id, eve.machine.account_id
    alice.machine.verify(bob_id, server.now)
    before = dict(alice.machine.contacts)
    bobs, eves = known(alice, "bob"), known(alice, "eve")
    verified = {"verified_key": eves.account_key, "verified_at": server.now + 1}
    for _ in range(2):
        take(alice, msgspec.structs.replace(bobs, name="bob2"))
        take(alice, msgspec.structs.replace(eves, name="bob", **verified))
        take(alice, msgspec.structs.replace(eves, name="bob", account_id=b"x" * 16, **verified))
        take(alice, msgspec.structs.replace(eves, name="alice", account_id=b"y" * 16, **verified))
    assert alice.machine.contacts == before
    assert not alice.machine._memory.syncs
    assert heard(alice, NamesDiffer) == [
        NamesDiffer(bob_id, "bob", "bob2"),
        NamesDiffer(eve_id, "eve", "bob"),
        NamesDiffer(b"x" * 16, "", "bob"),
        NamesDiffer(b"y" * 16, "", "alice"),
    ]


def test_a_fork_of_the_list_is_found_out() -> None:
    _, alice, bob = two()
    MemoryDevice(alice.server, "bob", seed="tablet", beside=bob)
    said = known(alice, "bob")
    forked = msgspec.structs.replace(said, list_number=1, list_hash=_KEY)
    take(alice, forked)
    alice.connect()
    take(alice, msgspec.structs.replace(said, list_number=0))
    assert [e.reason for e in alice.events if hasattr(e, "reason")] == [Code.DEVICE_LIST_INVALID]


def test_another_key_that_nobody_verified_is_told() -> None:
    _, alice, _ = two()
    take(alice, msgspec.structs.replace(known(alice, "bob"), account_key=_KEY))
    assert [event.stopped for event in heard(alice, KeyChanged)] == [False]


def _with_changed_key() -> tuple[MemoryDevice, bytes, ContactSync]:
    """Alice's device, which stopped at a changed key of Bob, and what it says of the old one."""
    server, alice, bob = two()
    bob_id = bob.machine.account_id
    alice.machine.verify(bob_id, server.now)
    said = known(alice, "bob")
    other = MemoryDevice(MemoryServer(), "bob", seed="other", account_id=bob_id)
    server.accounts[bob_id].entries = other.server.accounts[bob_id].entries
    alice.connect()
    alice.machine._directory.want(bob_id)
    alice.settle()
    assert alice.machine.contacts[bob_id].stopped
    return alice, bob_id, said


def test_accepting_on_one_device_accepts_on_the_other() -> None:
    alice, bob_id, said = _with_changed_key()
    offered = alice.machine.contacts[bob_id].key_to_verify().to_bytes()
    at = alice.server.now + 1
    accepted = msgspec.structs.replace(
        said, account_key=offered, verified_key=b"", verified_at=at, list_number=0
    )
    take(alice, accepted)
    contact = alice.machine.contacts[bob_id]
    assert not contact.stopped
    assert contact.verification is Verification.UNVERIFIED


def test_verifying_the_old_key_once_more_does_not_let_the_new_one_in() -> None:
    alice, bob_id, said = _with_changed_key()
    take(alice, msgspec.structs.replace(said, verified_at=alice.server.now + 1))
    assert alice.machine.contacts[bob_id].stopped


def _profile(version: int, key: bytes = _KEY, digest: bytes = b"d" * 32) -> AnnouncedProfile:
    return AnnouncedProfile(key, version, digest)


def test_what_an_account_says_of_its_profile_counts_more_than_what_our_devices_say() -> None:
    _, alice, bob = two()
    bob_id = bob.machine.account_id
    bobs = alice.machine._memory.profile(bob_id)
    for version, taken in ((3, 3), (2, 3), (MAX_VERSION, MAX_VERSION)):
        take(alice, msgspec.structs.replace(known(alice, "bob"), profile=_profile(version)))
        assert bobs.announced == taken
    profiles = alice.machine._profiles
    profiles.given(bob_id, _profile(MAX_VERSION))
    assert bobs.by_owner
    for version, taken in ((4, 4), (4, 4), (3, 4), (5, 5)):
        profiles.given(bob_id, _profile(version))
        assert bobs.announced == taken
    take(alice, msgspec.structs.replace(known(alice, "bob"), profile=_profile(6)))
    assert bobs.announced == 5


def test_an_older_profile_of_ours_is_passed_over() -> None:
    _, alice, _ = two()
    alice.machine.set_profile("Alice")
    alice.machine.set_profile("Alice", "again")
    alice.settle()
    alice.machine._profiles.stored(1, alice.server.now)
    own = alice.machine._memory.profiles[alice.machine.account_id]
    take(alice, OwnProfileSync(_profile(1, own.key)))
    profile = alice.machine.profile(alice.machine.account_id)
    assert profile is not None
    assert (profile.version, profile.status) == (2, "again")


@pytest.mark.parametrize("key", [b"\x00" * 32, b"\xff" * 32])
def test_of_two_profiles_at_once_the_larger_key_stays(key: bytes) -> None:
    _, alice, _ = two()
    alice.machine.set_profile("Alice", "here")
    alice.settle()
    own = alice.machine._memory.profiles[alice.machine.account_id]
    before = own.key
    take(alice, OwnProfileSync(_profile(1, key)))
    if key[0] == 0:
        # The other device's key was another one: perhaps because somebody has ours.
        assert (own.version, own.announced) == (2, 2)
        assert own.key not in (before, key)
    else:
        assert (own.version, own.announced, own.key) == (0, 1, key)


@pytest.mark.parametrize("digest", [b"\x00" * 32, b"\xff" * 32])
def test_of_two_profiles_at_once_under_one_key_the_larger_hash_stays(digest: bytes) -> None:
    _, alice, _ = two()
    alice.machine.set_profile("Alice", "here")
    alice.settle()
    own = alice.machine._memory.profiles[alice.machine.account_id]
    key = own.key
    take(alice, OwnProfileSync(_profile(1, own.key, digest)))
    assert (own.version, own.announced) == ((2, 2) if digest[0] == 0 else (0, 1))
    assert own.key == key


def test_an_answer_that_crossed_with_a_profile_of_our_own_is_passed_over() -> None:
    server, alice, _ = two()
    alice.machine.set_profile("Alice", "one")
    alice.settle()
    account_id = alice.machine.account_id
    before = server.profiles[account_id]
    alice.machine.set_profile("Alice", "two")
    alice.machine._profiles.answered(account_id, SealedProfile(before))
    alice.settle()
    profile = alice.machine.profile(account_id)
    assert profile is not None
    assert profile.status == "two"


def test_only_the_device_that_set_a_profile_sets_it_again() -> None:
    _, alice, _ = two()
    take(alice, OwnProfileSync(_profile(5)))
    own = alice.machine._memory.profiles[alice.machine.account_id]
    take(alice, OwnProfileSync(_profile(4, b"o" * 32)), OwnProfileSync(_profile(5, digest=_KEY)))
    take(alice, OwnProfileSync(_profile(5, digest=b"a" * 32)))
    assert (own.announced, own.digest, own.unsent) == (5, _KEY, False)


def test_what_a_backup_holds_is_taken_in_again() -> None:
    server, alice, bob = two()
    alice.machine.verify(bob.machine.account_id, server.now)
    alice.machine.set_setting("colour", "red", server.now)
    alice.machine.set_profile("Alice")
    alice.settle()
    kept = alice.machine.known()
    later = MemoryDevice(server, "alice", seed="later", beside=alice)
    later.connect()
    later.machine.take_known([*kept, contents.encode(Text("hi"))], server.now)
    later.settle()
    assert later.machine.settings == {"colour": "red"}
    assert later.machine.contacts[bob.machine.account_id].verification is Verification.VERIFIED
    assert later.machine.profile(later.machine.account_id) is not None
    assert later.machine.profile(b"x" * 16) is None


def _snapshot(**given: object) -> bytes:
    fields = {"version": 1, "incarnation": b"", "complete": True, "items": [], "places": []}
    return msgspec.msgpack.encode(beginning._Snapshot(**{**fields, **given}))  # type: ignore[arg-type]


def _begun(snapshot: bytes) -> list[Change]:
    _, alice, _ = two()
    memory = alice.machine._memory
    own = memory.contacts[memory.account_id]
    return first_changes(memory.own, own, memory.prekeys, snapshot)


def test_what_a_newer_program_put_into_a_snapshot_is_passed_over() -> None:
    newer = msgspec.msgpack.encode((1, 0x7F, "new"))
    damaged = msgspec.msgpack.encode((1, 0x60, "no contact"))
    changes = _begun(_snapshot(items=[newer, damaged], complete=False, incarnation=b"i" * 16))
    spaces = [change.namespace for change in changes if isinstance(change, PutRecord)]
    assert Namespace.SYNC not in spaces
    assert spaces.count(Namespace.SERVER) == 1


def test_a_conversation_in_a_snapshot_is_one_that_we_would_found() -> None:
    place = Place(b"p" * 16, b"s" * 16, between(b"1" * 16, b"2" * 16).encode(), 1, 1, b"", {}, 0)
    with pytest.raises(ParlourError) as caught:
        _begun(_snapshot(places=[place]))
    assert caught.value.code is Code.DECODE_MALFORMED


def test_what_programs_say_that_is_not_known_here_is_not_shown() -> None:
    server, alice, bob = two()
    newer = Unknown(1, 0x5F, msgspec.msgpack.encode((1, 0x5F, "new")))
    bob.machine._sending.send_silently(alice.machine.account_id, newer, server.now)  # type: ignore[arg-type]
    bob.settle()
    alice.pull()
    assert alice.texts() == ["hello to you"]
    assert {message.state for message in alice.store.messages.values()} == {
        MessageState.SENT,
        MessageState.RECEIVED,
    }


def test_old_notices_are_trimmed() -> None:
    server, alice, bob = two()
    alice.machine._sending.send_silently(
        bob.machine.account_id, ProfileKeyGiven(_profile(1)), server.now
    )
    alice.settle()

    def silent() -> list[Message]:
        return [m for m in alice.store.messages.values() if m.state is MessageState.SILENT]

    assert len(silent()) == 1
    alice.wait(31 * 24 * 3_600_000)
    assert not silent()


def test_reprs_say_nothing_of_what_is_in_them() -> None:
    _, alice, _ = two()
    for sync in (
        known(alice, "bob"),
        SettingSync("colour", "secret", 1),
        GroupSync(bytes(16), accepted=True, at=1, name="secret", salt=b"secret"),
        OwnProfileSync(_profile(1, b"secret" * 5 + b"!!")),
        ProfileKeyGiven(_profile(1, b"secret" * 5 + b"!!")),
    ):
        assert "secret" not in repr(sync)
    alice.machine.set_profile("secret")
    assert "secret" not in repr(alice.machine.profile(alice.machine.account_id))
    assert "secret" not in repr(Setting("secret", 1))
    assert "secret" not in repr(Outgoing(bytes(16), bytes(16), 1, 1, b"secret", sealed=b"secret"))
