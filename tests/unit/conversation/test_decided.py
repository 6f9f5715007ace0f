"""Which of two decisions counts, whatever clocks say."""

from parlour.conversation.decided import MOST_AHEAD, NEVER, counts, following, is_believable

NOW = 1_800_000_000_000
LAST = NOW + MOST_AHEAD
LARGEST = (1 << 63) - 1


def test_the_later_one_counts() -> None:
    assert counts(0, NEVER, NOW)
    assert counts(NOW, NOW - 1, NOW)
    assert not counts(NOW, NOW, NOW)
    assert not counts(NOW - 1, NOW, NOW)


def test_a_clock_may_be_ahead_within_reason() -> None:
    assert counts(LAST, NOW, NOW)
    assert not counts(NOW, LAST, NOW)
    for at in (LAST + 1, LARGEST):
        assert not is_believable(at, NOW)
        assert not counts(at, NEVER, NOW)
        assert counts(NOW, at, NOW)
        assert not counts(at, at, NOW)


def test_what_is_decided_here_is_later_than_what_is_known_and_believed() -> None:
    assert following(NOW) == NOW
    assert following(NOW, NOW - 5) == NOW
    assert following(NOW, NOW + 5, 3) == NOW + 6
    assert following(NOW, LAST + 1, LARGEST) == NOW


def test_nobody_can_say_what_can_not_be_contradicted() -> None:
    later = NOW + 1000
    assert counts(following(later, LAST), LAST, later)
