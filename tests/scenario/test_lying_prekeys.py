"""A server that lies about prekeys: nothing goes to a wrong key, and honesty mends it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import (
    DeviceLeftOut,
    MessageMissing,
    MessageUnreadable,
    ServerMisbehaved,
)
from parlour.conversation.reasons import Reason
from parlour.errors import Code
from parlour.testing.device import MemoryDevice
from parlour.wire.kinds import Kind
from parlour.wire.prekeys import Bundles
from tests.scenario.lies import Change, behave, lie
from tests.scenario.people import blocks, heard, meet_again, strangers, two


def _bundle(**fields: Any) -> Change:
    def change(answer: Bundles) -> Bundles:
        return Bundles([replace(bundle, **fields) for bundle in answer.bundles])

    return change


def test_a_bundle_without_its_kem_prekey_is_a_downgrade() -> None:
    server, alice, bob = strangers()
    lie(server, Kind.FETCH_BUNDLES, _bundle(kem=None))
    alice.say("bob", "hello")
    assert blocks(alice) == [Code.PREKEY_DOWNGRADE]
    alice.wait(70_000)
    assert blocks(alice) == [Code.PREKEY_DOWNGRADE]  # told once
    assert not any(stream.entries for stream in server.streams.values())
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello"]


def test_a_prekey_of_somebody_else_is_refused() -> None:
    server, alice, bob = strangers()
    mallory = MemoryDevice(server, "mallory")
    stolen = server.prekeys[mallory.machine.device_id]
    lie(server, Kind.FETCH_BUNDLES, _bundle(signed=stolen[0]))
    alice.say("bob", "hello")
    assert blocks(alice) == [Code.CRYPTO_SIGNATURE]
    lie(server, Kind.FETCH_BUNDLES, _bundle(signed=replace(stolen[0], data=b"?")))
    alice.connect()
    assert blocks(alice) == [Code.CRYPTO_SIGNATURE, Code.SERVER_MISBEHAVED]
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello"]


def test_a_bundle_of_a_device_that_is_not_listed_is_refused() -> None:
    server, alice, bob = strangers()
    lie(server, Kind.FETCH_BUNDLES, _bundle(device_id=bytes(16)))
    alice.say("bob", "hello")
    assert blocks(alice) == [Code.SERVER_MISBEHAVED]
    assert [event.what for event in heard(alice, ServerMisbehaved)] == ["bundles"]
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello"]


def test_no_bundle_is_asked_for_again_with_pauses() -> None:
    server, alice, bob = strangers()
    asked = 0

    def none(answer: Bundles) -> Bundles:
        nonlocal asked
        asked += 1
        return Bundles([])

    lie(server, Kind.FETCH_BUNDLES, none)
    alice.say("bob", "hello")
    assert asked == 1
    assert blocks(alice) == [Code.PREKEY_NONE]
    behave(server)
    alice.wait(60_000)
    bob.pull()
    assert bob.texts() == ["hello"]


def test_a_one_time_prekey_that_was_given_out_twice_is_mended() -> None:
    server, alice, bob = strangers()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    kept: list[Bundles] = []

    def same(answer: Bundles) -> Bundles:
        kept.append(answer)
        return kept[0]

    lie(server, Kind.FETCH_BUNDLES, same)
    alice.say("bob", "from alice")
    carol.say("bob", "from carol")
    behave(server)
    bob.pull()
    assert len(bob.texts()) == 1
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.PREKEY_USED]
    for asked in (alice, carol):
        asked.pull()  # one of them is asked, and sends it again
    bob.pull()
    assert sorted(bob.texts()) == ["from alice", "from carol"]
    carol.say("bob", "more")
    bob.pull()
    assert bob.texts()[-1] == "more"
    assert heard(bob, MessageMissing) == []


def test_the_hidden_prekeys_of_one_device_do_not_stop_the_others() -> None:
    server, alice, bob = strangers()
    tablet = MemoryDevice(server, "bob", seed="tablet", beside=bob)
    tablet.connect()
    hidden = tablet.machine.device_id
    lie(
        server,
        Kind.FETCH_BUNDLES,
        lambda answer: Bundles([b for b in answer.bundles if b.device_id != hidden]),
        to=alice,
    )
    alice.say("bob", "hello")
    bob.pull()
    assert bob.texts() == ["hello"]
    assert [event.device_id for event in heard(alice, DeviceLeftOut)] == [hidden]
    tablet.pull()
    assert [event.reason for event in heard(tablet, MessageUnreadable)] == [Reason.NO_PART]
    behave(server)
    alice.pull()
    alice.wait(3_600_000)
    tablet.pull()
    assert tablet.texts() == ["hello"]


def test_false_counts_of_prekeys_cost_one_upload_each() -> None:
    server, alice, _ = two()
    uploads = 0

    def count(answer: Struct) -> Struct:
        nonlocal uploads
        uploads += 1
        return answer

    lie(server, Kind.PUBLISH_PREKEYS, count, to=alice)
    for _ in range(15):
        started = server.live_start(alice.machine.device_id, alice.machine.positions())
        alice.machine.connected(replace(started, prekeys_left=0), server.now)
        alice.settle()
    assert uploads == 15
    largest = len(max(alice.store.records["prekeys"].values()))  # type: ignore[index]
    assert largest < 200_000
