"""Random walks of devices over a server that loses, repeats, delays and stops: all arrives once."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parlour.conversation.changes import Message, MessageState
from parlour.conversation.events import (
    ContactAdded,
    DevicesChanged,
    MessageReceived,
    MessageSent,
    RequestReceived,
    StandingChanged,
)
from parlour.errors import Code, error
from parlour.testing.device import Killed, MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.push import PushEntry
from tests.nonces import recorded

_FINE = (
    ContactAdded,
    DevicesChanged,
    MessageReceived,
    MessageSent,
    RequestReceived,
    StandingChanged,
)


class Walk:
    """Devices that do what a seed says."""

    def __init__(self, seed: int, names: list[str]) -> None:
        self.dice = random.Random(seed)
        self.server = MemoryServer()
        self.devices: list[MemoryDevice] = []
        first: dict[str, MemoryDevice] = {}
        for place, name in enumerate(names):
            device = MemoryDevice(self.server, name, seed=place, beside=first.get(name))
            first.setdefault(name, device)
            self.devices.append(device)
        self.names = list(first)
        self.count = 0

    def step(self) -> None:
        """Do one thing on one device; it may be interrupted."""
        device = self.dice.choice(self.devices)
        device.fault = self._fault()
        acts: list[tuple[Callable[[MemoryDevice], None], int]] = [
            (self.say, 6),
            (lambda item: item.connect(), 3),
            (lambda item: item.disconnect(), 1),
            (self.pull, 3),
            (lambda item: item.restart(), 1),
            (self.push_any, 2),
            (lambda item: item.wait(self.dice.choice([1, 700, 5_000, 90_000])), 2),
        ]
        act = self.dice.choices([act for act, _ in acts], [weight for _, weight in acts])[0]
        try:
            act(device)
        except Killed:
            device.restart()
        device.fault = lambda step: None

    def _fault(self) -> Callable[[str], None]:
        kind = self.dice.choice(["none", "none", "kill", "lose"])
        left = self.dice.randrange(12)

        def fault(step: str) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                return
            if kind == "kill" and left == -1:
                raise Killed
            if kind == "lose" and step.endswith("request"):
                # As on a socket: after what is lost, nothing more comes through.
                raise error(Code.NETWORK_TIMEOUT)

        return fault

    def say(self, device: MemoryDevice) -> None:
        other = self.dice.choice([name for name in self.names if name != device.name])
        contact = device.machine.contact_named(other)
        account_id = device.meet(other) if contact is None else contact.account_id
        for _ in range(self.dice.choice([1, 1, 3])):
            self.count += 1
            text = device.content(f"{self.count}")
            device.machine.send(account_id, text, self.server.now)
        device.settle()

    def pull(self, device: MemoryDevice) -> None:
        if device.online:
            device.pull()

    def push_any(self, device: MemoryDevice) -> None:
        """Entries pushed out of order, once more, or of streams that are not known yet."""
        if not device.online:
            return
        streams = [
            stream_id
            for stream_id, stream in self.server.streams.items()
            if stream_id == device.machine.device_id
            or (stream.info.kind == "direct" and device.machine.account_id in stream.info.members)
        ]
        entries = [
            entry
            for stream_id in streams
            for entry in self.server.entries_for(device.machine.device_id, stream_id, 0)
        ]
        for entry in self.dice.choices(entries, k=4) if entries else []:
            device.machine.pushed(PushEntry(entry), self.server.now)
            device.settle()

    def finish(self) -> None:
        """Everybody is online and nothing fails any more."""
        for device in self.devices:
            device.connect()
        for _ in range(6):
            for device in self.devices:
                device.pull()
                device.wait(70_000)

    def check(self) -> None:
        said = {
            message.key: message
            for device in self.devices
            for message in device.store.messages.values()
            if message.sender_device == device.machine.device_id
            and message.state is not MessageState.SILENT
        }
        for device in self.devices:
            assert not device.machine.waiting
            assert not device.store.records.get("outbox")  # type: ignore[call-overload]
            assert [e for e in device.events if not isinstance(e, _FINE)] == []
            assert len(set(device.store.undelivered)) == len(device.store.undelivered)
            self._check_messages(device, said)

    def _check_messages(
        self, device: MemoryDevice, said: dict[tuple[bytes, bytes, bytes], Message]
    ) -> None:
        own = device.machine.account_id
        messages = device.store.messages
        got: dict[bytes, list[Message]] = {}
        for key in device.store.undelivered:
            got.setdefault(key[1], []).append(messages[key])
        expected: dict[bytes, list[Message]] = {}
        for message in said.values():
            assert message.state is MessageState.SENT
            mine = message.sender_device == device.machine.device_id
            if own in (message.sender_account, message.conversation) and not mine:
                expected.setdefault(message.sender_device, []).append(message)
        assert got.keys() == expected.keys()
        for sender, sent in expected.items():
            by_stream: dict[bytes, list[int]] = {}
            for message in got[sender]:
                assert message.state is MessageState.RECEIVED
                assert message.seq is not None
                by_stream.setdefault(message.conversation, []).append(message.seq)
            assert all(numbers == sorted(numbers) for numbers in by_stream.values())
            assert sorted((m.message_id, m.content, m.seq) for m in sent) == sorted(
                (m.message_id, m.content, m.seq) for m in got[sender]
            )
        if len(self.devices) == len(self.names):
            for other in self.names:
                contact = device.machine.contact_named(other)
                peer = b"" if contact is None else contact.account_id
                numbers = [messages[key].seq for key in device.store.undelivered if key[0] == peer]
                assert numbers == sorted(numbers, key=lambda number: number or 0)


def _walk(seed: int, names: list[str], steps: int) -> None:
    with recorded() as pairs:
        walk = Walk(seed, names)
        for _ in range(steps):
            walk.step()
        walk.finish()
    walk.check()
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(
    "names",
    [["alice", "bob"], ["alice", "bob", "carol"], ["alice", "alice", "bob", "bob", "bob"]],
    ids=["two", "three", "many devices"],
)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_everything_arrives_once_and_in_order(names: list[str], seed: int) -> None:
    _walk(seed, names, 40)
