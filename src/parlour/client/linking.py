"""A new device joins an account: it shows a code that an old one scans, or scans the old one's.

The other half, on the old device, is `hosting`; why two devices need what they say to each other
stands in `identity.linking`.

The home is made first, and what the linking stands on is in it before any of it leaves: the
device's keys, the code, the greeting that a person said yes to. So a crash, or a cut, at any step
leaves a home with which the same call goes on while the code is good. Where the linking came to
nothing, no home is left. The other device signs when a person has said yes on both; a new device
that is given up after that stands on the list without ever having been used, and can be removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from msgspec.structs import replace

from parlour.client.account import Account
from parlour.client.address import Address
from parlour.client.connection import LIVE_PATH, Connection
from parlour.client.device_lists import read_whole
from parlour.client.handover import Handover
from parlour.client.home import Home, new_lock
from parlour.client.keys import SessionToken
from parlour.client.login import Target
from parlour.client.meeting import Meeting, look
from parlour.client.notices import seen_change
from parlour.client.registration import home_folder
from parlour.client.tls import Authorities, Pinned, Trust
from parlour.client.unfinished import Unfinished, make_device
from parlour.client.workers import run_slow
from parlour.conversation.beginning import first_changes
from parlour.conversation.changes import DeleteRecord, Namespace
from parlour.conversation.contact import Contact
from parlour.errors import (
    AccessError,
    Code,
    ParlourError,
    PeerError,
    SecurityStop,
    StorageError,
    TransportError,
    error,
)
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.identity.linking import (
    LinkedAccount,
    LinkText,
    NewDeviceLink,
    OwnAccount,
    Shows,
)
from parlour.login import account_name
from parlour.wire.kinds import Kind
from parlour.wire.linking import YES, LinkMessage
from parlour.wire.login import LoggedIn, RevokeSession, Sessions
from parlour.wire.server import Nothing

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a person compares: the `code` of six digits must stand on the other device as well.

    `account` is the account in question as `name@server`: on the new device, the one it joins.
    """

    code: str
    account: str


Show: TypeAlias = Callable[[str], Awaitable[None]]
"""Shows the text of a code, as a line or as a QR code. Returns at once, or is cancelled."""
Compare: TypeAlias = Callable[[Comparison], Awaitable[bool]]
"""Asks a person whether both codes are the same. Cancelled when the other device ended it."""


@dataclass(frozen=True, slots=True)
class Linked:
    """A device that has joined an account."""

    name: str
    server: str
    account_id: bytes
    device_id: bytes


async def link_new(
    folder: Path | str,
    target: Target,
    password: str,
    *,
    show: Show,
    compare: Compare,
    keychain: str | None = None,
    account: str = "",
) -> Linked:
    """Join an account by showing a code to one of its devices; make a home in `folder`.

    Of the server, host and port suffice (`recovery.place_at`): the key that it shows goes into the
    code, which the old device compares with the one it knows. The home opens with `password`,
    which need not be the account's, or with the `keychain` of that name. `account` is the name of
    the account that is meant; any other is refused then. A call that was interrupted is made again
    with the same arguments: it shows the same code.

    Raises `LINK_EXPIRED`, `LINK_USED`, `LINK_CONFLICT`, `LINK_MISMATCH`, `LINK_REFUSED`,
    `HOME_EXISTS`, what a connection raises, and what `show` and `compare` raise.
    """
    account = account_name(account) if account else ""

    async def begin() -> Unfinished:
        place = await look(target)
        made = await run_slow(make_device, int(time.time()))
        link = NewDeviceLink.show(
            place, device=made.listed, prekeys=made.offered, now=_clock(), account_name=account
        )
        return made.begin(link, int(time.time()))

    def is_ours(link: NewDeviceLink) -> bool:
        text = link.text
        same = (text.host, text.port) == (target.address.host, target.address.port)
        return text.shows is Shows.NEW and same and text.account_name == account

    home, unfinished = await _begin(home_folder(folder), password, keychain, begin, is_ours)
    return await _Joining(home, unfinished, target.trust, compare).run(show)


async def join(
    folder: Path | str,
    text: LinkText | str,
    password: str,
    *,
    compare: Compare,
    keychain: str | None = None,
) -> Linked:
    """Join an account by the code that one of its devices shows; as `link_new` for the rest.

    Raises `LINK_INVALID` for what is not such a code, too.
    """
    code = LinkText.from_text(text) if isinstance(text, str) else text
    if code.shows is not Shows.OLD:
        raise error(Code.LINK_INVALID, "a new device shows it; let an old one scan it")

    async def begin() -> Unfinished:
        made = await run_slow(make_device, int(time.time()))
        link = NewDeviceLink.scan(code, device=made.listed, prekeys=made.offered, now=_clock())
        return made.begin(link, int(time.time()))

    def is_ours(link: NewDeviceLink) -> bool:
        return link.text == code

    home, unfinished = await _begin(home_folder(folder), password, keychain, begin, is_ours)
    trust = Authorities() if code.pin is None else Pinned.of([code.pin])
    return await _Joining(home, unfinished, trust, compare).run(None)


# --- The home ------------------------------------------------------------------------------


async def _begin(
    path: Path,
    password: str,
    keychain: str | None,
    begin: Callable[[], Awaitable[Unfinished]],
    is_ours: Callable[[NewDeviceLink], bool],
) -> tuple[Home, Unfinished]:
    """The home with what the linking stands on: that of an earlier try, or a new one."""
    home = await _open_unfinished(path, password)
    made = home is None
    if home is None:
        home = await Home.create(path, new_lock(password, keychain))
    try:
        records = await home.store.records()
        unfinished = _earlier(records, is_ours)
        if unfinished is None:
            unfinished = await begin()
            old = [DeleteRecord(space, key) for space in records for key in records[space]]
            await home.store.apply([*old, unfinished.change()])
    except BaseException:
        await (home.discard() if made else home.close())
        raise
    return home, unfinished


async def _open_unfinished(path: Path, password: str) -> Home | None:
    """The home that an interrupted linking left; refuses one that holds anything else."""
    try:
        home = await Home.open(path, password)
    except ParlourError as problem:
        if problem.code is Code.HOME_MISSING:
            return None
        raise
    try:
        in_use = bool((await home.store.records())[Namespace.DEVICE])
    except BaseException:
        await home.close()
        raise
    if in_use:
        await home.close()
        raise error(Code.HOME_EXISTS)
    return home


def _earlier(
    records: Mapping[Namespace, Mapping[bytes, bytes]], is_ours: Callable[[NewDeviceLink], bool]
) -> Unfinished | None:
    """What an earlier try left, if it was the same and its code is still good."""
    found = Unfinished.load(records)
    if found is None or found.seconds_left(int(time.time())) <= 0:
        return None
    link = found.link(_clock(), int(time.time()))
    return replace(found, resumed=True) if is_ours(link) else None


# --- Joining -------------------------------------------------------------------------------


class _Joining:
    """One linking on the new device, from the first message to the finished home."""

    def __init__(self, home: Home, unfinished: Unfinished, trust: Trust, compare: Compare) -> None:
        self._home = home
        self._unfinished = unfinished
        self._compare = compare
        self._link = unfinished.link(_clock(), int(time.time()))
        text = self._link.text
        # A server that was known by what it showed first must go on showing that.
        self._trust = trust if text.pin is None else Pinned.of([text.pin])
        self._target = Target(Address(text.host, text.port), self._trust, text.server)

    async def run(self, show: Show | None) -> Linked:
        """Do all of it; closes the home, or leaves none."""
        try:
            linked = await self._within_time(show)
        except BaseException as problem:
            await self._leave(problem)
            raise
        await self._home.close()
        return linked

    async def _within_time(self, show: Show | None) -> Linked:
        left = self._unfinished.seconds_left(int(time.time()))
        try:
            async with asyncio.timeout(left) as limit:
                linked, logged_in = await self._meet(show)
                # It was taken in; what is left takes as long as it takes.
                limit.reschedule(None)
                return await self._finish(linked, logged_in)
        except TimeoutError:
            if not limit.expired():
                raise
            raise AccessError(Code.LINK_EXPIRED) from None

    async def _leave(self, problem: BaseException) -> None:
        """Keep the home if the same call can go on with it, or if it is finished."""
        temporary = isinstance(problem, TransportError | StorageError)
        over = isinstance(problem, ParlourError) and not temporary
        try:
            finished = bool((await self._home.store.records())[Namespace.DEVICE])
        except ParlourError:
            finished = True
        if over and not finished:
            await self._home.discard()
        else:
            await self._home.close()

    async def _keep(self, **fields: object) -> None:
        self._unfinished = replace(self._unfinished, **fields)
        await self._home.store.apply([self._unfinished.change()])

    async def _meet(self, show: Show | None) -> tuple[LinkedAccount, LoggedIn]:
        """All messages; returns what the old device handed over, and our session."""
        async with Meeting(
            self._target, self._link.text.mailbox, self._unfinished.device.local().signature_key
        ) as meeting:
            shows = self._link.text.shows is Shows.NEW
            if not self._unfinished.greeting:
                await meeting.offer(0, self._link.offer, opens=shows)
                if show is not None:
                    await show(self._link.text.to_text())
                greeting = (await meeting.wait(0)).message or b""
                account = self._link.receive_greeting(greeting, now=_clock())
                await self._keep(greeting=greeting)
            else:
                account = self._link.receive_greeting(self._unfinished.greeting, now=_clock())
            await meeting.offer(1, self._link.opening, opens=False)
            message = await self._agreed(meeting, account)
        if message.message is None or message.logged_in is None:
            raise PeerError(Code.SERVER_MISBEHAVED, "an answer without a session")
        linked = self._link.receive_answer(message.message, now=_clock())
        return linked, message.logged_in

    async def _agreed(self, meeting: Meeting, account: OwnAccount) -> LinkMessage:
        """The answer, once a person said yes here. The other device may end it meanwhile."""
        _, answer = await both_agree(self._compared(meeting, account), meeting.wait(1))
        return answer

    async def _compared(self, meeting: Meeting, account: OwnAccount) -> None:
        """Ask a person, if that was not done before, and tell the other device the answer.

        It signs only after a yes: so a no leaves nothing behind.
        """
        if not self._unfinished.compared:
            shown = f"{account.name}@{self._link.text.server}"
            if not await self._compare(Comparison(self._link.code, shown)):
                with contextlib.suppress(ParlourError):
                    await meeting.refuse()
                raise SecurityStop(Code.LINK_MISMATCH, "the codes are not the same")
            await self._keep(compared=True)
        await meeting.offer(2, YES, opens=False)

    # --- The end -------------------------------------------------------------------------

    async def _finish(self, linked: LinkedAccount, logged_in: LoggedIn) -> Linked:
        """Check the account as the server shows it, and write the home in one step."""
        own = replace(
            self._unfinished.device,
            server=linked.server,
            name=linked.name,
            account_id=linked.account_id,
        )
        device_id = own.local().identity.device_id
        if (logged_in.account_id, logged_in.device_id) != (linked.account_id, device_id):
            raise PeerError(Code.SERVER_MISBEHAVED, "logged in as somebody else")
        handover = Handover.decode(linked.snapshot)
        account = Account(
            server=linked.server,
            host=self._target.address.host,
            port=self._target.address.port,
            pins=() if linked.pin is None else (linked.pin,),
            token=SessionToken.from_text(logged_in.token).text(),
            secret=linked.secret.reveal(),
            vaults=handover.vaults,
        )
        entries = await self._read_list(account, linked)
        contact = Contact(name=linked.name, head=entries[-1])
        prekeys = self._unfinished.prekey_store()
        first = first_changes(own, contact, prekeys, handover.snapshot)
        # What other devices changed since the person linked this one is news.
        seen = seen_change(entries[linked.list_number])
        await self._home.store.apply([Unfinished.deletion(), *first, account.change(), seen])
        return Linked(linked.name, linked.server, linked.account_id, device_id)

    async def _read_list(self, account: Account, linked: LinkedAccount) -> list[DeviceListEntry]:
        """The account's list, with what the old device says of it, and with us on it.

        The server is asked under the pin that the old device knows: one that was only known by
        what it showed is the account's own from here on, or it is refused.
        """
        token = SessionToken.from_text(account.token)
        async with await Connection.open(
            account.address, LIVE_PATH, account.trust, token
        ) as connection:
            entries = await read_whole(connection.ask, linked.account_id, linked.account_key)
            self._check_place(entries, linked)
            if self._unfinished.resumed:
                await _end_others(connection)
        return entries

    def _check_place(self, entries: list[DeviceListEntry], linked: LinkedAccount) -> None:
        if len(entries) <= linked.list_number:
            raise SecurityStop(Code.DEVICE_LIST_ROLLBACK, "older than the other device's")
        if entries[linked.list_number].hash() != linked.list_hash:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "not the other device's")
        identity = self._unfinished.device.local().identity
        listed = DeviceListState.after(entries[-1]).device(identity.device_id)
        if listed is None:
            raise AccessError(Code.DEVICE_REMOVED)
        if listed.identity_key != identity.identity_key or listed.has_kem != identity.has_kem:
            raise SecurityStop(Code.LINK_MISMATCH, "this device is listed with other keys")


async def both_agree(ours: Coroutine[Any, Any, T], theirs: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """What a person says here and the other device there; a no of either ends the other's part."""
    tasks = asyncio.create_task(ours), asyncio.create_task(theirs)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if tasks[1].done() and not tasks[0].done():
            tasks[1].result()
        return await tasks[0], await tasks[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _end_others(connection: Connection) -> None:
    """End sessions that an interrupted try was given and did not keep."""
    sessions = (await connection.ask(Kind.SESSIONS, Nothing(), Sessions)).sessions
    current = {session.device_id for session in sessions if session.current}
    for session in sessions:
        if session.device_id in current and not session.current:
            body = RevokeSession(handle=session.handle)
            await connection.ask(Kind.REVOKE_SESSION, body, Nothing)


def _clock() -> int:
    """Seconds of a clock that does not go back."""
    return int(time.monotonic())
