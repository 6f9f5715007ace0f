import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from msgspec import Struct

from parlour.client import engine as engine_module
from parlour.client.engine import Engine
from parlour.conversation.changes import Change, Message, MessageState, Namespace, PutRecord
from parlour.conversation.content import Text, encode
from parlour.conversation.events import (
    MessageReceived,
    MessageSent,
    MessageUnsent,
    SendingBlocked,
)
from parlour.conversation.requests import LoadHash, LoadMessage, Request, ServerRequest
from parlour.errors import Code, InternalError, ParlourError, StorageError, error
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.kinds import Kind
from parlour.wire.server import Nothing


class StubMachine:
    """Collects what it is told; wants what a test says."""

    def __init__(self, name: str = "first") -> None:
        self.name = name
        self.device_id = b"d" * 16
        self.said: list[Any] = []
        self.wanted: list[Request] = []
        self.events: deque[Any] = deque()
        self.unwritten: list[Change] = []
        self.heard: list[Any] = []
        self.online = True

    def say(self, value: str) -> str:
        self.unwritten.append(PutRecord(Namespace.OUTBOX, value.encode(), b""))
        return value

    def outgoing(self, now: int) -> list[Request]:
        wanted, self.wanted = self.wanted, []
        return wanted

    def changes(self) -> list[Change]:
        changes, self.unwritten = self.unwritten, []
        return changes

    def next_event(self) -> Any:
        return self.events.popleft() if self.events else None

    def answered(self, request: Request, answer: Struct, now: int) -> None:
        self.heard.append(answer)

    def failed(self, request: Request, problem: ParlourError, now: int) -> None:
        self.heard.append(problem.code)

    def loaded(self, message_id: bytes, message: Message | None, now: int) -> None:
        self.heard.append(message)

    def loaded_hash(self, stream: bytes, seq: int, digest: bytes | None) -> None:
        self.heard.append(digest)

    def disconnected(self) -> None:
        self.online = False


class StubStore:
    """Writes when the gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()
        self.failure: Exception | None = None
        self.new: list[Message] = []

    async def apply(self, changes: Sequence[Change]) -> list[Message]:
        self.begun.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.batches.append([cast(PutRecord, change).key for change in changes])
        return self.new

    async def records(self) -> dict[Namespace, dict[bytes, bytes]]:
        return {}

    async def message(self, key: tuple[bytes, bytes, bytes]) -> Message | None:
        return message(9)

    async def entry_hash(self, stream: bytes, seq: int) -> bytes | None:
        return b"hash"


class StubConnection:
    def __init__(self) -> None:
        self.requests = 0
        self.answer: Any = Nothing()
        self.gate = asyncio.Event()
        self.gate.set()

    async def request(self, kind: Kind, body: Struct) -> Struct:
        self.requests += 1
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return cast(Struct, self.answer)


REQUEST = ServerRequest(("append", b"m"), Kind.LOG_OUT, Nothing())


def message(number: int) -> Message:
    key = number.to_bytes(16)
    return Message(key, key, key, key, 1, 0, 0, MessageState.RECEIVED, b"")


class Bench:
    """An engine between stubs."""

    def __init__(self) -> None:
        self.store = StubStore()
        self.machine = StubMachine()
        self.connection = StubConnection()
        self.engine = Engine(self.store, cast(Any, self.machine), clock=lambda: 7)

    async def attach(self) -> None:
        await self.engine.attach(
            cast(Any, self.machine), self.connection, lambda _machine, _now: None
        )

    async def say(self, value: str) -> str:
        return await self.engine.step(lambda machine, now: cast(Any, machine).say(value))

    def want(self, *requests: Request) -> None:
        self.machine.wanted += requests


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> StubMachine:
    """The machine that is made from the disk after the first was dropped."""
    machine = StubMachine("second")
    monkeypatch.setattr(engine_module, "Machine", lambda *_args, **_options: machine)
    return machine


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_comes_while_it_writes_is_written_in_one_batch() -> None:
    bench = Bench()
    bench.store.gate.clear()
    steps = [asyncio.create_task(bench.say("a"))]
    await bench.store.begun.wait()
    steps += [asyncio.create_task(bench.say(value)) for value in "bcd"]
    await settle()
    assert not any(step.done() for step in steps)
    bench.store.gate.set()
    assert await asyncio.gather(*steps) == ["a", "b", "c", "d"]
    assert bench.store.batches == [[b"a"], [b"b", b"c", b"d"]]


async def test_requests_and_events_come_after_the_write() -> None:
    bench = Bench()
    await bench.attach()
    bench.store.gate.clear()
    bench.want(REQUEST)
    bench.machine.events.append(SendingBlocked(b"c", Code.PREKEY_NONE))
    step = asyncio.create_task(bench.say("a"))
    await bench.store.begun.wait()
    await settle()
    assert bench.connection.requests == 0
    assert not bench.engine.blocked
    bench.store.gate.set()
    await step
    await settle()
    assert bench.machine.heard == [Nothing()]
    assert bench.engine.blocked == {b"c": Code.PREKEY_NONE}


async def test_a_cancelled_step_is_written_all_the_same_and_once() -> None:
    bench = Bench()
    await bench.attach()
    bench.store.gate.clear()
    bench.want(REQUEST)
    step = asyncio.create_task(bench.say("a"))
    await bench.store.begun.wait()
    waiting = asyncio.create_task(bench.say("b"))
    await asyncio.sleep(0)
    for task in (step, waiting):
        task.cancel()
    await asyncio.gather(step, waiting, return_exceptions=True)
    assert step.cancelled()
    bench.store.gate.set()
    await bench.say("c")
    assert bench.store.batches == [[b"a"], [b"b", b"c"]]
    await settle()
    assert bench.machine.heard == [Nothing()]


async def test_a_step_that_is_cancelled_before_it_begins_does_nothing() -> None:
    bench = Bench()
    step = asyncio.create_task(bench.say("a"))
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    await bench.say("b")
    assert bench.store.batches == [[b"b"]]


async def test_after_a_failed_write_the_machine_is_made_again_from_the_disk(
    second: StubMachine,
) -> None:
    bench = Bench()
    await bench.attach()
    bench.connection.gate.clear()
    bench.want(REQUEST)
    await bench.say("a")
    bench.store.gate.clear()
    bench.store.begun.clear()
    bench.store.failure = StorageError(Code.STORE_FULL)
    bench.want(REQUEST)
    drops = bench.engine.dropped.count
    steps = [asyncio.create_task(bench.say("b"))]
    await bench.store.begun.wait()
    steps.append(asyncio.create_task(bench.say("c")))
    await settle()
    bench.store.gate.set()
    for result in await asyncio.gather(*steps, return_exceptions=True):
        assert isinstance(result, StorageError)
        assert result.code is Code.STORE_FULL
    assert bench.engine.dropped.count > drops
    assert bench.engine.trouble is not None
    # An answer to the old one changes nothing, and what it wanted last never left.
    bench.connection.gate.set()
    bench.store.failure = None
    assert await bench.say("d") == "d"
    await settle()
    assert cast(Any, bench.engine.machine) is second
    assert bench.connection.requests == 1
    assert bench.machine.heard == second.heard == []
    assert bench.store.batches == [[b"a"], [b"d"]]


async def test_a_bug_half_way_through_a_step_drops_the_machine(second: StubMachine) -> None:
    bench = Bench()

    def broken(machine: Any, now: int) -> None:
        machine.say("half")
        raise KeyError

    with pytest.raises(InternalError) as caught:
        await bench.engine.step(broken)
    assert caught.value.detail == "KeyError"
    await bench.say("whole")
    assert bench.store.batches == [[b"whole"]]
    assert cast(Any, bench.engine.machine) is second


async def test_what_a_step_raises_comes_after_its_write() -> None:
    bench = Bench()

    def refused(machine: Any, now: int) -> None:
        machine.say("kept")
        raise error(Code.ACCOUNT_UNKNOWN)

    with pytest.raises(ParlourError):
        await bench.engine.step(refused)
    assert bench.store.batches == [[b"kept"]]
    assert cast(Any, bench.engine.machine) is bench.machine


async def test_a_bug_in_the_drain_leaves_nobody_waiting(second: StubMachine) -> None:
    bench = Bench()
    cast(Any, bench.machine).outgoing = lambda now: 1 // 0
    with pytest.raises(InternalError):
        await bench.say("a")
    assert await bench.say("b") == "b"


async def test_a_machine_that_cannot_be_made_again_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    bench.store.failure = StorageError(Code.STORE_FULL)
    with pytest.raises(StorageError):
        await bench.say("a")
    bench.store.failure = None
    outcomes: list[Any] = [ValueError(), StorageError(Code.STORE_BROKEN), StubMachine()]

    def make(*_args: Any, **_options: Any) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(engine_module, "Machine", make)
    for code in (Code.INTERNAL_BUG, Code.STORE_BROKEN):
        with pytest.raises(ParlourError) as caught:
            await bench.say("b")
        assert caught.value.code is code
    assert await bench.say("c") == "c"


@pytest.mark.parametrize(
    ("failure", "code"),
    [(error(Code.LIMIT_RATE), Code.LIMIT_RATE), (ValueError("x"), Code.INTERNAL_BUG)],
)
async def test_the_machine_hears_of_every_request_that_fails(
    failure: Exception, code: Code
) -> None:
    bench = Bench()
    await bench.attach()
    bench.connection.answer = failure
    bench.want(REQUEST)
    await bench.say("a")
    await settle()
    assert bench.machine.heard == [code]


async def test_without_a_connection_requests_fail() -> None:
    bench = Bench()
    await bench.attach()
    await bench.engine.detach()
    assert not bench.machine.online
    bench.want(REQUEST)
    await bench.say("a")
    await settle()
    assert bench.machine.heard == [Code.NETWORK_CLOSED]


async def test_look_ups_in_the_store_are_answered() -> None:
    bench = Bench()
    bench.want(LoadMessage(("load", b"m"), b"c", b"m"), LoadHash(("hash", b"s"), b"s", 1))
    await bench.say("a")
    await settle()
    assert bench.machine.heard == [message(9), b"hash"]


async def test_a_connection_that_began_with_another_machine_is_refused() -> None:
    bench = Bench()
    other = cast(Any, StubMachine())
    with pytest.raises(ParlourError) as caught:
        await bench.engine.attach(other, bench.connection, lambda _machine, _now: None)
    assert caught.value.code is Code.NETWORK_CLOSED


async def test_only_messages_that_the_store_says_are_new_are_seen() -> None:
    bench = Bench()
    reader = bench.engine.feed.open()
    bench.store.new = [message(1)]
    bench.machine.events += [
        MessageReceived(message(1), Text("x")),
        MessageReceived(message(1), Text("again")),
        MessageReceived(message(2), Text("told before")),
    ]
    await bench.say("a")
    assert reader.take() == MessageReceived(message(1), Text("x"))
    assert reader.take() is None


async def test_messages_are_seen_in_the_order_of_the_store() -> None:
    """A request and the yes to it came with the first page, and one more message after the yes."""
    bench = Bench()
    reader = bench.engine.feed.open()
    said = encode(Text("said before the yes"))
    before = [replace(message(number), content=said) for number in (1, 2)]
    after, later = message(3), replace(message(4), content=said)
    bench.store.new = [*before, after, later]
    bench.machine.events += [MessageReceived(after, Text("said after it"))]
    await bench.say("a")
    seen = [reader.take() for _ in range(5)]
    shown = [event.message for event in seen if isinstance(event, MessageReceived)]
    assert shown == [*before, after, later]
    assert seen[4] is None


async def test_what_was_blocked_is_free_when_something_was_sent_or_a_person_acted() -> None:
    bench = Bench()
    conversation = message(1).conversation
    bench.machine.events.append(SendingBlocked(conversation, Code.PREKEY_NONE))
    await bench.say("a")
    assert bench.engine.blocked
    bench.machine.events.append(MessageSent(message(1)))
    await bench.say("b")
    assert not bench.engine.blocked
    bench.engine.blocked[conversation] = Code.ACCOUNT_KEY_CHANGED
    bench.engine.unblock(conversation)
    assert not bench.engine.blocked


async def test_what_will_not_be_sent_is_no_longer_blocked_and_waits_to_be_told() -> None:
    bench = Bench()
    conversation = message(1).conversation
    bench.machine.events.append(SendingBlocked(conversation, Code.PREKEY_NONE))
    bench.machine.events.append(MessageUnsent(message(1), Code.GROUP_OVER))
    await bench.say("a")
    assert not bench.engine.blocked
    assert bench.engine.unsent == {conversation: Code.GROUP_OVER}


async def test_closing_gives_requests_up_and_finishes_the_write() -> None:
    bench = Bench()
    await bench.attach()
    bench.connection.gate.clear()
    bench.want(REQUEST)
    await bench.say("a")
    await settle()
    bench.store.gate.clear()
    bench.store.begun.clear()
    step = asyncio.create_task(bench.say("b"))
    await bench.store.begun.wait()
    closing = asyncio.create_task(bench.engine.close())
    await settle()
    assert not closing.done()
    bench.store.gate.set()
    await closing
    await step
    assert bench.store.batches == [[b"a"], [b"b"]]
    assert not bench.engine._requests


async def test_a_home_of_another_version_is_named() -> None:
    device = MemoryDevice(MemoryServer(), "alice")
    for namespace, record in (
        (Namespace.PREKEYS, b"of another time"),
        (Namespace.CONVERSATION, b"\xc1"),
        (Namespace.GROUP, b"\xc1"),
    ):
        store = StubStore()
        records = {**device.store.records, namespace: {b"": record}}
        store.records = AsyncMock(return_value=records)  # type: ignore[method-assign]
        with pytest.raises(StorageError) as caught:
            await Engine.load(store)
        assert caught.value.code is Code.STORE_VERSION
