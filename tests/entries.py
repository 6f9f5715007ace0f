"""Entries of device lists as they leave a device: recorded at its door, and lost behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from parlour.client import devices, hosting, passwords, recovery, recovery_keys
from parlour.client.connection import Connection
from parlour.identity.device_list import DeviceListEntry

SIGNING = (devices, hosting, passwords, recovery, recovery_keys)


def entry_of(body: Any) -> bytes | None:
    """The entry that a request carries, whatever the request is."""
    found: bytes | None = getattr(body, "entry", None) or getattr(body, "device_list_entry", None)
    return found


@dataclass
class Door:
    """What has left. While `faults` lasts, its next one is raised instead of passing one on."""

    entries: list[DeviceListEntry] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        """Of what has left, in order and each once; raises for two entries of one number."""
        seen: dict[int, bytes] = {}
        for entry in self.entries:
            assert seen.setdefault(entry.number, entry.hash()) == entry.hash(), entry.number
        return list(seen)


@contextmanager
def door() -> Iterator[Door]:
    """Record what leaves in here; a server that keeps an entry and says nothing has it, too."""
    here, request = Door(), Connection.request

    async def watched(self: Connection, kind: Any, body: Any) -> Any:
        entry = entry_of(body)
        if entry is not None:
            here.entries.append(DeviceListEntry.decode(entry))
            if here.faults:
                raise here.faults.pop(0)
        return await request(self, kind, body)

    with patch.object(Connection, "request", watched):
        yield here


def note_entries(file: Path) -> None:
    """From now on write down what is about to leave this process: number and hash in a line.

    Each process signs at a time of its own, so that no two sign the same bytes by chance.
    """
    begin_late(len(file.read_text().splitlines()) if file.exists() else 0)
    request: Callable[..., Any] = Connection.request

    async def noted(self: Connection, kind: Any, body: Any) -> Any:
        entry = entry_of(body)
        if entry is not None:
            read = DeviceListEntry.decode(entry)
            with file.open("a") as lines:
                lines.write(f"{read.number} {read.hash().hex()}\n")
        return await request(self, kind, body)

    setattr(Connection, "request", noted)  # noqa: B010


def begin_late(seconds: int) -> None:
    """From now on, what signs entries here sees a clock that is so much later."""
    for module in SIGNING:
        setattr(module, "time", _Later(seconds))  # noqa: B010


@contextmanager
def ticking() -> Iterator[None]:
    """What signs entries in here sees another second each time that it looks."""
    with ExitStack() as stack:
        for module in SIGNING:
            stack.enter_context(patch.object(module, "time", _Later(0, step=1)))
        yield


class _Later:
    """A clock in place of the module `time`."""

    def __init__(self, seconds: int, step: int = 0) -> None:
        self._seconds = seconds
        self._step = step

    monotonic = staticmethod(time.monotonic)

    def time(self) -> float:
        self._seconds += self._step
        return time.time() + self._seconds


def signed_once(lines: Sequence[str]) -> bool:
    """Whether of what `note_entries` wrote no two are different entries of one number."""
    return len({line.split()[0] for line in lines}) == len(set(lines)) > 0
