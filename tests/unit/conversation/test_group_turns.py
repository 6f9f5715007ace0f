"""Who acts first in a group, and when a lost race is run again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.credentials import LeafOwner
from parlour.conversation.groups.turns import (
    BRACKET,
    MAX_BRACKETS,
    RACES,
    RETRY,
    retry_after,
    turn_after,
)
from parlour.testing.randomness import seeded

ALICE, BOB = b"a" * 16, b"b" * 16


def test_the_first_one_waits_for_nobody() -> None:
    assert {turn_after(0, seeded(seed)) for seed in range(20)} == {0}


@pytest.mark.parametrize(
    ("rank", "bracket"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (1 << 40, MAX_BRACKETS)]
)
def test_the_others_follow_in_brackets_that_double(rank: int, bracket: int) -> None:
    waits = {turn_after(rank, seeded(seed)) for seed in range(200)}
    assert bracket * BRACKET <= min(waits)
    assert max(waits) < (bracket + 1) * BRACKET
    assert max(waits) - min(waits) > BRACKET // 2, "spread over all of it"


@pytest.mark.parametrize(
    ("losses", "longest"),
    [
        (0, RETRY),
        (1, 2 * RETRY),
        (5, 32 * RETRY),
        (RACES, 32 * RETRY),
        (RACES + 1, 64 * RETRY),
        (RACES + 4, 512 * RETRY),
        (1_000, 512 * RETRY),
    ],
)
def test_a_lost_race_is_run_again_later_and_with_jitter(losses: int, longest: int) -> None:
    waits = {retry_after(losses, seeded(seed)) for seed in range(200)}
    assert max(waits) < longest
    assert max(waits) > longest * 3 // 4
    assert min(waits) < longest // 4


def test_ranks_go_by_leaves_and_the_account_s_own_devices_come_first() -> None:
    owners = [
        LeafOwner(account, bytes([place]) * 16, 0)
        for place, account in enumerate([ALICE, BOB, ALICE, BOB])
    ]
    # The second leaf is blank.
    chat = SimpleNamespace(owners={0: owners[0], 2: owners[1], 3: owners[2], 5: owners[3]})

    def ranks(preferring: bytes = b"") -> list[int]:
        return [
            Chat.rank(chat, of=owner.device_id, preferring=preferring)  # type: ignore[arg-type]
            for owner in owners
        ]

    assert ranks() == [0, 1, 2, 3]
    assert ranks(preferring=BOB) == [2, 0, 3, 1]
    assert ranks(preferring=ALICE) == [0, 2, 1, 3]
    assert Chat.rank(chat, of=b"?" * 16) == 4, "who has no leaf comes last"  # type: ignore[arg-type]
