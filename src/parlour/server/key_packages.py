"""Key packages: publish, count, fetch, and tell a device when few are left.

Spec: RFC 9750 §5.1 (delivery of initial keying material).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from parlour.server.clock import Clock
from parlour.server.hub import Hub
from parlour.server.limits import (
    KEY_PACKAGES_PER_REQUESTER,
    KEY_PACKAGES_PER_TARGET,
    Limits,
    RateExceeded,
)
from parlour.server.sessions import Grant
from parlour.server.store import Store
from parlour.server.store.records import TakenKeyPackage
from parlour.wire.frames import encode_frame
from parlour.wire.groups import (
    FetchKeyPackages,
    FoundKeyPackages,
    KeyPackageCounts,
    PublishKeyPackages,
)
from parlour.wire.kinds import Kind
from parlour.wire.push import PushKeyPackages, PushKeyPackagesLow

GivenOut: TypeAlias = Callable[[int, Sequence[TakenKeyPackage]], None]

# A device is asked for more while there is still time to publish them.
LOW_WATER: Final = 25


class KeyPackageService:
    """Key packages of devices."""

    def __init__(
        self, store: Store, hub: Hub, limits: Limits, clock: Clock, given_out: GivenOut
    ) -> None:
        """`given_out` is told what was fetched, by suite."""
        self._given_out = given_out
        self._store = store
        self._hub = hub
        self._limits = limits
        self._clock = clock

    async def publish(self, grant: Grant, request: PublishKeyPackages) -> KeyPackageCounts:
        """Add key packages of the calling device.

        Its account's others hear of the first ones: they have most likely looked for some already,
        when the device came onto the list, and would not look again soon.
        """
        before = await self._store.key_packages.counts(grant.device_id, now=self._clock())
        counts = await self._store.key_packages.publish(
            grant.device_id, request.packages, now=self._clock()
        )
        if not {count.suite for count in counts} <= {count.suite for count in before}:
            push = PushKeyPackages(grant.device_id)
            self._hub.push([grant.account_id], Kind.PUSH_KEY_PACKAGES, push)
        return KeyPackageCounts(counts)

    async def counts(self, grant: Grant) -> KeyPackageCounts:
        """What the calling device has left."""
        return KeyPackageCounts(
            await self._store.key_packages.counts(grant.device_id, now=self._clock())
        )

    async def fetch(self, grant: Grant, request: FetchKeyPackages) -> FoundKeyPackages:
        """Take key packages of devices of any accounts. A fetch costs by devices, not by requests.

        A device of which too many were fetched lately gives its last resort: so nobody uses the
        others up, and nobody can keep a device out of groups by asking for it.
        """
        device_ids = list(dict.fromkeys(request.device_ids))
        requester = grant.account_id.hex()
        self._limits.hit("key packages", KEY_PACKAGES_PER_REQUESTER, requester, len(device_ids))
        found = await self._store.key_packages.take(
            request.suite,
            device_ids,
            spared=[device_id for device_id in device_ids if self._is_asked_often(device_id)],
            low=LOW_WATER,
            now=self._clock(),
        )
        for taken in found.taken:
            self._ask_for_more(taken)
        self._given_out(request.suite, found.taken)
        return FoundKeyPackages([taken.package for taken in found.taken], found.asked)

    def _is_asked_often(self, device_id: bytes) -> bool:
        try:
            self._limits.hit("key packages of", KEY_PACKAGES_PER_TARGET, device_id.hex())
        except RateExceeded:
            return True
        return False

    def _ask_for_more(self, taken: TakenKeyPackage) -> None:
        subscriber = self._hub.of_device(taken.account_id, taken.package.device_id)
        if subscriber is not None and taken.counts is not None:
            push = PushKeyPackagesLow(KeyPackageCounts(taken.counts))
            subscriber.push(encode_frame(Kind.PUSH_KEY_PACKAGES_LOW, 0, push))
