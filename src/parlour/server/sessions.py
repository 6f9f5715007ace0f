"""Sessions: opaque tokens, bound to a device, of which only the hash is stored.

A token is `plt_` and 32 random bytes in base64url. It has no structure to trust: what it allows is
looked up, and ends at once when it is revoked or its device leaves the account's list.
"""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from parlour.errors import AccessError, Code, ParlourError, UsageError, error
from parlour.primitives.hashes import sha256
from parlour.primitives.random import Random, system_random
from parlour.server.clock import Clock
from parlour.server.store import NewToken, Store, TokenRecord
from parlour.wire.ids import TOKEN_SIZE
from parlour.wire.login import Session, Sessions

PREFIX: Final = "plt_"
_LENGTH: Final = len(PREFIX) + 43
_DAY_MS: Final = 24 * 60 * 60 * 1000
# A device that is used at all stays logged in; one that lies in a drawer does not.
LIFETIME_MS: Final = 90 * _DAY_MS
# Grants of requests without a connection, kept so that each does not read the database.
_REMEMBERED: Final = 10_000
_HANDLE_BYTES: Final = 8


@dataclass(slots=True, eq=False, weakref_slot=True)
class Grant:
    """What a good token allows. Once `refused` is set, it allows nothing any more."""

    token_hash: bytes
    account_id: bytes
    device_id: bytes
    expires_at: int
    last_used: int
    refused: Code | None = None


class SessionService:
    """Makes, checks, lists and ends tokens."""

    def __init__(self, store: Store, clock: Clock, random: Random = system_random) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        # Every grant that anything still holds, so that revoking reaches all of them.
        self._alive: WeakValueDictionary[bytes, Grant] = WeakValueDictionary()
        self._recent: OrderedDict[bytes, Grant] = OrderedDict()
        self._refusals = 0
        self._touching: set[asyncio.Task[None]] = set()
        self.on_refused: Callable[[Grant], None] = lambda grant: None

    def make(self) -> tuple[str, NewToken]:
        """A fresh token and what to store of it."""
        token = PREFIX + base64.urlsafe_b64encode(self._random(TOKEN_SIZE)).rstrip(b"=").decode()
        now = self._clock()
        day = now - now % _DAY_MS
        return token, NewToken(hash_token(token), created_at=day, expires_at=day + LIFETIME_MS)

    async def authenticate(self, token: str | None) -> Grant:
        """The grant of a token; raises ``token.missing``, ``token.invalid`` and others."""
        if not token:
            raise AccessError(Code.TOKEN_MISSING)
        if len(token) != _LENGTH or not token.startswith(PREFIX) or not token.isascii():
            raise AccessError(Code.TOKEN_INVALID)
        token_hash = hash_token(token)
        grant = self._alive.get(token_hash) or await self._look_up(token_hash)
        await self.check(grant)
        return grant

    async def check(self, grant: Grant) -> None:
        """Return if the grant still holds. Nothing is waited for, not even the daily write.

        What was sent ahead on one socket would overtake the first of it meanwhile.
        """
        if grant.refused is not None:
            raise error(grant.refused)
        now = self._clock()
        if now >= grant.expires_at:
            raise AccessError(Code.TOKEN_INVALID, "expired")
        if now - grant.last_used >= _DAY_MS:
            before = grant.last_used, grant.expires_at
            grant.last_used = now - now % _DAY_MS
            grant.expires_at = grant.last_used + LIFETIME_MS
            task = asyncio.create_task(self._touch(grant, before))
            self._touching.add(task)
            task.add_done_callback(self._touching.discard)

    async def _touch(self, grant: Grant, before: tuple[int, int]) -> None:
        """Write down that a token was used today; where that fails, its next use tries again."""
        try:
            await self._store.tokens.touch(
                grant.token_hash, last_used=grant.last_used, expires_at=grant.expires_at
            )
        except ParlourError:
            grant.last_used, grant.expires_at = before

    async def _look_up(self, token_hash: bytes) -> Grant:
        record = await self._read(token_hash)
        if record is None:
            raise AccessError(Code.TOKEN_INVALID)
        if not record.active:
            raise AccessError(Code.DEVICE_REMOVED)
        if record.revoked:
            raise AccessError(Code.TOKEN_REVOKED)
        # Somebody else may have looked it up meanwhile; there is one grant per token.
        grant = self._alive.get(token_hash)
        if grant is None:
            grant = self._alive[token_hash] = Grant(
                token_hash,
                record.account_id,
                record.device_id,
                record.expires_at,
                record.last_used,
            )
        self._recent[token_hash] = grant
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        return grant

    async def _read(self, token_hash: bytes) -> TokenRecord | None:
        """Read a token. What was revoked while the read was under way is read again."""
        while True:
            refusals = self._refusals
            record = await self._store.tokens.find(token_hash)
            if refusals == self._refusals:
                return record

    async def list(self, grant: Grant) -> Sessions:
        """All sessions of the account."""
        records = await self._store.tokens.of_account(grant.account_id, now=self._clock())
        return Sessions([_session(record, grant) for record in records])

    async def revoke(self, grant: Grant, handle: str) -> None:
        """End a session of the same account by its handle; raises ``usage.invalid``."""
        for record in await self._store.tokens.of_account(grant.account_id, now=self._clock()):
            if _handle(record.hash) == handle:
                await self._end(grant.account_id, record.hash)
                return
        raise UsageError(Code.USAGE_INVALID, "no session has that handle")

    async def log_out(self, grant: Grant) -> None:
        """End this session."""
        await self._end(grant.account_id, grant.token_hash)

    async def _end(self, account_id: bytes, token_hash: bytes) -> None:
        await self._store.tokens.revoke(account_id, token_hash, now=self._clock())
        self._refusals += 1
        self._refuse(self._alive.get(token_hash), Code.TOKEN_REVOKED)

    async def log_out_everywhere(self, grant: Grant, *, but_this: bool) -> None:
        """End all sessions of the account, or all others."""
        keep = grant.token_hash if but_this else None
        await self._store.tokens.revoke_all(grant.account_id, keep=keep, now=self._clock())
        self.end_account(grant.account_id, keep=keep)

    def end_account(self, account_id: bytes, *, keep: bytes | None) -> None:
        """End every session of an account but one, here in memory."""
        self._refusals += 1
        for grant in list(self._alive.values()):
            if grant.account_id == account_id and grant.token_hash != keep:
                self._refuse(grant, Code.TOKEN_REVOKED)

    def remove_devices(self, device_ids: Iterable[bytes]) -> None:
        """End every session of devices that left their account's list, here in memory."""
        self._refusals += 1
        gone = set(device_ids)
        for grant in list(self._alive.values()):
            if grant.device_id in gone:
                self._refuse(grant, Code.DEVICE_REMOVED)

    def _refuse(self, grant: Grant | None, code: Code) -> None:
        if grant is None:
            return
        grant.refused = code
        self._alive.pop(grant.token_hash, None)
        self._recent.pop(grant.token_hash, None)
        self.on_refused(grant)


def hash_token(token: str) -> bytes:
    """What is stored of a token. Its 256 random bits need no salt and no stretching."""
    return sha256(token.encode())


def _handle(token_hash: bytes) -> str:
    return token_hash[:_HANDLE_BYTES].hex()


def _session(record: TokenRecord, grant: Grant) -> Session:
    return Session(
        _handle(record.hash),
        record.device_id,
        record.created_at,
        record.last_used,
        current=record.hash == grant.token_hash,
    )
