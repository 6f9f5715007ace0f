"""Profiles: ciphertext for who shares a stream with its owner."""

from __future__ import annotations

from parlour.server.sessions import Grant
from parlour.server.store import Store
from parlour.wire.profiles import ReadProfile, SealedProfile, SetProfile
from parlour.wire.server import Nothing


class ProfileService:
    """Stores and hands out profiles, unread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def replace(self, grant: Grant, request: SetProfile) -> Nothing:
        """Replace the account's profile."""
        await self._store.profiles.replace(grant.account_id, request.profile)
        return Nothing()

    async def read(self, grant: Grant, request: ReadProfile) -> SealedProfile:
        """The profile of who shares a stream with the caller; raises ``profile.unknown``."""
        profile = await self._store.profiles.read(grant.account_id, request.account_id)
        return SealedProfile(profile)
