"""The prekey directory: publish, count, fetch, and tell a device when few are left."""

from __future__ import annotations

from typing import Final

from parlour.server.clock import Clock
from parlour.server.hub import Hub
from parlour.server.limits import BUNDLES_PER_TARGET, Limits
from parlour.server.sessions import Grant
from parlour.server.store import Store
from parlour.wire.frames import encode_frame
from parlour.wire.kinds import Kind
from parlour.wire.prekeys import (
    Bundles,
    FetchBundles,
    PrekeyCounts,
    PublishPrekeys,
)
from parlour.wire.push import PushPrekeysLow

# A device is asked for more while there is still time to publish them.
LOW_WATER: Final = 25


class PrekeyService:
    """Prekeys of devices."""

    def __init__(self, store: Store, hub: Hub, limits: Limits, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._limits = limits
        self._clock = clock

    async def publish(self, grant: Grant, request: PublishPrekeys) -> PrekeyCounts:
        """Add prekeys of the calling device."""
        return await self._store.prekeys.publish(grant.device_id, request.prekeys)

    async def counts(self, grant: Grant) -> PrekeyCounts:
        """What the calling device has left."""
        return await self._store.prekeys.counts(grant.device_id)

    async def fetch(self, grant: Grant, request: FetchBundles) -> Bundles:
        """Take bundles of devices of one account; limited by who is asked about as well."""
        target = request.account_id.hex()
        if request.account_id != grant.account_id:
            self._limits.hit("bundles of", BUNDLES_PER_TARGET, target)
        taken = await self._store.prekeys.take(
            request.account_id, request.device_ids, now=self._clock()
        )
        for bundle, left in taken:
            if min(left.one_time, left.one_time_kem) < LOW_WATER:
                self._ask_for_more(request.account_id, bundle.device_id, left)
        return Bundles([bundle for bundle, _ in taken])

    def _ask_for_more(self, account_id: bytes, device_id: bytes, left: PrekeyCounts) -> None:
        subscriber = self._hub.of_device(account_id, device_id)
        if subscriber is not None:
            subscriber.push(encode_frame(Kind.PUSH_PREKEYS_LOW, 0, PushPrekeysLow(left)))
