"""Invites that accounts make, where the operator lets them."""

from __future__ import annotations

from typing import Final

from parlour.errors import AccessError, Code, UsageError
from parlour.server.clock import Clock
from parlour.server.identity import ServerIdentity
from parlour.server.sessions import Grant
from parlour.server.store import Store
from parlour.wire.invites import CreateInvite, InviteInfo, InviteList, RevokeInvite
from parlour.wire.server import Nothing

# An invite lies in a mail or a chat elsewhere: after a month it is more likely lost than wanted.
MAX_AGE_MS: Final = 30 * 24 * 60 * 60 * 1000


class InviteService:
    """Makes, lists and ends invites of one account."""

    def __init__(self, store: Store, identity: ServerIdentity, clock: Clock) -> None:
        self._store = store
        self._identity = identity
        self._clock = clock

    async def create(self, grant: Grant, request: CreateInvite) -> Nothing:
        """Store an invite, by the hash of a secret that the server does not know."""
        if self._identity.invites != "members":
            raise AccessError(Code.INVITE_OPERATOR)
        now = self._clock()
        if not now < request.expires_at <= now + MAX_AGE_MS:
            raise UsageError(Code.USAGE_INVALID, "an invite ends within 30 days")
        await self._store.invites.add(
            request.hash,
            uses=request.uses,
            expires_at=request.expires_at,
            issuer=grant.account_id,
        )
        return Nothing()

    async def list(self, grant: Grant) -> InviteList:
        """The account's invites that can still be used."""
        records = await self._store.invites.of_account(grant.account_id, now=self._clock())
        return InviteList(
            [InviteInfo(each.hash, each.uses_left, each.expires_at) for each in records]
        )

    async def revoke(self, grant: Grant, request: RevokeInvite) -> Nothing:
        """End an invite of the account; raises ``usage.invalid`` for any other."""
        if not await self._store.invites.revoke(grant.account_id, request.hash):
            raise UsageError(Code.USAGE_INVALID, "no invite has that hash")
        return Nothing()
