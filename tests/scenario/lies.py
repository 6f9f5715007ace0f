"""Ways for a model of a server to lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.kinds import Kind
from parlour.wire.streams import Entry

Change = Callable[[Any], Struct]


def lie(server: MemoryServer, kind: Kind, change: Change, to: MemoryDevice | None = None) -> None:
    """Change the answers to requests of one kind."""

    def answer(device_id: bytes, asked: Kind, body: Struct, honest: Struct) -> Struct:
        meant = to is None or to.machine.device_id == device_id
        return change(honest) if asked is kind and meant else honest

    server.answer = answer


def behave(server: MemoryServer) -> None:
    """Lie no more."""
    server.answer = lambda device_id, kind, body, answer: answer
    server.deliver = lambda entry, device_id: [entry]


def deliver(server: MemoryServer, change: Callable[[Entry], list[Entry]], to: MemoryDevice) -> None:
    """Change the entries that one device gets."""
    server.deliver = lambda entry, device_id: (
        change(entry) if device_id == to.machine.device_id else [entry]
    )
