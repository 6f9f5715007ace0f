"""People for stories, and what they heard."""

from __future__ import annotations

from typing import TypeVar

from parlour.conversation.events import Event, SendingBlocked
from parlour.errors import Code
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer

E = TypeVar("E", bound=Event)


def two() -> tuple[MemoryServer, MemoryDevice, MemoryDevice]:
    """Alice and Bob, who have spoken and are both online."""
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    alice.connect()
    bob.connect()
    alice.say("bob", "hello")
    bob.pull()
    bob.say("alice", "hello to you")
    alice.pull()
    return server, alice, bob


def strangers() -> tuple[MemoryServer, MemoryDevice, MemoryDevice]:
    """Alice and Bob, who are online and have not spoken."""
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    alice.connect()
    bob.connect()
    return server, alice, bob


def heard(device: MemoryDevice, kind: type[E]) -> list[E]:
    """The events of one kind."""
    return [event for event in device.events if isinstance(event, kind)]


def blocks(device: MemoryDevice) -> list[Code]:
    """Why sending was blocked."""
    return [event.reason for event in heard(device, SendingBlocked)]


def meet_again(*devices: MemoryDevice) -> None:
    """Everybody connects anew, and time passes for all to come to rest."""
    for device in devices:
        device.connect()
    for _ in range(4):
        for device in devices:
            device.pull()
            device.wait(70_000)
