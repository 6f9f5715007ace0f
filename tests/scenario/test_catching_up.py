"""Pushes that come while a page is on its way: the page may have been read before them."""

from __future__ import annotations

import pytest
from msgspec import Struct

from parlour.conversation.requests import ServerRequest
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.kinds import Kind
from parlour.wire.push import PushEntry, PushResync
from parlour.wire.streams import Entry
from tests.scenario.people import two


def newest(server: MemoryServer, device: MemoryDevice, peer: MemoryDevice) -> Entry:
    """The last entry of what two have said."""
    conversation = device.machine._memory.conversations[peer.machine.account_id]
    return server.entries_for(device.machine.device_id, conversation.stream, 0)[-1]


def catch_ups(device: MemoryDevice) -> list[ServerRequest]:
    due = device.machine.outgoing(device.server.now)
    device._write()
    asked = [request for request in due if isinstance(request, ServerRequest)]
    return [request for request in asked if request.kind is Kind.CATCH_UP]


def push(device: MemoryDevice, entry: Entry) -> None:
    device.machine.pushed(PushEntry(entry), device.server.now)


def answer(device: MemoryDevice, request: ServerRequest) -> Struct:
    return device.server.request(device.machine.device_id, request.kind, request.body)


@pytest.mark.parametrize("dropped", [False, True])
def test_what_is_pushed_while_an_older_page_is_on_its_way_is_caught_up_with(dropped: bool) -> None:
    server, alice, bob = two()
    bob.say("alice", "lost on its way")
    bob.say("alice", "pushed")
    push(alice, newest(server, alice, bob))
    (request,) = catch_ups(alice)
    page = answer(alice, request)
    bob.say("alice", "one more")
    bob.say("alice", "and another one")
    if dropped:
        alice.machine.pushed(PushResync(), server.now)
    else:
        push(alice, newest(server, alice, bob))
    assert catch_ups(alice) == [], "one at a time"
    alice.machine.answered(request, page, server.now)
    alice.settle()
    assert alice.texts()[-4:] == ["lost on its way", "pushed", "one more", "and another one"]
    assert alice.machine.caught_up


def test_what_was_pushed_before_a_page_was_asked_for_makes_no_second_one() -> None:
    server, alice, bob = two()
    bob.say("alice", "lost on its way")
    bob.say("alice", "pushed")
    push(alice, newest(server, alice, bob))
    (request,) = catch_ups(alice)
    alice.machine.answered(request, answer(alice, request), server.now)
    assert catch_ups(alice) == []
    assert alice.texts()[-2:] == ["lost on its way", "pushed"]
