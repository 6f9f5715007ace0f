"""Whole entries, pages and answers to a running machine: it never raises, and stays well."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from parlour.conversation.machine import Machine
from parlour.conversation.requests import LoadHash, LoadMessage
from parlour.errors import ParlourError
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.testing.randomness import seeded
from parlour.wire.body import Body
from parlour.wire.directory import DeviceListPage
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.prekeys import Bundles
from parlour.wire.push import PushEntry, PushStream
from parlour.wire.streams import Appended, CaughtUp, Entry, StreamInfo


def _story() -> tuple[MemoryDevice, list[bytes]]:
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    alice.connect()
    bob.connect()
    alice.say("bob", "one")
    bob.pull()
    bob.say("alice", "two")
    alice.pull()
    alice.say("bob", "three")
    stream = bob.machine.positions()[-1].stream
    entries = server.entries_for(bob.machine.device_id, stream, 2)
    info = server.streams[stream].info
    account = server.accounts[alice.machine.account_id]
    page = DeviceListPage(account.account_id, "alice", 0, account.entries, False)
    seeds = [
        b"e" + encode_body(entries[0]),
        b"e" + encode_body(replace(entries[0], stream=bob.machine.device_id, seq=1)),
        b"s" + encode_body(info),
        b"p" + encode_body(CaughtUp([info], entries, True)),
        b"d" + encode_body(page),
        b"b" + encode_body(Bundles([])),
        b"a" + encode_body(Appended(stream, bytes(16), 4, server.now, False)),
    ]
    bob.machine.send(alice.machine.account_id, bob.content("waiting"), server.now)
    bob._write()
    return bob, seeds


_BOB, SEEDS = _story()
_NOW: Final = _BOB.server.now
_ANSWERS: Final[dict[bytes, type[Body]]] = {
    b"p": CaughtUp,
    b"d": DeviceListPage,
    b"b": Bundles,
    b"a": Appended,
}


def target(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    machine = Machine(_BOB.store.records, _NOW, random=seeded(0))
    started = _BOB.server.live_start(machine.device_id, machine.positions())
    machine.connected(replace(started, streams=[], entries=[]), _NOW)
    if kind == b"e":
        machine.pushed(PushEntry(decode_body(rest, Entry)), _NOW)
    elif kind == b"s":
        machine.pushed(PushStream(decode_body(rest, StreamInfo)), _NOW)
    elif kind in _ANSWERS:
        answer = decode_body(rest, _ANSWERS[kind])
        machine.pushed(PushEntry(_unknown_stream()), _NOW)
        for request in machine.outgoing(_NOW):
            if not isinstance(request, LoadHash | LoadMessage):
                machine.answered(request, answer, _NOW)
        if isinstance(answer, DeviceListPage):
            try:
                machine.found(answer, _NOW)
            except ParlourError:
                return
    machine.outgoing(_NOW)
    Machine(_written(machine), _NOW, random=seeded(0))


def _unknown_stream() -> Entry:
    return replace(
        _BOB.server.entries_for(_BOB.machine.device_id, _BOB.machine.positions()[-1].stream, 0)[0],
        stream=b"?" * 16,
    )


def _written(machine: Machine):  # type: ignore[no-untyped-def]
    store = _BOB.store.copy()
    store.apply(machine.changes())
    return store.records
