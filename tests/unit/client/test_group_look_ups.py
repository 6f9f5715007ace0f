"""Looking many people up for a group, at a server that counts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from parlour.client import groups as module
from parlour.client.group_waiting import Step
from parlour.client.groups import Groups
from parlour.errors import Code, LimitError, ParlourError, error

NAMES = [f"p{number}" for number in range(20)]


class Counting:
    """Finds so many people, then says when to come back (ms), once."""

    def __init__(self, found: int, refusal: LimitError) -> None:
        self._left = found
        self._refusal: LimitError | None = refusal
        self.asked: list[str] = []

    async def __call__(self, name: str) -> Any:
        self.asked.append(name)
        if self._left == 0 and self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            raise refusal
        self._left -= self._refusal is not None
        return SimpleNamespace(account_id=name.encode())


def limited(retry_after: int | None) -> LimitError:
    refusal = cast(LimitError, error(Code.LIMIT_RATE))
    refusal.retry_after = retry_after
    return refusal


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    return pauses


@pytest.mark.parametrize(("named", "waited"), [(None, 2.0), (1_500, 1.5), (60_000, 60.0)])
async def test_a_short_pause_is_waited_for(
    named: int | None, waited: float, slept: list[float]
) -> None:
    find = Counting(5, limited(named))
    told: list[Step] = []
    found = await Groups(cast(Any, None), find)._accounts(NAMES, told.append)
    assert found == [name.encode() for name in NAMES]
    assert slept == [waited]
    assert told[-1] == Step("people", len(NAMES), len(NAMES))


@pytest.mark.parametrize("refusal", [limited(60_001), error(Code.LIMIT_COUNT)])
async def test_a_long_one_is_told_of(refusal: LimitError, slept: list[float]) -> None:
    find = Counting(5, refusal)
    with pytest.raises(ParlourError) as caught:
        await Groups(cast(Any, None), find)._accounts(NAMES, None)
    assert caught.value is refusal
    assert not slept
