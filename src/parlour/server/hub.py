"""Who is connected, who is in which stream, and what is pushed to whom. All of it in memory.

A push goes out only after the commit of what it tells of. Nothing here waits: a connection that
takes in too little loses pushes and is told to catch up. What goes to many goes to some of them at
a time, so that answers, and what has come meanwhile, need not stand behind a thousand sockets; all
pushes keep their order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from parlour.errors import Code, LimitError
from parlour.server.caller import Subscriber
from parlour.server.sessions import Grant
from parlour.wire.directory import DeviceListPage
from parlour.wire.frames import encode_frame
from parlour.wire.kinds import Kind
from parlour.wire.push import PushDrain, PushEntry
from parlour.wire.streams import Entry

# One is in use; the others are on their way out, or about to take its place.
MAX_SOCKETS: Final = 8
# Connections that are handed a push before it is the turn of something else: some milliseconds.
SLICE: Final = 64
# Close codes of RFC 6455 §7.4; those from 4000 on are ours.
CLOSE_POLICY: Final = 1008
CLOSE_RESTART: Final = 1012
CLOSE_REPLACED: Final = 4001
CLOSE_REFUSED: Final = 4003
CLOSE_SLOW: Final = 4008


class Hub:
    """The live connections: at most one per device."""

    def __init__(self) -> None:
        # Those that get pushes: by account, then by device.
        self._by_account: dict[bytes, dict[bytes, Subscriber]] = {}
        # All sockets of each device, whether they get pushes or not.
        self._open: dict[bytes, list[Subscriber]] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        # What is on its way to many, the oldest first: each step is one connection.
        self._spreading: deque[Iterator[None]] = deque()

    @contextlib.contextmanager
    def opened(self, subscriber: Subscriber) -> Iterator[None]:
        """Know of a socket as long as it is open; raises ``limit.count``."""
        device_id = subscriber.grant.device_id
        sockets = self._open.setdefault(device_id, [])
        if len(sockets) >= MAX_SOCKETS:
            raise LimitError(Code.LIMIT_COUNT, "sockets of a device")
        sockets.append(subscriber)
        self._empty.clear()
        try:
            yield
        finally:
            sockets.remove(subscriber)
            if not sockets:
                del self._open[device_id]
            if not self._open:
                self._empty.set()

    def connect(self, subscriber: Subscriber) -> None:
        """Let a device's pushes go to this connection; an older one of it is closed."""
        grant = subscriber.grant
        devices = self._by_account.setdefault(grant.account_id, {})
        older = devices.get(grant.device_id)
        devices[grant.device_id] = subscriber
        if older is not None and older is not subscriber:
            older.end(CLOSE_REPLACED)

    def disconnect(self, subscriber: Subscriber) -> None:
        """Push nothing more to a connection; a newer one of the device keeps its place."""
        grant = subscriber.grant
        devices = self._by_account.get(grant.account_id, {})
        if devices.get(grant.device_id) is subscriber:
            del devices[grant.device_id]
            if not devices:
                del self._by_account[grant.account_id]

    def refuse(self, grant: Grant) -> None:
        """Close every socket under a grant that does not hold any more."""
        for subscriber in list(self._open.get(grant.device_id, ())):
            if subscriber.grant is grant:
                subscriber.end(CLOSE_REFUSED, grant.refused)

    def of_device(self, account_id: bytes, device_id: bytes) -> Subscriber | None:
        """The connection of a device, if there is one."""
        return self._by_account.get(account_id, {}).get(device_id)

    def push(self, accounts: Iterable[bytes], kind: Kind, body: Struct) -> None:
        """Push the same to every connected device of these accounts."""
        subscribers = self._of_accounts(accounts)
        if subscribers:
            self._spread(_push_all(subscribers, encode_frame(kind, 0, body)))

    def push_entry(
        self,
        entry: Entry,
        parts: dict[bytes, bytes],
        accounts: Iterable[bytes],
        inbox_device: bytes | None,
        *,
        lists: Sequence[DeviceListPage] = (),
    ) -> None:
        """Push an entry, to each device with its own part only, or else with these device lists.

        The frame without a part is encoded once for all who have none.
        """
        subscribers = [
            subscriber
            for subscriber in self._of_accounts(accounts)
            if inbox_device is None or subscriber.grant.device_id == inbox_device
        ]
        self._spread(_push_entries(subscribers, entry, parts, lists))

    def _spread(self, work: Iterator[None]) -> None:
        """Begin at once, unless something before it is still on its way."""
        self._spreading.append(work)
        if len(self._spreading) == 1:
            self._go_on()

    def _go_on(self) -> None:
        left = SLICE
        while self._spreading and left:
            for _ in self._spreading[0]:
                left -= 1
                if not left:
                    break
            else:
                self._spreading.popleft()
        if self._spreading:
            asyncio.get_running_loop().call_soon(self._go_on)

    def drain(self, retry_after: Callable[[], int]) -> None:
        """Tell every connection to come back later, each at another time, and close it."""
        while self._spreading:
            deque(self._spreading.popleft(), maxlen=0)
        for sockets in list(self._open.values()):
            for subscriber in list(sockets):
                subscriber.push(encode_frame(Kind.PUSH_DRAIN, 0, PushDrain(retry_after())))
                subscriber.end(CLOSE_RESTART, Code.SERVER_DRAINING)

    async def empty(self) -> None:
        """Wait until no socket is open."""
        await self._empty.wait()

    def _of_accounts(self, accounts: Iterable[bytes]) -> list[Subscriber]:
        return [
            subscriber
            for account in accounts
            for subscriber in self._by_account.get(account, {}).values()
        ]


def _push_all(subscribers: list[Subscriber], frame: bytes) -> Iterator[None]:
    for subscriber in subscribers:
        subscriber.push(frame)
        yield


def _push_entries(
    subscribers: list[Subscriber],
    entry: Entry,
    parts: dict[bytes, bytes],
    lists: Sequence[DeviceListPage],
) -> Iterator[None]:
    plain: bytes | None = None
    for subscriber in subscribers:
        part = parts.get(subscriber.grant.device_id)
        if part is not None:
            subscriber.push(_entry_frame(entry, part))
        else:
            plain = plain or _entry_frame(entry, None, lists)
            subscriber.push(plain)
        yield


def _entry_frame(entry: Entry, part: bytes | None, lists: Sequence[DeviceListPage] = ()) -> bytes:
    own = Entry(
        entry.stream,
        entry.seq,
        entry.sender_account,
        entry.sender_device,
        entry.client_id,
        entry.stored_at,
        entry.expires_at,
        entry.envelope,
        part,
    )
    return encode_frame(Kind.PUSH_ENTRY, 0, PushEntry(own, list(lists)))
