import asyncio
from typing import Any, cast

import pytest

from parlour.client.account import Account, Tickets
from parlour.client.feed import Connected, Disconnected
from parlour.client.link import Link, open_live
from parlour.conversation.changes import Namespace, PutRecord
from parlour.errors import Code, ParlourError, error
from parlour.wire.kinds import Kind
from parlour.wire.push import PushDrain
from parlour.wire.server import ServerInfo
from parlour.wire.streams import LiveStarted, Position
from tests.unit.client.test_engine import Bench

ACCOUNT = Account("home.test", "127.0.0.1", 1, (b"p" * 32,), "plt_" + "A" * 43, b"s" * 16)
STARTED = LiveStarted(b"i" * 16, 1, [], [], False, 100)


class FakeConnection:
    """Answers as a server would, and notes what was on disk when it was asked."""

    def __init__(self, bench: Bench, **info: Any) -> None:
        self.channel_pin = ACCOUNT.pins[0]
        self.closed = asyncio.Event()
        self.starts: list[tuple[bytes | None, bytes, list[list[bytes]]]] = []
        self.start_failure: ParlourError | None = None
        self.unknown: ParlourError | None = None
        self.pushes: asyncio.Queue[list[Any]] = asyncio.Queue()
        self._bench = bench
        values: dict[str, Any] = {
            "name": "home.test",
            "wire_versions": [1],
            "software": "x",
            "incarnation": b"i" * 16,
            "time": 1,
            "registration": "open",
            "next_pin": None,
        }
        self._info = ServerInfo(**(values | info))

    async def ask(self, kind: Kind, body: Any, response: Any) -> Any:
        if kind is Kind.SERVER_INFO:
            return self._info
        assert kind is Kind.LIVE_START
        self.starts.append((body.ticket, body.next_ticket, list(self._bench.store.batches)))
        if self.start_failure is not None:
            raise self.start_failure
        if body.positions and self.unknown is not None:
            raise self.unknown
        return STARTED

    async def next_pushes(self) -> list[Any]:
        getting = asyncio.create_task(self.pushes.get())
        closing = asyncio.create_task(self.closed.wait())
        await asyncio.wait((getting, closing), return_when=asyncio.FIRST_COMPLETED)
        for task in (getting, closing):
            task.cancel()
        return getting.result() if getting.done() and not getting.cancelled() else []

    async def close(self) -> None:
        self.closed.set()


class Line:
    """A link whose connections come from a list: each a connection, or what opening fails with."""

    def __init__(self, *outcomes: Any, bench: Bench | None = None, **info: Any) -> None:
        self.bench = bench or Bench()
        machine = cast(Any, self.bench.machine)
        machine.positions = list
        machine.connected = lambda started, now: self.bench.machine.heard.append(started)
        machine.pushed = lambda push, now: self.bench.machine.heard.append(push)
        self.connection = FakeConnection(self.bench, **info)
        self.outcomes = [self.connection if item is None else item for item in outcomes]
        self.sleeps: list[float] = []
        self.reader = self.bench.engine.feed.open()
        self.link = Link(
            self.bench.engine,
            cast(Any, self.bench.store),
            ACCOUNT,
            Tickets(b"c" * 16, b""),
            random=lambda size: b"\x80" * size,
            connect=self._open,
            monotonic=lambda: 0.0,
            sleep=self._sleep,
        )

    async def _open(self, account: Account) -> Any:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)


async def test_a_server_that_lost_one_of_our_streams_is_read_from_its_beginning() -> None:
    line = Line(None, error(Code.SERVER_PIN))
    cast(Any, line.bench.machine).positions = lambda: [Position(b"s" * 16, 7)]
    line.connection.unknown = error(Code.STREAM_UNKNOWN)
    line.connection.pushes.put_nowait([PushDrain(0)])
    await line.link.run()
    assert len(line.connection.starts) == 2
    assert line.bench.machine.heard[0] == STARTED
    # Nothing else that a server does not find is asked for in another way.
    line = Line(None, error(Code.SERVER_PIN))
    cast(Any, line.bench.machine).positions = lambda: [Position(b"s" * 16, 7)]
    line.connection.unknown = error(Code.ACCOUNT_UNKNOWN)
    await line.link.run()
    assert len(line.connection.starts) == 1


async def test_what_waiting_mends_is_tried_again_with_growing_pauses() -> None:
    away = error(Code.NETWORK_UNREACHABLE)
    busy = error(Code.LIMIT_RATE)
    busy.retry_after = 5000
    line = Line(away, away, busy, error(Code.SERVER_PIN))
    await line.link.run()
    assert line.sleeps == pytest.approx([0.5, 1.0, 5.0 + 2.0], rel=0.01)
    assert line.link.status.failure is not None
    assert line.link.status.failure.code is Code.SERVER_PIN
    # Said when it changes, not each time.
    assert [line.reader.take() for _ in range(4)] == [
        Disconnected(Code.NETWORK_UNREACHABLE, final=False),
        Disconnected(Code.LIMIT_RATE, final=False),
        Disconnected(Code.SERVER_PIN, final=True),
        None,
    ]


@pytest.mark.parametrize(
    "code",
    [Code.TOKEN_REVOKED, Code.TOKEN_INVALID, Code.DEVICE_REMOVED, Code.DEVICE_COPIED],
)
async def test_what_a_person_decides_ends_it(code: Code) -> None:
    line = Line(error(code))
    await line.link.run()
    assert line.link.status.failure is not None
    assert line.link.status.failure.code is code
    assert line.sleeps == []
    with pytest.raises(ParlourError) as caught:
        await line.link.ask(Kind.SERVER_INFO, STARTED, ServerInfo)
    assert caught.value.code is code
    assert caught.value is not line.link.status.failure


async def test_a_bug_ends_it_and_is_shown() -> None:
    line = Line(KeyError("x"))
    await line.link.run()
    assert line.link.status.failure is not None
    assert line.link.status.failure.code is Code.INTERNAL_BUG
    assert line.link.status.failure.detail == "KeyError"


async def test_another_name_ends_it() -> None:
    line = Line(None, name="other.test")
    await line.link.run()
    assert line.link.status.failure is not None
    assert line.link.status.failure.code is Code.SERVER_NAME
    assert line.connection.closed.is_set()
    assert line.connection.starts == []


async def test_no_common_version_is_tried_again() -> None:
    line = Line(None, error(Code.SERVER_PIN), wire_versions=[99])
    await line.link.run()
    assert line.reader.take() == Disconnected(Code.SERVER_VERSION, final=False)


async def test_the_next_ticket_is_on_disk_before_the_server_sees_it() -> None:
    line = Line(None, None, error(Code.SERVER_PIN))
    line.connection.start_failure = error(Code.NETWORK_CLOSED)
    await line.link.run()
    first, second = line.connection.starts
    assert first[:2] == second[:2] == (b"c" * 16, b"\x80" * 16)
    assert [b"ticket", b"next_ticket"] in first[2]
    # The answer was lost: the same ones again, and nothing more to write.
    assert first[2] == second[2]


async def test_a_connection_serves_until_the_server_drains() -> None:
    line = Line(None, error(Code.SERVER_PIN))
    running = asyncio.create_task(line.link.run())
    await line.link.changed.wait(0)
    assert line.link.status.online
    assert line.reader.take() == Connected()
    assert (await line.link.ask(Kind.SERVER_INFO, STARTED, ServerInfo)).name == "home.test"
    drain = PushDrain(3000)
    line.connection.pushes.put_nowait([drain])
    await running
    assert line.bench.machine.heard == [STARTED, drain]
    assert line.reader.take() == Disconnected(Code.SERVER_DRAINING, final=False)
    assert line.sleeps == pytest.approx([3.5], rel=0.01)
    assert not line.link.status.online
    assert not line.bench.machine.online


async def test_the_announced_pin_is_taken_on() -> None:
    line = Line(None, error(Code.SERVER_PIN), next_pin=b"n" * 32)
    line.connection.start_failure = error(Code.NETWORK_CLOSED)
    await line.link.run()
    assert line.link.account.pins == (b"p" * 32, b"n" * 32)
    assert line.bench.store.batches[0] == [b"account"]


async def test_a_dropped_machine_gets_a_connection_from_its_beginning() -> None:
    line = Line(None, error(Code.SERVER_PIN))
    running = asyncio.create_task(line.link.run())
    await line.link.changed.wait(0)
    line.bench.engine._drop(error(Code.STORE_FULL))
    line.bench.engine._stale = False
    await running
    assert line.reader.take() == Connected()
    assert line.reader.take() == Disconnected(Code.STORE_FULL, final=False)
    assert line.connection.closed.is_set()


async def test_no_server_is_called_while_the_disk_is_full() -> None:
    line = Line(None, error(Code.SERVER_PIN))
    running = asyncio.create_task(line.link.run())
    await line.link.changed.wait(0)
    store = line.bench.store
    store.failure = error(Code.STORE_FULL)
    line.bench.engine._drop(error(Code.STORE_FULL))
    line.bench.engine._stale = False
    sleep = line.link._sleep

    async def until_there_is_room(seconds: float) -> None:
        await sleep(seconds)
        assert len(line.outcomes) == 1
        if len(line.sleeps) == 5:
            store.failure = None

    line.link._sleep = until_there_is_room
    await running
    assert not line.outcomes
    assert line.link.status.failure is not None
    assert line.link.status.failure.code is Code.SERVER_PIN
    assert len(line.sleeps) == 5


async def test_stopped_from_here_it_stays_so() -> None:
    line = Line(None)
    running = asyncio.create_task(line.link.run())
    await line.link.changed.wait(0)
    line.link.stop(error(Code.TOKEN_REVOKED))
    await line.connection.close()
    await running
    assert line.link.status.failure is not None
    assert line.link.status.failure.code is Code.TOKEN_REVOKED


async def test_cancelled_it_leaves_no_connection() -> None:
    line = Line(None)
    running = asyncio.create_task(line.link.run())
    await line.link.changed.wait(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert line.connection.closed.is_set()
    assert not line.link.status.online


async def test_without_a_token_nothing_is_opened() -> None:
    with pytest.raises(ParlourError) as caught:
        await open_live(Account("home.test", "127.0.0.1", 1, (), "", b""))
    assert caught.value.code is Code.TOKEN_MISSING


def test_tickets_are_written_and_read() -> None:
    empty = Tickets.load({})
    assert empty == Tickets(b"", b"")
    for tickets in (Tickets(b"a", b"b"), Tickets(b"a", b""), Tickets(b"", b"b")):
        records: dict[bytes, bytes] = {}
        for change in tickets.changes():
            if isinstance(change, PutRecord):
                records[change.key] = change.value
        assert Tickets.load({Namespace.SERVER: records}) == tickets
