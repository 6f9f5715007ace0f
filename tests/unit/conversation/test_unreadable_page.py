"""docs/unreadable.md says of each reason what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from parlour.conversation import reasons
from parlour.conversation.groups.ladder import (
    MAX_REJOINS,
    PATIENCE,
    PAUSE,
)
from parlour.conversation.groups.records import Step
from parlour.conversation.groups.restarting import RESTART_AFTER, RESTART_NEXT
from parlour.conversation.reasons import TREATMENTS, Reason

PAGE = (Path(__file__).parents[3] / "docs" / "unreadable.md").read_text()
ROWS = {
    match[1]: (match[2], match[3])
    for match in re.finditer(
        r"^\| `(unreadable\.\w+)` \| [^|]+ \| `(\w+)`[^|]*\| ([^|]+) \|$", PAGE, re.M
    )
}
DAY = 24 * 3_600_000


def test_every_reason_is_there_once() -> None:
    assert sorted(ROWS) == sorted(reason.value for reason in Reason)


def test_every_reason_is_given_somewhere() -> None:
    """What nothing gives is no promise that anybody could rely on."""
    package = Path(reasons.__file__).parent
    files = [path for path in package.rglob("*.py") if path != Path(reasons.__file__)]
    given = set(re.findall(r"\bReason\.([A-Z_]+)", "".join(map(Path.read_text, files))))
    assert given == set(Reason.__members__)


@pytest.mark.parametrize("reason", Reason)
def test_repair_and_deadline(reason: Reason) -> None:
    treatment, (repair, until) = TREATMENTS[reason], ROWS[reason.value]
    days = treatment.deadline // DAY
    expected = "at once" if not treatment.deadline else f"{days} day{'s' * (days > 1)}"
    assert (repair, until) == (treatment.repair.value, expected)


def test_the_ladder() -> None:
    rungs = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (\d+ \w+) \|$", PAGE, re.M))
    assert rungs == {
        Step.FETCH.value: f"{PATIENCE[Step.FETCH] // 1000} seconds",
        Step.ASK.value: f"{PATIENCE[Step.ASK] // 60_000} minutes",
        Step.REJOIN.value: f"{PATIENCE[Step.REJOIN] // 60_000} minute",
        Step.WAIT.value: f"{PAUSE // 60_000} minutes",
    }
    assert MAX_REJOINS == 5
    assert "at most five times a day" in PAGE
    assert f"after {RESTART_AFTER // 1000} seconds" in PAGE
    assert f"each {RESTART_NEXT // 1000} seconds later" in PAGE
