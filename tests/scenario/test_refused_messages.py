"""A server that refuses what is said: it is told, and keeps nothing else."""

from __future__ import annotations

from parlour.conversation.events import HistoryMismatch, MessageMissing, SendingBlocked
from parlour.errors import Code, error
from parlour.wire.kinds import Kind
from parlour.wire.streams import Appended
from tests.scenario.lies import behave, lie
from tests.scenario.people import blocks, heard, two


def test_the_server_refuses_parts_for_ever() -> None:
    server, alice, bob = two()
    appends = 0

    def refuse(answer: Appended) -> Appended:
        nonlocal appends
        appends += 1
        raise error(Code.STREAM_PARTS)

    lie(server, Kind.APPEND, refuse, to=alice)
    alice.say("bob", "hello?")
    assert appends == 2  # once more at once, then with pauses
    assert blocks(alice) == [Code.STREAM_PARTS]
    behave(server)
    alice.wait(60_000)
    bob.pull()
    assert bob.texts() == ["hello", "hello?"]
    assert heard(bob, HistoryMismatch) == []
    bob.say("alice", "I am here")
    alice.pull()
    alice.say("bob", "fine")
    bob.pull()
    assert heard(bob, HistoryMismatch) == heard(alice, HistoryMismatch) == []


def test_what_waits_behind_a_refused_message_stays_behind_it() -> None:
    server, alice, bob = two()
    first = True

    def limit(answer: Appended) -> Appended:
        nonlocal first
        if first:
            first = False
            for stream in server.streams.values():
                stream.entries[:] = [
                    s for s in stream.entries if s.entry.client_id != answer.client_id
                ]
                stream.by_client_id.pop((alice.machine.device_id, answer.client_id), None)
            limited = error(Code.LIMIT_RATE)
            limited.retry_after = 5_000
            raise limited
        return answer

    lie(server, Kind.APPEND, limit, to=alice)
    alice.say("bob", "one")
    alice.say("bob", "two")
    bob.pull()
    assert bob.texts() == ["hello"]
    alice.wait(4_000)
    bob.pull()
    assert bob.texts() == ["hello"]  # the server asked for five seconds
    alice.wait(2_000)
    bob.pull()
    assert bob.texts() == ["hello", "one", "two"]
    assert heard(bob, MessageMissing) == []
    assert heard(alice, SendingBlocked) == []
