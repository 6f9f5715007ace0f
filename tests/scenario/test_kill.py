"""The process dies between any two steps: nothing is lost, nothing is there twice."""

from __future__ import annotations

from collections.abc import Callable

from parlour.conversation.changes import MessageState
from parlour.conversation.events import (
    ContactAdded,
    MessageReceived,
    MessageSent,
    RequestReceived,
)
from parlour.testing.device import Killed, MemoryDevice
from parlour.testing.memory_server import MemoryServer
from tests.nonces import recorded


class Killer:
    """Counts the steps of a device, and kills it at one of them."""

    def __init__(self, at: int) -> None:
        self.steps = 0
        self.at = at

    def __call__(self, step: str) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise Killed


def _alive(device: MemoryDevice, act: Callable[[], object]) -> None:
    """Do something, and when the device dies of it, start it again and connect."""
    try:
        act()
    except Killed:
        device.restart()
        device.connect()


def _say(device: MemoryDevice, name: str, text: str) -> None:
    """Say something unless it was written down before the device died."""
    _alive(device, lambda: device.say(name, text))
    said = [
        message
        for message in device.store.messages.values()
        if message.content and text.encode() in message.content
    ]
    if not said:
        device.say(name, text)


def _story(victim: str, at: int) -> int:
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    devices = {"alice": alice, "bob": bob}
    killer = Killer(at)
    devices[victim].fault = killer
    for device in (alice, bob):
        _alive(device, device.connect)
    _say(alice, "bob", "hello")
    _say(alice, "bob", "are you there?")
    _alive(bob, bob.pull)
    _say(bob, "alice", "I am")
    _alive(alice, alice.pull)
    _say(alice, "bob", "good")
    _alive(bob, bob.pull)
    for device in (alice, bob):
        device.fault = lambda step: None
        device.connect()
        device.wait(60_000)
    assert bob.texts() == ["hello", "are you there?", "good"]
    assert alice.texts() == ["I am"]
    for device in (alice, bob):
        states = {message.state for message in device.store.messages.values()}
        assert states == {MessageState.SENT, MessageState.RECEIVED}
        assert len(device.store.undelivered) == len(device.texts())
        assert not device.machine.waiting
        received = [event for event in device.events if isinstance(event, MessageReceived)]
        assert len(received) <= len(device.texts())
        usual = MessageSent | MessageReceived | ContactAdded | RequestReceived
        assert [event for event in device.events if not isinstance(event, usual)] == []
    return killer.steps


def _kill_everywhere(victim: str) -> int:
    with recorded() as pairs:
        steps = _story(victim, at=0)
    assert len(set(pairs)) == len(pairs)
    for at in range(1, steps + 1):
        with recorded() as pairs:
            _story(victim, at)
        assert len(set(pairs)) == len(pairs)
    return steps


def test_the_one_who_begins_may_die_at_every_step() -> None:
    assert _kill_everywhere("alice") > 40


def test_the_one_who_answers_may_die_at_every_step() -> None:
    assert _kill_everywhere("bob") > 40


def _gone_back(turn: bool) -> tuple[MemoryDevice, MemoryDevice]:
    """Alice's home is put back to before what she said last, and she says something else."""
    with recorded() as pairs:
        server = MemoryServer()
        alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
        alice.connect()
        bob.connect()
        alice.say("bob", "first")
        bob.pull()
        bob.say("alice", "second")
        alice.pull()
        if not turn:
            alice.say("bob", "within a chain")
        backup = alice.store.copy()
        alice.say("bob", "third")
        bob.pull()
        alice.store = backup
        alice.restart()
        alice.connect()
        alice.say("bob", "fourth")
        bob.pull()
        alice.pull()
        bob.pull()
    assert len(set(pairs)) == len(pairs)
    return alice, bob


def test_a_copy_of_an_old_state_never_repeats_a_key_and_nonce() -> None:
    """A message key that was used before seals under another key: its salt is another one."""
    _, bob = _gone_back(turn=False)
    assert bob.texts() == ["first", "within a chain", "third", "fourth"]


def test_a_copy_that_took_another_turn_is_repaired() -> None:
    _, bob = _gone_back(turn=True)
    assert bob.texts() == ["first", "third", "fourth"]
    assert {message.state for message in bob.store.messages.values()} == {
        MessageState.SENT,
        MessageState.RECEIVED,
    }
