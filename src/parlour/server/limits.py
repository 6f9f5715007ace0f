"""How often anybody may do anything: one table for every door.

Counters live in memory, by account, by device, by the day's name of an address, or by target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from limits import RateLimitItemPerSecond
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from parlour.errors import Code, LimitError
from parlour.server.clock import Clock
from parlour.wire.kinds import Kind

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
# Counters whose window is over are dropped when so many have gathered.
_SWEEP_AT: Final = 10_000


class By(StrEnum):
    """Whose counter it is."""

    ADDRESS = "address"
    ACCOUNT = "account"
    DEVICE = "device"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` in any window of `seconds`."""

    by: By
    amount: int
    seconds: int


OPERATION_LIMITS: Final[Mapping[Kind, Limit]] = {
    Kind.SERVER_INFO: Limit(By.ADDRESS, 300, _MINUTE),
    # A person mistypes a name or two; a script walks through them.
    Kind.REGISTER_START: Limit(By.ADDRESS, 60, _HOUR),
    Kind.REGISTER_FINISH: Limit(By.ADDRESS, 30, _HOUR),
    # Guessing from one address. Guessing at one name has its own limit below.
    Kind.LOGIN_START: Limit(By.ADDRESS, 30, 10 * _MINUTE),
    Kind.LOGIN_FINISH: Limit(By.ADDRESS, 30, 10 * _MINUTE),
    Kind.RECOVER_START: Limit(By.ADDRESS, 30, 10 * _MINUTE),
    Kind.RECOVER_FINISH: Limit(By.ADDRESS, 30, 10 * _MINUTE),
    Kind.RESET_START: Limit(By.ADDRESS, 30, 10 * _MINUTE),
    Kind.RESET_FINISH: Limit(By.ADDRESS, 30, 10 * _MINUTE),
    Kind.JOIN_UNLOCK: Limit(By.ADDRESS, 30, 10 * _MINUTE),
    Kind.JOIN_FINISH: Limit(By.ADDRESS, 30, 10 * _MINUTE),
    # A linking takes two messages, and waiting half a minute at a time.
    Kind.LINK_OFFER: Limit(By.ADDRESS, 60, 10 * _MINUTE),
    Kind.LINK_WAIT: Limit(By.ADDRESS, 240, 10 * _MINUTE),
    Kind.SESSIONS: Limit(By.DEVICE, 60, _MINUTE),
    Kind.REVOKE_SESSION: Limit(By.DEVICE, 60, _MINUTE),
    Kind.LOG_OUT: Limit(By.DEVICE, 10, _MINUTE),
    Kind.LOG_OUT_EVERYWHERE: Limit(By.ACCOUNT, 10, _MINUTE),
    Kind.READ_VAULT: Limit(By.ACCOUNT, 60, _HOUR),
    Kind.PASSWORD_START: Limit(By.ACCOUNT, 30, _HOUR),
    Kind.PASSWORD_FINISH: Limit(By.ACCOUNT, 30, _HOUR),
    Kind.LINK_TAKE: Limit(By.DEVICE, 240, 10 * _MINUTE),
    Kind.LINK_ANSWER: Limit(By.DEVICE, 60, 10 * _MINUTE),
    Kind.CREATE_INVITE: Limit(By.ACCOUNT, 30, _HOUR),
    Kind.INVITES: Limit(By.DEVICE, 60, _MINUTE),
    Kind.REVOKE_INVITE: Limit(By.ACCOUNT, 60, _HOUR),
    # There is no listing; this keeps names from being tried out. The largest group is invited at
    # once, for which a limit by the minute would have to allow far more in a day (0054).
    Kind.LOOK_UP: Limit(By.ACCOUNT, 2_000, _HOUR),
    Kind.READ_DEVICE_LIST: Limit(By.ACCOUNT, 600, _MINUTE),
    # Everybody who talks with the account reads its list, for ever; a person changes it at times.
    Kind.APPEND_DEVICE_LIST: Limit(By.ACCOUNT, 60, _DAY),
    Kind.SET_PROFILE: Limit(By.ACCOUNT, 60, _HOUR),
    # Everybody's, when a home is new.
    Kind.READ_PROFILE: Limit(By.ACCOUNT, 3_000, _HOUR),
    Kind.PUBLISH_PREKEYS: Limit(By.DEVICE, 60, _HOUR),
    Kind.COUNT_PREKEYS: Limit(By.DEVICE, 60, _MINUTE),
    # Each fetch uses up somebody's one-time keys.
    Kind.FETCH_BUNDLES: Limit(By.ACCOUNT, 120, _MINUTE),
    # Lists and key packages also cost by their number, below.
    Kind.READ_DEVICE_LISTS: Limit(By.ACCOUNT, 120, _MINUTE),
    Kind.READ_LIST_HEADS: Limit(By.ACCOUNT, 120, _MINUTE),
    # A suite's worth of new ones at a time; a device in many busy groups refills hourly.
    Kind.PUBLISH_KEY_PACKAGES: Limit(By.DEVICE, 60, _HOUR),
    Kind.COUNT_KEY_PACKAGES: Limit(By.DEVICE, 60, _MINUTE),
    Kind.FETCH_KEY_PACKAGES: Limit(By.ACCOUNT, 120, _MINUTE),
    Kind.CREATE_GROUP: Limit(By.ACCOUNT, 120, _HOUR),
    # A device that changes a group commits once; what it waits for are the others. The rest is for
    # those who lose races, and for scripts that set groups up.
    Kind.HANDSHAKE: Limit(By.DEVICE, 600, _MINUTE),
    # Three megabytes each; who joins needs one, who repairs needs a few.
    Kind.READ_GROUP: Limit(By.DEVICE, 240, _MINUTE),
    # The last resort of a group that is broken.
    Kind.RESTART_GROUP: Limit(By.ACCOUNT, 60, _HOUR),
    Kind.CREATE_CONVERSATION: Limit(By.ACCOUNT, 120, _HOUR),
    Kind.CONVERSATIONS: Limit(By.DEVICE, 60, _MINUTE),
    # A busy script, not a person.
    Kind.APPEND: Limit(By.DEVICE, 60_000, _MINUTE),
    Kind.READ: Limit(By.DEVICE, 1_200, _MINUTE),
    Kind.CATCH_UP: Limit(By.DEVICE, 1_200, _MINUTE),
    Kind.ACKNOWLEDGE: Limit(By.DEVICE, 60_000, _MINUTE),
    Kind.LIVE_START: Limit(By.DEVICE, 60, _MINUTE),
}

# Guessing one person's password, from one address and from anywhere; applies to names that nobody
# has as well. The second is so high because whoever reaches it locks the person out.
LOGINS_PER_NAME_AND_ADDRESS: Final = Limit(By.TARGET, 10, 10 * _MINUTE)
LOGINS_PER_NAME: Final = Limit(By.TARGET, 100, 10 * _MINUTE)
# Using up one person's prekeys, from anywhere.
BUNDLES_PER_TARGET: Final = Limit(By.TARGET, 600, _HOUR)
# A group of 1,500 needs the lists of all its accounts, and again after a pause: that is six
# requests. Four such groups in a minute are no person any more.
LISTS_PER_REQUESTER: Final = Limit(By.ACCOUNT, 12_000, _MINUTE)
# Each fetch uses up somebody's key package. Two groups of 3,000 devices in one hour, with repairs.
KEY_PACKAGES_PER_REQUESTER: Final = Limit(By.ACCOUNT, 8_000, _HOUR)
# Using up one device's key packages, from anywhere: as many as it may have stored. Above that it
# is not refused, which would keep the device out of groups, but gives its last resort.
KEY_PACKAGES_PER_TARGET: Final = Limit(By.TARGET, 200, _HOUR)
# How often one admin begins one group again; what was refused, or came second, does not count. Each
# time nobody speaks until all are back in; who repairs it needs one or two.
RESTARTS_PER_GROUP: Final = Limit(By.TARGET, 6, 6 * _HOUR)
# Sockets opened, and requests with a token that is not good.
SOCKETS_PER_ADDRESS: Final = Limit(By.ADDRESS, 240, _MINUTE)
REFUSALS_PER_ADDRESS: Final = Limit(By.ADDRESS, 120, _MINUTE)


class RateExceeded(LimitError):
    """``limit.rate``, with the milliseconds after which to try again."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(Code.LIMIT_RATE)
        self.retry_after = retry_after


class _Counters(Storage):
    """Counters in memory under our own clock; the library's keep a thread and the system's."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[str, tuple[int, float]] = {}
        self._sweep_at = _SWEEP_AT

    @property
    def base_exceptions(self) -> type[Exception]:
        return KeyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = self._clock() / 1000
        count, ends = self._windows.get(key, (0, 0.0))
        if ends <= now:
            if len(self._windows) >= self._sweep_at:
                self._windows = {k: v for k, v in self._windows.items() if v[1] > now}
                # When all of them still count, looking again at each new one would cost the more.
                self._sweep_at = max(_SWEEP_AT, 2 * len(self._windows))
            count, ends = 0, now + expiry
        self._windows[key] = (count + amount, ends)
        return count + amount

    def get(self, key: str) -> int:
        count, ends = self._windows.get(key, (0, 0.0))
        return count if ends > self._clock() / 1000 else 0

    def get_expiry(self, key: str) -> float:
        return self._windows.get(key, (0, 0.0))[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)


class Limits:
    """Counts and refuses. `factor` multiplies every amount of the tables."""

    def __init__(self, clock: Clock, factor: float = 1.0) -> None:
        self._clock = clock
        self._counters = _Counters(clock)
        self._limiter = FixedWindowRateLimiter(self._counters)
        self._factor = factor
        self._items: dict[tuple[str, Limit], RateLimitItemPerSecond] = {}

    def hit(self, name: str, limit: Limit, key: str, cost: int = 1) -> None:
        """Count `cost`; raises `RateExceeded` when it is too much."""
        item = self._item(name, limit)
        if not self._limiter.hit(item, key, cost=cost):
            raise self._exceeded(item, key)

    def check(self, name: str, limit: Limit, key: str) -> None:
        """Count nothing; raises `RateExceeded` when one more would be too much."""
        item = self._item(name, limit)
        if not self._limiter.test(item, key):
            raise self._exceeded(item, key)

    def _item(self, name: str, limit: Limit) -> RateLimitItemPerSecond:
        item = self._items.get((name, limit))
        if item is None:
            amount = max(1, int(limit.amount * self._factor))
            item = RateLimitItemPerSecond(amount, limit.seconds, namespace=name)
            self._items[name, limit] = item
        return item

    def _exceeded(self, item: RateLimitItemPerSecond, key: str) -> RateExceeded:
        ends = self._counters.get_expiry(item.key_for(key))
        return RateExceeded(max(1, int(ends * 1000) - self._clock()))
