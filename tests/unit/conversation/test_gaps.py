"""Answers about gaps that come late."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from parlour.conversation.gaps import Gaps
from parlour.conversation.records import Conversation
from parlour.conversation.state import Memory
from parlour.wire.streams import Page, Read

STREAM = b"s" * 16


def test_a_stream_that_was_left_while_it_was_asked_for() -> None:
    conversation = Conversation(peer=STREAM, stream=b"", genesis=b"")
    inbox = SimpleNamespace(received=0, gaps=[])
    memory = SimpleNamespace(device_id=b"d" * 16, inbox=inbox, conversations={STREAM: conversation})
    gaps = Gaps(cast(Memory, memory))
    asked = Read(STREAM, 3, 10)
    assert gaps.wanted(asked, Page(entries=[], more=False)) == []
    gaps.asked(asked)
    assert gaps.requests() == []
