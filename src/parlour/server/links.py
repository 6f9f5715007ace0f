"""Linking devices: the server's part, which is to carry four messages and to make a session.

The new device has no token; it proves its key instead, at each step. It gets a session only when
the old device has answered and the account's signed list names that key. What the messages say is
none of the server's business (`parlour.identity.linking`).
"""

from __future__ import annotations

from typing import Final, TypeVar

from parlour.errors import AccessError, AuthenticationError, Code, NotFoundError, UsageError, error
from parlour.identity import proofs
from parlour.identity.device_list import device_id_of
from parlour.primitives.hashes import SHA256_SIZE
from parlour.primitives.signature import Ed25519PublicKey
from parlour.server.clock import Clock
from parlour.server.identity import ServerIdentity
from parlour.server.mailboxes import (
    MAX_BY_ACCOUNT,
    MAX_BY_ADDRESS,
    WAIT_SECONDS,
    Mailbox,
    Mailboxes,
)
from parlour.server.sessions import Grant, SessionService
from parlour.server.store import Store
from parlour.server.talk import LoginTalk
from parlour.wire.linking import LinkAnswer, LinkMessage, LinkOffer, LinkTake, LinkWait
from parlour.wire.login import LoggedIn
from parlour.wire.server import Nothing

T = TypeVar("T")

_NO_CONFIRMATION: Final = bytes(SHA256_SIZE)


class LinkService:
    """Both devices' requests. `wait_seconds` is for tests."""

    def __init__(
        self,
        store: Store,
        sessions: SessionService,
        identity: ServerIdentity,
        clock: Clock,
        *,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._identity = identity
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._boxes = Mailboxes()

    def close(self) -> None:
        """Let nobody wait any longer: the server stops."""
        self._boxes.close()

    async def offer(self, talk: LoginTalk, request: LinkOffer) -> Nothing:
        """Leave a message of the new device, or end the linking."""
        self._check_device(request.mailbox, request.device_key, request.device_proof)
        now = self._clock()
        if request.opens and request.message is not None:
            opener = f"address {talk.address}"
            box = self._boxes.open(request.mailbox, opener, MAX_BY_ADDRESS, now)
        else:
            box = self._boxes.find(request.mailbox, now)
        box.device_key = _sole(box, box.device_key, request.device_key)
        if request.message is None:
            box.end(Code.LINK_REFUSED)
        else:
            self._boxes.offer(box, request.number, request.message)
        return Nothing()

    async def wait(self, talk: LoginTalk, request: LinkWait) -> LinkMessage:
        """Wait for a message of the old device; with the answer comes a session."""
        self._check_device(request.mailbox, request.device_key, request.device_proof)
        box = self._boxes.find(request.mailbox, self._clock())
        if box.device_key != request.device_key:
            raise AccessError(Code.LINK_EXPIRED)
        await box.until(lambda: len(box.answers) > request.number, self._wait_seconds)
        box.check()
        if len(box.answers) <= request.number:
            return LinkMessage(None)
        message = box.answers[request.number]
        logged_in = await self._log_in(box, request.device_key) if request.number else None
        return LinkMessage(message, logged_in)

    async def take(self, grant: Grant, request: LinkTake) -> LinkMessage:
        """Wait for a message of the new device."""
        now = self._clock()
        if request.opens:
            opener = f"account {grant.account_id.hex()}"
            box = self._boxes.open(request.mailbox, opener, MAX_BY_ACCOUNT, now)
        else:
            box = self._boxes.find(request.mailbox, now)
        self._own(box, grant)
        await box.until(lambda: len(box.offers) > request.number, self._wait_seconds)
        box.check()
        return LinkMessage(box.offers[request.number] if len(box.offers) > request.number else None)

    async def answer(self, grant: Grant, request: LinkAnswer) -> Nothing:
        """Leave a message of the old device, or end the linking."""
        box = self._boxes.find(request.mailbox, self._clock())
        self._own(box, grant)
        if request.message is None:
            box.end(Code.LINK_REFUSED)
            return Nothing()
        if request.number:
            await self._check_listed(box, grant)
            box.check()
        self._boxes.answer(box, request.number, request.message)
        return Nothing()

    def _own(self, box: Mailbox, grant: Grant) -> None:
        """The old device's place is the caller's, or becomes it."""
        box.owner = _sole(box, box.owner, (grant.account_id, grant.device_id))

    def _check_device(self, mailbox: bytes, device_key: bytes, signature: bytes) -> None:
        """The caller has the device's key, and means this server and this mailbox."""
        try:
            key = Ed25519PublicKey(device_key)
            proof = proofs.link(
                server=self._identity.name,
                pin=self._identity.pin,
                mailbox=mailbox,
                device_id=device_id_of(key),
            )
            key.verify(signature, proof)
        except AuthenticationError as fault:
            raise AccessError(Code.LOGIN_BINDING, "device proof") from fault

    async def _check_listed(self, box: Mailbox, grant: Grant) -> None:
        if box.device_key is None:
            raise UsageError(Code.USAGE_STATE, "there is no device to answer")
        device = await self._store.devices.find(_device_id(box.device_key))
        if device is None or device.account_id != grant.account_id or not device.active:
            raise NotFoundError(Code.DEVICE_UNKNOWN)

    async def _log_in(self, box: Mailbox, device_key: bytes) -> LoggedIn:
        """A session for the new device, each time it asks: the first answer may have been lost."""
        device = await self._store.devices.find(_device_id(device_key))
        account = await self._store.accounts.by_id(device.account_id) if device else None
        if device is None or account is None:
            raise AccessError(Code.DEVICE_REMOVED)
        token, new_token = self._sessions.make()
        await self._store.tokens.add(device.device_id, new_token)
        return LoggedIn(
            token,
            account.account_id,
            device.device_id,
            device.inbox,
            _NO_CONFIRMATION,
            account.vault,
        )


def _device_id(device_key: bytes) -> bytes:
    return device_id_of(Ed25519PublicKey(device_key))


def _sole(box: Mailbox, holder: T | None, caller: T) -> T:
    """The caller, if the place is theirs or free; anybody else ends the linking for both.

    Once it is over there is nothing to end: who comes then only learns that the code was used.
    """
    if holder is None or holder == caller:
        return caller
    if box.answered:
        raise AccessError(Code.LINK_USED)
    box.end(Code.LINK_CONFLICT)
    raise error(Code.LINK_CONFLICT)
