"""Rate limits and the pseudonyms that they count by."""

from __future__ import annotations

import contextlib

import pytest

from parlour.errors import Code
from parlour.server.limits import OPERATION_LIMITS, By, Limit, Limits, RateExceeded
from parlour.server.pseudonyms import Pseudonyms
from parlour.wire.kinds import OPERATIONS, Kind

DAY_MS = 24 * 60 * 60 * 1000


class Hands:
    """A clock that stands still until it is turned."""

    def __init__(self, now: int = 1_800_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def test_every_operation_has_a_limit() -> None:
    assert OPERATION_LIMITS.keys() == OPERATIONS.keys()


def test_the_largest_group_is_looked_up_at_once_and_few_names_in_a_day() -> None:
    clock = Hands()
    limits, limit = Limits(clock), OPERATION_LIMITS[Kind.LOOK_UP]
    for _ in range(1_500):
        limits.hit("look-up", limit, "account")
    tried = 1_500
    for _ in range(24 * 60):
        clock.now += 60_000
        with contextlib.suppress(RateExceeded):
            for _ in range(200):
                limits.hit("look-up", limit, "account")
                tried += 1
    assert tried <= 50_000


def test_a_limit_refuses_and_says_when_to_come_back() -> None:
    clock = Hands()
    limits = Limits(clock)
    limit = Limit(By.DEVICE, 3, 10)
    for _ in range(3):
        limits.hit("x", limit, "key")
    clock.now += 4_000
    with pytest.raises(RateExceeded) as refusal:
        limits.hit("x", limit, "key")
    assert refusal.value.code == Code.LIMIT_RATE
    assert refusal.value.retry_after == 6_000
    with pytest.raises(RateExceeded) as refusal:
        limits.check("x", limit, "key")
    assert refusal.value.retry_after == 6_000
    for _ in range(9):
        limits.check("x", limit, "another key")
    limits.hit("x", limit, "another key")
    limits.hit("y", limit, "key")
    clock.now += 6_000
    limits.hit("x", limit, "key")


def test_the_factor_multiplies_every_amount() -> None:
    limits = Limits(Hands(), factor=0.1)
    limits.hit("x", Limit(By.DEVICE, 15, 10), "key")
    with pytest.raises(RateExceeded):
        limits.hit("x", Limit(By.DEVICE, 15, 10), "key")


def test_counters_that_are_over_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parlour.server.limits._SWEEP_AT", 100)
    clock = Hands()
    limits = Limits(clock)
    for number in range(1000):
        clock.now += 1_000
        limits.hit("x", Limit(By.ADDRESS, 1, 10), str(number))
    assert len(limits._counters._windows) <= 101


def test_a_hit_may_cost_more_than_one() -> None:
    limits = Limits(Hands())
    limit = Limit(By.ACCOUNT, 10, 10)
    limits.hit("x", limit, "key", 9)
    with pytest.raises(RateExceeded):
        limits.hit("x", limit, "key", 2)


def test_many_counters_at_once_are_looked_through_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parlour.server.limits._SWEEP_AT", 100)
    clock = Hands()
    limits = Limits(clock)
    for number in range(1000):
        limits.hit("x", Limit(By.TARGET, 1, 10), str(number))
    assert limits._counters._sweep_at == 1600
    clock.now += 10_000
    for number in range(1000, 1601):
        limits.hit("x", Limit(By.TARGET, 1, 10), str(number))
    assert len(limits._counters._windows) == 601
    assert limits._counters._sweep_at == 1200


def test_pseudonyms_change_every_day() -> None:
    clock = Hands()
    names = Pseudonyms(clock)
    first = names.of(b"device")
    assert names.of(b"device") == first != names.of(b"other")
    clock.now += DAY_MS
    assert names.of(b"device") != first
    assert Pseudonyms(clock).of(b"device") != names.of(b"device")


def test_addresses_are_counted_by_who_holds_them() -> None:
    names = Pseudonyms(Hands())
    assert names.of_address("192.0.2.1") == names.of_address("::ffff:192.0.2.1")
    assert names.of_address("192.0.2.1") != names.of_address("192.0.2.2")
    assert names.of_address("2001:db8::1") == names.of_address("2001:db8::ffff:1")
    assert names.of_address("2001:db8::1") != names.of_address("2001:db8:0:1::1")
    assert names.of_address(None) == names.of_address("socket")
