"""An old device takes a new one into its account; the new one's half is `linking`.

The answer, which holds what the new device needs, is on this disk before the entry that adds the
device leaves: whenever this program dies, the next one sends the entry again and hands the answer
over (`deliver`), as long as the code is good. Until the entry is there, the server takes no answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec
from msgspec import Struct

from parlour.client.handover import Handover
from parlour.client.linking import Compare, Comparison, Show, both_agree
from parlour.client.own_list import Draft, ListEditor, Room
from parlour.client.unlock import Unlocked
from parlour.conversation.changes import Change, DeleteRecord, Namespace, PutRecord
from parlour.errors import (
    AccessError,
    Code,
    DecodeError,
    LimitError,
    ParlourError,
    SecurityStop,
    StorageError,
    TransportError,
    UsageError,
    error,
)
from parlour.identity.device_list import MAX_DEVICES, Device, DeviceListState, next_entry
from parlour.identity.device_name import seal_device_name
from parlour.identity.linking import (
    LIFETIME_SECONDS,
    LinkText,
    OldDeviceLink,
    OwnAccount,
    ServerPlace,
)
from parlour.wire.directory import DevicePrekeys
from parlour.wire.frames import decode_body
from parlour.wire.kinds import Kind
from parlour.wire.linking import LinkAnswer, LinkMessage, LinkTake
from parlour.wire.prekeys import Prekey
from parlour.wire.server import Nothing, ServerInfo

_KEY: Final = b"link_answer"


class PendingAnswer(Struct, frozen=True):
    """An answer that may not have arrived. It is encrypted for the new device. Seconds."""

    mailbox: bytes
    message: bytes
    until: int

    @property
    def is_over(self) -> bool:
        """Whether the code that it answers has expired."""
        return time.time() >= self.until

    def change(self) -> Change:
        """The record to write."""
        return PutRecord(Namespace.SERVER, _KEY, msgspec.msgpack.encode(self))

    @classmethod
    def load(cls, records: Mapping[Namespace, Mapping[bytes, bytes]]) -> PendingAnswer | None:
        """Read the record, if there is one."""
        data = records.get(Namespace.SERVER, {}).get(_KEY)
        if data is None:
            return None
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except msgspec.DecodeError as problem:
            raise StorageError(Code.STORE_BROKEN, "answer record") from problem


class Host:
    """The old device's half."""

    def __init__(self, room: Room, editor: ListEditor, pending: PendingAnswer | None) -> None:
        self.pending = pending
        self._room = room
        self._editor = editor
        self._busy = asyncio.Lock()

    async def show(self, password: str, *, show: Show, compare: Compare, name: str) -> Device:
        """Show a code, and take in the device that uses it."""
        self._check_room()
        link = OldDeviceLink.show(self._place(), self._account(), now=_clock())
        return await self._within_time(link, password, compare, name, show=show)

    async def scan(
        self, text: LinkText | str, password: str, *, compare: Compare, name: str
    ) -> Device:
        """Take in the device that shows this code."""
        self._check_room()
        code = LinkText.from_text(text) if isinstance(text, str) else text
        pins = self._room.account.pins
        link = OldDeviceLink.scan(code, self._place(), self._account(), now=_clock())
        if code.pin is not None and pins and code.pin not in pins:
            raise SecurityStop(Code.SERVER_PIN, "the new device sees another server than this one")
        return await self._within_time(link, password, compare, name, show=None)

    def _check_room(self) -> None:
        if len(self._room.contact.head.devices) >= MAX_DEVICES:
            raise LimitError(Code.LIMIT_COUNT, f"an account has at most {MAX_DEVICES} devices")

    def _place(self) -> ServerPlace:
        account = self._room.account
        pin = account.pins[0] if account.pins else None
        return ServerPlace(account.server, account.host, account.port, pin)

    def _account(self) -> OwnAccount:
        own = self._room.own
        return OwnAccount(own.account_id, self._room.contact.head.account_key, own.name)

    async def _within_time(
        self, link: OldDeviceLink, password: str, compare: Compare, name: str, *, show: Show | None
    ) -> Device:
        async with self._busy:
            mailbox = link.text.mailbox
            await self._check(password)
            try:
                async with asyncio.timeout(LIFETIME_SECONDS) as limit:
                    await self._meet(link, show)
                    await both_agree(
                        self._compared(link, compare), self._take(mailbox, 2, opens=False)
                    )
                    unlocked = await self._room.unlock(password)
                    limit.reschedule(None)
            except TimeoutError:
                if not limit.expired():
                    raise
                raise AccessError(Code.LINK_EXPIRED) from None
            except BaseException as problem:
                await self._refuse(mailbox, problem)
                raise
            return await self._take_in(link, unlocked, name)

    async def _check(self, password: str) -> None:
        """Raise for a wrong password before the code is used up by it.

        What it opens is dropped: the account key is not held while people carry codes about.
        """
        await self._room.unlock(password)

    async def _meet(self, link: OldDeviceLink, show: Show | None) -> None:
        """The first three messages."""
        offer = await self._first(link, show)
        greeting = link.receive_offer(offer, now=_clock())
        try:
            await self._answer(link.text.mailbox, 0, greeting)
        except UsageError as problem:
            # Of a try that died after it; the new device has that one's greeting.
            raise AccessError(Code.LINK_USED) from problem
        link.receive_opening(await self._take(link.text.mailbox, 1, opens=False), now=_clock())

    async def _first(self, link: OldDeviceLink, show: Show | None) -> bytes:
        if show is None:
            return await self._take(link.text.mailbox, 0, opens=False)
        taking = asyncio.create_task(self._take(link.text.mailbox, 0, opens=True))
        try:
            # Requests of one connection begin in their order: with this one answered, the mailbox
            # is there for whoever is quick with the code.
            await self._room.ask(Kind.SERVER_INFO, Nothing(), ServerInfo)
            await show(link.text.to_text())
            return await taking
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _take(self, mailbox: bytes, number: int, *, opens: bool) -> bytes:
        while True:
            body = LinkTake(mailbox, number, opens)
            message = (await self._room.ask(Kind.LINK_TAKE, body, LinkMessage)).message
            if message is not None:
                return message

    async def _answer(self, mailbox: bytes, number: int, message: bytes | None) -> None:
        await self._room.ask(Kind.LINK_ANSWER, LinkAnswer(mailbox, number, message), Nothing)

    async def _compared(self, link: OldDeviceLink, compare: Compare) -> None:
        """Return if a person said yes here."""
        own = self._room.own
        if not await compare(Comparison(link.code, f"{own.name}@{own.server}")):
            raise SecurityStop(Code.LINK_MISMATCH, "the codes are not the same")

    async def _refuse(self, mailbox: bytes, problem: BaseException) -> None:
        """Let the new device know that it will not be taken in, if it can be told."""
        if isinstance(problem, TransportError):
            return
        with contextlib.suppress(ParlourError):
            body = LinkAnswer(mailbox, 1, None)
            await self._room.link.ask(Kind.LINK_ANSWER, body, Nothing)

    # --- Taking in -----------------------------------------------------------------------

    async def _take_in(self, link: OldDeviceLink, unlocked: Unlocked, name: str) -> Device:
        """Put the device on the list, and hand the account over to it."""
        offer = link.offer
        if offer is None:
            raise error(Code.INTERNAL_BUG, "no offer")
        device = self._named(offer.device, unlocked, name)
        prekeys = DevicePrekeys(device.device_id, _prekeys(offer.prekeys))

        def make(state: DeviceListState) -> Draft:
            now = int(time.time())
            entry = next_entry(state, unlocked.account_key, (*state.devices, device), now)
            pending = PendingAnswer(
                link.text.mailbox,
                link.answer(
                    unlocked.account_key,
                    DeviceListState.after(entry),
                    secret=unlocked.secret,
                    pin=self._place().pin,
                    snapshot=self._handover().encode(),
                    now=_clock(),
                ),
                now + LIFETIME_SECONDS,
            )
            self.pending = pending
            return Draft(entry, [prekeys], [pending.change()])

        try:
            await self._editor.append(make)
        except TransportError:
            raise
        except ParlourError as problem:
            # Of what ended in any other way, the entry may be there: `deliver` finds out.
            await self._refuse(link.text.mailbox, problem)
            await self._forget()
            raise
        try:
            await self._hand_over()
        except TransportError:
            raise
        except ParlourError:
            # Somebody else used the code meanwhile, or it expired: nothing was linked then.
            await self._take_out(device, unlocked)
            raise
        return device

    def _handover(self) -> Handover:
        """What the new device gets to know. The vault was opened just now."""
        return Handover(self._room.account.vaults, self._room.engine.machine.snapshot())

    async def _take_out(self, device: Device, unlocked: Unlocked) -> None:
        """Take a device off the list that was never given its answer."""

        def make(state: DeviceListState) -> Draft | None:
            if state.device(device.device_id) is None:
                return None
            left = tuple(each for each in state.devices if each.device_id != device.device_id)
            return Draft(next_entry(state, unlocked.account_key, left, int(time.time())))

        await self._editor.append(make)

    def _named(self, device: Device, unlocked: Unlocked, name: str) -> Device:
        """The device as we list it: under our name for it, and our time."""
        sealed = b""
        if name:
            sealed = seal_device_name(
                name,
                secret=unlocked.secret,
                account_id=self._room.own.account_id,
                device_id=device.device_id,
            )
        return replace(device, sealed_name=sealed, added_at=int(time.time()))

    async def deliver(self) -> None:
        """Hand over what an earlier program could not, if there is something."""
        pending = self.pending
        if pending is None or self._busy.locked():
            return
        async with self._busy:
            try:
                if not pending.is_over:
                    await self._editor.resend()
                await self._hand_over()
            except TransportError:
                raise
            except ParlourError as problem:
                # The code was used or has expired, or the device is not on the list: it was not
                # taken in, or stands on the list and was never used.
                await self._refuse(pending.mailbox, problem)
                await self._forget()

    async def _hand_over(self) -> None:
        """Leave the answer in the mailbox; what can't be left any more is forgotten."""
        pending = self.pending
        if pending is None:
            return
        try:
            if pending.is_over:
                raise AccessError(Code.LINK_EXPIRED)
            await self._answer(pending.mailbox, 1, pending.message)
        except TransportError:
            raise
        except ParlourError:
            await self._forget()
            raise
        await self._forget()

    async def _forget(self) -> None:
        self.pending = None
        await self._room.store.apply([DeleteRecord(Namespace.SERVER, _KEY)])
        self._room.engine.changed.notify()


def _prekeys(offered: tuple[bytes, ...]) -> list[Prekey]:
    try:
        return [decode_body(each, Prekey) for each in offered]
    except DecodeError as problem:
        raise SecurityStop(Code.LINK_MISMATCH, "prekeys") from problem


def _clock() -> int:
    """Seconds of a clock that does not go back."""
    return int(time.monotonic())
