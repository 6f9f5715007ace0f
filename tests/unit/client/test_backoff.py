from parlour.client.backoff import Backoff


def highest(size: int) -> bytes:
    return b"\xff" * size


def middle(size: int) -> bytes:
    return b"\x80" + bytes(size - 1)


def test_delays_double_up_to_a_minute() -> None:
    backoff = Backoff(highest)
    delays = [round(backoff.next_delay(0.0), 3) for _ in range(100)]
    assert delays[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert delays[-1] == 60


def test_delays_are_anything_below_the_ceiling() -> None:
    assert Backoff(bytes).next_delay(0.0) == 0
    assert Backoff(middle).next_delay(0.0) == 0.5


def test_what_the_server_asks_for_is_the_least() -> None:
    assert Backoff(bytes).next_delay(0.0, 2500) == 2.5
    assert Backoff(middle).next_delay(0.0, 2500) == 3.0
    assert Backoff(bytes).next_delay(0.0, 10**12) == 600
    assert Backoff(bytes).next_delay(0.0, -5) == 0


def test_only_a_connection_that_lasted_starts_anew() -> None:
    backoff = Backoff(highest)
    for _ in range(5):
        backoff.next_delay(0.0)
    backoff.connected(100.0)
    assert round(backoff.next_delay(159.0)) == 32
    backoff.connected(200.0)
    assert round(backoff.next_delay(260.0)) == 1
    assert round(backoff.next_delay(900.0)) == 2
