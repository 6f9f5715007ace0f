"""The start of a live connection: ticket, subscription, first page."""

from __future__ import annotations

from parlour.errors import Code, SecurityStop, TransportError, UsageError
from parlour.server.caller import Caller
from parlour.server.clock import Clock
from parlour.server.hub import Hub
from parlour.server.logs import Log
from parlour.server.pseudonyms import Pseudonyms
from parlour.server.sessions import Grant
from parlour.server.store import Store
from parlour.wire.streams import CatchUp, LiveStart, LiveStarted


class LiveService:
    """Turns a socket with a token into one that gets pushes."""

    def __init__(
        self, store: Store, hub: Hub, clock: Clock, log: Log, pseudonyms: Pseudonyms
    ) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._log = log
        self._pseudonyms = pseudonyms

    async def start(self, caller: Caller, request: LiveStart) -> LiveStarted:
        """Check the ticket, subscribe, then read; so nothing falls between page and pushes.

        Pushes wait until the page was sent; an entry may come in both.
        """
        subscriber = caller.subscriber
        if subscriber is None:
            raise UsageError(Code.USAGE_STATE, "use the live socket")
        device_id = caller.known.device_id
        try:
            await self._store.devices.exchange_ticket(
                device_id, request.ticket, request.next_ticket
            )
        except SecurityStop as stop:
            self._tell_operator(caller.known, stop)
            raise
        if subscriber.ended:
            raise TransportError(Code.NETWORK_CLOSED)
        subscriber.hold()
        self._hub.connect(subscriber)
        try:
            return await self._first_page(device_id, request)
        except BaseException:
            # Pushes without the page that they follow would only look like gaps.
            self._hub.disconnect(subscriber)
            raise

    def _tell_operator(self, grant: Grant, stop: SecurityStop) -> None:
        """A restored backup of a home, or a stolen one: somebody will ask."""
        self._log.warning(
            "live_refused",
            code=stop.code.value,
            account=self._pseudonyms.of(grant.account_id),
            device=self._pseudonyms.of(grant.device_id),
        )

    async def _first_page(self, device_id: bytes, request: LiveStart) -> LiveStarted:
        now = self._clock()
        page = await self._store.streams.catch_up(
            device_id, CatchUp(request.positions, request.limit), now=now
        )
        counts = await self._store.prekeys.counts(device_id)
        return LiveStarted(
            self._store.incarnation,
            now,
            page.streams,
            page.entries,
            page.more,
            min(counts.one_time, counts.one_time_kem),
        )
