"""What stories of two people, and of one person's devices, share: conversations of a fixed kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from parlour.conversation.groups.view import GroupView
from parlour.conversation.records import Conversation
from parlour.errors import Code
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.envelope import SuiteId
from parlour.wire.push import PushStream
from parlour.wire.streams import Entry, StreamInfo
from tests.scenario.people import blocks

ELSEWHERE = bytes(15) + b"\1"
"""The incarnation of a server whose data is from a backup."""


def settle(*devices: MemoryDevice, rounds: int = 4) -> None:
    """Let everybody take in what came."""
    for _ in range(rounds):
        for device in devices:
            device.pull()
        for device in devices:
            device.wait(1_000)


def at_once(devices: Sequence[MemoryDevice], first: int) -> None:
    """All make their requests before any of them reaches the server; then one is first."""
    for _ in range(4):
        asked = [(device, device.machine.outgoing(device.server.now)) for device in devices]
        for device, requests in asked if first == 0 else asked[::-1]:
            device._write()
            for request in requests:
                device._answer(request)
                device._write()


def conversation(device: MemoryDevice, peer: MemoryDevice) -> Conversation:
    """The conversation of a device with another account, or with the devices of its own."""
    return device.machine._memory.conversations[peer.machine.account_id]


def view(device: MemoryDevice, peer: MemoryDevice) -> GroupView:
    """The group that such a conversation is."""
    found = device.machine.direct_group(peer.machine.account_id)
    assert found is not None
    return found


def named(server: MemoryServer, device: MemoryDevice, info: StreamInfo) -> list[Code]:
    """What a device says to a stream that it is told of."""
    before = len(blocks(device))
    device.machine.pushed(PushStream(info), server.now)
    device.settle()
    return blocks(device)[before:]


# --- Servers ---------------------------------------------------------------------------------


def lose(server: MemoryServer, stream: bytes) -> None:
    """The server's data is from a backup that does not know a conversation."""
    del server.streams[stream], server.groups.groups[stream]
    server.incarnation = ELSEWHERE


def turned(data: bytes) -> bytes:
    """The same with its last bit turned."""
    return data[:-1] + bytes([data[-1] ^ 1])


def spoil_messages(reader: MemoryDevice, change: Callable[[bytes], bytes]) -> None:
    """A device is shown other ciphertexts of what was said on MLS."""

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        if entry.envelope.suite != SuiteId.MLS_MESSAGE or device_id != reader.machine.device_id:
            return [entry]
        body = change(entry.envelope.body)
        return [replace(entry, envelope=replace(entry.envelope, body=body))]

    reader.server.deliver = deliver
