import pytest

from parlour.conversation.pending import LONGEST_ASKED, LONGEST_PAUSE, Pending
from parlour.conversation.requests import LoadHash, LoadMessage, Request, ServerRequest
from parlour.testing.randomness import seeded
from parlour.wire.kinds import Kind
from parlour.wire.server import Nothing

_KEY = ("load", b"1")
_NEED: list[Request] = [LoadMessage(_KEY, b"c", b"m")]


@pytest.fixture
def pending() -> Pending:
    return Pending(seeded(1))


def test_one_of_each_is_under_way(pending: Pending) -> None:
    assert pending.take(_NEED, 0) == _NEED
    assert pending.take(_NEED, 0) == []
    pending.done(_KEY)
    assert pending.take(_NEED, 0) == _NEED
    pending.clear()
    assert pending.take(_NEED, 0) == _NEED


def test_pauses_double_up_to_a_minute(pending: Pending) -> None:
    now, pauses = 0, []
    for _ in range(12):
        assert pending.take(_NEED, now) == _NEED
        assert pending.next_timeout() is None  # under way, nothing to wait for
        pending.failed(_KEY, now)
        due = pending.next_timeout()
        assert due is not None
        pauses.append(due - now)
        assert pending.take(_NEED, due - 1) == []
        now = due
    assert 500 <= pauses[0] <= 1000
    assert LONGEST_PAUSE // 2 <= pauses[-1] <= LONGEST_PAUSE
    pending.done(_KEY)
    pending.failed(_KEY, now)
    assert pending.is_paused(_KEY, now)
    assert not pending.is_paused(_KEY, now + 1000)


def test_a_server_may_ask_for_a_longer_pause_within_bounds(pending: Pending) -> None:
    pending.take(_NEED, 0)
    pending.failed(_KEY, 0, retry_after=120_000)
    assert pending.next_timeout() == 120_000
    pending.failed(_KEY, 0, retry_after=1 << 60)
    assert pending.next_timeout() == LONGEST_ASKED


def test_a_clock_that_goes_back_makes_no_pause_longer(pending: Pending) -> None:
    pending.take(_NEED, 1_000_000)
    pending.failed(_KEY, 1_000_000)
    assert pending.take(_NEED, 999_999) == _NEED


def test_failures_are_remembered_while_a_need_is_gone_for_a_moment(pending: Pending) -> None:
    pending.take(_NEED, 0)
    pending.failed(_KEY, 0)
    assert pending.take([], 0) == []
    assert pending.next_timeout() is None
    assert pending.take(_NEED, 0) == []
    assert pending.take([], 2 * LONGEST_PAUSE) == []
    assert pending.take(_NEED, 0) == _NEED


def test_reprs_of_requests() -> None:
    request = ServerRequest(("append", b"secret"), Kind.APPEND, Nothing())
    assert repr(request) == "ServerRequest(APPEND, append)"
    assert LoadHash(_KEY, b"s", 1).seq == 1
