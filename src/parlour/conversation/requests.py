"""What the machine wants from its shell: requests to the server, and look-ups in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from msgspec import Struct

from parlour.wire.kinds import Kind


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """Ask the server. `key` identifies the need: the machine has one of each under way at most.

    The shell hands the answer to `Machine.answered`, a failure to `Machine.failed`.
    """

    key: tuple[str, bytes]
    kind: Kind
    body: Struct

    def __repr__(self) -> str:
        return f"ServerRequest({self.kind.name}, {self.key[0]})"


@dataclass(frozen=True, slots=True)
class LoadMessage:
    """Give one of our own messages back from the store, to `Machine.loaded`."""

    key: tuple[str, bytes]
    conversation: bytes
    message_id: bytes


@dataclass(frozen=True, slots=True)
class LoadHash:
    """Give the hash of an entry back from the store, to `Machine.loaded_hash`."""

    key: tuple[str, bytes]
    stream: bytes
    seq: int


Request: TypeAlias = ServerRequest | LoadMessage | LoadHash
